"""Water as a heat carrier: thermal power from flow and two temperatures.

May import: standard library. Formulas: C. O. Popiel and J. Wojtkowiak, "Simple Formulas for
Thermophysical Properties of Liquid Water for Heat Transfer Calculations (from 0 °C to 150 °C)",
Heat Transfer Engineering 19 (1998) 3, pages 87-101, equations for density and specific heat
capacity at saturation; within 0.004 % and 0.04 % of the reference data in that range.
"""

from math import sqrt

LOWEST_C = 0.0
HIGHEST_C = 150.0
_SECONDS_PER_HOUR = 3600


def density_kg_m3(temperature_c: float) -> float:
    """Return the density of water at 0-150 °C."""
    t, root = temperature_c, sqrt(temperature_c)
    return (
        999.79684
        + 0.068317355 * t
        - 0.010740248 * t * t
        + 0.00082140905 * t * t * root
        - 2.3030988e-5 * t * t * t
    )


def heat_capacity_kj_kg_k(temperature_c: float) -> float:
    """Return the specific heat capacity of water at 0-150 °C."""
    t, root = temperature_c, sqrt(temperature_c)
    return (
        4.2174356
        - 0.0056181625 * t
        + 0.0012992528 * t * root
        - 0.00011535353 * t * t
        + 4.14964e-6 * t * t * root
    )


def temperature_difference_k(supply_c: float | None, return_c: float | None) -> float | None:
    """Return supply minus return to 0.01 K, None where an input is unknown."""
    if supply_c is None or return_c is None:
        return None
    return _difference_k(supply_c, return_c)


def _difference_k(supply_c: float, return_c: float) -> float:
    return round(supply_c - return_c, 2) + 0.0  # + 0.0: never minus zero


def thermal_power_w(
    flow_l_h: float | None, supply_c: float | None, return_c: float | None
) -> float | None:
    """Return the heat given off per second: flow × ΔT × density × heat capacity.

    Density and heat capacity are those at the mean of both temperatures. None where an input is
    unknown or a temperature is outside 0-150 °C; zero is never negative.
    """
    if flow_l_h is None or supply_c is None or return_c is None:
        return None
    if not (LOWEST_C <= supply_c <= HIGHEST_C and LOWEST_C <= return_c <= HIGHEST_C):
        return None
    mean_c = (supply_c + return_c) / 2
    # L/h × kg/m³ × kJ/(kg K) × K = J/h, since 1 L/m³ is 1/1000 and 1 kJ is 1000 J.
    water_j_l_k = density_kg_m3(mean_c) * heat_capacity_kj_kg_k(mean_c)
    heat_j_h = flow_l_h * water_j_l_k * _difference_k(supply_c, return_c)
    return round(heat_j_h / _SECONDS_PER_HOUR, 1) + 0.0
