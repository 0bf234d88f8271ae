"""The known device types, and what a frame of one of them says.

May import: standard library and the wire modules. A new device type is a module with a
DeviceSpec and one more row in DEVICES. Wire facts: docs/PROTOCOL.md, sections 3 to 6.
"""

from datetime import datetime
from functools import lru_cache

from ..errors import FrameError, FrameErrorKind, RequestError
from ..frame import (
    DI_SER_SIZE,
    END,
    HEADER_SIZE,
    REPLY_BIT,
    START,
    TRAILER_SIZE,
    Frame,
    build,
    checksum,
)
from ..model import (
    ErrorReply,
    FrameContent,
    MeterAddress,
    MeterReading,
    ReadFrame,
    Register,
    SetOpeningFrame,
    SetOpeningReply,
    UnknownReading,
    Value,
)
from .cabinet import CABINET
from .household_valve import HOUSEHOLD_VALVE
from .spec import READ_CONTROL, READ_DI, READ_SER, DeviceSpec, OpeningCommand, Sample

__all__ = [
    "CABINET",
    "DEVICES",
    "HOUSEHOLD_VALVE",
    "DeviceSpec",
    "Sample",
    "counters",
    "describe",
    "describe_content",
    "interpret",
    "openings_shown",
    "plain_report",
    "read_frame",
    "report_frame",
    "set_opening_frame",
    "to_reading",
]

DEVICES = {spec.key: spec for spec in (CABINET, HOUSEHOLD_VALVE)}
_BY_TYPE_CODE = {spec.type_code: spec for spec in DEVICES.values()}
_BY_PROTOCOL = {spec.protocol_code: spec for spec in DEVICES.values()}

_METERS_REMEMBERED = 16_384
_CONTROL_OFFSET = 9
_LENGTH_OFFSET = 10
_PAYLOAD_OFFSET = HEADER_SIZE + DI_SER_SIZE


def interpret(frame: Frame, protocol_code: str | None = None) -> FrameContent:
    """Return what a frame says.

    `protocol_code` is the meter protocol of the report that carried the frame, where one came
    along; it must agree with the device type. Raises FrameError of kind LAYOUT for a device type,
    a length or a control and data identifier that nobody described.
    """
    spec = _BY_TYPE_CODE.get(frame.device_type)
    if spec is None:
        raise _layout_error(frame, 1, "a known device type", f"{frame.device_type:02X}")
    if protocol_code is not None and protocol_code != spec.protocol_code:
        raise _layout_error(frame, 1, f"the device type of protocol {protocol_code}", spec.name)
    if not frame.meter_number.isdecimal():
        raise _layout_error(frame, 2, "a meter number of 8 digits", frame.meter_number)
    if frame.is_error:
        return _error_reply(spec, frame)
    if len(frame.data) < DI_SER_SIZE:
        raise _layout_error(
            frame, _LENGTH_OFFSET, f"{DI_SER_SIZE} data bytes or more", str(len(frame.data))
        )
    if (frame.command_control, frame.di) == (READ_CONTROL, READ_DI):
        return _report(spec, frame) if frame.is_reply else _read(spec, frame)
    command = spec.opening
    if command and (frame.command_control, frame.di) == (command.control, command.di):
        return _set_opening(spec, command, frame)
    raise _layout_error(
        frame,
        _CONTROL_OFFSET,
        f"a known control and data identifier of a {spec.name}",
        f"{frame.control:02X} {frame.di:04X}",
    )


def to_reading(frame: Frame, protocol_code: str | None = None) -> MeterReading | UnknownReading:
    """Return the reading of a frame that was reported; one that nobody described is unknown.

    Raises FrameError of kind LAYOUT for a frame that is known, but no report.
    """
    try:
        content = interpret(frame, protocol_code)
    except FrameError:
        return UnknownReading(frame.device_type, frame.address, frame.raw)
    if not isinstance(content, MeterReading):
        raise _layout_error(frame, _CONTROL_OFFSET, "a report", f"control {frame.control:02X}")
    return content


def plain_report(data: bytes, meter_number: str, protocol_code: str) -> MeterReading | None:
    """Return the reading of bytes that are one report of this meter, right in everything.

    Nearly all are. None says nothing: `scan` and `to_reading` then tell what is there, as they
    would have told this reading.
    """
    spec, begin = _expected(meter_number, protocol_code)
    raw = data
    if not raw.startswith(begin):
        raw = data[data.find(START) :]
        if not raw.startswith(begin):
            return None
    if (
        spec is None
        or len(raw) != spec.report_size
        or raw[_CONTROL_OFFSET : _PAYLOAD_OFFSET - 1] != spec.report_head
        or raw[-1] != END
        or raw[-TRAILER_SIZE] != checksum(raw[:-TRAILER_SIZE])
    ):
        return None
    return MeterReading(
        spec.key,
        raw[2:_CONTROL_OFFSET],
        raw[_CONTROL_OFFSET],
        READ_DI,
        raw[_PAYLOAD_OFFSET - 1],
        spec.layout.decode(raw, _PAYLOAD_OFFSET),
        raw,
    )


@lru_cache(_METERS_REMEMBERED)
def _expected(meter_number: str, protocol_code: str) -> tuple[DeviceSpec | None, bytes]:
    """Return what a meter is, and how its frames begin."""
    spec = _BY_PROTOCOL.get(protocol_code)
    if spec is None:
        return None, b""
    return spec, bytes((START, spec.type_code)) + bytes.fromhex(meter_number)


