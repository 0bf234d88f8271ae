"""Downloads for a report: settings, state, counts, and the last frames of each meter explained."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import __version__ as home_assistant_version
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr
from homeassistant.loader import async_get_integration
from homeassistant.util import dt as dt_util

from .const import CONF_SWAPPED_METERS, DOMAIN
from .coordinator import GatewayCoordinator
from .hyheat import explain
from .hyheat.devices import interpret, plain
from .hyheat.envelope import SettingsReply, StatusReply, encode
from .hyheat.errors import FrameError
from .hyheat.frame import REPLY_BIT, parse
from .hyheat.model import MeterReading
from .identity import meter_identifier
from .meter import MeterCoordinator
from .privacy import Disguise
from .runtime import HyConfigEntry

_CONTROL_OFFSET = 9


async def async_get_config_entry_diagnostics(
    hass: HomeAssistant, entry: HyConfigEntry
) -> dict[str, Any]:
    """Return everything about a gateway, with the bare frames of its meters."""
    return await _download(hass, entry, None)


async def async_get_device_diagnostics(
    hass: HomeAssistant, entry: HyConfigEntry, device: dr.AnyDeviceEntry
) -> dict[str, Any]:
    """Return everything about a meter, with every byte of its last frames; or about a gateway."""
    if entry.state is ConfigEntryState.LOADED:
        gateway = entry.runtime_data.gateway
        for meter in gateway.meters.values():
            if meter_identifier(gateway.gateway_id, meter.number) in device.identifiers:
                return await _download(hass, entry, meter)
    return await _download(hass, entry, None)


async def _download(
    hass: HomeAssistant, entry: HyConfigEntry, meter: MeterCoordinator | None
) -> dict[str, Any]:
    """Return what there is; without a meter, all of them in short."""
    disguise = Disguise(entry, _ids(hass, entry))
    integration = await async_get_integration(hass, DOMAIN)
    download: dict[str, Any] = {
        "ids_are_hashed": disguise.hides_ids,
        "versions": {
            "integration": str(integration.version),
            "home_assistant": home_assistant_version,
        },
        "entry": disguise.mapping(entry.as_dict()),
        "state": entry.state.value,
        "reason": entry.reason and disguise.text(entry.reason),
    }
    if entry.state is not ConfigEntryState.LOADED:
        return download
    gateway = entry.runtime_data.gateway
    if gateway.data.status:
        download["versions"]["firmware"] = gateway.data.status.firmware
    download["link"] = disguise.mapping(entry.runtime_data.link.facts)
    download["gateway"] = disguise.mapping(_gateway(gateway))
    download["session"] = _session(gateway)
    download["counters"] = _counters(gateway)
    download["timing"] = asdict(gateway.client.session.timing)
    download["refusals"] = _refusals(gateway, disguise)
    if meter:
        download["meter"] = _meter(meter, disguise)
        download["meter"]["frames"] = [
            frame | _explained(frame["hex"]) for frame in download["meter"]["frames"]
        ]
    else:
        meters = (_meter(each, disguise) for each in gateway.meters.values())
        download["meters"] = sorted(meters, key=lambda told: str(told["number"]))
    return download


def _ids(hass: HomeAssistant, entry: HyConfigEntry) -> set[str]:
    """Return the ids of all gateways and of this one's meters, those behind them too."""
    ids: set[str] = set(entry.options.get(CONF_SWAPPED_METERS, ()))
    entries: list[HyConfigEntry] = hass.config_entries.async_entries(DOMAIN)
    ids |= {each.unique_id for each in entries if each.unique_id}
    if entry.state is ConfigEntryState.LOADED:
        for number, meter in entry.runtime_data.gateway.meters.items():
            ids |= _numbers(number, meter.data.reading)
    return ids


def _numbers(number: str, reading: object) -> set[str]:
    """Return the number of a meter, and of what its reading says that belongs to it."""
    paired = reading.values.get("room_unit_number") if isinstance(reading, MeterReading) else None
    return {number, paired} if isinstance(paired, str) else {number}


# --- The gateway ---------------------------------------------------------------------------------


def _gateway(gateway: GatewayCoordinator) -> dict[str, Any]:
    data = gateway.data
    return {
        "gateway_id": gateway.gateway_id,
        "available": gateway.available,
        "problem": gateway.silence,
        "last_seen": data.last_seen and data.last_seen.isoformat(),
        "status": _message(data.status),
        "settings": _message(data.settings),
        "heating_season": gateway.heating,
        "read_only": gateway.read_only,
        "meters_known": len(gateway.meters),
        "meters_reporting": gateway.meters_reporting,
        "meters_expected": gateway.meters_expected,
        "valves_unproven": gateway.valves_unproven,
    }


