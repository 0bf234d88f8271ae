"""A valve travels linearly, wherever it was."""

import pytest

from simulator.motion import Motion


def test_it_travels_in_proportion_to_the_way() -> None:
    motion = Motion(100.0, full_travel_s=60.0)
    motion.move(50.0, now=1000.0)  # half the way: 30 s
    assert motion.arrives_at == 1030.0
    assert motion.opening_pct(1000.0) == 100.0
    assert motion.opening_pct(1015.0) == pytest.approx(75.0)
    assert motion.is_moving(1029.9)
    assert not motion.is_moving(1030.0)
    assert motion.opening_pct(1030.0) == 50.0
    assert motion.opening_pct(99_999.0) == 50.0


def test_a_new_target_on_the_way_starts_from_where_it_is() -> None:
    motion = Motion(0.0, full_travel_s=100.0)
    motion.move(100.0, now=0.0)
    motion.move(0.0, now=40.0)  # at 40 %: 40 s back
    assert motion.opening_pct(60.0) == pytest.approx(20.0)
    assert motion.arrives_at == pytest.approx(80.0)


def test_without_travel_time_or_way_it_is_there_at_once() -> None:
    instant = Motion(0.0, full_travel_s=0.0)
    instant.move(70.0, now=5.0)
    assert instant.opening_pct(5.0) == 70.0
    here = Motion(30.0, full_travel_s=60.0)
    here.move(30.0, now=5.0)
    assert not here.is_moving(5.0)
    assert here.opening_pct(5.0) == 30.0
