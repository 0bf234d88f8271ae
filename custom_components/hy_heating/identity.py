"""What a gateway and a meter are known by in the registries: helpers only, used everywhere."""

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from .const import DOMAIN


def gateway_identifier(gateway_id: str) -> tuple[str, str]:
    """Return the device identifier of a gateway."""
    return DOMAIN, gateway_id


def meter_identifier(gateway_id: str, number: str) -> tuple[str, str]:
    """Return the device identifier of a meter."""
    return DOMAIN, f"{gateway_id}_{number}"


def meter_unique_id(gateway_id: str, number: str, key: str) -> str:
    """Return the unique id of an entity of a meter."""
    return f"{gateway_id}_{number}_{key}"


@callback
def meter_names(hass: HomeAssistant, entry_id: str) -> dict[str, str]:
    """Return what the user calls the devices of an entry, by serial number."""
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry_id)
    return {
        device.serial_number: device.name_by_user or device.name or device.serial_number
        for device in devices
        if device.serial_number
    }