def _message(message: StatusReply | SettingsReply | None) -> object:
    """Return what a message says in what JSON has."""
    if message is None:
        return None
    (explained,) = explain.explain(encode(message).decode())
    return explained.as_json()[0]["fields"]


def _session(gateway: GatewayCoordinator) -> dict[str, Any]:
    session = gateway.client.session
    return {
        "link_up": session.link_up,
        "gateway_silent": session.gateway_silent,
        "in_flight": type(session.in_flight).__name__ if session.in_flight else None,
        "queued": session.queued,
        "commands_under_way": gateway.counters.under_way,
        "answers_direct_reads": session.direct_reads,
    }


def _counters(gateway: GatewayCoordinator) -> dict[str, Any]:
    client, counters, now = gateway.client, gateway.counters, gateway.now_s()
    return {
        "messages": client.messages.total,
        "messages_per_minute": round(client.messages.per_minute(now), 2),
        "refused": client.refused.total,
        "refused_per_minute": round(client.refused.per_minute(now), 2),
        "late_reports": gateway.readings.late,
        "commands_sent": counters.sent,
        "commands_verified": counters.verified,
        "commands_failed": {str(reason): count for reason, count in counters.failed.items()},
        "mean_time_to_proof_s": counters.mean_time_to_proof_s,
    }


def _refusals(gateway: GatewayCoordinator, disguise: Disguise) -> dict[str, Any]:
    refusals = gateway.client.refusals
    return {
        "counts": [
            {"meter": number and disguise.digits(number), "reason": reason, "count": count}
            for (number, reason), count in refusals.counts.items()
        ],
        "last": [
            {
                "meter": refused.meter_number and disguise.digits(refused.meter_number),
                "reason": refused.reason,
                "detail": disguise.text(refused.detail),
                "raw": disguise.payload(refused.raw),
            }
            for refused in refusals.last
        ],
    }


# --- A meter -------------------------------------------------------------------------------------


def _meter(meter: MeterCoordinator, disguise: Disguise) -> dict[str, Any]:
    data, reading = meter.data, meter.data.reading
    told = {
        "number": meter.number,
        "kind": data.kind,
        "port": data.port,
        "protocol_code": data.protocol_code,
        "received": data.received.isoformat(),
        "delivered_late": data.delivered_late,
        "available": meter.available,
        "problem": meter.silence,
        "silent_for_s": round(meter.silent_for_s, 1),
        "silent_is_lost_after_s": round(meter.lost_after_s, 1),
        "values": (
            {key: plain(value) for key, value in reading.values.items()}
            if isinstance(reading, MeterReading)
            else None
        ),
        "judged": _judged(meter),
        "last_command_unproven": meter.commands.unproven,
        "confirmed_opening_pct": meter.commands.pending_opening_pct,
    }
    return disguise.mapping(told) | {"frames": [*_frames(meter, disguise)]}


def _judged(meter: MeterCoordinator) -> Mapping[str, Any] | None:
    """Return what the plausibility rules hold of a meter's counters and sensors."""
    if (memory := meter.gateway.readings.memories.get(meter.number)) is None:
        return None
    return {
        "counters": {
            key: {
                "accepted": counter.accepted.value,
                "doubted": counter.suspect and counter.suspect.value,
                "reset": counter.confirmed,
            }
            for key, counter in memory.counters.items()
        },
        "flow_is_off_by": memory.flow_scale.factor,
        "temperatures_reversed": memory.reversal.found,
    }


def _frames(meter: MeterCoordinator, disguise: Disguise) -> Iterable[dict[str, Any]]:
    now, now_s = dt_util.utcnow(), meter.gateway.now_s()
    for at_s, raw in meter.gateway.client.frames.of(meter.number):
        try:
            content: object = interpret(parse(raw))
        except FrameError:
            content = None
        shown = disguise.frame(raw, _numbers(meter.number, content))
        yield {
            "time": (now - timedelta(seconds=now_s - at_s)).isoformat(),
            "direction": "from meter" if raw[_CONTROL_OFFSET] & REPLY_BIT else "to meter",
            "hex": shown.hex().upper(),
        }


def _explained(frame: str) -> dict[str, Any]:
    (part,) = explain.explain(frame)
    notes = () if isinstance(part, explain.ExplainedMessage) else part.notes
    return part.as_json()[0] | {"bytes": [note.as_json() for note in notes]}
