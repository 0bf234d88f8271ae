"""Gateways in the config flow: chosen, named, registered, once each."""

import asyncio
from unittest.mock import patch

from homeassistant.config_entries import SOURCE_IMPORT, ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow
import pytest

from custom_components.hy_heating.const import DOMAIN
from tests.links.brokers import AmqttBroker, settings_of, until

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
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
    silence,
    status,
    subscribed,
    to_gateways,
)

pytestmark = pytest.mark.usefixtures("set_up")


async def test_gateways_are_heard_chosen_named_and_registered(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    menu = await to_gateways(hass, broker)
    assert not subscribed(broker), "nothing is subscribed before the window"
    window = await choose(hass, menu, "listen")
    assert (window["step_id"], window["progress_action"]) == ("listen", "listen")
    assert placeholders(window)["gateways"] == "–"
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    assert subscribed(broker) == {"hy/gw/set/+"}
    await heard(broker, report(GATEWAY_A, "23227310200800"))
    await heard(broker, report(GATEWAY_B, "23227310200800"))
    await heard(broker, report(GATEWAY_C, "23227310200800"))
    form = await finish(hass, window)
    assert form["step_id"] == "heard"
    await until(lambda: not connections(broker.port))
    assert options_of(form, "gateways") == {
        GATEWAY_A: f"{GATEWAY_A} · messages 2 · cabinets 1 · household valves 1",
        GATEWAY_B: f"{GATEWAY_B} · messages 1 · cabinets 0 · household valves 1",
        GATEWAY_C: f"{GATEWAY_C} · messages 1 · cabinets 0 · household valves 1",
    }
    assert placeholders(form)["topic"] == "hy/gw/set/+"

    first = await go_on(hass, form, {"gateways": [GATEWAY_C, GATEWAY_A]})
    assert first["step_id"] == "building"
    assert first["last_step"] is False
    assert placeholders(first) == {
        "gateway_id": GATEWAY_C,
        "number": "1",
        "total": "2",
    }
    second = await go_on(hass, first, {"name": " Building 7 ", "area_id": "cellar"})
    assert second["step_id"] == "building"
    assert second["last_step"] is True
    assert placeholders(second)["gateway_id"] == GATEWAY_A
    created = await go_on(hass, second, {})
    await hass.async_block_till_done()

    connection = settings_of(broker.port).as_data()
    assert created["type"] is FlowResultType.CREATE_ENTRY
    entry = created["result"]
    assert (entry.title, entry.unique_id, entry.source) == ("Building 7", GATEWAY_C, "user")
    assert entry.data == {**connection, "gateway_id": GATEWAY_C, "area_id": "cellar"}
    _, other = hass.config_entries.async_entries(DOMAIN)
    assert (other.title, other.unique_id, other.source) == (GATEWAY_A, GATEWAY_A, "import")
    assert other.data == {**connection, "gateway_id": GATEWAY_A}
    assert set_up == [GATEWAY_C, GATEWAY_A]


# --- Cancelled -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["listen", "gateway_id"])
async def test_cancelled_flow_leaves_no_connection(
    hass: HomeAssistant, broker: AmqttBroker, way: str
) -> None:
    step = await choose(hass, await to_gateways(hass, broker), way)
    if way == "gateway_id":
        step = await go_on(hass, step, {"gateway_id": GATEWAY_A})
    await until(lambda: subscribed(broker))
    hass.config_entries.flow.async_abort(step["flow_id"])
    await until(lambda: not connections(broker.port))
    with pytest.raises(UnknownFlow):
        await go_on(hass, step)


@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.03, 0.1])
async def test_flow_cancelled_while_it_connects_leaves_no_connection(
    hass: HomeAssistant, broker: AmqttBroker, delay_s: float
) -> None:
    menu = await to_gateways(hass, broker)
    await until(lambda: not connections(broker.port))
    await broker.stop()
    async with silence(broker.port) as (_, open_now):
        window = await choose(hass, menu, "listen")
        await asyncio.sleep(delay_s)
        hass.config_entries.flow.async_abort(window["flow_id"])
        await hass.async_block_till_done(wait_background_tasks=True)
        await until(lambda: not open_now)


