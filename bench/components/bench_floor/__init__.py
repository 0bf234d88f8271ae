"""The floor: parse, hex, checksum and six state writes for a report, and nothing else."""

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant


async def async_setup_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
    """Set up the sensors, which connect by themselves."""
    await hass.config_entries.async_forward_entry_setups(entry, [Platform.SENSOR])
    return True
