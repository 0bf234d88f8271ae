"""Whether what a meter counts can be true: held back, late, reset, rolled over, or taken.

May import: devices, evidence, model. No clock: `now_s` is Unix time in seconds, given by the
caller. The rules with their reasons: docs/RELIABILITY.md, section "Readings".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Self

from . import devices
from .evidence import FlowScaleEvidence, ReversalEvidence, finite
from .model import REGISTER_SPAN, MeterReading, Register, Value

WATER_KWH_M3_K = 1.163
"""Heat that a cubic meter of water carries per kelvin."""
MAX_FLOW_M3_H = 200.0
"""Overload flow of a DN125 heat meter (EN 1434: twice its nominal 100 m³/h): larger ones stand in
heat plants, and a cabinet serves one building."""
MAX_DIFFERENCE_K = 100.0
"""130 °C supply of a Chinese primary network against 30 °C return: no larger one is designed."""
MAX_POWER_KW = WATER_KWH_M3_K * MAX_FLOW_M3_H * MAX_DIFFERENCE_K
"""23 260 kW: what no cabinet can measure more of."""
_MAX_PER_HOUR = {"_kwh": MAX_POWER_KW, "_m3": MAX_FLOW_M3_H}

BACKLOG_GAP_S = 5.0
"""Reports of one meter closer than this waited somewhere: a bus of 101 devices at 2400 baud does
not read one of them so often."""
BACKLOG_S = 86_400.0
"""How far back the first report of a meter that nobody knew may reach: what a broker keeps."""
DECISION_S = 60.0
"""A suspicious value is confirmed by a later reading only, not by its own duplicate or by the rest
of a backlog."""
END_OF_REGISTER = REGISTER_SPAN * 9 // 10
"""Only a register in its last tenth rolls over: after days of silence much would be possible."""
KEPT_COUNTERS = 64
"""So many reports back a late message is recognized: a backlog of 60 and a few."""
KEPT_CLOCKS = 8


@dataclass(frozen=True, slots=True)
class Continued:
    """A counter that goes on from another number: `new` now stands where `old` was."""

    key: str
    old: Register
    new: Register


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a report is worth: `values` are those to show; a late one is not applied at all."""

    late: bool
    values: Mapping[str, Value]
    continued: tuple[Continued, ...] = ()


@dataclass(slots=True)
class Counter:
    """One counter: the register that is shown, and one that is doubted.

    `base` is the register before the present run of reports, `base_s` its time: a backlog is
    judged as a whole. `confirmed` means that the doubted one came again: the counter was reset.
    """

    accepted: Register
    accepted_s: float
    base: Register
    base_s: float
    suspect: Register | None = None
    suspect_s: float = 0.0
    confirmed: bool = False

    @classmethod
    def first(cls, register: Register, now_s: float) -> Self:
        """Return the counter of a meter that was not known before."""
        return cls(register, now_s, register, now_s - BACKLOG_S)

    def take(self, new: Register, now_s: float, max_per_hour: float) -> Register | None:
        """Judge a register; return where it starts from if it has rolled over."""
        if now_s - self.accepted_s >= BACKLOG_GAP_S:
            self.base, self.base_s = self.accepted, self.accepted_s
        if new == self.accepted:
            self.accepted, self.accepted_s = new, now_s
            self.suspect, self.confirmed = None, False
            return None
        allowed = max_per_hour * (now_s - self.base_s) / 3600
        suspect = self.suspect
        follows = suspect is not None and _continues(suspect, suspect, new, allowed)
        # Values above the old one would with time fit it by chance: a reset upwards stays one.
        above = self.confirmed and suspect is not None and suspect.exact > self.accepted.exact
        if not (above and follows) and _continues(self.accepted, self.base, new, allowed):
            self._accept(new, now_s)
        elif not follows:
            self.suspect, self.suspect_s = new, now_s
        else:
            self.suspect = new
            if now_s - self.suspect_s >= DECISION_S:
                return self._confirm(new, now_s, allowed)
        return None

    def shift(self, by_s: float) -> None:
        """Move all times, when the clock was set back."""
        self.accepted_s += by_s
        self.base_s += by_s
        self.suspect_s += by_s

    def continue_from_suspect(self, now_s: float) -> tuple[Register, Register] | None:
        """Take a confirmed reset as what it is; return the old and the new register."""
        if not self.confirmed or self.suspect is None:
            return None
        old, new = self.accepted, self.suspect
        self.accepted = self.base = new
        self.accepted_s = self.base_s = now_s
        self.suspect, self.confirmed = None, False
        return old, new

    def _accept(self, new: Register, now_s: float) -> None:
        if new.at_least(self.accepted):  # a coarser unit may show a little less
            self.accepted = new
        self.accepted_s = now_s
        self.suspect, self.confirmed = None, False

    def _confirm(self, new: Register, now_s: float, allowed: float) -> Register | None:
        # As if the register had gone on: the start of the new round lies one span below.
        start = self.accepted._replace(counts=self.accepted.counts - REGISTER_SPAN)
        base = self.base._replace(counts=self.base.counts - REGISTER_SPAN)
        at_the_end = self.accepted.counts >= END_OF_REGISTER and not self.confirmed
        if at_the_end and new.has_unit_of(start) and _continues(start, base, new, allowed):
            self.accepted, self.base = new, base
            self.accepted_s = now_s
            self.suspect, self.confirmed = None, False
            return start
        self.confirmed = True
        return None


