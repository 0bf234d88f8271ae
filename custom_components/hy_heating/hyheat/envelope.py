"""The gateway's JSON messages, both ways (docs/PROTOCOL.md, section 2).

May import: standard library, errors. Two captured malformations are understood; everything else
that is not exactly one of the messages is refused with a reason. `decode_*` raise nothing but
EnvelopeError, whatever the bytes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
import json
import re
from typing import Any, override

from .errors import EnvelopeError, RefusalReason

MAX_PAYLOAD_SIZE = 64 * 1024
MAX_NESTING = 16  # a message has three levels
DEFAULT_PREFIX = "hy/gw"
TRANSPARENT_COUNT = 5  # in every capture; its meaning is unknown

_GATEWAY_ID_SIZE = 11
_METER_ID_SIZE = 14
_METER_IDS_REMEMBERED = 16_384
_NESTING_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[][{}]', re.DOTALL)
_SEASON_DAY = re.compile(r"20(?:XX|[0-9]{2})-([0-9]{2})-([0-9]{2})")
_MAX_INTEGER = 2**53
_MAX_TEXT = 1024
_LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class MsgId(IntEnum):
    """The known message numbers."""

    STATUS = 1
    SETTINGS = 2
    READ_NOW = 18
    REPORT = 20
    TRANSPARENT = 40


class Stat(IntEnum):
    """The gateway's verdict on a query or command."""

    FAILED = 1
    SUCCEEDED = 2


type Loads = Callable[[str], Any]
type Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day of any year; 29 February is allowed."""

    month: int
    day: int

    @override
    def __str__(self) -> str:
        """Return it as MM-DD."""
        return f"{self.month:02d}-{self.day:02d}"


@dataclass(frozen=True, slots=True)
class MeterId:
    """A `meter_id`: 8-digit number, 4-digit protocol code, 2-digit port."""

    number: str
    protocol_code: str
    port: int

    @override
    def __str__(self) -> str:
        """Return the 14 digits."""
        return f"{self.number}{self.protocol_code}{self.port:02d}"


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """msg_id 1 to the gateway."""

    gateway_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReply:
    """msg_id 1 from the gateway; what it left out is None.

    `csq` is (rssi, bit error rate), 99 in either means unknown to the modem. The SIM card's number
    stays out of what is logged.
    """

    gateway_id: str
    stat: Stat
    csq: tuple[int, int] | None = None
    rssi_dbm: int | None = None
    sinr_db: int | None = None
    iccid: str | None = field(default=None, repr=False)
    firmware: str | None = None
    has_reset: bool | None = None
    mbus_mv: int | None = None
    mbus_ma: int | None = None
    model: int | None = None
    cabinets: int | None = None
    valves: int | None = None


@dataclass(frozen=True, slots=True)
class SettingsQuery:
    """msg_id 2 to the gateway."""

    gateway_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReply:
    """msg_id 2 from the gateway; what it left out, or a date that is none, is None."""

    gateway_id: str
    stat: Stat
    interval_out_of_season_min: int | None = None
    season_start: MonthDay | None = None
    season_end: MonthDay | None = None
    cabinet_interval_min: int | None = None
    valve_interval_min: int | None = None
    in_season_statistics: bool | None = None


@dataclass(frozen=True, slots=True)
class ReadNow:
    """msg_id 18 to the gateway: read all cabinets, all household valves, or both."""

    gateway_id: str
    cabinets: bool
    valves: bool
    upload: bool = False


@dataclass(frozen=True, slots=True)
class ReadNowAck:
    """msg_id 18 from the gateway; the readings follow as reports."""

    gateway_id: str
    stat: Stat


@dataclass(slots=True)
class Report:
    """msg_id 20 from the gateway: one meter's frames, in hex as received.

    Not frozen: to make a frozen one takes a tenth of what it takes to decode a whole report.
    """

    gateway_id: str
    meter_id: MeterId
    frames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransparentCommand:
    """msg_id 40 to the gateway: a frame for the bus, in hex with its preamble."""

    gateway_id: str
    frame: str
    port: int = 0
    count: int = TRANSPARENT_COUNT


@dataclass(frozen=True, slots=True)
class TransparentAck:
    """The first msg_id 40 from the gateway: it took the frame, or not."""

    gateway_id: str
    stat: Stat


@dataclass(frozen=True, slots=True)
class TransparentReply:
    """The second msg_id 40 from the gateway: the device's answer, frames in hex as received."""

    gateway_id: str
    port: int
    frames: tuple[str, ...]


