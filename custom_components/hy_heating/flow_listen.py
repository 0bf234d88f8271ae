"""What the flows hear from gateways before they are registered: the listening window, the probe.

Both use a connection of their own that ends with them, also when they are cancelled.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from homeassistant.core import HomeAssistant

from .const import LISTEN_LIMIT_S, LISTEN_QUIET_S, LISTEN_TICK_S, MAX_HEARD, MAX_METERS
from .hyheat.client import GatewayClient
from .hyheat.devices import CABINET, HOUSEHOLD_VALVE
from .hyheat.envelope import (
    FromGateway,
    Report,
    Stat,
    StatusReply,
    decode_from_gateway,
    gateway_id_of_topic,
    report_topic,
)
from .hyheat.errors import EnvelopeError, FailureReason, LinkError, ReplyError
from .hyheat.session import Timing
from .links import temporary_link
from .links.settings import LinkSettings

PROBE_TIMING = Timing()


@dataclass(slots=True)
class HeardGateway:
    """A gateway that spoke in the window, and what it said of itself."""

    gateway_id: str
    messages: int = 0
    meters: dict[str, set[str]] = field(default_factory=dict)
    """Meter numbers by protocol code."""
    status: StatusReply | None = None

    @property
    def cabinets(self) -> int:
        """Number of cabinets that it reported."""
        return len(self.meters.get(CABINET.protocol_code, ()))

    @property
    def valves(self) -> int:
        """Number of household valves that it reported."""
        return len(self.meters.get(HOUSEHOLD_VALVE.protocol_code, ()))

    def take(self, message: FromGateway) -> None:
        """Note what a message says."""
        self.messages += 1
        if isinstance(message, Report):
            numbers = self.meters.setdefault(message.meter_id.protocol_code, set())
            if len(numbers) < MAX_METERS:
                numbers.add(message.meter_id.number)
        elif isinstance(message, StatusReply) and message.stat is Stat.SUCCEEDED:
            self.status = message


class Window:
    """The listening window: which gateways speak, and when it has heard enough."""

    def __init__(self, registered: set[str]) -> None:
        """Begin with the ids that are registered already: they are counted, not offered."""
        self._registered = registered
        self.gateways: dict[str, HeardGateway] = {}
        self.registered: set[str] = set()
        self.ignored = 0
        self.open()

    def open(self) -> None:
        """Let its time begin now."""
        self._opened_at = self._last_new_at = asyncio.get_running_loop().time()

    def receive(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message; what is not from a gateway, or from long ago, is only counted."""
        try:
            gateway_id = gateway_id_of_topic(topic)
            message = decode_from_gateway(payload, gateway_id)
        except EnvelopeError:
            self.ignored += 1
            return
        if retained:
            self.ignored += 1
        elif gateway_id in self._registered:
            self.registered.add(gateway_id)
        elif gateway := self._gateway(gateway_id):
            gateway.take(message)

    def _gateway(self, gateway_id: str) -> HeardGateway | None:
        if gateway_id in self.gateways:
            return self.gateways[gateway_id]
        if len(self.gateways) == MAX_HEARD:
            self.ignored += 1
            return None
        self._last_new_at = asyncio.get_running_loop().time()
        return self.gateways.setdefault(gateway_id, HeardGateway(gateway_id))

    @property
    def _closes_at(self) -> float:
        limit = self._opened_at + LISTEN_LIMIT_S
        return min(limit, self._last_new_at + LISTEN_QUIET_S) if self.gateways else limit

    @property
    def remaining_s(self) -> float:
        """Seconds until it has heard enough."""
        return self._closes_at - asyncio.get_running_loop().time()

    @property
    def progress(self) -> float:
        """How much of its time is over, 0 to 1."""
        elapsed_s = asyncio.get_running_loop().time() - self._opened_at
        return min(1.0, elapsed_s / (self._closes_at - self._opened_at))

    @property
    def count(self) -> int:
        """Number of gateways heard, new and registered ones."""
        return len(self.gateways) + len(self.registered)


async def async_listen(
    hass: HomeAssistant, settings: LinkSettings, window: Window, tick: Callable[[], None]
) -> None:
    """Listen to every gateway of a broker until the window has heard enough.

    Raises LinkError where the connection fails or is lost before anything was heard, and
    SubscriptionRefusedError where the broker does not allow it.
    """
    async with temporary_link(hass, settings) as link:
        await link.subscribe(all_reports_topic(settings.prefix), window.receive)
        window.open()
        while link.connected and window.remaining_s > 0:
            await asyncio.sleep(min(window.remaining_s, LISTEN_TICK_S))
            tick()
        if not link.connected and not window.gateways:
            raise LinkError("the connection was lost")


def all_reports_topic(prefix: str) -> str:
    """Return the topic filter that every gateway's messages match."""
    return report_topic("+", prefix)


async def async_probe(hass: HomeAssistant, settings: LinkSettings, gateway_id: str) -> StatusReply:
    """Ask one gateway for its status.

    Raises ReplyError where it is silent or refuses, LinkError where the connection fails or is
    lost, and SubscriptionRefusedError where the broker does not allow its topic.
    """
    async with temporary_link(hass, settings) as link:
        client = GatewayClient(
            gateway_id, link, lambda _: None, prefix=settings.prefix, timing=PROBE_TIMING
        )
        await client.start()
        try:
            return await client.query_status()
        except ReplyError as err:
            if err.reason is FailureReason.LINK_DOWN:
                raise LinkError("the connection was lost") from err
            raise
        finally:
            await client.stop()
