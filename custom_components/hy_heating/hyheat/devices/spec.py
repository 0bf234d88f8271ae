"""What a device type is: its codes, its report, its commands, and frames that prove them."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..fields import Codec, Layout

READ_CONTROL = 0x01
READ_DI = 0x901F
READ_SER = 0x00


@dataclass(frozen=True, slots=True)
class OpeningCommand:
    """How an opening is written: control, data identifier, sequence byte and the value's codec.

    `echoed` tells whether the device repeats the value in its reply.
    """

    control: int
    di: int
    ser: int
    codec: Codec
    echoed: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame with what it says, and where both come from.

    `expected` has the keys and values of `devices.describe`.
    """

    name: str
    hex: str
    expected: Mapping[str, object]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSpec:
    """One device type.

    `proof_fields` are the fields that must all show an opening before it counts as reached,
    `counters` those that only ever grow.
    """

    key: str
    name: str
    type_code: int
    protocol_code: str
    layout: Layout
    opening: OpeningCommand
    proof_fields: tuple[str, ...]
    samples: tuple[Sample, ...]
    counters: tuple[str, ...] = ()