type ToGateway = StatusQuery | SettingsQuery | ReadNow | TransparentCommand
type FromGateway = (
    StatusReply | SettingsReply | ReadNowAck | Report | TransparentAck | TransparentReply
)
type Message = ToGateway | FromGateway


def is_gateway_id(text: str) -> bool:
    """Whether a text is a gateway id: 11 decimal digits."""
    return len(text) == _GATEWAY_ID_SIZE and _all_digits(text)


def _all_digits(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def command_topic(gateway_id: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Return the topic that a gateway takes commands from ("get" is from its point of view)."""
    return f"{prefix}/get/{gateway_id}"


def report_topic(gateway_id: str, prefix: str = DEFAULT_PREFIX) -> str:
    """Return the topic that a gateway sends everything to."""
    return f"{prefix}/set/{gateway_id}"


def gateway_id_of_topic(topic: str) -> str:
    """Return the gateway id at the end of a topic; raises EnvelopeError where there is none."""
    gateway_id = topic.rpartition("/")[2]
    if not is_gateway_id(gateway_id):
        raise EnvelopeError(RefusalReason.TOPIC, f"{topic!r} does not end in 11 digits")
    return gateway_id


def decode_from_gateway(
    payload: bytes, gateway_id: str | None = None, loads: Loads = json.loads
) -> FromGateway:
    """Return the message that a gateway sent.

    `gateway_id` is the id in the topic, which the payload must repeat; None skips that check.
    `loads` may be a faster JSON parser that raises ValueError. Raises EnvelopeError.
    """
    if gateway_id and (report := _captured_report(payload, gateway_id)):
        return report
    return _message(*_open(_parse_json(payload, loads), gateway_id), _FROM_GATEWAY)


def decode_to_gateway(
    payload: bytes, gateway_id: str | None = None, loads: Loads = json.loads
) -> ToGateway:
    """Return the message that somebody sent to a gateway; otherwise as decode_from_gateway."""
    return _message(*_open(_parse_json(payload, loads), gateway_id), _TO_GATEWAY)


def decode(payload: bytes, loads: Loads = json.loads) -> Message:
    """Return a message whose direction is not known: its data tells. Raises EnvelopeError."""
    gateway_id, msg_id, data = _open(_parse_json(payload, loads), None)
    if _goes_to_gateway(msg_id, data):
        return _message(gateway_id, msg_id, data, _TO_GATEWAY)
    return _message(gateway_id, msg_id, data, _FROM_GATEWAY)


def encode(message: Message) -> bytes:
    """Return the payload of a message, in the form and order of the captured ones."""
    msg_id, data = _data_of(message)
    envelope = {
        "gw": {"msg_id": msg_id, "msg_gw_pr": 0, "gw_id": message.gateway_id},
        "data": data,
    }
    return json.dumps(envelope, separators=(",", ":")).encode()


# --- The form that nearly all messages have ------------------------------------------------

_HEAD = re.compile(
    rb'\{"gw":\{"msg_id":20,"msg_gw_pr":0,"gw_id":"([0-9]{11})"\},'
    rb'"data":\{"meter_id":"([0-9]{14})","meter_data":\["'
)
_HEAD_SIZE = 107
_TAIL = b'"]}}'


@lru_cache(_METER_IDS_REMEMBERED)
def _meter_id_in(head: bytes, gateway_id: str) -> MeterId | None:
    match = _HEAD.fullmatch(head)
    return _meter_id_of(match[2].decode()) if match and match[1].decode() == gateway_id else None


def _captured_report(payload: bytes, gateway_id: str) -> Report | None:
    """Return a report of one frame that is written like every captured one, byte for byte.

    None says nothing: a JSON parser then tells what is there, as it would have told this one.
    """
    meter_id = _meter_id_in(payload[:_HEAD_SIZE], gateway_id)
    frame = payload[_HEAD_SIZE : -len(_TAIL)]
    if (
        meter_id is None
        or not frame.isalnum()  # so it is one text, and without any escape
        or not payload.endswith(_TAIL)
        or len(payload) > MAX_PAYLOAD_SIZE
    ):
        return None
    return Report(gateway_id, meter_id, (frame.decode(),))


# --- JSON, and the two shapes that are not -------------------------------------------------

_BARE_PAIR = re.compile(r'("CSQ":\s{0,8})(\d{1,3},\s{0,8}\d{1,3})(?=\s{0,8}[,}])')
_BRACED_FRAME = re.compile(r'("meter_data":\s{0,8})\{\s{0,8}("[0-9A-Fa-f]*")\s{0,8}\}')


def _parse_json(payload: bytes, loads: Loads) -> object:
    if len(payload) > MAX_PAYLOAD_SIZE:
        raise EnvelopeError(
            RefusalReason.TOO_LARGE, f"{len(payload)} bytes, at most {MAX_PAYLOAD_SIZE}"
        )
    try:
        text = str(payload, "utf-8")
    except UnicodeDecodeError as err:
        raise EnvelopeError(RefusalReason.ENCODING, "not UTF-8", err.start) from err
    if text.count("[") + text.count("{") > MAX_NESTING and _too_deep(text):
        raise EnvelopeError(RefusalReason.NESTING, f"more than {MAX_NESTING} levels deep")
    try:
        return loads(text)
    except ValueError as err:
        first = err
    for candidate in _repaired(text):
        try:
            return loads(candidate)
        except ValueError:
            continue
    raise EnvelopeError(
        RefusalReason.JSON, f"not JSON: {first}", getattr(first, "pos", None)
    ) from first


def _too_deep(text: str) -> bool:
    """Whether the brackets outside of texts are nested deeper than allowed.

    Found here because parsers differ: Python's own may go as deep as the stack of its thread.
    """
    depth = 0
    for match in _NESTING_TOKEN.finditer(text):
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        if depth > MAX_NESTING:
            return True
    return False


def _repaired(text: str) -> list[str]:
    """Return what the text says if it has one of the two captured malformations."""
    if (paired := _BARE_PAIR.sub(r"\1[\2]", text, count=1)) != text:
        return [paired]
    if (listed := _BRACED_FRAME.sub(r"\1[\2]", text, count=1)) != text:
        return [listed, listed + "}"]
    return []


# --- Checked access to what JSON gave ------------------------------------------------------


def _wrong_type(key: str, expected: str, value: object) -> EnvelopeError:
    return EnvelopeError(
        RefusalReason.TYPE, f"{key} must be {expected}, found {type(value).__name__}"
    )


def _object(parent: Json, key: str) -> Json:
    value = parent.get(key)
    if isinstance(value, dict):
        return value
    if key not in parent:
        raise EnvelopeError(RefusalReason.SHAPE, f"{key} is missing")
    raise _wrong_type(key, "an object", value)


def _integer(data: Json, key: str) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise _wrong_type(key, "an integer", value)
    return _in_range(value, key)


def _in_range(value: int, key: str) -> int:
    if abs(value) > _MAX_INTEGER:
        raise EnvelopeError(RefusalReason.VALUE, f"{key} is out of range")
    return value


def _count(data: Json, key: str) -> int | None:
    value = _integer(data, key)
    if value is not None and value < 0:
        raise EnvelopeError(RefusalReason.VALUE, f"{key} must not be negative, found {value}")
    return value


def _flag(data: Json, key: str) -> bool | None:
    value = _integer(data, key)
    if value not in (None, 0, 1):
        raise EnvelopeError(RefusalReason.VALUE, f"{key} must be 0 or 1, found {value}")
    return None if value is None else bool(value)


def _text(data: Json, key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise _wrong_type(key, "a text", value)
    if value is not None and (len(value) > _MAX_TEXT or not value.isprintable()):
        raise EnvelopeError(RefusalReason.VALUE, f"{key} is too long or not printable")
    return value


def _required[T](value: T | None, key: str) -> T:
    if value is None:
        raise EnvelopeError(RefusalReason.SHAPE, f"{key} is missing")
    return value


def _stat(data: Json) -> Stat:
    value = _required(_integer(data, "stat"), "stat")
    try:
        return Stat(value)
    except ValueError:
        raise EnvelopeError(RefusalReason.VALUE, f"stat must be 1 or 2, found {value}") from None


def _csq(data: Json) -> tuple[int, int] | None:
    value = data.get("CSQ")
    if value is None:
        return None
    if not isinstance(value, list) or [type(item) for item in value] != [int, int]:
        raise _wrong_type("CSQ", "a pair of integers", value)
    return _in_range(value[0], "CSQ"), _in_range(value[1], "CSQ")


def _season_day(data: Json, key: str) -> MonthDay | None:
    match = _SEASON_DAY.fullmatch(_text(data, key) or "")
    if match is None:
        return None
    month, day = int(match[1]), int(match[2])
    if not 1 <= month <= len(_LAST_DAYS) or not 1 <= day <= _LAST_DAYS[month - 1]:
        return None
    return MonthDay(month, day)


def _meter_id(data: Json) -> MeterId:
    text = data.get("meter_id")
    if not isinstance(text, str) or len(text) != _METER_ID_SIZE:
        _required(_text(data, "meter_id"), "meter_id")
        raise EnvelopeError(RefusalReason.VALUE, "meter_id must be 14 digits")
    return _meter_id_of(text)


@lru_cache(_METER_IDS_REMEMBERED)
def _meter_id_of(text: str) -> MeterId:
    if not _all_digits(text):
        raise EnvelopeError(RefusalReason.VALUE, "meter_id must be 14 digits")
    return MeterId(text[:8], text[8:12], int(text[12:]))


def _frames(data: Json) -> tuple[str, ...]:
    value = _required(data.get("meter_data"), "meter_data")
    if not isinstance(value, list):
        raise _wrong_type("meter_data", "a list", value)
    for item in value:
        if not isinstance(item, str):
            raise _wrong_type("meter_data", "a list of texts", item)
    return tuple(value)


# --- One function per message --------------------------------------------------------------


def _status_reply(gateway_id: str, data: Json) -> StatusReply:
    return StatusReply(
        gateway_id=gateway_id,
        stat=_stat(data),
        csq=_csq(data),
        rssi_dbm=_integer(data, "RSSI"),
        sinr_db=_integer(data, "SINR"),
        iccid=_text(data, "CCID"),
        firmware=_text(data, "GW_Ver"),
        has_reset=_flag(data, "has_rst"),
        mbus_mv=_count(data, "MBUS_mV"),
        mbus_ma=_count(data, "MBUS_mA"),
        model=_integer(data, "GW_model"),
        cabinets=_count(data, "main_meter_total"),
        valves=_count(data, "copy_meter_total"),
    )


def _settings_reply(gateway_id: str, data: Json) -> SettingsReply:
    return SettingsReply(
        gateway_id=gateway_id,
        stat=_stat(data),
        interval_out_of_season_min=_count(data, "not_intimer_interval"),
        season_start=_season_day(data, "heating_start"),
        season_end=_season_day(data, "heating_end"),
        cabinet_interval_min=_count(data, "main_interval"),
        valve_interval_min=_count(data, "copy_interval"),
        in_season_statistics=_flag(data, "copy_statistics"),
    )


def _transparent_from_gateway(gateway_id: str, data: Json) -> TransparentAck | TransparentReply:
    if "meter_data" not in data:
        return TransparentAck(gateway_id, _stat(data))
    port = _required(_count(data, "transparent_port"), "transparent_port")
    return TransparentReply(gateway_id, port, _frames(data))


def _read_now(gateway_id: str, data: Json) -> ReadNow:
    return ReadNow(
        gateway_id,
        cabinets=_required(_flag(data, "main_immediately"), "main_immediately"),
        valves=_required(_flag(data, "copy_immediately"), "copy_immediately"),
        upload=_required(_flag(data, "up_immediately"), "up_immediately"),
    )


def _transparent_command(gateway_id: str, data: Json) -> TransparentCommand:
    return TransparentCommand(
        gateway_id,
        frame=_required(_text(data, "transparent"), "transparent"),
        port=_required(_count(data, "transparent_port"), "transparent_port"),
        count=_required(_count(data, "transparent_count"), "transparent_count"),
    )


_FROM_GATEWAY: Mapping[int, Callable[[str, Json], FromGateway]] = {
    MsgId.STATUS: _status_reply,
    MsgId.SETTINGS: _settings_reply,
    MsgId.READ_NOW: lambda gateway_id, data: ReadNowAck(gateway_id, _stat(data)),
    MsgId.REPORT: lambda gateway_id, data: Report(gateway_id, _meter_id(data), _frames(data)),
    MsgId.TRANSPARENT: _transparent_from_gateway,
}

_TO_GATEWAY: Mapping[int, Callable[[str, Json], ToGateway]] = {
    MsgId.STATUS: lambda gateway_id, _: StatusQuery(gateway_id),
    MsgId.SETTINGS: lambda gateway_id, _: SettingsQuery(gateway_id),
    MsgId.READ_NOW: _read_now,
    MsgId.TRANSPARENT: _transparent_command,
}

_COMMAND_KEYS = frozenset(
    {"main_immediately", "copy_immediately", "up_immediately", "transparent", "transparent_count"}
)


def _open(envelope: object, topic_gateway_id: str | None) -> tuple[str, int, Json]:
    """Return gateway id, message number and data of a payload."""
    if not isinstance(envelope, dict):
        raise _wrong_type("the message", "an object", envelope)
    gw, data = _object(envelope, "gw"), _object(envelope, "data")
    gateway_id = gw.get("gw_id")
    if not isinstance(gateway_id, str) or not is_gateway_id(gateway_id):
        _required(_text(gw, "gw_id"), "gw_id")
        raise EnvelopeError(RefusalReason.GATEWAY_ID, "gw_id must be 11 digits")
    if topic_gateway_id is not None and gateway_id != topic_gateway_id:
        raise EnvelopeError(
            RefusalReason.GATEWAY_ID, f"gw_id {gateway_id} on the topic of {topic_gateway_id}"
        )
    _integer(gw, "msg_gw_pr")
    return gateway_id, _required(_integer(gw, "msg_id"), "msg_id"), data


def _message[M](
    gateway_id: str, msg_id: int, data: Json, messages: Mapping[int, Callable[[str, Json], M]]
) -> M:
    read = messages.get(msg_id)
    if read is None:
        raise EnvelopeError(RefusalReason.MSG_ID, f"msg_id {msg_id} is not known")
    return read(gateway_id, data)


def _goes_to_gateway(msg_id: int, data: Json) -> bool:
    return msg_id in _TO_GATEWAY and (not data or not _COMMAND_KEYS.isdisjoint(data))


def _present(**values: object) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}


def _day(day: MonthDay | None) -> str | None:
    return None if day is None else f"20XX-{day}"


def _int(flag: bool | None) -> int | None:
    return None if flag is None else int(flag)


def _data_of(message: Message) -> tuple[MsgId, dict[str, object]]:
    match message:
        case StatusQuery():
            return MsgId.STATUS, {}
        case SettingsQuery():
            return MsgId.SETTINGS, {}
        case ReadNow():
            return MsgId.READ_NOW, {
                "main_immediately": int(message.cabinets),
                "copy_immediately": int(message.valves),
                "up_immediately": int(message.upload),
            }
        case TransparentCommand():
            return MsgId.TRANSPARENT, {
                "transparent_port": message.port,
                "transparent": message.frame,
                "transparent_count": message.count,
            }
        case StatusReply():
            return MsgId.STATUS, _present(
                stat=message.stat,
                CSQ=message.csq,
                RSSI=message.rssi_dbm,
                SINR=message.sinr_db,
                CCID=message.iccid,
                GW_Ver=message.firmware,
                has_rst=_int(message.has_reset),
                MBUS_mV=message.mbus_mv,
                MBUS_mA=message.mbus_ma,
                GW_model=message.model,
                main_meter_total=message.cabinets,
                copy_meter_total=message.valves,
            )
        case SettingsReply():
            return MsgId.SETTINGS, _present(
                stat=message.stat,
                not_intimer_interval=message.interval_out_of_season_min,
                heating_start=_day(message.season_start),
                heating_end=_day(message.season_end),
                main_interval=message.cabinet_interval_min,
                copy_interval=message.valve_interval_min,
                copy_statistics=_int(message.in_season_statistics),
            )
        case ReadNowAck():
            return MsgId.READ_NOW, {"stat": message.stat}
        case TransparentAck():
            return MsgId.TRANSPARENT, {"stat": message.stat}
        case Report():
            return MsgId.REPORT, {
                "meter_id": str(message.meter_id),
                "meter_data": list(message.frames),
            }
        case _:  # a TransparentReply
            return MsgId.TRANSPARENT, {
                "transparent_port": message.port,
                "meter_data": list(message.frames),
            }
