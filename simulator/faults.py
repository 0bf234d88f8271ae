"""Faults on request: what can go wrong at a gateway, switched on and off while it runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random

from .errors import ScenarioError


class FaultKind(StrEnum):
    """Every fault; FAULTS says what each one does."""

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


FAULTS = {
    FaultKind.SILENT_GATEWAY: "The gateway hears nothing and sends nothing; its meters and "
    "valves go on. What it would have sent is lost.",
    FaultKind.DROP_DOWNLINKS: "Messages to the gateway are lost on the way.",
    FaultKind.DROP_UPLINKS: "Messages from the gateway are lost on the way.",
    FaultKind.STAT_1: "The gateway answers queries and commands with stat 1 and does nothing.",
    FaultKind.MALFORMED_JSON: "Messages from the gateway are cut off in the middle: no JSON, "
    "and none of the two malformed shapes that real gateways send.",
    FaultKind.DUPLICATE: "Messages from the gateway arrive twice.",
    FaultKind.REORDERED: "A message is overtaken by the next one (or follows alone after "
    "`seconds`).",
    FaultKind.DELAYED: "Messages from the gateway arrive `seconds` later.",
    FaultKind.NO_DIRECT_READS: "Reads of one meter by a transparent command are acknowledged "
    "and never answered.",
    FaultKind.SILENT_METER: "The meter does not answer on the bus: no reports, no replies.",
    FaultKind.CORRUPT_CHECKSUM: "Frames of the meter carry a wrong checksum.",
    FaultKind.ERROR_REPLY: "The meter answers commands and direct reads with an error (control "
    "bit 6) and does nothing; its reports go on.",
    FaultKind.WRONG_ECHO: "The valve moves as told, but its reply names another opening (a "
    "cabinet's reply names none, so cabinets are not affected).",
    FaultKind.LOST_REPLY: "The meter does as told, but its reply is lost between bus and "
    "broker (the acknowledgement is not).",
    FaultKind.STUCK_VALVE: "The meter replies as if all were well, but its valve stays where "
    "it is. A cabinet shows the commanded opening beside the actual one.",
}
"""What each fault does, for people."""


@dataclass(slots=True, kw_only=True)
class Fault:
    """One fault in force.

    `meter` and `msg_id` narrow it to one meter (8 digits) or kind of message, `count` to the
    next so many occasions, `share` to a part of them (0 to 1, drawn by the seed); `seconds`
    (simulated) is for `delayed` and `reordered`.
    """

    kind: FaultKind
    meter: str | None = None
    msg_id: int | None = None
    count: int | None = None
    share: float = 1.0
    seconds: float = 30.0

    def __post_init__(self) -> None:
        """Check the limits; raises ScenarioError."""
        if self.count is not None and self.count < 1:
            raise ScenarioError("a fault's count must be 1 or more")
        if not 0 < self.share <= 1:
            raise ScenarioError("a fault's share must be above 0 and at most 1")
        if self.seconds < 0:
            raise ScenarioError("a fault's seconds must not be negative")

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
