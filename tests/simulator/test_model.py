"""Weather and hydraulics: plausible, and in agreement with the registers."""

import pytest

from custom_components.hy_heating.hyheat.envelope import MonthDay
from custom_components.hy_heating.hyheat.water import thermal_power_w
from simulator.model import (
    Climate,
    HeatingLoop,
    LoopCharacter,
    LoopReading,
    heat_coefficient,
    supply_by_heating_curve_c,
)
from simulator.motion import Motion
from simulator.season import Season

from .test_season import local

HOUR = 3600.0
DAY = 24 * HOUR
SEASON = Season(MonthDay(9, 1), MonthDay(5, 1), utc_offset_s=8 * 3600)
CHARACTER = LoopCharacter(
    nominal_flow_l_h=5000, transfer_units=0.4, room_c=21.0, energy_kwh=45323.12, volume_m3=3456.78
)


def make_loop(now: float, opening_pct: float = 80.0, flats: int = 0) -> HeatingLoop:
    loop = HeatingLoop(CHARACTER, Climate(), SEASON, Motion(opening_pct, 120.0), now)
    loop.flats += [Motion(100.0, 60.0) for _ in range(flats)]
    loop.settle(now)
    return loop


def power_w(reading: LoopReading) -> float:
    """Return flow × ΔT × k, with the constants that the model names."""
    difference_k = reading.supply_c - reading.return_c
    mean_c = (reading.supply_c + reading.return_c) / 2
    return reading.flow_l_h * max(0.0, difference_k) * heat_coefficient(mean_c)


def test_heat_coefficient_by_hand() -> None:
    # At 50 °C 988.04 kg/m³ × 4.1815 kJ/(kg K) = 4131.4893 kJ/(m³ K), by 3600 1.147636 kWh; at
    # 40 °C 992.22 × 4.1796 / 3600 = 1.151967; between them the middle, 1.149802.
    assert heat_coefficient(50) == pytest.approx(1.147636, abs=1e-6)
    assert heat_coefficient(40) == pytest.approx(1.151967, abs=1e-6)
    assert heat_coefficient(45) == pytest.approx(1.149802, abs=1e-6)


@pytest.mark.parametrize("supply_c", [25.0, 38.5, 52.25, 71.0, 88.0, 99.0])
def test_another_formula_for_water_gives_the_same_power(supply_c: float) -> None:
    theirs = thermal_power_w(1000, supply_c, supply_c - 10)
    assert theirs is not None
    assert 1000 * 10 * heat_coefficient(supply_c - 5) == pytest.approx(theirs, rel=5e-4)


def test_the_weather_follows_the_calendar_and_the_hour() -> None:
    climate = Climate(mean_c=10, yearly_swing_c=16, daily_swing_c=4, weather_swing_c=0)
    at = {
        text: climate.outdoor_c(local(text, 0))
        for text in ("2026-01-20T15:00", "2026-01-20T03:00", "2026-07-21T15:00")
    }
    # 10 - 16 + 4 in the warmest hour of the coldest day, 8 less at night, 10 + 16 + 4 in July.
    assert at["2026-01-20T15:00"] == pytest.approx(-2.0, abs=0.3)
    assert at["2026-01-20T03:00"] == pytest.approx(-10.0, abs=0.3)
    assert at["2026-07-21T15:00"] == pytest.approx(30.0, abs=0.3)


def test_the_colder_outside_the_warmer_the_supply() -> None:
    curve = [supply_by_heating_curve_c(outdoor) for outdoor in range(-40, 41, 5)]
    assert curve == sorted(curve, reverse=True)
    assert supply_by_heating_curve_c(-10) == pytest.approx(58.0)  # 30 + (18 + 10)
    assert (curve[0], curve[-1]) == (80.0, 28.0)


def integrate(loop: HeatingLoop, start: float, duration: float, step: float) -> tuple[float, float]:
    """Return kWh and m³ that flow and temperatures say, sampled at every change of theirs."""
    energy_wh = volume_l = 0.0
    for number in range(int(duration / step)):
        shown = loop.reading(start + number * step)
        energy_wh += power_w(shown) * step / HOUR
        volume_l += shown.flow_l_h * step / HOUR
    return energy_wh / 1000, volume_l / 1000


