"""No room for what is to be kept: a real Home Assistant whose storage is a small file system."""

import asyncio
from collections.abc import AsyncIterator
import errno
import json
import os
from pathlib import Path
import shutil

from hass_api import wait_for
import pytest
import pytest_asyncio

from .figures import Figures
from .house import WatchedHouse
from .ledger import GATEWAY, Account, Stopwatch, WatchedSimulator, access, busy_building
from .mosquitto import Mosquitto

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTED_IN_LOG = (
    # Once for each file that could not be written: ours, and Home Assistant's own.
    r"No space left on device",
    r"Error writing config",
)
WRITTEN_WITHIN_S = 30
SIZE = "1m"
# The folder's content, then a file system of its own in its place, for this process only.
MOUNT = """\
cp -a "$0" "$0.before" && mount -t tmpfs -o size={size} tmpfs "$0" && cp -a "$0.before/." "$0" &&
exec "$@"
"""


def in_a_small_room(storage: Path) -> list[str | Path]:
    """Return what to put before a command that is to find little room in a folder."""
    unshare = shutil.which("unshare")
    assert unshare, "unshare is not installed (util-linux)"
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return [unshare, "--mount", *as_root, "sh", "-c", MOUNT.format(size=SIZE), storage]


def fill(path: Path) -> None:
    """Write to a file until there is no more room; raises OSError."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(folder: Path, broker: Mosquitto) -> AsyncIterator[WatchedHouse]:
    """Run a watched Home Assistant in a small room."""
    home = folder / "homeassistant"
    house = WatchedHouse(home, broker, launcher=in_a_small_room(home / ".storage"))
    try:
        await house.start()
        yield house
    finally:
        await house.stop()
    assert [record.text for record in house.complaints(EXPECTED_IN_LOG)] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator(house: WatchedHouse, broker: Mosquitto) -> AsyncIterator[WatchedSimulator]:
    """Run a registered building that reports often."""
    async with WatchedSimulator(busy_building(valves=20), access(broker)) as simulator:
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        await house.add_answering_gateway(GATEWAY, "Full")
        yield simulator


async def test_what_finds_no_room_is_written_when_there_is_some(
    house: WatchedHouse, simulator: WatchedSimulator, figures: Figures
) -> None:
    account = Account(simulator, house)
    (entry,) = await house.api.entries()
    process = Path(f"/proc/{(await house.figures())['pid']}")
    storage = process / "root" / house.hass.folder.relative_to("/") / ".storage"
    store = storage / f"hy_heating.{entry['entry_id']}"

    async def kept() -> dict[str, str]:
        """Return when each meter was last heard, by the file."""
        if not store.exists():
            return {}
        meters = json.loads(store.read_text(encoding="utf-8"))["data"]["meters"]
        return {number: meter["received"] for number, meter in meters.items()}

    full = len(simulator.fleet.gateways[GATEWAY].meters)
    before = await wait_for(kept, lambda meters: len(meters) == full, 2 * WRITTEN_WITHIN_S)

    ballast = storage / "ballast"
    with pytest.raises(OSError, match="space") as no_room:
        fill(ballast)
    assert no_room.value.errno == errno.ENOSPC

    async def complained() -> bool:
        return f"Error writing config for {store.name}" in house.hass.log

    await wait_for(complained, bool, 2 * WRITTEN_WITHIN_S)
    assert await kept() == before, "what was kept is not written over by half of something"
    for valve in simulator.valves():
        state = await house.state(f"{GATEWAY}_{valve}_valve")
        assert state
        assert state["state"] != "unavailable"

    ballast.unlink()
    watch = Stopwatch()
    await wait_for(
        kept,
        lambda meters: all(received > before[number] for number, received in meters.items()),
        WRITTEN_WITHIN_S + 10,
    )
    recovery_s = watch.passed_s
    reports = await account.close()
    figures.add("Fault", "no room for the store", {**reports, "recovery, s": recovery_s})
    assert reports["lost"] == 0
    assert recovery_s < WRITTEN_WITHIN_S
