"""Percentiles, the time on the wire, and what of a sequence is missing."""

import pytest

from bench.commands import READ_S, SET_S, Bus, wire_s
from bench.latency import percentile
from bench.scale_history import missing


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (10, 1.0), (50, 3.0), (75, 4.0), (99, 5.0), (100, 5.0)]
)
def test_a_percentile_of_five(percent: float, value: float) -> None:
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], percent) == value


def test_a_percentile_leaves_the_values_as_they_are() -> None:
    values = [3.0, 1.0, 2.0]
    percentile(values, 50)
    assert values == [3.0, 1.0, 2.0]


def test_a_percentile_of_one() -> None:
    assert [percentile([7.0], percent) for percent in (0, 50, 99.9, 100)] == [7.0] * 4


def test_a_percentile_is_the_nearest_rank() -> None:
    assert percentile([float(number) for number in range(1, 101)], 99) == 99
    assert percentile([float(number) for number in range(1, 1001)], 99.9) == 999


def test_so_many_percent_do_not_exceed_a_percentile() -> None:
    values = [float(number) for number in range(1, 401)]
    for percent in (1, 50, 95, 99, 99.9):
        found = percentile(values, percent)
        assert sum(value <= found for value in values) >= percent * 4
        assert sum(value < found for value in values) <= percent * 4


def test_an_exchange_on_the_wire() -> None:
    # 4 bytes of preamble, 11 bits a byte at 2400 baud, and 50 ms until the device answers.
    assert wire_s(17, 17) == pytest.approx(38 * 11 / 2400 + 0.05)
    assert wire_s() == pytest.approx(0.0683333)
    assert wire_s(236) == pytest.approx(1.15)


def test_an_opening_and_a_read_on_the_wire() -> None:
    # 4 + 17 + 17 bytes are 418 bits, 4 + 16 + 58 are 858.
    assert pytest.approx(0.2241667) == SET_S
    assert pytest.approx(0.4075) == READ_S
    # The table of docs/PERFORMANCE.md.
    assert round(96 * SET_S, 1) == 21.5
    assert round(96 * (SET_S + READ_S), 1) == 60.6


def test_how_busy_a_bus_is() -> None:
    # Two openings and a read until the last opening had confirmed, 1 s after the begin:
    # 0.2242 + 0.2242 + 0.4075 = 0.8558 s. The bus waited 0.02 s and 0.03 s for its next command,
    # so 0.8558 of 0.9058 s. The read behind it does not count.
    answers = [(10.3, True), (10.8, False), (11.0, True), (12.0, False)]
    bus = Bus([10.0, 10.32, 10.83, 11.3], answers)
    assert bus.took_s == 1.0
    assert bus.needed_s == pytest.approx(0.8558333)
    assert bus.waited_s == pytest.approx(0.05)
    assert bus.busy == pytest.approx(94.48, abs=0.005)


def test_nothing_is_missing() -> None:
    assert missing([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) == 0
    assert missing([45.004], [45.0]) == 0
    assert missing([], []) == 0


def test_what_is_missing_is_counted() -> None:
    assert missing([], [1.0, 2.0]) == 2
    assert missing([1.0, 4.0], [1.0, 2.0, 3.0, 4.0]) == 2
    # Values that come again: 1 2 3 1 2 3 without the four in the middle.
    assert missing([1.0, 3.0], [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]) == 4


@pytest.mark.parametrize("written", [[5.0], [2.0, 1.0], [1.0, 2.0, 2.0], [1.02]])
def test_what_was_never_told_is_no_gap(written: list[float]) -> None:
    with pytest.raises(ValueError, match="never told"):
        missing(written, [1.0, 2.0])
