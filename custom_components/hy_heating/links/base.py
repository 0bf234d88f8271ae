"""What links do alike, whoever keeps the connection."""

from abc import abstractmethod
import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set as AbstractSet
from functools import partial
import logging
from typing import override

from homeassistant.core import HomeAssistant

from ..hyheat.errors import LinkError, LinkTimeoutError, SubscriptionRefusedError
from ..hyheat.link import Link, MessageListener, StatusListener
from .client import MqttClient
from .dispatch import HeldMessages, Listeners
from .settings import BrokerSettings, LinkSettings

_LOGGER = logging.getLogger(__name__)

FRESH_S = 5.0
"""A broker heard within this is taken to be there now; else it is asked before a command."""

SUBSCRIBING_AT_ONCE = 2
"""At a start with a hundred gateways, each answer lets one of them add its entities, which keeps
the event loop: of a hundred questions at once, the last ones would be answered too late."""


class BaseLink(Link):
    """Who listens to a link."""

    def __init__(self, hass: HomeAssistant, settings: LinkSettings) -> None:
        """Begin without listeners."""
        self.settings = settings
        self._hass = hass
        self._listeners = Listeners()
        self._status_listeners: dict[object, StatusListener] = {}

    @override
    def add_status_listener(self, listener: StatusListener) -> Callable[[], None]:
        """Tell a listener when the connection comes and goes; return how to stop that."""
        token = object()
        self._status_listeners[token] = listener

        def remove() -> None:
            self._status_listeners.pop(token, None)

        return remove

    def _tell(self, *, up: bool) -> None:
        for listener in list(self._status_listeners.values()):
            try:
                listener(up)
            except Exception:
                _LOGGER.exception("A listener failed at a change of the connection")


class SharedLink(BaseLink):
    """A link that is kept until its last user is gone."""

    def __init__(
        self,
        hass: HomeAssistant,
        settings: LinkSettings,
        release: Callable[[SharedLink], Awaitable[None]] | None = None,
    ) -> None:
        """`release` is asked to close it when the last user is gone."""
        super().__init__(hass, settings)
        self._release = release
        self._down: LinkError | None = None
        self._was_up = False
        self._settled = asyncio.Event()

    @property
    @abstractmethod
    def failure(self) -> LinkError | None:
        """Why it is not connected, or what does not work although it is."""

    @property
    def refused_topics(self) -> AbstractSet[str]:
        """The topics that the broker does not let us subscribe to, as far as it tells."""
        return frozenset()

    @property
    @abstractmethod
    def facts(self) -> Mapping[str, str | int | float | bool | None]:
        """How the connection is, for diagnostics; times in seconds."""

    async def async_wait_connected(self, timeout_s: float) -> None:
        """Wait for the connection; raises why there is none as soon as that is known."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled.wait()
        except TimeoutError:
            raise LinkTimeoutError("the broker did not answer in time") from None
        if not self.connected:
            raise self._down or LinkError("the connection was lost")

    def _log(self, level: int, text: str, *args: object) -> None:
        """Log a change of the connection: of the shared link only, once for the broker."""
        _LOGGER.log(level if self._release else logging.DEBUG, text, *args)

    async def async_release(self) -> None:
        """Give the link back; the last user's release closes the connection."""
        if self._release is None:
            await self.async_close()
        else:
            await self._release(self)

    @abstractmethod
    def async_start(self) -> None:
        """Begin to connect, once."""

    @abstractmethod
    def async_renew(self, settings: LinkSettings) -> None:
        """Take over what may change while it is in use; without a connection, try again now."""

    @abstractmethod
    async def async_close(self) -> None:
        """Disconnect and leave nothing behind."""


class ClientLink(BaseLink):
    """A link over an own connection; `_client` is the one in use, None while there is none."""

    settings: BrokerSettings

    def __init__(
        self, hass: HomeAssistant, settings: LinkSettings, held: HeldMessages | None = None
    ) -> None:
        """Begin without a connection; `held` is what came before anybody listened."""
        super().__init__(hass, settings)
        self._client: MqttClient | None = None
        self._held = held or HeldMessages()
        self._turns = asyncio.Semaphore(SUBSCRIBING_AT_ONCE)

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
        async with self._turns:
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
