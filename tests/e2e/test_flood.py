"""5 000 messages a second on a topic of ours: the event loop answers, memory stays, reports count.

Garbage of every kind, and reports that are good in every byte but of meters that do not exist.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from hass_api import wait_for
import pytest
import pytest_asyncio

from custom_components.hy_heating.hyheat.envelope import report_topic

from .figures import LONG, Figures, only_long
from .flood import Flood, garbage, inventions
from .house import WatchedHouse
from .ledger import (
    GATEWAY,
    REPORT_EVERY_S,
    Account,
    Commander,
    WatchedSimulator,
    access,
    busy_building,
)
from .mosquitto import Mosquitto
from .vectors import FRAMES

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

RATE_PER_S = 5_000
DURATION_S = 60 if LONG else 15
WARM_UP_S = 5
MAX_STALL_S = 0.1
MAX_STALL_OF_REGISTRIES_S = 0.25
MAX_GROWTH_BYTES = 8 * 1024 * 1024
INVENTED_PER_S = 25
INVENTED_S = 40
MAX_METERS = 512
GOOD = str(FRAMES["valve_report_A"]["hex"])
VALVES = 20
CABINETS = 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker(folder: Path) -> AsyncIterator[Mosquitto]:
    """Run a broker that does not log every message."""
    mosquitto = Mosquitto(folder / "mosquitto", log_types=("error", "warning", "notice"))
    await mosquitto.start()
    yield mosquitto
    await mosquitto.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(folder: Path, broker: Mosquitto) -> AsyncIterator[WatchedHouse]:
    """Run a watched Home Assistant without entries."""
    house = WatchedHouse(folder / "homeassistant", broker)
    try:
        await house.start()
        yield house
    finally:
        await house.stop()
    # Each kind of refusal is logged once for each meter, and nothing else is complained about.
    expected = (r"hyheat\.client\].*refused what was received", r"refused more than 512 meters")
    assert [record.text for record in house.complaints(expected)] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator(house: WatchedHouse, broker: Mosquitto) -> AsyncIterator[WatchedSimulator]:
    """Run a registered building that reports often."""
    scenario = busy_building(valves=VALVES, cabinets=CABINETS)
    async with WatchedSimulator(scenario, access(broker)) as simulator:
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        await house.add_answering_gateway(GATEWAY, "Flooded")
        for valve in simulator.valves():
            await house.wait_state(f"{GATEWAY}_{valve}_valve", bool)
        yield simulator


async def watch(house: WatchedHouse, flood: asyncio.Task[None]) -> list[dict[str, Any]]:
    """Return the figures of every second of a flood."""
    await house.reset_figures()
    figures = []
    while not flood.done():
        await asyncio.sleep(1)
        figures.append(await house.figures())
    await flood
    return figures


async def settled(house: WatchedHouse) -> dict[str, Any]:
    """Return the figures once nothing more is refused."""
    before = -1

    async def fetch() -> dict[str, Any]:
        nonlocal before
        figures = await house.figures()
        total = sum(figures["refusals"].values())
        figures["settled"], before = total == before, total
        return figures

    return await wait_for(fetch, lambda figures: figures["settled"], timeout_s=30, pause_s=1)


def add_row(
    figures: Figures,
    name: str,
    duration_s: float,
    flood: Flood,
    seconds: list[dict[str, Any]],
    growth: int,
    columns: Mapping[str, object],
) -> None:
    last = seconds[-1]
    measured = {
        "messages/s": round(flood.sent / duration_s),
        "seconds": duration_s,
        "worst stall, ms": 1000 * last["worst_own_s"],
        "but collections": 1000 * last["worst_rest_s"],
        "by the clock": 1000 * last["worst_s"],
        "memory, MB": growth / 1e6,
        "processor, %": 100 * last["cpu_share"],
    }
    figures.add("Flood", name, measured | dict(columns))


async def test_garbage(
    house: WatchedHouse, broker: Mosquitto, simulator: WatchedSimulator, figures: Figures
) -> None:
    account, commander = Account(simulator, house), Commander(house, simulator)
    flood = Flood(broker.port, broker.password, GATEWAY, garbage(GATEWAY, GOOD))
    publishing = asyncio.create_task(flood.run(RATE_PER_S, DURATION_S))
    async with commander.giving(every_s=2.0):
        seconds = await watch(house, publishing)
    after = await settled(house)
    reports = await account.close()
    growth = max(each["rss_bytes"] for each in seconds) - seconds[WARM_UP_S]["rss_bytes"]
    add_row(
        figures, "garbage", DURATION_S, flood, seconds, growth, {**reports, **commander.columns}
    )
    assert flood.sent > 0.95 * RATE_PER_S * DURATION_S, "the flood was no flood"
    assert sum(after["refusals"].values()) >= flood.sent, "all of it was heard, and refused"
    assert seconds[-1]["worst_own_s"] < MAX_STALL_S
    assert growth < MAX_GROWTH_BYTES
    assert reports["lost"] == 0
    assert reports["taken"] > 0.5 * (VALVES + CABINETS) * DURATION_S / REPORT_EVERY_S
    assert commander.outcomes.keys() == {"verified"}


async def test_what_was_retained_is_refused_and_nothing_of_it_stays(
    house: WatchedHouse, broker: Mosquitto, simulator: WatchedSimulator
) -> None:
    (entry,) = await house.api.entries()
    await house.api.reload_entry(entry["entry_id"])

    async def refusals() -> dict[str, int]:
        told: dict[str, int] = (await house.figures())["refusals"]
        return told

    await wait_for(refusals, lambda told: told == {"retained": 1})
    async with broker.client() as client:
        await client.publish(report_topic(GATEWAY), b"", qos=1, retain=True)
    account = Account(simulator, house)
    await asyncio.sleep(REPORT_EVERY_S)
    assert (await account.close())["lost"] == 0


@only_long
async def test_invented_meters(
    house: WatchedHouse, broker: Mosquitto, simulator: WatchedSimulator, figures: Figures
) -> None:
    """Each costs a device and its entities, until there are as many as no bus has."""
    account, commander = Account(simulator, house), Commander(house, simulator)
    flood = Flood(broker.port, broker.password, GATEWAY, inventions(GATEWAY, GOOD))
    publishing = asyncio.create_task(flood.run(INVENTED_PER_S, INVENTED_S))
    async with commander.giving(every_s=2.0):
        seconds = await watch(house, publishing)
    reports = await account.close()
    devices = len(await house.api.devices())
    growth = seconds[-1]["rss_bytes"] - seconds[0]["rss_bytes"]
    columns = {**reports, **commander.columns}
    add_row(figures, "invented meters", INVENTED_S, flood, seconds, growth, columns)
    assert devices == MAX_METERS + 1  # with the gateway
    # So many new entities have Python walk over all objects of Home Assistant (0.3 s, whoever
    # brings them), and Home Assistant write down its registries.
    assert seconds[-1]["worst_rest_s"] < MAX_STALL_OF_REGISTRIES_S
    assert reports["lost"] == 0
    assert commander.outcomes.keys() == {"verified"}
