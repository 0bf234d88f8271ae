"""One gateway's conversation, without input, output or clock.

May import: wire modules, model, errors. Every method takes the time in seconds of any monotonic
clock and returns what is to be done. Rules kept here, and nowhere else:

1. One job on the bus at a time; a read-now occupies it until its reports are in.
2. Every request ends exactly once: in `Ended`, after `Replied` where a proof follows.
3. The newest opening of a meter wins; an older one ends as superseded.
4. A device's reply is no proof: only a report that shows the opening is.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from .devices import openings_shown, read_frame, set_opening_frame
from .envelope import (
    FromGateway,
    MsgId,
    ReadNow,
    ReadNowAck,
    Report,
    SettingsQuery,
    SettingsReply,
    Stat,
    StatusQuery,
    StatusReply,
    ToGateway,
    TransparentAck,
    TransparentCommand,
    TransparentReply,
)
from .errors import FailureReason
from .frame import Frame
from .model import (
    ErrorReply,
    FrameContent,
    MeterAddress,
    MeterReading,
    SetOpeningReply,
    UnknownReading,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Every duration in seconds and every bound of a conversation, with its reason."""

    ack_s: float = 10.0
    """A 4G round trip, generously."""
    reply_s: float = 30.0
    """The bus may be busy with a reading."""
    tries: int = 3
    query_tries: int = 2
    """A query is repeated once; the next poll comes anyway."""
    refused_pause_s: float = 2.0
    """A gateway that refused is busy: give it a moment."""
    queue_expiry_s: float = 120.0
    """After that a person has moved on."""
    travel_s: float = 180.0
    """Motor valves need 1 to 3 minutes."""
    tolerance_pct: float = 2.0
    read_back_s: tuple[float, ...] = (8.0, 24.0, 60.0, 120.0)
    """After the reply: soon for short moves, then at ever larger steps to spare the bus."""
    proof_limit_s: float = 600.0
    """After the travel time, for a bus too busy to read back; then the proof has failed."""
    read_quiet_s: float = 15.0
    """A read-now is over when no report came for so long."""
    read_limit_s: float = 90.0
    """Or at the latest after so long, so that commands do not expire behind it."""
    lost_after_misses: int = 3
    """Unanswered queries or commands in a row before a gateway counts as silent."""


@dataclass(frozen=True, slots=True)
class SetOpening:
    """Move a valve to 0-100 % and prove it."""

    meter: MeterAddress
    opening_pct: int


@dataclass(frozen=True, slots=True)
class ReadMeter:
    """Read one meter directly."""

    meter: MeterAddress


type Request = StatusQuery | SettingsQuery | ReadNow | SetOpening | ReadMeter


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a request ended: well where `reason` is None.

    `reply` is the message or frame that answered it; `found_pct` the openings that the last
    report showed, where a proof was wanted.
    """

    reason: FailureReason | None = None
    reply: StatusReply | SettingsReply | ReadNowAck | MeterReading | ErrorReply | None = None
    tries: int = 0
    duration_s: float = 0.0
    found_pct: tuple[int | float | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Publish a message; report a failure to `send_failed` with `job`."""

    message: ToGateway
    job: int


