"""Rows of the recorder for a day of one gateway, counted in its database."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
import sqlite3

from custom_components.hy_heating.hyheat.devices import CABINET

from .gateways import site
from .grown import grow, storage
from .house import House, integration
from .path import Load
from .payloads import meters
from .report import Figure, Results

METERS = 101
READINGS_A_DAY = 144
"""Of the cabinets, every ten minutes; the household valves report with every sixth."""
VALVES_EVERY = 6
PLAYED = 24
"""Readings that are played, four hours: a day's are six times as many."""
PAUSE_S = 1.1
"""Between two readings: "last report" has whole seconds."""
SEASON_DAYS = 243
"""1 September to 1 May, as captured."""
KEPT_DAYS = 10
"""How long the recorder keeps states and five-minute statistics unless told otherwise."""
SHORT_TERM_A_DAY, LONG_TERM_A_DAY = 288, 24
_SAMPLE_ROWS = 50_000


def _used(connection: sqlite3.Connection) -> int:
    """Return the bytes in use."""
    pages, free, size = (
        int(connection.execute(f"pragma {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _count(database: Path) -> tuple[int, int]:
    """Return the number of states, and of bytes in use."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        (rows,) = connection.execute("select count(*) from states").fetchone()
        return int(rows), _used(connection)


def _statistics_row_bytes(database: Path) -> float:
    """Return what a row of statistics takes with its indexes, by filling the recorder's tables."""
    with sqlite3.connect(database) as connection:
        connection.execute("insert or ignore into statistics_meta (statistic_id) values ('bench')")
        (meta,) = connection.execute("select max(id) from statistics_meta").fetchone()
        before = _used(connection)
        connection.executemany(
            "insert into statistics (created_ts, start_ts, metadata_id, mean, min, max, state, sum)"
            " values (?, ?, ?, 20.25, 19.75, 21.5, 45323.12, 323.12)",
            ((1.7e9 + 3600 * row + 10.2, 1.7e9 + 3600 * row, meta) for row in range(_SAMPLE_ROWS)),
        )
        connection.commit()
        return (_used(connection) - before) / _SAMPLE_ROWS


async def _measure(results: Results) -> None:
    async with AsyncExitStack() as stack:
        folder, broker = await site(stack)
        all_meters = meters(METERS)
        cabinets = [meter for meter in all_meters if meter.spec is CABINET]
        await grow(METERS)
        design = integration(broker, all_meters)
        house = House(folder / "rows", design, recorder=True, storage=storage(METERS))
        await house.start()
        load = Load(house, broker, cabinets, 0)
        await load.introduce()
        await house.ask("recorded")
        before = _count(house.folder / "home-assistant_v2.db")
        for reading in range(PLAYED):
            reporting = all_meters if reading % VALVES_EVERY == 0 else cabinets
            await load.send_to_all(reporting, 10_000)
            await asyncio.sleep(PAUSE_S)
        await house.ask("recorded")
        after = _count(house.folder / "home-assistant_v2.db")
        kept = (await house.ask("recording"))["statistics"]
        await house.stop()
        statistics_bytes = _statistics_row_bytes(house.folder / "home-assistant_v2.db")
    days = PLAYED / READINGS_A_DAY
    states = (after[0] - before[0]) / days
    row_bytes = (after[1] - before[1]) / (after[0] - before[0])
    long_term = kept * LONG_TERM_A_DAY
    short_term = kept * SHORT_TERM_A_DAY
    add = results.add
    every = "every value new in every report"
    add(Figure("rows", "states a day and gateway", states, note=every))
    add(Figure("rows", "bytes a state, with its indexes", row_bytes, "B"))
    note = f"{kept} sensors with long-term statistics"
    add(Figure("rows", "bytes a row of statistics", statistics_bytes, "B"))
    add(Figure("rows", "five-minute statistics a day and gateway", short_term, note=note))
    add(Figure("rows", "hourly statistics a day and gateway", long_term))
    for gateways in (1, 10, 100):
        for_days = states * row_bytes + short_term * statistics_bytes
        kept_mb = gateways * KEPT_DAYS * for_days / 2**20
        season_mb = gateways * SEASON_DAYS * long_term * statistics_bytes / 2**20
        season_note = f"and {season_mb:.0f} MB more for each season, for ever"
        name = f"{gateways} gateways: database of {KEPT_DAYS} days"
        add(Figure("rows", name, kept_mb, "MB", note=season_note))


def run(results: Results) -> None:
    """Count."""
    asyncio.run(_measure(results))
