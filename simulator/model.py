"""Weather, heating curve and hydraulics of a building, as pure functions of time.

Flow and temperatures are constant within a step and have the resolution of the wire (1 L/h,
0.01 °C); the registers add up exactly what they say:

    volume = flow × time        energy = volume × (supply − return) × k(mean temperature)

where k is density × specific heat capacity of water at the mean of supply and return, from
steam tables (HEAT_COEFFICIENTS). Any consumer that derives thermal power from flow and
temperatures with a correct formula for water gets the growth of the energy register.
"""

from bisect import bisect_right
from dataclasses import dataclass
import math
from random import Random
from typing import Self

from .motion import Motion
from .season import Season

_DAY_S = 86_400
_YEAR_DAYS = 365.2425
_HOUR_S = 3600

HEAT_COEFFICIENTS = tuple(
    (temperature_c, density_kg_m3 * capacity_kj_kg_k / 3600)
    for temperature_c, density_kg_m3, capacity_kj_kg_k in (
        (0, 999.84, 4.2194),
        (10, 999.70, 4.1955),
        (20, 998.21, 4.1844),
        (30, 995.65, 4.1801),
        (40, 992.22, 4.1796),
        (50, 988.04, 4.1815),
        (60, 983.20, 4.1851),
        (70, 977.76, 4.1902),
        (80, 971.79, 4.1969),
        (90, 965.31, 4.2053),
        (100, 958.37, 4.2157),
    )
)
"""Temperature in °C and heat per volume and kelvin in kWh/(m³ K), which is Wh/(L K).

Density and specific heat capacity of water: CRC Handbook of Chemistry and Physics.
"""


def heat_coefficient(temperature_c: float) -> float:
    """Return the heat that water at 0-100 °C carries, in Wh per litre and kelvin."""
    place = bisect_right(HEAT_COEFFICIENTS, temperature_c, key=lambda row: row[0])
    (low_c, low), (high_c, high) = HEAT_COEFFICIENTS[max(0, min(place, 10) - 1) :][:2]
    return low + (high - low) * (temperature_c - low_c) / (high_c - low_c)


@dataclass(frozen=True, slots=True)
class Climate:
    """Outdoor temperature of a place; each swing is half the way from lowest to highest.

    The coldest day is 20 January and the warmest hour 15 h, local time; `phases` (0 to 1) make
    the weather of several days.
    """

    mean_c: float = 10.0
    yearly_swing_c: float = 16.0
    daily_swing_c: float = 4.0
    weather_swing_c: float = 3.0
    phases: tuple[float, float] = (0.0, 0.0)

    def outdoor_c(self, local_s: float) -> float:
        """Return the temperature at a local time in seconds since 1970."""
        day = local_s / _DAY_S
        year = -math.cos(math.tau * (day - 19.5) / _YEAR_DAYS)
        hour = math.cos(math.tau * (day - 15 / 24))
        first, second = self.phases
        weather = math.sin(math.tau * (day / 5.3 + first)) + math.sin(
            math.tau * (day / 11.7 + second)
        )
        return (
            self.mean_c
            + self.yearly_swing_c * year
            + self.daily_swing_c * hour
            + self.weather_swing_c * weather / 2
        )


