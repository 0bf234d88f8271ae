"""One gateway's conversation, without input, output or clock.

May import: exchange, job, proof, queries, wire modules, model, errors. Every method takes the
time in seconds of any monotonic clock and returns what is to be done. The rules:

1. One job on the bus at a time, and none while the reports of a read-now come in.
2. Every request ends exactly once: in `Ended`, after `Replied` where a proof follows.
3. The newest opening of a meter wins; an older one ends as superseded.
4. A device's reply is no proof: only a report that shows the opening is.
5. What cannot be sent now fails now; what waited too long is never sent.

Wire facts: docs/PROTOCOL.md, section 6.
"""

from collections.abc import Sequence
import itertools

from .devices import CABINET, HOUSEHOLD_VALVE
from .envelope import (
    FromGateway,
    ReadNow,
    ReadNowAck,
    Report,
    SettingsQuery,
    SettingsReply,
    Stat,
    StatusQuery,
    StatusReply,
    TransparentAck,
    TransparentReply,
)
from .errors import FailureReason
from .exchange import (
    Action,
    Content,
    Ended,
    ReadMeter,
    Replied,
    Request,
    Result,
    Send,
    SendFrame,
    SetOpening,
    Timing,
)
from .job import BusRequest, Job, Reading, message_of
from .model import ErrorReply, MeterReading, SetOpeningReply, UnknownReading
from .proof import Proof, Proofs, ReadBack
from .queries import Queries

__all__ = [
    "Action",
    "Content",
    "Ended",
    "ReadMeter",
    "Replied",
    "Request",
    "Result",
    "Send",
    "SendFrame",
    "Session",
    "SetOpening",
    "Timing",
]


_MAX_RESTING = 1024


