"""Buttons of a gateway: refresh its status, have its meters read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.button import ButtonEntity, ButtonEntityDescription
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import GatewayCoordinator
from .entity import HyGatewayEntity
from .runtime import HyConfigEntry

PARALLEL_UPDATES = 0  # the session paces commands per bus


@dataclass(frozen=True, kw_only=True)
class GatewayButtonDescription(ButtonEntityDescription):
    """Something that a gateway can be told to do."""

    press_fn: Callable[[GatewayCoordinator], Awaitable[None]]


GATEWAY_BUTTONS = (
    GatewayButtonDescription(
        key="refresh_status",
        translation_key="refresh_status",
        entity_category=EntityCategory.DIAGNOSTIC,
        press_fn=lambda gateway: gateway.async_refresh_status(),
    ),
    GatewayButtonDescription(
        key="read_cabinets",
        translation_key="read_cabinets",
        entity_category=EntityCategory.DIAGNOSTIC,
        press_fn=lambda gateway: gateway.async_read_now(cabinets=True),
    ),
    GatewayButtonDescription(
        key="read_valves",
        translation_key="read_valves",
        entity_category=EntityCategory.DIAGNOSTIC,
        press_fn=lambda gateway: gateway.async_read_now(valves=True),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: HyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the buttons of a gateway."""
    gateway = entry.runtime_data.gateway
    async_add_entities(HyGatewayButton(gateway, row) for row in GATEWAY_BUTTONS)


class HyGatewayButton(HyGatewayEntity, ButtonEntity):
    """A button of a gateway."""

    entity_description: GatewayButtonDescription

    @override
    def _refresh(self) -> tuple[Any, ...]:
        return (self.available,)

    @override
    async def async_press(self) -> None:
        await self.entity_description.press_fn(self.coordinator)
