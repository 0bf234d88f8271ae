"""Openings of 96 valves at once against a bus of 2400 baud, on one gateway and on twenty."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
import os
from pathlib import Path
from tempfile import TemporaryDirectory
import time

from processes import LeashedProcess

from custom_components.hy_heating.hyheat import frame
from custom_components.hy_heating.hyheat.devices import HOUSEHOLD_VALVE
from custom_components.hy_heating.hyheat.envelope import (
    Message,
    ReadNow,
    TransparentCommand,
    TransparentReply,
    command_topic,
    decode,
    encode,
    report_topic,
)
from simulator.mqtt import Broker, Simulator
from simulator.plan import GatewayPlan
from simulator.scenario import Scenario
from tests.e2e.mosquitto import Mosquitto

from .gateways import client_command
from .house import House, integration
from .payloads import VALVES, Meter, gateway_id
from .report import Figure, Results

BAUD, BITS, TURNAROUND_S = 2400, 11, 0.05
"""Even parity: a start bit, eight data bits, parity and a stop bit."""
MANY = 20
BUSY_GOAL, PARALLEL_GOAL = 95.0, 1.05
_PREAMBLE = 4
_READ, _REPORT = 16, 58
"""Bytes of a read and of a household valve's report (docs/PROTOCOL.md, sections 5 and 6)."""
_SET, _SET_REPLY = 17, 17
_SET_CONTROL = 0x04


def wire_s(*sizes: int) -> float:
    """Return how long an exchange of frames of so many bytes occupies the bus."""
    return (sum(sizes) + _PREAMBLE) * BITS / BAUD + TURNAROUND_S


SET_S, READ_S = wire_s(_SET, _SET_REPLY), wire_s(_READ, _REPORT)


@dataclass
class Bus:
    """What went over one gateway's bus, as seen at the broker."""

    commands: list[float] = field(default_factory=list)
    """When each command came, by the clock in seconds; the others likewise."""
    answers: list[tuple[float, bool]] = field(default_factory=list)
    """When an answer came, and whether it confirmed an opening."""

    @property
    def _until_set(self) -> list[tuple[float, bool]]:
        """The answers until the last valve had confirmed."""
        last = max(place for place, (_, is_set) in enumerate(self.answers) if is_set)
        return self.answers[: last + 1]

    @property
    def took_s(self) -> float:
        """How long it took until the last valve had confirmed."""
        return self._until_set[-1][0] - self.commands[0]

    @property
    def waited_s(self) -> float:
        """How long the bus waited for its next command meanwhile: the integration's share."""
        return sum(
            min(command for command in self.commands if command > at) - at
            for at, _ in self._until_set[:-1]
        )

    @property
    def needed_s(self) -> float:
        """What the exchanges until then need on the wire."""
        return sum(SET_S if is_set else READ_S for _, is_set in self._until_set)

    @property
    def busy(self) -> float:
        """The share of the bus's time, without what the simulator is late, in percent."""
        return self.needed_s / (self.needed_s + self.waited_s) * 100


@asynccontextmanager
async def _watching(broker: Mosquitto, buses: dict[str, Bus]) -> AsyncIterator[None]:
    """See what goes over the buses meanwhile, by a client that has nothing else to do."""
    topics = ("-t", command_topic("+"), "-t", report_topic("+"))
    heard = broker.folder / "heard"
    command = (*client_command("mosquitto_sub", broker), *topics, "-F", "%U %x")
    watcher = LeashedProcess(command, folder=broker.folder, output=heard, environment=os.environ)
    try:
        await asyncio.sleep(1)
        yield
    finally:
        await watcher.stop()
    for line in heard.read_text(encoding="ascii").splitlines():
        moment, payload = line.split()
        _note(float(moment), decode(bytes.fromhex(payload)), buses)


