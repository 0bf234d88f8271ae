"""The connection to a broker that every gateway behind it shares."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Set as AbstractSet
from contextlib import suppress
import logging
import random
from typing import override

from aiomqtt import ProtocolVersion
from homeassistant.core import HomeAssistant

from ..hyheat.errors import LinkAuthError, LinkError, LinkTlsError, SubscriptionRefusedError
from .base import ClientLink, SharedLink
from .client import SESSION_EXPIRY_S, MqttClient
from .connect import async_connect
from .dispatch import HeldMessages
from .rival import RivalWatch
from .settings import BrokerSettings, LinkSettings

_LOGGER = logging.getLogger(__name__)

MIN_DELAY_S = 1.0
MAX_DELAY_S = 60.0
"""Delays between two tries to connect: a restarted broker is found at once, one that is down for
long costs little."""
AUTH_DELAY_S = 300.0
"""After refused credentials: they seldom heal by themselves, and many tries lock an account."""
STABLE_S = 10.0
"""A connection counts as good after this: two clients with one id would otherwise push each other
out every second."""

MQTT_VERSIONS = {ProtocolVersion.V31: "3.1", ProtocolVersion.V311: "3.1.1", ProtocolVersion.V5: "5"}


class BrokerLink(SharedLink, ClientLink):
    """An own connection, on request with a session that outlives it, and with what is held."""

    settings: BrokerSettings

    def __init__(  # noqa: PLR0913 - all but two are for the pool's shared ones
        self,
        hass: HomeAssistant,
        settings: BrokerSettings,
        client_id: str,
        *,
        persistent: bool = False,
        held: HeldMessages | None = None,
        release: Callable[[SharedLink], Awaitable[None]] | None = None,
    ) -> None:
        """Connect under `client_id` from `async_start` on; a `persistent` session outlives it."""
        super().__init__(hass, settings, release)
        if held:
            self._held = held
        self._client_id = client_id
        self._connections = 0
        self._since_s = 0.0
        self._persistent = persistent
        self._told_of_session = False
        self._rival = RivalWatch(hass, settings.address, client_id)
        self._refused: set[str] = set()
        self._try_now = asyncio.Event()
        self._task: asyncio.Task[None]

    @property
    @override
    def refused_topics(self) -> AbstractSet[str]:
        return self._refused

    @property
    @override
    def failure(self) -> LinkError | None:
        """Why it is not connected; where it is, what subscription was refused at a reconnect."""
        if not self.connected:
            return self._down
        refused = sorted(self._refused.intersection(self._listeners.topics))
        return SubscriptionRefusedError(refused[0]) if refused else None

    @property
    @override
    def facts(self) -> Mapping[str, str | int | float | bool | None]:
        """How the connection is, for diagnostics; times in seconds."""
        client = self._client if self.connected else None
        return {
            "kind": "own connection",
            "connected": self.connected,
            "failure": str(self.failure) if self.failure else None,
            "mqtt_version": MQTT_VERSIONS[client.version] if client else None,
            "session_was_there": client.session_present if client else None,
            "connected_for_s": round(self._hass.loop.time() - self._since_s, 1) if client else None,
            "connections": self._connections,
            "subscriptions": len(self._listeners.topics),
            "messages_without_room": self._held.lost,
        }

    # --- For the pool -----------------------------------------------------------------------

    @override
    def async_start(self) -> None:
        """Begin to connect, once."""
        # As a background task it ends, with a clean disconnect, when Home Assistant stops.
        self._task = self._hass.async_create_background_task(
            self._keep_connected(), f"hy_heating link to {self.settings.address}"
        )

    @override
    def async_renew(self, settings: LinkSettings) -> None:
        """Take over a new password; without a connection, try again now."""
        if isinstance(settings, BrokerSettings):  # which a key of its own says
            self.settings = settings
        if not self.connected:
            self._settled.clear()
            self._try_now.set()

    @override
    async def async_close(self) -> None:
        """Disconnect and leave nothing behind."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._rival.async_close()

    # --- The connection's life --------------------------------------------------------------

    async def _keep_connected(self) -> None:
        delay_s = MIN_DELAY_S
        try:
            while True:
                self._try_now.clear()
                try:
                    err, stood_s = await self._live()
                except Exception:
                    # Nobody waits for this task: without this the link would be dead for good.
                    _LOGGER.exception("Failed at keeping connected to %s", self.settings.address)
                    err, stood_s = LinkError("an unexpected failure, see the log"), 0.0
                self._rival.async_lost(err, stood_s)
                self._went(err)
                if stood_s >= STABLE_S:
                    delay_s = MIN_DELAY_S
                await self._pause(AUTH_DELAY_S if isinstance(err, LinkAuthError) else delay_s)
                delay_s = min(MAX_DELAY_S, 2 * delay_s)
        finally:
            self._down = LinkError("the connection was closed")
            self._settled.set()

    async def _pause(self, delay_s: float) -> None:
        """Sleep, with jitter so that not everybody comes at once after a broker's restart."""
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s * random.uniform(0.75, 1.25)):  # noqa: S311 - no secret
                await self._try_now.wait()

    async def _live(self) -> tuple[LinkError, float]:
        """Live through one connection; return why it is over and how many seconds it stood."""
        try:
            client = await async_connect(
                self._hass, self.settings, self._client_id, persistent=self._persistent
            )
        except LinkError as err:
            return err, 0.0
        now = self._hass.loop.time
        since_s = now()
        try:
            await self._subscribe_again(client)
            self._came(client)
            client.deliver_to(self._receive)
            await client.wait_ended()
        except LinkError as err:
            return err, 0.0
        finally:
            self._client = None
            # What came before the subscriptions were made is not lost when they fail.
            client.deliver_to(self._receive)
            await client.close()
        return client.loss, now() - since_s

    async def _subscribe_again(self, client: MqttClient) -> None:
        """Subscribe to everything with one packet; a refused topic does not stop the others."""
        topics = self._listeners.topics
        refused = await client.subscribe_all(topics) if topics else set()
        for topic in sorted(refused - self._refused):
            _LOGGER.warning(
                "Broker %s refuses the subscription to %s", self.settings.address, topic
            )
        self._refused = refused

    def _came(self, client: MqttClient) -> None:
        self._client = client
        self._connections += 1
        self._since_s = self._hass.loop.time()
        self._down = None
        self._settled.set()
        if self._was_up:
            self._log(logging.INFO, "Connected to broker %s again", self.settings.address)
        self._was_up = True
        self._rival.async_came()
        self._tell_of_session(client)
        self._tell(up=True)

    def _tell_of_session(self, client: MqttClient) -> None:
        """Log once that the broker keeps no session, or not for long."""
        if not self._persistent or self._told_of_session:
            return
        kept_s = SESSION_EXPIRY_S if client.session_expiry_s is None else client.session_expiry_s
        if not client.persistent:
            kept_s = 0
        if kept_s < SESSION_EXPIRY_S:
            self._told_of_session = True
            _LOGGER.warning(
                "Broker %s keeps our session for %d s only: reports that gateways send while Home "
                "Assistant is away for longer are lost",
                self.settings.address,
                kept_s,
            )

    def _went(self, err: LinkError) -> None:
        before, self._down = self._down, err
        if not self._try_now.is_set():  # else a newer try is due, which counts
            self._settled.set()
        if type(err) is type(before):
            return
        # A first failure is reported by whoever waits for the connection.
        if self._was_up and (before is None or isinstance(err, LinkAuthError | LinkTlsError)):
            self._log(logging.WARNING, "No connection to broker %s: %s", self.settings.address, err)
        self._tell(up=False)
