"""Home Assistant's own MQTT in the flows: chosen, listened over, changed to and from."""

from collections.abc import AsyncIterator

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.flow_broker_form import PASSWORD_UNCHANGED
from custom_components.hy_heating.links.settings import settings_from_data
from tests.links.brokers import AmqttBroker, settings_of, until
from tests.mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
    add_shared_entry,
    begin,
    broker_input,
    choose,
    connections,
    defaults,
    finish,
    gateways,
    go_on,
    heard,
    options_of,
    placeholders,
    report,
    settings,
    status,
    subscribed,
    suggested,
)

SHARED = {"link": "home_assistant", "prefix": "hy/gw", "discovery": False}
FORM = {"prefix": "hy/gw", "discovery": False}


@pytest.fixture
async def mqtt(hass: HomeAssistant, broker: AmqttBroker) -> AsyncIterator[MockConfigEntry]:
    """Set Home Assistant's MQTT up at the broker."""
    with impatient_mqtt():
        entry = mqtt_entry(broker.port, "3.1.1")
        await set_up_mqtt(hass, entry)
        yield entry
        for each in hass.config_entries.async_entries(DOMAIN):
            if each.state is ConfigEntryState.LOADED:
                await hass.config_entries.async_unload(each.entry_id)
        await unload_mqtt(hass, entry)


def assert_done(result: ConfigFlowResult, reason: str) -> None:
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, reason)


async def set_all_up(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()


# --- A first gateway ------------------------------------------------------------------------


async def test_it_is_offered_only_where_it_is_set_up(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    assert (await begin(hass))["step_id"] == "broker"
    add_entry(hass, GATEWAY_A, broker.port)
    assert "home_assistant" not in options_of(await begin(hass), "broker")


async def test_gateways_are_heard_asked_and_registered_over_it(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry, set_up: list[str]
) -> None:
    choice = await begin(hass)
    assert options_of(choice, "broker") == {"new": "new", "home_assistant": "home_assistant"}
    assert defaults(choice) == {"broker": "new"}
    form = await go_on(hass, choice, {"broker": "home_assistant"})
    assert (form["step_id"], defaults(form)) == ("home_assistant", FORM)
    menu = await go_on(hass, form, FORM)
    assert menu["step_id"] == "gateways"
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    assert subscribed(broker) == {"hy/gw/set/+"}
    form = await finish(hass, window)
    assert options_of(form, "gateways") == {
        GATEWAY_A: f"{GATEWAY_A} · messages 1 · cabinets 1 · household valves 0"
    }
    form = await go_on(hass, form, {"gateways": [GATEWAY_A]})
    created = await go_on(hass, form, {"name": "Building 7"})
    assert created["data"] == {**SHARED, "gateway_id": GATEWAY_A}
    assert connections(broker.port) == 1, "Home Assistant's own"

    choice = await begin(hass)
    known = created["result"].entry_id
    assert options_of(choice, "broker") == {
        known: "Home Assistant MQTT, hy/gw (Building 7)",
        "new": "new",
        "home_assistant_other": "home_assistant_other",
    }
    form = await go_on(hass, choice, {"broker": "home_assistant_other"})
    assert form["step_id"] == "home_assistant"
    choice = await begin(hass)
    menu = await go_on(hass, choice, {"broker": known})
    form = await choose(hass, menu, "gateway_id")
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B)}):
        form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_B}))
    assert form["step_id"] == "probed"
    assert placeholders(form)["rssi"] == "-98"
    created = await go_on(hass, form, {})
    assert created["data"] == {**SHARED, "gateway_id": GATEWAY_B}
    await until(lambda: not subscribed(broker))


