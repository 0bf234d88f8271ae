"""Moves what the registries know when a gateway or a meter takes the place of another.

Done while an entry is set up, before it has any entity: a unique id cannot change under a loaded
one. What was moved already stays, so doing it again after a crash does no harm.
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .const import CONF_GATEWAY_ID, CONF_PREVIOUS_GATEWAY_IDS, DOMAIN
from .identity import meter_identifier

type _Rename = Callable[[str], str]


def with_gateway(data: Mapping[str, Any], gateway_id: str) -> dict[str, Any]:
    """Return the data of an entry for another gateway that takes the place of its present one."""
    previous = [*data.get(CONF_PREVIOUS_GATEWAY_IDS, ()), data[CONF_GATEWAY_ID]]
    kept = [each for each in dict.fromkeys(previous) if each != gateway_id]
    return {**data, CONF_GATEWAY_ID: gateway_id, CONF_PREVIOUS_GATEWAY_IDS: kept}


@callback
def async_move_gateway(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Let everything that carries the id of a gateway of before carry that of the present one."""
    gateway_id: str = entry.data[CONF_GATEWAY_ID]
    for previous in entry.data.get(CONF_PREVIOUS_GATEWAY_IDS, ()):
        rename = _prefix_change(previous, gateway_id)
        _rename_entities(hass, entry, rename)
        registry = dr.async_get(hass)
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id):
            _rename_device(registry, device, rename)


@callback
def async_move_meter(
    hass: HomeAssistant, entry: ConfigEntry, gateway_id: str, old: str, new: str
) -> None:
    """Let the device and the entities of a meter carry the number of another one.

    What the other one had of its own is removed.
    """
    registry = dr.async_get(hass)
    place = registry.async_get_device_by_identifier(
        meter_identifier(gateway_id, old), entry.entry_id
    )
    if place is None:
        return  # it was moved before
    _remove_meter(hass, entry, gateway_id, new)
    rename = _prefix_change(f"{gateway_id}_{old}", f"{gateway_id}_{new}")
    _rename_entities(hass, entry, rename)
    _rename_device(registry, place, rename, new)


def _remove_meter(hass: HomeAssistant, entry: ConfigEntry, gateway_id: str, number: str) -> None:
    entities = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(entities, entry.entry_id):
        if entity.unique_id.startswith(f"{gateway_id}_{number}_"):
            entities.async_remove(entity.entity_id)
    registry = dr.async_get(hass)
    own = registry.async_get_device_by_identifier(
        meter_identifier(gateway_id, number), entry.entry_id
    )
    if own is not None:
        registry.async_remove_device(own.id)


def _prefix_change(old: str, new: str) -> _Rename:
    def rename(name: str) -> str:
        is_of_it = name == old or name.startswith(f"{old}_")
        return new + name.removeprefix(old) if is_of_it else name

    return rename


def _rename_entities(hass: HomeAssistant, entry: ConfigEntry, rename: _Rename) -> None:
    registry = er.async_get(hass)
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        if (unique_id := rename(entity.unique_id)) != entity.unique_id:
            registry.async_update_entity(entity.entity_id, new_unique_id=unique_id)


def _rename_device(
    registry: dr.DeviceRegistry,
    device: dr.DeviceEntry,
    rename: _Rename,
    serial_number: str | None = None,
) -> None:
    identifiers = {
        (domain, rename(name) if domain == DOMAIN else name) for domain, name in device.identifiers
    }
    if identifiers != device.identifiers:
        registry.async_update_device(
            device.id,
            new_identifiers=identifiers,
            serial_number=serial_number or rename(device.serial_number or "") or None,
        )