def supply_by_heating_curve_c(outdoor_c: float) -> float:
    """Return the supply temperature that a plant gives at an outdoor temperature."""
    return min(80.0, max(28.0, 30.0 + 1.0 * (18.0 - outdoor_c)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopCharacter:
    """What makes one heating loop differ from another.

    `transfer_units` says how well its radiators cool the water at nominal flow (NTU).
    """

    nominal_flow_l_h: float
    transfer_units: float
    room_c: float
    energy_kwh: float
    volume_m3: float

    @classmethod
    def drawn(cls, random: Random, flats: int) -> Self:
        """Return a likely loop for a number of flats, with some years on its registers."""
        volume_m3 = random.uniform(2_000, 60_000)
        return cls(
            nominal_flow_l_h=max(1, flats) * random.uniform(240, 320),
            transfer_units=random.uniform(0.35, 0.5),
            room_c=random.uniform(20.5, 22.5),
            energy_kwh=volume_m3 * random.uniform(10, 13),
            volume_m3=volume_m3,
        )


@dataclass(frozen=True, slots=True)
class LoopReading:
    """What a heat meter on the loop shows; registers in whole hundredths, as on the wire."""

    flow_l_h: int
    supply_c: float
    return_c: float
    energy_kwh: float
    volume_m3: float


class HeatingLoop:
    """One heating loop: a regulating valve, a heat meter and the flats behind them.

    Time only goes forward; whoever moves a valve of the loop does it by `move`.
    """

    STEP_S = 60.0
    MOVING_STEP_S = 5.0
    FLOWING_TIME_CONSTANT_S = 180.0
    RESTING_TIME_CONSTANT_S = 3 * 3600.0
    _REGISTER_ROLL_OVER = 10**8

    def __init__(
        self, character: LoopCharacter, climate: Climate, season: Season, valve: Motion, now: float
    ) -> None:
        """Start as if everything had been as it is for long."""
        self.character = character
        self.valve = valve
        self.flats: list[Motion] = []
        self._climate = climate
        self.season = season
        self._moving_until = 0.0
        self._demand: float | None = None  # mean opening of the flats, while it lasts
        self._volume_l = 0.0
        self._energy_wh = 0.0
        self._since = now
        self._flow_l_h = 0
        self._supply_c = self._return_c = character.room_c
        self._power_w = 0.0
        self.settle(now)

    def settle(self, now: float) -> None:
        """Take on what the loop tends to at a time, at once."""
        self._demand = None
        self._begin_step(now, math.inf)

    def move(self, valve: Motion, target_pct: float, now: float) -> None:
        """Move a valve of this loop, which sees the flow change from now on."""
        self.advance(now)
        valve.move(target_pct, now)
        self._moving_until = max(self._moving_until, valve.arrives_at)
        self._next_step(now)

    def advance(self, now: float) -> None:
        """Live through all whole steps up to a time."""
        while (boundary := self._boundary()) <= now:
            self._next_step(boundary)

    def reading(self, now: float) -> LoopReading:
        """Return what the heat meter shows."""
        self.advance(now)
        elapsed_h = (now - self._since) / _HOUR_S
        energy_wh = self._energy_wh + self._power_w * elapsed_h
        volume_l = self._volume_l + self._flow_l_h * elapsed_h
        return LoopReading(
            self._flow_l_h,
            round(self._supply_c, 2),
            round(self._return_c, 2),
            self._register(self.character.energy_kwh, energy_wh / 10),
            self._register(self.character.volume_m3, volume_l / 10),
        )

    def _boundary(self) -> float:
        """Return the end of the step in force; steps are short while a valve moves."""
        moving = self._since < self._moving_until
        step = self.MOVING_STEP_S if moving else self.STEP_S
        boundary = (self._since // step + 1) * step
        return min(boundary, self._moving_until) if moving else boundary

    def _next_step(self, now: float) -> None:
        """End the step in force, which the registers add up, and begin the next one."""
        elapsed_s = now - self._since
        self._volume_l += self._flow_l_h * elapsed_s / _HOUR_S
        self._energy_wh += self._power_w * elapsed_s / _HOUR_S
        self._since = now
        self._begin_step(now, elapsed_s)

    def _begin_step(self, now: float, elapsed_s: float) -> None:
        """Set flow, temperatures and power for the step that begins now."""
        self._flow_l_h = self._flow(now)
        supply_c, return_c, time_constant_s = self._tendency(now)
        approach = -math.expm1(-elapsed_s / time_constant_s)
        self._supply_c += approach * (supply_c - self._supply_c)
        self._return_c += approach * (return_c - self._return_c)
        shown_supply_c, shown_return_c = round(self._supply_c, 2), round(self._return_c, 2)
        difference_k = max(0.0, shown_supply_c - shown_return_c)
        mean_c = (shown_supply_c + shown_return_c) / 2
        self._power_w = self._flow_l_h * difference_k * heat_coefficient(mean_c)

    def _flow(self, now: float) -> int:
        if not self.season.contains(now):
            return 0
        if self._demand is None or now <= self._moving_until:
            openings = [flat.opening_pct(now) for flat in self.flats]
            self._demand = sum(openings) / (100 * len(openings)) if openings else 1.0
        share: float = (self.valve.opening_pct(now) / 100) ** 1.5
        return round(self.character.nominal_flow_l_h * share * self._demand)

    def _tendency(self, now: float) -> tuple[float, float, float]:
        """Return supply and return temperature that the loop tends to, and how slowly."""
        room_c = self.character.room_c
        if self._flow_l_h == 0:
            return room_c, room_c, self.RESTING_TIME_CONSTANT_S
        outdoor_c = self._climate.outdoor_c(now + self.season.utc_offset_s)
        supply_c = supply_by_heating_curve_c(outdoor_c)
        # Radiators as a heat exchanger to rooms of constant temperature: what is left of the
        # difference is exp(-NTU). Closed flats take their radiators along, so only the
        # regulating valve changes the flow through each radiator.
        opening = max(0.01, self.valve.opening_pct(now) / 100)
        remaining = math.exp(-self.character.transfer_units / opening**1.5)
        return supply_c, room_c + (supply_c - room_c) * remaining, self.FLOWING_TIME_CONSTANT_S

    def _register(self, start: float, grown_hundredths: float) -> float:
        # Counters show full hundredths only; the small term keeps a sum of floats that is a
        # hair below a full one from showing the one before.
        hundredths = round(start * 100) + math.floor(grown_hundredths + 1e-6)
        return hundredths % self._REGISTER_ROLL_OVER / 100
