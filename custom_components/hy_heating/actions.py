"""Actions: openings of many valves with proof, readings on demand, raw frames.

Registered once, whatever is loaded. Unlike Home Assistant's own `valve.*` actions they answer for
every target, also for those that are unavailable.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from homeassistant.components.valve import DOMAIN as VALVE_DOMAIN
from homeassistant.const import ATTR_DEVICE_ID, ATTR_ENTITY_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv, entity_registry as er, service, target
import voluptuous as vol

from .commands import Command
from .const import DOMAIN, MAX_CLOSING_SHARE
from .coordinator import GatewayCoordinator
from .errors import to_home_assistant
from .hyheat import explain, frame
from .hyheat.devices import describe_content, plain
from .hyheat.errors import FrameError, ReplyError
from .hyheat.exchange import SendFrame
from .hyheat.model import UnknownReading
from .identity import meter_identifier, meter_unique_id
from .meter import VALVE_KIND, MeterCoordinator
from .runtime import HyConfigEntry

_OPENING = vol.All(vol.Coerce(int), vol.Range(min=0, max=100))
_BROADCAST = (b"\xaa" * 7, b"\x99" * 7, b"\xff" * 7)

SET_OPENINGS_SCHEMA = vol.Schema(
    {
        **cv.TARGET_FIELDS,
        vol.Optional("opening"): _OPENING,
        vol.Optional("openings"): {cv.entity_id: _OPENING},
        vol.Required("wait", default=True): cv.boolean,
        vol.Required("confirm", default=False): cv.boolean,
    }
)
DEVICE_SCHEMA = vol.Schema({vol.Required(ATTR_DEVICE_ID): cv.string})
READ_NOW_SCHEMA = DEVICE_SCHEMA.extend(
    {
        vol.Required("cabinets", default=True): cv.boolean,
        vol.Required("household_valves", default=False): cv.boolean,
    }
)
SEND_FRAME_SCHEMA = DEVICE_SCHEMA.extend(
    {
        vol.Required("frame"): cv.string,
        vol.Required("port", default=0): vol.All(vol.Coerce(int), vol.Range(min=0, max=99)),
        vol.Required("force", default=False): cv.boolean,
    }
)
DECODE_FRAME_SCHEMA = vol.Schema({vol.Required("frame"): cv.string})


@dataclass(frozen=True, slots=True)
class _Wish:
    """One row of a bulk action: an entity, its meter where it has one, and the opening."""

    entity_id: str
    meter: MeterCoordinator | None
    opening: int


@callback
def async_register_actions(hass: HomeAssistant) -> None:
    """Register all actions of the integration."""
    register = hass.services.async_register
    optional, only = SupportsResponse.OPTIONAL, SupportsResponse.ONLY
    register(DOMAIN, "set_openings", _set_openings, SET_OPENINGS_SCHEMA, optional)
    register(DOMAIN, "read_now", _read_now, READ_NOW_SCHEMA, optional)
    register(DOMAIN, "read_meter", _read_meter, DEVICE_SCHEMA, optional)
    register(DOMAIN, "decode_frame", _decode_frame, DECODE_FRAME_SCHEMA, only)
    service.async_register_admin_service(
        hass, DOMAIN, "send_frame", _send_frame, SEND_FRAME_SCHEMA, optional
    )


# --- Openings ------------------------------------------------------------------------------------


async def _set_openings(call: ServiceCall) -> ServiceResponse:
    """Move many valves; a row for each tells what became of it."""
    wishes = _wishes(call)
    if not call.data["confirm"]:
        _check_closing(wishes)
    begun = [(wish, _begin(wish)) for wish in wishes]
    if call.data["wait"]:
        try:
            await asyncio.gather(
                *(asyncio.shield(item.ended) for _, item in begun if isinstance(item, Command))
            )
        except asyncio.CancelledError:
            _cancel(begun)
            raise
    rows = [_row(wish, item) for wish, item in begun]
    if call.return_response:
        return {"results": [*rows]}
    if failed := [row for row in rows if row["result"] == "failed"]:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="openings_failed",
            translation_placeholders={
                "failed": str(len(failed)),
                "total": str(len(rows)),
                "first": str(failed[0][ATTR_ENTITY_ID]),
                "reason": str(failed[0]["reason"]),
            },
        )
    return None


def _wishes(call: ServiceCall) -> list[_Wish]:
    """Return a wish for every valve that was named, in whatever way."""
    named: dict[str, int] = dict(call.data.get("openings", {}))
    selection = target.TargetSelection(call.data)
    if selection.has_any_target:
        if "opening" not in call.data:
            raise _invalid("opening_missing")
        selected = target.async_extract_referenced_entity_ids(call.hass, selection)
        registry = er.async_get(call.hass)
        indirect = {
            entity_id
            for entity_id in selected.indirectly_referenced
            if (entity := registry.async_get(entity_id))
            and (entity.platform, entity.domain) == (DOMAIN, VALVE_DOMAIN)
        }
        for entity_id in sorted(selected.referenced | indirect):
            named.setdefault(entity_id, call.data["opening"])
    if not named:
        raise _invalid("no_valve_targeted")
    meters = _meters_by_valve(call.hass)
    return [
        _Wish(entity_id, meters.get(entity_id), opening) for entity_id, opening in named.items()
    ]


def _meters_by_valve(hass: HomeAssistant) -> dict[str, MeterCoordinator]:
    """Return the meters of all loaded gateways by the entity id of their valve."""
    registry = er.async_get(hass)
    found = {}
    for gateway in _gateways(hass):
        for meter in gateway.meters.values():
            unique_id = meter_unique_id(gateway.gateway_id, meter.number, "valve")
            if entity_id := registry.async_get_entity_id(VALVE_DOMAIN, DOMAIN, unique_id):
                found[entity_id] = meter
    return found


def _gateways(hass: HomeAssistant) -> Iterable[GatewayCoordinator]:
    entries: list[HyConfigEntry] = hass.config_entries.async_loaded_entries(DOMAIN)
    return [entry.runtime_data.gateway for entry in entries]


def _check_closing(wishes: Iterable[_Wish]) -> None:
    """Refuse to close many household valves of one gateway at once without being sure."""
    closing: dict[GatewayCoordinator, int] = {}
    for wish in wishes:
        meter = wish.meter
        if meter and meter.data.kind == VALVE_KIND and wish.opening == 0 and meter.opening_pct != 0:
            closing[meter.gateway] = closing.get(meter.gateway, 0) + 1
    for gateway, count in closing.items():
        valves = sum(meter.data.kind == VALVE_KIND for meter in gateway.meters.values())
        if count > 1 and count > valves * MAX_CLOSING_SHARE:
            raise _invalid(
                "too_many_closing",
                gateway=gateway.gateway_id,
                closing=str(count),
                valves=str(valves),
                share=f"{MAX_CLOSING_SHARE:.0%}",
            )


def _begin(wish: _Wish) -> Command | str:
    """Give the command, or return the reason why it cannot be given."""
    if wish.meter is None:
        return "not_loaded"
    try:
        return wish.meter.commands.start(wish.opening)
    except HomeAssistantError as err:
        return (err.translation_key or "failed").removeprefix("failed_")


def _cancel(begun: Iterable[tuple[_Wish, Command | str]]) -> None:
    """Give up what still waits for the bus; what was sent goes on to its end."""
    for wish, item in begun:
        if isinstance(item, Command) and wish.meter:
            wish.meter.gateway.client.cancel(item.pending)


def _row(wish: _Wish, item: Command | str) -> dict[str, Any]:
    row: dict[str, Any] = {ATTR_ENTITY_ID: wish.entity_id, "result": "sent", "reason": None}
    row |= {"before": None, "wished": wish.opening, "found": None, "tries": 0, "duration": 0.0}
    if isinstance(item, str):
        before = wish.meter.opening_pct if wish.meter else None
        return row | {"result": "failed", "reason": item, "before": before}
    if not item.ended.done():
        return row | {"before": item.before}
    report = item.ended.result()
    return row | {"result": report.verdict} | report.as_dict()


# --- Readings ------------------------------------------------------------------------------------


async def _read_now(call: ServiceCall) -> ServiceResponse:
    """Have the cabinets or household valves of a gateway read; the reports follow."""
    gateway, _ = _device(call)
    cabinets, valves = call.data["cabinets"], call.data["household_valves"]
    if not (cabinets or valves):
        raise _invalid("nothing_to_read")
    await gateway.async_read_now(cabinets=cabinets, valves=valves)
    return {"accepted": True} if call.return_response else None


async def _read_meter(call: ServiceCall) -> ServiceResponse:
    """Read one meter directly and answer with its values."""
    _, meter = _device(call)
    if meter is None:
        raise _invalid("no_meter_targeted")
    reading = await meter.async_read()
    if not call.return_response:
        return None
    values = {key: plain(value) for key, value in reading.values.items()}
    answer = {"meter_number": reading.meter_number, "device": reading.device, "values": values}
    return cast("ServiceResponse", answer)


def _device(call: ServiceCall) -> tuple[GatewayCoordinator, MeterCoordinator | None]:
    """Return the gateway of a device, and its meter where the device is one."""
    device, entry = service.async_get_device_and_config_entry(
        call.hass, DOMAIN, call.data[ATTR_DEVICE_ID]
    )
    gateway: GatewayCoordinator = entry.runtime_data.gateway
    for meter in gateway.meters.values():
        if meter_identifier(gateway.gateway_id, meter.number) in device.identifiers:
            return gateway, meter
    return gateway, None


# --- Frames --------------------------------------------------------------------------------------


async def _send_frame(call: ServiceCall) -> ServiceResponse:
    """Put a raw frame on a gateway's bus and answer with the decoded reply."""
    gateway, _ = _device(call)
    if gateway.read_only:
        raise _invalid("failed_read_only", target=gateway.gateway_id)
    request = _raw_request(call.data["frame"], call.data["port"], force=call.data["force"])
    try:
        reply = await gateway.client.send_frame(request)
    except ReplyError as err:
        raise to_home_assistant(err, gateway.gateway_id) from err
    if not call.return_response:
        return None
    if isinstance(reply, UnknownReading):
        return {"device": None, "frame": reply.frame.hex().upper()}
    return cast("ServiceResponse", describe_content(reply))


def _raw_request(text: str, port: int, *, force: bool) -> SendFrame:
    """Return what to send; refuses what is no good frame, or goes to all, unless forced."""
    try:
        raw = frame.from_hex(text)
        parsed = frame.parse(raw)
    except FrameError as err:
        if not force or err.kind == "hex":
            raise _invalid("frame_refused", detail=str(err)) from err
        return SendFrame(raw, port)
    if not force:
        if raw.lstrip(bytes((frame.PREAMBLE,))) != parsed.raw:
            raise _invalid("frame_refused", detail="there is more than one frame and its preamble")
        if parsed.address in _BROADCAST:
            raise _invalid("frame_broadcast")
    return SendFrame(raw, port, parsed.address, parsed.control)


async def _decode_frame(call: ServiceCall) -> ServiceResponse:
    """Explain frames or a message byte by byte, without sending anything."""
    explained = explain.explain(call.data["frame"])
    results = [part for item in explained for part in item.as_json()]
    return cast("ServiceResponse", {"results": results})


def _invalid(key: str, **placeholders: str) -> ServiceValidationError:
    return ServiceValidationError(
        translation_domain=DOMAIN, translation_key=key, translation_placeholders=placeholders
    )
