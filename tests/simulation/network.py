"""The link that all clients share, the broker behind it, and the ways to the gateways."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from custom_components.hy_heating.hyheat.envelope import command_topic, report_topic
from custom_components.hy_heating.hyheat.errors import LinkError
from custom_components.hy_heating.hyheat.link import Link, MessageListener, StatusListener

from .invariants import ACK_S, Ledger, Watch
from .weather import TRANSIT_S, Weather

SLOW_PUBLISH_S = 15.0
_ID_LENGTH = 11


@dataclass(frozen=True, slots=True)
class _Downlink:
    """A command that the broker accepted; `begun` is when our client handed it to the link."""

    payload: bytes
    accepted: float
    expiry_s: float | None
    begun: float | None


class Network:
    """A Link with all that lies behind it, up to the gateways."""

    def __init__(
        self,
        ledger: Ledger,
        random: Random,
        to_gateway: Callable[[str, bytes], None],
        *,
        keeps_session: bool,
        queues: bool,
    ) -> None:
        """Connect.

        With `keeps_session` the broker holds reports while nobody is there to take them, and
        with `queues` commands for a gateway that is away.
        """
        self.connected = True
        self.weather = Weather()
        self.watches: dict[str, Watch] = {}
        self._ledger = ledger
        self._random = random
        self._to_gateway = to_gateway
        self._keeps_session = keeps_session
        self._queues = queues
        self._loop = asyncio.get_running_loop()
        self._drops = 0
        self._listeners: dict[str, MessageListener] = {}
        self._status: list[StatusListener] = []
        self._held: dict[str, list[tuple[bytes | None, bytes]]] = {}
        self._away: dict[str, list[_Downlink]] = {}
        self._last: dict[str, bytes] = {}

    # --- Link -------------------------------------------------------------------------------

    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        """Take a subscription; hand out what was held, and sometimes something retained."""
        await asyncio.sleep(TRANSIT_S)
        self._listeners[topic] = listener
        gateway_id = topic[-_ID_LENGTH:]
        self._loop.call_later(TRANSIT_S, self._hand_out_retained, gateway_id)
        self._loop.call_soon(self._hand_out_held, gateway_id)
        return partial(self._unsubscribe, topic)

    async def _unsubscribe(self, topic: str) -> None:
        await asyncio.sleep(TRANSIT_S)
        del self._listeners[topic]

    async def publish(self, topic: str, payload: bytes, *, expiry_s: int, fresh: bool) -> None:
        """Take a command to the broker; what fails or is cancelled on its way never gets there."""
        del fresh
        gateway_id, token, drops = topic[-_ID_LENGTH:], object(), self._drops
        watch, begun = self.watches[gateway_id], self._ledger.now()
        watch.bus.published(payload, token, begun)
        watch.sent(payload)
        try:
            slow = self._random.random() < self.weather.slow
            await asyncio.sleep(self._random.random() * SLOW_PUBLISH_S if slow else TRANSIT_S)
            if not self.connected or drops != self._drops:
                raise LinkError("the connection was lost")  # noqa: TRY301 - one way out
        except BaseException as err:
            self._ledger.note("not published", payload, repr(err))
            watch.bus.failed(token)
            raise
        self._ledger.count("commands published")
        self._accept(gateway_id, _Downlink(payload, self._ledger.now(), expiry_s, begun))

    def add_status_listener(self, listener: StatusListener) -> Callable[[], None]:
        """Tell a listener when the connection comes and goes."""
        self._status.append(listener)
        return partial(self._status.remove, listener)

    @property
    def is_left_alone(self) -> bool:
        """Whether nobody listens any more."""
        return not self._status and not self._listeners

    # --- Connections ------------------------------------------------------------------------

    def set_connected(self, connected: bool) -> None:
        """Let the clients' connection come or go."""
        if connected == self.connected:
            return
        self._ledger.note("link up" if connected else "link down")
        if not connected:
            self._ledger.count("link drops")
        self.connected = connected
        self._drops += 1
        for listener in list(self._status):
            listener(connected)
        for gateway_id in self.watches:
            self._hand_out_retained(gateway_id)
            self._hand_out_held(gateway_id)

    def set_online(self, gateway_id: str, online: bool) -> None:
        """Let a gateway's connection come or go; on its return it gets what was queued."""
        if not online:
            self._away.setdefault(gateway_id, [])
            return
        for downlink in self._away.pop(gateway_id, []):
            self._forward(gateway_id, downlink)

    # --- Down -------------------------------------------------------------------------------

    def foreign(self, gateway_id: str, payload: bytes) -> None:
        """Take another master's command."""
        self._accept(gateway_id, _Downlink(payload, self._ledger.now(), None, None))

    def _accept(self, gateway_id: str, downlink: _Downlink) -> None:
        self._ledger.note("down", gateway_id, downlink.payload)
        if self._random.random() >= self.weather.lost:
            echo_s = self.weather.transit_s(self._random)
            listener = self._listeners.get(command_topic(gateway_id))
            self._loop.call_later(echo_s, self._echo, gateway_id, downlink, listener)
        for _ in range(self._copies("down")):
            transit_s = self.weather.transit_s(self._random)
            self._loop.call_later(transit_s, self._forward, gateway_id, downlink)

    def _echo(self, gateway_id: str, downlink: _Downlink, listener: MessageListener | None) -> None:
        """Show a command to whoever listened on the command topic then, and still does."""
        topic = command_topic(gateway_id)
        if listener is None or not self.connected or self._listeners.get(topic) != listener:
            return
        watch, own = self.watches[gateway_id], downlink.begun is not None
        watch.deliver_command(listener, topic, downlink.payload, own=own, retained=False)
        if self._random.random() < self.weather.retained:
            watch.deliver_command(listener, topic, downlink.payload, own=own, retained=True)

    def _forward(self, gateway_id: str, downlink: _Downlink) -> None:
        now = self._ledger.now()
        if (queue := self._away.get(gateway_id)) is not None:
            if self._queues:
                queue.append(downlink)
            return
        if downlink.expiry_s is not None and now - downlink.accepted >= downlink.expiry_s:
            self._ledger.count("commands expired at the broker")
            self._ledger.note("expired", gateway_id, downlink.payload)
            return
        if downlink.begun is not None and (
            now - downlink.accepted > ACK_S or now - downlink.begun > 2 * ACK_S
        ):
            self._ledger.violate("no command arrives late", repr(downlink))
        payload = self.weather.touched(downlink.payload, self._random)
        self._ledger.note("to gateway", gateway_id, payload)
        self._to_gateway(gateway_id, payload)

    # --- Up ---------------------------------------------------------------------------------

    def up(self, gateway_id: str, payload: bytes) -> None:
        """Take what a gateway sends."""
        self._ledger.note("up", gateway_id, payload)
        self._ledger.count("messages of gateways")
        self._last[gateway_id] = payload
        for _ in range(self._copies("up")):
            transit_s = self.weather.transit_s(self._random)
            touched = self.weather.touched(payload, self._random)
            self._loop.call_later(transit_s, self._at_broker, gateway_id, payload, touched)
        if self._random.random() < self.weather.misrouted:
            for other in self.watches:
                if other != gateway_id:
                    self._loop.call_later(TRANSIT_S, self._at_broker, other, None, payload)

    def _copies(self, way: str) -> int:
        copies = self.weather.copies(self._random)
        if copies != 1:
            self._ledger.count(f"{'duplicated' if copies else 'lost'} {way}")
        return copies

    def _at_broker(self, gateway_id: str, original: bytes | None, payload: bytes) -> None:
        if self._keeps_session or self._can_deliver(gateway_id):
            self._held.setdefault(gateway_id, []).append((original, payload))
        self._hand_out_held(gateway_id)

    def _can_deliver(self, gateway_id: str) -> bool:
        return self.connected and report_topic(gateway_id) in self._listeners

    def _hand_out_held(self, gateway_id: str) -> None:
        topic = report_topic(gateway_id)
        held = self._held.get(gateway_id)
        while held and self._can_deliver(gateway_id):
            original, payload = held.pop(0)
            self._ledger.note("delivered", gateway_id, payload)
            self._ledger.count("delivered intact" if payload == original else "delivered broken")
            self.watches[gateway_id].deliver(self._listeners[topic], topic, original, payload)

    def _hand_out_retained(self, gateway_id: str) -> None:
        """Sometimes hand out a message of before: a broker does so to who subscribes anew."""
        topic = report_topic(gateway_id)
        payload = self._last.get(gateway_id)
        if payload is None or not self._can_deliver(gateway_id):
            return
        if self._random.random() >= self.weather.retained:
            return
        self._ledger.note("retained", gateway_id, payload)
        self._ledger.count("delivered retained")
        self.watches[gateway_id].deliver(
            self._listeners[topic], topic, payload, payload, retained=True
        )


_: type[Link] = Network  # mypy: it is one
