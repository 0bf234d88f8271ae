"""What a loaded entry holds."""

from dataclasses import dataclass

from homeassistant.config_entries import ConfigEntry

from .coordinator import GatewayCoordinator
from .links import SharedLink

type HyConfigEntry = ConfigEntry[HyRuntime]


@dataclass(frozen=True, slots=True)
class HyRuntime:
    """The shared link of an entry's broker, and its gateway."""

    link: SharedLink
    gateway: GatewayCoordinator
