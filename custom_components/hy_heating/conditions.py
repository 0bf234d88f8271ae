"""What is wrong at a site, told for as long as it is: one row of a table for each condition.

Looked at once a minute. What a row finds is raised as a repair issue, what it finds no longer is
cleared, also if a restart or a reload lies in between.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from homeassistant.core import callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.loader import async_get_loaded_integration
from homeassistant.util import dt as dt_util

from .const import (
    CLOCK_DRIFT_LIMIT,
    DOMAIN,
    GATEWAY_SILENT_IN_SEASON,
    GATEWAY_SILENT_OUT_OF_SEASON,
    GONE_AFTER,
    ISSUE_METER_GONE,
    ISSUE_SUBSCRIPTION_REFUSED,
    MBUS_MAX_MA,
    MBUS_MAX_MV,
    MBUS_MIN_MV,
    MBUS_ODD_REPLIES,
)
from .hyheat.envelope import StatusReply, report_topic
from .hyheat.model import UnknownReading
from .hyheat.season import expected_interval_s
from .identity import meter_names
from .issues import issue_id, listed
from .meter import CABINET_KIND, LINK_SILENCES, UNKNOWN_KIND, VALVE_KIND, Silence

if TYPE_CHECKING:
    from .coordinator import GatewayCoordinator

type Found = Mapping[str, Mapping[str, str]] | None
"""What fills the gaps in the text, by meter number ("" for the gateway itself).

None where nothing can be said at the moment: then what was said stays.
"""


@dataclass(frozen=True, slots=True)
class Condition:
    """A row: the issue's kind and text, and how to find it."""

    key: str
    find: Callable[[GatewayCoordinator], Found]
    is_fixable: bool = False


def is_mbus_odd(status: StatusReply) -> bool:
    """Whether no working M-Bus has such a voltage or current; what was not told is not odd."""
    voltage_mv, current_ma = status.mbus_mv, status.mbus_ma
    return (voltage_mv is not None and not MBUS_MIN_MV <= voltage_mv <= MBUS_MAX_MV) or (
        current_ma is not None and current_ma > MBUS_MAX_MA
    )


class SiteConditions:
    """Raises and clears what the rows find at one gateway."""

    def __init__(self, gateway: GatewayCoordinator) -> None:
        """Begin with nothing told."""
        self._gateway = gateway
        self._told: dict[str, Mapping[str, str]] = {}
        self._prefixes = {row.key: issue_id(row.key, gateway.config_entry) for row in CONDITIONS}

    @callback
    def async_review(self) -> None:
        """Tell what is so now, and clear what is so no longer."""
        gateway = self._gateway
        for row in CONDITIONS:
            if (found := row.find(gateway)) is not None:
                self._tell(row, found)

    def _tell(self, row: Condition, found: Mapping[str, Mapping[str, str]]) -> None:
        hass, entry = self._gateway.hass, self._gateway.config_entry
        registry, prefix = ir.async_get(hass), self._prefixes[row.key]
        by_id = {issue_id(row.key, entry, *filter(None, [number])): number for number in found}
        for domain, this in list(registry.issues):
            is_of_row = this == prefix or this.startswith(f"{prefix}_")
            if domain == DOMAIN and is_of_row and this not in by_id:
                ir.async_delete_issue(hass, DOMAIN, this)
                self._told.pop(this, None)
        for this, number in by_id.items():
            placeholders = {"gateway": entry.title, **found[number]}
            issue = registry.async_get_issue(DOMAIN, this)
            if self._told.get(this) == placeholders and issue is not None and issue.active:
                continue
            self._told[this] = placeholders
            ir.async_create_issue(
                hass,
                DOMAIN,
                this,
                is_fixable=row.is_fixable,
                severity=ir.IssueSeverity.WARNING,
                translation_key=row.key,
                translation_placeholders=placeholders,
                data={"entry_id": entry.entry_id, "kind": row.key, "number": number},
            )


# --- What the rows find --------------------------------------------------------------------------


def _day(at: datetime) -> str:
    return f"{dt_util.as_local(at):%Y-%m-%d %H:%M}"


def _gateway_silent(gateway: GatewayCoordinator) -> Found:
    if gateway.silence in LINK_SILENCES:
        return None
    if gateway.silence is not Silence.GATEWAY:
        return {}
    since = gateway.data.last_seen or gateway.config_entry.created_at
    heating = gateway.heating is not False
    allowed = GATEWAY_SILENT_IN_SEASON if heating else GATEWAY_SILENT_OUT_OF_SEASON
    return {"": {"since": _day(since)}} if dt_util.utcnow() - since >= allowed else {}


def _subscription_refused(gateway: GatewayCoordinator) -> Found:
    settings = gateway.link.settings
    topic = report_topic(gateway.gateway_id, settings.prefix)
    if not gateway.link.connected:
        return None
    if topic not in gateway.link.refused_topics:
        return {}
    return {"": {"topic": topic, "broker": settings.address}}


