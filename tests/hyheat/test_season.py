"""The heating season: both ends included, around the new year, through leap days."""

from datetime import date

import pytest

from custom_components.hy_heating.hyheat.envelope import MonthDay
from custom_components.hy_heating.hyheat.season import expected_interval_s, in_season

CAPTURED = MonthDay(9, 1), MonthDay(5, 1)


@pytest.mark.parametrize(
    ("day", "heating"),
    [
        (date(2024, 8, 31), False),
        (date(2024, 9, 1), True),
        (date(2024, 12, 31), True),
        (date(2025, 1, 1), True),
        (date(2025, 5, 1), True),
        (date(2025, 5, 2), False),
    ],
)
def test_the_captured_season_wraps_the_new_year(day: date, heating: bool) -> None:
    assert in_season(day, *CAPTURED) is heating


@pytest.mark.parametrize(
    ("day", "heating"),
    [
        (date(2024, 3, 1), False),
        (date(2024, 3, 2), True),
        (date(2024, 10, 8), True),
        (date(2024, 10, 9), False),
    ],
)
def test_a_season_within_one_year(day: date, heating: bool) -> None:
    assert in_season(day, MonthDay(3, 2), MonthDay(10, 8)) is heating


@pytest.mark.parametrize(
    ("day", "heating"),
    [(date(2024, 3, 1), False), (date(2024, 3, 2), True), (date(2024, 3, 3), False)],
)
def test_a_season_that_ends_as_it_begins_is_that_day(day: date, heating: bool) -> None:
    assert in_season(day, MonthDay(3, 2), MonthDay(3, 2)) is heating


def test_a_leap_day_is_28_february_in_other_years() -> None:
    start, end = MonthDay(10, 1), MonthDay(2, 29)
    assert in_season(date(2024, 2, 29), start, end)
    assert not in_season(date(2024, 3, 1), start, end)
    assert in_season(date(2025, 2, 28), start, end)
    assert not in_season(date(2025, 3, 1), start, end)


def test_the_silence_that_is_allowed() -> None:
    ten_minutes, day = 600.0, 86_400.0
    assert expected_interval_s(True, ten_minutes, day, []) == ten_minutes
    assert expected_interval_s(False, ten_minutes, day, []) == day
    assert expected_interval_s(None, ten_minutes, day, [0.0, 3600.0]) == day
    # Three reports an hour apart: its own rhythm.
    assert expected_interval_s(False, ten_minutes, day, [0.0, 3600.0, 7200.0]) == 3600.0
    # Readings on demand come in bursts and are no rhythm.
    assert expected_interval_s(False, ten_minutes, day, [0.0, 1.0, 2.0]) == ten_minutes
    # Slower than the setting says: the setting counts.
    assert expected_interval_s(False, ten_minutes, day, [0.0, 1e5, 2e5]) == day
