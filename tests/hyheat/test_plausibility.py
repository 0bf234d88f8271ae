"""What a meter counts is held back, dropped, reset, rolled over or taken.

The captured cabinet stands at 45 323.12 kWh (4 532 312 counts of 0.01 kWh) and 3 456.78 m³
(345 678 counts of 10 L). At most it can measure 1.163 × 200 × 100 = 23 260 kW, so 3 876.67 kWh
in ten minutes.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from fractions import Fraction
import json
import re
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.hy_heating.hyheat.devices import HOUSEHOLD_VALVE, counters
from custom_components.hy_heating.hyheat.devices.cabinet import CABINET
from custom_components.hy_heating.hyheat.model import MeterReading, Register, Value
from custom_components.hy_heating.hyheat.plausibility import (
    KEPT_COUNTERS,
    MAX_POWER_KW,
    Continued,
    Judgement,
    MeterMemory,
)
from tests.cabinets import GJ, KWH, MWH, cabinet

ENERGY = "heat_energy_kwh"
VOLUME = "volume_m3"
START = 4_532_312
TEN_MINUTES = 600.0
INVALID = b"\xff\xff\xff\xff"


class Meter:
    """Feeds one cabinet's energy register to a memory, a report every ten minutes."""

    def __init__(self, start: int = START, unit: int = KWH) -> None:
        self.memory = MeterMemory()
        self.now_s = 1_700_000_000.0
        assert self.send(start, unit) is not None

    def judge(
        self,
        counts: int | bytes,
        unit: int = KWH,
        after_s: float = TEN_MINUTES,
        *,
        direct: bool = False,
        **others: int,
    ) -> Judgement:
        self.now_s += after_s
        reading = cabinet({ENERGY: counts, **others}, {ENERGY: unit})
        return self.memory.judge(reading, self.now_s, direct=direct)

    def send(self, counts: int | bytes, unit: int = KWH, after_s: float = TEN_MINUTES) -> Value:
        """Return what is shown of the energy."""
        judged = self.judge(counts, unit, after_s)
        assert not judged.late
        return judged.values[ENERGY]

    def delivered_late(self) -> bool:
        return self.memory.delivered_late

    @property
    def is_reset(self) -> bool:
        return ENERGY in self.memory.resets


@pytest.fixture
def meter() -> Meter:
    return Meter()


def test_the_physical_maximum() -> None:
    assert pytest.approx(23_260) == MAX_POWER_KW


def test_registers_are_exact() -> None:
    # 0.01 GJ = 10 MJ = 10 / 3.6 kWh = 25/9 kWh; 163 163 of them are 453 230 5/9 kWh.
    found = counters(cabinet({ENERGY: 163_163}, {ENERGY: GJ}))
    assert found[ENERGY] == Register(163_163, 25, 9)
    assert Register(163_163, 25, 9).exact == Fraction(4_079_075, 9)
    assert Register(163_163, 25, 9).digit == Fraction(25, 9)
    assert found[VOLUME] == Register(345_678, 1, 100)
    assert found.keys() == set(CABINET.counters)
    assert counters(cabinet({ENERGY: INVALID}))[ENERGY] is None
    assert HOUSEHOLD_VALVE.counters == ()


def test_growth_within_the_bound_is_taken_at_once(meter: Meter) -> None:
    assert meter.send(START + 1) == 45_323.13
    assert meter.send(START + 1) == 45_323.13
    # 3 876.66 kWh more in ten minutes: just possible.
    assert meter.send(START + 1 + 387_666) == 49_199.79
    assert not meter.memory.resets


def test_exactly_what_is_possible_is_taken() -> None:
    # 23 260 kWh in an hour, and one digit of 10 kWh that was about to turn: 2 327 counts.
    meter = Meter(4_532, MWH)
    assert meter.send(4_532 + 2_327, MWH, after_s=3_600.0) == 68_590
    assert meter.send(4_532 + 2 * 2_327 + 1, MWH, after_s=3_600.0) == 68_590, "held"
    meter = Meter(4_532_000)  # the same in hundredths of a kWh
    assert meter.send(4_532 + 2_327, MWH, after_s=3_600.0) == 68_590


