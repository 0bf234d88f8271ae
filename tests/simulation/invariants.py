"""What must hold, watched from outside: at the link, at the listener and at the gateway."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from custom_components.hy_heating.hyheat.client import (
    Event,
    ForeignCommand,
    GatewayClient,
    MessageReceived,
    ReadingReceived,
)
from custom_components.hy_heating.hyheat.link import MessageListener
from custom_components.hy_heating.hyheat.model import MeterReading, Value
from custom_components.hy_heating.hyheat.plausibility import MeterMemory

from .wire import READ_NOW, REPORT, TRANSPARENT, Message, read

# Worked out in docs/ARCHITECTURE.md, not taken from the library.
ACK_S = 10.0
REPLY_S = 30.0
REFUSED_PAUSE_S = 2.0
READ_QUIET_S = 15.0
READ_LIMIT_S = 90.0
TOLERANCE_PCT = 2.0
OWN_ECHO_S = 60.0
_EPSILON_S = 1e-6
_KEPT_LINES = 80
EPOCH_S = 4 * 86_400.0
"""5 January 1970, in the heating season; a small number keeps the clock's fractions exact."""
_COUNTERS = frozenset({"heat_energy_kwh", "volume_m3"})
_OPENINGS: dict[bool, tuple[str, ...]] = {
    False: ("opening_pct",),
    True: ("commanded_opening_pct", "actual_opening_pct"),
}


@dataclass(slots=True)
class Ledger:
    """What happened in one run, and every invariant that it broke."""

    now: Callable[[], float]
    keep_all: bool = False
    violations: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    _lines: deque[tuple[float, str, tuple[object, ...]]] = field(init=False)

    def __post_init__(self) -> None:
        """Keep the last lines, or all."""
        self._lines = deque(maxlen=None if self.keep_all else _KEPT_LINES)

    def note(self, text: str, *details: object) -> None:
        """Remember a line of the trace; it is put together only where somebody reads it."""
        if self.keep_all or not self.violations:
            self._lines.append((self.now(), text, details))

    def count(self, what: str) -> None:
        """Count something for the table of figures."""
        self.figures[what] += 1

    def violate(self, invariant: str, detail: str) -> None:
        """Note that an invariant does not hold."""
        self.note(f"VIOLATED {invariant}: {detail}")
        self.violations.append(f"{invariant}: {detail}")

    def trace(self) -> list[str]:
        """Return the trace as lines with the seconds since the start."""
        lines = []
        for at, text, details in self._lines:
            shown = [
                each.decode(errors="replace") if isinstance(each, bytes) else str(each)
                for each in details
            ]
            lines.append(f"{at:9.3f}  {text} {' '.join(shown)}".rstrip())
        return lines


@dataclass(slots=True, eq=False)
class _Open:
    """A command of ours that may still be answered, until a time."""

    token: object
    message: Message
    until: float
    heard_until: float
    """Until when an acknowledgement still counts: after a refusal, up to its repetition."""
    acknowledged: bool = False


@dataclass(slots=True, eq=False)
class _Reports:
    """A read-now whose reports come in, until a time."""

    kinds: tuple[bool, bool]
    began: float
    until: float
    seen: set[bytes] = field(default_factory=set)


