"""Adds the demo's gateways as a person would: through the integration's config flow."""

import asyncio
from contextlib import suppress
from typing import Any

from demo_site import BUILDINGS, CAPTURED_METERS, Building
from hass_api import ApiError, HassApi, wait_for

_AREA_ICON = "mdi:office-building"
_READ_S = 3.0
TRAVEL_TIME_S = 60
"""The demo's valves travel for 40 s at most, so a minute tells whether one obeys."""
_WINDOWS = 3  # a window closes soon after the last new gateway was heard


async def find_missing(api: HassApi) -> list[Building]:
    """Return the buildings whose gateways are not registered."""
    titles = {entry["title"] for entry in await api.entries()}
    gateway_ids = {device["serial_number"] for device in await api.devices()}
    return [
        building
        for building in BUILDINGS
        if building.name not in titles and building.gateway_id not in gateway_ids
    ]


async def remove_rooms(api: HassApi) -> None:
    """Remove the areas that a new Home Assistant begins with, the rooms of a home."""
    for area in await api.command("config/area_registry/list"):
        await api.command("config/area_registry/delete", area_id=area["area_id"])


async def register_missing(api: HassApi, host: str, port: int, step: dict[str, Any]) -> None:
    """Add what is missing, from the open listening window of a flow on.

    Raises ApiError where the flow goes another way, or a gateway is not heard.
    """
    areas = await _areas(api)
    for _ in range(_WINDOWS):
        missing = await find_missing(api)
        await _choose(api, await api.wait_flow(step), missing, areas)
        if not (missing := await find_missing(api)):
            break
        step = await listen(api, host, port)
    else:
        raise ApiError("add the gateways", f"not heard: {missing[0].gateway_id}")
    await wait_for(api.entries, _all_loaded, 60)
    await _read_captured(api)
    for entry in await api.entries():
        await api.set_options(entry["entry_id"], travel_time_s=TRAVEL_TIME_S)
    await wait_for(api.entries, _all_loaded, 60)


async def point_out(api: HassApi, serial_number: str, name: str) -> str | None:
    """Name a device, unless a person did; return its id, None where it is not there (yet)."""
    for device in await api.devices():
        if device["serial_number"] != serial_number:
            continue
        if device["name_by_user"] is None:
            await api.command(
                "config/device_registry/update", device_id=device["id"], name_by_user=name
            )
        return str(device["id"])
    return None


async def _read_captured(api: HassApi) -> None:
    """Have the captured valve read: its first report came while only the flow listened."""
    button = f"{BUILDINGS[0].gateway_id}_read_valves"
    for entity in await api.entities():
        if entity["unique_id"] == button:
            with suppress(TimeoutError):  # it ends with the last of the reports, not with ours
                async with asyncio.timeout(_READ_S):
                    await api.act("button.press", entity["entity_id"])
    await wait_for(api.devices, lambda devices: _has_all(devices, CAPTURED_METERS), 60)


def _has_all(devices: list[dict[str, Any]], serial_numbers: set[str]) -> bool:
    return serial_numbers <= {device["serial_number"] for device in devices}


def _all_loaded(entries: list[dict[str, Any]]) -> bool:
    return all(entry["state"] == "loaded" for entry in entries)


async def _areas(api: HassApi) -> dict[str, str]:
    """Return the area ids of the buildings by name, made where there were none."""
    listed = await api.command("config/area_registry/list")
    areas = {area["name"]: area["area_id"] for area in listed}
    for building in BUILDINGS:
        if building.area not in areas:
            area = await api.command(
                "config/area_registry/create", name=building.area, icon=_AREA_ICON
            )
            areas[building.area] = area["area_id"]
    return areas


async def listen(api: HassApi, host: str, port: int) -> dict[str, Any]:
    """Bring a new flow to its listening window; return that step."""
    step = await api.start_flow()
    if step["step_id"] == "user":  # a broker is known already: the first choice
        known = step["data_schema"][0]["default"]
        step = await api.answer_flow(step, {"broker": known})
    else:
        broker = {
            "host": host,
            "port": port,
            "encryption": "none",
            "advanced": {"prefix": "hy/gw"},
        }
        step = await api.answer_flow(step, broker)
    _expect(step, "gateways")
    return await api.answer_flow(step, {"next_step_id": "listen"})


async def _choose(
    api: HassApi, step: dict[str, Any], missing: list[Building], areas: dict[str, str]
) -> None:
    """Choose all that was heard of the missing ones, and name their buildings."""
    if step["step_id"] == "nothing_heard":
        return
    _expect(step, "heard")
    options = step["data_schema"][0]["selector"]["select"]["options"]
    heard = {option["value"] for option in options}
    chosen = [building for building in missing if building.gateway_id in heard]
    if not chosen:
        return
    step = await api.answer_flow(step, {"gateways": [building.gateway_id for building in chosen]})
    for building in chosen:
        _expect(step, "building")
        step = await api.answer_flow(step, {"name": building.name, "area_id": areas[building.area]})
    if step["type"] != "create_entry":
        raise ApiError("add the gateways", step)


def _expect(step: dict[str, Any], step_id: str) -> None:
    if step.get("step_id") != step_id or step.get("errors"):
        raise ApiError(f"the config flow was to show {step_id}", step)