@pytest.mark.parametrize(
    "glitch",
    [
        pytest.param(0, id="zero"),
        pytest.param(START * 95 // 100, id="a dip of 5 %"),
        pytest.param(START - 1, id="a dip of one count"),
        pytest.param(START * 10, id="a tenfold spike"),
        pytest.param(START + 387_669, id="a bit more than possible"),
        pytest.param(99_999_999, id="the end of the register"),
    ],
)
def test_a_single_wrong_value_is_held_back_and_dropped(meter: Meter, glitch: int) -> None:
    assert meter.send(glitch) == 45_323.12
    assert meter.send(START + 5) == 45_323.17
    assert meter.memory.counters[ENERGY].suspect is None
    assert not meter.memory.resets


def test_an_invalid_register_is_unknown_and_changes_nothing(meter: Meter) -> None:
    assert meter.send(INVALID) is None
    assert meter.send(START, unit=0x0A) is None, "a unit outside the table"
    assert meter.send(START + 5) == 45_323.17


def test_an_unknown_register_keeps_no_other_one_from_being_judged(meter: Meter) -> None:
    assert meter.judge(INVALID, volume_m3=345_679).values[VOLUME] == 3_456.79
    assert meter.judge(START, volume_m3=0).values[VOLUME] == 3_456.79, "held"
    memory = MeterMemory()
    memory.judge(cabinet({ENERGY: INVALID}), 0.0)
    shown = memory.judge(cabinet({VOLUME: 345_679}), 600.0).values
    assert (shown[ENERGY], shown[VOLUME]) == (45_323.12, 3_456.79)


def test_a_first_report_without_a_register(meter: Meter) -> None:
    memory = MeterMemory()
    reading = cabinet({ENERGY: INVALID})
    assert memory.judge(reading, 0.0).values[ENERGY] is None
    assert memory.judge(cabinet(), 600.0).values[ENERGY] == 45_323.12


@pytest.mark.parametrize("new", [0, START * 95 // 100, START * 10])
def test_a_value_that_comes_again_is_a_reset_and_unknown_until_continued(
    meter: Meter, new: int
) -> None:
    assert meter.send(new) == 45_323.12
    assert meter.send(new + 5) is None
    assert meter.send(new + 9) is None
    assert meter.memory.resets == {ENERGY: (Register(START, 1, 100), Register(new + 9, 1, 100))}

    continued = meter.memory.continue_counter(ENERGY, meter.now_s)
    assert continued == Continued(ENERGY, Register(START, 1, 100), Register(new + 9, 1, 100))
    assert not meter.is_reset
    assert meter.send(new + 10) == (new + 10) / 100
    assert meter.memory.continue_counter(ENERGY, meter.now_s) is None, "only once"
    assert meter.memory.continue_counter("nothing", meter.now_s) is None


def test_what_is_only_doubted_cannot_be_continued(meter: Meter) -> None:
    meter.send(0)
    assert meter.memory.continue_counter(ENERGY, meter.now_s) is None
    assert meter.send(START + 1) == 45_323.13


def test_a_continued_counter_is_shown_at_once(meter: Meter) -> None:
    meter.send(0)
    meter.send(5)
    assert meter.memory.shown(cabinet({ENERGY: 5}))[ENERGY] is None
    meter.memory.continue_counter(ENERGY, meter.now_s)
    assert meter.memory.shown(cabinet({ENERGY: 5}))[ENERGY] == 0.05


def test_a_reset_takes_itself_back_when_the_old_register_returns(meter: Meter) -> None:
    for wrong in (0, 0, 0):
        meter.send(wrong)
    assert meter.is_reset
    assert meter.send(START + 20) == 45_323.32
    assert not meter.memory.resets


def test_a_spike_that_stays_is_never_taken_for_growth(meter: Meter) -> None:
    """After days the old counter might have come so far, by the bound alone."""
    spike = START * 10
    meter.send(spike)
    meter.send(spike)
    # 407 908 kWh take 17.5 hours at 23 260 kW.
    assert meter.send(spike + 100, after_s=86_400.0) is None
    assert meter.is_reset
    assert meter.send(START + 100) == 45_324.12, "but the old register is back at once"


def test_noise_is_held_back_as_long_as_it_lasts(meter: Meter) -> None:
    for noise in (0, 9_000_000, 77, 8_000_000):
        assert meter.send(noise) == 45_323.12
    assert meter.send(START) == 45_323.12
    assert meter.memory.counters[ENERGY].suspect is None


def test_noise_after_a_reset_stays_unknown(meter: Meter) -> None:
    meter.send(0)
    meter.send(0)
    assert meter.send(9_000_000) is None
    assert meter.send(9_000_000) is None
    assert meter.memory.resets[ENERGY][1].counts == 9_000_000


def test_a_duplicate_does_not_confirm_itself(meter: Meter) -> None:
    meter.send(0)
    assert meter.send(0, after_s=0.1) == 45_323.12
    assert meter.send(0, after_s=30.0) == 45_323.12
    assert not meter.is_reset
    assert meter.send(START + 3) == 45_323.15


def test_a_minute_later_it_is_another_reading(meter: Meter) -> None:
    meter.send(0)
    assert meter.send(0, after_s=59.0) == 45_323.12
    assert meter.send(0, after_s=1.0) is None
    assert meter.is_reset


def test_a_register_rolls_over() -> None:
    meter = Meter(99_999_950)
    assert meter.send(20) == 999_999.5, "held back: it may be a glitch"
    judged = meter.judge(30)
    assert judged.values[ENERGY] == 0.3
    # The new round starts 100 000 000 counts below the old one.
    assert judged.continued == (
        Continued(ENERGY, Register(99_999_950, 1, 100), Register(-50, 1, 100)),
    )
    assert meter.send(40) == 0.4
    assert not meter.memory.resets


def test_a_glitch_right_after_a_roll_over_is_held_back() -> None:
    meter = Meter(99_999_950)
    meter.send(20)
    assert meter.send(30) == 0.3
    assert meter.send(50_000_000) == 0.3, "500 MWh in ten minutes are not possible"
    assert not meter.memory.resets, "doubted once only"
    assert meter.send(40) == 0.4


def test_a_roll_over_beyond_the_bound_is_a_reset() -> None:
    # 50 000 kWh behind the end of the register, where ten minutes make 3 877.
    meter = Meter(99_999_950)
    assert meter.send(5_000_000) == 999_999.5
    assert meter.send(5_000_010) is None
    assert meter.is_reset


def test_a_roll_over_to_a_number_seen_before_is_not_late() -> None:
    meter = Meter()
    assert meter.send(90_000_000, after_s=172_800.0) == 900_000
    meter.send(0, after_s=86_400.0)  # 558 MWh are possible by now, and 100 to the end
    judged = meter.judge(START)
    assert judged.values[ENERGY] == 45_323.12
    assert [row.new.counts for row in judged.continued] == [-10_000_000]


def test_a_zero_near_the_end_of_the_register_is_no_roll_over() -> None:
    meter = Meter(99_999_950)
    assert meter.send(0) == 999_999.5
    assert meter.send(99_999_960) == 999_999.6
    assert not meter.memory.resets


def test_a_reset_after_days_of_silence_is_no_roll_over() -> None:
    # In ten days 5.58 GWh are possible by the bound, more than the whole register holds.
    meter = Meter()
    assert meter.send(0, after_s=864_000.0) == 45_323.12
    assert meter.send(0) is None
    assert meter.is_reset


def test_a_reset_in_another_unit_is_no_roll_over() -> None:
    meter = Meter(99_999_950)
    assert meter.send(1, MWH) == 999_999.5
    assert meter.send(1, MWH) is None
    assert meter.is_reset


# --- Units ----------------------------------------------------------------------------------


def test_a_coarser_unit_shows_less_without_a_fall(meter: Meter) -> None:
    # 45 323.12 kWh are 45.32 MWh, one digit of which is 10 kWh.
    assert meter.send(4_532, MWH) == 45_323.12
    assert meter.send(4_532, MWH) == 45_323.12
    assert meter.send(4_533, MWH) == 45_330
    assert meter.send(4_533_001, KWH) == 45_330.01
    assert not meter.memory.resets


def test_a_fall_of_more_than_a_digit_of_the_coarser_unit_is_one(meter: Meter) -> None:
    assert meter.send(4_531, MWH) == 45_323.12  # 45 310 kWh: 13.12 kWh less
    assert meter.send(4_531, MWH) is None
    assert meter.send(4_533, MWH) == 45_330


def test_a_fall_of_just_a_digit_of_the_coarser_unit_is_none() -> None:
    # 45 329.999 kWh may be shown as 45 330.00 kWh and as 45.32 MWh.
    meter = Meter(4_533_000)
    assert meter.send(4_532, MWH) == 45_330
    assert meter.memory.counters[ENERGY].suspect is None


def test_a_fall_after_a_change_of_units_within_a_backlog_is_one() -> None:
    # Judged as a whole, so against a register of another unit; but a fall is between neighbors.
    meter = Meter(4_532, MWH)
    assert meter.send(4_532_500) == 45_325
    meter.judge(4_532_600, after_s=0.1)
    assert meter.memory.counters[ENERGY].suspect is None
    meter.judge(4_532_599, after_s=0.1)
    assert meter.memory.counters[ENERGY].suspect is not None


def test_kilowatt_hours_and_gigajoules_convert_exactly(meter: Meter) -> None:
    # 45 323.12 kWh = 163.163232 GJ: 16 316 counts are 45 322 2/9 kWh, 16 317 are 45 325 kWh.
    assert meter.send(16_316, GJ) == 45_323.12
    assert meter.send(16_317, GJ) == 45_325
    assert meter.send(4_532_500, KWH) == 45_325
    meter.judge(4_532_499, KWH)  # one count less, in a unit that shows it
    assert meter.memory.counters[ENERGY].suspect is not None
    assert meter.send(4_532_501, KWH) == 45_325.01


def test_the_unit_alone_changing_is_a_jump(meter: Meter) -> None:
    # 4 532 312 counts of 10 kWh are a thousand times as much.
    assert meter.send(START, MWH) == 45_323.12
    assert meter.send(START, KWH) == 45_323.12
    assert meter.memory.counters[ENERGY].suspect is None


# --- Order and time -------------------------------------------------------------------------


def grown(meter: Meter) -> list[int]:
    counts = [START + 10 * step for step in range(1, 6)]
    for number in counts:
        meter.send(number)
    return counts


@pytest.mark.parametrize("back", [START + 20, START + 25], ids=["seen", "never seen"])
def test_an_older_report_is_late_and_not_applied(meter: Meter, back: int) -> None:
    grown(meter)
    assert meter.judge(back, after_s=2.0) == Judgement(True, {})
    assert meter.send(START + 60) == 45_323.72
    assert not meter.memory.resets


def test_late_reports_in_a_row_are_all_late(meter: Meter) -> None:
    for number in (counts := grown(meter))[:-1]:
        assert meter.judge(number, after_s=0.01).late
    assert not meter.judge(counts[-1], after_s=0.01).late
    assert meter.send(START + 60) == 45_323.72


def test_a_fall_below_all_that_is_remembered_is_no_late_report(meter: Meter) -> None:
    grown(meter)
    judged = meter.judge(START - 1)
    assert not judged.late
    assert judged.values[ENERGY] == 45_323.62


def test_one_counter_higher_is_no_late_report(meter: Meter) -> None:
    grown(meter)
    judged = meter.judge(START + 20, volume_m3=345_679)
    assert not judged.late
    assert judged.values[ENERGY] == 45_323.62
    assert judged.values[VOLUME] == 3_456.79


def test_duplicates_push_nothing_out_of_what_is_remembered(meter: Meter) -> None:
    grown(meter)
    for _ in range(KEPT_COUNTERS):
        assert meter.send(START + 50) == 45_323.62
    assert meter.judge(START + 25, after_s=2.0).late


def test_what_is_older_than_64_reports_is_no_late_report(meter: Meter) -> None:
    for step in range(1, KEPT_COUNTERS + 1):
        meter.send(START + 10 * step)
    # The first one of all is forgotten, the one after it is the oldest that is known.
    assert meter.judge(START + 10, after_s=2.0).late
    assert meter.send(START, after_s=60.0) == 45_329.52, "below all that is known: in doubt"


def test_one_that_stays_late_is_a_reset(meter: Meter) -> None:
    grown(meter)
    assert meter.judge(START + 20).late
    assert meter.send(START + 20) is None
    assert meter.is_reset


def test_a_backlog_is_judged_as_a_whole(meter: Meter) -> None:
    """Ten hours of reports within a second: 500 kWh each, far too much for a second."""
    for step in range(1, 61):
        judged = meter.judge(START + step * 50_000, after_s=36_000.0 if step == 1 else 0.016)
        assert judged.values[ENERGY] == (START + step * 50_000) / 100
        assert meter.delivered_late() is (step > 1), "the first one could be in time"
    # After it the usual bound counts again: 30 000 kWh in ten minutes are too much.
    assert meter.send(START + 6_000_000) == (START + 3_000_000) / 100
    assert not meter.delivered_late()


def test_reports_five_seconds_apart_are_no_backlog(meter: Meter) -> None:
    # 100 kWh: possible in the ten minutes before, not in five seconds.
    meter.send(START + 100)
    assert meter.send(START + 10_100, after_s=4.9) == 45_424.12, "a backlog, judged as a whole"
    assert meter.delivered_late()
    meter.send(START + 10_100)
    assert meter.send(START + 20_100, after_s=5.0) == 45_424.12, "two reports, held"
    assert not meter.delivered_late()


def test_a_backlog_beyond_the_bound_is_held_back(meter: Meter) -> None:
    assert meter.send(START + 380_000) == 49_123.12
    assert meter.send(START + 500_000, after_s=0.1) == 49_123.12
    assert meter.send(START + 500_000) == 50_323.12, "by then it is possible"


def test_the_first_backlog_of_a_new_meter_is_taken() -> None:
    meter = Meter()
    for step in range(1, 61):
        assert meter.send(START + step * 50_000, after_s=0.016) == (START + step * 50_000) / 100


def test_duplicates_and_direct_answers_are_not_delivered_late(meter: Meter) -> None:
    meter.send(START + 1)
    meter.judge(START + 1, after_s=0.1)
    assert not meter.delivered_late()
    meter.judge(START + 2, after_s=0.1, direct=True)
    assert not meter.delivered_late()
    meter.judge(START + 3, after_s=0.1)
    assert meter.delivered_late()
    meter.judge(START + 3, after_s=0.1)
    assert meter.delivered_late(), "a duplicate does not make it newer"


def test_a_clock_that_is_set_back_costs_nothing(meter: Meter) -> None:
    meter.send(START)
    assert meter.send(START + 1_000, after_s=-7_200.0) == 45_333.12
    assert meter.send(START + 2_000) == 45_343.12
    assert meter.send(START * 10) == 45_343.12, "and the bound still counts"
    assert meter.send(START + 3_000) == 45_353.12
    assert not meter.memory.resets


def test_a_doubt_does_not_age_while_the_clock_is_set_back(meter: Meter) -> None:
    meter.send(0)
    assert meter.send(0, after_s=-7_200.0) == 45_323.12, "how long after it, nobody knows"
    assert meter.send(0) is None, "a reading later it is confirmed"


def test_a_clock_that_is_set_back_gives_no_more_time_to_grow(meter: Meter) -> None:
    """The bound counts from the last good report, ten minutes before the clock was set."""
    meter.send(START + 10)
    meter.send(INVALID)
    # 5 000 kWh are more than ten minutes allow, but less than twenty.
    assert meter.send(START + 500_010, after_s=-7_200.0) == 45_323.22
    assert meter.send(START + 20) == 45_323.32


def test_what_is_judged_is_what_is_told(meter: Meter) -> None:
    judged = meter.judge(START + 1)
    assert judged.late is False
    assert meter.memory.judge(cabinet({ENERGY: START + 2}), meter.now_s + 1.0).late is False
    assert meter.delivered_late(), "no answer to a read, unless the caller says so"


def test_a_report_that_goes_on_as_before_is_shown_as_it_is(meter: Meter) -> None:
    good, glitch = (cabinet({ENERGY: counts}) for counts in (START + 1, 0))
    assert meter.memory.judge(good, meter.now_s + 600.0).values is good.values, "not even copied"
    assert meter.memory.judge(glitch, meter.now_s + 1_200.0).values[ENERGY] == 45_323.13


# --- What is found on the way ---------------------------------------------------------------


def test_a_flow_that_does_not_fit_the_volume_is_found(meter: Meter) -> None:
    """1 m³ in ten minutes are 6 000 L/h; the meter says 600."""
    volume = 345_678
    factors = []
    for step in range(1, 10):
        # After five pairs one odd volume: it is no evidence, and the pair after it neither.
        counts = 0 if step == 7 else volume + 100 * step
        meter.judge(START, volume_m3=counts, flow_l_h=600)
        factors.append(meter.memory.flow_scale.factor)
    assert factors == [1.0] * 8 + [10.0]


def test_exchanged_temperatures_are_found(meter: Meter) -> None:
    temperatures = {"supply_temperature_c": 40.0, "return_temperature_c": 55.0}
    hot = cabinet({"flow_l_h": 600}, temperatures_c=temperatures)
    for hour in range(49):
        assert not meter.memory.reversal.found
        meter.memory.judge(hot, meter.now_s + hour * 3_600.0)
    assert meter.memory.reversal.found


# --- Household valves -----------------------------------------------------------------------


def valve(clock: datetime) -> MeterReading:
    values: dict[str, Value] = {"device_clock": clock, "opening_pct": 100}
    return MeterReading("valve", b"\x23\x22\x73\x10\x00\x11\x11", 0x81, 0x901F, 1, values, b"")


def clocks(count: int, start: datetime) -> Iterator[datetime]:
    for step in range(count):
        yield start + timedelta(hours=step)


T0 = datetime(2024, 5, 26, 12)  # noqa: DTZ001 - a device's clock has no zone


def test_an_older_device_clock_is_a_late_report() -> None:
    memory = MeterMemory()
    for step, clock in enumerate(clocks(5, T0)):
        assert not memory.judge(valve(clock), step * 3600.0).late
    assert memory.judge(valve(T0 + timedelta(hours=2)), 4 * 3600.0 + 1).late
    assert not memory.judge(valve(T0 + timedelta(hours=4)), 4 * 3600.0 + 2).late, "a duplicate"
    assert not memory.judge(valve(T0 + timedelta(hours=5)), 5 * 3600.0).late


def test_a_device_clock_that_was_set_back_is_believed_the_second_time() -> None:
    memory = MeterMemory()
    for step, clock in enumerate(clocks(5, T0)):
        memory.judge(valve(clock), step * 3600.0)
    assert memory.judge(valve(T0 + timedelta(hours=2)), 5 * 3600.0).late
    assert not memory.judge(valve(T0 + timedelta(hours=3)), 6 * 3600.0).late
    assert not memory.judge(valve(T0 + timedelta(hours=4)), 7 * 3600.0).late


def test_the_oldest_clock_that_is_known_is_late_too() -> None:
    memory = MeterMemory()
    for step, clock in enumerate(clocks(5, T0)):
        memory.judge(valve(clock), step * 3600.0)
    assert memory.judge(valve(T0), 5 * 3600.0).late


def test_a_clock_that_was_set_back_is_believed_a_minute_later() -> None:
    memory = MeterMemory()
    for step, clock in enumerate(clocks(5, T0)):
        memory.judge(valve(clock), step * 3600.0)
    assert memory.judge(valve(T0), 5 * 3600.0).late
    assert memory.judge(valve(T0), 5 * 3600.0 + 59.0).late
    assert not memory.judge(valve(T0), 5 * 3600.0 + 60.0).late


def test_a_device_clock_far_back_was_set() -> None:
    memory = MeterMemory()
    for step, clock in enumerate(clocks(5, T0)):
        memory.judge(valve(clock), step * 3600.0)
    assert not memory.judge(valve(T0 - timedelta(days=2)), 5 * 3600.0).late
    assert not memory.judge(valve(T0 - timedelta(days=2, hours=-1)), 6 * 3600.0).late


# --- Whatever comes -------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 99_999_999),
                st.sampled_from([0, START, START + 10, START + 500, START * 10, 99_999_999]),
            ),
            st.sampled_from([KWH, MWH, GJ]),
            st.sampled_from([-3_600.0, 0.0, 0.5, 30.0, 600.0, 86_400.0]),
        ),
        max_size=30,
    )
)
def test_what_is_shown_never_falls_nor_jumps(reports: list[tuple[int, int, float]]) -> None:
    """By itself: a person's continuation and a roll-over say so, and are corrected."""
    meter = Meter()
    shown, passed_s = 45_323.12, 86_400.0  # a new meter may bring a day's backlog
    for counts, unit, after_s in reports:
        judged = meter.judge(counts, unit, after_s)
        passed_s += max(0.0, after_s)
        if judged.late:
            continue
        value = judged.values[ENERGY]
        if judged.continued:
            shown = judged.continued[0].new.value
        if value is None:
            continue
        assert isinstance(value, int | float)
        assert value >= shown - 1e-6
        # One digit of the coarsest unit is 10 kWh.
        assert value - shown <= MAX_POWER_KW * passed_s / 3600 + 10 + 1e-6
        shown = max(shown, value)


