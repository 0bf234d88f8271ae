"""Bytes as a script: what reaches a client, or a whole Home Assistant, step by step.

One step a line, its first letter says what it is. A line that begins with anything else is a
message as it stands, so every input is a script.

    C<hex>   the captured cabinet's report, with these bytes instead of its first ones behind SER
    V<hex>   the same of the captured household valve
    F<hex>   a report of any frame (T, A0..A6, C, data), length, checksum and meter_id right
    T<hex>   a transparent reply with such a frame
    {...     a message on the report topic
    G...     a message on the command topic
    K...     a retained message on the report topic
    W<n>     n seconds pass
    M<n>     somebody moves both captured valves to n %
    Q        somebody has all meters read
    D, U     the link goes down, comes up
    X        the entry is loaded anew
"""

from collections.abc import Iterator
from dataclasses import dataclass
import json

from custom_components.hy_heating.hyheat.devices import DEVICES
from custom_components.hy_heating.hyheat.frame import Frame, parse
from tests.vectors import GATEWAY_ID

MAX_STEPS = 40
MAX_WAIT_S = 100_000

_MIN_BODY = 9  # T, A0..A6, C
_PROTOCOLS = {spec.type_code: spec.protocol_code for spec in DEVICES.values()}
_REPORTS = {
    kind: parse(DEVICES[device].samples[0].hex)
    for kind, device in ((b"C", "cabinet"), (b"V", "valve"))
}
_PLAIN = {b"Q": "read", b"D": "down", b"U": "up", b"X": "restart"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `payload` is set for messages, `number` for the others that have one."""

    kind: str
    payload: bytes = b""
    number: int = 0


def steps(data: bytes) -> Iterator[Step]:
    """Yield the steps of a script."""
    for line in data.split(b"\n")[:MAX_STEPS]:
        yield _step(line)


def _step(line: bytes) -> Step:
    kind, rest = line[:1], line[1:]
    match kind:
        case b"C" | b"V":
            return Step("message", _report(_changed(_REPORTS[kind], _unhex(rest))))
        case b"F":
            return Step("message", _report(_unhex(rest)))
        case b"T":
            data = {"transparent_port": 0, "meter_data": [mended(_unhex(rest)).hex().upper()]}
            return Step("message", _message(40, data))
        case b"G":
            return Step("command", rest)
        case b"K":
            return Step("retained", rest)
        case b"W" | b"M":
            number = int(rest) if rest.isdigit() and len(rest) < len(str(MAX_WAIT_S)) else 0
            return Step("wait" if kind == b"W" else "move", number=number)
        case _ if kind in _PLAIN:
            return Step(_PLAIN[kind])
        case _:
            return Step("message", line)


def body_of(frame: Frame) -> bytes:
    """Return a frame without what `mended` puts around it again."""
    return bytes((frame.device_type, *frame.address, frame.control)) + frame.data


def _changed(captured: Frame, payload: bytes) -> bytes:
    payload = payload[: len(captured.payload)]
    return body_of(captured)[: -len(captured.payload)] + payload + captured.payload[len(payload) :]


def mended(body: bytes) -> bytes:
    """Return a frame of any bytes (T, A0..A6, C, data), with length, checksum and end right."""
    body = body[: _MIN_BODY + 255].ljust(_MIN_BODY, b"\x00")
    frame = b"\x68" + body[:_MIN_BODY] + bytes((len(body) - _MIN_BODY,)) + body[_MIN_BODY:]
    return frame + bytes((sum(frame) % 256, 0x16))


def _unhex(text: bytes) -> bytes:
    """Return the bytes of hex digits, as far as there are any: no input is in vain."""
    digits = bytes(digit for digit in text if digit in b"0123456789abcdefABCDEF")
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode())


def _report(body: bytes) -> bytes:
    frame = mended(body)
    number = frame[2:6].hex().upper()
    protocol = _PROTOCOLS.get(frame[1], "2008")
    return _message(20, {"meter_id": f"{number}{protocol}00", "meter_data": [frame.hex().upper()]})


def _message(msg_id: int, data: dict[str, object]) -> bytes:
    gw = {"msg_id": msg_id, "msg_gw_pr": 0, "gw_id": GATEWAY_ID}
    return json.dumps({"gw": gw, "data": data}, separators=(",", ":")).encode()