async def test_what_is_typed_is_checked_and_tried(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry, set_up: list[str]
) -> None:
    form = await go_on(hass, await begin(hass), {"broker": "home_assistant"})
    form = await go_on(hass, form, {"prefix": "hy/#", "discovery": True})
    assert form["errors"] == {"prefix": "invalid_prefix"}
    assert suggested(form) == {"prefix": "hy/#", "discovery": True}
    await broker.stop()
    await until(lambda: not hass.data["mqtt"].client.connected)
    form = await go_on(hass, form, FORM)
    assert form["errors"] == {"base": "mqtt_not_connected"}
    await hass.config_entries.async_unload(mqtt.entry_id)
    form = await go_on(hass, form, FORM)
    assert form["errors"] == {"base": "mqtt_not_loaded"}
    await broker.start()
    await hass.config_entries.async_setup(mqtt.entry_id)
    await until(lambda: hass.data["mqtt"].client.connected)
    menu = await go_on(hass, form, {"prefix": " site/hy ", "discovery": True})
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"), f"site/hy/set/{GATEWAY_A}")
    form = await go_on(hass, await finish(hass, window), {"gateways": [GATEWAY_A]})
    created = await go_on(hass, form, {})
    assert created["data"] == {
        **SHARED,
        "prefix": "site/hy",
        "discovery": True,
        "gateway_id": GATEWAY_A,
    }


async def test_it_goes_while_the_window_is_open(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry, set_up: list[str]
) -> None:
    form = await go_on(hass, await begin(hass), {"broker": "home_assistant"})
    window = await choose(hass, await go_on(hass, form, FORM), "listen")
    await until(lambda: subscribed(broker))
    await hass.config_entries.async_unload(mqtt.entry_id)
    menu = await finish(hass, window)
    assert menu["step_id"] == "connection_lost"
    await hass.config_entries.async_setup(mqtt.entry_id)
    await until(lambda: hass.data["mqtt"].client.connected)
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    assert (await finish(hass, window))["step_id"] == "heard"


# --- Changed --------------------------------------------------------------------------------


