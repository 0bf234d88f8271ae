"""One broker and several instances: who gets what, what waits, what is lost, and how fast it is."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
import re
from tempfile import TemporaryDirectory
import time

import psutil

from custom_components.hy_heating.hyheat.devices import CABINET
from tests.e2e.mosquitto import Mosquitto

from .database import Database
from .gateways import client_command
from .grown import ARRIVAL_S, grow, storage
from .house import House, integration
from .path import Load
from .payloads import Meter, cabinet_values, gateway_id, meters
from .report import Figure, Results
from .scale_history import missing

INSTANCES, PASSES, PER_S = 3, 3, 300.0
WAITING, TOO_MANY = 5_000, 3_000
THROUGHPUT = 40_000
PUBLISHERS = 2
_QUEUED = 1000
"""What mosquitto keeps for a client by default."""
_DELIVERED = re.compile(r"Sending PUBLISH to (\S+) .*'hy/gw/set/(\d+)'")


async def _pour(broker: Mosquitto, topic: str, payloads: Iterable[bytes]) -> None:
    """Publish with QoS 1, faster than a client in Python would."""
    process = await asyncio.create_subprocess_exec(
        *(*client_command("mosquitto_pub", broker), "-q", "1", "-t", topic, "-l"),
        stdin=asyncio.subprocess.PIPE,
    )
    await process.communicate(b"\n".join(payloads) + b"\n")
    if process.returncode:
        raise RuntimeError(f"mosquitto_pub ended with status {process.returncode}")


def _process(broker: Mosquitto) -> psutil.Process:
    """Return the broker's process, to look at what it takes."""
    for each in psutil.Process().children(recursive=True):
        if each.name() == "mosquitto" and any(
            str(broker.folder) in word for word in each.cmdline()
        ):
            return each
    raise RuntimeError("the broker does not run")


async def _broker(
    stack: AsyncExitStack, folder: Path, log_type: str = "error", *options: str
) -> Mosquitto:
    broker = Mosquitto(folder, options, (log_type,))
    await broker.start()
    stack.push_async_callback(broker.stop)
    return broker


async def _received(house: House, count: int | None = None, quiet_s: float = 5.0) -> int:
    """Wait until so many messages have come, or none comes any more; return how many did."""
    last, since_s = -1, time.monotonic()
    while (now := int(await house.ask("received"))) != count:
        if now != last:
            last, since_s = now, time.monotonic()
        elif time.monotonic() - since_s > quiet_s:
            break
        await asyncio.sleep(0.05)
    return now


