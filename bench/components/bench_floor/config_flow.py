"""No flow: the benchmark writes the entry itself."""

from homeassistant.config_entries import ConfigFlow


class FloorConfigFlow(ConfigFlow, domain="bench_floor"):
    """There must be one."""

    VERSION = 1
