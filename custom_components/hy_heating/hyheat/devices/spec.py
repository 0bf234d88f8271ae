"""What a device type is: its codes, its report, its commands, and frames that prove them.

Wire facts: docs/PROTOCOL.md, sections 3 and 6.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..fields import Codec, Layout
from ..frame import DI_SER_SIZE, HEADER_SIZE, REPLY_BIT, TRAILER_SIZE

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

    `opening` is None for a device without a valve. `proof_fields` are the fields that must all
    show an opening before it counts as reached, `counters` those that only ever grow.
    `report_size` is that of a whole report, `report_head` its control code, length and data
    identifier.
    """

    key: str
    name: str
    type_code: int
    protocol_code: str
    layout: Layout
    samples: tuple[Sample, ...]
    opening: OpeningCommand | None = None
    proof_fields: tuple[str, ...] = ()
    counters: tuple[str, ...] = ()
    report_size: int = field(init=False)
    report_head: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Work out what all its reports share."""
        length = DI_SER_SIZE + self.layout.size
        head = bytes((READ_CONTROL | REPLY_BIT, length)) + READ_DI.to_bytes(2)
        object.__setattr__(self, "report_size", HEADER_SIZE + length + TRAILER_SIZE)
        object.__setattr__(self, "report_head", head)
