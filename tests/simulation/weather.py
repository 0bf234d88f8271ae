"""What the network does to messages."""

from dataclasses import dataclass
from random import Random
from typing import Self

from .wire import frame_span, read

MAX_DELAY_S = 25.0
TRANSIT_S = 0.05
_STRUCTURE = b'{}[]":,'


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How likely each mishap is for one message; all 0 is a healed network.

    `slow` is a publish that hangs on its way to the broker; `retained` an old message that a
    broker hands out as retained.
    """

    lost: float = 0.0
    duplicated: float = 0.0
    delayed: float = 0.0
    corrupted: float = 0.0
    misrouted: float = 0.0
    retained: float = 0.0
    slow: float = 0.0

    @classmethod
    def drawn(cls, random: Random) -> Self:
        """Return a storm; each mishap is left out of every third one."""

        def up_to(most: float) -> float:
            return random.choice((0.0, 1.0, 1.0)) * random.random() * most

        return cls(
            lost=up_to(0.3),
            duplicated=up_to(0.3),
            delayed=up_to(0.3),
            corrupted=up_to(0.25),
            misrouted=up_to(0.03),
            retained=up_to(0.3),
            slow=up_to(0.2),
        )

    def transit_s(self, random: Random) -> float:
        """Return how long a message takes; longer ones are overtaken by others."""
        if not self.delayed:
            return TRANSIT_S  # in order
        held_s = random.random() * MAX_DELAY_S if random.random() < self.delayed else 0.0
        return TRANSIT_S * (1 + random.random()) + held_s

    def copies(self, random: Random) -> int:
        """Return how often a message arrives."""
        if random.random() < self.lost:
            return 0
        return 2 if random.random() < self.duplicated else 1

    def touched(self, payload: bytes, random: Random) -> bytes:
        """Return a payload as it arrives."""
        return damaged(payload, random) if random.random() < self.corrupted else payload


def damaged(payload: bytes, random: Random) -> bytes:
    """Return a payload with one byte of its frame changed, or as what is no JSON any more.

    No more than one byte of a frame, and none of one that a device itself sent with a wrong
    checksum: that much a one-byte checksum promises to catch.
    """
    span = frame_span(payload) if read(payload).is_intact else None
    if span and random.random() < 0.7:
        place = span[0] + 2 * random.randrange((span[1] - span[0]) // 2)
        byte = int(payload[place : place + 2], 16) ^ random.randint(1, 255)
        return payload[:place] + b"%02X" % byte + payload[place + 2 :]
    if random.random() < 0.5:
        return payload[: random.randrange(len(payload) - 1)]
    place = random.choice([n for n, byte in enumerate(payload) if byte in _STRUCTURE])
    return payload[:place] + random.choice((b"#", b"\xff")) + payload[place + 1 :]
