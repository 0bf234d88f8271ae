"""Proofs: openings that devices confirmed, and that reports have yet to show.

May import: exchange, wire modules, model, errors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .devices import CABINET, openings_shown
from .envelope import ReadNow
from .errors import FailureReason
from .exchange import Action, Ended, ReadMeter, Result, SetOpening, Timing
from .model import MeterReading

_UNANSWERED_READS_TO_LEARN = 2  # one may be chance
_READ_UNANSWERED = (
    FailureReason.METER_SILENT,
    FailureReason.METER_REFUSED,
    FailureReason.GATEWAY_REFUSED,
)


@dataclass(slots=True, eq=False, kw_only=True)
class Proof:
    """An opening that the device confirmed at `replied` and that a report has yet to show.

    `due` is the time of the next read-back and `until` the end of the travel time. Only a report
    at or after `until` shows that an opening was not reached.
    """

    ticket: int
    request: SetOpening
    timing: Timing
    tries: int
    submitted: float
    replied: float
    until: float = field(init=False)
    due: float = field(init=False)
    by_read_now: bool = False
    """Whether this meter left its last direct read unanswered: a msg 18 has the last word."""
    found_pct: tuple[int | float | None, ...] | None = None

    def __post_init__(self) -> None:
        """Work out the times."""
        self.until = self.replied + self.timing.travel_s
        self.plan(self.replied)

    def plan(self, now: float) -> None:
        """Set the time of the next read-back: the next step, and in the end `until`."""
        steps = (self.replied + step for step in self.timing.read_back_s)
        self.due = next((step for step in steps if now < step < self.until), self.until)

    def judge(self, reading: MeterReading, now: float) -> bool | None:
        """Return whether the opening was reached, None while the valve may still be moving."""
        self.found_pct = openings_shown(reading)
        wish, tolerance = self.request.opening_pct, self.timing.tolerance_pct
        if all(found is not None and abs(found - wish) <= tolerance for found in self.found_pct):
            return True
        return False if now >= self.until else None


@dataclass(frozen=True, slots=True)
class ReadBack:
    """A request that brings reports, the proofs that wait for them, and when it was made."""

    request: ReadMeter | ReadNow
    proofs: Sequence[Proof]
    made: float
    max_tries: int


class Proofs:
    """The proofs under way of one gateway, one per meter; their ends are added to `actions`."""

    def __init__(self, gateway_id: str, timing: Timing, actions: list[Action]) -> None:
        """Start with none, and without knowing whether direct reads are answered."""
        self.direct_reads: bool | None = None
        self._gateway_id = gateway_id
        self._timing = timing
        self._actions = actions
        self._proofs: dict[bytes, Proof] = {}
        self._unanswered_reads = 0

    def get(self, address: bytes) -> Proof | None:
        """Return the proof under way of a meter."""
        return self._proofs.get(address)

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._proofs)

    def deadlines(self) -> list[float]:
        """Return when there will be something to read back."""
        return [proof.due for proof in self._proofs.values()]

    def begin(self, proof: Proof) -> None:
        """Look from now on for a report that shows the opening."""
        self._proofs[proof.request.meter.address] = proof

    def judge(self, readings: Iterable[MeterReading], now: float) -> None:
        """End the proofs that reports decide, whoever asked for the reports."""
        for reading in readings:
            proof = self._proofs.get(reading.address)
            if proof is None or proof.request.meter.device != reading.device:
                continue
            reached = proof.judge(reading, now)
            if reached is not None:
                self.end(proof, None if reached else FailureReason.NOT_REACHED, now)

    def end(self, proof: Proof, reason: FailureReason | None, now: float) -> None:
        """End a proof that is under way."""
        del self._proofs[proof.request.meter.address]
        result = Result(
            reason=reason,
            tries=proof.tries,
            duration_s=now - proof.submitted,
            found_pct=proof.found_pct,
        )
        self._actions.append(Ended(proof.ticket, result))

    def end_all(self, reason: FailureReason, now: float) -> None:
        """End every proof."""
        for proof in list(self._proofs.values()):
            self.end(proof, reason, now)

    # --- Read-backs -------------------------------------------------------------------------

    def due(self, now: float) -> Proof | None:
        """Return the proof that needs a read-back first; those whose time is over come first."""
        due = [proof for proof in self._proofs.values() if now >= proof.due]
        return min(due, key=lambda proof: proof.until, default=None)

    def read_back(self, proof: Proof, now: float) -> ReadBack:
        """Return what brings a report: of this meter alone, or by msg 18 of all of its kind."""
        meter = proof.request.meter
        max_tries = self._timing.tries if now >= proof.until else 1
        if self.direct_reads is not False and not proof.by_read_now:
            return ReadBack(ReadMeter(meter), (proof,), now, max_tries)
        is_cabinet = meter.device == CABINET.key
        request = ReadNow(self._gateway_id, cabinets=is_cabinet, valves=not is_cabinet)
        alike = [
            other for other in self._proofs.values() if other.request.meter.device == meter.device
        ]
        return ReadBack(request, alike, now, max_tries)

    def pending(self, read_back: ReadBack) -> list[Proof]:
        """Return the proofs that still wait for a read-back."""
        return [
            proof
            for proof in read_back.proofs
            if self._proofs.get(proof.request.meter.address) is proof
        ]

    def read_back_over(self, read_back: ReadBack, reason: FailureReason | None, now: float) -> None:
        """Go on with those that it did not decide: the one after the travel time is the last."""
        unanswered = isinstance(read_back.request, ReadMeter) and reason in _READ_UNANSWERED
        if unanswered:
            self._learn_unanswered()
        for proof in self.pending(read_back):
            if read_back.made < proof.until:
                proof.plan(now)
            elif unanswered:
                proof.by_read_now = True  # it stays due
            else:
                self.end(proof, reason or FailureReason.METER_SILENT, now)

    def learn_answered(self) -> None:
        """Remember that direct reads are answered here, whoever asked."""
        self.direct_reads = True

    def _learn_unanswered(self) -> None:
        """Remember a gateway without direct reads.

        The meters answered their commands just before, so such failures speak of the gateway.
        """
        self._unanswered_reads += 1
        if self.direct_reads is None and self._unanswered_reads >= _UNANSWERED_READS_TO_LEARN:
            self.direct_reads = False
