"""What needs the bus: a job that is sent and answered, and the reports of a read-now.

May import: exchange, proof, wire modules, model, errors.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from .devices import CABINET, DEVICES, HOUSEHOLD_VALVE, read_frame, set_opening_frame
from .envelope import ReadNow, Stat, ToGateway, TransparentCommand
from .errors import FailureReason, RequestError
from .exchange import ReadMeter, SendFrame, SetOpening, Timing
from .model import MeterReading
from .proof import ReadBack

KINDS = (CABINET.key, HOUSEHOLD_VALVE.key)

type BusRequest = SetOpening | ReadMeter | ReadNow | SendFrame


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """A request with a ticket, or a read-back without; nobody waits where it has neither.

    `control` is the control code of its frame; `begins` is when it may be sent, `expires` when it
    is no longer sent, for the first time or again; `number` tells its last try from all others,
    `handed_over` that of the last one that went to the link, `ack` is what the gateway said to
    the last one, and `reason` why it will have failed if nothing more comes.
    """

    request: BusRequest
    message: ToGateway
    control: int | None
    timing: Timing
    submitted: float
    expires: float
    begins: float
    max_tries: int
    ticket: int | None = None
    read_back: ReadBack | None = None
    number: int = 0
    tries: int = 0
    deadline: float = 0.0
    handed_over: int = 0
    ack: Stat | None = None
    reason: FailureReason = FailureReason.GATEWAY_SILENT

    @property
    def is_read_now(self) -> bool:
        """Whether this is no transparent command."""
        return isinstance(self.request, ReadNow)

    @property
    def is_out(self) -> bool:
        """Whether the last try went to the link, so that it can be acknowledged."""
        return self.handed_over == self.number

    def moves(self, address: bytes) -> bool:
        """Whether this moves the valve of a meter."""
        return isinstance(self.request, SetOpening) and self.request.meter.address == address

    def sent(self, now: float) -> None:
        """Note a try."""
        if self.tries == 0:
            self.expires = now + self.max_tries * (self.timing.ack_s + self.timing.reply_s)
        self.tries += 1
        self.ack = None
        self.reason = FailureReason.GATEWAY_SILENT
        self.deadline = now + self.timing.ack_s

    def wait(self, until: float) -> None:
        """Wait for the bus before the next try."""
        self.deadline = min(until, self.expires)

    def postpone(self, until: float) -> None:
        """Take a try back that never went out, and wait for the bus."""
        self.tries -= 1
        self.wait(until)

    def acknowledged(self, stat: Stat, now: float) -> None:
        """Take an acknowledgement of this try, unless it is no news.

        A duplicate is none, and neither is a refusal after success.
        """
        if self.ack in {Stat.SUCCEEDED, stat}:
            return
        self.ack = stat
        if stat is Stat.FAILED:
            self.reason = FailureReason.GATEWAY_REFUSED
            self.deadline = now + self.timing.refused_pause_s
            return
        self.deadline = now + self.timing.reply_s
        if self.reason is not FailureReason.WRONG_ECHO:
            self.reason = FailureReason.METER_SILENT


@dataclass(slots=True, eq=False)
class Reading:
    """A read-now whose reports come in; `job` is None where another master asked for them."""

    job: Job | None
    timing: Timing
    began: float
    deadline: float = field(init=False)
    _kinds: Sequence[str] = field(init=False)
    _reported: set[bytes] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        """Expect the first report."""
        request = self.job and self.job.request
        self._kinds = kinds_of(request) if isinstance(request, ReadNow) else KINDS
        self._wait(self.began)

    def is_over(
        self, reports: Iterable[MeterReading], counts: Mapping[str, int | None], now: float
    ) -> bool:
        """Take reports; return whether those of all meters that the gateway counts are in."""
        new = {report.address for report in reports if report.device in self._kinds}
        if not new:
            return False
        self._reported |= new
        self._wait(now)
        expected = [counts.get(kind) for kind in self._kinds]
        known = [count for count in expected if count is not None]
        return len(known) == len(expected) and len(self._reported) >= sum(known)

    def _wait(self, now: float) -> None:
        limit = self.began + self.timing.read_limit_s
        self.deadline = min(limit, now + self.timing.read_quiet_s)


def kinds_of(request: ReadNow) -> list[str]:
    """Return the keys of the device types that a read-now reads."""
    return [CABINET.key] * request.cabinets + [HOUSEHOLD_VALVE.key] * request.valves


def message_of(gateway_id: str, request: BusRequest) -> tuple[ToGateway, int | None]:
    """Return what to send, and the control code of its frame where there is one.

    Raises RequestError for a device type or an opening that does not exist.
    """
    if isinstance(request, ReadNow):
        if not kinds_of(request):
            raise RequestError("a read-now of neither cabinets nor household valves")
        return request, None
    if isinstance(request, SendFrame):
        message = TransparentCommand(gateway_id, request.raw.hex().upper(), request.port)
        return message, request.control
    meter = request.meter
    if meter.device not in DEVICES:
        raise RequestError(f"{meter.device!r} is no known device type")
    if isinstance(request, SetOpening):
        frame = set_opening_frame(meter, request.opening_pct)
    else:
        frame = read_frame(meter)
    return TransparentCommand(gateway_id, frame.encode().hex().upper(), meter.port), frame.control