class BusWatch:
    """One bus job at a time.

    A command handed to the link is in flight until the client was given an answer that fits it
    (address, control code and, where the device repeats it, the opening), a refusal, or until
    its own time is over: ACK_S without an acknowledgement, REPLY_S after one. A read-now is so
    until its acknowledgement, and then its reports have the bus until as many meters reported
    as the client was told that there are, until they fail to come for READ_QUIET_S, or for
    READ_LIMIT_S. In between nothing else may be handed over.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Watch a gateway that has not told how many meters there are."""
        self._ledger = ledger
        self._counts: tuple[int, int] | None = None
        self._open: _Open | None = None
        self._reports: _Reports | None = None

    def reset(self) -> None:
        """Forget what a client that is gone had in flight, and what it had been told."""
        self._open = self._reports = self._counts = None

    def published(self, payload: bytes, token: object, now: float) -> None:
        """Take a message that the client hands to the link."""
        message = read(payload)
        if message.msg_id not in {READ_NOW, TRANSPARENT}:
            return
        for busy in (self._open, self._reports):
            if busy and now < busy.until - _EPSILON_S:
                self._ledger.violate("one job on the bus", f"{payload!r} before {busy.until:.3f}")
        self._open = _Open(token, message, now + ACK_S, now + ACK_S)

    def failed(self, token: object) -> None:
        """Take it that a message was never handed over."""
        if self._open and self._open.token is token:
            self._open = None

    def heard(self, message: Message, now: float) -> None:
        """Take a message that the client accepted."""
        self._counts = message.counts or self._counts
        if message.msg_id == READ_NOW:
            self._read_now_acknowledged(message, now)
        elif message.msg_id == REPORT:
            self._reported(message, now)
        elif message.msg_id == TRANSPARENT and self._open:
            self._transparent(self._open, message, now)

    def _transparent(self, job: _Open, message: Message, now: float) -> None:
        if job.message.msg_id != TRANSPARENT or now >= job.until:
            return
        if not message.frame:
            if message.stat == 1 and not job.acknowledged:
                job.until = now
            elif not job.acknowledged:
                job.acknowledged, job.until = True, now + REPLY_S
        elif message.is_intact and message.address == job.message.address:
            wish, echo = job.message.wish_pct, message.wish_pct
            fits = message.control & 0x3F == job.message.control
            if fits and (echo is None or echo == wish):
                self._open = None

    def _read_now_acknowledged(self, message: Message, now: float) -> None:
        job = self._open if self._open and self._open.message.msg_id == READ_NOW else None
        waited_for = job is not None and now < job.heard_until
        if message.stat == 1:
            if job:
                job.until = min(job.until, now)
                job.heard_until = min(job.heard_until, now + REFUSED_PAUSE_S)
        elif waited_for or self._reports is None or now >= self._reports.until:
            # One that nobody waits for is another master's, or an old one: of which kinds?
            kinds = job.message.kinds if job and waited_for else (True, True)
            self._open = None if waited_for else self._open
            self._reports = _Reports(kinds, now, now + READ_QUIET_S)

    def _reported(self, message: Message, now: float) -> None:
        reports = self._reports
        wanted = reports and message.is_reading and reports.kinds[not message.is_cabinet]
        if reports is None or not wanted or now >= reports.until:
            return
        reports.seen.add(message.address)
        reports.until = min(reports.began + READ_LIMIT_S, now + READ_QUIET_S)
        if self._counts:
            counted = zip(self._counts, reports.kinds, strict=True)
            if len(reports.seen) >= sum(count for count, kind in counted if kind):
                self._reports = None


