"""What the harness reads from messages by itself, so that it does not trust what it tests.

By docs/PROTOCOL.md: frames have no preamble in a gateway's messages; in a frame, byte 1 is the
device type, 2 to 8 the address, 9 the control code, 10 the length L, 11 and 12 the data
identifier, and what follows SER begins at byte 14.
"""

from dataclasses import dataclass
from functools import lru_cache
import re

_FRAME = re.compile(rb'"(?:FE)*(68(?:[0-9A-F]{2})+)"')
_NUMBER = re.compile(rb'"msg_id":(\d+)')
_STAT = re.compile(rb'"stat":(\d)')
_COUNTS = re.compile(rb'"main_meter_total":(\d+),"copy_meter_total":(\d+)')
_KINDS = re.compile(rb'"main_immediately":(\d),"copy_immediately":(\d)')
_CABINET = 0x55

STATUS = 1
READ_NOW = 18
REPORT = 20
TRANSPARENT = 40


@dataclass(frozen=True, slots=True)
class Message:
    """One message of either direction; `frame` is empty where it carries none."""

    msg_id: int
    stat: int | None
    frame: bytes
    kinds: tuple[bool, bool]
    """Whether a read-now is about cabinets, and about household valves."""
    counts: tuple[int, int] | None
    """How many cabinets and household valves a status counts."""

    @property
    def is_cabinet(self) -> bool:
        """Whether the frame belongs to a cabinet."""
        return self.frame[1] == _CABINET

    @property
    def address(self) -> bytes:
        """The frame's address."""
        return self.frame[2:9]

    @property
    def control(self) -> int:
        """The frame's control code."""
        return self.frame[9]

    @property
    def is_intact(self) -> bool:
        """Whether the frame's checksum is right."""
        return bool(self.frame) and sum(self.frame[:-2]) & 0xFF == self.frame[-2]

    @property
    def is_reading(self) -> bool:
        """Whether a meter tells its current data in it, without error."""
        return self.is_intact and self.control == 0x81 and self.frame[11:13] == b"\x90\x1f"

    @property
    def openings_pct(self) -> tuple[float, ...]:
        """The openings that a reading shows: both of a cabinet, the one of a household valve."""
        data = self.frame[14:]
        if self.is_cabinet:
            return (
                int.from_bytes(data[41:43], "little") / 10,
                int.from_bytes(data[43:45], "little") / 10,
            )
        return (data[10],)

    @property
    def wish_pct(self) -> int | None:
        """The opening that a command asks for or a reply repeats, None where there is none."""
        match self.control, self.frame[11:13]:
            case (0x04 | 0x84, b"\xa0\x19"):
                return self.frame[14]
            case (0x16, b"\x90\x2f"):
                return int.from_bytes(self.frame[14:16], "little") // 10
            case _:
                return None


@lru_cache(256)
def read(payload: bytes) -> Message:
    """Return what an undamaged message says."""
    number = _NUMBER.search(payload)
    assert number
    msg_id = int(number[1])
    stat = _STAT.search(payload)
    kinds = _KINDS.search(payload) if msg_id == READ_NOW else None
    counts = _COUNTS.search(payload) if msg_id == STATUS else None
    frame = _FRAME.search(payload) if msg_id in {REPORT, TRANSPARENT} else None
    return Message(
        msg_id,
        int(stat[1]) if stat else None,
        bytes.fromhex(frame[1].decode()) if frame else b"",
        (kinds[1] == b"1", kinds[2] == b"1") if kinds else (True, True),
        (int(counts[1]), int(counts[2])) if counts else None,
    )


def frame_span(payload: bytes) -> tuple[int, int] | None:
    """Return where a frame stands in a message, as hex, without its preamble."""
    frame = _FRAME.search(payload)
    return frame.span(1) if frame else None
