"""A valve on its way: the opening as a function of time."""


class Motion:
    """An opening in percent that travels linearly; `full_travel_s` is the time from 0 to 100 %."""

    __slots__ = ("_from_pct", "_left_at", "arrives_at", "full_travel_s", "target_pct")

    def __init__(self, opening_pct: float, full_travel_s: float) -> None:
        """Stand still at an opening."""
        self.full_travel_s = full_travel_s
        self.target_pct = opening_pct
        self.arrives_at = 0.0
        self._from_pct = opening_pct
        self._left_at = 0.0

    def move(self, target_pct: float, now: float) -> None:
        """Leave for another opening from wherever the valve is."""
        self._from_pct = self.opening_pct(now)
        self._left_at = now
        self.target_pct = float(target_pct)
        self.arrives_at = now + abs(target_pct - self._from_pct) / 100 * self.full_travel_s

    def is_moving(self, now: float) -> bool:
        """Whether the valve is on its way."""
        return now < self.arrives_at

    def opening_pct(self, now: float) -> float:
        """Return the opening at a time not before the last move."""
        if now >= self.arrives_at:
            return self.target_pct
        share = max(0.0, now - self._left_at) / (self.arrives_at - self._left_at)
        return self._from_pct + share * (self.target_pct - self._from_pct)
