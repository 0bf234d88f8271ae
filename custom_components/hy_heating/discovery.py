"""Gateways that are heard on a broker of the user's own and have no entry: offered, once each.

A link of its own listens to all gateways, so that neither the session of the registered ones fills
with others' reports nor a registered one's reports arrive twice. It looks at a topic only, unless
the gateway behind it is new.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from functools import partial
import logging
from typing import Any

from homeassistant.config_entries import (
    SIGNAL_CONFIG_ENTRY_CHANGED,
    SOURCE_INTEGRATION_DISCOVERY,
    ConfigEntry,
    ConfigEntryChange,
    ConfigFlowContext,
)
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import discovery_flow
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.util.hass_dict import HassKey

from .const import CONNECT_TIMEOUT_S, DOMAIN
from .flow_listen import HeardGateway, all_reports_topic
from .hyheat.envelope import (
    StatusQuery,
    command_topic,
    decode_from_gateway,
    encode,
    gateway_id_of_topic,
)
from .hyheat.errors import EnvelopeError, LinkError, SubscriptionRefusedError
from .links import SharedLink, async_open_link
from .links.settings import LinkSettings

_LOGGER = logging.getLogger(__name__)

ASK_TIMEOUT_S = 10.0
"""For a gateway's answer over 4G; it is offered without one too."""
ASK_PAUSE_S = 2.0
"""Between two unknown gateways: a whole street may report at once."""
MAX_UNKNOWN = 100
"""Unknown gateways that are remembered: more are no site's, and nobody reads so many cards."""
RETRY_S = 60.0
"""Between two tries to listen; a link connects again by itself once it stands."""

KEY_LINK = "link"
KEY_GATEWAY = "gateway"
"""Keys of what a discovery flow begins with: the key of the link, and the HeardGateway."""


@dataclass(slots=True)
class _Place:
    """What is known of a link, however often its entries are loaded anew."""

    users: int = 0
    watch: GatewayWatch | None = None
    heard: dict[str, HeardGateway] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)


_PLACES: HassKey[dict[Hashable, _Place]] = HassKey(f"{DOMAIN}_discovery")


