"""The small version for every change: ratios of counted instructions, never of times.

What is counted is what Python executes, so a busy machine changes nothing; what C code does inside
one instruction is not seen. The bounds stand a little above what was counted when they were set.
"""

import asyncio
from contextlib import AsyncExitStack

from custom_components.hy_heating.hyheat.devices import CABINET, HOUSEHOLD_VALVE

from .components.bench_probe.opcodes import Opcodes
from .decode import ours
from .gateways import site
from .grown import grow, storage
from .house import House, floor, integration
from .path import Load, Make
from .payloads import Meter, gateway_id, meters
from .report import Figure, Results

DECODE_BOUND = {CABINET.key: 450.0, HOUSEHOLD_VALVE.key: 320.0}
"""Instructions for a report; counted: 411 and 287."""
PATH_BOUND = 1.55
"""Counted: 1.45."""
FLAT_BOUND = 1.05
"""Counted: 1.00."""
REPORTS = 100
_ROOT = "_take"
"""What gets a message, in the integration (links/client.py) and in the floor."""


def _decode(results: Results) -> None:
    for spec in (CABINET, HOUSEHOLD_VALVE):
        payloads = [Meter(gateway_id(1), spec, "27100583").payload(step) for step in range(200)]
        for payload in payloads[:100]:
            ours(payload)
        counter = Opcodes({"ours"})
        counter.begin()
        for payload in payloads[100:]:
            ours(payload)
        counter.end()
        bound = DECODE_BOUND[spec.key]
        results.add(
            Figure("check", f"{spec.name}: instructions to decode", counter.each, "", bound)
        )


async def _path(make: Make, size: int) -> float:
    """Return the instructions for a report in a real Home Assistant."""
    all_meters = meters(size)
    cabinets = [meter for meter in all_meters if meter.spec is CABINET]
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        await grow(size)
        known = storage(size, last_report=False) if make is integration else None
        house = House(folder / "check", make(broker, all_meters), storage=known)
        await house.start()
        stack.push_async_callback(house.kill)
        load = Load(house, broker, cabinets, REPORTS)
        await load.introduce()
        await load.send(REPORTS)
        await load.check()
        await house.ask("instructions", _ROOT)
        await load.send(REPORTS)
        return float(await house.ask("instructed"))


def run(results: Results) -> None:
    """Count, and compare."""
    _decode(results)
    mine = {size: asyncio.run(_path(integration, size)) for size in (5, 101)}
    least = asyncio.run(_path(floor, 5))
    add = results.add
    add(Figure("check", "floor: instructions a report, to the states", least))
    add(Figure("check", "integration: the same", mine[5]))
    add(Figure("check", "times the floor", mine[5] / least, "", PATH_BOUND))
    add(Figure("check", "101 meters beside 5", mine[101] / mine[5], "", FLAT_BOUND))