# --- Across restarts ------------------------------------------------------------------------


def continuation(new: Meter, old: Meter) -> tuple[Fraction, Fraction]:
    """Return where the energy of an old meter stood, and from where the new one goes on."""
    found = next(row for row in new.memory.continues(old.memory) if row.key == ENERGY)
    return found.old.exact, found.new.exact


def test_a_new_meter_goes_on_from_its_first_register(meter: Meter) -> None:
    meter.send(START + 800)  # 45 331.12 kWh
    new = Meter(start=250)
    new.send(300)
    assert continuation(new, meter) == (Fraction(4_533_112, 100), Fraction(250, 100))
    new.memory = restarted(new.memory)
    new.send(400)
    assert continuation(new, meter) == (Fraction(4_533_112, 100), Fraction(250, 100))


def test_a_doubted_register_of_the_old_meter_is_not_gone_on_from(meter: Meter) -> None:
    meter.send(0)
    meter.send(100)
    assert meter.is_reset
    assert continuation(Meter(start=250), meter)[0] == Fraction(START, 100)


def test_a_new_meter_that_was_reset_keeps_what_it_had_counted(meter: Meter) -> None:
    new = Meter(start=25_000)
    new.send(25_700)  # 7.00 kWh since its beginning
    new.send(100)
    new.send(200)
    assert new.memory.continue_counter(ENERGY, new.now_s) is not None
    new.send(500)
    # Goes on from 2.00 kWh, which are 7.00 kWh since the beginning: that was at -5.00 kWh.
    assert continuation(new, meter)[1] == Fraction(-500, 100)


