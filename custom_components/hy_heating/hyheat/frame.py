"""The CJ/T 188 envelope: find, check and build frames (docs/PROTOCOL.md, section 3).

    FE... 68 T A0..A6 C L DI0 DI1 SER data... CS 16

May import: standard library, errors. Junk is skipped only in front of a start byte; nothing
is searched for inside a frame that failed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
import re
from zlib import adler32

from .errors import FrameError, FrameErrorKind, RequestError

PREAMBLE = 0xFE
START = 0x68
END = 0x16
PREAMBLE_SENT = 4

REPLY_BIT = 0x80
ERROR_BIT = 0x40

ADDRESS_SIZE = 7
HEADER_SIZE = 11  # 68 T A0..A6 C L
TRAILER_SIZE = 2  # CS 16
_LENGTH_OFFSET = 10
_MAX_DATA = 255
_DI_SIZE = 2
_ADLER_IS_EXACT = 256
"""Bytes whose sum stays below 65520, whatever they are."""

_NEITHER_HEX_NOR_SPACE = re.compile(r"[^0-9A-Fa-f\s]", re.ASCII)
_HEX_PAIRS = re.compile(r"(?:\s*[0-9A-Fa-f]{2})*\s*", re.ASCII)
DI_SER_SIZE = 3

type Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Frame:
    """One frame whose start, length, checksum and end are right.

    `data` runs from DI0 to the last byte before CS; `offset` is the place of the start byte in
    the input that the frame was found in.
    """

    device_type: int
    address: bytes
    control: int
    data: bytes
    offset: int = 0

    @property
    def meter_number(self) -> str:
        """The 8-digit number as written in the address, e.g. "27100583" (PROTOCOL.md 3)."""
        return self.address[:4].hex().upper()

    @property
    def is_reply(self) -> bool:
        """Whether the frame comes from a device."""
        return bool(self.control & REPLY_BIT)

    @property
    def is_error(self) -> bool:
        """Whether a device answered with an error (control bit 6)."""
        return self.control & (REPLY_BIT | ERROR_BIT) == REPLY_BIT | ERROR_BIT

    @property
    def command_control(self) -> int:
        """The control code of the command that this frame is, or answers."""
        return self.control & ~(REPLY_BIT | ERROR_BIT)

    @property
    def di(self) -> int | None:
        """The data identifier, e.g. 0x901F; None in an error reply or a frame too short."""
        if self.is_error or len(self.data) < _DI_SIZE:
            return None
        return self.data[0] << 8 | self.data[1]

    @property
    def ser(self) -> int | None:
        """The sequence byte; None where the frame has none.

        In an error reply of three bytes it is the first one (PROTOCOL.md 6).
        """
        if self.is_error:
            return self.data[0] if len(self.data) == DI_SER_SIZE else None
        return self.data[2] if len(self.data) >= DI_SER_SIZE else None

    @property
    def payload(self) -> bytes:
        """What follows SER."""
        return self.data[DI_SER_SIZE:]

    @property
    def error_status(self) -> bytes | None:
        """The status bytes of an error reply: two after SER, or all of a shorter one."""
        if not self.is_error:
            return None
        return self.data[1:3] if len(self.data) == DI_SER_SIZE else self.data

    @property
    def size(self) -> int:
        """Number of bytes from the start byte to the end byte."""
        return HEADER_SIZE + len(self.data) + TRAILER_SIZE

    @cached_property
    def raw(self) -> bytes:
        """The frame from the start byte to the end byte, without preamble."""
        body = bytes((START, self.device_type, *self.address, self.control, len(self.data)))
        body += self.data
        return body + bytes((checksum(body), END))

    def encode(self) -> bytes:
        """Return the bytes to send: four preamble bytes and the frame."""
        return bytes((PREAMBLE,)) * PREAMBLE_SENT + self.raw


def checksum(body: Buffer) -> int:
    """Return the sum of all bytes from the start byte to the last data byte, modulo 256."""
    if len(body) > _ADLER_IS_EXACT:
        return sum(body) & 0xFF
    # The lower half of Adler-32 is one more than the sum of all bytes, modulo 65521 (RFC 1950):
    # a tenth of the time that `sum` takes, and that is a tenth of decoding a report.
    return adler32(body) - 1 & 0xFF


def build(device_type: int, address: bytes, control: int, data: bytes) -> Frame:
    """Return a frame to send.

    Raises RequestError where a part does not fit the envelope.
    """
    if len(address) != ADDRESS_SIZE:
        raise RequestError(f"an address has {ADDRESS_SIZE} bytes, not {len(address)}")
    if len(data) > _MAX_DATA:
        raise RequestError(f"a frame carries at most {_MAX_DATA} bytes, not {len(data)}")
    for name, value in (("device type", device_type), ("control", control)):
        if not 0 <= value <= 0xFF:  # noqa: PLR2004 - one byte
            raise RequestError(f"the {name} is one byte, not {value}")
    return Frame(device_type, bytes(address), control, bytes(data))


def from_hex(text: str) -> bytes:
    """Return the bytes of a hex string of either case, with or without white space.

    Raises FrameError of kind HEX.
    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise _hex_error(text) from None


