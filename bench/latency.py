"""From the broker to the WebSocket, and how late the event loop is while ten thousand report."""

import asyncio
from contextlib import AsyncExitStack
from itertools import cycle
from math import ceil
import statistics
import time

import aiohttp

from custom_components.hy_heating.hyheat.devices import CABINET
from tests.e2e.mosquitto import Mosquitto

from .gateways import site
from .grown import grow, storage
from .house import House, floor, integration
from .path import Load, Make
from .payloads import Meter, commanded_pct, meters
from .report import Figure, Results

P99_GOAL_MS, STALL_GOAL_MS = 20.0, 50.0
ARRIVAL_S = 20.0
METERS = 101
RATES = {10: 10.0, 200: 20.0}
"""Reports a second, and for how many seconds."""
STALL_METERS, STALL_S = 10_100, 60.0


def percentile(values: list[float], percent: float) -> float:
    """Return the least value that so many percent do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


class Watcher:
    """A client of the WebSocket API that notes when states come, as a dashboard gets them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Take a connection that nothing was said on yet."""
        self._socket = socket
        self.seen_s: dict[tuple[str, str], float] = {}

    async def watch(self, token: str, entity_ids: list[str]) -> None:
        """Log in and subscribe, then note what comes until canceled."""
        await self._socket.receive_json()
        await self._socket.send_json({"type": "auth", "access_token": token})
        await self._socket.receive_json()
        ask = {"id": 1, "type": "subscribe_entities", "entity_ids": entity_ids}
        await self._socket.send_json(ask)
        async for message in self._socket:
            now = time.perf_counter()
            told = message.json()
            for each in told if isinstance(told, list) else [told]:
                for entity_id, change in each.get("event", {}).get("c", {}).items():
                    if (state := change.get("+", {}).get("s")) is not None:
                        self.seen_s[entity_id, state] = now


async def _latencies(
    house: House, broker: Mosquitto, cabinets: list[Meter]
) -> dict[int, list[float]]:
    entity_ids = {meter.number: house.design.commanded_opening(meter) for meter in cabinets}
    found: dict[int, list[float]] = {}
    step = 10
    url = f"{house.hass.url}/api/websocket"
    async with (
        aiohttp.ClientSession() as session,
        broker.client() as client,
        session.ws_connect(url) as socket,
    ):
        watcher = Watcher(socket)
        token = await house.ask("token")
        task = asyncio.create_task(watcher.watch(token, list(entity_ids.values())))
        await asyncio.sleep(1)
        for rate, seconds in RATES.items():
            sent: list[tuple[tuple[str, str], float]] = []
            turn = cycle(cabinets)
            begin = asyncio.get_running_loop().time()
            for number in range(int(rate * seconds)):
                step += number % len(cabinets) == 0
                meter = next(turn)
                payload = meter.payload(step)
                sent.append(
                    ((entity_ids[meter.number], str(commanded_pct(step))), time.perf_counter())
                )
                await client.publish(house.topic(meter), payload, qos=0)
                due = begin + (number + 1) / rate
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            deadline = time.monotonic() + ARRIVAL_S
            while (missing := sum(key not in watcher.seen_s for key, _ in sent)) and (
                time.monotonic() < deadline
            ):
                await asyncio.sleep(0.5)
            if missing:
                raise RuntimeError(f"{missing} of {len(sent)} changes never came")
            found[rate] = [(watcher.seen_s[key] - at) * 1000 for key, at in sent]
            watcher.seen_s.clear()
        task.cancel()
    return found


def _collections(all_ms: list[float]) -> str:
    """Return what Python's garbage collection did meanwhile, for a note."""
    return f"{len(all_ms)} full collections, at most {max(all_ms, default=0):.0f} ms"


async def _measure(results: Results, make: Make, *, recorder: bool) -> None:
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        await grow(METERS)
        all_meters = meters(METERS)
        cabinets = [meter for meter in all_meters if meter.spec is CABINET]
        known = storage(METERS) if make is integration else None
        design = make(broker, all_meters)
        house = House(folder / "latency", design, recorder=recorder, storage=known)
        await house.start()
        stack.push_async_callback(house.kill)
        await Load(house, broker, cabinets, 0).introduce()
        await house.ask("collect")
        await house.ask("watch_collections")
        found = await _latencies(house, broker, cabinets)
        note = _collections(await house.ask("collections_ms"))
        how = f"{design.name}, recorder {'on' if recorder else 'off'}"
        for rate, latencies in found.items():
            p99 = percentile(latencies, 99)
            goal = P99_GOAL_MS if rate == max(RATES) and make is integration else None
            name = f"{how}, {rate}/s"
            results.add(Figure("latency", f"{name}: p50", statistics.median(latencies), "ms"))
            results.add(Figure("latency", f"{name}: p99", p99, "ms", goal, "<", note))
            results.add(Figure("latency", f"{name}: max", max(latencies), "ms"))
            if make is floor and rate != max(RATES):
                continue
            for percent in (1, *range(5, 100, 5), 99, 99.9):
                results.point("latency", name, percent, percentile(latencies, percent))


async def _stalls(results: Results, size: int) -> None:
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        await grow(size)
        all_meters = meters(size)
        cabinets = [meter for meter in all_meters if meter.spec is CABINET]
        design = integration(broker, all_meters)
        house = House(folder / "stalls", design, recorder=True, storage=storage(size))
        await house.start()
        stack.push_async_callback(house.kill)
        load = Load(house, broker, cabinets, 0)
        await load.introduce()
        await house.ask("recorded")
        await house.ask("collect")
        await house.ask("watch_collections")
        await house.ask("pulse")
        await load.send_to_all(all_meters, size / STALL_S)
        late = await house.ask("late_s")
        note = _collections(await house.ask("collections_ms"))
        late_ms = [late_s * 1000 for late_s, _, _ in late]
        # The first call after a collection is late by it,
        # ...or the second, when the other thread had no time yet to note it.
        others = [
            now
            for before, now, after in zip(late, late[1:], late[2:], strict=False)
            if before[1] == after[1]
        ]
        longest_s, _, computed_s = max(others)
        name = f"event loop late, {size} meters in {STALL_S:.0f} s"
        add = results.add
        add(Figure("latency", f"{name}: p99.9", percentile(late_ms, 99.9), "ms"))
        add(Figure("latency", f"{name}: max", max(late_ms), "ms", STALL_GOAL_MS, note=note))
        name += ": max but for full collections"
        note = f"the event loop's own thread computed {computed_s * 1000:.0f} ms of it"
        add(Figure("latency", name, longest_s * 1000, "ms", STALL_GOAL_MS, note=note))


def run(results: Results, size: int = STALL_METERS) -> None:
    """Measure both; with the recorder beside the floor, which has the same one."""
    asyncio.run(_measure(results, integration, recorder=False))
    asyncio.run(_measure(results, integration, recorder=True))
    asyncio.run(_measure(results, floor, recorder=True))
    asyncio.run(_stalls(results, size))
