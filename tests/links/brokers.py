"""A broker in this process: amqtt, which speaks MQTT 3.1.1."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
import socket
from typing import Any, override

from amqtt.adapters import StreamWriterAdapter
from amqtt.broker import Broker
from amqtt.contexts import Action, BaseContext
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from custom_components.hy_heating.links.settings import BrokerSettings


def free_port() -> int:
    """Return a TCP port that nobody listens to."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def settings_of(port: int, **changes: Any) -> BrokerSettings:
    """Return settings for a broker on loopback."""
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "username": "heat",
        "password": "right",
        "tls": False,
        "tls_verify": True,
        "ca_certificate": None,
        "prefix": "hy/gw",
    }
    return BrokerSettings(**(values | changes))


class OnePassword(BaseAuthPlugin):
    """Lets in whoever has the password `right`."""

    @override
    async def authenticate(self, *, session: Session) -> bool | None:
        return session.password == "right"


class ForbiddenTopics(BaseTopicPlugin):
    """Refuses subscriptions to the topics in `forbidden`."""

    forbidden: set[str] = set()  # noqa: RUF012 - amqtt makes the instance, tests reach the class

    def __init__(self, context: BaseContext) -> None:
        super().__init__(context)
        self.forbidden.clear()

    @override
    async def topic_filtering(
        self,
        *,
        session: Session | None = None,
        topic: str | None = None,
        action: Action | None = None,
    ) -> bool | None:
        return not (action is Action.SUBSCRIBE and topic in self.forbidden)


class _Snapshots[K, V](dict[K, V]):
    """A dictionary that may change while somebody goes through it.

    amqtt does that with its own, and waits in between.
    """

    @override
    def __iter__(self) -> Iterator[K]:
        return iter(list(super().__iter__()))

    @override
    def items(self) -> Any:
        return list(super().items())

    @override
    def values(self) -> Any:
        return list(super().values())


_adapter_close = StreamWriterAdapter.close


async def _close_in_any_case(adapter: StreamWriterAdapter) -> None:
    """Close a connection also where its client was faster; amqtt then only fails."""
    try:
        await _adapter_close(adapter)
    finally:
        adapter._writer.close()


StreamWriterAdapter.close = _close_in_any_case  # type: ignore[assignment, method-assign] # mended


def _is_of_a_connection(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == Broker.stream_connected.__qualname__


@dataclass
class AmqttBroker:
    """amqtt on one port, which can be stopped and started again."""

    port: int = field(default_factory=free_port)
    tls_files: tuple[Path, Path] | None = None
    _broker: Broker | None = None

    async def start(self) -> None:
        """Listen, with no session of before."""
        listener: dict[str, Any] = {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}
        if self.tls_files:
            certificate, key = self.tls_files
            listener |= {"ssl": True, "certfile": str(certificate), "keyfile": str(key)}
        self._broker = Broker(
            {
                "listeners": {"default": listener},
                "plugins": {
                    f"{__name__}.OnePassword": {},
                    f"{__name__}.ForbiddenTopics": {},
                },
            }
        )
        self._broker._subscriptions = _Snapshots()
        self._broker._retained_messages = _Snapshots()
        self._broker._sessions = _Snapshots()
        await self._broker.start()

    async def stop(self) -> None:
        """End every connection, and listen no longer."""
        if self._broker:
            # First no new connections: amqtt forgets those that come while it shuts down.
            for server in self._broker._servers.values():
                server.instance.close()
            await self._broker.shutdown()
            self._broker = None
            # It does not wait for what it began with each connection; that takes up to 5 s for each
            # message that nobody is there to acknowledge any more.
            tasks = [task for task in asyncio.all_tasks() if _is_of_a_connection(task)]
            if tasks:
                await asyncio.wait(tasks, timeout=30)

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send a message to whoever subscribed."""
        assert self._broker
        await self._broker.internal_message_broadcast(topic, payload)

    async def retain(self, topic: str, payload: bytes) -> None:
        """Keep a message for whoever subscribes."""
        assert self._broker
        await self._broker.retain_message(None, topic, payload, 0)

    @property
    def sessions(self) -> dict[str, Session]:
        """The sessions by client id."""
        assert self._broker
        return {client_id: session for client_id, (session, _) in self._broker.sessions.items()}

    @property
    def connected_ids(self) -> list[str]:
        """The client ids of those who are connected."""
        return [
            client_id
            for client_id, session in self.sessions.items()
            if session.transitions.state == "connected"
        ]

    @property
    def subscriptions(self) -> set[str]:
        """The topics that somebody subscribed to."""
        assert self._broker
        return {topic for topic, sessions in self._broker.subscriptions.items() if sessions}


async def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait until a condition holds; raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - waits for others' state
            await asyncio.sleep(0.01)
