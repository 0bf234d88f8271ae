"""A gateway or a meter exchanged on site: the flow that says so, and what everything keeps."""

import json
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.const import DOMAIN
from tests.cabinets import cabinet_frame
from tests.common import (
    CABINET,
    GATEWAY_ID,
    VALVE,
    FakeLink,
    captured,
    captured_frame,
    report as report_of,
)
from tests.links.brokers import AmqttBroker, ForbiddenTopics, until

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
    choose,
    finish,
    gateways,
    go_on,
    heard,
    options_of,
    placeholders,
    report,
    status,
    subscribed,
)

REPLACED = (FlowResultType.ABORT, "gateway_replaced")


def ending(result: ConfigFlowResult) -> tuple[FlowResultType, str]:
    return result["type"], result["reason"]


async def begin_to_replace(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigFlowResult:
    """Go through the flow to the menu of ways to find the new gateway."""
    menu = await entry.start_reconfigure_flow(hass)
    assert menu["menu_options"] == ["reconfigure_broker", "replace_gateway", "replace_meter"]
    menu = await choose(hass, menu, "replace_gateway")
    assert placeholders(menu) == {"building": entry.title, "old": entry.unique_id}
    return menu


async def type_id(hass: HomeAssistant, menu: ConfigFlowResult, gateway_id: str) -> ConfigFlowResult:
    """Type the id of the new gateway."""
    form = await choose(hass, menu, "gateway_id")
    return await go_on(hass, form, {"gateway_id": gateway_id})


def identities(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, Any]:
    """Return what the registries have of an entry: by device id and by entity id."""
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    return {device.id: (device.identifiers, device.serial_number) for device in devices} | {
        entity.entity_id: entity.unique_id for entity in entities
    }


async def test_everything_moves_to_the_new_gateway(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7", options={"read_only": True})
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    await broker.publish(f"hy/gw/set/{GATEWAY_A}", status(GATEWAY_A))
    frame = cabinet_frame().raw.hex().upper()
    await broker.publish(f"hy/gw/set/{GATEWAY_A}", report_of(f"{CABINET}203400", frame, GATEWAY_A))
    energy = f"sensor.cabinet_{CABINET}_heat_energy"
    await until(lambda: hass.states.get(energy))
    devices = dr.async_get(hass)
    cabinet = next(
        device
        for device in dr.async_entries_for_config_entry(devices, entry.entry_id)
        if device.serial_number == CABINET
    )
    area = ar.async_get(hass).async_create("Boiler room")
    devices.async_update_device(cabinet.id, name_by_user="East wing", area_id=area.id)
    ir.async_create_issue(
        hass,
        DOMAIN,
        f"valve_disobeys_{GATEWAY_A}_{CABINET}",
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key="valve_disobeys",
        translation_placeholders={"meter": "East wing", "gateway": "Building 7", "failures": "3"},
    )
    before = identities(hass, entry)

    menu = await begin_to_replace(hass, entry)
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B)}):
        form = await finish(hass, await type_id(hass, menu, GATEWAY_B))
    assert (form["step_id"], form["last_step"]) == ("replace", None)
    assert placeholders(form) == {
        "building": "Building 7",
        "old": GATEWAY_A,
        "gateway_id": GATEWAY_B,
    }
    assert identities(hass, entry) == before, "nothing has moved yet"
    assert ending(await go_on(hass, form, {})) == REPLACED
    await hass.async_block_till_done()

    assert entry.state is ConfigEntryState.LOADED
    assert (entry.unique_id, entry.title) == (GATEWAY_B, "Building 7")
    assert entry.data["gateway_id"] == GATEWAY_B
    assert entry.options == {"read_only": True}
    moved = json.loads(json.dumps({key: str(value) for key, value in before.items()}))
    assert {key: str(value) for key, value in identities(hass, entry).items()} == {
        key: value.replace(GATEWAY_A, GATEWAY_B) for key, value in moved.items()
    }
    device = devices.async_get(cabinet.id)
    assert device is not None
    assert (device.name_by_user, device.area_id) == ("East wing", area.id)
    assert hass.states.is_state(energy, "45323.12"), "what was kept stays"
    assert hass.states.is_state("sensor.building_7_signal_strength_rssi", "unknown"), (
        "what the old gateway said of itself does not"
    )
    assert not ir.async_get(hass).issues
    assert subscribed(broker) == {f"hy/gw/{way}/{GATEWAY_B}" for way in ("get", "set")}

    grown = cabinet_frame({"heat_energy_kwh": 4_532_412}).raw.hex().upper()
    await broker.publish(f"hy/gw/set/{GATEWAY_B}", report_of(f"{CABINET}203400", grown, GATEWAY_B))
    await until(lambda: hass.states.is_state(energy, "45324.12"))
    await hass.config_entries.async_reload(entry.entry_id)
    assert identities(hass, entry).keys() == before.keys()


