"""The season and the grid of reports, by the local calendar."""

from datetime import UTC, datetime

import pytest

from custom_components.hy_heating.hyheat.envelope import MonthDay
from simulator.season import Rhythm, Season

CAPTURED = Season(MonthDay(9, 1), MonthDay(5, 1), utc_offset_s=8 * 3600)


def local(text: str, offset_h: int = 8) -> float:
    """Return the time of a local date and time."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() - offset_h * 3600


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2026-08-31T23:59:59", False),
        ("2026-09-01T00:00:00", True),
        ("2026-12-31T23:59:59", True),
        ("2027-01-01T00:00:00", True),
        ("2027-05-01T23:59:59", True),
        ("2027-05-02T00:00:00", False),
    ],
)
def test_both_ends_are_in_a_season_that_wraps_the_new_year(time: str, expected: bool) -> None:
    assert CAPTURED.contains(local(time)) is expected


def test_a_season_within_a_year_and_a_leap_day() -> None:
    spring = Season(MonthDay(2, 29), MonthDay(3, 10))
    for time, expected in (
        ("2027-02-27T12:00", False),
        ("2027-02-28T12:00", True),  # no 29th: it means the 28th
        ("2028-02-28T12:00", False),
        ("2028-02-29T12:00", True),
        ("2028-03-10T23:59", True),
        ("2028-03-11T00:00", False),
    ):
        assert spring.contains(local(time, 0)) is expected, time


def test_the_next_change_is_a_local_midnight() -> None:
    assert CAPTURED.next_change(local("2026-04-30T12:00")) == local("2026-05-02T00:00")
    assert CAPTURED.next_change(local("2026-05-02T00:00")) == local("2026-09-01T00:00")
    assert CAPTURED.next_change(local("2026-12-24T18:00")) == local("2027-05-02T00:00")


def test_slots_stand_on_a_grid_shifted_by_the_phase() -> None:
    rhythm = Rhythm(3600.0, 86_400.0, CAPTURED)
    noon = local("2026-01-15T12:00")
    assert rhythm.next_slot(noon, 0.0) == noon + 3600
    assert rhythm.next_slot(noon, 0.25) == noon + 900
    assert rhythm.next_slot(noon + 900, 0.25) == noon + 4500


def test_a_change_of_season_changes_the_grid_at_once() -> None:
    rhythm = Rhythm(3600.0, 86_400.0, CAPTURED)
    # The season is over at midnight; the daily grid stands on midnight UTC = 08:00 local.
    assert rhythm.next_slot(local("2026-05-01T23:30"), 0.0) == local("2026-05-02T08:00")
    # It begins at midnight: the first slot of the hourly grid after it, not the daily one.
    assert rhythm.next_slot(local("2026-08-31T20:00"), 0.0) == local("2026-09-01T01:00")
    assert (
        rhythm.next_slot(local("2026-08-31T20:00"), 0.5) == local("2026-08-31T20:00") + 4.5 * 3600
    )


@pytest.mark.parametrize("phase", [0.0, 1 / 3, 0.1, 95 / 96])
def test_a_slot_is_always_later_however_it_is_rounded(phase: float) -> None:
    rhythm = Rhythm(7.3, 7.3, CAPTURED)
    now = local("2026-01-15T12:00")
    for _ in range(2000):
        slot = rhythm.next_slot(now, phase)
        assert now < slot < now + 7.3 * 1.001
        now = slot