def test_a_new_meter_that_rolled_over_keeps_what_it_had_counted(meter: Meter) -> None:
    new = Meter(start=99_999_000)
    new.send(500)
    new.send(700)
    # 10.00 kWh to the end of the register, 7.00 kWh behind it.
    assert continuation(new, meter)[1] == Fraction(-1_000, 100)


def test_a_new_meter_that_was_reset_to_another_unit_begins_there(meter: Meter) -> None:
    new = Meter(start=25_000)
    new.send(4_000, MWH)
    new.send(4_001, MWH)
    assert new.memory.continue_counter(ENERGY, new.now_s) is not None
    assert continuation(new, meter)[1] == 40_010


def test_a_new_meter_that_had_changed_its_unit_begins_where_it_was_reset(meter: Meter) -> None:
    new = Meter(start=25_000)  # 250.00 kWh
    assert new.send(26, MWH) == 260
    new.send(1, MWH)
    new.send(2, MWH)
    assert new.memory.continue_counter(ENERGY, new.now_s) is not None
    # How far 250.00 kWh lie below is no whole number of its present steps.
    assert continuation(new, meter)[1] == 20


def test_a_memory_of_before_begins_where_it_is_reset(meter: Meter) -> None:
    new = Meter(start=25_000)
    stored = new.memory.as_dict()
    del stored["begun"]
    new.memory = MeterMemory.from_dict(stored)
    new.send(100)
    new.send(200)
    assert new.memory.continue_counter(ENERGY, new.now_s) is not None
    assert continuation(new, meter)[1] == 2