async def test_the_new_gateway_is_chosen_among_those_heard(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port)
    menu = await begin_to_replace(hass, entry)
    menu = await finish(hass, await choose(hass, menu, "listen"))
    assert menu["step_id"] == "nothing_heard"
    await until(lambda: not subscribed(broker))
    window = await choose(hass, menu, "listen")
    for gateway_id in (GATEWAY_A, GATEWAY_C, GATEWAY_B):
        await heard(broker, report(gateway_id, "27100583203400"))
    form = await finish(hass, window)
    assert form["step_id"] == "heard_new"
    assert options_of(form, "gateway_id").keys() == {GATEWAY_B, GATEWAY_C}
    assert placeholders(form)["registered"] == "1"
    form = await go_on(hass, form, {"gateway_id": GATEWAY_C})
    assert ending(await go_on(hass, form, {})) == REPLACED
    await hass.async_block_till_done()
    assert (entry.unique_id, entry.title) == (GATEWAY_C, GATEWAY_C), "an id as name goes along"
    assert set_up == [GATEWAY_C]


async def test_a_silent_gateway_is_asked_again_or_taken_all_the_same(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str], impatient_probe: None
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    menu = await begin_to_replace(hass, entry)
    menu = await finish(hass, await type_id(hass, menu, GATEWAY_B))
    assert menu["step_id"] == "silent"
    assert menu["menu_options"] == ["probe", "gateway_id", "replace"]
    menu = await finish(hass, await choose(hass, menu, "probe"))
    assert menu["step_id"] == "silent"
    form = await choose(hass, menu, "replace")
    assert entry.unique_id == GATEWAY_A, "not before it is confirmed"
    assert ending(await go_on(hass, form, {})) == REPLACED
    assert entry.unique_id == GATEWAY_B


async def test_a_gateway_that_refuses_can_be_taken_all_the_same(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    menu = await begin_to_replace(hass, entry)
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B, stat=1)}):
        menu = await finish(hass, await type_id(hass, menu, GATEWAY_B))
    assert menu["step_id"] == "gateway_refused"
    assert ending(await go_on(hass, await choose(hass, menu, "replace"), {})) == REPLACED
    await hass.async_block_till_done()


async def test_a_lost_connection_and_a_refused_topic_can_be_overcome(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    menu = await begin_to_replace(hass, entry)
    ForbiddenTopics.forbidden = {"hy/gw/set/+"}
    menu = await finish(hass, await choose(hass, menu, "listen"))
    assert menu["step_id"] == "subscription_refused"
    await broker.stop()
    menu = await finish(hass, await type_id(hass, menu, GATEWAY_B))
    assert menu["step_id"] == "connection_lost"
    await broker.start()
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B)}):
        form = await finish(hass, await choose(hass, menu, "probe"))
    assert ending(await go_on(hass, form, {})) == REPLACED
    await hass.async_block_till_done()


async def test_no_id_and_a_registered_id(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str], impatient_probe: None
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    menu = await begin_to_replace(hass, entry)
    form = await type_id(hass, menu, "+")
    assert form["errors"] == {"gateway_id": "invalid_gateway_id"}
    own = await go_on(hass, form, {"gateway_id": GATEWAY_A})
    assert ending(own) == (FlowResultType.ABORT, "already_configured")

    menu = await begin_to_replace(hass, entry)
    menu = await finish(hass, await type_id(hass, menu, GATEWAY_B))
    form = await choose(hass, menu, "replace")
    add_entry(hass, GATEWAY_B, broker.port, "registered meanwhile")
    refused = await go_on(hass, form, {})
    assert ending(refused) == (FlowResultType.ABORT, "already_configured")
    assert (entry.unique_id, entry.data["gateway_id"]) == (GATEWAY_A, GATEWAY_A)


