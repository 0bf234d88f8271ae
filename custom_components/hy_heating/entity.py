"""What all entities share: identity, device, names, and writing only what changed."""

from typing import Any, override

from homeassistant.const import EntityCategory
from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.entity import EntityDescription
from homeassistant.helpers.typing import UNDEFINED
from homeassistant.helpers.update_coordinator import CoordinatorEntity

from .const import MANUFACTURER
from .coordinator import GatewayCoordinator
from .identity import meter_identifier, meter_unique_id
from .meter import CABINET_KIND, VALVE_KIND, MeterCoordinator

_TRANSLATION_KEYS = {CABINET_KIND: "cabinet", VALVE_KIND: "household_valve"}
_MODELS = {CABINET_KIND: "Cabinet (2034)", VALVE_KIND: "Household valve (2008)"}


@callback
def async_meter_device(meter: MeterCoordinator) -> dr.AnyDeviceEntry:
    """Return the device of a meter, behind its gateway.

    It is registered with the first of a meter's entities. As device information of each, Home
    Assistant would compare and keep it a dozen times for each meter.
    """
    registry = dr.async_get(meter.hass)
    if device := registry.async_get(meter.device_id):
        return device
    gateway, kind = meter.gateway, meter.data.kind
    registered = registry.async_get_or_create(
        config_entry_id=meter.config_entry.entry_id,
        identifiers={meter_identifier(gateway.gateway_id, meter.number)},
        translation_key=_TRANSLATION_KEYS.get(kind, "unknown_device"),
        translation_placeholders={"number": meter.number},
        manufacturer=MANUFACTURER,
        model=_MODELS.get(kind, UNDEFINED),
        serial_number=meter.number,
        via_device_id=gateway.device_id,
        suggested_area=UNDEFINED if gateway.area_name is None else gateway.area_name,
    )
    meter.device_id = registered.id
    return registered


class HyEntity[CoordinatorT: GatewayCoordinator | MeterCoordinator](
    CoordinatorEntity[CoordinatorT]
):
    """An entity of a gateway or meter that writes its state only when it changed."""

    # What Home Assistant asks its own properties, it keeps in each entity, whose dictionary of
    # attributes is of twice the size with more than 42 of them. So what is the same for all is told
    # by the class, and what is asked only when an entity is added, by properties that keep nothing.
    assumed_state = False
    attribution = None
    entity_picture = None
    entity_registry_visible_default = True
    force_update = False
    has_entity_name = True
    icon = None
    should_poll = False

    def __init__(self, coordinator: CoordinatorT, description: EntityDescription) -> None:
        """Belong to a coordinator; values are taken when Home Assistant has added it."""
        super().__init__(coordinator)
        self.entity_description = description
        self._written: tuple[Any, ...] = ()  # a disabled entity costs nothing more

    @property
    @override
    def available(self) -> bool:
        return self.coordinator.available

    @property
    @override
    def entity_category(self) -> EntityCategory | None:
        return self.entity_description.entity_category

    def _refresh(self) -> tuple[Any, ...]:
        """Take the values from the coordinator; return all that the state is made of."""
        raise NotImplementedError

    @override
    async def async_added_to_hass(self) -> None:
        await super().async_added_to_hass()
        self._written = self._refresh()

    @callback
    @override
    def _handle_coordinator_update(self) -> None:
        written = self._refresh()
        if written != self._written:
            self._written = written
            self.async_write_ha_state()


class HyGatewayEntity(HyEntity[GatewayCoordinator]):
    """An entity of a gateway."""

    def __init__(self, coordinator: GatewayCoordinator, description: EntityDescription) -> None:
        """Belong to the gateway's device."""
        super().__init__(coordinator, description)
        self.device_entry = dr.async_get(coordinator.hass).async_get(coordinator.device_id)

    @property
    @override
    def unique_id(self) -> str:
        return f"{self.coordinator.gateway_id}_{self.entity_description.key}"


class HyMeterEntity(HyEntity[MeterCoordinator]):
    """An entity of a cabinet, a household valve or an unknown device."""

    def __init__(self, coordinator: MeterCoordinator, description: EntityDescription) -> None:
        """Belong to the meter's device."""
        super().__init__(coordinator, description)
        self.device_entry = async_meter_device(coordinator)

    @property
    @override
    def unique_id(self) -> str:
        meter = self.coordinator
        key = self.entity_description.key
        return meter_unique_id(meter.gateway.gateway_id, meter.number, key)
