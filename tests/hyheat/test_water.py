"""Thermal power against reference values of water (IAPWS, at saturation)."""

from math import copysign

import pytest

from custom_components.hy_heating.hyheat.water import (
    density_kg_m3,
    heat_capacity_kj_kg_k,
    temperature_difference_k,
    thermal_power_w,
)


@pytest.mark.parametrize(
    ("temperature_c", "density", "heat_capacity"),
    [(0, 999.8, 4.217), (20, 998.2, 4.184), (60, 983.2, 4.185), (100, 958.4, 4.216)],
)
def test_water_as_in_the_steam_tables(
    temperature_c: float, density: float, heat_capacity: float
) -> None:
    assert density_kg_m3(temperature_c) == pytest.approx(density, rel=2e-4)
    assert heat_capacity_kj_kg_k(temperature_c) == pytest.approx(heat_capacity, rel=1e-3)


def test_power_worked_out_by_hand() -> None:
    # 1000 L/h at a mean of 50 °C: 988.04 kg/m³ × 4.181 kJ/(kg K) × 20 K × 1 m³/h
    # = 82 620 kJ/h = 22.95 kW.
    assert thermal_power_w(1000, 60.0, 40.0) == pytest.approx(22_950, rel=1e-3)
    assert thermal_power_w(1000, 40.0, 60.0) == pytest.approx(-22_950, rel=1e-3)


def test_power_is_told_to_a_tenth_of_a_watt() -> None:
    # 3 L/h at 20 °C: 998.2 kg/m³ × 4.184 kJ/(kg K) × 10 K × 0.003 m³/h = 125.3 kJ/h = 34.80 W;
    # by the formulas 34.790 W.
    assert thermal_power_w(3, 25.0, 15.0) == 34.8
    # The difference is the one that is shown: 0.004 K is none.
    assert thermal_power_w(1000, 50.004, 50.0) == 0.0


@pytest.mark.parametrize(("supply_c", "return_c"), [(150.0, 0.0), (0.0, 150.0)])
def test_power_is_known_from_0_to_150_c(supply_c: float, return_c: float) -> None:
    # At a mean of 75 °C: 974.8 kg/m³ × 4.193 kJ/(kg K) × 150 K / 3600 s = 170.3 kW.
    power_w = thermal_power_w(1000, supply_c, return_c)
    assert power_w == pytest.approx(170_300 if supply_c else -170_300, rel=1e-3)


def test_zero_is_never_negative() -> None:
    found = [
        thermal_power_w(0, 28.87, 28.93),
        thermal_power_w(1, 20.0, 20.001),
        temperature_difference_k(20.0, 20.001),
    ]
    assert found == [0.0, 0.0, 0.0]
    assert [copysign(1, zero) for zero in found if zero is not None] == [1.0, 1.0, 1.0]


def test_unknown_where_an_input_is() -> None:
    assert thermal_power_w(None, 60.0, 40.0) is None
    assert thermal_power_w(1000, None, 40.0) is None
    assert thermal_power_w(1000, 60.0, None) is None
    assert thermal_power_w(1000, 151.0, 40.0) is None
    assert thermal_power_w(1000, 60.0, -0.1) is None
    assert temperature_difference_k(None, 1.0) is None
    assert temperature_difference_k(28.87, 28.93) == -0.06