def describe(frame: Frame, protocol_code: str | None = None) -> dict[str, object]:
    """Return what a frame says as plain values, codes in hex as text.

    Raises FrameError of kind LAYOUT as `interpret` does.
    """
    return describe_content(interpret(frame, protocol_code))


def describe_content(content: FrameContent) -> dict[str, object]:
    """Return what a frame said as plain values, codes in hex as text."""
    known: dict[str, object] = {"device": content.device}
    match content:
        case MeterReading():
            known |= {
                "address": content.address.hex().upper(),
                "meter_number": content.meter_number,
                "control": f"{content.control:02X}",
                "di": f"{content.di:04X}",
                "ser": content.ser,
            }
            known |= {key: plain(value) for key, value in content.values.items()}
        case SetOpeningFrame():
            known["opening_pct"] = content.opening_pct
        case ReadFrame():
            known["read"] = True
        case SetOpeningReply():
            known |= {
                "control": f"{content.control:02X}",
                "di": f"{content.di:04X}",
                "ser": content.ser,
            }
            if content.echoed:
                known["opening_pct"] = content.opening_pct
        case _:  # an ErrorReply
            known |= {"control": f"{content.control:02X}", "error": True}
            if content.ser is not None:
                known["ser"] = content.ser
            known["status"] = content.status.hex().upper()
    return known


def plain(value: Value) -> int | float | str | None:
    """Return a value as JSON has it; a time in ISO 8601 without a zone."""
    return value.isoformat() if isinstance(value, datetime) else value


def set_opening_frame(meter: MeterAddress, opening_pct: float) -> Frame:
    """Return the command that moves a meter's valve to an opening of 0 to 100 %.

    Raises RequestError for any other opening, and for a device without a valve.
    """
    spec = DEVICES[meter.device]
    command = spec.opening
    if command is None:
        raise RequestError(f"a {spec.name} has no valve")
    data = command.di.to_bytes(2) + bytes((command.ser,)) + command.codec.encode(opening_pct)
    return build(spec.type_code, meter.address, command.control, data)


def read_frame(meter: MeterAddress) -> Frame:
    """Return the command that reads one meter (grade B, docs/PROTOCOL.md, section 6)."""
    data = READ_DI.to_bytes(2) + bytes((READ_SER,))
    return build(DEVICES[meter.device].type_code, meter.address, READ_CONTROL, data)


def report_frame(meter: MeterAddress, ser: int, payload: bytes) -> Frame:
    """Return a report as the device would send it, e.g. for a virtual device."""
    data = READ_DI.to_bytes(2) + bytes((ser,)) + payload
    return build(DEVICES[meter.device].type_code, meter.address, READ_CONTROL | REPLY_BIT, data)


def openings_shown(reading: MeterReading) -> tuple[int | float | None, ...]:
    """Return the openings in percent that must all show a wish before it counts as reached."""
    return tuple(reading.number(key) for key in DEVICES[reading.device].proof_fields)


def counters(reading: MeterReading) -> dict[str, Register | None]:
    """Return the exact registers of a reading that only ever grow, None where unknown."""
    spec = DEVICES[reading.device]
    payload = reading.frame[_PAYLOAD_OFFSET:-TRAILER_SIZE]
    return {key: spec.layout.register(key, payload) for key in spec.counters}


def _layout_error(frame: Frame, offset: int, expected: str, found: str) -> FrameError:
    return FrameError(FrameErrorKind.LAYOUT, frame.offset + offset, expected, found)


def _check_size(frame: Frame, expected: int) -> None:
    if len(frame.payload) != expected:
        raise _layout_error(
            frame,
            _LENGTH_OFFSET,
            f"L={DI_SER_SIZE + expected:02X}",
            f"L={len(frame.data):02X}",
        )


def _di_ser(frame: Frame) -> tuple[int, int]:
    return int.from_bytes(frame.data[:2]), frame.data[2]


def _report(spec: DeviceSpec, frame: Frame) -> MeterReading:
    _check_size(frame, spec.layout.size)
    di, ser = _di_ser(frame)
    return MeterReading(
        spec.key,
        frame.address,
        frame.control,
        di,
        ser,
        spec.layout.decode(frame.data, DI_SER_SIZE),
        frame.raw,
    )


def _read(spec: DeviceSpec, frame: Frame) -> ReadFrame:
    _check_size(frame, 0)
    return ReadFrame(spec.key, frame.address)


def _set_opening(
    spec: DeviceSpec, command: OpeningCommand, frame: Frame
) -> SetOpeningFrame | SetOpeningReply:
    carries_value = command.echoed or not frame.is_reply
    _check_size(frame, command.codec.width if carries_value else 0)
    value = command.codec.decode(frame.payload) if carries_value else None
    opening = value if isinstance(value, int | float) else None
    if not frame.is_reply:
        return SetOpeningFrame(spec.key, frame.address, opening)
    di, ser = _di_ser(frame)
    return SetOpeningReply(spec.key, frame.address, frame.control, di, ser, command.echoed, opening)


def _error_reply(spec: DeviceSpec, frame: Frame) -> ErrorReply:
    status = frame.error_status
    if not status:
        raise _layout_error(frame, _LENGTH_OFFSET, "a status byte or more", "none")
    return ErrorReply(spec.key, frame.address, frame.control, frame.ser, status)