def _note(moment_s: float, told: Message, buses: dict[str, Bus]) -> None:
    match told:
        case TransparentCommand():
            buses[told.gateway_id].commands.append(moment_s)
        case TransparentReply():
            controls = [frame.parse(text).command_control for text in told.frames]
            buses[told.gateway_id].answers += [
                (moment_s, control == _SET_CONTROL) for control in controls
            ]
        case _:
            pass


async def _measure(gateways: int) -> tuple[list[Bus], float, int]:
    """Return the buses, how long the action took until all was proved, and how much was."""
    ids = [gateway_id(index) for index in range(1, gateways + 1)]
    plans = tuple(
        GatewayPlan(
            gateway_id=each,
            cabinets=0,
            valves=VALVES,
            block=index,
            turnaround_s=TURNAROUND_S,
            latency_s=0.0,
            valve_travel_s=2.0,
            read_at_start=False,
            malformed_replies=False,
            baud=0,
        )
        for index, each in enumerate(ids)
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        broker = Mosquitto(folder / "broker", log_types=("error",))
        await broker.start()
        stack.push_async_callback(broker.stop)
        meters = [Meter(each, HOUSEHOLD_VALVE, "23200000") for each in ids]
        house = House(folder / "commands", integration(broker, meters))
        await house.start()
        stack.push_async_callback(house.stop)
        where = Broker(port=broker.port, username="heat", password=broker.password)
        # The meters report on a bus that takes no time, then they are there for the commands.
        async with Simulator(Scenario(gateways=plans), where) as simulator, broker.client() as told:
            await simulator.wait_connected()
            for each in ids:
                read = ReadNow(each, cabinets=False, valves=True)
                await told.publish(command_topic(each), encode(read))
            await house.ask("wait_valves", len(ids) * VALVES, 120)
        slow = tuple(replace(plan, baud=BAUD) for plan in plans)
        simulator = await stack.enter_async_context(Simulator(Scenario(gateways=slow), where))
        await simulator.wait_connected()
        buses = {each: Bus() for each in ids}
        valves = (await house.ask("entities", "valve")).values()
        wishes = {"openings": dict.fromkeys(valves, 35)}
        async with _watching(broker, buses):
            begin = time.perf_counter()
            answer = await house.ask("call", "hy_heating", "set_openings", wishes)
            passed_s = time.perf_counter() - begin
        proved = sum(row["result"] == "verified" for row in answer["results"])
        return list(buses.values()), passed_s, proved


def run(results: Results) -> None:
    """Measure one gateway and many."""
    add = results.add
    theory = f"{SET_S * 1000:.0f} ms an opening, {READ_S * 1000:.0f} ms a read, on the wire"
    (bus,), passed_s, proved = asyncio.run(_measure(1))
    add(
        Figure(
            "commands", "96 valves of one gateway: confirmed after", bus.took_s, "s", note=theory
        )
    )
    note = f"{bus.needed_s / bus.took_s * 100:.1f} % with what the simulator is late"
    name = "96 valves of one gateway: bus in use"
    add(Figure("commands", name, bus.busy, "%", BUSY_GOAL, ">=", note))
    least_s = VALVES * (SET_S + READ_S)
    note = f"{proved} proved; {least_s:.1f} s on the wire with a read each"
    add(Figure("commands", "96 valves of one gateway: proved after", passed_s, "s", note=note))
    buses, many_s, proved = asyncio.run(_measure(MANY))
    name = f"{MANY} gateways, {MANY * VALVES} valves:"
    least = min(buses, key=lambda each: each.busy)
    note = f"{least.needed_s / least.took_s * 100:.1f} % with what the simulator is late"
    add(Figure("commands", f"{name} least bus in use", least.busy, "%", BUSY_GOAL, ">=", note))
    ratio = bus.busy / least.busy
    add(Figure("commands", f"{name} slowest beside one alone", ratio, "×", PARALLEL_GOAL))
    add(Figure("commands", f"{name} proved after", many_s, "s", note=f"{proved} proved"))
