"""What every link over an own connection does, whoever keeps the connection."""

from collections.abc import Awaitable, Callable
from functools import partial
import logging
from typing import override

from homeassistant.core import HomeAssistant

from ..hyheat.errors import LinkError, SubscriptionRefusedError
from ..hyheat.link import Link, MessageListener, StatusListener
from .client import MqttClient
from .dispatch import HeldMessages, Listeners
from .settings import BrokerSettings

_LOGGER = logging.getLogger(__name__)

FRESH_S = 5.0
"""A broker heard within this is taken to be there now; else it is asked before a command."""


class ClientLink(Link):
    """A link over an own connection; `_client` is the one in use, None while there is none."""

    def __init__(self, hass: HomeAssistant, settings: BrokerSettings, held: HeldMessages) -> None:
        self.settings = settings
        self._hass = hass
        self._client: MqttClient | None = None
        self._listeners = Listeners()
        self._held = held
        self._status_listeners: dict[object, StatusListener] = {}

    @property
    @override
    def connected(self) -> bool:
        """Whether the connection stands, with every subscription that the broker allows."""
        return self._client is not None and not self._client.ended

    @override
    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        """Subscribe to a topic, which may have wildcards; return how to end it.

        Raises SubscriptionRefusedError, and LinkError where there is no connection.
        """
        if await self._connected_client().subscribe_all([topic]):
            raise SubscriptionRefusedError(topic)
        # Only now: what arrived meanwhile was held, and stays so for the next try if this failed.
        remove = self._listeners.add(topic, listener)
        for message in self._held.take(topic):
            self._listeners.deliver(*message)
        return partial(self._unsubscribe, topic, remove)

    @override
    async def publish(self, topic: str, payload: bytes, *, expiry_s: int, fresh: bool) -> None:
        """Publish with QoS 0, not retained; raises LinkError where it cannot be sent now."""
        client = self._connected_client()
        if fresh:
            await client.make_sure(FRESH_S)
        await client.send(topic, payload, expiry_s)

    @override
    def add_status_listener(self, listener: StatusListener) -> Callable[[], None]:
        """Tell a listener when the connection comes and goes; return how to stop that."""
        token = object()
        self._status_listeners[token] = listener

        def remove() -> None:
            self._status_listeners.pop(token, None)

        return remove

    def _connected_client(self) -> MqttClient:
        if self._client is None or self._client.ended:
            raise LinkError("not connected to the broker")
        return self._client

    async def _unsubscribe(self, topic: str, remove: Callable[[], bool]) -> None:
        # While Home Assistant restarts, the broker goes on collecting.
        if remove() and self.connected and not self._hass.is_stopping:
            await self._connected_client().unsubscribe_from(topic)

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        if self._listeners.deliver(topic, payload, retained):
            return
        if not self._held.add(topic, payload, retained) and self._client:
            self._client.unsubscribe_soon(topic)

    def _tell(self, *, up: bool) -> None:
        for listener in list(self._status_listeners.values()):
            try:
                listener(up)
            except Exception:
                _LOGGER.exception("A listener failed at a change of the connection")
