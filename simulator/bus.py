"""The gateway's M-Bus: half-duplex, slow, one exchange at a time.

A frame occupies the bus for its bytes × 11 bits (start, 8 data, parity, stop) / baud rate; a
meter takes its turnaround time to answer, and one that does not answer costs the time-out.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial

from custom_components.hy_heating.hyheat.frame import Frame

from .agenda import Agenda
from .devices import VirtualMeter

BITS_PER_BYTE = 11


class Origin(IntEnum):
    """Who wants an exchange; a lower one goes first."""

    TRANSPARENT = 0
    READ_NOW = 1
    PERIODIC = 2


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request on the bus; without a meter nobody there feels addressed."""

    origin: Origin
    size: int
    meter: VirtualMeter | None
    command: Frame | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTiming:
    """How fast the bus is; a baud rate of 0 takes no time at all."""

    baud: int
    turnaround_s: float
    timeout_s: float

    def duration_s(self, size: int) -> float:
        """Return how long a number of bytes occupies the bus."""
        return size * BITS_PER_BYTE / self.baud if self.baud else 0.0


type Answer = Callable[[Exchange, float], bytes | None]
"""Called when the meter has heard a request; returns what it answers."""

type Done = Callable[[Exchange, bytes | None, float], None]
"""Called when an exchange is over, with the answer or None."""


class Bus:
    """Exchanges in line, by origin and then by age."""

    def __init__(self, agenda: Agenda, timing: BusTiming, answer: Answer, done: Done) -> None:
        """Stand idle."""
        self.timing = timing
        self._agenda = agenda
        self._answer = answer
        self._done = done
        self._waiting: dict[Origin, deque[Exchange]] = {
            origin: deque() for origin in sorted(Origin)
        }
        self._reads_waiting: set[tuple[Origin, str]] = set()
        self._busy = False

    def waiting(self, origin: Origin) -> int:
        """Return how many exchanges of an origin are in line."""
        return len(self._waiting[origin])

    def read(self, meter: VirtualMeter, origin: Origin, now: float) -> None:
        """Have a meter read, unless the same read is in line already."""
        key = (origin, meter.number)
        if key not in self._reads_waiting:
            self._reads_waiting.add(key)
            self.submit(Exchange(origin, meter.read_size, meter, meter.read_command), now)

    def submit(self, exchange: Exchange, now: float) -> None:
        """Put an exchange in line."""
        self._waiting[exchange.origin].append(exchange)
        if not self._busy:
            self._start_next(now)

    def _start_next(self, now: float) -> None:
        queue = next((queue for queue in self._waiting.values() if queue), None)
        self._busy = queue is not None
        if queue is None:
            return
        exchange = queue.popleft()
        if exchange.meter is not None and exchange.origin is not Origin.TRANSPARENT:
            self._reads_waiting.discard((exchange.origin, exchange.meter.number))
        heard_at = now + self.timing.duration_s(exchange.size)
        self._agenda.add(heard_at, partial(self._heard, exchange))

    def _heard(self, exchange: Exchange, now: float) -> None:
        reply = self._answer(exchange, now)
        if reply is None:
            takes_s = self.timing.timeout_s if self.timing.baud else 0.0
        else:
            takes_s = self.timing.turnaround_s + self.timing.duration_s(len(reply))
        self._agenda.add(now + takes_s, partial(self._over, exchange, reply))

    def _over(self, exchange: Exchange, reply: bytes | None, now: float) -> None:
        self._done(exchange, reply, now)
        self._start_next(now)
