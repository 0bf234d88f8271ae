"""Storages of houses whose meters have all reported, so that only one house must learn them."""

from contextlib import AsyncExitStack
import json
from pathlib import Path
import shutil
from tempfile import TemporaryDirectory

from .gateways import site
from .house import House, integration
from .payloads import meters

ARRIVAL_S = 300.0
_FOLDER = TemporaryDirectory(prefix="hy_bench_")  # it goes with the process
_STATES: dict[int, int] = {}


def storage(size: int, *, last_report: bool = True) -> Path:
    """Return where the storage of a house with so many meters is, once it has grown.

    With "last report" disabled each report changes six states, as it does in other designs.
    """
    grown = Path(_FOLDER.name) / str(size)
    if last_report:
        return grown
    folder = grown.with_name(f"{size}-six")
    if not folder.exists():
        shutil.copytree(grown, folder)
        _disable(folder, "last_report")
    return folder


async def grow(size: int) -> int:
    """Let a house learn so many meters, unless one has; return how many states it had."""
    if size in _STATES:
        return _STATES[size]
    all_meters = meters(size)
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        house = House(folder / "house", integration(broker, all_meters))
        await house.start()
        async with broker.client() as client:
            for meter in all_meters:
                await client.publish(house.topic(meter), meter.payload(0), qos=1)
        await house.ask("wait_valves", len(all_meters), ARRIVAL_S)  # every meter has one
        told = await house.ask("running")
        await house.stop()
        # Each house has a broker and a port of its own.
        own = shutil.ignore_patterns("core.config_entries", "http")
        shutil.copytree(folder / "house" / ".storage", storage(size), ignore=own)
    _STATES[size] = int(told["states"])
    return _STATES[size]


def _disable(folder: Path, name: str) -> None:
    """Disable an entity of every meter."""
    path = folder / "core.entity_registry"
    stored = json.loads(path.read_text(encoding="utf-8"))
    for entity in stored["data"]["entities"]:
        if entity["unique_id"].endswith(f"_{name}"):
            entity["disabled_by"] = "user"
    path.write_text(json.dumps(stored), encoding="utf-8")
