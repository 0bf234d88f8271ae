"""A link that a test plays itself, and an event loop that jumps to whatever comes next."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial, wraps
import inspect
import selectors
from typing import Any, override

from custom_components.hy_heating.hyheat.errors import LinkError, SubscriptionRefusedError
from custom_components.hy_heating.hyheat.link import Link, MessageListener, StatusListener


@dataclass(frozen=True, slots=True)
class Published:
    """What a link was given to publish."""

    topic: str
    payload: bytes
    expiry_s: int
    fresh: bool


class FakeLink:
    """A link whose broker and gateways are the test itself; nothing leaves the process."""

    def __init__(self, *, connected: bool = True) -> None:
        self.connected = connected
        self.subscriptions: dict[str, MessageListener] = {}
        self.status_listeners: list[StatusListener] = []
        self.published: list[Published] = []
        self.subscribe_error: LinkError | None = None
        self.refused: set[str] = set()
        self.unsubscribe_error: LinkError | None = None
        self.publish_error: LinkError | None = None
        self.delay_s = 0.0
        """How long a subscription or a message takes; where it is cancelled it never happens."""

    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        await asyncio.sleep(self.delay_s)
        if self.subscribe_error:
            raise self.subscribe_error
        if topic in self.refused:
            raise SubscriptionRefusedError(topic)
        self.subscriptions[topic] = listener
        return partial(self._unsubscribe, topic)

    async def _unsubscribe(self, topic: str) -> None:
        await asyncio.sleep(self.delay_s)
        del self.subscriptions[topic]
        if self.unsubscribe_error:
            raise self.unsubscribe_error

    async def publish(self, topic: str, payload: bytes, *, expiry_s: int, fresh: bool) -> None:
        await asyncio.sleep(self.delay_s)
        if self.publish_error:
            raise self.publish_error
        if not self.connected:
            raise LinkError("not connected")
        self.published.append(Published(topic, payload, expiry_s, fresh))

    def add_status_listener(self, listener: StatusListener) -> Callable[[], None]:
        self.status_listeners.append(listener)
        return partial(self.status_listeners.remove, listener)

    def set_connected(self, connected: bool) -> None:
        """Let the connection come or go, or say again how it is."""
        self.connected = connected
        for listener in list(self.status_listeners):
            listener(connected)

    def deliver(self, topic: str, payload: bytes, *, retained: bool = False) -> None:
        """Let a message arrive."""
        self.subscriptions[topic](topic, payload, retained)


_: type[Link] = FakeLink  # mypy: it is one


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: where nothing is ready, the time is set forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "nothing would ever happen again"
        ready = super().select(0)
        if not ready:
            self.now += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop in which no waiting takes any time; what went wrong in it is in `errors`."""

    def __init__(self, selector: JumpingSelector | None = None) -> None:
        self._jumping = selector or JumpingSelector()
        super().__init__(self._jumping)
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    @override
    def time(self) -> float:
        return self._jumping.now

    def timers(self) -> int:
        """Return how many timers are set."""
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled")  # noqa: B009 - typed so
        return sum(not handle.cancelled() for handle in scheduled)


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let a test run in a loop of its own, and fail it for what it leaves behind there."""

    @wraps(test)
    def run(**given: object) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(_watched(test(**given)))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined] # pytest reads it
    del run.__wrapped__
    return run


async def _watched(scenario: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    await scenario
    assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left behind"
    assert loop.timers() == 0, "a timer was left behind"
    assert not loop.errors