@dataclass(frozen=True, slots=True)
class Replied:
    """The device confirmed an opening; its proof is still to come."""

    ticket: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A request came to its one end."""

    ticket: int
    result: Result


type Action = Send | Replied | Ended
type Content = FrameContent | UnknownReading


class _State(Enum):
    QUEUED = auto()
    SENT = auto()
    ACKNOWLEDGED = auto()
    PAUSED = auto()
    COLLECTING = auto()


@dataclass(slots=True, eq=False)
class _Job:
    """Something that needs the bus. Without a ticket nobody waits for its end."""

    number: int
    ticket: int | None
    request: SetOpening | ReadMeter | ReadNow
    message: ToGateway
    control: int | None
    submitted: float
    max_tries: int
    state: _State = _State.QUEUED
    tries: int = 0
    deadline: float = 0.0
    limit: float = 0.0
    reported: set[bytes] = field(default_factory=set)
    last_reason: FailureReason = FailureReason.GATEWAY_SILENT
    for_proof: bool = False

    @property
    def address(self) -> bytes | None:
        return None if isinstance(self.request, ReadNow) else self.request.meter.address


@dataclass(slots=True, eq=False)
class _Query:
    """A status or settings query, shared by all who asked meanwhile."""

    number: int
    message: StatusQuery | SettingsQuery
    submitted: float
    deadline: float
    tickets: list[int]
    tries: int = 1


@dataclass(slots=True, eq=False)
class _Proof:
    """An opening that was confirmed and waits for a report that shows it."""

    ticket: int
    request: SetOpening
    tries: int
    submitted: float
    replied: float
    due: float
    later: Iterator[float]
    final: bool = False
    job: _Job | None = None
    found_pct: tuple[int | float | None, ...] | None = None


class Session:
    """The state of one gateway's conversation."""

    def __init__(self, gateway_id: str, timing: Timing | None = None) -> None:
        """Start with the link down and the gateway not known to be silent."""
        self.gateway_id = gateway_id
        self.timing = timing or Timing()
        self.link_up = False
        self.direct_reads: bool | None = None
        """Whether the gateway answers direct reads; None while nobody knows."""
        self._misses = 0
        self._closed = False
        self._numbers = 0
        self._direct_read_failures = 0
        self._expected: dict[str, int | None] = {"cabinet": None, "valve": None}
        self._current: _Job | None = None
        self._wanted: deque[_Job] = deque()
        self._read_backs: deque[_Job] = deque()
        self._queries: dict[MsgId, _Query] = {}
        self._proofs: dict[bytes, _Proof] = {}
        self._actions: list[Action] = []

    # --- What can be asked ------------------------------------------------------------------

    @property
    def gateway_silent(self) -> bool:
        """Whether the gateway left so many queries and commands in a row unanswered."""
        return self._misses >= self.timing.lost_after_misses

    @property
    def in_flight(self) -> SetOpening | ReadMeter | ReadNow | None:
        """The request that occupies the bus."""
        return self._current.request if self._current else None

    @property
    def queued(self) -> int:
        """Number of requests that wait for the bus."""
        return len(self._wanted) + len(self._read_backs)

    def proving(self, address: bytes) -> int | None:
        """Return the opening that a meter was told and has not yet shown, in percent."""
        proof = self._proofs.get(address)
        return proof.request.opening_pct if proof else None

    def next_deadline(self) -> float | None:
        """Return when `tick` is due, None when there is nothing to wait for."""
        deadlines = [query.deadline for query in self._queries.values()]
        if self._current:
            deadlines.append(self._current.deadline)
        deadlines += [job.submitted + self.timing.queue_expiry_s for job in self._wanted]
        deadlines += [proof.due for proof in self._proofs.values()]
        return min(deadlines, default=None)

    # --- What can happen --------------------------------------------------------------------

    def submit(self, ticket: int, request: Request, now: float) -> list[Action]:
        """Take a request; its end comes as `Ended` with the same ticket.

        Raises RequestError for an opening that the device does not have.
        """
        reason = self._cannot_send(polling=isinstance(request, StatusQuery | SettingsQuery))
        match request:
            case StatusQuery() | SettingsQuery():
                if reason is None:
                    self._submit_query(ticket, request, now)
            case SetOpening():
                frame = set_opening_frame(request.meter, request.opening_pct)
                if reason is None:
                    self._supersede(request.meter.address, now)
                    self._wanted.append(self._job(ticket, request, now, frame))
            case ReadMeter():
                if reason is None:
                    self._wanted.append(self._job(ticket, request, now, read_frame(request.meter)))
            case ReadNow():
                if reason is None:
                    self._wanted.append(self._job(ticket, request, now))
        if reason is not None:
            self._end(ticket, Result(reason=reason))
        return self._settle(now)

    def receive(
        self, message: FromGateway, contents: Sequence[Content], now: float
    ) -> list[Action]:
        """Take a message of the gateway and what the frames in it say."""
        self._misses = 0
        match message:
            case StatusReply():
                self._expected = {"cabinet": message.cabinets, "valve": message.valves}
                self._query_answered(MsgId.STATUS, message, now)
            case SettingsReply():
                self._query_answered(MsgId.SETTINGS, message, now)
            case ReadNowAck():
                self._read_now_acknowledged(message, now)
            case TransparentAck():
                self._transparent_acknowledged(message, now)
            case TransparentReply():
                for content in contents:
                    self._match_reply(content, now)
            case Report():
                self._reported(contents, now)
        for content in contents:
            if isinstance(content, MeterReading):
                self._prove(content, now)
        return self._settle(now)

    def tick(self, now: float) -> list[Action]:
        """Let time pass: end what is overdue, repeat what may be repeated."""
        for msg_id, query in list(self._queries.items()):
            if now >= query.deadline:
                self._query_overdue(msg_id, query, now)
        if self._current and now >= self._current.deadline:
            self._job_overdue(self._current, now)
        while self._wanted and now >= self._wanted[0].submitted + self.timing.queue_expiry_s:
            self._end_job(self._wanted.popleft(), FailureReason.EXPIRED, now)
        for proof in list(self._proofs.values()):
            if now >= proof.due:
                self._read_back(proof, now)
        return self._settle(now)

    def send_failed(self, job: int, now: float) -> list[Action]:
        """A message of a `Send` could not be published: what waits for it fails at once."""
        for msg_id, query in list(self._queries.items()):
            if query.number == job:
                del self._queries[msg_id]
                self._end_query(query, FailureReason.LINK_DOWN, now)
        current = self._current
        if current and current.number == job and current.state is _State.SENT:
            self._release()
            self._end_job(current, FailureReason.LINK_DOWN, now)
        return self._settle(now)

    def link_changed(self, *, up: bool, now: float) -> list[Action]:
        """The link came or went. What waits in the queue fails; what was sent may be answered."""
        self.link_up = up
        if not up:
            self._drop_queue(FailureReason.LINK_DOWN, now)
            for query in self._take_queries():
                self._end_query(query, FailureReason.LINK_DOWN, now)
        return self._settle(now)

    def close(self, now: float) -> list[Action]:
        """End everything: every waiting caller gets the reason."""
        self._closed = True
        reason = FailureReason.SHUT_DOWN
        self._drop_queue(reason, now)
        if current := self._current:
            self._release()
            self._end_job(current, reason, now)
        for query in self._take_queries():
            self._end_query(query, reason, now)
        for proof in list(self._proofs.values()):
            self._end_proof(proof, reason, now)
        return self._settle(now)

    # --- Queries ----------------------------------------------------------------------------

    def _submit_query(self, ticket: int, message: StatusQuery | SettingsQuery, now: float) -> None:
        msg_id = MsgId.STATUS if isinstance(message, StatusQuery) else MsgId.SETTINGS
        if query := self._queries.get(msg_id):
            query.tickets.append(ticket)
            return
        query = _Query(self._number(), message, now, now + self.timing.ack_s, [ticket])
        self._queries[msg_id] = query
        self._actions.append(Send(message, query.number))

    def _query_answered(
        self, msg_id: MsgId, message: StatusReply | SettingsReply, now: float
    ) -> None:
        query = self._queries.pop(msg_id, None)
        if query is None:
            return
        failed = message.stat is Stat.FAILED
        self._end_query(query, FailureReason.GATEWAY_REFUSED if failed else None, now, message)

    def _query_overdue(self, msg_id: MsgId, query: _Query, now: float) -> None:
        if query.tries < self.timing.query_tries:
            query.tries += 1
            query.deadline = now + self.timing.ack_s
            self._actions.append(Send(query.message, query.number))
            return
        del self._queries[msg_id]
        self._end_query(query, FailureReason.GATEWAY_SILENT, now)
        self._missed(now)

    def _take_queries(self) -> list[_Query]:
        queries = list(self._queries.values())
        self._queries.clear()
        return queries

    def _end_query(
        self,
        query: _Query,
        reason: FailureReason | None,
        now: float,
        reply: StatusReply | SettingsReply | None = None,
    ) -> None:
        result = Result(
            reason=reason, reply=reply, tries=query.tries, duration_s=now - query.submitted
        )
        for ticket in query.tickets:
            self._end(ticket, result)

    # --- The bus ----------------------------------------------------------------------------

    def _job(
        self,
        ticket: int | None,
        request: SetOpening | ReadMeter | ReadNow,
        now: float,
        frame: Frame | None = None,
    ) -> _Job:
        message: ToGateway
        if isinstance(request, ReadNow):
            message = request
        else:
            assert frame is not None
            message = TransparentCommand(
                self.gateway_id, frame.encode().hex().upper(), request.meter.port
            )
        return _Job(
            number=self._number(),
            ticket=ticket,
            request=request,
            message=message,
            control=frame.control if frame else None,
            submitted=now,
            max_tries=1 if ticket is None else self.timing.tries,
            for_proof=ticket is None,
        )

    def _supersede(self, address: bytes, now: float) -> None:
        """A newer opening for this meter is here: end whatever an older one still waits for."""
        for job in [job for job in self._wanted if _moves(job, address)]:
            self._wanted.remove(job)
            self._end_job(job, FailureReason.SUPERSEDED, now)
        if self._current and _moves(self._current, address):
            # It keeps the bus until the device answers, but nobody waits for it any more.
            self._answer(self._current, FailureReason.SUPERSEDED, now)
            self._current.max_tries = 0
        if proof := self._proofs.get(address):
            self._end_proof(proof, FailureReason.SUPERSEDED, now)

    def _send_next(self, now: float) -> None:
        """Give the free bus to the next job: what somebody waits for goes before read-backs."""
        while self._current is None and (queue := self._wanted or self._read_backs):
            job = queue.popleft()
            reason = self._cannot_send()
            if reason is None:
                self._send(job, now)
            else:
                self._end_job(job, reason, now)

    def _send(self, job: _Job, now: float) -> None:
        job.tries += 1
        job.state = _State.SENT
        job.deadline = now + self.timing.ack_s
        self._current = job
        self._actions.append(Send(job.message, job.number))

    def _transparent_acknowledged(self, message: TransparentAck, now: float) -> None:
        """Take it as progress only: the acknowledgement names no command."""
        job = self._current
        if job is None or job.state is not _State.SENT or isinstance(job.request, ReadNow):
            return
        self._acknowledged(job, message.stat, now)

    def _read_now_acknowledged(self, message: ReadNowAck, now: float) -> None:
        job = self._current
        if job is None or job.state is not _State.SENT or not isinstance(job.request, ReadNow):
            return
        self._acknowledged(job, message.stat, now)

    def _acknowledged(self, job: _Job, stat: Stat, now: float) -> None:
        if stat is Stat.FAILED:
            job.last_reason = FailureReason.GATEWAY_REFUSED
            job.state = _State.PAUSED
            job.deadline = now + self.timing.refused_pause_s
        elif isinstance(job.request, ReadNow):
            self._answer(job, None, now, ReadNowAck(self.gateway_id, stat))
            job.state = _State.COLLECTING
            job.limit = now + self.timing.read_limit_s
            job.deadline = now + self.timing.read_quiet_s
        else:
            job.last_reason = FailureReason.METER_SILENT
            job.state = _State.ACKNOWLEDGED
            job.deadline = now + self.timing.reply_s

    def _job_overdue(self, job: _Job, now: float) -> None:
        if job.state is _State.COLLECTING:
            self._collected(job, now)
            return
        if job.state is _State.SENT:
            job.last_reason = FailureReason.GATEWAY_SILENT
            self._missed(now)
        reason = self._cannot_send()
        if job.tries < job.max_tries and reason is None:
            self._send(job, now)
            return
        self._release()
        if isinstance(job.request, ReadMeter):
            self._direct_read_failed(job)
        self._end_job(job, job.last_reason if reason is None else reason, now)

    def _match_reply(self, content: Content, now: float) -> None:
        job = self._current
        if job is None or isinstance(content, UnknownReading) or job.address != content.address:
            return
        match job.request, content:
            case SetOpening(opening_pct=wish), SetOpeningReply():
                if content.echoed and content.opening_pct != wish:
                    # An older try's or another master's: ours may still come.
                    job.last_reason = FailureReason.WRONG_ECHO
                    return
                self._release()
                self._confirmed(job, now)
            case ReadMeter(), MeterReading():
                self._release()
                self.direct_reads = True
                self._direct_read_failures = 0
                self._end_job(job, None, now, content)
            case SetOpening() | ReadMeter(), ErrorReply(command_control=job.control):
                self._release()
                self._end_job(job, FailureReason.METER_REFUSED, now, content)

    def _reported(self, contents: Iterable[Content], now: float) -> None:
        """Count the reports of a read-now; when all expected are in, the bus is free."""
        job = self._current
        if job is None or job.state is not _State.COLLECTING:
            return
        assert isinstance(job.request, ReadNow)
        kinds = _kinds(job.request)
        job.reported |= {
            content.address
            for content in contents
            if isinstance(content, MeterReading) and content.device in kinds
        }
        expected = [self._expected[kind] for kind in kinds]
        if None not in expected and len(job.reported) >= sum(count or 0 for count in expected):
            self._collected(job, now)
        else:
            job.deadline = min(job.limit, now + self.timing.read_quiet_s)

    def _collected(self, job: _Job, now: float) -> None:
        self._release()
        self._end_job(job, None, now)

    def _release(self) -> None:
        self._current = None

    def _end_job(
        self,
        job: _Job,
        reason: FailureReason | None,
        now: float,
        reply: MeterReading | ReadNowAck | ErrorReply | None = None,
    ) -> None:
        self._answer(job, reason, now, reply)
        if job.for_proof:
            self._read_back_ended(job, now)

    def _answer(
        self,
        job: _Job,
        reason: FailureReason | None,
        now: float,
        reply: MeterReading | ReadNowAck | ErrorReply | None = None,
    ) -> None:
        """End the request for whoever waits; the job itself may still keep the bus."""
        if job.ticket is None:
            return
        ticket, job.ticket = job.ticket, None
        duration_s = now - job.submitted
        result = Result(reason=reason, reply=reply, tries=job.tries, duration_s=duration_s)
        self._end(ticket, result)

    def _drop_queue(self, reason: FailureReason, now: float) -> None:
        jobs = [*self._wanted, *self._read_backs]
        self._wanted.clear()
        self._read_backs.clear()
        for job in jobs:
            self._end_job(job, reason, now)

    # --- Proof ------------------------------------------------------------------------------

    def _confirmed(self, job: _Job, now: float) -> None:
        """The device confirmed an opening: from now on look for a report that shows it."""
        if job.ticket is None:
            return  # superseded meanwhile
        assert isinstance(job.request, SetOpening)
        self._actions.append(Replied(job.ticket))
        steps = [step for step in self.timing.read_back_s if step < self.timing.travel_s]
        times = iter([now + step for step in steps])
        deadline = now + self.timing.travel_s
        self._proofs[job.request.meter.address] = _Proof(
            ticket=job.ticket,
            request=job.request,
            tries=job.tries,
            submitted=job.submitted,
            replied=now,
            due=next(times, deadline),
            later=times,
        )

    def _prove(self, reading: MeterReading, now: float) -> None:
        proof = self._proofs.get(reading.address)
        if proof is None or reading.device != proof.request.meter.device:
            return
        proof.found_pct = openings_shown(reading)
        wish, tolerance = proof.request.opening_pct, self.timing.tolerance_pct
        if all(found is not None and abs(found - wish) <= tolerance for found in proof.found_pct):
            self._end_proof(proof, None, now)
        elif now >= proof.replied + self.timing.travel_s:
            self._end_proof(proof, FailureReason.NOT_REACHED, now)

    def _read_back(self, proof: _Proof, now: float) -> None:
        """Ask for a report of a meter whose opening is due, and plan the next time."""
        deadline = proof.replied + self.timing.travel_s
        limit = deadline + self.timing.proof_limit_s
        if now >= limit:
            self._end_unproven(proof, now)
            return
        proof.final = now >= deadline
        proof.due = limit if proof.final else next(proof.later, deadline)
        if proof.job is None:
            proof.job = self._read_back_job(proof.request.meter, now)

    def _read_back_job(self, meter: MeterAddress, now: float) -> _Job:
        if self.direct_reads is False:
            is_cabinet = meter.device == "cabinet"
            request = ReadNow(self.gateway_id, cabinets=is_cabinet, valves=not is_cabinet)
            for job in self._read_backs:
                if job.request == request:
                    return job
            job = self._job(None, request, now)
        else:
            job = self._job(None, ReadMeter(meter), now, read_frame(meter))
        self._read_backs.append(job)
        return job

    def _read_back_ended(self, job: _Job, now: float) -> None:
        """A read-back is over, with or without a report: a proof out of time ends here."""
        for proof in [proof for proof in self._proofs.values() if proof.job is job]:
            proof.job = None
            if not proof.final:
                continue
            if isinstance(job.request, ReadMeter) and self.direct_reads is False:
                # Just learnt that this gateway answers no direct reads: one more chance.
                proof.job = self._read_back_job(proof.request.meter, now)
            else:
                self._end_unproven(proof, now)

    def _direct_read_failed(self, job: _Job) -> None:
        """Learn from a read that the gateway took, or refused, and no answer came to.

        The meter answered its command just before, so two such failures speak of the gateway.
        """
        if job.last_reason is FailureReason.GATEWAY_SILENT or self.direct_reads or not job.for_proof:
            return
        self._direct_read_failures += 1
        if self._direct_read_failures >= 2:  # noqa: PLR2004 - one may be chance
            self.direct_reads = False

    def _end_unproven(self, proof: _Proof, now: float) -> None:
        if proof.found_pct is not None:
            reason = FailureReason.NOT_REACHED
        else:
            reason = self._cannot_send() or FailureReason.METER_SILENT
        self._end_proof(proof, reason, now)

    def _end_proof(self, proof: _Proof, reason: FailureReason | None, now: float) -> None:
        del self._proofs[proof.request.meter.address]
        if proof.job in self._read_backs and not any(
            other.job is proof.job for other in self._proofs.values()
        ):
            self._read_backs.remove(proof.job)
        result = Result(
            reason=reason,
            tries=proof.tries,
            duration_s=now - proof.submitted,
            found_pct=proof.found_pct,
        )
        self._end(proof.ticket, result)

    # --- Shared -----------------------------------------------------------------------------

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _cannot_send(self, *, polling: bool = False) -> FailureReason | None:
        """Return why nothing can be sent now; polls are how a silent gateway is found again."""
        if self._closed:
            return FailureReason.SHUT_DOWN
        if not self.link_up:
            return FailureReason.LINK_DOWN
        if self.gateway_silent and not polling:
            return FailureReason.GATEWAY_SILENT
        return None

    def _missed(self, now: float) -> None:
        self._misses += 1
        if self._misses == self.timing.lost_after_misses:
            self._drop_queue(FailureReason.GATEWAY_SILENT, now)

    def _end(self, ticket: int, result: Result) -> None:
        self._actions.append(Ended(ticket, result))

    def _settle(self, now: float) -> list[Action]:
        if not self._closed:
            self._send_next(now)
        actions, self._actions = self._actions, []
        return actions


def _moves(job: _Job, address: bytes) -> bool:
    return isinstance(job.request, SetOpening) and job.address == address


def _kinds(request: ReadNow) -> list[str]:
    return ["cabinet"] * request.cabinets + ["valve"] * request.valves