def _mbus_out_of_range(gateway: GatewayCoordinator) -> Found:
    status = gateway.data.status
    if gateway.silence is not None or status is None:
        return None
    if gateway.odd_mbus_replies < MBUS_ODD_REPLIES:
        return {}
    volts = "–" if status.mbus_mv is None else f"{status.mbus_mv / 1000:.1f} V"
    milliamperes = "–" if status.mbus_ma is None else f"{status.mbus_ma} mA"
    return {
        "": {
            "voltage": volts,
            "current": milliamperes,
            "lowest": f"{MBUS_MIN_MV / 1000:.0f} V",
            "highest": f"{MBUS_MAX_MV / 1000:.0f} V",
            "most": f"{MBUS_MAX_MA} mA",
        }
    }


def _fewer(kind: str, counted: Callable[[StatusReply], int | None]) -> Condition:
    def find(gateway: GatewayCoordinator) -> Found:
        status = gateway.data.status
        expected = counted(status) if status else None
        if gateway.silence is not None or expected is None:
            return None
        interval_s = expected_interval_s(
            gateway.heating,
            gateway.interval(kind).total_seconds(),
            gateway.out_of_season_interval.total_seconds(),
            (),
        )
        known = {number for number, meter in gateway.meters.items() if meter.data.kind == kind}
        silent = sorted(known & gateway.replacements.missing)
        reporting = len(known) - len(silent)
        if reporting >= expected:
            return {}
        if gateway.now_s() - gateway.judged_from_s <= interval_s:
            return None  # not all of them had to report yet
        names = meter_names(gateway.hass, gateway.config_entry.entry_id)
        return {
            "": {
                "reporting": str(reporting),
                "expected": str(expected),
                "silent": listed(names.get(number, number) for number in silent) or "–",
                "unheard": str(max(0, expected - len(known))),
            }
        }

    return Condition(f"fewer_{kind}s", find)


def _meter_gone(gateway: GatewayCoordinator) -> Found:
    if gateway.silence is not None:
        return None
    limit = dt_util.utcnow() - GONE_AFTER
    gone = {
        number: gateway.meters[number].data.received
        for number in gateway.replacements.missing
        if gateway.meters[number].data.received <= limit
    }
    names = meter_names(gateway.hass, gateway.config_entry.entry_id) if gone else {}
    return {
        number: {"meter": names.get(number, number), "since": _day(received)}
        for number, received in gone.items()
    }


def _unknown_device(gateway: GatewayCoordinator) -> Found:
    found: dict[str, Mapping[str, str]] = {}
    for number, meter in gateway.meters.items():
        reading = meter.data.reading
        if meter.data.kind != UNKNOWN_KIND or not isinstance(reading, UnknownReading):
            continue
        version = async_get_loaded_integration(gateway.hass, DOMAIN).version
        firmware = gateway.data.status.firmware if gateway.data.status else None
        lines = (
            f"hy_heating: {version}",
            f"gateway firmware: {firmware or '?'}",
            f"device type: {reading.device_type:02X}",
            f"protocol code: {meter.data.protocol_code or '?'}",
            f"frame: {reading.frame.hex().upper()}",
        )
        found[number] = {"meter": number, "report": "\n".join(lines)}
    return found


def _clock_drift(gateway: GatewayCoordinator) -> Found:
    limit_s = CLOCK_DRIFT_LIMIT.total_seconds()
    drifts_s = {
        number: drift_s
        for number, meter in gateway.meters.items()
        if meter.available
        and (drift_s := meter.data.clock_drift_s) is not None
        and abs(drift_s) > limit_s
    }
    if not drifts_s:
        return {}
    names = meter_names(gateway.hass, gateway.config_entry.entry_id)
    worst = sorted(drifts_s, key=lambda number: (-abs(drifts_s[number]) // 3600, number))
    return {
        "": {
            "count": str(len(drifts_s)),
            "limit": f"{limit_s / 3600:.0f}",
            "meters": listed(
                f"{names.get(number, number)} ({drifts_s[number] / 3600:+.0f} h)"
                for number in worst
            ),
        }
    }


def _two_masters(gateway: GatewayCoordinator) -> Found:
    now_s = gateway.now_s()
    fought = [
        number for number, meter in gateway.meters.items() if meter.commands.contest.found(now_s)
    ]
    names = meter_names(gateway.hass, gateway.config_entry.entry_id) if fought else {}
    return {number: {"meter": names.get(number, number)} for number in fought}


CONDITIONS = (
    Condition("gateway_silent", _gateway_silent),
    Condition(ISSUE_SUBSCRIPTION_REFUSED, _subscription_refused),
    Condition("mbus_out_of_range", _mbus_out_of_range),
    _fewer(CABINET_KIND, lambda status: status.cabinets),
    _fewer(VALVE_KIND, lambda status: status.valves),
    Condition(ISSUE_METER_GONE, _meter_gone, is_fixable=True),
    Condition("unknown_device", _unknown_device),
    Condition("clock_drift", _clock_drift),
    Condition("two_masters", _two_masters),
)
