"""How long entries take until their last restored entity is there, and what they take in memory.

In a Home Assistant that runs: its own start takes longer than what is to be measured, and each
time another time. Home Assistant registers no more than 10 000 entities for one config entry, where
core mqtt ends; so the largest house is started as it is, and compared by the time of an entity.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
import json
from pathlib import Path
import statistics
from tempfile import TemporaryDirectory
from typing import Any

from tests.e2e.mosquitto import USERNAME, Mosquitto

from .gateways import site
from .grown import grow, storage
from .house import Design, House, integration
from .payloads import meters
from .report import Figure, Results, Spread

TIME_GOAL, MEMORY_GOAL_KB, USABLE_GOAL_S = 0.5, 20.0, 60.0
SIZES = (101, 1010, 10_100)
ROUNDS = 3
ARRIVAL_S = 300.0


@dataclass(slots=True)
class Enabled:
    """What it took to enable the entries of a house, several times, and what was there then."""

    took_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)


def _core_discovery(broker: Mosquitto, count: int) -> Design:
    data = {
        "broker": "127.0.0.1",
        "port": broker.port,
        "username": USERNAME,
        "password": broker.password,
        "discovery": True,
        "discovery_prefix": f"discovery-{count}",
    }
    entry = dict(integration(broker, meters(5)).entries[0])
    entry |= {"domain": "mqtt", "entry_id": "mqtt", "unique_id": "mqtt", "data": data}
    return Design("core mqtt", "core/gw", "core", (entry,))


def _discoveries(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield so many sensors for core mqtt, twelve on each device."""
    for number in range(count):
        device = {"identifiers": [f"device_{number // 12}"], "name": f"Device {number // 12}"}
        yield (
            f"discovery-{count}/sensor/bench_{number}/config",
            {
                "name": f"Value {number % 12}",
                "unique_id": f"bench_{number}",
                "state_topic": f"bench/{number // 12}",
                "value_template": f"{{{{ value_json.v{number % 12} }}}}",
                "unit_of_measurement": "kWh",
                "device_class": "energy",
                "state_class": "total_increasing",
                "device": device,
            },
        )


def _switch_off(house: House) -> None:
    """Disable the entries of a house that does not run: they are set up when it is asked to."""
    path = house.folder / ".storage" / "core.config_entries"
    stored = json.loads(path.read_text(encoding="utf-8"))
    own = {entry["entry_id"] for entry in house.design.entries}
    for entry in stored["data"]["entries"]:
        if entry["entry_id"] in own:
            entry["disabled_by"] = "user"
    path.write_text(json.dumps(stored), encoding="utf-8")


async def _enable(house: House, count: int, enabled: Enabled) -> None:
    """Start a house and then enable its entries, until so many states live."""
    _switch_off(house)
    await house.start()
    domain = house.design.entries[0]["domain"]
    enabled.took_s.append(await house.ask("enable", domain, count, ARRIVAL_S))
    enabled.rss_mb.append((await house.ask("running"))["rss_mb"])
    await house.stop()


async def _started(folder: Path, design: Design, known: Path | None = None) -> dict[str, float]:
    """Return how a start stood; raises RuntimeError where ours was not set up by then."""
    house = House(folder, design, storage=known)
    told = await house.start()
    late = await house.ask("not_set_up", "hy_heating")
    await house.stop()
    if late:
        raise RuntimeError(f"not set up when all was told to be: {late}")
    return told


async def _announce(broker: Mosquitto, count: int) -> None:
    """Tell core mqtt of so many sensors."""
    async with broker.client() as client:
        for topic, config in _discoveries(count):
            await client.publish(topic, json.dumps(config), qos=1, retain=True)


async def _learned(folder: Path, design: Design, count: int) -> None:
    """Let core mqtt hear of its sensors for the first time."""
    house = House(folder, design)
    await house.start()
    there = await house.ask("wait_states", count, ARRIVAL_S)
    await house.stop()
    if there < count:
        raise RuntimeError(f"{there} of {count} states:\n{house.hass.log[-2000:]}")


