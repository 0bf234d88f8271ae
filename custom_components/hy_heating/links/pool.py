"""One link per broker, however many gateways use it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
import hashlib
import logging
import secrets
from typing import Any, cast

from homeassistant.core import HomeAssistant
from homeassistant.helpers import instance_id
from homeassistant.helpers.importlib import async_import_module
from homeassistant.util.hass_dict import HassKey

from ..const import DOMAIN
from ..hyheat.errors import LinkError
from .base import SharedLink
from .broker import BrokerLink
from .connect import async_connect
from .dispatch import HeldMessages
from .settings import BrokerSettings, HomeAssistantSettings, LinkSettings

_LOGGER = logging.getLogger(__name__)

type _Release = Callable[[SharedLink], Awaitable[None]]


@dataclass(slots=True)
class _Slot:
    """The place of a link; what waits for its listeners outlives it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: HeldMessages = field(default_factory=HeldMessages)
    link: SharedLink | None = None
    users: int = 0


_SLOTS: HassKey[dict[tuple[Any, ...], _Slot]] = HassKey(f"{DOMAIN}_links")


async def async_acquire_link(hass: HomeAssistant, settings: LinkSettings) -> SharedLink:
    """Return the link that all users of a broker share; it connects at once.

    Give it back with its `async_release`. A changed password is taken over.
    """
    slot = _slot(hass, settings)
    async with slot.lock:
        if slot.link is None:
            release = partial(_async_release, slot)
            if isinstance(settings, HomeAssistantSettings):
                slot.link = await _async_home_assistant_link(hass, settings, release)
            else:
                slot.link = BrokerLink(
                    hass,
                    settings,
                    await _async_client_id(hass, settings),
                    persistent=True,
                    held=slot.held,
                    release=release,
                )
            slot.link.async_start()
        else:
            slot.link.async_renew(settings)
        slot.users += 1
        return slot.link


async def async_open_link(hass: HomeAssistant, settings: LinkSettings) -> SharedLink:
    """Return a link that nobody shares and for which the broker holds nothing.

    It connects at once; close it with its `async_release`.
    """
    link: SharedLink
    if isinstance(settings, HomeAssistantSettings):
        link = await _async_home_assistant_link(hass, settings)
    else:
        link = BrokerLink(hass, settings, passing_client_id())
    link.async_start()
    return link


async def async_forget_session(hass: HomeAssistant, settings: LinkSettings) -> None:
    """Delete the session at a broker that nobody uses any more.

    Where that fails the session goes by itself, on brokers that let sessions expire.
    """
    if isinstance(settings, HomeAssistantSettings):
        return  # it has none
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


def _slot(hass: HomeAssistant, settings: LinkSettings) -> _Slot:
    return hass.data.setdefault(_SLOTS, {}).setdefault(settings.key, _Slot())


async def _async_release(slot: _Slot, link: SharedLink) -> None:
    async with slot.lock:
        if slot.link is not link:
            return
        slot.users -= 1
        if slot.users == 0:
            slot.link = None
            await link.async_close()


async def _async_home_assistant_link(
    hass: HomeAssistant, settings: HomeAssistantSettings, release: _Release | None = None
) -> SharedLink:
    """Return a link over Home Assistant's MQTT, which nobody else needs to load."""
    module = await async_import_module(hass, f"{__package__}.home_assistant")
    return cast("SharedLink", module.HomeAssistantLink(hass, settings, release))


async def _async_client_id(hass: HomeAssistant, settings: BrokerSettings) -> str:
    """Return the id of our session at a broker: 23 characters, which every broker takes."""
    owner = f"{await instance_id.async_get(hass)} {settings.key}"
    return f"hy-heating-{hashlib.sha256(owner.encode()).hexdigest()[:12]}"


def passing_client_id() -> str:
    """Return an id for a connection without a session, as long as the others."""
    return f"hy-heating-{secrets.token_hex(6)}"
