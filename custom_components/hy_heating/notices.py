"""What happens at a gateway or meter, told on the bus: triggers and the logbook live on it."""

from enum import StrEnum
from typing import TYPE_CHECKING

from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID, Platform
from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .const import DOMAIN, EVENT_NOTICE
from .identity import gateway_identifier, meter_identifier, meter_unique_id

if TYPE_CHECKING:
    from .coordinator import GatewayCoordinator


class Notice(StrEnum):
    """What there is to tell beside the ends of commands."""

    GATEWAY_LOST = "gateway_lost"
    GATEWAY_BACK = "gateway_back"
    METER_LOST = "meter_lost"
    METER_BACK = "meter_back"
    READING_REFUSED = "reading_refused"
    COUNTER_RESET = "counter_reset"
    METER_REPLACED = "meter_replaced"


@callback
def async_tell(
    gateway: GatewayCoordinator, notice: Notice, number: str | None = None, **details: str | None
) -> None:
    """Fire the event of a notice, about a meter or about the gateway itself.

    It names the device, the entity that shows the same, and what people call the device. A meter
    that has no device (yet) is told of as its gateway, with its number.
    """
    hass, entry_id = gateway.hass, gateway.config_entry.entry_id
    devices, entities = dr.async_get(hass), er.async_get(hass)
    device = None
    if number is not None:
        identifier = meter_identifier(gateway.gateway_id, number)
        device = devices.async_get_device_by_identifier(identifier, entry_id)
    if number is not None and device is not None:
        unique_id = meter_unique_id(gateway.gateway_id, number, "last_report")
        entity_id = entities.async_get_entity_id(Platform.SENSOR, DOMAIN, unique_id)
    else:
        identifier = gateway_identifier(gateway.gateway_id)
        device = devices.async_get_device_by_identifier(identifier, entry_id)
        unique_id = f"{gateway.gateway_id}_connectivity"
        entity_id = entities.async_get_entity_id(Platform.BINARY_SENSOR, DOMAIN, unique_id)
    data: dict[str, str | None] = {
        ATTR_DEVICE_ID: device.id if device else None,
        ATTR_ENTITY_ID: entity_id,
        "name": (device.name_by_user or device.name) if device else gateway.gateway_id,
        "kind": notice,
        "meter": number,
    }
    hass.bus.async_fire(EVENT_NOTICE, data | details)
