"""HY Heating: 4G gateways with cabinets and household valves behind them."""

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP, Platform
from homeassistant.core import Event, HomeAssistant
from homeassistant.exceptions import (
    ConfigEntryAuthFailed,
    ConfigEntryNotReady,
    HomeAssistantError,
)
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
    device_registry as dr,
)
from homeassistant.helpers.typing import ConfigType

from .actions import async_register_actions
from .const import CONF_AREA_ID, CONNECT_TIMEOUT_S, DOMAIN, MANUFACTURER
from .coordinator import GatewayCoordinator
from .discovery import async_watch
from .hyheat.errors import (
    LinkAuthError,
    LinkError,
    LinkTimeoutError,
    LinkTlsError,
    SubscriptionRefusedError,
)
from .identity import gateway_identifier, meter_identifier
from .import_names import async_register_import
from .issues import async_clear_entry, async_clear_named, async_tell_subscription
from .links import (
    LinkSettings,
    MqttNotConnectedError,
    MqttNotLoadedError,
    async_acquire_link,
    async_forget_session,
)
from .links.settings import BrokerSettings, settings_from_data
from .moves import async_move_gateway
from .runtime import HyConfigEntry, HyRuntime
from .store import async_remove_store

CONFIG_SCHEMA = cv.config_entry_only_config_schema(DOMAIN)

PLATFORMS = [
    Platform.BINARY_SENSOR,
    Platform.BUTTON,
    Platform.EVENT,
    Platform.SENSOR,
    Platform.VALVE,
]

_NOT_READY_KEYS: dict[type[LinkError], str] = {
    LinkTlsError: "broker_tls_failed",
    LinkTimeoutError: "broker_timeout",
    SubscriptionRefusedError: "subscription_refused",
    MqttNotLoadedError: "mqtt_not_loaded",
    MqttNotConnectedError: "mqtt_not_connected",
}


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Register the actions, whatever is loaded."""
    async_register_actions(hass)
    async_register_import(hass)
    return True


async def async_migrate_entry(hass: HomeAssistant, entry: HyConfigEntry) -> bool:
    """Bring an entry of an older version up to date.

    Version 1 knew own connections only, and said nothing of them. Home Assistant itself refuses
    entries of a newer major version.
    """
    if entry.version == 1:
        data = {**entry.data, **BrokerSettings.from_data(entry.data).as_data()}
        hass.config_entries.async_update_entry(entry, data=data, version=2, minor_version=1)
    return True


async def async_setup_entry(hass: HomeAssistant, entry: HyConfigEntry) -> bool:
    """Connect to the broker, subscribe to the gateway, and bring back what is known."""
    settings = settings_from_data(entry.data)
    link = await async_acquire_link(hass, settings)
    gateway = GatewayCoordinator(hass, entry, link)
    entry.runtime_data = HyRuntime(link, gateway)
    async_clear_named(hass, entry)
    try:
        async_move_gateway(hass, entry)
        _register_gateway(hass, entry, gateway)
        await link.async_wait_connected(CONNECT_TIMEOUT_S)
        await gateway.async_start()
        gateway.replacements.async_move()
        await hass.config_entries.async_forward_entry_setups(entry, PLATFORMS)
        await gateway.async_entities_added()
    except BaseException as err:
        await gateway.async_stop()
        await link.async_release()
        if isinstance(err, SubscriptionRefusedError):
            async_tell_subscription(hass, entry, err.topic, settings.address)
        if isinstance(err, LinkError):
            raise _not_ready(err, settings) from err
        raise

    async def stop(_event: Event) -> None:
        await gateway.async_stop()

    entry.async_on_unload(hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, stop))
    if settings.discovery:
        entry.async_on_unload(async_watch(hass, settings))
    return True


async def async_unload_entry(hass: HomeAssistant, entry: HyConfigEntry) -> bool:
    """Leave nothing behind; the connection closes with its last user."""
    if not await hass.config_entries.async_unload_platforms(entry, PLATFORMS):
        return False
    await entry.runtime_data.gateway.async_stop()
    await entry.runtime_data.link.async_release()
    if entry.disabled_by:
        async_clear_entry(hass, entry)  # nobody asks for it now; set-up says it again
    return True


async def async_remove_entry(hass: HomeAssistant, entry: HyConfigEntry) -> None:
    """Delete all that was kept and said, and with a broker's last gateway our session there."""
    await async_remove_store(hass, entry.entry_id)
    async_clear_entry(hass, entry)
    settings = settings_from_data(entry.data)
    others = (
        settings_from_data(other.data).key
        for other in hass.config_entries.async_entries(DOMAIN, include_ignore=False)
        if other.entry_id != entry.entry_id
    )
    if settings.key not in others:
        await async_forget_session(hass, settings)


async def async_remove_config_entry_device(
    hass: HomeAssistant, entry: HyConfigEntry, device: dr.AnyDeviceEntry
) -> bool:
    """Allow a meter that no longer reports to be removed; it returns if it does."""
    if entry.state is not ConfigEntryState.LOADED:
        return False  # what is kept of it could not be cleaned
    gateway = entry.runtime_data.gateway
    for meter in gateway.meters.values():
        if meter_identifier(gateway.gateway_id, meter.number) in device.identifiers:
            if meter.available:
                return False
            gateway.async_forget_meter(meter.number)
            return True
    return gateway_identifier(gateway.gateway_id) not in device.identifiers


def _register_gateway(
    hass: HomeAssistant, entry: HyConfigEntry, gateway: GatewayCoordinator
) -> None:
    """Register the gateway's device before its meters, which refer to it."""
    area_id = entry.data.get(CONF_AREA_ID)
    area = ar.async_get(hass).async_get_area(area_id) if area_id else None
    gateway.area_name = area.name if area else None
    device = dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={gateway_identifier(gateway.gateway_id)},
        name=entry.title,
        manufacturer=MANUFACTURER,
        model="4G M-Bus gateway",
        serial_number=gateway.gateway_id,
        suggested_area=gateway.area_name,
    )
    gateway.device_id = device.id


def _not_ready(err: LinkError, settings: LinkSettings) -> HomeAssistantError:
    """Return the error that tells Home Assistant to ask for credentials, or to try again."""
    broker = settings.address
    if isinstance(err, LinkAuthError):
        return ConfigEntryAuthFailed(
            translation_domain=DOMAIN,
            translation_key="broker_refused_credentials",
            translation_placeholders={"broker": broker},
        )
    placeholders = {"broker": broker}
    if isinstance(err, SubscriptionRefusedError):
        placeholders["topic"] = err.topic
    return ConfigEntryNotReady(
        translation_domain=DOMAIN,
        translation_key=_NOT_READY_KEYS.get(type(err), "broker_unreachable"),
        translation_placeholders=placeholders,
    )