async def test_all_that_share_a_broker_change_to_it_and_back(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    sharing = add_entry(hass, GATEWAY_B, broker.port, "Building 8")
    apart = add_entry(hass, GATEWAY_C, broker.port, "Depot", prefix="depot")
    await set_all_up(hass)
    assert connections(broker.port) == 3
    (session,) = [
        client_id
        for client_id in broker.connected_ids
        if broker._broker
        for topic, users in broker._broker.subscriptions.items()
        if topic == f"hy/gw/set/{GATEWAY_A}" and users[0][0].client_id == client_id
    ]

    menu = await entry.start_reconfigure_flow(hass)
    assert menu["step_id"] == "reconfigure"
    assert placeholders(menu)["broker"] == f"heat@127.0.0.1:{broker.port}, hy/gw"
    form = await choose(hass, menu, "reconfigure_home_assistant")
    assert suggested(form) == {"name": "Building 7"}
    assert placeholders(form)["sharing"] == "Building 8"
    form = await go_on(hass, form, {"name": "Tower", "prefix": "", "discovery": False})
    assert form["errors"] == {"prefix": "invalid_prefix"}
    done = await go_on(hass, form, {"name": "Tower", **FORM})
    assert_done(done, "reconfigure_successful")
    await hass.async_block_till_done()
    assert entry.data == {**SHARED, "gateway_id": GATEWAY_A}, "no password is left"
    assert sharing.data == {**SHARED, "gateway_id": GATEWAY_B}
    assert settings(apart) == settings_of(broker.port, prefix="depot")
    assert [entry.title, sharing.title] == ["Tower", "Building 8"]
    assert {each.state for each in (entry, sharing, apart)} == {ConfigEntryState.LOADED}
    await until(lambda: connections(broker.port) == 2)
    await until(lambda: session not in broker.sessions)  # nobody collects there any more
    assert subscribed(broker) >= {f"hy/gw/set/{GATEWAY_A}", f"hy/gw/get/{GATEWAY_B}"}

    menu = await sharing.start_reconfigure_flow(hass)
    assert placeholders(menu)["broker"] == "Home Assistant MQTT, hy/gw"
    form = await choose(hass, menu, "reconfigure_broker")
    assert suggested(form) == {"name": "Building 8"}
    done = await go_on(hass, form, broker_input(broker.port, name="Building 8"))
    assert_done(done, "reconfigure_successful")
    await hass.async_block_till_done()
    assert settings(entry) == settings(sharing) == settings_of(broker.port)
    assert {each.state for each in (entry, sharing, apart)} == {ConfigEntryState.LOADED}
    await until(lambda: connections(broker.port) == 3)


async def test_its_prefix_and_name_change(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry, set_up: list[str]
) -> None:
    entry = add_shared_entry(hass, GATEWAY_A, "Building 7")
    menu = await entry.start_reconfigure_flow(hass)
    form = await choose(hass, menu, "reconfigure_home_assistant")
    assert suggested(form) == {"name": "Building 7", **FORM}
    done = await go_on(hass, form, {"name": " ", "prefix": "site/hy", "discovery": True})
    assert_done(done, "reconfigure_successful")
    await hass.async_block_till_done()
    assert entry.title == "Building 7"
    assert entry.data == {
        **SHARED,
        "prefix": "site/hy",
        "discovery": True,
        "gateway_id": GATEWAY_A,
    }


async def test_whoever_moves_to_a_link_in_use_decides_for_all_on_it(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry, set_up: list[str]
) -> None:
    there = add_shared_entry(hass, GATEWAY_A)
    entry = add_entry(hass, GATEWAY_B, broker.port, "Building 8")
    await set_all_up(hass)
    set_up.clear()
    menu = await entry.start_reconfigure_flow(hass)
    form = await choose(hass, menu, "reconfigure_home_assistant")
    own = {**FORM, "discovery": True}
    await go_on(hass, form, {"name": "Building 8", **own})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert there.data["discovery"]
    assert settings_from_data(there.data) == settings_from_data(entry.data)
    assert sorted(set_up) == [GATEWAY_A, GATEWAY_B]


async def test_an_own_broker_typed_anew_is_the_same_for_all(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    """Otherwise the entries would fight over the password of their connection."""
    same = add_entry(hass, GATEWAY_B, broker.port, password="old")
    apart = add_entry(hass, GATEWAY_C, broker.port, password="old", prefix="depot")
    await set_all_up(hass)
    set_up.clear()
    form = await go_on(hass, await begin(hass), {"broker": "new"})
    menu = await go_on(hass, form, broker_input(broker.port, discovery=True))
    form = await choose(hass, menu, "gateway_id")
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    created = await go_on(hass, form, {})
    await hass.async_block_till_done()
    assert created["data"]["discovery"]
    assert settings(same) == settings(created["result"]) == settings_of(broker.port, discovery=True)
    assert settings(apart).password == "old"
    assert sorted(set_up) == [GATEWAY_A, GATEWAY_B]


async def test_its_credentials_are_not_ours_to_ask_for(
    hass: HomeAssistant, set_up: list[str]
) -> None:
    entry = add_shared_entry(hass, GATEWAY_A)
    assert_done(await entry.start_reauth_flow(hass), "no_credentials")


async def test_it_can_be_left_while_it_is_not_set_up(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_shared_entry(hass, GATEWAY_A, "Building 7")
    menu = await entry.start_reconfigure_flow(hass)
    form = await choose(hass, menu, "reconfigure_broker")
    typed = broker_input(broker.port, name="Building 7", password=PASSWORD_UNCHANGED)
    form = await go_on(hass, form, typed)
    assert form["errors"] == {"base": "invalid_auth"}, "there was no password before"
    done = await go_on(hass, form, broker_input(broker.port, name="Building 7"))
    await hass.async_block_till_done()
    assert_done(done, "reconfigure_successful")
    assert settings(entry) == settings_of(broker.port)