# --- Registered once -----------------------------------------------------------------------


async def test_registered_id_is_refused(hass: HomeAssistant, broker: AmqttBroker) -> None:
    add_entry(hass, GATEWAY_A, broker.port)
    choice = await begin(hass)
    menu = await go_on(hass, choice, defaults(choice))
    form = await choose(hass, menu, "gateway_id")
    refused = await go_on(hass, form, {"gateway_id": GATEWAY_A})
    assert (refused["type"], refused["reason"]) == (FlowResultType.ABORT, "already_configured")


async def test_second_of_two_flows_at_once_is_refused(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    forms = []
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        for _ in range(2):
            form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
            form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
            forms.append(form)
    created = await go_on(hass, forms[0], {})
    assert created["type"] is FlowResultType.CREATE_ENTRY
    refused = await go_on(hass, forms[1], {})
    assert (refused["type"], refused["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert len(hass.config_entries.async_entries(DOMAIN)) == 1


async def test_gateways_registered_meanwhile_are_left_out(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    for gateway_id in (GATEWAY_A, GATEWAY_B):
        await heard(broker, report(gateway_id, "27100583203400"))
    form = await finish(hass, window)
    form = await go_on(hass, form, {"gateways": [GATEWAY_A, GATEWAY_B]})
    form = await go_on(hass, form, {"name": "A"})
    add_entry(hass, GATEWAY_A, broker.port)
    created = await go_on(hass, form, {"name": "B"})
    await hass.async_block_till_done()
    assert (created["result"].unique_id, created["title"]) == (GATEWAY_B, "B")
    assert len(hass.config_entries.async_entries(DOMAIN)) == 2


async def test_import_registers_once(hass: HomeAssistant) -> None:
    data = {**settings_of(1883).as_data(), "gateway_id": GATEWAY_A, "name": "Building 7"}
    results = [
        await hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_IMPORT}, data=data
        )
        for _ in range(2)
    ]
    assert results[0]["type"] is FlowResultType.CREATE_ENTRY
    assert results[0]["title"] == "Building 7"
    assert "name" not in results[0]["data"]
    assert (results[1]["type"], results[1]["reason"]) == (
        FlowResultType.ABORT,
        "already_configured",
    )


async def test_every_step_can_be_looked_at_again(
    hass: HomeAssistant, broker: AmqttBroker, impatient_probe: None
) -> None:
    """The frontend loads a step anew when its page is: nothing may happen by that."""
    form = await go_on(hass, await begin(hass))
    assert form["step_id"] == "broker"
    menu = await go_on(hass, form, broker_input(broker.port))
    assert (await go_on(hass, menu))["step_id"] == "gateways"
    form = await choose(hass, menu, "gateway_id")
    assert (await go_on(hass, form))["step_id"] == "gateway_id"
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert (await go_on(hass, menu))["step_id"] == "silent"
    form = await choose(hass, menu, "building")
    again = await go_on(hass, form)
    assert (again["step_id"], placeholders(again)["number"]) == ("building", "1")
    assert not hass.config_entries.async_entries(DOMAIN)


async def test_last_form_submitted_twice_registers_once(
    hass: HomeAssistant, broker: AmqttBroker, impatient_probe: None
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    form = await choose(hass, menu, "building")
    setting_up, go = asyncio.Event(), asyncio.Event()

    async def set_up_slowly(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        setting_up.set()
        await go.wait()
        return True

    with patch("custom_components.hy_heating.async_setup_entry", set_up_slowly):
        first = asyncio.create_task(go_on(hass, form, {"name": "Building 7"}))
        await setting_up.wait()
        second = await go_on(hass, form, {"name": "Building 8"})
        assert second["step_id"] == "building"
        go.set()
        created = await first
    assert created["type"] is FlowResultType.CREATE_ENTRY
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.title == "Building 7"
