"""Whether two masters move the same valve against each other. No clock: `now_s` is monotonic."""

CONTEST_S = 900.0
"""Turns further apart than this are two people in a day, not two schedules."""
CONTEST_TURNS = 4
"""Ours, theirs, ours, theirs: less may be a correction by hand."""
CALM_S = 3600.0
"""An hour without a command of the other one ends it."""


class Contest:
    """The last turns of two masters at one valve."""

    def __init__(self) -> None:
        """Begin without any."""
        self._turns: list[tuple[bool, float, float]] = []  # a deque takes 700 bytes more
        self._foreign_s: float | None = None
        self._found = False

    def see(self, opening_pct: float, now_s: float, *, own: bool) -> None:
        """Take a command; one that wishes what the last one wished is no turn."""
        if not own:
            self._foreign_s = now_s
        if self._turns:
            was_own, wished_pct, _ = self._turns[-1]
            if wished_pct == opening_pct:
                return
            if was_own is own:
                self._turns.pop()
        self._turns.append((own, opening_pct, now_s))
        del self._turns[:-CONTEST_TURNS]
        first_s = self._turns[0][-1]
        if len(self._turns) == CONTEST_TURNS and now_s - first_s <= CONTEST_S:
            self._found = True

    def found(self, now_s: float) -> bool:
        """Whether they do, until the other one has been quiet for an hour."""
        if self._foreign_s is None or now_s - self._foreign_s > CALM_S:
            self._found = False
        return self._found