class Watch:
    """One gateway's client: what goes in must come out, once and in order, or be counted."""

    def __init__(self, ledger: Ledger, name: str, bus: BusWatch) -> None:
        """Watch whatever client there is."""
        self.bus = bus
        self.client: GatewayClient | None = None
        self.last: dict[str, Mapping[str, Value]] = {}
        self.shown: list[tuple[float, bytes, tuple[float, ...]]] = []
        self._ledger = ledger
        self._name = name
        self._events: list[Event] = []
        self._own: deque[tuple[float, bytes]] = deque()
        self._delivering = False
        self._memories: defaultdict[str, MeterMemory] = defaultdict(MeterMemory)
        self._counted: defaultdict[tuple[str, str], set[Value]] = defaultdict(set)

    def heard(self, event: Event) -> None:
        """Be the client's listener."""
        if isinstance(event, ReadingReceived | MessageReceived | ForeignCommand):
            if not self._delivering:
                self._ledger.violate("only what arrives is told", str(event))
            self._events.append(event)
        else:
            self._ledger.note(self._name, event)

    def sent(self, payload: bytes) -> None:
        """Remember what the client itself sends: it comes back on the command topic."""
        self._own.append((self._ledger.now(), payload))

    def deliver(
        self,
        listener: MessageListener,
        topic: str,
        original: bytes | None,
        payload: bytes,
        *,
        retained: bool = False,
    ) -> None:
        """Hand a report to the client and check what becomes of it.

        `original` is what the gateway sent, None where this one did not send it.
        """
        refused, events = self._hand_over(listener, topic, payload, retained=retained)
        told = [each for each in events if isinstance(each, ReadingReceived)]
        if original is None or retained:
            if events or refused != 1:
                self._violate("what must be refused is refused and counted", payload)
            return
        message = read(original)
        expected = [message.frame] if message.is_reading else []
        frames = [each.reading.frame for each in told]
        accepted = any(isinstance(each, MessageReceived) for each in events)
        if any(frame not in expected for frame in frames):
            self._violate("no value differs from what a device sent", payload)
        elif payload == original:
            bad = 1 if message.frame and not message.is_intact else 0
            if not accepted or frames != expected:
                self._violate("what arrives intact is told once", payload)
            if refused != bad:
                self._violate("every refusal is counted once", payload)
        elif len(frames) > len(expected):
            self._violate("what arrives intact is told once", payload)
        elif (not accepted or frames != expected) and not refused:
            self._violate("every refusal is counted once", payload)
        self._check_values(told, message)
        if accepted and (payload == original or frames):
            self.bus.heard(message, self._ledger.now())

    def _check_values(self, told: list[ReadingReceived], message: Message) -> None:
        for each in told:
            reading = each.reading
            if not isinstance(reading, MeterReading):
                self._ledger.violate("no value differs from what a device sent", str(reading))
                continue
            keys = _OPENINGS[message.is_cabinet]
            if tuple(reading.values[key] for key in keys) != message.openings_pct:
                self._ledger.violate("no value differs from what a device sent", str(reading))
            self._judge(reading, direct=each.protocol_code is None)
            self.shown.append((self._ledger.now(), reading.address, message.openings_pct))

    def _judge(self, reading: MeterReading, *, direct: bool) -> None:
        """Pass a reading through the judgement that entities get it through."""
        number = reading.meter_number
        at = EPOCH_S + self._ledger.now()
        judged = self._memories[number].judge(reading, at, direct=direct)
        if judged.late:
            self._ledger.count("readings that came too late")
            return
        self.last[number] = judged.values
        for key, value in judged.values.items():
            counted = self._counted[number, key]
            if key not in _COUNTERS:
                if value != reading.values[key]:
                    self._ledger.violate("no value differs from what a device sent", str(judged))
            elif value is not None and value not in counted | {reading.values[key]}:
                self._ledger.violate("no value differs from what a device sent", str(judged))
            else:
                counted.add(reading.values[key])

    def deliver_command(
        self, listener: MessageListener, topic: str, payload: bytes, *, own: bool, retained: bool
    ) -> None:
        """Hand the client a command as the broker sends it back, its own or another master's."""
        now = self._ledger.now()
        while self._own and now - self._own[0][0] > OWN_ECHO_S:
            self._own.popleft()
        # Other masters' commands that look like ours cannot be told apart.
        unclear = not own and any(each == payload for _, each in self._own)
        _, events = self._hand_over(listener, topic, payload, retained=retained)
        message = read(payload)
        moves = message.msg_id == TRANSPARENT and message.wish_pct is not None
        expected = 0 if own or retained or not moves else 1
        if not unclear and [type(each) for each in events] != [ForeignCommand] * expected:
            self._violate("other masters' commands are told, ours are not", payload)

    def _hand_over(
        self, listener: MessageListener, topic: str, payload: bytes, *, retained: bool
    ) -> tuple[int, list[Event]]:
        assert self.client
        before = self.client.refusals.total
        self._events, self._delivering = [], True
        try:
            listener(topic, payload, retained)
        except Exception as err:  # noqa: BLE001 - whatever it is, it must not come out here
            self._ledger.violate("no exception", f"{err!r} on {payload!r}")
        self._delivering = False
        return self.client.refusals.total - before, self._events

    def showed(self, address: bytes, wish_pct: int, since: float) -> bool:
        """Whether a reading since a time showed an opening."""
        return any(
            at >= since
            and each == address
            and all(abs(opening - wish_pct) <= TOLERANCE_PCT for opening in openings)
            for at, each, openings in self.shown
        )

    def _violate(self, invariant: str, payload: bytes) -> None:
        self._ledger.violate(invariant, f"{self._name} {payload!r}: {self._events}")
