"""Evidence that a site reads its meters wrongly: flow by powers of ten, exchanged temperatures.

May import: model. No clock: `now_s` is Unix time in seconds. A verdict takes many reports, and
falls by itself when they say otherwise. Reasons: docs/RELIABILITY.md, section "Readings".
"""

from dataclasses import dataclass, field
from math import isfinite, log10
from typing import Any, Self

from .model import MeterReading, Register

FLOW_PAIRS = 6
"""So many comparisons in a row must agree: an hour of a cabinet's reports."""
FLOW_MIN_COUNTS = 10
"""Volume that must have passed for a comparison: ten of its digits tell it within 10 %."""
FLOW_MIN_S = 60.0
"""Reports closer together were not read that close together."""
FLOW_MAX_S = 3 * 3600.0
"""Reports further apart say too little of the flow between them."""
_TOLERANCE = 0.2
"""Of a power of ten: a factor 1.6 either way, for a flow that changes between two reports."""
_POWERS = range(-2, 3)

REVERSED_S = 48 * 3600.0
"""Two days: no night setback and no mixing of a heated-up loop lasts so long."""
REVERSED_REPORTS = 12
REVERSED_K = 1.0
"""More than the two sensors differ at rest (captured: 0.1 K)."""
REVERSED_FROM_C = 30.0
"""Only hot water tells: a loop at rest has the temperature of the room."""


@dataclass(slots=True)
class FlowScaleEvidence:
    """What the flow must be multiplied with to agree with the volume that passed.

    `factor` is 1.0 until `FLOW_PAIRS` comparisons in a row said 0.01, 0.1, 10 or 100.
    """

    factor: float = 1.0
    _votes: int = 0
    _vote: int = 0
    _volume: Register | None = None
    _begin_s: float = 0.0
    _last_s: float = 0.0
    _last_l_h: float = 0.0
    _passed_l: float = 0.0

    def see(self, reading: MeterReading, volume: Register | None, now_s: float) -> None:
        """Take a report with the exact register of its volume, None where it is in doubt."""
        flow_l_h = reading.number("flow_l_h")
        if volume is None or flow_l_h is None:
            self._volume = None
            return
        gap_s = now_s - self._last_s
        begun = self._volume is not None and volume.has_unit_of(self._volume)
        if not begun or gap_s < FLOW_MIN_S or now_s - self._begin_s > FLOW_MAX_S:
            self._begin(volume, flow_l_h, now_s)
            return
        self._passed_l += (flow_l_h + self._last_l_h) / 2 * gap_s / 3600
        self._last_s, self._last_l_h = now_s, flow_l_h
        self._compare(volume, flow_l_h, now_s)

    def _begin(self, volume: Register, flow_l_h: float, now_s: float) -> None:
        self._volume, self._passed_l = volume, 0.0
        self._begin_s = self._last_s = now_s
        self._last_l_h = flow_l_h

    def _compare(self, volume: Register, flow_l_h: float, now_s: float) -> None:
        begin = self._volume
        if begin is None or volume.counts - begin.counts < FLOW_MIN_COUNTS or not self._passed_l:
            return
        power = log10(float(volume.exact - begin.exact) * 1000 / self._passed_l)
        self._begin(volume, flow_l_h, now_s)
        nearest = round(power)
        if nearest not in _POWERS or abs(power - nearest) > _TOLERANCE:
            self._votes = 0
            return
        self._votes = self._votes + 1 if nearest == self._vote else 1
        self._vote = nearest
        if self._votes >= FLOW_PAIRS:
            self.factor = 10.0**nearest

    def as_list(self) -> list[Any]:
        """Return what outlives a restart."""
        return [self.factor, self._votes, self._vote]

    @classmethod
    def from_list(cls, row: list[Any]) -> Self:
        """Return what `as_list` gave; raises ValueError or TypeError for anything else."""
        factor, votes, vote = row
        if int(vote) not in _POWERS or factor not in [10.0**power for power in _POWERS]:
            raise ValueError("no scale of a flow")
        return cls(float(factor), int(votes), int(vote))


@dataclass(slots=True)
class ReversalEvidence:
    """Whether the return has been hotter than the supply for days while hot water flowed."""

    _since_s: float | None = None
    _reports: int = field(default=0)
    _last_s: float = 0.0

    @property
    def found(self) -> bool:
        """Whether it was so long enough, in enough reports."""
        return (
            self._since_s is not None
            and self._reports >= REVERSED_REPORTS
            and self._last_s - self._since_s >= REVERSED_S
        )

    def see(self, reading: MeterReading, now_s: float) -> None:
        """Take a report; one without flow or without hot water says nothing."""
        supply_c = reading.number("supply_temperature_c")
        return_c = reading.number("return_temperature_c")
        if supply_c is None or return_c is None or max(supply_c, return_c) < REVERSED_FROM_C:
            return
        # A household valve does not measure its flow: open is the best that is known of it.
        moving = reading.number("flow_l_h" if "flow_l_h" in reading.values else "opening_pct")
        if not moving:
            return
        if supply_c > return_c:
            self._since_s, self._reports = None, 0
        elif return_c - supply_c > REVERSED_K:
            self._since_s = now_s if self._since_s is None else self._since_s
            self._reports += 1
            self._last_s = now_s

    def as_list(self) -> list[Any]:
        """Return what outlives a restart."""
        return [self._since_s, self._reports, self._last_s]

    @classmethod
    def from_list(cls, row: list[Any]) -> Self:
        """Return what `as_list` gave; raises ValueError or TypeError for anything else."""
        since_s, reports, last_s = row
        return cls(None if since_s is None else finite(since_s), int(reports), finite(last_s))


def finite(number: float | str) -> float:
    """Return a stored number; raises ValueError or TypeError for anything else."""
    value = float(number)
    if not isfinite(value):
        raise ValueError("no number")
    return value
