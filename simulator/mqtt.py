"""The thin shell around a fleet: a broker connection and the running clock.

One connection serves all gateways of the process. Commands are subscribed with QoS 0 in a clean
session, so a broker keeps none for later; retained ones are ignored. Reports go out with QoS 0
unless told otherwise: nobody has seen what real gateways use, and a product that gets along
with the least gets along with more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
import logging
from pathlib import Path
import secrets
import ssl
from types import TracebackType
from typing import Self

from aiomqtt import Client, Message, MqttError, ProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from custom_components.hy_heating.hyheat.envelope import (
    DEFAULT_PREFIX,
    command_topic,
    report_topic,
)

from .errors import ScenarioError
from .fleet import Fleet
from .gateway import Event, EventListener
from .scenario import Scenario

_LOGGER = logging.getLogger(__name__)

_TOPICS_PER_SUBSCRIBE = 100
_CONNECT_TIMEOUT_S = 10.0
_PUBLISH_TIMEOUT_S = 5.0
_HANG_UP_TIMEOUT_S = 2.0
_LONGEST_SLEEP_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where the broker is and how to get in; MQTT 3.1.1, TLS with the system's or an own CA."""

    host: str = "127.0.0.1"
    port: int = 1883
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: Path | None = None
    verify: bool = True
    prefix: str = DEFAULT_PREFIX
    qos: int = 0
    client_id: str | None = None
    reconnect_s: float = 2.0

    def __post_init__(self) -> None:
        """Check the settings; raises ScenarioError."""
        if not self.host or not self.host.isprintable():
            raise ScenarioError("the broker's host is missing")
        if not 0 < self.port < 65536:  # noqa: PLR2004 - 16 bits
            raise ScenarioError(f"a port is 1 to 65535, not {self.port}")
        if not self.prefix or set(self.prefix) & set("+#"):
            raise ScenarioError("the prefix must not be empty nor contain + or #")

    def tls_context(self) -> ssl.SSLContext | None:
        """Return the TLS settings, None for none; raises ScenarioError for a bad CA file."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as err:
            raise ScenarioError(f"the CA file {self.ca_file} cannot be used: {err}") from err
        # Authorities made at home with openssl lack extensions that strict checking demands.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


class Clock:
    """Simulated time that runs `speed` times as fast as the event loop's."""

    def __init__(self, start: float, speed: float) -> None:
        """Start running; needs a running event loop."""
        self.speed = speed
        self._start = start
        self._loop = asyncio.get_running_loop()
        self._started_at = self._loop.time()

    def now(self) -> float:
        """Return the simulated time in seconds since 1970 UTC."""
        return self._start + (self._loop.time() - self._started_at) * self.speed

    def real_seconds_until(self, at: float) -> float:
        """Return how long a simulated time is off; negative for the past."""
        return (at - self.now()) / self.speed


