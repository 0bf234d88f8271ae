"""The repair issues that readings raise, and that clear themselves."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import TYPE_CHECKING

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir

from .const import (
    DOMAIN,
    FLOW_SCALES,
    ISSUE_COUNTER_RESET,
    ISSUE_FLOW_SCALE,
    ISSUE_METER_APPEARED,
    ISSUE_REVERSED,
    ISSUE_SUBSCRIPTION_REFUSED,
)
from .continuation import COUNTER_SENSORS
from .hyheat.model import Register
from .identity import meter_names
from .privacy import Disguise

if TYPE_CHECKING:
    from .readings import GatewayReadings

STORE_DAMAGED = "store_damaged"
MAX_LISTED = 12
"""So many names are read; more are not."""


def issue_id(kind: str, entry: ConfigEntry, *parts: str) -> str:
    """Return the id of an issue of an entry; Home Assistant adds it to every download."""
    return Disguise(entry).text("_".join((kind, entry.unique_id or entry.entry_id, *parts)))


@callback
def async_clear_named(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Clear issues whose ids tell what the entry is to hide, those of the past too."""
    if not Disguise(entry).hides_ids or not entry.unique_id:
        return
    for domain, this in list(ir.async_get(hass).issues):
        if domain == DOMAIN and entry.unique_id in this:
            ir.async_delete_issue(hass, DOMAIN, this)


@callback
def async_tell_counter(
    readings: GatewayReadings, number: str, key: str, reset: tuple[Register, Register] | None
) -> None:
    """Raise or clear that a counter has begun again somewhere else."""
    name, unit = COUNTER_SENSORS[key].key, COUNTER_SENSORS[key].unit
    this = issue_id(ISSUE_COUNTER_RESET, readings.entry, number, key)
    if reset is None:
        ir.async_delete_issue(readings.hass, DOMAIN, this)
        return
    old, new = (f"{register.value:.2f} {unit}" for register in reset)
    _raise(
        readings,
        this,
        f"{ISSUE_COUNTER_RESET}_{name}",
        {"kind": ISSUE_COUNTER_RESET, "number": number, "key": key},
        {"meter": _name(readings, number), "old": old, "new": new},
    )


@callback
def async_tell_reversal(readings: GatewayReadings, number: str, found: bool) -> None:
    """Raise or clear that the return of a meter has been hotter than its supply for days."""
    this = issue_id(ISSUE_REVERSED, readings.entry, number)
    if not found:
        ir.async_delete_issue(readings.hass, DOMAIN, this)
        return
    data: dict[str, str | int | float | None] = {"kind": ISSUE_REVERSED, "number": number}
    _raise(readings, this, ISSUE_REVERSED, data, {"meter": _name(readings, number)})


@callback
def async_tell_flow_scale(readings: GatewayReadings, number: str | None, scale: float) -> None:
    """Raise or clear that a gateway's flows are a power of ten off; `scale` would put it right."""
    this = issue_id(ISSUE_FLOW_SCALE, readings.entry)
    nearest = min(FLOW_SCALES, key=lambda known: abs(known - scale))
    if number is None:
        ir.async_delete_issue(readings.hass, DOMAIN, this)
        return
    _raise(
        readings,
        this,
        ISSUE_FLOW_SCALE,
        {"kind": ISSUE_FLOW_SCALE, "scale": nearest},
        {
            "gateway": readings.entry.title,
            "meter": _name(readings, number),
            "scale": f"{nearest:g}",
        },
    )


@callback
def async_tell_replacement(
    hass: HomeAssistant, entry: ConfigEntry, number: str, missing: Collection[str]
) -> None:
    """Ask whether a meter that appeared replaces one that is missing, or take that back."""
    this = issue_id(ISSUE_METER_APPEARED, entry, number)
    if not missing:
        ir.async_delete_issue(hass, DOMAIN, this)
        return
    names = meter_names(hass, entry.entry_id)
    ir.async_create_issue(
        hass,
        DOMAIN,
        this,
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key=ISSUE_METER_APPEARED,
        translation_placeholders={
            "gateway": entry.title,
            "meter": names.get(number, number),
            "missing": listed(names.get(old, old) for old in missing),
        },
        data={"entry_id": entry.entry_id, "kind": ISSUE_METER_APPEARED, "number": number},
    )


@callback
def async_tell_subscription(
    hass: HomeAssistant, entry: ConfigEntry, topic: str, broker: str
) -> None:
    """Raise that the broker does not let us read a gateway; set-up clears it when it succeeds."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        issue_id(ISSUE_SUBSCRIPTION_REFUSED, entry),
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key=ISSUE_SUBSCRIPTION_REFUSED,
        translation_placeholders={"gateway": entry.title, "topic": topic, "broker": broker},
    )


def listed(names: Iterable[str]) -> str:
    """Return names as one text, those that are too many as an ellipsis."""
    shown = list(islice(names, MAX_LISTED + 1))
    return ", ".join(shown[:MAX_LISTED] + ["…"] * (len(shown) > MAX_LISTED))


@callback
def async_clear(hass: HomeAssistant, entry: ConfigEntry, *ids: str) -> None:
    """Clear all that was said of a gateway, or of one of its meters, by their ids."""
    about = {Disguise(entry).text(each) for each in ids}
    for domain, this in list(ir.async_get(hass).issues):
        if domain == DOMAIN and about <= set(this.split("_")):
            ir.async_delete_issue(hass, DOMAIN, this)


@callback
def async_clear_entry(hass: HomeAssistant, entry: ConfigEntry) -> None:
    """Clear all that was said of an entry that is removed."""
    async_clear(hass, entry, entry.unique_id or entry.entry_id)
    ir.async_delete_issue(hass, DOMAIN, f"{STORE_DAMAGED}_{entry.entry_id}")


@callback
def async_tell_store(hass: HomeAssistant, entry_id: str, path: str) -> None:
    """Raise that the kept readings were unreadable; there is nothing to fix but to know it."""
    ir.async_create_issue(
        hass,
        DOMAIN,
        f"{STORE_DAMAGED}_{entry_id}",
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key=STORE_DAMAGED,
        translation_placeholders={"path": path},
    )


def _raise(
    readings: GatewayReadings,
    this: str,
    translation_key: str,
    data: dict[str, str | int | float | None],
    placeholders: dict[str, str],
) -> None:
    ir.async_create_issue(
        readings.hass,
        DOMAIN,
        this,
        is_fixable=True,
        severity=ir.IssueSeverity.WARNING,
        translation_key=translation_key,
        translation_placeholders=placeholders,
        data={"entry_id": readings.entry.entry_id, **data},
    )


def _name(readings: GatewayReadings, number: str) -> str:
    """Return what the user calls a meter."""
    return meter_names(readings.hass, readings.entry.entry_id).get(number, number)
