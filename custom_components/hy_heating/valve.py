"""Valves of cabinets and households, 0-100 %."""

from typing import Any, override

from homeassistant.components.valve import (
    ValveDeviceClass,
    ValveEntity,
    ValveEntityDescription,
    ValveEntityFeature,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .entity import HyMeterEntity
from .meter import CABINET_KIND, VALVE_KIND, MeterCoordinator
from .runtime import HyConfigEntry

PARALLEL_UPDATES = 0  # the session paces commands per bus

# The valve is what a household valve is, so it takes the device's name; a cabinet has one.
VALVES = {
    CABINET_KIND: ValveEntityDescription(
        key="valve",
        translation_key="valve",
        device_class=ValveDeviceClass.WATER,
        reports_position=True,
    ),
    VALVE_KIND: ValveEntityDescription(
        key="valve", name=None, device_class=ValveDeviceClass.WATER, reports_position=True
    ),
}


async def async_setup_entry(
    hass: HomeAssistant,
    entry: HyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the valve of every meter that has one, those that come later too."""
    gateway = entry.runtime_data.gateway

    @callback
    def add(meters: list[MeterCoordinator]) -> None:
        async_add_entities(HyValve(meter) for meter in meters if meter.data.kind in VALVES)

    add(list(gateway.meters.values()))
    entry.async_on_unload(gateway.async_add_meter_listener(lambda meter: add([meter])))


def to_position(opening_pct: float | None) -> int | None:
    """Return an opening as whole percent: 0 only where closed, 100 only where fully open."""
    if opening_pct is None or opening_pct in (0, 100):
        return None if opening_pct is None else int(opening_pct)
    return min(99, max(1, round(opening_pct)))


class HyValve(HyMeterEntity, ValveEntity):
    """A valve whose position is what the device reported, never what was wished."""

    _attr_supported_features = (
        ValveEntityFeature.OPEN | ValveEntityFeature.CLOSE | ValveEntityFeature.SET_POSITION
    )

    def __init__(self, coordinator: MeterCoordinator) -> None:
        """Take the row of the meter's kind."""
        super().__init__(coordinator, VALVES[coordinator.data.kind])

    @override
    def _refresh(self) -> tuple[Any, ...]:
        meter = self.coordinator
        position = to_position(meter.opening_pct)
        wished = meter.commands.pending_opening_pct
        moving = wished is not None and wished != position
        self._attr_current_valve_position = position
        # valve.toggle asks for this one also where the position is known.
        self._attr_is_closed = None if position is None else position == 0
        self._attr_is_closing = moving and wished is not None and wished < (position or 0)
        self._attr_is_opening = moving and not self._attr_is_closing
        return self.available, position, self._attr_is_opening, self._attr_is_closing

    @override
    async def async_set_valve_position(self, position: int) -> None:
        await self.coordinator.commands.async_set_opening(position)