async def _split(results: Results) -> None:
    """Count at the broker what several instances get of their own gateways and of others'."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        broker = await _broker(stack, folder / "broker", "debug")
        all_meters = meters(INSTANCES * 101)
        loads: list[Load] = []
        districts: list[list[Meter]] = []
        for index in range(1, INSTANCES + 1):
            district = [each for each in all_meters if each.gateway == gateway_id(index)]
            house = House(folder / f"district-{index}", integration(broker, district))
            await house.start()
            stack.push_async_callback(house.stop)
            cabinets = [meter for meter in district if meter.spec is CABINET]
            loads.append(Load(house, broker, cabinets, 0))
            districts.append(district)
            await loads[-1].introduce()
            await loads[-1].send_to_all(district, PER_S)
            await house.ask("wait_valves", len(district), ARRIVAL_S)
        before = [await _received(load.house, quiet_s=1.0) for load in loads]
        said = len(broker.log)
        for _ in range(PASSES):
            await asyncio.gather(
                *(
                    load.send_to_all(district, PER_S / INSTANCES)
                    for load, district in zip(loads, districts, strict=True)
                )
            )
        sent = PASSES * len(all_meters)
        after = [await _received(load.house, quiet_s=1.0) for load in loads]
        delivered = Counter(_DELIVERED.findall(broker.log[said:]))
    hears = {client for client, _ in delivered}
    note = f"{sent} reports of {len(all_meters)} meters, {len(hears)} clients for {INSTANCES}"
    name = f"{INSTANCES} instances at one broker"
    ratio = delivered.total() / sent
    results.add(Figure("scale", f"{name}: deliveries of a report", ratio, "", 1, note=note))
    most = max(Counter(client for client, _ in delivered).values())
    note = "gateways that one client got reports of, at most"
    results.add(Figure("scale", f"{name}: gateways of each", most, "", 1, note=note))
    got = [now - then for now, then in zip(after, before, strict=True)]
    note = f"sent to each {sent // INSTANCES}; counted by the integration"
    wrong = sum(abs(each - sent // INSTANCES) for each in got)
    results.add(Figure("scale", f"{name}: missing or too many", wrong, "", 0, note=note))


def _reports(cabinets: Sequence[Meter], first: int, count: int) -> list[bytes]:
    """Return so many reports of the cabinets in turn, from a step on."""
    return [
        meter.payload(step)
        for step in range(first, first + count // len(cabinets))
        for meter in cabinets
    ]


async def _queue(results: Results) -> None:
    """Let reports wait for an instance that stands still, and for one that is down."""
    add = results.add
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        broker = await _broker(stack, folder / "broker")
        all_meters = meters(101)
        cabinets = [meter for meter in all_meters if meter.spec is CABINET]
        await grow(len(all_meters))
        design, known = integration(broker, all_meters), storage(len(all_meters))
        house = House(folder / "away", design, recorder=True, storage=known)
        await house.start()
        stack.push_async_callback(house.stop)
        load = Load(house, broker, cabinets, 0)
        topic = house.topic(cabinets[0])
        await load.introduce()
        await house.ask("recorded")
        database = Database(f"sqlite:///{folder / 'away' / 'home-assistant_v2.db'}")
        energy = f"sensor.cabinet_{cabinets[-1].number}_heat_energy"
        recorded = len(database.states([energy])[energy])
        heard = await house.ask("received")
        before = _process(broker).memory_info().rss
        house.hass.freeze()
        await _pour(broker, topic, _reports(cabinets, load.step + 1, WAITING))
        each = (_process(broker).memory_info().rss - before) / WAITING
        add(Figure("scale", f"{WAITING} reports wait: memory of the broker for each", each, "B"))
        begin = time.monotonic()
        house.hass.thaw()
        came = await _received(house, heard + WAITING) - heard
        took_s = time.monotonic() - begin
        await house.ask("recorded")
        all_s = time.monotonic() - begin
        steps = range(load.step + 1, load.step + 1 + WAITING // len(cabinets))
        written = [float(state) for state in database.states([energy])[energy][recorded:]]
        lost = missing(written, [cabinet_values(step)["heat_energy_kwh"] for step in steps])
        note = f"of {WAITING}; of one meter's energy {lost} of {len(steps)} not recorded"
        add(
            Figure(
                "scale", "the instance is back: reports missing", WAITING - came, "", 0, note=note
            )
        )
        note = f"in {took_s:.0f} s, all of it in the database after {all_s:.0f} s"
        add(Figure("scale", "the instance is back: reports a second", came / took_s, note=note))


async def _overflow(results: Results) -> None:
    """Let more reports wait for an instance than mosquitto keeps by default."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        broker = await _broker(stack, folder / "broker", "error", f"max_queued_messages {_QUEUED}")
        all_meters = meters(5)
        house = House(folder / "away", integration(broker, all_meters))
        await house.start()
        load = Load(house, broker, all_meters, 0)
        await load.introduce()
        await house.stop()
        reports = _reports(all_meters, load.step + 1, TOO_MANY)
        await _pour(broker, house.topic(all_meters[0]), reports)
        await house.start()
        stack.push_async_callback(house.stop)
        came = await _received(house, TOO_MANY)
        shown = await house.ask("state", f"sensor.cabinet_{all_meters[-1].number}_heat_energy")
    last = cabinet_values(load.step + came // len(all_meters))
    kept = "oldest" if missing([float(shown)], [last["heat_energy_kwh"]]) == 0 else "newest"
    note = f"of {TOO_MANY}; kept are the {kept}"
    name = f"mosquitto's default of {_QUEUED}: reports lost"
    results.add(Figure("scale", name, TOO_MANY - came, note=note))


async def _throughput(results: Results) -> None:
    """Pass messages of a cabinet's report through the broker, as fast as it takes them."""
    payload = meters(5)[0].payload(1)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        broker = await _broker(stack, folder / "broker")
        subscriber = await asyncio.create_subprocess_exec(
            *(*client_command("mosquitto_sub", broker), "-q", "1", "-t", "bench"),
            *("-C", str(THROUGHPUT), "-W", "60"),
            stdout=asyncio.subprocess.DEVNULL,
        )
        await asyncio.sleep(1)
        process = _process(broker)
        cpu = process.cpu_times()
        begin = time.monotonic()
        share = [payload] * (THROUGHPUT // PUBLISHERS)
        await asyncio.gather(*(_pour(broker, "bench", share) for _ in range(PUBLISHERS)))
        if await subscriber.wait():
            raise RuntimeError("mosquitto_sub did not get all messages")
        took_s = time.monotonic() - begin
        spent = process.cpu_times()
        each_s = (spent.user + spent.system - cpu.user - cpu.system) / THROUGHPUT
    note = f"{each_s * 1e6:.0f} µs of its processor each; {len(payload)} bytes, QoS 1, with clients"
    name = "mosquitto: messages a second, in and out"
    results.add(Figure("scale", name, THROUGHPUT / took_s, note=note))


def run(results: Results) -> None:
    """Measure all of it."""
    for part in (_split, _queue, _overflow, _throughput):
        asyncio.run(part(results))
