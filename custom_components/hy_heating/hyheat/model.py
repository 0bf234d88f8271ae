"""What frames say: immutable, with units in the names of their values.

Named tuples where each report makes new ones: these are made in a third of the time of a frozen
dataclass. May import: standard library. A value that a device marked invalid, or that is outside
what can be, is None: unknown. Wire facts: docs/PROTOCOL.md, section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import NamedTuple

type Value = int | float | str | datetime | None


REGISTER_SPAN = 10**8
"""A register of four BCD bytes goes from 99 999 999 back to 0."""


class Register(NamedTuple):
    """A register as it stands on the wire: `counts` of `numerator / denominator` of its unit."""

    counts: int
    numerator: int
    denominator: int

    @property
    def digit(self) -> Fraction:
        """One count in the quantity's own unit."""
        return Fraction(self.numerator, self.denominator)

    @property
    def exact(self) -> Fraction:
        """The value in the quantity's own unit, without any rounding."""
        return Fraction(self.counts * self.numerator, self.denominator)

    @property
    def value(self) -> int | float:
        """The value in the quantity's own unit; whole where its counts are."""
        if self.denominator == 1:
            return self.counts * self.numerator
        return self.counts * self.numerator / self.denominator

    def has_unit_of(self, other: Register) -> bool:
        """Whether both count in the same steps."""
        return self.numerator == other.numerator and self.denominator == other.denominator

    def at_least(self, other: Register) -> bool:
        """Whether it shows as much as another; by whole counts where those are comparable."""
        if self.has_unit_of(other):
            return self.counts >= other.counts
        return self.exact >= other.exact


@dataclass(frozen=True, slots=True)
class MeterAddress:
    """Where a command for one meter goes.

    `device` is the key of a device type, `address` the seven address bytes in frame order and
    `port` the gateway's port number (0 = the M-Bus channel).
    """

    device: str
    address: bytes
    port: int = 0

    @property
    def meter_number(self) -> str:
        """The 8-digit number as written in the address."""
        return self.address[:4].hex().upper()


class MeterReading(NamedTuple):
    """One report of one meter.

    `values` has every field of the device's layout by its key, None where unknown; `frame` is
    the report from start byte to end byte.
    """

    device: str
    address: bytes
    control: int
    di: int
    ser: int
    values: Mapping[str, Value]
    frame: bytes

    @property
    def meter_number(self) -> str:
        """The 8-digit number as written in the address."""
        return self.address[:4].hex().upper()

    def number(self, key: str) -> int | float | None:
        """Return a numeric value, None where unknown."""
        value = self.values.get(key)
        return value if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class UnknownReading:
    """A frame whose envelope is right, from a device type or layout that nobody described."""

    device_type: int
    address: bytes
    frame: bytes

    @property
    def meter_number(self) -> str:
        """The number as written in the address; may hold letters where it is not BCD."""
        return self.address[:4].hex().upper()


@dataclass(frozen=True, slots=True)
class SetOpeningFrame:
    """A command that moves a valve; `opening_pct` is None where the frame's value is no opening."""

    device: str
    address: bytes
    opening_pct: int | float | None


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A command that reads one meter."""

    device: str
    address: bytes


@dataclass(frozen=True, slots=True)
class SetOpeningReply:
    """A device's answer to SetOpeningFrame; `echoed` tells whether it repeats the opening."""

    device: str
    address: bytes
    control: int
    di: int
    ser: int
    echoed: bool
    opening_pct: int | float | None = None


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A device's refusal (control bit 6); `status` has one or more bytes."""

    device: str
    address: bytes
    control: int
    ser: int | None
    status: bytes

    @property
    def command_control(self) -> int:
        """The control code of the command that was refused."""
        return self.control & 0x3F


type FrameContent = MeterReading | SetOpeningFrame | ReadFrame | SetOpeningReply | ErrorReply
