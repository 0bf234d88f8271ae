"""Puts a meter that a person names into the area that follows from its name."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers import area_registry as ar, device_registry as dr

from .const import CONF_AREA_PATTERN, CONF_NAME_PATTERN
from .naming import NamePattern


def name_pattern(entry: ConfigEntry) -> NamePattern | None:
    """Return how the meters of a gateway are named, None where nobody said so."""
    pattern = entry.options.get(CONF_NAME_PATTERN, "")
    return NamePattern(pattern, entry.options[CONF_AREA_PATTERN]) if pattern else None


@callback
def async_follow_names(
    hass: HomeAssistant, entry: ConfigEntry, gateway_device_id: str
) -> CALLBACK_TYPE | None:
    """Follow the names of a gateway's meters; return how to stop that, None without a pattern.

    Only an area that exists counts, and only for a meter that has none of its own: none at all, or
    still the one of its gateway.
    """
    if (pattern := name_pattern(entry)) is None:
        return None

    @callback
    def renamed(event: Event[dr.EventDeviceRegistryUpdatedData]) -> None:
        data = event.data
        if data["action"] != "update" or "name_by_user" not in data["changes"]:
            return
        registry = dr.async_get(hass)
        device, gateway = (
            registry.async_get(data["device_id"]),
            registry.async_get(gateway_device_id),
        )
        if (
            not isinstance(device, dr.DeviceEntry)
            or device.config_entry_id != entry.entry_id
            or device.id == gateway_device_id
            or device.area_id not in (None, gateway and gateway.area_id)
        ):
            return
        name = pattern.area(device.name_by_user or "")
        area = ar.async_get(hass).async_get_area_by_name(name) if name else None
        if area is not None:
            registry.async_update_device(device.id, area_id=area.id)

    return hass.bus.async_listen(dr.EVENT_DEVICE_REGISTRY_UPDATED, renamed)
