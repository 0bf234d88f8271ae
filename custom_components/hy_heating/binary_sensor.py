"""Binary sensors of a gateway: connectivity, heating season and two flags."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, override

from homeassistant.components.binary_sensor import (
    BinarySensorDeviceClass,
    BinarySensorEntity,
    BinarySensorEntityDescription,
)
from homeassistant.const import EntityCategory
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import GatewayCoordinator
from .entity import HyGatewayEntity
from .runtime import HyConfigEntry

PARALLEL_UPDATES = 0

_DIAGNOSTIC = EntityCategory.DIAGNOSTIC


@dataclass(frozen=True, kw_only=True)
class GatewayBinarySensorDescription(BinarySensorEntityDescription):
    """Something about a gateway that is so or not; None is unknown."""

    value_fn: Callable[[GatewayCoordinator], bool | None]
    always_available: bool = False


GATEWAY_BINARY_SENSORS = (
    GatewayBinarySensorDescription(
        key="connectivity",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=_DIAGNOSTIC,
        value_fn=lambda gateway: gateway.available,
        always_available=True,
    ),
    GatewayBinarySensorDescription(
        key="heating_season",
        translation_key="heating_season",
        entity_category=_DIAGNOSTIC,
        value_fn=lambda gateway: gateway.heating,
    ),
    GatewayBinarySensorDescription(
        key="in_season_statistics",
        translation_key="in_season_statistics",
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda gateway: getattr(gateway.data.settings, "in_season_statistics", None),
    ),
    GatewayBinarySensorDescription(
        key="restarted",
        translation_key="restarted",
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda gateway: getattr(gateway.data.status, "has_reset", None),
    ),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: HyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the binary sensors of a gateway."""
    gateway = entry.runtime_data.gateway
    async_add_entities(HyGatewayBinarySensor(gateway, row) for row in GATEWAY_BINARY_SENSORS)


class HyGatewayBinarySensor(HyGatewayEntity, BinarySensorEntity):
    """A binary sensor of a gateway; connectivity stays available and says what is wrong."""

    entity_description: GatewayBinarySensorDescription

    @property
    @override
    def available(self) -> bool:
        return self.entity_description.always_available or super().available

    @override
    def _refresh(self) -> tuple[Any, ...]:
        self._attr_is_on = self.entity_description.value_fn(self.coordinator)
        if self.entity_description.always_available:
            self._attr_extra_state_attributes = {"problem": self.coordinator.silence}
        return self.available, self._attr_is_on, self.coordinator.silence