class Session:
    """The state of one gateway's conversation."""

    def __init__(self, gateway_id: str, timing: Timing | None = None) -> None:
        """Start with the link down and the gateway not known to be silent."""
        self.gateway_id = gateway_id
        self.timing = timing or Timing()
        self.link_up = False
        self.read_now_s: float | None = None
        """When a read-now was acknowledged last, ours or another master's."""
        self._closed = False
        self._misses = 0
        self._meter_counts: dict[str, int | None] = {}
        self._actions: list[Action] = []
        self._numbers = itertools.count(1)
        self._queries = Queries(self.timing, self._numbers, self._actions)
        self._proofs = Proofs(gateway_id, self.timing, self._actions)
        self._wanted: list[Job] = []
        self._moved: dict[bytes, float] = {}
        self._current: Job | None = None
        self._reading: Reading | None = None
        self._turn_of_proofs = False

    # --- What can be asked ------------------------------------------------------------------

    @property
    def gateway_silent(self) -> bool:
        """Whether the gateway left so many queries and commands in a row unanswered."""
        return self._misses >= self.timing.lost_after_misses

    @property
    def direct_reads(self) -> bool | None:
        """Whether the gateway answers direct reads; None while nobody knows."""
        return self._proofs.direct_reads

    @property
    def in_flight(self) -> BusRequest | None:
        """The request that waits for an answer from the bus."""
        return self._current.request if self._current else None

    @property
    def queued(self) -> int:
        """Number of requests that wait for the bus."""
        return len(self._wanted)

    def proving(self, address: bytes) -> int | None:
        """Return the opening that a meter was told and has not yet shown, in percent."""
        proof = self._proofs.get(address)
        return proof.request.opening_pct if proof else None

    def next_deadline(self) -> float | None:
        """Return when `tick` is due, None when there is nothing to wait for."""
        if self._is_idle:
            return None
        deadlines = self._queries.deadlines()
        deadlines += [job.expires for job in self._wanted[:1]]  # the oldest expires first
        deadlines += [busy.deadline for busy in (self._current, self._reading) if busy]
        if self._bus_is_free:  # else what is due waits for the bus, not for a time
            deadlines += self._proofs.deadlines()
            deadlines += [job.begins for job in self._wanted]
        return min(deadlines)

    # --- What can happen --------------------------------------------------------------------

    def submit(self, ticket: int, request: Request, now: float) -> list[Action]:
        """Take a request; its end comes as `Ended` with the same ticket.

        Raises RequestError for a device type or an opening that does not exist.
        """
        if isinstance(request, StatusQuery | SettingsQuery):
            self._queries.submit(ticket, request, self._cannot_send(polling=True), now)
            return self._settle(now)
        job = self._job(request, now, ticket)
        if (blocked := self._cannot_send()) is not None:
            self._end_job(job, blocked, now)
        else:
            if isinstance(request, SetOpening):
                self._supersede(request.meter.address, now)
            self._wanted.append(job)
        return self._settle(now)

    def receive(
        self, message: FromGateway, contents: Sequence[Content], now: float
    ) -> list[Action]:
        """Take a message of the gateway and what the frames in it say."""
        if self._closed:
            return []
        self._misses = 0
        if self._is_idle and isinstance(message, Report):
            return []  # as nearly always: nobody waits for anything
        readings = [content for content in contents if isinstance(content, MeterReading)]
        # Before a read-back ends: its answer may be the proof.
        self._proofs.judge(readings, now)
        self._settle_reading(now)
        match message:
            case StatusReply() | SettingsReply():
                if isinstance(message, StatusReply) and message.stat is Stat.SUCCEEDED:
                    counts = {CABINET.key: message.cabinets, HOUSEHOLD_VALVE.key: message.valves}
                    self._meter_counts = counts
                self._queries.answered(message, now)
            case ReadNowAck():
                self._read_now_acknowledged(message, now)
            case TransparentAck():
                # Progress only: it names no command.
                current = self._current
                if current and current.is_out and not current.is_read_now:
                    current.acknowledged(message.stat, now)
            case TransparentReply():
                if readings:
                    self._proofs.learn_answered()
                for content in contents:
                    self._match_reply(content, now)
            case _:  # a report
                reading = self._reading
                if reading and reading.is_over(readings, self._meter_counts, now):
                    self._reading_over(reading, now)
        return self._settle(now)

    def tick(self, now: float) -> list[Action]:
        """Let time pass: end what is overdue, repeat what may be repeated."""
        return self._settle(now)

    def cancel(self, ticket: int, now: float) -> list[Action]:
        """Give up a request that still waits for the bus; what was sent cannot be called back."""
        for job in [job for job in self._wanted if job.ticket == ticket]:
            self._wanted.remove(job)
            self._end_job(job, FailureReason.CANCELED, now)
        return self._settle(now)

    def foreign_move(self, address: bytes, now: float) -> list[Action]:
        """Take it that another master moved a valve: ours can no longer be proved."""
        self._rests(address, now)
        if proof := self._proofs.get(address):
            self._proofs.end(proof, FailureReason.SUPERSEDED, now)
        return self._settle(now)

    def hand_over(self, job: int) -> bool:
        """Take it that a `Send` goes out now; return whether it still should.

        What arrives between the `Send` and this is no answer to it, but one to an older try,
        which makes this one needless, or to an older request, as a duplicate is.
        """
        current = self._current
        if current is None or current.number != job:
            return self._queries.awaits(job)
        if self._reading:  # another master's began meanwhile
            current.postpone(self._reading.deadline)
            return False
        current.handed_over = job
        return True

    def send_failed(self, job: int, now: float) -> list[Action]:
        """Take it that a `Send` was not published: what waits for it fails at once."""
        self._queries.failed(job, now)
        current = self._current
        if current and current.number == job and current.ack is None:
            if isinstance(current.request, SetOpening) and current.tries == 1:
                self._moved.pop(current.request.meter.address, None)  # it never moved
            self._end_job(current, FailureReason.LINK_DOWN, now)
        return self._settle(now)

    def link_changed(self, *, up: bool, now: float) -> list[Action]:
        """Take it that the link came or went: what waits fails, what was sent may be answered."""
        self.link_up = up
        return self._settle(now)

    def close(self, now: float) -> list[Action]:
        """End everything: every waiting caller gets the reason."""
        self._closed = True
        self._reading = None
        self._proofs.end_all(FailureReason.SHUT_DOWN, now)
        if self._current:
            self._end_job(self._current, FailureReason.SHUT_DOWN, now)
        return self._settle(now)

    # --- What follows -----------------------------------------------------------------------

    def _settle(self, now: float) -> list[Action]:
        """Draw all consequences at one time, and hand out what is to be done."""
        self._misses += self._queries.settle(self._cannot_send(polling=True), now)
        self._settle_reading(now)
        if self._current and now >= self._current.deadline:
            self._job_overdue(self._current, now)
        blocked = self._cannot_send()
        for waiting in self._wanted[:]:
            if blocked is not None or now >= waiting.expires:
                self._wanted.remove(waiting)
                self._end_job(waiting, blocked or FailureReason.EXPIRED, now)
        while self._bus_is_free and (job := self._next_job(now)):
            if blocked is None:
                self._send(job, now)
            else:
                self._end_job(job, blocked, now)
        actions = self._actions[:]
        self._actions.clear()
        return actions

    @property
    def _is_idle(self) -> bool:
        """Whether nothing was asked, is wanted or is to be proved."""
        return not (self._wanted or self._current or self._reading or self._queries or self._proofs)

    @property
    def _bus_is_free(self) -> bool:
        return self._current is None and self._reading is None

    def _cannot_send(self, *, polling: bool = False) -> FailureReason | None:
        """Return why nothing can be sent now; polls are how a silent gateway is found again."""
        if self._closed:
            return FailureReason.SHUT_DOWN
        if not self.link_up:
            return FailureReason.LINK_DOWN
        if self.gateway_silent and not polling:
            return FailureReason.GATEWAY_SILENT
        return None

    def _next_job(self, now: float) -> Job | None:
        """Return whose turn it is: what is wanted, in turns with proofs whose time is over."""
        proof = self._proofs.due(now)
        proof_waits = proof is not None and now >= proof.until
        ready = [job for job in self._wanted if now >= job.begins]
        if ready and not (proof_waits and self._turn_of_proofs):
            self._turn_of_proofs = True
            # A read-now holds the bus so long that openings would expire behind it.
            job = min(ready, key=lambda job: job.is_read_now)
            self._wanted.remove(job)
            return job
        self._turn_of_proofs = False
        if proof is None:
            return None
        read_back = self._proofs.read_back(proof, now)
        return self._job(read_back.request, now, read_back=read_back)

    # --- Jobs on the bus --------------------------------------------------------------------

    def _job(
        self,
        request: BusRequest,
        now: float,
        ticket: int | None = None,
        read_back: ReadBack | None = None,
    ) -> Job:
        message, control = message_of(self.gateway_id, request)
        begins = now
        if isinstance(request, SetOpening) and (moved := self._moved.get(request.meter.address)):
            begins = max(now, moved + self.timing.move_pause_s)
        return Job(
            request=request,
            message=message,
            control=control,
            timing=self.timing,
            submitted=now,
            expires=now + self.timing.queue_expiry_s,
            begins=begins,
            max_tries=_max_tries(request, read_back, self.timing),
            ticket=ticket,
            read_back=read_back,
        )

    def _supersede(self, address: bytes, now: float) -> None:
        """End whatever an older opening of a meter still waits for."""
        for job in [job for job in self._wanted if job.moves(address)]:
            self._wanted.remove(job)
            self._end_job(job, FailureReason.SUPERSEDED, now)
        if self._current and self._current.moves(address):
            # It keeps the bus until the device answers, but nobody waits for it any more.
            self._answer(self._current, FailureReason.SUPERSEDED, now)
            self._current.max_tries = 0
        if proof := self._proofs.get(address):
            self._proofs.end(proof, FailureReason.SUPERSEDED, now)

    def _send(self, job: Job, now: float) -> None:
        self._current = job
        job.number = next(self._numbers)  # so that late news of an older try ends nothing
        job.sent(now)
        if isinstance(job.request, SetOpening) and job.tries == 1:
            self._rests(job.request.meter.address, now)
        self._actions.append(Send(job.message, job.number))

    def _rests(self, address: bytes, now: float) -> None:
        """Let a motor rest from now; forged addresses must not fill the memory."""
        if len(self._moved) >= _MAX_RESTING:
            pause_s = self.timing.move_pause_s
            self._moved = {key: at for key, at in self._moved.items() if now - at < pause_s}
        if len(self._moved) < _MAX_RESTING:
            self._moved[address] = now

    def _job_overdue(self, job: Job, now: float) -> None:
        """Repeat a job that got no answer, within its budget of tries and time."""
        blocked = self._cannot_send()
        in_vain = job.read_back is not None and not self._proofs.pending(job.read_back)
        if blocked is None and job.tries < job.max_tries and not in_vain:
            if now >= job.expires:
                self._end_job(job, FailureReason.EXPIRED, now)
            elif self._reading:
                job.wait(self._reading.deadline)
            else:
                self._send(job, now)
            return
        if self.link_up and job.reason is FailureReason.GATEWAY_SILENT and not job.read_back:
            self._misses += 1  # a gateway that ignores direct reads only is not silent
        self._end_job(job, blocked or job.reason, now)

    def _match_reply(self, content: Content, now: float) -> None:
        job = self._current
        if job is None or not job.handed_over or isinstance(job.request, ReadNow):
            return
        if isinstance(job.request, SendFrame):
            if _fits(content, job.request):
                self._end_job(job, None, now, content)
            return
        if isinstance(content, UnknownReading):
            return
        meter = job.request.meter
        if (content.device, content.address) != (meter.device, meter.address):
            return
        match job.request, content:
            case SetOpening(opening_pct=wish), SetOpeningReply():
                if content.echoed and content.opening_pct != wish:
                    # An older try's or another master's: ours may still come.
                    job.reason = FailureReason.WRONG_ECHO
                else:
                    self._confirmed(job, job.request, now)
            case ReadMeter(), MeterReading():
                self._end_job(job, None, now, content)
            case _, ErrorReply(command_control=job.control):
                self._end_job(job, FailureReason.METER_REFUSED, now, content)
            case _:
                pass

    def _confirmed(self, job: Job, request: SetOpening, now: float) -> None:
        """Free the bus, and from now on look for a report that shows the opening."""
        self._current = None
        if job.ticket is None:
            return  # superseded meanwhile
        self._actions.append(Replied(job.ticket))
        self._proofs.begin(
            Proof(
                ticket=job.ticket,
                request=request,
                timing=self.timing,
                tries=job.tries,
                submitted=job.submitted,
                replied=now,
            )
        )

    def _read_now_acknowledged(self, message: ReadNowAck, now: float) -> None:
        job = self._current if self._current and self._current.is_read_now else None
        if job and not job.is_out:
            return
        if message.stat is Stat.FAILED:
            if job:
                job.acknowledged(message.stat, now)
            return
        self.read_now_s = now
        if job:
            self._current = None
            self._answer(job, None, now, message)
            self._reading = Reading(job, self.timing, now)
        elif self._reading is None:
            # Another master's, or our own that was given up: the bus is busy all the same.
            self._reading = Reading(None, self.timing, now)

    def _settle_reading(self, now: float) -> None:
        if self._reading and now >= self._reading.deadline:
            self._reading_over(self._reading, now)

    def _reading_over(self, reading: Reading, now: float) -> None:
        self._reading = None
        if reading.job:
            self._end_job(reading.job, None, now)

    def _end_job(
        self,
        job: Job,
        reason: FailureReason | None,
        now: float,
        reply: Content | None = None,
    ) -> None:
        if job is self._current:
            self._current = None
        self._answer(job, reason, now, reply)
        if job.read_back:
            self._proofs.read_back_over(job.read_back, reason, now)

    def _answer(
        self,
        job: Job,
        reason: FailureReason | None,
        now: float,
        reply: Content | ReadNowAck | None = None,
    ) -> None:
        """End the request for whoever waits; the job itself may still keep the bus."""
        if job.ticket is not None:
            duration_s = now - job.submitted
            result = Result(reason=reason, reply=reply, tries=job.tries, duration_s=duration_s)
            self._actions.append(Ended(job.ticket, result))
            job.ticket = None


def _max_tries(request: BusRequest, read_back: ReadBack | None, timing: Timing) -> int:
    if isinstance(request, SendFrame):
        return 1  # nobody knows whether it may be repeated
    return read_back.max_tries if read_back else timing.tries


def _fits(content: Content, request: SendFrame) -> bool:
    """Whether a device's answer belongs to a raw frame."""
    if request.address not in (None, content.address):
        return False
    match content:
        case UnknownReading():
            control = content.frame[9]
        case MeterReading() | SetOpeningReply() | ErrorReply():
            control = content.control
        case _:
            return False
    return request.control in (None, control & 0x3F)
