"""Whether a new meter replaces a missing one: when it is asked, every answer, across restarts."""

from collections.abc import AsyncIterator
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.repairs import RepairsFlowResult, repairs_flow_manager
from homeassistant.components.repairs.issue_handler import RepairsFlowManager
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest

from custom_components.hy_heating.const import DOMAIN

from .common import GATEWAY_ID, FakeLink, captured_frame, make_entry, report
from .exchange import Building
from .repairs import issues

OLD, OTHER, NEW, NEWER = "23000001", "23000002", "23000011", "23000012"
DONE = FlowResultType.CREATE_ENTRY


@pytest.fixture
async def building(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Building]:
    """Return a building in January whose three valves have reported."""
    freezer.move_to("2025-01-15T12:00:10+00:00")
    building = Building(hass, link, make_entry(), freezer)
    await building.set_up()
    await building.report(OLD, OTHER, "23000003")
    yield building
    await hass.config_entries.async_unload(building.entry.entry_id)


def asked(hass: HomeAssistant) -> dict[str, str]:
    """Return the meters that are asked about, with the missing ones, by number."""
    return {
        str((issue.data or {})["number"]): (issue.translation_placeholders or {})["missing"]
        for issue in ir.async_get(hass).issues.values()
        if issue.active and issue.translation_key == "meter_appeared"
    }


async def manager_of(hass: HomeAssistant) -> RepairsFlowManager:
    assert await async_setup_component(hass, "repairs", {})
    manager = repairs_flow_manager(hass)
    assert manager is not None
    return manager


async def open_question(hass: HomeAssistant, number: str) -> RepairsFlowResult:
    """Open the question about a new meter."""
    manager = await manager_of(hass)
    context: Any = {"issue_id": f"meter_appeared_{GATEWAY_ID}_{number}"}
    return await manager.async_init(DOMAIN, context=context)


async def answer(hass: HomeAssistant, form: RepairsFlowResult, choice: str) -> RepairsFlowResult:
    """Answer an open question."""
    manager = await manager_of(hass)
    result = await manager.async_configure(form["flow_id"], {"replaces": choice})
    await hass.async_block_till_done()
    return result


def choices(form: RepairsFlowResult) -> list[str]:
    assert form["type"] is FlowResultType.FORM
    assert form["data_schema"]
    selector = form["data_schema"].schema["replaces"]
    return [option["value"] for option in selector.config["options"]]


async def test_one_of_several_missing_meters_is_chosen(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, "23000003")
    await building.report(NEW, NEWER)
    assert asked(hass) == {
        NEW: f"Valve {OLD}, Valve {OTHER}",
        NEWER: f"Valve {OLD}, Valve {OTHER}",
    }
    form = await open_question(hass, NEW)
    assert choices(form) == [OLD, OTHER, "none"]
    assert (await answer(hass, form, OTHER))["type"] is DONE
    assert sorted(building.gateway.meters) == [OLD, "23000003", NEW, NEWER]
    assert asked(hass) == {NEWER: f"Valve {OLD}"}, "the other one goes on being asked about"
    form = await open_question(hass, NEWER)
    assert choices(form) == [OLD, "none"]


async def test_a_meter_that_is_another_one_is_not_asked_about_again(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, "23000003", OTHER)
    await building.report(NEW)
    assert (await answer(hass, await open_question(hass, NEW), "none"))["type"] is DONE
    assert not asked(hass)
    assert sorted(building.gateway.meters) == [OLD, OTHER, "23000003", NEW]
    await building.pass_hours(1, "23000003", OTHER, NEW)
    await hass.config_entries.async_reload(building.entry.entry_id)
    await building.judge()
    assert not asked(hass)


async def test_a_meter_that_returned_while_the_question_was_open(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, "23000003")
    await building.report(NEW)
    form = await open_question(hass, NEW)
    await building.report(OLD)
    form = await answer(hass, form, OLD)
    assert choices(form) == [OTHER, "none"], "asked again, without it"
    await building.report(OTHER)
    result = await answer(hass, form, OTHER)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "no_longer_so")
    assert sorted(building.gateway.meters) == [OLD, OTHER, "23000003", NEW]


async def test_a_question_about_a_gateway_that_is_not_loaded(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, "23000003")
    await building.report(NEW)
    await hass.config_entries.async_unload(building.entry.entry_id)
    result = await open_question(hass, NEW)
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, "not_loaded")
    await hass.config_entries.async_setup(building.entry.entry_id)
    await hass.async_block_till_done()
    form = await open_question(hass, NEW)
    assert (await answer(hass, form, OLD))["type"] is DONE
    assert NEW in building.gateway.meters
    assert OLD not in building.gateway.meters


