"""The recorder on PostgreSQL beside SQLite, and what a restart of the server costs."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from custom_components.hy_heating.hyheat.devices import CABINET
from tests.e2e.mosquitto import Mosquitto

from .database import Database
from .gateways import answering
from .grown import grow, storage
from .house import House, integration
from .path import STATES, Load, rounded
from .payloads import cabinet_values, meters
from .postgres import Postgres, programs
from .report import Figure, Results, Spread

METERS, REPORTS, ROUNDS = 101, 500, 5
RATE, BEFORE_S, AWAY_S, AFTER_S = 50, 8.0, 3.0, 9.0
"""Reports a second while the server is restarted, and seconds: before, without it, after."""
_TOLD = {
    "heat_energy": "heat_energy_kwh",
    "volume_flow_rate": "flow_l_h",
    "supply_temperature": "supply_temperature_c",
    "return_temperature": "return_temperature_c",
    "commanded_opening": "commanded_opening_pct",
}
"""Sensors and what a report says of them; the sixth, power, is worked out of these."""
_POWER = "thermal_power"
_NEAR = 0.006
"""Half a register's step of 0.01, and a little: reports carry whole steps."""


@dataclass
class Side:
    """One of the two: its load, and what its database held before."""

    load: Load
    database: Database
    states: int = 0
    size: int = 0
    begin: int = 0

    def mark(self) -> None:
        """Note where it stands."""
        self.states, self.size = self.database.count(), self.database.size()
        self.begin = self.load.step

    @property
    def state_bytes(self) -> float:
        """What a state takes since then, with its indexes."""
        return (self.database.size() - self.size) / (self.database.count() - self.states)


def missing(written: Sequence[float], told: Sequence[float]) -> int:
    """Return how many values that were told in this order are not among what was written.

    Raises ValueError where something is written that was not told, or in another order.
    """
    found = 0
    for value in told:
        if found < len(written) and abs(written[found] - value) < _NEAR:
            found += 1
    if found < len(written):
        raise ValueError(f"written and never told: {written[found]}")
    return len(told) - found


def _lost(side: Side, before: Mapping[str, int]) -> int:
    """Return how many states of the cabinets were sent and are not in the database."""
    steps = range(side.begin + 1, side.load.step + 1)
    values = [cabinet_values(step) for step in steps]
    lost = 0
    for entity_id, states in side.database.states(before).items():
        written = [float(state) for state in states[before[entity_id] :]]
        key = _TOLD.get(entity_id.split("_", 2)[2])
        if key is None:
            lost += len(steps) - len(written)
        else:
            lost += missing(written, [float(each[key]) for each in values])
    return lost


def _counts(side: Side) -> dict[str, int]:
    """Return the number of states of each sensor that every report changes."""
    entity_ids = [
        f"sensor.{side.load.house.design.entity}_{meter.number}_{name}"
        for meter in side.load.cabinets
        for name in (*_TOLD, _POWER)
    ]
    return {name: len(found) for name, found in side.database.states(entity_ids).items()}


async def _side(stack: AsyncExitStack, folder: Path, url: str = "") -> Side:
    all_meters = meters(METERS)
    cabinets = [meter for meter in all_meters if meter.spec is CABINET]
    # A broker for each: both have the same gateway, and would get each other's reports.
    broker = Mosquitto(folder.with_suffix(".broker"), log_types=("error",))
    await broker.start()
    stack.push_async_callback(broker.stop)
    await stack.enter_async_context(answering(broker))
    await grow(METERS)
    design = integration(broker, all_meters)
    known = storage(METERS, last_report=False)
    house = House(folder, design, recorder=True, database=url, storage=known)
    await house.start()
    stack.push_async_callback(house.stop)
    load = Load(house, broker, cabinets, rounded(REPORTS, len(cabinets)))
    await load.introduce()
    await load.send(load.reports)  # to warm up
    await load.check()
    await house.ask("recorded")
    return Side(load, Database(url or f"sqlite:///{folder / 'home-assistant_v2.db'}"))


async def _restart(side: Side, postgres: Postgres) -> tuple[int, int]:
    """Return how many states were sent around a restart of the server, and how many are lost."""
    before = _counts(side)
    side.mark()
    reports = rounded(round((BEFORE_S + AWAY_S + AFTER_S) * RATE), len(side.load.cabinets))
    sending = asyncio.create_task(side.load.send(reports, RATE))
    await asyncio.sleep(BEFORE_S)
    await postgres.stop()
    await asyncio.sleep(AWAY_S)
    await postgres.start()
    await sending
    await side.load.house.ask("recorded")
    return reports * STATES, _lost(side, before)


async def _measure(results: Results, where: Path) -> None:
    add = results.add
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        # A folder of its own: ours cannot be entered by the user that the server runs as.
        server = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
        postgres = Postgres(server, where)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        sides = {
            "SQLite": await _side(stack, folder / "sqlite"),
            "PostgreSQL": await _side(stack, folder / "postgres", postgres.url),
        }
        before = {name: _counts(side) for name, side in sides.items()}
        for side in sides.values():
            side.mark()
        server_ms: list[float] = []
        for _ in range(ROUNDS):
            for name, side in sides.items():
                begin_s = postgres.cpu_s
                await side.load.measure()
                if name == "PostgreSQL":
                    server_ms.append((postgres.cpu_s - begin_s) / side.load.reports * 1000)
        for name, side in sides.items():
            cost = Spread(tuple(side.load.costs_ms))
            label = f"recorder on {name}: CPU of Home Assistant a report"
            add(Figure("scale", label, cost.median, "ms", note=f"± {cost.half_range:.3f}"))
        cost = Spread(tuple(server_ms))
        label = "recorder on PostgreSQL: CPU of the server a report"
        add(Figure("scale", label, cost.median, "ms", note=f"± {cost.half_range:.3f}"))
        for name, side in sides.items():
            sent = ROUNDS * side.load.reports * STATES
            note = f"of {sent}, and all have the values that were sent"
            lost = _lost(side, before[name])
            add(Figure("scale", f"recorder on {name}: states missing", lost, "", 0, note=note))
            label = f"recorder on {name}: bytes a state, with its indexes"
            add(Figure("scale", label, side.state_bytes, "B"))
        sent, lost = await _restart(sides["PostgreSQL"], postgres)
        note = f"of {sent} at {RATE * STATES} a second; it was away for {AWAY_S:.0f} s"
        add(Figure("scale", "PostgreSQL restarted: states lost", lost, note=note))


def run(results: Results) -> None:
    """Measure, where PostgreSQL is installed."""
    if where := programs():
        asyncio.run(_measure(results, where))
    else:
        print("  PostgreSQL is left out, it is not installed; next: apt-get install postgresql")
