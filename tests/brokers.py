"""An MQTT broker in this process that tests can ask and that can play gateways."""

from collections.abc import Callable
from dataclasses import dataclass
import itertools
from typing import Any, ClassVar, override

from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import ApplicationMessage, Session

USERNAME = "heat"
PASSWORD = "secret-of-the-test"

type Answer = Callable[[bytes], list[tuple[str, bytes]]]
"""Returns what to publish (topic and payload) after a message."""


class EmbeddedBroker:
    """amqtt on a free port of 127.0.0.1, with one user and rules that a test sets."""

    houses: ClassVar[dict[int, EmbeddedBroker]] = {}
    _numbers = itertools.count()

    def __init__(self, tls: dict[str, str] | None = None) -> None:
        self.port = 0
        self.password = PASSWORD
        self.refused_topics: set[str] = set()
        self.received: list[tuple[str, bytes]] = []
        self.subscribed: list[str] = []
        self.answers: dict[str, Answer] = {}
        self._tls = tls
        self._number = next(self._numbers)
        self._broker: Broker | None = None

    async def start(self) -> None:
        """Listen, on the same port as before where there was one."""
        listener: dict[str, Any] = {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}
        if self._tls:
            listener |= {"ssl": True, **self._tls}
        house = {"number": self._number}
        plugins = {f"{__name__}.{plugin.__name__}": house for plugin in (_Door, _Rules)}
        self.houses[self._number] = self
        self._broker = Broker({"listeners": {"default": listener}, "plugins": plugins})
        await self._broker.start()
        self.port = self._broker._servers["default"].instance.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close all connections and stop listening."""
        if self._broker:
            broker, self._broker = self._broker, None
            await broker.shutdown()
            del self.houses[self._number]

    @property
    def clients(self) -> list[str]:
        """The ids of the clients that are connected now."""
        assert self._broker
        return [
            client_id
            for client_id, (session, _) in self._broker.sessions.items()
            if session.transitions.state == "connected"
        ]

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish as some client would."""
        assert self._broker
        if retain:
            await self._broker.retain_message(None, topic, payload)
        await self._broker.internal_message_broadcast(topic, payload)

    async def take(self, topic: str, payload: bytes) -> None:
        """Note a message, and answer it where a gateway is played."""
        self.received.append((topic, payload))
        if topic in self.answers:
            for answer in self.answers[topic](payload):
                await self.publish(*answer)


@dataclass
class _House:
    number: int


class _Door(BaseAuthPlugin):
    """Lets the one user in."""

    Config = _House

    @override
    async def authenticate(self, *, session: Session) -> bool:
        house = EmbeddedBroker.houses[self.config.number]
        return (session.username, session.password) == (USERNAME, house.password)

    async def on_broker_message_received(
        self, *, client_id: str, message: ApplicationMessage
    ) -> None:
        house = EmbeddedBroker.houses[self.config.number]
        await house.take(message.topic, bytes(message.data))


class _Rules(BaseTopicPlugin):
    """Refuses the topics that a test names."""

    Config = _House

    @override
    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool:
        house = EmbeddedBroker.houses[self.config.number]
        if action is Action.SUBSCRIBE:
            house.subscribed.append(topic or "")
            return topic not in house.refused_topics
        return True