def test_a_memory_of_before_goes_on_from_the_present_register(meter: Meter) -> None:
    stored = Meter(start=250).memory.as_dict()
    del stored["begun"]
    new = MeterMemory.from_dict(stored)
    assert {row.key: row.new.exact for row in new.continues(meter.memory)}[ENERGY] == Fraction(5, 2)


def test_only_what_both_meters_count_goes_on(meter: Meter) -> None:
    assert MeterMemory().continues(meter.memory) == []
    assert meter.memory.continues(MeterMemory()) == []


def restarted(memory: MeterMemory) -> MeterMemory:
    return MeterMemory.from_dict(json.loads(json.dumps(memory.as_dict())))


def test_all_that_matters_survives_a_restart(meter: Meter) -> None:
    meter.send(0)
    meter.memory = restarted(meter.memory)
    assert meter.send(5) is None, "the one before the restart is confirmed"
    meter.memory = restarted(meter.memory)
    assert meter.is_reset
    assert meter.memory.shown(cabinet({ENERGY: 5}))[ENERGY] is None
    assert meter.memory.continue_counter(ENERGY, meter.now_s) is not None
    meter.memory = restarted(meter.memory)
    assert meter.send(6) == 0.06
    assert meter.send(START) == 0.06, "and judged by the register of before"


