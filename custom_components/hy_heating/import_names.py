"""The action that names meters, and puts them into areas, from a table that a person has."""

from collections.abc import Iterator
from typing import Any, cast

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import ServiceValidationError
from homeassistant.helpers import (
    area_registry as ar,
    config_validation as cv,
    device_registry as dr,
    service,
)
import voluptuous as vol

from .areas import name_pattern
from .const import DOMAIN
from .identity import meter_identifier
from .naming import NamePattern, NameRow, TableError, read_table

MAX_TABLE = 1_000_000
"""Characters: ten thousand meters with long names."""
SCHEMA = vol.Schema(
    {
        vol.Required("table"): vol.All(cv.string, vol.Length(min=1, max=MAX_TABLE)),
        vol.Required("dry_run", default=True): cv.boolean,
        vol.Required("create_areas", default=False): cv.boolean,
    }
)


@callback
def async_register_import(hass: HomeAssistant) -> None:
    """Register the action, for administrators."""
    service.async_register_admin_service(
        hass, DOMAIN, "import_names", _import_names, SCHEMA, SupportsResponse.OPTIONAL
    )


async def _import_names(call: ServiceCall) -> ServiceResponse:
    """Name meters; a row for each line of the table tells what became, or would become, of it."""
    try:
        table = read_table(call.data["table"])
    except TableError as err:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key=err.key,
            translation_placeholders={"detail": err.detail},
        ) from err
    names = _Import(call.hass, create_areas=call.data["create_areas"])
    rows = [names.plan(row) for row in table]
    if not call.data["dry_run"]:
        names.apply()
    if not call.return_response:
        return None
    return cast("ServiceResponse", {"dry_run": call.data["dry_run"], "results": rows})


class _Import:
    """What a table wants of the registries: first planned as a whole, then done."""

    def __init__(self, hass: HomeAssistant, *, create_areas: bool) -> None:
        self._areas = ar.async_get(hass)
        self._devices = dr.async_get(hass)
        self._create_areas = create_areas
        self._meters: dict[str, list[tuple[dr.DeviceEntry, NamePattern | None]]] = {}
        for entry in hass.config_entries.async_entries(DOMAIN, include_ignore=False):
            pattern = name_pattern(entry)
            for number, device in self._meters_of(entry):
                self._meters.setdefault(number, []).append((device, pattern))
        self._seen: set[str] = set()
        self._changes: list[tuple[str, str | None, str | None]] = []

    def _meters_of(self, entry: ConfigEntry) -> Iterator[tuple[str, dr.DeviceEntry]]:
        for device in dr.async_entries_for_config_entry(self._devices, entry.entry_id):
            number = device.serial_number or ""
            if meter_identifier(entry.unique_id or "", number) in device.identifiers:
                yield number, device

    def plan(self, row: NameRow) -> dict[str, Any]:
        """Return what is to become of a line."""
        answer: dict[str, Any] = {
            "line": row.line,
            "meter": row.number,
            "result": "invalid",
            "reason": row.problem,
            "old_name": None,
            "new_name": row.name or None,
            "old_area": None,
            "new_area": row.area or None,
        }
        if row.problem:
            return answer
        found = self._meters.get(row.number, [])
        if row.number in self._seen:
            return answer | {"result": "duplicate"}
        self._seen.add(row.number)
        if not found:
            return answer | {"result": "unknown_meter"}
        if len(found) > 1:
            return answer | {"reason": "behind_several_gateways"}
        ((device, pattern),) = found
        return answer | self._plan(device, row, pattern)

    def _plan(
        self, device: dr.DeviceEntry, row: NameRow, pattern: NamePattern | None
    ) -> dict[str, Any]:
        area = self._areas.async_get_area(device.area_id) if device.area_id else None
        old_name, old_area = device.name_by_user or device.name, area.name if area else None
        new_name = row.name or old_name or ""
        new_area = row.area or (pattern.area(new_name) if pattern else None) or old_area
        answer = {
            "old_name": old_name,
            "new_name": new_name,
            "old_area": old_area,
            "new_area": new_area,
        }
        wanted = self._areas.async_get_area_by_name(new_area) if new_area else None
        if new_area and wanted is None and not self._create_areas:
            return answer | {"reason": "unknown_area"}
        area_is_new = new_area is not None and (wanted is None or wanted.id != device.area_id)
        if new_name == old_name and not area_is_new:
            return answer | {"result": "unchanged"}
        self._changes.append(
            (
                device.id,
                new_name if new_name != old_name else None,
                new_area if area_is_new else None,
            )
        )
        return answer | {"result": "renamed"}

    @callback
    def apply(self) -> None:
        """Do what was planned."""
        for device_id, name, area in self._changes:
            if name is not None:
                self._devices.async_update_device(device_id, name_by_user=name)
            if area is not None:
                area_id = self._areas.async_get_or_create(area).id
                self._devices.async_update_device(device_id, area_id=area_id)
