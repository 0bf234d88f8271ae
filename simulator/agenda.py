"""What is to be done when: a heap of actions, driven from outside, so time is anybody's."""

from collections.abc import Callable
import heapq
from itertools import count

type Action = Callable[[float], None]
"""Called with the time that it was due at, in simulated seconds since 1970 UTC."""


class Agenda:
    """Actions by time; those of the same time run in the order in which they were added."""

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[tuple[float, int, Action]] = []
        self._numbers = count()

    @property
    def next_due(self) -> float | None:
        """When the next action is due, None where there is none."""
        return self._heap[0][0] if self._heap else None

    def add(self, at: float, action: Action) -> None:
        """Have an action run at a time."""
        heapq.heappush(self._heap, (at, next(self._numbers), action))

    def run(self, now: float) -> None:
        """Run what is due, in order, with all that becomes due on the way."""
        while self._heap and self._heap[0][0] <= now:
            at, _, action = heapq.heappop(self._heap)
            action(at)