def _continues(last: Register, base: Register, new: Register, allowed: float) -> bool:
    """Whether a register can follow on `last` with no more than `allowed` since `base`.

    One digit of the coarser unit is never too much, and where the unit changed never too little.
    """
    if new.has_unit_of(last) and new.has_unit_of(base):  # nearly always: then in whole counts
        most = 1 + allowed * new.denominator / new.numerator
        return new.counts >= last.counts and new.counts - base.counts <= most
    digit = max(last.digit, new.digit)
    slack = 0 if new.has_unit_of(last) else digit
    return new.exact >= last.exact - slack and new.exact - base.exact <= digit + allowed


@dataclass(slots=True)
class MeterMemory:
    """What is remembered of one meter to judge its next report by."""

    last_s: float | None = None
    delivered_late: bool = False
    counters: dict[str, Counter] = field(default_factory=dict)
    begun: dict[str, Register] = field(default_factory=dict)
    """Where each counter stood when its meter was first heard of."""
    flow_scale: FlowScaleEvidence = field(default_factory=FlowScaleEvidence)
    reversal: ReversalEvidence = field(default_factory=ReversalEvidence)
    # Lists, because most meters have no counters, many no clock, and a deque takes 700 bytes more.
    _history: list[dict[str, Register]] = field(default_factory=list)
    _clocks: list[datetime] = field(default_factory=list)
    _set_back_s: float | None = None
    _last_frame: bytes = b""

    @property
    def resets(self) -> dict[str, tuple[Register, Register]]:
        """The counters that were reset, each with its old and its new register."""
        return {
            key: (counter.accepted, counter.suspect)
            for key, counter in self.counters.items()
            if counter.confirmed and counter.suspect is not None
        }

    def judge(self, reading: MeterReading, now_s: float, *, direct: bool = False) -> Judgement:
        """Judge a report; `direct` tells an answer to a read of this one meter."""
        gap_s = self._advance(now_s)
        registers = devices.counters(reading)
        late = self._is_late(registers)
        continued = tuple(self._take(registers, now_s))
        if late:
            decided = continued or any(counter.confirmed for counter in self.counters.values())
            late = not decided
        if self._clock_is_late(reading, now_s) or late:
            return Judgement(True, {})
        in_backlog = gap_s is not None and gap_s < BACKLOG_GAP_S and not direct
        is_new = reading.frame != self._last_frame
        self.delivered_late = in_backlog and (is_new or self.delivered_late)
        self._last_frame = reading.frame
        self._remember(registers)
        self.flow_scale.see(reading, self._volume(registers), now_s)
        self.reversal.see(reading, now_s)
        believed = all(
            counter.accepted is registers.get(key) for key, counter in self.counters.items()
        )
        return Judgement(False, reading.values if believed else self.shown(reading), continued)

    def shown(self, reading: MeterReading) -> Mapping[str, Value]:
        """Return the values to show of a reading: counters as far as they can be trusted."""
        if not self.counters:
            return reading.values
        counters: dict[str, Value] = {
            key: None if counter.confirmed else counter.accepted.value
            for key, counter in self.counters.items()
            if reading.values.get(key) is not None
        }
        return {**reading.values, **counters}

    def continue_counter(self, key: str, now_s: float) -> Continued | None:
        """Continue a counter that was reset; return None where it was not."""
        counter = self.counters.get(key)
        found = counter.continue_from_suspect(now_s) if counter else None
        if found is None:
            return None
        self._history.clear()
        self._move_begin(key, *found)
        return Continued(key, *found)

    def continues(self, before: Self) -> list[Continued]:
        """Return how the counters of a meter go on whose place this one has taken.

        They go on from the first registers of this one: what it has counted since then counts.
        """
        return [
            Continued(key, before.counters[key].accepted, self.begun.get(key, counter.accepted))
            for key, counter in self.counters.items()
            if key in before.counters
        ]

    def _advance(self, now_s: float) -> float | None:
        """Note the time; return the seconds since the last report, by a clock that may be set."""
        last_s, self.last_s = self.last_s, now_s
        if last_s is None:
            return None
        if now_s < last_s:
            for counter in self.counters.values():
                counter.shift(now_s - last_s)
        return now_s - last_s

    def _take(self, registers: Mapping[str, Register | None], now_s: float) -> list[Continued]:
        rolled: list[Continued] = []
        for key, register in registers.items():
            if register is None:
                continue
            counter = self.counters.get(key)
            if counter is None:
                self.counters[key] = Counter.first(register, now_s)
                self.begun[key] = register
                continue
            old = counter.accepted
            start = counter.take(register, now_s, _max_per_hour(key))
            if start is not None:
                self._move_begin(key, old, start)
                rolled.append(Continued(key, old, start))
        return rolled

    def _move_begin(self, key: str, old: Register, new: Register) -> None:
        """Let the beginning of a counter be as far from `new` as it was from `old`."""
        begun = self.begun.get(key, old)
        alike = begun.has_unit_of(old) and new.has_unit_of(old)
        counts = begun.counts + new.counts - old.counts
        self.begun[key] = new._replace(counts=counts) if alike else new

    def _is_late(self, registers: Mapping[str, Register | None]) -> bool:
        """Whether all counters stand where they stood some reports ago."""
        for key, counter in self.counters.items():
            register = registers.get(key)
            if register is not None and not counter.accepted.at_least(register):
                return False  # one went on, as in nearly every report
        known = {key: register for key, register in registers.items() if register is not None}
        accepted = {key: counter.accepted for key, counter in self.counters.items()}
        if not self._history or known.keys() != accepted.keys() or known == accepted:
            return False
        oldest = self._history[0]
        return all(
            key in oldest
            and register.has_unit_of(accepted[key])
            and register.at_least(oldest[key])
            and accepted[key].at_least(register)
            for key, register in known.items()
        )

    def _remember(self, registers: Mapping[str, Register | None]) -> None:
        known = {key: register for key, register in registers.items() if register is not None}
        if any(counter.suspect is not None for counter in self.counters.values()):
            return
        if known and (not self._history or self._history[-1] != known):
            self._history.append(known)
            del self._history[:-KEPT_COUNTERS]

    def _clock_is_late(self, reading: MeterReading, now_s: float) -> bool:
        """Whether the device's clock stands where it stood some reports ago.

        Not so if it still does at the next reading: then it was set back.
        """
        clock = reading.values.get("device_clock")
        if not isinstance(clock, datetime):
            return False
        if self._clocks and self._clocks[0] <= clock < self._clocks[-1]:
            if self._set_back_s is None:
                self._set_back_s = now_s
            if now_s - self._set_back_s < DECISION_S:
                return True
            self._clocks.clear()
        elif self._clocks and clock < self._clocks[0]:
            self._clocks.clear()
        self._set_back_s = None
        if not self._clocks or self._clocks[-1] != clock:
            self._clocks.append(clock)
            del self._clocks[:-KEPT_CLOCKS]
        return False

    def _volume(self, registers: Mapping[str, Register | None]) -> Register | None:
        counter = self.counters.get("volume_m3")
        trusted = counter is not None and counter.suspect is None
        return registers.get("volume_m3") if trusted else None

    # --- Across restarts --------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """Return what outlives a restart, in what JSON has."""
        return {
            "last_s": self.last_s,
            "delivered_late": self.delivered_late,
            "counters": {key: _to_list(counter) for key, counter in self.counters.items()},
            "begun": {key: _register_to_list(register) for key, register in self.begun.items()},
            "flow_scale": self.flow_scale.as_list(),
            "reversal": self.reversal.as_list(),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return what `as_dict` gave; raises ValueError for anything else."""
        try:
            return cls(
                None if stored["last_s"] is None else finite(stored["last_s"]),
                bool(stored["delivered_late"]),
                {str(key): _counter_from_list(row) for key, row in stored["counters"].items()},
                {str(key): _register(row) for key, row in stored.get("begun", {}).items()},
                FlowScaleEvidence.from_list(stored["flow_scale"]),
                ReversalEvidence.from_list(stored["reversal"]),
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as err:
            raise ValueError(f"not what is remembered of a meter: {err!r}") from err


def _to_list(counter: Counter) -> list[Any]:
    row = [
        part and _register_to_list(part)
        for part in (counter.accepted, counter.base, counter.suspect)
    ]
    return [*row, counter.accepted_s, counter.base_s, counter.suspect_s, counter.confirmed]


def _counter_from_list(row: list[Any]) -> Counter:
    accepted, base, suspect, *times, confirmed = row
    accepted_s, base_s, suspect_s = map(finite, times)
    doubted = None if suspect is None else _register(suspect)
    return Counter(
        _register(accepted),
        accepted_s,
        _register(base),
        base_s,
        doubted,
        suspect_s,
        bool(confirmed) and doubted is not None,
    )


def _register_to_list(register: Register) -> list[int]:
    return [register.counts, register.numerator, register.denominator]


def _register(row: list[Any]) -> Register:
    counts, numerator, denominator = map(int, row)
    if numerator < 1 or denominator < 1:
        raise ValueError("a register without a unit")
    return Register(counts, numerator, denominator)


@cache
def _max_per_hour(key: str) -> float:
    return next(most for ending, most in _MAX_PER_HOUR.items() if key.endswith(ending))