def _hex_error(text: str) -> FrameError:
    if wrong := _NEITHER_HEX_NOR_SPACE.search(text):
        return FrameError(FrameErrorKind.HEX, wrong.start(), "a hex digit", repr(wrong[0]))
    digits = len("".join(text.split()))
    offset = len(text) - len(_HEX_PAIRS.sub("", text, count=1))
    return FrameError(FrameErrorKind.HEX, offset, "two digits for each byte", f"{digits} digits")


def scan(data: Buffer) -> Iterator[Frame | FrameError]:
    """Yield each frame of a byte string in order, and an error for each one that failed.

    An input without any start byte yields one error of kind START. After a frame that failed,
    the search goes on only where another frame begins right behind it (preamble or start
    byte): what else follows cannot be told from the inside of the broken one.
    """
    data = bytes(data)
    position = 0
    found_any = False
    while (start := data.find(START, position)) >= 0:
        found_any = True
        try:
            frame = _parse_at(data, start)
        except FrameError as err:
            yield err
            behind = _behind_failed(data, start, err)
            if behind is None:
                return
            position = behind
        else:
            yield frame
            position = start + frame.size
    if not found_any:
        offset = len(data) - len(data.lstrip(bytes((PREAMBLE,))))
        found = f"{data[offset]:02X}" if offset < len(data) else "the end of the input"
        yield FrameError(FrameErrorKind.START, offset, f"{START:02X}", found)


def parse(data: Buffer | str) -> Frame:
    """Return the first frame of a byte or hex string.

    Raises FrameError.
    """
    result = next(scan(from_hex(data) if isinstance(data, str) else data))
    if isinstance(result, FrameError):
        raise result
    return result


def _parse_at(data: bytes, start: int) -> Frame:
    """Return the frame that begins at a start byte; raises FrameError."""
    available = len(data) - start
    if available < HEADER_SIZE:
        raise FrameError(
            FrameErrorKind.LENGTH,
            len(data),
            f"a header of {HEADER_SIZE} bytes",
            f"{available} bytes",
        )
    length = data[start + _LENGTH_OFFSET]
    check = start + HEADER_SIZE + length
    if available < HEADER_SIZE + length + TRAILER_SIZE:
        raise FrameError(
            FrameErrorKind.LENGTH,
            start + _LENGTH_OFFSET,
            f"{HEADER_SIZE + length + TRAILER_SIZE} bytes (L={length:02X})",
            f"{available} bytes",
        )
    if data[check + 1] != END:
        raise FrameError(FrameErrorKind.END, check + 1, f"{END:02X}", f"{data[check + 1]:02X}")
    if data[check] != (computed := checksum(data[start:check])):
        raise FrameError(FrameErrorKind.CHECKSUM, check, f"{computed:02X}", f"{data[check]:02X}")
    return Frame(
        data[start + 1],
        data[start + 2 : start + 2 + ADDRESS_SIZE],
        data[start + 9],
        data[start + HEADER_SIZE : check],
        start,
    )


def _behind_failed(data: bytes, start: int, error: FrameError) -> int | None:
    """Return where a frame begins right behind one that failed, or None."""
    if error.kind is not FrameErrorKind.CHECKSUM:
        return None  # its length or its end is wrong: nobody knows where it stops
    behind = start + HEADER_SIZE + data[start + _LENGTH_OFFSET] + TRAILER_SIZE
    rest = data[behind:].lstrip(bytes((PREAMBLE,)))
    return behind if rest[:1] == bytes((START,)) else None
