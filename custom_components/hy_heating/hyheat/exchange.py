"""What a session can be asked, what it answers, and how long each step may take.

May import: wire modules, model, errors.
"""

from dataclasses import dataclass

from .envelope import (
    ReadNow,
    ReadNowAck,
    SettingsQuery,
    SettingsReply,
    StatusQuery,
    StatusReply,
    ToGateway,
)
from .errors import FailureReason
from .model import FrameContent, MeterAddress, UnknownReading


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
    move_pause_s: float = 30.0
    """Between the beginnings of two moves of one motor, which must not be worn out."""
    tolerance_pct: float = 2.0
    read_back_s: tuple[float, ...] = (8.0, 24.0, 60.0, 120.0)
    """After the reply: soon for short moves, then at ever larger steps to spare the bus."""
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


@dataclass(frozen=True, slots=True)
class SendFrame:
    """Put raw bytes on the bus, once, and wait for the answer that fits them.

    Any answer fits where the bytes are no frame: then `address` and `control` are None.
    """

    raw: bytes
    port: int = 0
    address: bytes | None = None
    control: int | None = None


type Request = StatusQuery | SettingsQuery | ReadNow | SetOpening | ReadMeter | SendFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a request ended: well where `reason` is None.

    `reply` is the message or frame that answered it; `found_pct` the openings that the last
    report showed, where a proof was wanted.
    """

    reason: FailureReason | None = None
    reply: StatusReply | SettingsReply | ReadNowAck | FrameContent | UnknownReading | None = None
    tries: int = 0
    duration_s: float = 0.0
    found_pct: tuple[int | float | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Publish a message, if `hand_over` says yes to `job`; report a failure to `send_failed`."""

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