async def test_gateways_replaced_one_after_the_other_while_nothing_is_set_up(
    hass: HomeAssistant, broker: AmqttBroker, impatient_probe: None
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    before = identities(hass, entry)
    await hass.config_entries.async_unload(entry.entry_id)
    with patch.object(hass.config_entries, "async_schedule_reload"):
        for gateway_id in (GATEWAY_B, GATEWAY_C, GATEWAY_A, GATEWAY_C):
            menu = await begin_to_replace(hass, entry)
            menu = await finish(hass, await type_id(hass, menu, gateway_id))
            await go_on(hass, await choose(hass, menu, "replace"), {})
    assert entry.data["previous_gateway_ids"] == [GATEWAY_B, GATEWAY_A]
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    after = identities(hass, entry)
    assert after.keys() == before.keys()
    assert all(GATEWAY_C in str(identity) for identity in after.values())


# --- Meters --------------------------------------------------------------------------------

NEW = "27100999"
NEITHER = {"base": "not_replaceable"}


async def test_a_meter_is_replaced_by_hand(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    freezer.tick(60)
    new = cabinet_frame({"heat_energy_kwh": 300}, number=NEW).raw.hex().upper()
    link.deliver(report_of(f"{NEW}203400", new))
    await hass.async_block_till_done()

    menu = await entry.start_reconfigure_flow(hass)
    form = await choose(hass, menu, "replace_meter")
    labels = options_of(form, "old_meter")
    assert labels == options_of(form, "new_meter")
    assert labels.keys() == {CABINET, NEW, VALVE}
    assert labels[NEW].startswith(f"Cabinet {NEW} (20")
    for old, other in ((CABINET, CABINET), (VALVE, NEW), (NEW, CABINET)):
        form = await go_on(hass, form, {"old_meter": old, "new_meter": other})
        assert (form["step_id"], form["errors"]) == ("replace_meter", NEITHER)
    freezer.tick(60)
    link.deliver(captured("cabinet_report"))
    form = await go_on(hass, form, {"old_meter": CABINET, "new_meter": NEW})
    assert form["errors"] == NEITHER, "it still reports"

    entry.runtime_data.gateway.replacements._missing.add(CABINET)
    done = await go_on(hass, form, {"old_meter": CABINET, "new_meter": NEW})
    assert ending(done) == (FlowResultType.ABORT, "meter_replaced")
    await hass.async_block_till_done()
    assert hass.states.is_state(f"sensor.cabinet_{CABINET}_heat_energy", "3.0")
    assert hass.states.get(f"sensor.cabinet_{NEW}_heat_energy") is None


async def test_a_meter_that_has_not_fallen_silent_by_its_rules_can_be_replaced_by_hand(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    link.deliver(captured("cabinet_report"))
    freezer.tick(60)
    new = cabinet_frame({"heat_energy_kwh": 300}, number=NEW).raw.hex().upper()
    link.deliver(report_of(f"{NEW}203400", new))
    await hass.async_block_till_done()
    form = await choose(hass, await entry.start_reconfigure_flow(hass), "replace_meter")
    done = await go_on(hass, form, {"old_meter": CABINET, "new_meter": NEW})
    assert ending(done) == (FlowResultType.ABORT, "meter_replaced")
    await hass.async_block_till_done()
    assert list(entry.runtime_data.gateway.meters) == [NEW]


async def test_there_must_be_two_meters(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    link.deliver(captured("cabinet_report"))
    # The captured report of a valve from a device type that nobody described: 54, so CS grows by 1.
    raw = bytearray.fromhex(captured_frame("valve_report_C"))
    raw[1], raw[-2] = 0x54, raw[-2] + 1
    link.deliver(report_of(f"{VALVE}200800", raw.hex().upper()))
    await hass.async_block_till_done()
    menu = await entry.start_reconfigure_flow(hass)
    none = await choose(hass, menu, "replace_meter")
    assert ending(none) == (FlowResultType.ABORT, "no_two_meters")

    await hass.config_entries.async_unload(entry.entry_id)
    menu = await entry.start_reconfigure_flow(hass)
    none = await choose(hass, menu, "replace_meter")
    assert ending(none) == (FlowResultType.ABORT, "not_loaded")
    assert entry.unique_id == GATEWAY_ID
