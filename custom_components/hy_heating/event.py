"""What became of each valve's commands, as events that automations can use."""

from typing import Any, override

from homeassistant.components.event import EventEntity, EventEntityDescription
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID, EntityCategory
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .commands import CommandReport, Verdict
from .const import EVENT_COMMAND
from .entity import HyMeterEntity
from .meter import OPENING_FIELDS, MeterCoordinator
from .runtime import HyConfigEntry

PARALLEL_UPDATES = 0

COMMAND = EventEntityDescription(
    key="command",
    translation_key="command",
    entity_category=EntityCategory.DIAGNOSTIC,
    event_types=[*map(str, Verdict)],
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: HyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the event entity of every meter with a valve, those that come later too."""
    gateway = entry.runtime_data.gateway

    @callback
    def add(meters: list[MeterCoordinator]) -> None:
        async_add_entities(
            HyCommandEvent(m, COMMAND) for m in meters if m.data.kind in OPENING_FIELDS
        )

    add(list(gateway.meters.values()))
    entry.async_on_unload(gateway.async_add_meter_listener(lambda meter: add([meter])))


class HyCommandEvent(HyMeterEntity, EventEntity):
    """How the last command of a valve ended; available also while the meter is silent."""

    @property
    @override
    def available(self) -> bool:
        return True

    @override
    def _refresh(self) -> tuple[Any, ...]:
        return ()

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self.async_on_remove(self.coordinator.commands.async_listen(self._command_ended))

    @callback
    def _command_ended(self, report: CommandReport) -> None:
        details = report.as_dict()
        self._trigger_event(report.verdict, details)
        self.async_write_ha_state()
        device = self.device_entry
        self.hass.bus.async_fire(
            EVENT_COMMAND,
            {
                ATTR_ENTITY_ID: self.entity_id,
                ATTR_DEVICE_ID: device.id if device else None,
                "name": (device.name_by_user or device.name) if device else self.entity_id,
                "verdict": report.verdict,
                **details,
            },
        )
