"""What came lately: the last frames of each meter, and how often something happened.

May import: standard library. For diagnostics only, so nothing here may cost what matters per
message: a frame is kept as its bytes, and a count is one addition.
"""

from collections import deque
from collections.abc import Sequence

KEPT_FRAMES = 20
MAX_METERS = 512
"""Meters whose frames are kept, so that invented numbers cannot fill the memory."""
_MINUTES = 10
_MINUTE_S = 60


class RecentFrames:
    """The last good frames of each meter, from it and to it, with the time of each in seconds."""

    def __init__(self) -> None:
        """Begin with none."""
        self._by_meter: dict[bytes, deque[tuple[float, bytes]]] = {}

    def add(self, raw: bytes, now: float) -> None:
        """Keep a frame, from start byte to end byte."""
        number = raw[2:6]
        kept = self._by_meter.get(number)
        if kept is None:
            if len(self._by_meter) >= MAX_METERS:
                return
            kept = self._by_meter[number] = deque(maxlen=KEPT_FRAMES)
        kept.append((now, raw))

    def of(self, meter_number: str) -> Sequence[tuple[float, bytes]]:
        """Return the frames of a meter, the oldest first."""
        return tuple(self._by_meter.get(bytes.fromhex(meter_number), ()))

    def forget(self, meter_number: str) -> None:
        """Drop the frames of a meter that was removed."""
        self._by_meter.pop(bytes.fromhex(meter_number), None)


class RecentCount:
    """How often something happened: in all, and a minute in the mean of the last ten."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.total = 0
        self._since: float | None = None
        self._minute = 0
        self._counts = [0] * _MINUTES

    def add(self, now: float) -> None:
        """Count one."""
        if self._since is None:
            self._since = now
        minute = int(now // _MINUTE_S)
        if minute != self._minute:
            self._turn(minute)
        self._counts[minute % _MINUTES] += 1
        self.total += 1

    def per_minute(self, now: float) -> float:
        """Return how many there were a minute, lately or since the first one."""
        if self._since is None:
            return 0.0
        self._turn(minute := int(now // _MINUTE_S))
        begin = max(self._since, (minute - _MINUTES + 1) * _MINUTE_S)
        return sum(self._counts) * _MINUTE_S / max(now - begin, _MINUTE_S)

    def _turn(self, minute: int) -> None:
        """Forget what is ten minutes old."""
        for passed in range(max(self._minute, minute - _MINUTES) + 1, minute + 1):
            self._counts[passed % _MINUTES] = 0
        self._minute = minute