class Simulator:
    """A scenario on a broker; use as an asynchronous context manager.

    `fleet` and `clock` are open to look into: `fleet.meter(...).opening_pct(clock.now())` is a
    valve's true position, `fleet.gateways[...].faults` switches faults.
    """

    def __init__(
        self, scenario: Scenario, broker: Broker, listener: EventListener | None = None
    ) -> None:
        """Power up in a running event loop; raises ScenarioError for a bad CA file."""
        self.broker = broker
        self.scenario = scenario
        start = scenario.start_time()
        self.clock = Clock(start, scenario.speed)
        self.fleet = Fleet(scenario, start, listener)
        self.published = 0
        self.lost = 0
        self._listener = listener
        self._tls_context = broker.tls_context()
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start to connect and to run; does not wait for the broker."""
        self._tasks = [
            asyncio.create_task(self._keep_connected(), name="simulator connection"),
            asyncio.create_task(self._run(), name="simulator clock"),
        ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Disconnect and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connected(self) -> bool:
        """Whether the connection stands and all commands are subscribed to."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        """Wait for the connection; put a time-out around it."""
        await self._connected.wait()

    async def wait_stopped(self) -> None:
        """Wait until the simulator fails, which is a defect; raises what went wrong."""
        await asyncio.gather(*self._tasks)

    def wake(self) -> None:
        """Look at once what is due; call it after changing a gateway from outside."""
        self._wake.set()

    def opening_pct(self, gateway_id: str, meter_number: str) -> float:
        """Return the true opening of a valve in percent; raises KeyError."""
        return self.fleet.meter(gateway_id, meter_number).opening_pct(self.clock.now())

    def move(self, gateway_id: str, meter_number: str, target_pct: float) -> None:
        """Turn a valve by hand; raises KeyError."""
        self.fleet.move(gateway_id, meter_number, target_pct, self.clock.now())
        self.wake()

    # --- Clock -----------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            for _, gateway_id, payload in self.fleet.due(self.clock.now()):
                await self._publish(gateway_id, payload)
                await asyncio.sleep(0)  # QoS 0 does not wait: leave room in a long burst
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause_s())

    def _pause_s(self) -> float:
        at = self.fleet.next_due
        if at is None:
            return _LONGEST_SLEEP_S
        return min(_LONGEST_SLEEP_S, max(0.0, self.clock.real_seconds_until(at)))

    async def _publish(self, gateway_id: str, payload: bytes) -> None:
        """Publish, or lose the message as a gateway without a network does."""
        client = self._client
        if client is None:
            self.lost += 1
            return
        topic = report_topic(gateway_id, self.broker.prefix)
        try:
            await client.publish(topic, payload, qos=self.broker.qos, timeout=_PUBLISH_TIMEOUT_S)
        except MqttError:
            self.lost += 1
        else:
            self.published += 1

    # --- Connection ------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        while True:
            try:
                async with self._connection() as client:
                    async for message in client.messages:
                        self._receive(message)
            except (MqttError, UnicodeError) as err:
                reason = str(err)  # a log record that kept the error would keep its socket
                _LOGGER.warning(
                    "No connection to %s:%s: %s", self.broker.host, self.broker.port, reason
                )
                self._tell({"event": "disconnected", "reason": reason})
            await asyncio.sleep(self.broker.reconnect_s)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Client]:
        """Connect and subscribe; raises MqttError."""
        broker = self.broker
        client = Client(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=broker.client_id or f"hy-simulator-{secrets.token_hex(6)}",
            protocol=ProtocolVersion.V311,
            clean_session=True,
            tls_context=self._tls_context,
            timeout=_CONNECT_TIMEOUT_S,
        )
        async with _connected(client):
            await self._subscribe(client)
            self._client = client
            self._connected.set()
            self._tell({"event": "connected"})
            try:
                yield client
            finally:
                self._client = None
                self._connected.clear()

    async def _subscribe(self, client: Client) -> None:
        topics = [command_topic(each, self.broker.prefix) for each in self.fleet.gateways]
        for first in range(0, len(topics), _TOPICS_PER_SUBSCRIBE):
            part = topics[first : first + _TOPICS_PER_SUBSCRIBE]
            granted = await client.subscribe([(topic, 0) for topic in part])
            for topic, code in zip(part, granted, strict=True):
                if isinstance(code, ReasonCode) and code.is_failure:
                    raise MqttError(f"the broker refused the subscription to {topic}")

    def _receive(self, message: Message) -> None:
        if message.retain or not isinstance(message.payload, bytes | bytearray):
            return
        gateway_id = message.topic.value.rpartition("/")[2]
        self.fleet.receive(gateway_id, bytes(message.payload), self.clock.now())
        self.wake()

    def _tell(self, event: Event) -> None:
        if self._listener is not None:
            self._listener({"at": self.clock.now()} | dict(event))


@asynccontextmanager
async def _connected(client: Client) -> AsyncIterator[None]:
    """Connect, and disconnect whatever happens; raises MqttError or UnicodeError.

    The connection is made in a thread that nothing can stop: who is canceled meanwhile waits a
    moment for it, or the socket would stay open.
    """
    connecting = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(connecting)
    except asyncio.CancelledError:
        with suppress(MqttError, UnicodeError, TimeoutError):
            await asyncio.wait_for(connecting, _HANG_UP_TIMEOUT_S)
            await client.__aexit__(None, None, None)
        raise
    try:
        yield
    finally:
        await client.__aexit__(None, None, None)
