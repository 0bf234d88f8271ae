"""The whole path, broker to states: processor time of Home Assistant for each report."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle

from custom_components.hy_heating.hyheat.devices import CABINET
from tests.e2e.mosquitto import Mosquitto

from .gateways import site
from .grown import ARRIVAL_S, grow, storage
from .house import Design, House, core_mqtt, floor, integration
from .payloads import Meter, commanded_pct, meters
from .report import Figure, Results, Spread

STATES = 6
OFF_GOAL, ON_GOAL = 1.5, 1.15
CORE_GOALS = {False: 30.0, True: 8.0}
SIZES = (5, 101, 1010, 10_100)
CORE_SIZES = (5, 101)
TRIES = 5
LARGE = 10_100
"""Here a collection of garbage, which every round begins with, takes longer than the round."""

type Make = Callable[[Mosquitto, Sequence[Meter]], Design]


@dataclass
class Load:
    """A house and the reports that it gets, each of them new."""

    house: House
    broker: Mosquitto
    cabinets: Sequence[Meter]
    reports: int
    step: int = 0
    costs_ms: list[float] = field(default_factory=list)

    async def send_to_all(self, all_meters: Sequence[Meter], per_s: float) -> None:
        """Let every meter report once, at a pace."""
        self.step += 1
        async with self.broker.client() as client:
            begin = asyncio.get_running_loop().time()
            for number, meter in enumerate(all_meters, 1):
                await client.publish(self.house.topic(meter), meter.payload(self.step), qos=1)
                now = asyncio.get_running_loop().time()
                await asyncio.sleep(max(0.0, begin + number / per_s - now))

    async def introduce(self) -> None:
        """Let every cabinet report until it is heard: core mqtt subscribes some seconds later."""
        for _ in range(TRIES):
            self.step += 1
            async with self.broker.client() as client:
                for meter in self.cabinets:
                    topic = self.house.topic(meter)
                    await client.publish(topic, meter.payload(self.step), qos=1)
            if await self._shown(5):
                return
        raise RuntimeError(f"nothing is heard of the meters:\n{self.house.hass.log[-2000:]}")

    async def send(self, count: int, per_s: float = 0.0) -> None:
        """Send so many reports of the cabinets in turn, and wait until the last is shown."""
        turn = cycle(self.cabinets)
        async with self.broker.client() as client:
            begin = asyncio.get_running_loop().time()
            for number in range(count):
                if number % len(self.cabinets) == 0:
                    self.step += 1
                meter = next(turn)
                await client.publish(self.house.topic(meter), meter.payload(self.step), qos=1)
                if per_s:
                    due = begin + (number + 1) / per_s
                    await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        if not await self._shown(ARRIVAL_S):
            raise RuntimeError(f"reports are lost:\n{self.house.hass.log[-2000:]}")

    async def _shown(self, timeout_s: float) -> bool:
        """Whether the last cabinet comes to show its last report."""
        entity_id = self.house.design.commanded_opening(self.cabinets[-1])
        shown = str(commanded_pct(self.step))
        return bool(await self.house.ask("wait", entity_id, shown, timeout_s))

    async def check(self) -> None:
        """Look whether a report changes the states that it is to; raises RuntimeError."""
        task = asyncio.create_task(self.house.ask("changed", 2.0))
        await asyncio.sleep(0.3)
        # Not over the probe's socket, which is busy with the question.
        turn = self.cabinets
        self.step += 1
        async with self.broker.client() as client:
            for meter in turn:
                await client.publish(self.house.topic(meter), meter.payload(self.step), qos=1)
        numbers = [meter.number for meter in turn]
        changed = [
            entity_id for entity_id in await task if any(number in entity_id for number in numbers)
        ]
        if len(changed) != STATES * len(turn):
            raise RuntimeError(f"{len(turn)} reports changed {len(changed)} states: {changed}")

    async def measure(self) -> None:
        """Measure one round."""
        await self.house.ask("collect")
        if self.house.recorder:
            await self.house.ask("recorded")
        begin = await self.house.ask("cpu_s")
        await self.send(self.reports)
        if self.house.recorder:
            await self.house.ask("recorded")
        end = await self.house.ask("cpu_s")
        self.costs_ms.append((end - begin) / self.reports * 1000)


def rounded(count: int, of: int) -> int:
    """Return the next multiple: every cabinet reports as often."""
    return -(-count // of) * of


async def measure_size(
    size: int, *, recorder: bool, rounds: int, reports: int, core: bool
) -> dict[str, Spread]:
    """Return the milliseconds for each report by design, measured in turns."""
    all_meters = meters(size)
    cabinets = [meter for meter in all_meters if meter.spec is CABINET]
    designs: list[Make] = [integration, floor]
    if core:
        designs.append(core_mqtt)
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        await grow(size)
        houses: list[House] = []
        for make in designs:
            design = make(broker, all_meters)
            known = storage(size, last_report=False) if make is integration else None
            house = House(folder / design.entity, design, recorder=recorder, storage=known)
            stack.push_async_callback(house.kill)
            houses.append(house)
        await asyncio.gather(*(house.start() for house in houses))
        loads: list[Load] = []
        for house in houses:
            # Core's templates all run for each report: a tenth of the reports says as much.
            few = reports // 10 if house.design.entity == "core" else reports
            load = Load(house, broker, cabinets, rounded(few, len(cabinets)))
            await load.introduce()
            await load.send(load.reports)  # to warm up
            await load.check()
            loads.append(load)
        for _ in range(rounds):
            for load in loads:
                await load.measure()
        return {load.house.design.name: Spread(tuple(load.costs_ms)) for load in loads}


def report(results: Results, size: int, costs: dict[str, Spread], *, recorder: bool) -> None:
    """Add the figures of one size."""
    how = "recorder on" if recorder else "recorder off"
    for name, cost in costs.items():
        figure = Figure(
            "path",
            f"{size} meters, {how}: {name}",
            cost.median,
            "ms",
            note=f"± {cost.half_range:.3f}",
        )
        results.add(figure)
        results.point(f"path-{how.replace(' ', '-')}", name, size, cost.median)
    mine, least = costs["integration"], costs["floor"]
    times = mine.over(least)
    within = recorder and mine.median <= max(least.values)
    results.add(
        Figure(
            "path",
            f"{size} meters, {how}: times the floor",
            times.median,
            goal=ON_GOAL if recorder else OFF_GOAL,
            note=f"± {times.half_range:.2f}{", within the floor's spread" if within else ''}",
            excused=within,
        )
    )
    if (core := costs.get("core mqtt")) is not None:
        goal = CORE_GOALS[recorder] if size == CORE_SIZES[-1] else None
        name = f"{size} meters, {how}: less than core mqtt"
        less = core.over(mine)
        note = f"± {less.half_range:.1f}"
        results.add(Figure("path", name, less.median, "×", goal, ">=", note))


def run(results: Results, sizes: Sequence[int] = SIZES) -> None:
    """Measure all sizes, without and with a recorder."""
    for recorder in (False, True):
        for size in sizes:
            rounds, reports = (5, 500) if size >= LARGE else (9, 250 if recorder else 500)
            costs = asyncio.run(
                measure_size(
                    size,
                    recorder=recorder,
                    rounds=rounds,
                    reports=reports,
                    core=size in CORE_SIZES,
                )
            )
            report(results, size, costs, recorder=recorder)
