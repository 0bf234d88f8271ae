"""How bytes become values: codecs, the closed table of unit codes, and the Layout type.

May import: standard library, errors, model. A codec answers None for bytes that mark an invalid
register (non-BCD digits, all FF) or hold a value outside its limits; it never guesses.
Wire facts: docs/PROTOCOL.md, sections 3 to 5.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import isfinite
from struct import Struct
from typing import Any, Literal, Protocol

from .errors import RequestError
from .model import Register, Value

_ONE_BYTE = 0xFF
_MAX_REMEMBERED = 4096
"""A quarter of a megabyte for each field at most; what was in use comes back by itself."""


class Grade(StrEnum):
    """How well a reading of bytes is supported (docs/PROTOCOL.md)."""

    SHOWN = "A"
    STANDARD = "B"
    INFERRED = "C"
    UNIDENTIFIED = "D"


@dataclass(frozen=True, slots=True)
class UnitCode:
    """One unit code: a register counts `numerator / denominator` of the quantity's unit."""

    name: str
    numerator: int
    denominator: int


@dataclass(frozen=True, slots=True)
class Quantity:
    """A physical quantity: the unit its values are given in, and the unit codes it accepts."""

    unit: str
    codes: Mapping[int, UnitCode]


ENERGY = Quantity(
    "kWh",
    {
        0x05: UnitCode("kWh", 1, 100),
        0x08: UnitCode("MWh", 10, 1),
        0x11: UnitCode("GJ", 25, 9),  # 0.01 GJ = 10 MJ = 10/3.6 kWh
    },
)
VOLUME = Quantity(
    "m³",
    {
        0x2A: UnitCode("10 L", 1, 100),
        0x2C: UnitCode("m³", 1, 100),
    },
)
VOLUME_FLOW_RATE = Quantity(
    "L/h",
    {
        0x32: UnitCode("L/h", 1, 1),
        0x35: UnitCode("m³/h", 1, 10),
    },
)
POWER = Quantity(
    "W",
    {
        0x14: UnitCode("W", 1, 100),
        0x17: UnitCode("kW", 10, 1),
        0x1A: UnitCode("MW", 10_000, 1),
    },
)


@dataclass(frozen=True, slots=True)
class Codec:
    """Bytes to value and back.

    `decode` takes exactly `width` bytes and returns None for an unknown value. `encode` takes a
    known value and raises RequestError where it has no place on the wire. `quantity` and
    `register`, the exact form of the value, are set where the last byte is a unit code.
    """

    width: int
    decode: Callable[[bytes], Value]
    encode: Callable[[Value], bytes]
    quantity: Quantity | None = None
    register: Callable[[bytes], Register | None] | None = None


def _no_place(value: Value, what: str) -> RequestError:
    return RequestError(f"{value!r} is not {what}")


def _as_number(value: Value) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise _no_place(value, "a number")
    return value