def test_registers_agree_with_flow_and_temperatures_over_a_winter_day_with_moves() -> None:
    start = local("2026-01-15T00:00")
    loop = make_loop(start, flats=4)
    before = loop.reading(start)
    energy_kwh = volume_m3 = 0.0
    for hour in range(24):
        # Every move begins and ends at a multiple of the 5 s that are sampled here.
        loop.move(loop.valve, (80.0, 30.0, 0.0, 55.0)[hour % 4], start + hour * HOUR)
        loop.move(loop.flats[hour % 4], (0.0, 100.0, 50.0)[hour % 3], start + hour * HOUR)
        energy, volume = integrate(loop, start + hour * HOUR, HOUR, 5.0)
        energy_kwh += energy
        volume_m3 += volume
    after = loop.reading(start + DAY)
    assert energy_kwh > 100
    assert after.energy_kwh - before.energy_kwh == pytest.approx(energy_kwh, abs=0.0101)
    assert after.volume_m3 - before.volume_m3 == pytest.approx(volume_m3, abs=0.0101)


def test_registers_agree_with_flow_and_temperatures_over_a_month() -> None:
    start = local("2026-01-01T00:00")
    loop = make_loop(start)
    before = loop.reading(start)
    energy_kwh, volume_m3 = integrate(loop, start, 31 * DAY, 60.0)
    after = loop.reading(start + 31 * DAY)
    grown_kwh, grown_m3 = after.energy_kwh - before.energy_kwh, after.volume_m3 - before.volume_m3
    assert grown_kwh == pytest.approx(energy_kwh, abs=0.0101)
    assert grown_m3 == pytest.approx(volume_m3, abs=0.0101)
    # A usual winter: 20 to 60 kW on this loop, and the mean drop of a space heating.
    assert 20 * 24 * 31 < grown_kwh < 60 * 24 * 31
    assert 5 < grown_kwh / (1.15 * grown_m3) < 25


def test_readings_do_not_depend_on_how_often_one_looks() -> None:
    start = local("2026-01-15T00:00")
    watched, unwatched = make_loop(start), make_loop(start)
    for second in range(0, int(DAY), 77):
        watched.reading(start + second)
    assert watched.reading(start + DAY) == unwatched.reading(start + DAY)


def test_flow_follows_the_openings() -> None:
    start = local("2026-01-15T00:00")
    loop = make_loop(start, opening_pct=100.0, flats=2)
    assert loop.reading(start).flow_l_h == 5000
    loop.move(loop.flats[0], 0.0, start)
    assert loop.reading(start + 60).flow_l_h == 2500
    loop.move(loop.valve, 0.0, start + 60)
    assert loop.reading(start + 60 + 120).flow_l_h == 0


def test_flow_is_final_when_the_valve_has_arrived() -> None:
    start = local("2026-01-15T00:00")
    loop = make_loop(start, opening_pct=100.0)
    loop.move(loop.valve, 95.0, start)  # 5 % of 120 s: 6 s
    # By the model's characteristic 5000 × 0.95 ** 1.5 = 4629.66.
    assert loop.reading(start + 5.9).flow_l_h > 4630
    assert loop.reading(start + 6.1).flow_l_h == 4630


def test_water_at_rest_gives_no_heat_and_cools_down_to_the_rooms() -> None:
    start = local("2026-01-15T00:00")
    loop = make_loop(start)
    loop.move(loop.valve, 0.0, start)
    closed, later = loop.reading(start + HOUR), loop.reading(start + 2 * DAY)
    assert later.energy_kwh == closed.energy_kwh
    assert later.volume_m3 == closed.volume_m3
    assert closed.supply_c > later.supply_c == pytest.approx(21.0, abs=0.1)
    loop.move(loop.valve, 80.0, start + 2 * DAY)
    warm = loop.reading(start + 2 * DAY + HOUR)
    assert warm.energy_kwh > later.energy_kwh
    assert warm.supply_c > 40


def test_outside_the_season_nothing_flows() -> None:
    summer = local("2026-07-01T00:00")
    loop = make_loop(summer)
    assert loop.reading(summer + DAY) == LoopReading(0, 21.0, 21.0, 45323.12, 3456.78)
    # It begins at 1 September, 00:00.
    assert loop.reading(local("2026-08-31T23:59")).flow_l_h == 0
    assert loop.reading(local("2026-09-01T00:01")).flow_l_h > 0


def test_registers_roll_over_as_eight_digits_do() -> None:
    start = local("2026-01-15T00:00")
    full = LoopCharacter(
        nominal_flow_l_h=5000, transfer_units=0.4, room_c=21, energy_kwh=999_999.99, volume_m3=5
    )
    loop = HeatingLoop(full, Climate(), SEASON, Motion(100.0, 0.0), start)
    assert loop.reading(start).energy_kwh == 999_999.99
    assert 0 < loop.reading(start + HOUR).energy_kwh < 100
