"""A link over Home Assistant's own MQTT integration, for sites that bridge gateways to its broker.

The only module that knows that integration; it is imported when such a link is made. That
integration subscribes again by itself after a reconnect and does not tell what a broker refused; it
has no session that outlives it, and what stuck on its way it may write late (docs/ARCHITECTURE.md).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
import logging
import math
from typing import override

from homeassistant.components import mqtt
from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    ConfigEntry,
    ConfigEntryChange,
    ConfigEntryState,
)
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.dispatcher import async_dispatcher_connect

from ..hyheat.errors import LinkError, LinkTimeoutError
from ..hyheat.link import MessageListener
from .base import FRESH_S, SharedLink
from .errors import MqttNotConnectedError, MqttNotLoadedError
from .settings import LinkSettings

_LOGGER = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 5.0
"""A broker that is alive answers within this, also over a slow line."""
SUBSCRIBE_TIMEOUT_S = 9.0
"""After 10 s without an answer, Home Assistant calls a subscription done all the same."""
SECOND_COPY_S = 0.1
"""Without subscription identifiers (MQTT 5), a broker sends one copy for each of Home Assistant's
subscriptions that match, and each copy goes to everybody: they come together. A gateway cannot say
the same twice as fast: its bus and 4G are slower."""
LATELY = 32
"""Other messages may come between two copies."""
RETRY_S = 5.0
"""Between two tries to subscribe at a broker that did not answer."""
QOS_AT_LEAST_ONCE, QOS_EXACTLY_ONCE = 1, 2
NOBODYS_TOPIC = "hy-heating/nobody"
"""Nobody subscribes to it: a broker acknowledges what is published there all the same."""
_USABLE = (ConfigEntryState.LOADED, ConfigEntryState.SETUP_IN_PROGRESS)


class HomeAssistantLink(SharedLink):
    """The connection of Home Assistant's MQTT integration, whoever else uses it."""

    def __init__(
        self,
        hass: HomeAssistant,
        settings: LinkSettings,
        release: Callable[[SharedLink], Awaitable[None]] | None = None,
    ) -> None:
        """Begin before the first word of that integration."""
        super().__init__(hass, settings, release)
        self._up = False
        self._connections = 0
        self._since_s = 0.0
        self._settling: asyncio.Task[None] | None = None
        self._subscribed: dict[str, CALLBACK_TYPE] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._asking: asyncio.Task[None] | None = None
        self._heard_s = -math.inf
        self._lately: deque[tuple[float, object]] = deque(maxlen=LATELY)
        self._stop: list[CALLBACK_TYPE] = []

    # --- As a link --------------------------------------------------------------------------

    @property
    @override
    def connected(self) -> bool:
        """Whether the connection stands and every subscription was answered."""
        return self._up

    @property
    @override
    def failure(self) -> LinkError | None:
        """Why it is not connected."""
        return None if self._up else self._down

    @property
    @override
    def facts(self) -> Mapping[str, str | int | float | bool | None]:
        """How Home Assistant's connection is, as far as it is known here."""
        return {
            "kind": "Home Assistant's MQTT",
            "connected": self._up,
            "failure": str(self.failure) if self.failure else None,
            "mqtt_version": self._protocol if self._up else None,
            "session_was_there": False if self._up else None,
            "connected_for_s": round(self._now() - self._since_s, 1) if self._up else None,
            "connections": self._connections,
            "subscriptions": len(self._subscribed),
        }

    @override
    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        """Subscribe to a topic, which may have wildcards; return how to end it.

        Raises LinkError where there is no connection or no answer. What the broker refuses is
        not told by Home Assistant: such a subscription stays silent.
        """
        self._require()
        remove = self._listeners.add(topic, listener)
        try:
            await self._subscribe(topic)
        except BaseException:
            self._remove(topic, remove)
            raise
        return partial(self._unsubscribe, topic, remove)

    @override
    async def publish(self, topic: str, payload: bytes, *, expiry_s: int, fresh: bool) -> None:
        """Publish with QoS 0, not retained; raises LinkError where it cannot be sent now.

        It expires at the broker where Home Assistant's connection speaks MQTT 5.
        """
        self._require()
        if fresh:
            await self._make_sure()
        expiry = expiry_s if self._speaks_mqtt_5 else None
        publishing = mqtt.async_publish(
            self._hass, topic, payload, qos=0, retain=False, message_expiry_interval=expiry
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await publishing
        except TimeoutError:
            raise LinkTimeoutError("it could not be written in time") from None
        except HomeAssistantError as err:
            raise LinkError(str(err)) from err

    def _require(self) -> None:
        if not self._up:
            raise self._down or MqttNotConnectedError

    @property
    def _entry(self) -> ConfigEntry | None:
        """The entry of Home Assistant's MQTT, of which there is one at most."""
        entries = self._hass.config_entries.async_entries(
            mqtt.DOMAIN, include_ignore=False, include_disabled=False
        )
        return entries[0] if entries else None

    @property
    def _protocol(self) -> str:
        """The version of MQTT; Home Assistant stores none where it is the old default."""
        entry = self._entry
        return entry.data.get(mqtt.CONF_PROTOCOL, mqtt.PROTOCOL_311) if entry else ""

    @property
    def _speaks_mqtt_5(self) -> bool:
        return self._protocol == mqtt.PROTOCOL_5

    async def _make_sure(self) -> None:
        """Return if the broker was heard lately, else ask it for an acknowledgement."""
        if self._now() - self._heard_s <= FRESH_S:
            return
        if self._asking is None or self._asking.done():
            # One question for all who want to know. It is left to end by itself: Home Assistant
            # would keep a place for an answer that nobody waits for.
            self._asking = self._hass.async_create_background_task(
                self._ask(), "hy_heating asks Home Assistant's broker"
            )
        asking = self._asking
        await asyncio.wait([asking], timeout=ANSWER_TIMEOUT_S)
        if not asking.done():
            raise LinkTimeoutError("the broker did not answer in time")
        asking.result()

    async def _ask(self) -> None:
        try:
            await mqtt.async_publish(self._hass, NOBODYS_TOPIC, b"", qos=QOS_AT_LEAST_ONCE)
        except HomeAssistantError as err:
            raise LinkError(str(err)) from err
        self._heard_s = self._now()

    def _now(self) -> float:
        return self._hass.loop.time()

    # --- Subscriptions ----------------------------------------------------------------------

    async def _subscribe(self, topic: str) -> None:
        """Subscribe where needed, and wait for the broker's answer; raises LinkError."""
        if topic not in self._subscribed:
            try:
                self._subscribed[topic] = await mqtt.async_subscribe(
                    self._hass, topic, self._received, qos=QOS_AT_LEAST_ONCE, encoding=None
                )
            except HomeAssistantError as err:
                raise LinkError(str(err)) from err
        answered: asyncio.Future[None] = self._hass.loop.create_future()
        self._waiting.add(answered)
        # Somebody else's subscription to the same topic may have asked for more.
        stop = [
            mqtt.async_on_subscribe_done(self._hass, topic, qos, partial(_resolve, answered))
            for qos in (QOS_AT_LEAST_ONCE, QOS_EXACTLY_ONCE)
        ]
        try:
            async with asyncio.timeout(SUBSCRIBE_TIMEOUT_S):
                await answered
        except TimeoutError:
            raise LinkTimeoutError("the broker did not answer in time") from None
        finally:
            self._waiting.discard(answered)
            for each in stop:
                each()

    async def _unsubscribe(self, topic: str, remove: Callable[[], bool]) -> None:
        self._remove(topic, remove)

    def _remove(self, topic: str, remove: Callable[[], bool]) -> None:
        if remove():
            self._drop(topic)

    def _drop(self, topic: str) -> None:
        if unsubscribe := self._subscribed.pop(topic, None):
            with suppress(HomeAssistantError):
                unsubscribe()

    @callback
    def _received(self, message: mqtt.ReceiveMessage) -> None:
        self._heard_s = self._now()
        payload = message.payload
        if isinstance(payload, str):  # never, without an encoding
            payload = payload.encode()
        if not self._speaks_mqtt_5 and self._is_second_copy(message):
            return
        self._listeners.deliver_for(
            message.subscribed_topic, message.topic, bytes(payload), message.retain
        )

    def _is_second_copy(self, message: mqtt.ReceiveMessage) -> bool:
        now, this = self._now(), (message.topic, message.payload, message.retain)
        copy = any(last == this and now - at_s < SECOND_COPY_S for at_s, last in self._lately)
        self._lately.append((now, this))
        return copy

    # --- For the pool -----------------------------------------------------------------------

    @override
    def async_start(self) -> None:
        """Begin to watch Home Assistant's connection."""
        self._stop = [
            async_dispatcher_connect(self._hass, SIGNAL_CONFIG_ENTRY_CHANGED, self._entry_changed),
            mqtt.async_subscribe_connection_status(self._hass, self._status_changed),
        ]
        self._judge()

    @override
    def async_renew(self, settings: LinkSettings) -> None:
        """Take over nothing: Home Assistant's connection is not ours to change."""

    @override
    async def async_close(self) -> None:
        """Leave nothing behind."""
        while self._stop:
            self._stop.pop()()
        tasks = [task for task in (self._settling, self._asking) if task]
        self._went(LinkError("the connection was closed"), tell=False)
        self._settled.set()
        for topic in list(self._subscribed):
            self._drop(topic)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- Its life ---------------------------------------------------------------------------

    @callback
    def _entry_changed(self, _change: ConfigEntryChange, entry: ConfigEntry) -> None:
        if entry.domain == mqtt.DOMAIN:
            self._judge()

    @callback
    def _status_changed(self, connected: bool) -> None:
        if connected:
            self._heard_s = self._now()  # else nobody knows when the broker last said something
        else:
            self._went(MqttNotConnectedError())
        self._judge()

    @callback
    def _judge(self) -> None:
        """See whether Home Assistant's connection is there, and act on it."""
        entry = self._entry
        if entry is None or entry.state not in _USABLE:
            self._went(MqttNotLoadedError())
            # Home Assistant would bring them back by itself, and then they could not be ended.
            for topic in list(self._subscribed):
                self._drop(topic)
            self._settled.set()
        elif mqtt.DATA_MQTT not in self._hass.data or not mqtt.is_connected(self._hass):
            self._went(MqttNotConnectedError())
            if entry.state is ConfigEntryState.LOADED:
                self._settled.set()
        elif not self._up and self._settling is None:
            self._settling = self._hass.async_create_background_task(
                self._settle(), "hy_heating subscribes at Home Assistant's broker"
            )

    async def _settle(self) -> None:
        """Have every subscription in force, then count as connected."""
        await asyncio.sleep(0)  # after a reconnect, Home Assistant first plans its own ones anew
        topics = self._listeners.topics
        while topics:
            answers = await asyncio.gather(*map(self._subscribe, topics), return_exceptions=True)
            topics = [topic for topic, err in zip(topics, answers, strict=True) if err is not None]
            if topics:
                _LOGGER.debug("Not answered yet: the subscriptions to %s", topics)
                for topic in topics:
                    self._drop(topic)
                await asyncio.sleep(RETRY_S)
        self._settling = None
        self._came()

    def _came(self) -> None:
        self._up, self._down = True, None
        self._connections += 1
        self._since_s = self._now()
        self._settled.set()
        if self._was_up:
            self._log(logging.INFO, "Home Assistant's MQTT is connected again")
        self._was_up = True
        self._tell(up=True)

    def _went(self, err: LinkError, *, tell: bool = True) -> None:
        if self._settling:
            self._settling.cancel()
            self._settling = None
        was_up, before = self._up, self._down
        self._up, self._down = False, err
        for waiting in list(self._waiting):
            if not waiting.done():
                waiting.set_exception(err)
        if not tell or (not was_up and type(err) is type(before)):
            return
        if was_up and not self._hass.is_stopping:
            self._log(logging.WARNING, "No connection to the gateways: %s", err)
        self._tell(up=False)


def _resolve(answered: asyncio.Future[None]) -> None:
    if not answered.done():
        answered.set_result(None)