def _in_limits(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _bcd_to_int(data: bytes) -> int | None:
    try:
        return int(data[::-1].hex())
    except ValueError:  # a digit above 9
        return None


def _int_to_bcd(number: int, width: int) -> bytes:
    digits = f"{number:0{2 * width}d}"
    if number < 0 or len(digits) > 2 * width:
        raise _no_place(number, f"a number of at most {2 * width} digits")
    return bytes.fromhex(digits)[::-1]


def bcd(width: int, *, divisor: int, low: float | None = None, high: float | None = None) -> Codec:
    """Return the codec of an unsigned BCD number, least-significant byte first."""

    def decode(data: bytes) -> Value:
        number = _bcd_to_int(data)
        if number is None:
            return None
        value = number / divisor
        return value if _in_limits(value, low, high) else None

    def encode(value: Value) -> bytes:
        number = _as_number(value)
        if not _in_limits(number, low, high):
            raise _no_place(value, f"within {low} to {high}")
        return _int_to_bcd(round(number * divisor), width)

    return Codec(width, decode, encode)


def bcd_text(width: int) -> Codec:
    """Return the codec of a number kept as text with its leading zeros, low byte first."""

    def decode(data: bytes) -> Value:
        digits = data[::-1].hex()
        return digits if digits.isdecimal() else None

    def encode(value: Value) -> bytes:
        if not isinstance(value, str) or not (value.isascii() and value.isdecimal()):
            raise _no_place(value, "a text of digits")
        if len(value) != 2 * width:
            raise _no_place(value, f"a text of {2 * width} digits")
        return bytes.fromhex(value)[::-1]

    return Codec(width, decode, encode)


def quantity(of: Quantity, *, written_as: int) -> Codec:
    """Return the codec of four BCD bytes and a unit code, in the quantity's own unit.

    Any code outside the quantity's table makes the value unknown. `written_as` is the code that
    `encode` writes.
    """
    steps = {code: (unit.numerator, unit.denominator) for code, unit in of.codes.items()}

    def register(data: bytes) -> Register | None:
        number, step = _bcd_to_int(data[:4]), steps.get(data[4])
        return None if number is None or step is None else Register(number, *step)

    def decode(data: bytes) -> Value:
        # As Register.value, without making one: half of a cabinet's fields are such.
        try:
            numerator, denominator = steps[data[4]]
            number = int(data[3::-1].hex()) * numerator
        except KeyError, ValueError:
            return None
        return number if denominator == 1 else number / denominator

    def encode(value: Value) -> bytes:
        unit = of.codes[written_as]
        number = round(_as_number(value) * unit.denominator / unit.numerator)
        return _int_to_bcd(number, 4) + bytes((written_as,))

    return Codec(5, decode, encode, of, register)


def integer(  # noqa: PLR0913 - what tells one integer register from another
    width: int,
    byteorder: Literal["little", "big"] = "little",
    *,
    divisor: int = 1,
    signed: bool = False,
    low: float | None = None,
    high: float | None = None,
) -> Codec:
    """Return the codec of a binary integer; signed ones are two's complement, all FF is unknown."""
    invalid = b"\xff" * width

    def decode(data: bytes) -> Value:
        if data == invalid:
            return None
        number = int.from_bytes(data, byteorder, signed=signed)
        value = number if divisor == 1 else number / divisor
        return value if _in_limits(value, low, high) else None

    def encode(value: Value) -> bytes:
        number = _as_number(value)
        if not _in_limits(number, low, high):
            raise _no_place(value, f"within {low} to {high}")
        try:
            data = round(number * divisor).to_bytes(width, byteorder, signed=signed)
        except OverflowError:
            raise _no_place(value, f"a number of {width} bytes") from None
        if data == invalid:
            raise _no_place(value, "a number that can be told from an invalid one")
        return data

    return Codec(width, decode, encode)


def choice(names: Mapping[int, str]) -> Codec:
    """Return the codec of one byte that names a state; a code without a name is unknown."""
    codes = {name: code for code, name in names.items()}

    def decode(data: bytes) -> Value:
        return names.get(data[0])

    def encode(value: Value) -> bytes:
        if not isinstance(value, str) or value not in codes:
            raise _no_place(value, f"one of {', '.join(codes)}")
        return bytes((codes[value],))

    return Codec(1, decode, encode)


def _decode_running_time(data: bytes) -> Value:
    days, hours, minutes = data
    if days == _ONE_BYTE or hours > 23 or minutes > 59:  # noqa: PLR2004 - a day's clock
        return None
    return (days * 24 + hours) * 60 + minutes


def _encode_running_time(value: Value) -> bytes:
    hours, minutes = divmod(round(_as_number(value)), 60)
    days, hours = divmod(hours, 24)
    if not 0 <= days < _ONE_BYTE:
        raise _no_place(value, "a running time under 255 days")
    return bytes((days, hours, minutes))


RUNNING_TIME_MIN = Codec(3, _decode_running_time, _encode_running_time)
"""Days, hours and minutes, one byte each, as a number of minutes."""


def _decode_clock(data: bytes) -> Value:
    digits = data[::-1].hex()
    if digits[8:10] == "24":  # midnight in ISO 8601, nothing on a clock
        return None
    try:
        return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}")
    except ValueError:
        return None


def _encode_clock(value: Value) -> bytes:
    if not isinstance(value, datetime):
        raise _no_place(value, "a time")
    return bytes.fromhex(f"{value:%S%M%H%d%m}{value.year % 100:02d}{value.year // 100:02d}")


CLOCK = Codec(7, _decode_clock, _encode_clock)
"""BCD second, minute, hour, day, month, year, century; a time without a zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One row of a layout: `width` bytes at `offset` and what they say.

    Without `key` the bytes are unidentified (grade D): no value, but accounted for.
    """

    offset: int
    width: int
    key: str = ""
    name: str = "unidentified"
    grade: Grade = Grade.UNIDENTIFIED
    codec: Codec | None = None
    unit: str = ""