@dataclass(slots=True)
class Measured:
    """All that was measured, by size: of ours, and of core mqtt (0: without any entity)."""

    entities: dict[int, int]
    bare: list[dict[str, float]] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)
    core: dict[int, Enabled] = field(default_factory=dict)
    mine: dict[int, Enabled] = field(default_factory=dict)


async def _measure(sizes: Sequence[int]) -> Measured:
    """Enable all of them in turns, but the largest, which is started as it is."""
    *small, largest = sizes
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        found = Measured({size: await grow(size) for size in sizes} | {0: 0})
        for size in (0, *small):
            count = found.entities[size]
            await _announce(broker, count)
            await _learned(folder / f"core-{size}", _core_discovery(broker, count), count)
            found.core[size] = Enabled()
        nothing = Design("empty", "", "", ())
        await _started(folder / "empty", nothing)
        found.mine = {size: Enabled() for size in small}
        for _ in range(ROUNDS):
            found.bare.append(await _started(folder / "empty", nothing))
            for size, enabled in found.core.items():
                count = found.entities[size]
                house = House(folder / f"core-{size}", _core_discovery(broker, count))
                await _enable(house, count, enabled)
            for size, enabled in found.mine.items():
                with TemporaryDirectory(dir=folder) as own:
                    design = integration(broker, meters(size))
                    house = House(Path(own), design, storage=storage(size))
                    await _enable(house, found.entities[size], enabled)
        design = integration(broker, meters(largest))
        found.largest = await _started(folder / "largest", design, storage(largest))
    return found


def report(results: Results, found: Measured) -> None:
    """Add all figures."""
    bare_s = Spread(tuple(told["settled_s"] for told in found.bare))
    bare_mb = statistics.median(told["rss_mb"] for told in found.bare)

    def add(name: str, value: float, unit: str, goal: float | None = None, note: str = "") -> None:
        results.add(Figure("start", name, value, unit, goal, note=note))

    def add_memory(name: str, rss_mb: float, count: int, goal: float | None = None) -> None:
        each_kb = (rss_mb - bare_mb) * 1024 / count
        note = f"{rss_mb:.0f} MB in all, {bare_mb:.0f} MB with nothing in it"
        add(name, each_kb, "KB", goal, note)

    note = f"± {bare_s.half_range:.2f}, {ROUNDS} starts"
    add("Home Assistant with nothing in it", bare_s.median, "s", note=note)
    core_each_s = 0.0
    for size, enabled in found.mine.items():
        count = found.entities[size]
        name = f"{size} meters, {count} entities"
        took_s = Spread(tuple(enabled.took_s))
        add(f"{name}: set up in", took_s.median, "s", note=f"± {took_s.half_range:.2f}")
        results.point("start", "integration", count, took_s.median)
        add_memory(
            f"{name}: memory an entity", statistics.median(enabled.rss_mb), count, MEMORY_GOAL_KB
        )
        core = found.core[size]
        add_memory(f"{name}: the same of core mqtt", statistics.median(core.rss_mb), count)
        # Without what it takes to load core mqtt itself, whose platforms are many.
        core_s = Spread(
            tuple(a - b for a, b in zip(core.took_s, found.core[0].took_s, strict=True))
        )
        core_each_s = core_s.median / count
        results.point("start", "core mqtt discovery", count, core_s.median)
        ratio, note = took_s.median / core_s.median, f"core mqtt {core_s.text(2)} s"
        add(f"{name}: time of core mqtt", ratio, "×", TIME_GOAL, note)
    size, told = max(found.entities), found.largest
    count = found.entities[size]
    name = f"{size} meters, {count} entities"
    took = told["settled_s"] - bare_s.median
    add(f"{name}: running after", told["running_s"], "s", USABLE_GOAL_S)
    add(f"{name}: set up in", took, "s")
    results.point("start", "integration", count, took)
    add_memory(f"{name}: memory an entity", told["rss_mb"], count, MEMORY_GOAL_KB)
    note = f"by its {core_each_s * 1000:.2f} ms an entity of the size before"
    add(f"{name}: time of core mqtt", took / (core_each_s * count), "×", TIME_GOAL, note)


def run(results: Results) -> None:
    """Measure all sizes."""
    report(results, asyncio.run(_measure(SIZES)))
