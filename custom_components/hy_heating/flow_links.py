"""What the flows know of links: those in use, who shares them, and whether one would work."""

from collections.abc import Hashable, Iterable

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback

from .hyheat.errors import LinkAuthError, LinkError, LinkTimeoutError, LinkTlsError
from .links import MqttNotConnectedError, MqttNotLoadedError, temporary_link
from .links.settings import HomeAssistantSettings, LinkSettings, settings_from_data

_MQTT = "mqtt"
_ERROR_KEYS: dict[type[LinkError], str] = {
    LinkAuthError: "invalid_auth",
    LinkTlsError: "tls_failed",
    LinkTimeoutError: "timeout_connect",
    MqttNotLoadedError: "mqtt_not_loaded",
    MqttNotConnectedError: "mqtt_not_connected",
}


@callback
def is_mqtt_set_up(hass: HomeAssistant) -> bool:
    """Whether Home Assistant's own MQTT integration is there to be used."""
    entries = hass.config_entries
    return entries.async_has_entries(_MQTT, include_ignore=False, include_disabled=False)


def known_links(entries: Iterable[ConfigEntry]) -> dict[str, tuple[LinkSettings, str]]:
    """Return each distinct link by one of its entries, with a label that names all of them."""
    sharing: dict[Hashable, list[ConfigEntry]] = {}
    for entry in entries:
        sharing.setdefault(settings_from_data(entry.data).key, []).append(entry)
    return {first.entry_id: _with_label([first, *others]) for first, *others in sharing.values()}


def _with_label(sharing: list[ConfigEntry]) -> tuple[LinkSettings, str]:
    settings = settings_from_data(sharing[0].data)
    return settings, f"{address_of(settings)} ({', '.join(entry.title for entry in sharing)})"


def address_of(settings: LinkSettings) -> str:
    """Return a broker's address and prefix as a person reads them, without the password."""
    if isinstance(settings, HomeAssistantSettings):
        return f"Home Assistant MQTT, {settings.prefix}"
    user = f"{settings.username}@" if settings.username else ""
    return f"{user}{settings.host}:{settings.port}, {settings.prefix}"


def sharing_entries(entries: Iterable[ConfigEntry], *settings: LinkSettings) -> list[ConfigEntry]:
    """Return the entries whose link is one of some links."""
    keys = {each.key for each in settings}
    return [entry for entry in entries if settings_from_data(entry.data).key in keys]


async def async_try(hass: HomeAssistant, settings: LinkSettings) -> LinkError | None:
    """Return why a link fails, None where its connection stands."""
    try:
        async with temporary_link(hass, settings):
            return None
    except LinkError as err:
        return err


def error_key(err: LinkError) -> str:
    """Return the form's error for a link that failed."""
    return _ERROR_KEYS.get(type(err), "cannot_connect")
