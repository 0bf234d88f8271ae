"""Faults on request: what can go wrong at a gateway, switched on and off while it runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from .errors import ScenarioError


class FaultKind(StrEnum):
    """Every fault by its name; FAULTS says what each one does."""

    SILENT_GATEWAY = "silent_gateway"
    DROP_DOWNLINKS = "drop_downlinks"
    DROP_UPLINKS = "drop_uplinks"
    STAT_1 = "stat_1"
    MALFORMED_JSON = "malformed_json"
    DUPLICATE = "duplicate"
    REORDERED = "reordered"
    DELAYED = "delayed"
    NO_DIRECT_READS = "no_direct_reads"
    SILENT_METER = "silent_meter"
    CORRUPT_CHECKSUM = "corrupt_checksum"
    ERROR_REPLY = "error_reply"
    WRONG_ECHO = "wrong_echo"
    LOST_REPLY = "lost_reply"
    STUCK_VALVE = "stuck_valve"


@dataclass(frozen=True, slots=True)
class FaultRow:
    """What a fault does, and which keys it takes besides `count` and `share`."""

    text: str
    keys: frozenset[str] = frozenset()


_METER = frozenset({"meter"})
_MSG_ID = frozenset({"msg_id"})
_UPLINK = _METER | _MSG_ID
_SECONDS = frozenset({"seconds"})

FAULTS = {
    FaultKind.SILENT_GATEWAY: FaultRow(
        "The gateway hears nothing and sends nothing; its meters and valves go on. What it would "
        "have sent is lost."
    ),
    FaultKind.DROP_DOWNLINKS: FaultRow("Messages to the gateway are lost on the way.", _MSG_ID),
    FaultKind.DROP_UPLINKS: FaultRow("Messages from the gateway are lost on the way.", _UPLINK),
    FaultKind.STAT_1: FaultRow(
        "The gateway answers queries and commands with stat 1 and does nothing.", _MSG_ID
    ),
    FaultKind.MALFORMED_JSON: FaultRow(
        "Messages from the gateway are cut off in the middle: no JSON, and none of the two "
        "malformed shapes that real gateways send.",
        _UPLINK,
    ),
    FaultKind.DUPLICATE: FaultRow("Messages from the gateway arrive twice.", _UPLINK),
    FaultKind.REORDERED: FaultRow(
        "A message from the gateway is overtaken by the next one, or follows alone after "
        "`seconds`.",
        _UPLINK | _SECONDS,
    ),
    FaultKind.DELAYED: FaultRow(
        "Messages from the gateway arrive `seconds` later.", _UPLINK | _SECONDS
    ),
    FaultKind.NO_DIRECT_READS: FaultRow(
        "Reads of one meter by a transparent command are acknowledged and never answered.", _METER
    ),
    FaultKind.SILENT_METER: FaultRow(
        "The meter does not answer on the bus: no reports, no replies, and no move.", _METER
    ),
    FaultKind.CORRUPT_CHECKSUM: FaultRow("Frames of the meter carry a wrong checksum.", _METER),
    FaultKind.ERROR_REPLY: FaultRow(
        "The meter answers commands and direct reads with an error (control bit 6) and does "
        "nothing; its reports go on.",
        _METER,
    ),
    FaultKind.WRONG_ECHO: FaultRow(
        "The valve moves as told, but its reply names another opening. A cabinet's reply names "
        "none, so cabinets are not affected.",
        _METER,
    ),
    FaultKind.LOST_REPLY: FaultRow(
        "The meter does as told, but its reply to a transparent command is lost; the "
        "acknowledgement is not.",
        _METER,
    ),
    FaultKind.STUCK_VALVE: FaultRow(
        "The meter replies as if all were well, but its valve stays where it is. A cabinet shows "
        "the commanded opening beside the actual one.",
        _METER,
    ),
}
"""Every fault in words."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault in force.

    `meter` and `msg_id` narrow it to one meter (8 digits) or kind of message, `count` to the
    next so many occasions, `share` to a part of them (0 to 1, drawn by the seed); `seconds`
    (simulated) is how long `delayed` and `reordered` hold a message, 30 where it is None.
    """

    kind: FaultKind
    meter: str | None = None
    msg_id: int | None = None
    count: int | None = None
    share: float = 1.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the limits; raises ScenarioError."""
        if self.count is not None and self.count < 1:
            raise ScenarioError("a fault's count must be 1 or more")
        if not 0 < self.share <= 1:
            raise ScenarioError("a fault's share must be above 0 and at most 1")
        if self.seconds is not None and self.seconds < 0:
            raise ScenarioError("a fault's seconds must not be negative")
        for key in ("meter", "msg_id", "seconds"):
            if getattr(self, key) is not None and key not in FAULTS[self.kind].keys:
                raise ScenarioError(f"{self.kind} does not take {key}")

    @property
    def hold_s(self) -> float:
        """How long a message is held."""
        return 30.0 if self.seconds is None else self.seconds

    def copy(self) -> Fault:
        """Return a fault of its own, to be counted down."""
        return replace(self)

    def concerns(self, meter: str | None, msg_id: int | None) -> bool:
        """Whether an occasion is one of those that the fault is narrowed to."""
        return self.meter in (None, meter) and self.msg_id in (None, msg_id)


class Faults:
    """The faults in force at one gateway."""

    def __init__(self, random: Random) -> None:
        """Start without any."""
        self._random = random
        self._active: list[Fault] = []

    def __iter__(self) -> Iterator[Fault]:
        """Go through the faults in force."""
        return iter(self._active)

    def add(self, fault: Fault) -> None:
        """Put a fault in force, beside those that are."""
        self._active.append(fault)

    def clear(self, kind: FaultKind | None = None, meter: str | None = None) -> int:
        """Lift all faults, those of a kind, or those of one meter; return how many."""
        kept = [
            fault
            for fault in self._active
            if kind not in (None, fault.kind) or meter not in (None, fault.meter)
        ]
        lifted = len(self._active) - len(kept)
        self._active = kept
        return lifted

    def hit(
        self, kind: FaultKind, meter: str | None = None, msg_id: int | None = None
    ) -> Fault | None:
        """Return the fault that strikes on an occasion, and count it; None where none does."""
        for fault in self._active:
            if fault.kind is not kind or not fault.concerns(meter, msg_id):
                continue
            if fault.share < 1 and self._random.random() >= fault.share:
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count == 0:
                    self._active.remove(fault)
            return fault
        return None
