"""The heating season and the timetable of reports, on the gateway's local calendar."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain

from custom_components.hy_heating.hyheat.envelope import MonthDay

_DAY_S = 86_400
_EPOCH = date(1970, 1, 1)


def _day_of_year(day: MonthDay, year: int) -> date:
    """Return a day in a year; 29 February means the 28th where there is none."""
    try:
        return date(year, day.month, day.day)
    except ValueError:
        return date(year, day.month, day.day - 1)


@dataclass(slots=True)
class Season:
    """The days from `start` to `end`, both inclusive, every year; it may wrap the new year."""

    start: MonthDay
    end: MonthDay
    utc_offset_s: float = 0.0
    _known_day: int = field(default=-1, init=False, repr=False, compare=False)
    _known_answer: bool = field(default=False, init=False, repr=False, compare=False)

    def local_time(self, now: float) -> datetime:
        """Return the local time, without a zone."""
        return datetime.fromtimestamp(now + self.utc_offset_s, UTC).replace(tzinfo=None)

    def contains(self, now: float) -> bool:
        """Whether a time is in the season."""
        day = int((now + self.utc_offset_s) // _DAY_S)
        if day != self._known_day:  # asked for every step of every loop: once a day is enough
            self._known_day, self._known_answer = day, self._contains_day(day)
        return self._known_answer

    def next_change(self, now: float) -> float:
        """Return the first local midnight after a time at which the season begins or is over."""
        year = self.local_time(now).year
        midnights = chain.from_iterable(
            (
                self._midnight(_day_of_year(self.start, each)),
                self._midnight(_day_of_year(self.end, each) + timedelta(days=1)),
            )
            for each in (year - 1, year, year + 1)
        )
        return min(midnight for midnight in midnights if midnight > now)

    def _contains_day(self, day_number: int) -> bool:
        day = _EPOCH + timedelta(days=day_number)
        start, end = _day_of_year(self.start, day.year), _day_of_year(self.end, day.year)
        return start <= day <= end if start <= end else day >= start or day <= end

    def _midnight(self, day: date) -> float:
        return (day - _EPOCH).days * _DAY_S - self.utc_offset_s


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often meters of one kind are reported: an interval in and one out of the season."""

    in_season_s: float
    out_of_season_s: float
    season: Season

    def next_slot(self, now: float, phase: float) -> float:
        """Return the next time on the grid of the interval in force, shifted by 0 <= phase < 1.

        A change of season on the way changes the grid from that moment on.
        """
        slot = self._slot(now, now, phase)
        if self.in_season_s == self.out_of_season_s:
            return slot
        change = self.season.next_change(now)
        return slot if slot < change else self._slot(change, change, phase)

    def _slot(self, after: float, valid_at: float, phase: float) -> float:
        in_season = self.season.contains(valid_at)
        interval = self.in_season_s if in_season else self.out_of_season_s
        slot = ((after - phase * interval) // interval + 1 + phase) * interval
        return slot if slot > after else slot + interval  # rounding can land on `after` itself
