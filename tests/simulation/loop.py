"""An event loop for one virtual clock: nothing waits, and ties go by the order of their setting.

It does what clients and sessions need of a loop, and leaves out what costs time and has no use
here: sockets, threads, signals, and a context of its own for each callback.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
import heapq
from typing import Any, Protocol, override

START_S = 1000.0
STANDSTILL = 5_000
"""So many turns of the loop take no time only where something spins."""


class Outside(Protocol):
    """What lives beside the loop, on the same clock."""

    @property
    def next_due(self) -> float | None:
        """When it has something to do, in the loop's time; None where there is nothing."""

    def live(self) -> None:
        """Live up to the loop's time; it may set timers, and runs before those of that time."""


class _Handle(asyncio.TimerHandle):
    """One callback, until it is called or cancelled."""

    __slots__ = ("args", "at", "callback", "is_cancelled")

    def __init__(self, at: float, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.at = at
        self.callback = callback
        self.args = args
        self.is_cancelled = False

    @override
    def __repr__(self) -> str:
        return f"<{self.callback} at {self.at}>"

    @override
    def cancel(self) -> None:
        self.is_cancelled = True

    @override
    def cancelled(self) -> bool:
        return self.is_cancelled

    @override
    def when(self) -> float:
        return self.at


class SimulationLoop(asyncio.BaseEventLoop):
    """A loop that jumps to whatever comes next; what went wrong in it is in `errors`."""

    def __init__(self) -> None:
        """Stand at START_S."""
        super().__init__()
        self.errors: list[dict[str, Any]] = []
        self.outside: Outside | None = None
        self._now = START_S
        self._turns = 0
        self._set = 0
        self._due: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end; raises TimeoutError where something spins."""
        asyncio._set_running_loop(self)
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
            task.result()
        finally:
            self._cancel_all()
            asyncio._set_running_loop(None)
            self.close()

    def timers(self) -> int:
        """Return how many timers are set."""
        return sum(not handle.is_cancelled for _, _, handle in self._timers)

    def _cancel_all(self) -> None:
        """Let nothing live on in the next run."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self._turns = -STANDSTILL
        while self._due and self._turns < STANDSTILL:
            self._call_due()

    # --- Turns ------------------------------------------------------------------------------

    def _turn(self) -> None:
        if not self._due:
            self._jump()
        timers, now = self._timers, self._now
        while timers and timers[0][0] <= now:
            self._due.append(heapq.heappop(timers)[2])
        self._call_due()
        if self._turns > STANDSTILL:
            raise TimeoutError(f"at {self._now}")

    def _jump(self) -> None:
        """Go to the next timer, over all that happens outside until then."""
        timers, outside = self._timers, self.outside
        while True:
            while timers and timers[0][2].is_cancelled:
                heapq.heappop(timers)
            due = outside.next_due if outside else None
            if outside is None or due is None or (timers and timers[0][0] < due):
                break
            self._go_to(due)
            outside.live()
        assert timers, "nothing would ever happen again"
        self._go_to(timers[0][0])

    def _go_to(self, at: float) -> None:
        if at > self._now:
            self._now = at
            self._turns = 0

    def _call_due(self) -> None:
        self._turns += 1
        due = self._due
        for _ in range(len(due)):
            handle = due.popleft()
            if handle.is_cancelled:
                continue
            try:
                handle.callback(*handle.args)
            except Exception as err:  # noqa: BLE001 - as any event loop does
                self.call_exception_handler({"message": f"in {handle}", "exception": err})

    # --- What asyncio asks of a loop --------------------------------------------------------

    @override
    def time(self) -> float:
        return self._now

    @override
    def call_soon[*Ts](
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = _Handle(self._now, callback, args)
        self._due.append(handle)
        return handle

    @override
    def call_at[*Ts](
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = _Handle(when, callback, args)
        self._set += 1
        heapq.heappush(self._timers, (when, self._set, handle))
        return handle

    @override
    def call_later[*Ts](
        self,
        delay: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args)

    @override
    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **options)

    @override
    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)