async def test_only_a_meter_of_the_same_kind_is_asked_about(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, OTHER, "23000003")
    await building.report("27000001")
    unknown = captured_frame("valve_report_C").upper()
    # 68 54 …: a device type that nobody described; CS grows by 1.
    raw = bytearray.fromhex(unknown)
    raw[1], raw[-2] = 0x54, raw[-2] + 1
    building.link.deliver(report("23227310200800", raw.hex().upper()))
    await building.judge()
    assert building.gateway.meters["23227310"].data.kind == "unknown"
    assert not asked(hass)
    await building.report(NEW)
    assert asked(hass) == {NEW: f"Valve {OLD}"}


async def test_a_new_meter_that_is_silent_itself_is_not_asked_about(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, OTHER, "23000003")
    await building.report(NEW)
    assert asked(hass) == {NEW: f"Valve {OLD}"}
    await building.pass_hours(4, OTHER, "23000003")
    assert not asked(hass)
    await building.report(NEW)
    assert asked(hass) == {NEW: f"Valve {OLD}"}


async def test_a_meter_whose_device_is_known_is_not_new(
    hass: HomeAssistant, building: Building
) -> None:
    dr.async_get(hass).async_get_or_create(
        config_entry_id=building.entry.entry_id,
        identifiers={(DOMAIN, f"{GATEWAY_ID}_{NEW}")},
        serial_number=NEW,
    )
    await building.pass_hours(4, OTHER, "23000003")
    await building.report(NEW)
    assert not asked(hass)


async def test_the_question_is_given_up_after_a_month(
    hass: HomeAssistant, building: Building, freezer: FrozenDateTimeFactory
) -> None:
    await building.pass_hours(4, OTHER, "23000003")
    await building.report(NEW)
    assert asked(hass)
    await hass.config_entries.async_unload(building.entry.entry_id)
    freezer.tick(31 * 86_400)
    ir.async_get(hass).issues.clear()
    await hass.config_entries.async_setup(building.entry.entry_id)
    await building.answer()
    await building.report(OTHER, "23000003", NEW)
    await building.pass_hours(4, OTHER, "23000003", NEW)
    assert not asked(hass)


async def test_the_pipes_of_the_old_valve_are_those_of_the_new_one(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to("2025-01-15T12:00:10+00:00")
    entry = make_entry(swapped_meters=[OLD])
    building = Building(hass, link, entry, freezer)
    await building.set_up()
    await building.report(OLD)
    await building.pass_hours(4)
    await building.report(NEW)
    await answer(hass, await open_question(hass, NEW), OLD)
    assert entry.options["swapped_meters"] == [NEW]
    assert hass.states.is_state(f"sensor.valve_{OLD}_supply_temperature", "29.3")
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param({}, id="of an older version"),
        pytest.param([], id="no mapping"),
        pytest.param({"new": 5, "missing": 5, "done": 5}, id="numbers"),
        pytest.param({"new": {NEW: "soon"}, "missing": ["1"], "done": [5]}, id="garbage"),
        pytest.param({"done": [["1", "2", "2025-01-15T12:00:00", {}]]}, id="no time zone"),
        pytest.param({"done": [["1", "2", "2025-01-15T12:00:00+00:00", [1]]]}, id="no counters"),
    ],
)
async def test_what_was_kept_is_damaged(
    hass: HomeAssistant, building: Building, hass_storage: dict[str, Any], kept: object
) -> None:
    key = f"{DOMAIN}.{building.entry.entry_id}"
    await hass.config_entries.async_unload(building.entry.entry_id)
    hass_storage[key]["data"]["replacements"] = kept
    await hass.config_entries.async_setup(building.entry.entry_id)
    await building.answer()
    await building.pass_hours(4, OTHER, "23000003")
    await building.report(NEW)
    assert asked(hass) == {NEW: f"Valve {OLD}"}
    assert issues(hass).keys() == {"meter_appeared"}


async def test_what_the_registries_lost_in_a_crash_is_moved_again(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, OTHER, "23000003")
    await building.report(NEW)
    registry = dr.async_get(hass)
    before = registry.async_get_device_by_identifier(
        (DOMAIN, f"{GATEWAY_ID}_{OLD}"), building.entry.entry_id
    )
    assert before is not None
    await answer(hass, await open_question(hass, NEW), OLD)
    # As if the registries had not reached the disk: the device has its old number again.
    await hass.config_entries.async_unload(building.entry.entry_id)
    registry.async_update_device(
        before.id, new_identifiers={(DOMAIN, f"{GATEWAY_ID}_{OLD}")}, serial_number=OLD
    )
    await hass.config_entries.async_setup(building.entry.entry_id)
    await hass.async_block_till_done()
    device = registry.async_get(before.id)
    assert isinstance(device, dr.DeviceEntry)
    assert device.serial_number == NEW
    numbers = {
        device.serial_number
        for device in dr.async_entries_for_config_entry(registry, building.entry.entry_id)
    }
    assert numbers == {GATEWAY_ID, OTHER, "23000003", NEW}
