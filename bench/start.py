"""From the start of the process to the last restored entity, and what it takes in memory."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
import json
from pathlib import Path
from typing import Any

from tests.e2e.mosquitto import USERNAME, Mosquitto

from .gateways import site
from .grown import grow, storage
from .house import Design, House, integration
from .payloads import meters
from .report import Figure, Results

TIME_GOAL, MEMORY_GOAL_KB, USABLE_GOAL_S = 0.5, 20.0, 60.0
SIZES = (101, 1010, 10_100)
ARRIVAL_S = 300.0
MOST_PER_ENTRY = 10_000
"""Home Assistant registers no more entities for one config entry, so core mqtt ends there."""


def _core_discovery(broker: Mosquitto) -> Design:
    data = {
        "broker": "127.0.0.1",
        "port": broker.port,
        "username": USERNAME,
        "password": broker.password,
        "discovery": True,
        "discovery_prefix": "homeassistant",
    }
    entry = dict(integration(broker, meters(5)).entries[0])
    entry |= {"domain": "mqtt", "entry_id": "mqtt", "unique_id": "mqtt", "data": data}
    return Design("core mqtt", "core/gw", "core", (entry,))


def _discoveries(count: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield so many sensors for core mqtt, twelve on each device."""
    for number in range(count):
        device = {"identifiers": [f"device_{number // 12}"], "name": f"Device {number // 12}"}
        yield (
            f"homeassistant/sensor/bench_{number}/config",
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


async def _restored(broker: Mosquitto, folder: Path, size: int) -> dict[str, float]:
    """Return how a second start stood, with all that the first run had learned."""
    states = await grow(size)
    design = integration(broker, meters(size))
    house = House(folder / f"start-{size}", design, storage=storage(size))
    told = await house.start()
    await _wait_for_states(house, states, 0)  # so all of it was told
    await house.kill()
    return told


async def _wait_for_states(house: House, count: int, timeout_s: float = ARRIVAL_S) -> None:
    """Wait until there are so many states of entities; raises RuntimeError."""
    if (there := await house.ask("wait_states", count, timeout_s)) < count:
        raise RuntimeError(f"{there} of {count} states:\n{house.hass.log[-2000:]}")


async def _discovered(broker: Mosquitto, folder: Path, count: int) -> dict[str, float]:
    """Return how a second start of core mqtt stood when it had so many entities."""
    async with broker.client() as client:
        for topic, config in _discoveries(count):
            await client.publish(topic, json.dumps(config), qos=1, retain=True)
    told: dict[str, float] = {}
    for _ in range(2):
        house = House(folder / f"core-{count}", _core_discovery(broker))
        await house.start()
        await _wait_for_states(house, count)
        told = await house.ask("running")
        await house.stop()
    async with broker.client() as client:
        for topic, _ in _discoveries(count):
            await client.publish(topic, b"", qos=1, retain=True)
    return told


async def _measure(results: Results, sizes: Sequence[int]) -> None:
    add = results.add
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        empty = House(folder / "empty", Design("empty", "", "", ()))
        await empty.start()
        await empty.stop()
        empty = House(folder / "empty", Design("empty", "", "", ()))
        bare = await empty.start()
        await empty.stop()
        add(Figure("start", "Home Assistant with nothing in it", bare["settled_s"], "s"))
        core_bare = await _discovered(broker, folder, 0)
        core_each_ms = 0.0
        for size in sizes:
            told = await _restored(broker, folder, size)
            entities = int(told["states"])
            took_s = told["settled_s"] - bare["settled_s"]
            name = f"{size} meters, {entities} entities"
            goal = USABLE_GOAL_S if size == SIZES[-1] else None
            add(Figure("start", f"{name}: running after", told["running_s"], "s", goal))
            add(Figure("start", f"{name}: set up in", took_s, "s"))
            results.point("start", "integration", entities, took_s)
            each_kb = (told["rss_mb"] - bare["rss_mb"]) * 1024 / entities
            note = f"{told['rss_mb']:.0f} MB in all, {bare['rss_mb']:.0f} MB with nothing in it"
            add(
                Figure(
                    "start", f"{name}: memory an entity", each_kb, "KB", MEMORY_GOAL_KB, note=note
                )
            )
            if entities < MOST_PER_ENTRY:
                # Without what it takes to load core mqtt itself, whose platforms are many.
                core = await _discovered(broker, folder, entities)
                core_s = core["settled_s"] - core_bare["settled_s"]
                core_kb = (core["rss_mb"] - bare["rss_mb"]) * 1024 / entities
                add(Figure("start", f"{name}: the same of core mqtt", core_kb, "KB"))
                results.point("start", "core mqtt discovery", entities, core_s)
                note = f"core mqtt {core_s:.1f} s"
                ratio = took_s / core_s
                add(Figure("start", f"{name}: time of core mqtt", ratio, "×", TIME_GOAL, note=note))
                core_each_ms = core_s / entities * 1000
            elif core_each_ms:
                note = f"by its {core_each_ms:.2f} ms an entity of the size before"
                ratio = took_s * 1000 / entities / core_each_ms
                add(Figure("start", f"{name}: time of core mqtt", ratio, "×", TIME_GOAL, note=note))


def run(results: Results, sizes: Sequence[int] = SIZES) -> None:
    """Measure all sizes."""
    asyncio.run(_measure(results, sizes))