@pytest.mark.parametrize("unit", [KWH, MWH, GJ])
@pytest.mark.parametrize("wrong", [0, 1])
def test_every_counter_is_as_it_was(unit: int, wrong: int) -> None:
    meter = Meter(START, unit)
    meter.judge(START + 1, unit)
    for _ in range(wrong):
        meter.judge(0, unit)
    meter.judge(0, unit, after_s=0.5, volume_m3=345_679)
    assert meter.delivered_late()
    again = restarted(meter.memory)
    assert again.as_dict() == meter.memory.as_dict()
    assert again.counters == meter.memory.counters
    assert again.counters[ENERGY].suspect == Register(0, *_STEPS[unit])
    assert again.delivered_late
    assert again.last_s == meter.now_s


_STEPS = {KWH: (1, 100), MWH: (10, 1), GJ: (25, 9)}
"""Numerator and denominator of one count in kWh: 0.01 kWh, 0.01 MWh, 0.01 GJ."""


def test_a_reset_without_its_new_register_is_none() -> None:
    stored = GOOD.as_dict()
    stored["counters"] = {ENERGY: [*_ROW[:2], None, *_ROW[3:-1], True]}
    memory = MeterMemory.from_dict(stored)
    assert not memory.counters[ENERGY].confirmed
    assert memory.shown(cabinet())[ENERGY] == 45_323.12