@callback
def async_watch(
    hass: HomeAssistant, settings: LinkSettings
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Offer the unknown gateways of a link while anybody wants that; return how to end it."""
    place = hass.data.setdefault(_PLACES, {}).setdefault(settings.key, _Place())
    place.users += 1
    if place.watch is None:
        place.watch = GatewayWatch(hass, settings, place)
        place.watch.async_start()
    else:
        place.watch.async_renew(settings)
    return partial(_async_leave, place)


async def _async_leave(place: _Place) -> None:
    place.users -= 1
    if place.users == 0 and place.watch:
        watch, place.watch = place.watch, None
        await watch.async_stop()


class GatewayWatch:
    """Listens to all gateways of a link."""

    def __init__(self, hass: HomeAssistant, settings: LinkSettings, place: _Place) -> None:
        """Prepare; nothing is subscribed before `async_start`."""
        self._hass = hass
        self._settings = settings
        self._place = place
        self._link: SharedLink | None = None
        self._queue: asyncio.Queue[HeardGateway] = asyncio.Queue()
        self._queued: set[str] = set()
        self._offered: set[str] = set()
        self._asking: HeardGateway | None = None
        self._answered = asyncio.Event()
        self._is_full = False
        self._unlisten: CALLBACK_TYPE
        self._task: asyncio.Task[None]

    @callback
    def async_start(self) -> None:
        """Begin to listen."""
        self._unlisten = async_dispatcher_connect(
            self._hass, SIGNAL_CONFIG_ENTRY_CHANGED, self._entry_changed
        )
        self._task = self._hass.async_create_background_task(
            self._run(), f"{DOMAIN} discovery on {self._settings.address}"
        )

    @callback
    def async_renew(self, settings: LinkSettings) -> None:
        """Take over a new password."""
        self._settings = settings
        if self._link:
            self._link.async_renew(settings)

    async def async_stop(self) -> None:
        """Listen no longer, and take back what was offered."""
        self._unlisten()
        self._task.cancel()
        await asyncio.wait([self._task])
        self._take_back(self._offered)

    # --- Listening --------------------------------------------------------------------------

    async def _run(self) -> None:
        self._link = link = await async_open_link(self._hass, self._settings)
        try:
            if await self._listen(link):
                while True:
                    gateway = await self._queue.get()
                    await self._ask(link, gateway)
                    self._offer(gateway)
                    await asyncio.sleep(ASK_PAUSE_S)
        finally:
            await link.async_release()

    async def _listen(self, link: SharedLink) -> bool:
        """Subscribe once that is possible; return False where the broker refuses it."""
        while True:
            try:
                await link.async_wait_connected(CONNECT_TIMEOUT_S)
                await link.subscribe(all_reports_topic(self._settings.prefix), self._receive)
            except SubscriptionRefusedError as err:
                _LOGGER.warning("New gateways cannot be discovered: %s", err)
                return False
            except LinkError as err:
                _LOGGER.debug("Not listening for new gateways yet: %s", err)
                await asyncio.sleep(RETRY_S)
            else:
                return True

    @callback
    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        try:
            gateway_id = gateway_id_of_topic(topic)
            if retained or not self._is_wanted(gateway_id):
                return
            message = decode_from_gateway(payload, gateway_id)
        except EnvelopeError:
            return
        gateway = self._place.heard.setdefault(gateway_id, HeardGateway(gateway_id))
        gateway.take(message)
        if gateway is self._asking and gateway.status:
            self._answered.set()
        if gateway_id not in self._queued:
            self._queued.add(gateway_id)
            self._queue.put_nowait(gateway)

    def _is_wanted(self, gateway_id: str) -> bool:
        """Whether a gateway is neither registered, nor ignored, nor offered, nor one too many."""
        if self._has_entry(gateway_id):
            return False
        if gateway_id in self._place.heard:
            return gateway_id not in self._offered
        if len(self._place.heard) < MAX_UNKNOWN:
            return True
        if not self._is_full:
            self._is_full = True
            _LOGGER.warning(
                "More than %d unknown gateways were heard on %s: further ones are not offered",
                MAX_UNKNOWN,
                self._settings.address,
            )
        return False

    def _has_entry(self, gateway_id: str) -> bool:
        entries = self._hass.config_entries
        return entries.async_entry_for_domain_unique_id(DOMAIN, gateway_id) is not None

    # --- Offering ---------------------------------------------------------------------------

    async def _ask(self, link: SharedLink, gateway: HeardGateway) -> None:
        """Ask a gateway for its status, once, so that it can be told from others."""
        gateway_id = gateway.gateway_id
        if gateway.status or gateway_id in self._place.asked or self._has_entry(gateway_id):
            return
        self._place.asked.add(gateway_id)
        self._asking = gateway
        self._answered.clear()
        topic = command_topic(gateway_id, self._settings.prefix)
        query = encode(StatusQuery(gateway_id))
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await link.publish(topic, query, expiry_s=int(ASK_TIMEOUT_S), fresh=False)
                await self._answered.wait()
        except (LinkError, TimeoutError) as err:
            _LOGGER.debug("Unknown gateway %s did not tell its status: %r", gateway_id, err)
        finally:
            self._asking = None

    def _offer(self, gateway: HeardGateway) -> None:
        if not self._has_entry(gateway.gateway_id):
            self._offered.add(gateway.gateway_id)
            discovery_flow.async_create_flow(
                self._hass,
                DOMAIN,
                ConfigFlowContext(source=SOURCE_INTEGRATION_DISCOVERY),
                {KEY_LINK: self._settings.key, KEY_GATEWAY: gateway},
            )

    @callback
    def _entry_changed(self, change: ConfigEntryChange, entry: ConfigEntry) -> None:
        """Forget one that was registered, ignored or removed: its next word is a first one."""
        gateway_id = entry.unique_id
        if entry.domain != DOMAIN or gateway_id is None:
            return
        if change is ConfigEntryChange.UPDATED:
            if gateway_id not in self._offered:
                return  # a state, most of the time
            self._take_back({gateway_id})  # it took another gateway's place
        self._place.heard.pop(gateway_id, None)
        self._place.asked.discard(gateway_id)
        self._queued.discard(gateway_id)
        self._offered.discard(gateway_id)
        self._is_full = False

    def _take_back(self, gateway_ids: set[str]) -> None:
        flows = self._hass.config_entries.flow
        for flow in flows.async_progress_by_handler(
            DOMAIN, match_context={"source": SOURCE_INTEGRATION_DISCOVERY}
        ):
            if flow["context"].get("unique_id") in gateway_ids:
                flows.async_abort(flow["flow_id"])
