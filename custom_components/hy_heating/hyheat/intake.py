"""What the frames in a message say, and what of it is refused.

May import: wire modules, model, errors. Whatever a gateway sends ends in contents or refusals.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from .devices import interpret, plain_report, to_reading
from .envelope import FromGateway, Report, TransparentReply
from .errors import FrameError, RefusalReason
from .exchange import Content
from .frame import Frame, from_hex, scan
from .model import MeterReading, UnknownReading

KEPT_REFUSALS = 20
MAX_COUNTED = 1000
"""Kinds of refusals counted by meter, so that invented meter numbers cannot fill the memory."""
MAX_FRAMES = 32
"""Frames in one message: every capture had one, and each costs entities their time."""
_MAX_RAW = 512


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was not taken, kept for diagnostics."""

    reason: RefusalReason
    meter_number: str | None
    detail: str
    raw: str


@dataclass(slots=True)
class Refusals:
    """What was refused, counted by meter (None: the message as a whole) and reason."""

    counts: Counter[tuple[str | None, RefusalReason]] = field(default_factory=Counter)
    last: deque[Refused] = field(default_factory=lambda: deque(maxlen=KEPT_REFUSALS))

    @property
    def total(self) -> int:
        """Number of refusals."""
        return self.counts.total()

    def add(self, refused: Refused) -> bool:
        """Count a refusal; return whether it is the first of its kind."""
        key = refused.meter_number, refused.reason
        if key not in self.counts and len(self.counts) >= MAX_COUNTED:
            key = None, refused.reason
        self.counts[key] += 1
        self.last.append(refused)
        return self.counts[key] == 1


def shortened(payload: bytes) -> str:
    """Return the beginning of a payload as text that can be kept and shown."""
    return payload[:_MAX_RAW].decode(errors="backslashreplace")


def contents_of(
    message: FromGateway, keep: Callable[[bytes], None] = lambda _: None
) -> Iterable[Content | Refused]:
    """Return what each frame of a message says, or why it is refused; what is too many as one.

    `keep` gets every frame whose envelope is right, whether or not it says anything.
    """
    if isinstance(message, Report) and (reading := _sole_report(message)) is not None:
        keep(reading.frame)
        return (reading,)
    return _closer_look(message, keep)


def _sole_report(message: Report) -> MeterReading | None:
    """Return the reading of a message with one frame that is right in everything, else None."""
    if len(message.frames) != 1:
        return None
    meter = message.meter_id
    try:
        return plain_report(bytes.fromhex(message.frames[0]), meter.number, meter.protocol_code)
    except ValueError:  # no hex
        return None


def _closer_look(
    message: FromGateway, keep: Callable[[bytes], None]
) -> Iterator[Content | Refused]:
    if not isinstance(message, Report | TransparentReply):
        return
    for place, (found, text) in enumerate(_all_frames_of(message)):
        # Half a surrogate pair can be written in JSON, but in no UTF-8.
        raw = shortened(text[:_MAX_RAW].encode(errors="backslashreplace"))
        if place == MAX_FRAMES:
            number = message.meter_id.number if isinstance(message, Report) else None
            detail = f"more than {MAX_FRAMES} frames in a message"
            yield Refused(RefusalReason.TOO_LARGE, number, detail, raw)
            return
        yield _content_of(message, found, raw, keep)


def _all_frames_of(message: Report | TransparentReply) -> Iterator[tuple[Frame | FrameError, str]]:
    for text in message.frames:
        for found in _frames_of(text):
            yield found, text


def _frames_of(text: str) -> Iterator[Frame | FrameError]:
    try:
        yield from scan(from_hex(text))
    except FrameError as err:
        yield err


def _content_of(
    message: Report | TransparentReply,
    found: Frame | FrameError,
    raw: str,
    keep: Callable[[bytes], None],
) -> Content | Refused:
    number = message.meter_id.number if isinstance(message, Report) else None
    if isinstance(found, FrameError):
        return _refused(found, number, raw)
    if number not in (None, found.meter_number):
        detail = f"a frame of {found.meter_number} in a report of {number}"
        return Refused(RefusalReason.ADDRESS, number, detail, raw)
    keep(found.raw)
    try:
        if isinstance(message, Report):
            return to_reading(found, message.meter_id.protocol_code)
        return interpret(found)
    except FrameError as err:
        if isinstance(message, TransparentReply):
            # No value, but it may be what somebody asked for with a raw frame.
            return UnknownReading(found.device_type, found.address, found.raw)
        return _refused(err, found.meter_number, raw)


def _refused(err: FrameError, number: str | None, raw: str) -> Refused:
    return Refused(RefusalReason(f"frame_{err.kind}"), number, str(err), raw)