def test_nothing_known_survives_too() -> None:
    assert restarted(MeterMemory()) == MeterMemory()


GOOD = MeterMemory()
GOOD.judge(cabinet(), 1.0)
_ROW = GOOD.as_dict()["counters"][ENERGY]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**GOOD.as_dict(), "last_s": "soon"},
        {**GOOD.as_dict(), "last_s": "nan"},
        {**GOOD.as_dict(), "last_s": []},
        {**GOOD.as_dict(), "counters": None},
        {**GOOD.as_dict(), "counters": {ENERGY: []}},
        {**GOOD.as_dict(), "counters": {ENERGY: [[1, 1, 0], *_ROW[1:]]}},
        {**GOOD.as_dict(), "counters": {ENERGY: [[1, 1], *_ROW[1:]]}},
        {**GOOD.as_dict(), "counters": {ENERGY: [[float("inf"), 1, 1], *_ROW[1:]]}},
        {**GOOD.as_dict(), "counters": {ENERGY: [*_ROW[:3], None, *_ROW[4:]]}},
        {**GOOD.as_dict(), "begun": {ENERGY: [1, 1]}},
        {**GOOD.as_dict(), "begun": {ENERGY: [1, 0, 1]}},
        {**GOOD.as_dict(), "begun": 5},
        {**GOOD.as_dict(), "flow_scale": [3.0, 0, 0]},
        {**GOOD.as_dict(), "reversal": 5},
    ],
)
def test_a_damaged_memory_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        MeterMemory.from_dict(wrong)
    assert MeterMemory.from_dict(GOOD.as_dict()).counters.keys() == GOOD.counters.keys()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({}, "not what is remembered of a meter: KeyError('last_s')"),
        ({**GOOD.as_dict(), "last_s": "nan"}, "no number"),
        ({**GOOD.as_dict(), "flow_scale": [3.0, 0, 0]}, "no scale of a flow"),
        (
            {**GOOD.as_dict(), "counters": {ENERGY: [[1, 1, 0], *_ROW[1:]]}},
            "a register without a unit",
        ),
        (
            {**GOOD.as_dict(), "counters": {ENERGY: [[1, 0, 1], *_ROW[1:]]}},
            "a register without a unit",
        ),
    ],
)
def test_a_damaged_memory_says_what_is_wrong(wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        MeterMemory.from_dict(wrong)
