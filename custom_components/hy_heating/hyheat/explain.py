"""Every byte of a frame and every value of a message, named: for scripts/decode and diagnostics.

May import: standard library, wire modules, errors, model. Nothing of a damaged frame is read: its
bytes get names by their place, but no values. Wire facts: docs/PROTOCOL.md, sections 2, 3 and 6.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import chain, repeat
from typing import ClassVar

from . import envelope
from .devices import DEVICES, describe_content, interpret, plain
from .envelope import MAX_PAYLOAD_SIZE, Message, MeterId, MonthDay, MsgId, decode
from .errors import EnvelopeError, FrameError, FrameErrorKind, RefusalReason
from .fields import Field, Grade
from .frame import (
    DI_SER_SIZE,
    HEADER_SIZE,
    PREAMBLE,
    START,
    TRAILER_SIZE,
    Frame,
    from_hex,
    scan,
)
from .model import FrameContent, MeterReading, SetOpeningFrame, SetOpeningReply

MAX_LENGTH = 2 * MAX_PAYLOAD_SIZE
"""Characters of an input, at most: two for each byte of the largest payload."""

_CONTROLS = {0x01: "read data", 0x04: "write", 0x16: "set opening"}
_IDENTIFIERS = {
    0x901F: "read current data",
    0xA019: "set valve opening",
    0x902F: "set cabinet opening",
}
_DEVICE_TYPES = {spec.type_code: spec.name for spec in DEVICES.values()}
_ADDRESS_NAMES = [f"address A{number}" for number in range(7)]
_HEADER_NAMES = ["start", "device type", *_ADDRESS_NAMES, "control", "length"]
_DATA_NAMES = ["DI0", "DI1", "SER"]

_KINDS: Mapping[type[Message], tuple[MsgId, str]] = {
    envelope.StatusQuery: (MsgId.STATUS, "status query"),
    envelope.StatusReply: (MsgId.STATUS, "status reply"),
    envelope.SettingsQuery: (MsgId.SETTINGS, "settings query"),
    envelope.SettingsReply: (MsgId.SETTINGS, "settings reply"),
    envelope.ReadNow: (MsgId.READ_NOW, "read now"),
    envelope.ReadNowAck: (MsgId.READ_NOW, "acknowledgement of read now"),
    envelope.Report: (MsgId.REPORT, "report"),
    envelope.TransparentCommand: (MsgId.TRANSPARENT, "transparent command"),
    envelope.TransparentAck: (MsgId.TRANSPARENT, "acknowledgement of a transparent command"),
    envelope.TransparentReply: (MsgId.TRANSPARENT, "transparent reply"),
}
_NOT_OWN_FIELDS = {"gateway_id", "frame", "frames"}

_EXPECTED = {
    RefusalReason.TOO_LARGE: f"at most {MAX_PAYLOAD_SIZE} bytes",
    RefusalReason.ENCODING: "text in UTF-8",
    RefusalReason.JSON: "JSON",
    RefusalReason.NESTING: "a message of a gateway",
    RefusalReason.SHAPE: "the keys of a message",
    RefusalReason.TYPE: "the types of a message",
    RefusalReason.VALUE: "values within their limits",
    RefusalReason.MSG_ID: "msg_id 1, 2, 18, 20 or 40",
    RefusalReason.GATEWAY_ID: "a gateway id",
}


@dataclass(frozen=True, slots=True)
class Note:
    """What one byte of the input is.

    `value` is what it says, alone or with its neighbors, None where unknown; `continued` tells
    that the byte before it belongs to the same value. Bytes of a damaged frame have no grade.
    """

    offset: int
    byte: int
    name: str
    value: object = None
    unit: str = ""
    grade: Grade | None = None
    continued: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it as --json prints it."""
        return {
            "offset": self.offset,
            "hex": f"{self.byte:02X}",
            "name": self.name,
            "value": self.value,
            "grade": self.grade,
        }


