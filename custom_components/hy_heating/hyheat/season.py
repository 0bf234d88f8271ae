"""The heating season and the silence that it allows.

May import: standard library, envelope. Dates and times are arguments: no clock in here.
"""

from calendar import isleap
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from statistics import median

from .envelope import MonthDay

_FEBRUARY = 2
_LEAP_DAY = 29
REPORTS_TO_LEARN = 3
"""So many reports show a meter's own rhythm."""


def _in_year(day: MonthDay, year: int) -> date:
    """Return a season's end date in a year; 29 February is the 28th where there is none."""
    if (day.month, day.day) == (_FEBRUARY, _LEAP_DAY) and not isleap(year):
        return date(year, _FEBRUARY, _LEAP_DAY - 1)
    return date(year, day.month, day.day)


def in_season(today: date, start: MonthDay, end: MonthDay) -> bool:
    """Whether a day is in the heating season: both ends included, wrapping the new year."""
    first, last = _in_year(start, today.year), _in_year(end, today.year)
    if first <= last:
        return first <= today <= last
    return today >= first or today <= last


def expected_interval_s(
    heating: bool | None,
    in_season_s: float,
    out_of_season_s: float,
    received_s: Sequence[float],
) -> float:
    """Return how long a meter may reasonably be silent between two reports, in seconds.

    Out of season, and while the season is unknown, the longer setting counts until three reports
    were received at the monotonic times `received_s`; then the median of the gaps between them,
    if that is shorter.
    """
    if heating:
        return in_season_s
    if len(received_s) < REPORTS_TO_LEARN:
        return out_of_season_s
    gaps = [later - earlier for earlier, later in pairwise(received_s)]
    return min(out_of_season_s, max(median(gaps), in_season_s))
