"""What a gateway's client needs of a connection to a broker.

May import: standard library, errors.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

type MessageListener = Callable[[str, bytes, bool], None]
"""Called in the event loop with topic, payload and whether the message was retained."""

type StatusListener = Callable[[bool], None]
"""Called in the event loop when the connection came (True) or went (False)."""


class Link(Protocol):
    """One connection to a broker, shared by the gateways behind it."""

    @property
    def connected(self) -> bool:
        """Whether the connection stands and every subscription is in force."""

    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        """Subscribe to a topic, now and after every reconnect; return how to end it.

        Raises SubscriptionRefusedError where the broker does not allow it, other LinkErrors
        where the connection is lost meanwhile.
        """

    async def publish(self, topic: str, payload: bytes, *, expiry_s: int, fresh: bool) -> None:
        """Publish with QoS 0, not retained, expiring at the broker where it can do that.

        With `fresh`, only if the broker has answered within the last seconds, which is asked
        first where needed. Raises LinkError where it cannot be sent now. What failed, or was
        cancelled on its way, is never sent later.
        """

    def add_status_listener(self, listener: StatusListener) -> Callable[[], None]:
        """Tell a listener when the connection comes and goes; return how to stop that."""