@dataclass(frozen=True, slots=True)
class ExplainedFrame:
    """A good frame of a known device; `meaning` is that of its control code."""

    device: str
    meter_number: str
    control: int
    di: int | None
    meaning: str | None
    fields: Mapping[str, object]
    notes: tuple[Note, ...] = ()
    good: ClassVar[bool] = True

    def as_json(self) -> list[dict[str, object]]:
        """Return what --json prints, one object a line."""
        return [
            {
                "ok": True,
                "device": self.device,
                "meter_number": self.meter_number,
                "control": f"{self.control:02X}",
                "di": None if self.di is None else f"{self.di:04X}",
                "fields": dict(self.fields),
                "bytes": [note.as_json() for note in self.notes],
            }
        ]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is no good frame and no message, and where it goes wrong.

    `offset` counts bytes of a frame's input, or characters of `source` where there are no bytes.
    """

    error: str
    offset: int | None
    expected: str
    found: str
    notes: tuple[Note, ...] = ()
    source: str = ""
    good: ClassVar[bool] = False

    def as_json(self) -> list[dict[str, object]]:
        """Return what --json prints, one object a line."""
        return [
            {
                "ok": False,
                "error": self.error,
                "offset": self.offset,
                "expected": self.expected,
                "found": self.found,
            }
        ]


@dataclass(frozen=True, slots=True)
class ExplainedMessage:
    """A message of a gateway or to one, with the frames in it."""

    msg_id: int
    name: str
    gateway_id: str
    fields: Mapping[str, object]
    frames: tuple[ExplainedFrame | Refusal, ...]

    @property
    def good(self) -> bool:
        """Whether nothing had to be refused."""
        return all(frame.good for frame in self.frames)

    def as_json(self) -> list[dict[str, object]]:
        """Return what --json prints, one object a line: its frames, or itself if it has none."""
        if self.frames:
            return [part for frame in self.frames for part in frame.as_json()]
        return [
            {
                "ok": True,
                "msg_id": self.msg_id,
                "gateway_id": self.gateway_id,
                "fields": dict(self.fields),
            }
        ]


type Explained = ExplainedFrame | Refusal | ExplainedMessage


def explain(text: str) -> list[Explained]:
    """Explain one message in JSON, or any number of frames in hex; refuses, but never raises."""
    is_json = text.lstrip()[:1] in {"{", "["}
    if len(text) > MAX_LENGTH:
        kind = "json" if is_json else "hex"
        return [Refusal(kind, MAX_LENGTH, f"at most {MAX_LENGTH} characters", "more")]
    return [_explain_message(text)] if is_json else [*_explain_hex(text)]


def _explain_message(text: str) -> ExplainedMessage | Refusal:
    try:
        message = decode(text.encode(errors="surrogatepass"))
    except EnvelopeError as err:
        due, separator, found = err.detail.rpartition(", found ")
        if not separator:
            due = _EXPECTED[err.reason]
        return Refusal("json", err.offset, due, found, source=text)
    msg_id, name = _KINDS[type(message)]
    own = {
        field.name: _plain_setting(getattr(message, field.name))
        for field in fields(message)
        if field.name not in _NOT_OWN_FIELDS
    }
    frames = tuple(part for text in _frames_of(message) for part in _explain_hex(text, message))
    return ExplainedMessage(msg_id, name, message.gateway_id, own, frames)


def _frames_of(message: Message) -> tuple[str, ...]:
    match message:
        case envelope.Report() | envelope.TransparentReply():
            return message.frames
        case envelope.TransparentCommand():
            return (message.frame,)
        case _:
            return ()


def _plain_setting(value: object) -> object:
    match value:
        case MonthDay() | MeterId():
            return str(value)
        case tuple():
            return list(value)
        case _:
            return value


# --- Frames --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Part:
    """Neighboring bytes that say one thing together."""

    data: bytes
    name: str
    value: object = None
    unit: str = ""
    grade: Grade | None = Grade.SHOWN
    continued: bool = False


def _explain_hex(text: str, message: Message | None = None) -> Iterator[ExplainedFrame | Refusal]:
    """Explain each frame of a hex string, and with it what stands between it and the one before."""
    try:
        data = from_hex(text)
    except FrameError as err:
        yield replace(_refusal(err), source=text)
        return
    position = 0
    results = list(scan(data))
    for number, result in enumerate(results, 1):
        start, end = _extent(data, position, result)
        explained, inside = _explain_one(data[start:end], result, message)
        parts = [*_in_front(data[position:start]), *inside]
        if number == len(results):
            parts.append(_Part(data[end:], "trailing junk", grade=Grade.UNIDENTIFIED))
        yield replace(explained, notes=tuple(_notes(parts, position)))
        position = end


def _extent(data: bytes, position: int, result: Frame | FrameError) -> tuple[int, int]:
    """Return where the frame of a result begins and ends; a broken one may take all the rest."""
    if isinstance(result, Frame):
        return result.offset, result.offset + result.size
    if result.kind is FrameErrorKind.START:
        return len(data), len(data)
    start = data.index(START, position)
    if result.kind is FrameErrorKind.CHECKSUM:
        return start, result.offset + TRAILER_SIZE
    return start, len(data)


def _explain_one(
    raw: bytes, result: Frame | FrameError, message: Message | None
) -> tuple[ExplainedFrame | Refusal, list[_Part]]:
    if isinstance(result, FrameError):
        return _refusal(result), _damaged(raw)
    try:
        protocol_code = _expected_protocol(result, message)
        content = interpret(result, protocol_code)
    except FrameError as err:
        return _refusal(err), [*_parts(result, None)]
    explained = ExplainedFrame(
        device=content.device,
        meter_number=result.meter_number,
        control=result.control,
        di=result.di,
        meaning=_control_meaning(result),
        fields=describe_content(content),
    )
    return explained, [*_parts(result, content)]


def _expected_protocol(frame: Frame, message: Message | None) -> str | None:
    """Return the protocol that a report names; the frame must be of the meter that it names."""
    if not isinstance(message, envelope.Report):
        return None
    number = message.meter_id.number
    if frame.meter_number != number:
        raise FrameError(
            FrameErrorKind.LAYOUT,
            frame.offset + 2,
            f"the meter number of the report, {number}",
            frame.meter_number,
        )
    return message.meter_id.protocol_code


def _refusal(error: FrameError) -> Refusal:
    return Refusal(str(error.kind), error.offset, error.expected, error.found)


def _notes(parts: list[_Part], offset: int) -> Iterator[Note]:
    for part in parts:
        for index, byte in enumerate(part.data):
            continued = part.continued or index > 0
            yield Note(offset, byte, part.name, part.value, part.unit, part.grade, continued)
            offset += 1


def _in_front(data: bytes) -> Iterator[_Part]:
    junk = data.rstrip(bytes((PREAMBLE,)))
    yield _Part(junk, "junk", grade=Grade.UNIDENTIFIED)
    yield _Part(data[len(junk) :], "preamble", "wake-up")


def _damaged(raw: bytes) -> list[_Part]:
    """Return the bytes of a damaged frame under the names of their places."""
    length = raw[HEADER_SIZE - 1] if len(raw) >= HEADER_SIZE else 0
    data_names = [*_DATA_NAMES, *repeat("data", length)][:length]
    names = chain(_HEADER_NAMES, data_names, ("checksum", "end"), repeat("not read"))
    return [_Part(bytes((byte,)), name, grade=None) for byte, name in zip(raw, names, strict=False)]


def _parts(frame: Frame, content: FrameContent | None) -> Iterator[_Part]:
    """Return what each byte of a sound frame says, as far as that is known."""
    raw = frame.raw
    yield _Part(raw[:1], "start", "start of frame")
    yield _Part(raw[1:2], "device type", _DEVICE_TYPES.get(frame.device_type))
    said = [frame.meter_number] * 4 + [frame.address[4:].hex().upper()] * 3
    for index, (name, value) in enumerate(zip(_ADDRESS_NAMES, said, strict=True)):
        yield _Part(raw[2 + index : 3 + index], name, value, continued=index not in {0, 4})
    yield _Part(raw[9:10], "control", _control_meaning(frame))
    yield _Part(raw[10:11], "length", len(frame.data), "byte" if len(frame.data) == 1 else "bytes")
    yield from _error_parts(frame) if frame.is_error else _data_parts(frame, content)
    yield _Part(raw[-2:-1], "checksum", "correct")
    yield _Part(raw[-1:], "end", "end of frame")


def _control_meaning(frame: Frame) -> str | None:
    command = _CONTROLS.get(frame.command_control)
    if command is None:
        return None
    if frame.is_error:
        return f"error reply to {command}"
    return f"reply to {command}" if frame.is_reply else command


def _error_parts(frame: Frame) -> Iterator[_Part]:
    status = frame.error_status or b""
    yield _Part(frame.data[: len(frame.data) - len(status)], "SER", frame.ser)
    yield _Part(status, "error status", status.hex().upper(), grade=Grade.STANDARD)


def _data_parts(frame: Frame, content: FrameContent | None) -> Iterator[_Part]:
    identifier = None if frame.di is None else _IDENTIFIERS.get(frame.di)
    yield _Part(frame.data[:1], "DI0", identifier)
    yield _Part(frame.data[1:2], "DI1", identifier, continued=True)
    yield _Part(frame.data[2:DI_SER_SIZE], "SER", frame.ser)
    match content:
        case MeterReading():
            for row in DEVICES[content.device].layout.fields:
                yield from _field_parts(row, frame.payload, content)
        case SetOpeningFrame() | SetOpeningReply():
            yield _Part(frame.payload, "opening", content.opening_pct, "%")
        case _:
            yield _Part(frame.payload, "unidentified", grade=Grade.UNIDENTIFIED)


def _field_parts(row: Field, payload: bytes, content: MeterReading) -> Iterator[_Part]:
    data = payload[row.offset : row.offset + row.width]
    value = plain(content.values.get(row.key))
    if row.codec is None or row.codec.quantity is None:
        yield _Part(data, row.name, value, row.unit, row.grade)
        return
    unit = row.codec.quantity.codes.get(data[-1])
    yield _Part(data[:-1], row.name, value, row.unit, row.grade)
    yield _Part(data[-1:], f"unit of {row.name}", unit and unit.name, "", row.grade)
