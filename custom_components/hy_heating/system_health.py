"""The card in Home Assistant's system information: is all well, and how busy is it."""

from collections.abc import Iterable
from statistics import fmean
from typing import Any

from homeassistant.components.system_health import SystemHealthRegistration
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_HOST, CONF_PORT, CONF_USERNAME
from homeassistant.core import HomeAssistant, callback

from .const import CONF_PREFIX, CONF_TLS, DOMAIN
from .runtime import HyConfigEntry

_OF_A_LINK = (CONF_HOST, CONF_PORT, CONF_USERNAME, CONF_TLS, CONF_PREFIX)
"""What tells the connections of entries apart, also of those that could not be set up."""


@callback
def async_register(hass: HomeAssistant, register: SystemHealthRegistration) -> None:
    """Register the card."""
    register.async_register_info(
        async_system_health_info, f"/config/integrations/integration/{DOMAIN}"
    )


async def async_system_health_info(hass: HomeAssistant) -> dict[str, Any]:
    """Return how links, gateways and commands are, over all entries that are not disabled."""
    entries: list[HyConfigEntry] = hass.config_entries.async_entries(
        DOMAIN, include_ignore=False, include_disabled=False
    )
    loaded = [entry for entry in entries if entry.state is ConfigEntryState.LOADED]
    connected = {_link(entry) for entry in loaded if entry.runtime_data.link.connected}
    gateways = [entry.runtime_data.gateway for entry in loaded]
    proofs_s = [proof_s for gateway in gateways for proof_s in gateway.counters.proofs_s]
    now = hass.loop.time()
    card: dict[str, Any] = {
        "links_connected": f"{len(connected)}/{len({_link(entry) for entry in entries})}",
        "gateways_online": f"{sum(gateway.available for gateway in gateways)}/{len(entries)}",
        "messages_per_minute": _sum(
            gateway.client.messages.per_minute(now) for gateway in gateways
        ),
        "refusals_per_minute": _sum(gateway.client.refused.per_minute(now) for gateway in gateways),
        "commands_under_way": sum(gateway.counters.under_way for gateway in gateways),
    }
    if proofs_s:
        card["mean_time_to_proof"] = f"{fmean(proofs_s):.0f} s"
    return card


def _link(entry: HyConfigEntry) -> tuple[Any, ...]:
    return tuple(entry.data.get(key) for key in _OF_A_LINK)


def _sum(rates: Iterable[float]) -> float:
    return round(sum(rates), 1)
