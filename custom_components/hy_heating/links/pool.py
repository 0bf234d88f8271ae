"""One link per broker, however many gateways use it."""

import asyncio
from dataclasses import dataclass, field
from functools import partial
import hashlib
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN
from ..hyheat.errors import LinkError
from .broker import BrokerLink
from .connect import async_connect
from .dispatch import HeldMessages
from .settings import BrokerSettings

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class _Slot:
    """The place of a link; what waits for its listeners outlives it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: HeldMessages = field(default_factory=HeldMessages)
    link: BrokerLink | None = None
    users: int = 0


_SLOTS: HassKey[dict[tuple[Any, ...], _Slot]] = HassKey(f"{DOMAIN}_links")


async def async_acquire_link(hass: HomeAssistant, settings: BrokerSettings) -> BrokerLink:
    """Return the link that all users of a broker share; it connects at once.

    Give it back with its `async_release`. A changed password is taken over.
    """
    slot = _slot(hass, settings)
    async with slot.lock:
        if slot.link is None:
            client_id = await _async_client_id(hass, settings)
            slot.link = BrokerLink(
                hass, settings, client_id, slot.held, partial(_async_release, slot)
            )
            slot.link.async_start()
        else:
            slot.link.async_renew(settings)
        slot.users += 1
        return slot.link


async def async_forget_session(hass: HomeAssistant, settings: BrokerSettings) -> None:
    """Delete the session at a broker that nobody uses any more.

    Where that fails the session goes by itself, on brokers that let sessions expire.
    """
    slot = _slot(hass, settings)
    async with slot.lock:
        if slot.link is not None:
            return
        slot.held = HeldMessages()
        client_id = await _async_client_id(hass, settings)
        try:
            client = await async_connect(hass, settings, client_id, persistent=False)
        except LinkError as err:
            _LOGGER.info("The session at broker %s is not deleted: %s", settings.address, err)
            return
        await client.close()


def _slot(hass: HomeAssistant, settings: BrokerSettings) -> _Slot:
    return hass.data.setdefault(_SLOTS, {}).setdefault(settings.key, _Slot())


async def _async_release(slot: _Slot, link: BrokerLink) -> None:
    async with slot.lock:
        if slot.link is not link:
            return
        slot.users -= 1
        if slot.users == 0:
            slot.link = None
            await link.async_close()


async def _async_client_id(hass: HomeAssistant, settings: BrokerSettings) -> str:
    """Return the id of our session at a broker: 23 characters, which every broker takes."""
    owner = f"{await instance_id.async_get(hass)} {settings.key}"
    return f"hy-heating-{hashlib.sha256(owner.encode()).hexdigest()[:12]}"