def value_field(  # noqa: PLR0913, PLR0917 - one argument per column of the table
    offset: int, key: str, codec: Codec, grade: Grade, name: str, unit: str = ""
) -> Field:
    """Return the row of a value."""
    return Field(
        offset=offset,
        width=codec.width,
        key=key,
        name=name,
        grade=grade,
        codec=codec,
        unit=codec.quantity.unit if codec.quantity else unit,
    )


def unidentified(offset: int, width: int) -> Field:
    """Return the row of bytes that no reading is supported for."""
    return Field(offset=offset, width=width)


class _Remembered[T](dict[bytes, T]):
    """What the bytes of one field say, worked out once: most of them come again and again."""

    __slots__ = ("_decode",)

    def __init__(self, decode: Callable[[bytes], T]) -> None:
        self._decode = decode

    def __missing__(self, data: bytes) -> T:
        if len(self) >= _MAX_REMEMBERED:
            self.clear()
        value = self[data] = self._decode(data)
        return value


class Decode(Protocol):
    """Bytes to the values of a layout."""

    def __call__(self, data: bytes, offset: int = 0, /) -> dict[str, Value]:
        """Return every value of the layout at an offset by key, None where unknown."""
        ...


def _compiled(fields: tuple[Field, ...]) -> Decode:
    """Return a layout's `decode`, written out row by row: half of what a loop over them takes."""
    known = [(row.key, row.codec) for row in fields if row.codec]
    split = Struct("".join(f"{row.width}{'s' if row.codec else 'x'}" for row in fields))
    names: dict[str, Any] = {"split": split.unpack_from}
    names |= {f"said_{place}": _Remembered(codec.decode) for place, (_, codec) in enumerate(known)}
    parts = "".join(f"part_{place}, " for place in range(len(known)))
    values = ", ".join(f"{key!r}: said_{i}[part_{i}]" for i, (key, _) in enumerate(known))
    source = f"""
def decode(data, offset=0, /):
    {parts}= split(data, offset)
    return {{{values}}}
"""
    exec(source, names)  # noqa: S102 - made of nothing but the table's keys
    decode: Decode = names["decode"]
    return decode


@dataclass(frozen=True, slots=True)
class Layout:
    """Every byte after SER of one report, row by row, without gap or overlap."""

    size: int
    fields: tuple[Field, ...]
    decode: Decode = field(init=False, repr=False, compare=False)
    _registers: Mapping[str, tuple[slice, _Remembered[Register | None]]] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Check the table; raises ValueError where it does not cover the report exactly once."""
        position = 0
        for row in self.fields:
            if row.offset != position:
                raise ValueError(
                    f"{row.name} starts at {row.offset}, the row before ends at {position}"
                )
            position += row.width
        if position != self.size:
            raise ValueError(f"the rows cover {position} of {self.size} bytes")
        keys = [row.key for row in self.fields if row.key]
        if len(keys) != len(set(keys)):
            raise ValueError("a key stands twice")
        values = [(row, row.codec) for row in self.fields if row.codec is not None]
        registers = {
            row.key: (slice(row.offset, row.offset + row.width), _Remembered(codec.register))
            for row, codec in values
            if codec.register is not None
        }
        object.__setattr__(self, "decode", _compiled(self.fields))
        object.__setattr__(self, "_registers", registers)

    def register(self, key: str, payload: bytes) -> Register | None:
        """Return the exact form of a value that has a unit code, None where unknown."""
        part, said = self._registers[key]
        return said[payload[part]]

    def encode(self, values: Mapping[str, Value], base: bytes) -> bytes:
        """Return `base` with some values written into it; None is written as all FF.

        Raises RequestError for a key or a value that the layout has no place for.
        """
        if len(base) != self.size:
            raise RequestError(f"the report has {self.size} bytes, not {len(base)}")
        rows = {row.key: row for row in self.fields if row.codec}
        payload = bytearray(base)
        for key, value in values.items():
            row = rows.get(key)
            if row is None or row.codec is None:
                raise RequestError(f"the report has no field {key}")
            part = b"\xff" * row.width if value is None else row.codec.encode(value)
            payload[row.offset : row.offset + row.width] = part
        return bytes(payload)
