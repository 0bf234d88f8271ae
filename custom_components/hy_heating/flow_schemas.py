"""The smaller forms of the flows, and the texts that go into them."""

from collections.abc import Iterable, Mapping
import re

from homeassistant.const import CONF_NAME
from homeassistant.core import HomeAssistant
from homeassistant.helpers.selector import (
    AreaSelector,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
)
from homeassistant.helpers.translation import async_get_translations
from homeassistant.util import dt as dt_util
import voluptuous as vol

from .const import (
    CONF_AREA_ID,
    CONF_BROKER,
    CONF_GATEWAY_ID,
    CONF_GATEWAYS,
    CONF_NEW_METER,
    CONF_OLD_METER,
    DOMAIN,
)
from .coordinator import GatewayCoordinator
from .flow_listen import HeardGateway, Window, all_reports_topic
from .hyheat.envelope import Stat, StatusReply
from .identity import meter_names
from .meter import UNKNOWN_KIND

NEW_BROKER = "new"
OTHER_PREFIX = "home_assistant_other"
UNKNOWN = "–"
CSQ_UNKNOWN = 99

_MAX_SHOWN = 40  # characters
_MAX_IDS = 12  # in the open window; the form after it has all of them
_NOT_SHOWN = re.compile(r"[^\w .+:-]")  # a gateway's text must not become markup

GATEWAY_ID_SCHEMA = vol.Schema({vol.Required(CONF_GATEWAY_ID): TextSelector()})
BUILDING_SCHEMA = vol.Schema(
    {vol.Optional(CONF_NAME): TextSelector(), vol.Optional(CONF_AREA_ID): AreaSelector()}
)


def choose_broker_schema(labels: Mapping[str, str], others: Iterable[str]) -> vol.Schema:
    """Return the choice between links in use, labeled by entry id, and others by translation."""
    options = [SelectOptionDict(value=value, label=label) for value, label in labels.items()]
    options += [SelectOptionDict(value=value, label=value) for value in others]
    return vol.Schema(
        {
            vol.Required(CONF_BROKER, default=options[0]["value"]): SelectSelector(
                SelectSelectorConfig(
                    options=options, translation_key=CONF_BROKER, mode=SelectSelectorMode.LIST
                )
            )
        }
    )


async def async_heard_schema(
    hass: HomeAssistant, gateways: Iterable[HeardGateway], *, several: bool = True
) -> vol.Schema:
    """Return the choice of the gateways that were heard; a single one is chosen already."""
    texts = await async_get_translations(hass, hass.config.language, "common", {DOMAIN})
    options = [
        SelectOptionDict(value=gateway.gateway_id, label=_heard_label(gateway, texts))
        for gateway in sorted(gateways, key=lambda gateway: gateway.gateway_id)
    ]
    if not several:
        default = options[0]["value"] if len(options) == 1 else vol.UNDEFINED
        selector = SelectSelector(SelectSelectorConfig(options=options))
        return vol.Schema({vol.Required(CONF_GATEWAY_ID, default=default): selector})
    chosen = [options[0]["value"]] if len(options) == 1 else []
    return vol.Schema(
        {
            vol.Required(CONF_GATEWAYS, default=chosen): SelectSelector(
                SelectSelectorConfig(options=options, multiple=True)
            )
        }
    )


def _heard_label(gateway: HeardGateway, texts: Mapping[str, str]) -> str:
    key = "heard_gateway" if gateway.status is None else "heard_gateway_with_status"
    placeholders = {
        CONF_GATEWAY_ID: gateway.gateway_id,
        "messages": str(gateway.messages),
        **status_placeholders(gateway.status),
        "cabinets": str(gateway.cabinets),
        "valves": str(gateway.valves),
    }
    return texts[f"component.{DOMAIN}.common.{key}"].format(**placeholders)


def meter_labels(hass: HomeAssistant, gateway: GatewayCoordinator) -> dict[str, str]:
    """Return name and last report of the meters that may be exchanged, nothing for a single one."""
    names = meter_names(hass, gateway.config_entry.entry_id)
    labels: dict[str, str] = {}
    for number, meter in gateway.meters.items():
        if meter.data.kind != UNKNOWN_KIND:
            received = dt_util.as_local(meter.data.received)
            labels[number] = f"{names.get(number, number)} ({received:%Y-%m-%d %H:%M})"
    return labels if len(labels) > 1 else {}


def replace_meter_schema(labels: Mapping[str, str]) -> vol.Schema:
    """Return the choice of an old and a new meter, labeled by number."""
    options = [
        SelectOptionDict(value=number, label=label)
        for number, label in sorted(labels.items(), key=lambda item: item[1])
    ]
    selector = SelectSelector(SelectSelectorConfig(options=options))
    return vol.Schema(
        {vol.Required(CONF_OLD_METER): selector, vol.Required(CONF_NEW_METER): selector}
    )


async def async_discovered_label(hass: HomeAssistant, gateway: HeardGateway) -> str:
    """Return what the card of a discovered gateway says; it has room for some 35 characters."""
    texts = await async_get_translations(hass, hass.config.language, "common", {DOMAIN})
    counts = {"cabinets": str(gateway.cabinets), "valves": str(gateway.valves)}
    key = "discovered_silent_gateway"
    if gateway.status is not None:
        key, counts = "discovered_gateway", status_placeholders(gateway.status)
    text = texts[f"component.{DOMAIN}.common.{key}"]
    return text.format(**{CONF_GATEWAY_ID: gateway.gateway_id, **counts})


def window_placeholders(window: Window, prefix: str) -> dict[str, str]:
    """Return what the listening window heard so far."""
    ids = sorted(window.gateways)
    more = ["…"] if len(ids) > _MAX_IDS else []
    return {
        "topic": all_reports_topic(prefix),
        "gateways": ", ".join(ids[:_MAX_IDS] + more) or UNKNOWN,
        "count": str(len(ids)),
        "registered": str(len(window.registered)),
        "ignored": str(window.ignored),
    }


def status_placeholders(status: StatusReply | None) -> dict[str, str]:
    """Return what a status says, a dash for what it does not."""
    if status is None:
        status = StatusReply(gateway_id="", stat=Stat.SUCCEEDED)
    csq = status.csq[0] if status.csq else CSQ_UNKNOWN
    return {
        "firmware": _NOT_SHOWN.sub("", status.firmware or "")[:_MAX_SHOWN] or UNKNOWN,
        "rssi": _shown(status.rssi_dbm),
        "sinr": _shown(status.sinr_db),
        "csq": _shown(None if csq == CSQ_UNKNOWN else csq),
        "cabinets": _shown(status.cabinets),
        "valves": _shown(status.valves),
    }


def _shown(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)
