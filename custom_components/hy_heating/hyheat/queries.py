"""Status and settings queries: they need no bus, and one of each kind serves all who ask.

May import: exchange, envelope, errors.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .envelope import SettingsQuery, SettingsReply, Stat, StatusQuery, StatusReply
from .errors import FailureReason
from .exchange import Action, Ended, Result, Send, Timing

type Query = StatusQuery | SettingsQuery


@dataclass(slots=True, eq=False)
class _Pending:
    """A query under way, and who waits for it; `number` tells its last try from all others."""

    number: int
    message: Query
    submitted: float
    deadline: float
    tickets: list[int]
    tries: int = 1


class Queries:
    """The queries under way of one gateway; what is to be done is added to `actions`."""

    def __init__(self, timing: Timing, numbers: Iterator[int], actions: list[Action]) -> None:
        """Start with none; `numbers` gives each try a number of its own."""
        self._timing = timing
        self._numbers = numbers
        self._actions = actions
        self._pending: dict[type[Query], _Pending] = {}

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._pending)

    def deadlines(self) -> list[float]:
        """Return when `settle` has something to do."""
        return [pending.deadline for pending in self._pending.values()]

    def submit(
        self, ticket: int, message: Query, blocked: FailureReason | None, now: float
    ) -> None:
        """Send a query, or join one that is under way; a blocked one ends at once."""
        if blocked is not None:
            self._actions.append(Ended(ticket, Result(reason=blocked)))
            return
        if pending := self._pending.get(type(message)):
            pending.tickets.append(ticket)
            return
        deadline = now + self._timing.ack_s
        pending = _Pending(next(self._numbers), message, now, deadline, [ticket])
        self._pending[type(message)] = pending
        self._actions.append(Send(message, pending.number))

    def answered(self, reply: StatusReply | SettingsReply, now: float) -> None:
        """Take a reply, whether somebody waits for it or not."""
        kind = StatusQuery if isinstance(reply, StatusReply) else SettingsQuery
        if pending := self._pending.get(kind):
            failed = reply.stat is Stat.FAILED
            self._end(pending, FailureReason.GATEWAY_REFUSED if failed else None, now, reply)

    def awaits(self, number: int) -> bool:
        """Whether a try is still waited for."""
        return any(pending.number == number for pending in self._pending.values())

    def failed(self, number: int, now: float) -> None:
        """Take it that a query could not be published."""
        for pending in list(self._pending.values()):
            if pending.number == number:
                self._end(pending, FailureReason.LINK_DOWN, now)

    def settle(self, blocked: FailureReason | None, now: float) -> int:
        """End what is blocked, repeat what is overdue; return how many were never answered."""
        unanswered = 0
        for pending in list(self._pending.values()):
            if blocked is not None:
                self._end(pending, blocked, now)
            elif now >= pending.deadline and pending.tries < self._timing.query_tries:
                pending.tries += 1
                pending.number = next(self._numbers)
                pending.deadline = now + self._timing.ack_s
                self._actions.append(Send(pending.message, pending.number))
            elif now >= pending.deadline:
                unanswered += 1
                self._end(pending, FailureReason.GATEWAY_SILENT, now)
        return unanswered

    def _end(
        self,
        pending: _Pending,
        reason: FailureReason | None,
        now: float,
        reply: StatusReply | SettingsReply | None = None,
    ) -> None:
        del self._pending[type(pending.message)]
        result = Result(
            reason=reason, reply=reply, tries=pending.tries, duration_s=now - pending.submitted
        )
        self._actions += [Ended(ticket, result) for ticket in pending.tickets]
