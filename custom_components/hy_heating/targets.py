"""Which devices of ours the target of a trigger or condition means."""

from typing import Any

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.target import TargetSelection, async_extract_referenced_entity_ids

from .const import DOMAIN


@callback
def async_targeted_devices(hass: HomeAssistant, target: dict[str, Any] | None) -> set[str]:
    """Return the ids of our devices that a target means; without a target all of them.

    An entity stands for its device, and a gateway for the meters behind it.
    """
    registry = dr.async_get(hass)
    entries = hass.config_entries.async_entries(DOMAIN)
    ours = {
        device.id: device.via_device_id
        for entry in entries
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
    }
    if target is None:
        return set(ours)
    selected = async_extract_referenced_entity_ids(
        hass, TargetSelection(target), primary_entities_only=False
    )
    entities = er.async_get(hass)
    meant = set(selected.referenced_devices)
    for entity_id in selected.referenced | selected.indirectly_referenced:
        if (entity := entities.async_get(entity_id)) and entity.device_id:
            meant.add(entity.device_id)
    return {device_id for device_id, via in ours.items() if device_id in meant or via in meant}
