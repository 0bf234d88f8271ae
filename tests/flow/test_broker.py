"""The broker in the config flow: entered, tried, checked, shared."""

import asyncio

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData, UnknownFlow
import pytest

from custom_components.hy_heating.flow_broker_form import (
    BrokerForm,
    is_prefix,
    normal_host,
)
from custom_components.hy_heating.links import connect
from tests.links.brokers import AmqttBroker, free_port, settings_of, until

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
    begin,
    broker_input,
    choose,
    defaults,
    finish,
    go_on,
    heard,
    options_of,
    placeholders,
    register,
    report,
    settings,
    silence,
    suggested,
)

pytestmark = pytest.mark.usefixtures("set_up")


# --- Tried ---------------------------------------------------------------------------------


async def test_wrong_password_then_the_right_one(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    typed = broker_input(broker.port, password="wrong", prefix="site/hy")
    form = await go_on(hass, form, typed)
    assert (form["step_id"], form["errors"]) == ("broker", {"base": "invalid_auth"})
    shown = suggested(form)
    assert shown == {
        "host": "127.0.0.1",
        "port": broker.port,
        "username": "heat",
        "password": "wrong",
        "encryption": "none",
        "discovery": False,
        "prefix": "site/hy",
    }
    menu = await go_on(hass, form, broker_input(broker.port))
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "gateways")
    assert menu["menu_options"] == ["listen", "gateway_id"]


async def test_dead_broker_then_a_living_one(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    await broker.stop()
    form = await go_on(hass, form, broker_input(broker.port))
    assert form["errors"] == {"base": "cannot_connect"}
    assert placeholders(form)["detail"]
    await broker.start()
    menu = await go_on(hass, form, broker_input(broker.port))
    assert menu["step_id"] == "gateways"


async def test_unknown_host_cannot_be_reached(hass: HomeAssistant, form: ConfigFlowResult) -> None:
    form = await go_on(hass, form, broker_input(1883, host="no-such-host.invalid"))
    assert form["errors"] == {"base": "cannot_connect"}


async def test_silent_broker_is_a_time_out(
    hass: HomeAssistant,
    form: ConfigFlowResult,
    broker: AmqttBroker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 0.3)
    async with silence() as (port, _):
        form = await go_on(hass, form, broker_input(port))
    assert form["errors"] == {"base": "timeout_connect"}
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 10.0)
    assert (await go_on(hass, form, broker_input(broker.port)))["step_id"] == "gateways"


async def test_nothing_is_subscribed_by_a_trial(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    await go_on(hass, form, broker_input(broker.port))
    assert not broker.subscriptions


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.1])
async def test_flow_cancelled_during_a_trial_leaves_no_connection(
    hass: HomeAssistant, form: ConfigFlowResult, delay_s: float
) -> None:
    async with silence() as (port, open_now):
        submitting = asyncio.create_task(go_on(hass, form, broker_input(port)))
        await asyncio.sleep(delay_s)
        hass.config_entries.flow.async_abort(form["flow_id"])
        with pytest.raises(UnknownFlow):
            await submitting
        await until(lambda: not open_now)


async def test_prefix_is_used_from_then_on(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    menu = await go_on(hass, form, broker_input(broker.port, prefix=" site 7/hy "))
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"), f"site 7/hy/set/{GATEWAY_A}")
    form = await go_on(hass, await finish(hass, window), {"gateways": [GATEWAY_A]})
    created = await go_on(hass, form, {})
    assert created["data"]["prefix"] == "site 7/hy"


# --- Checked -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "mqtt://broker",
        "tcp://10.0.0.1",
        "broker:1883",
        "broker/path",
        "*.example.org",
        "*",
        "a b",
        "a..b",
        "-broker",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "192.168.1.256",
        "1883",
        "a" * 64,
        "a." * 130,
        "bro\x00ker",
    ],
)
def test_what_is_no_host(host: str) -> None:
    assert normal_host(host) is None


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        (" broker.example.org ", "broker.example.org"),
        ("Broker", "Broker"),
        ("my_broker.local.", "my_broker.local."),
        ("core-mosquitto", "core-mosquitto"),
        ("10.0.0.1", "10.0.0.1"),
        ("[fd00::1]", "fd00::1"),
        ("FD00:0::1", "fd00::1"),
        ("供热.example", "供热.example"),
        ("4gateway.example", "4gateway.example"),
    ],
)
def test_what_is_a_host(typed: str, host: str) -> None:
    assert normal_host(typed) == host


@pytest.mark.parametrize(
    "prefix",
    ["", "/hy", "hy/", "/", "hy/+", "hy/#", "hy+", "$SYS", "hy\x00", "hy\n", "x" * 201],
)
def test_what_is_no_prefix(prefix: str) -> None:
    assert not is_prefix(prefix)


@pytest.mark.parametrize("prefix", ["hy/gw", "hy", "站点 7/hy/gw", "a//b", "x" * 200])
def test_what_is_a_prefix(prefix: str) -> None:
    assert is_prefix(prefix)


async def test_everything_wrong_is_told_at_once_and_kept(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    typed = broker_input(broker.port, host="mqtt://x", prefix="hy/#", username="")
    form = await go_on(hass, form, typed)
    assert form["errors"] == {
        "host": "invalid_host",
        "username": "username_required",
        "advanced": "invalid_prefix",
    }
    assert suggested(form)["prefix"] == "hy/#"
    assert form["data_schema"]
    advanced = form["data_schema"].schema["advanced"]
    assert advanced.options == {"collapsed": False}, "what is wrong in it is not hidden"
    menu = await go_on(hass, form, broker_input(broker.port))
    assert menu["step_id"] == "gateways"


@pytest.mark.parametrize("port", [0, 65536, "x"])
async def test_what_is_no_port(hass: HomeAssistant, form: ConfigFlowResult, port: object) -> None:
    with pytest.raises(InvalidData):
        await go_on(hass, form, broker_input(1) | {"port": port})


@pytest.mark.parametrize(
    ("encryption", "port", "tls", "verify"),
    [
        ("none", 1883, False, True),
        ("system_ca", 8883, True, True),
        ("unverified", 8883, True, False),
    ],
)
async def test_what_an_empty_form_means(
    hass: HomeAssistant, encryption: str, port: int, tls: bool, verify: bool
) -> None:
    typed = {"host": "broker", "encryption": encryption, "advanced": {"prefix": "hy/gw"}}
    read = await BrokerForm(hass).async_read(typed)
    assert read == settings_of(
        port, host="broker", username=None, password=None, tls=tls, tls_verify=verify
    )


# --- Shared --------------------------------------------------------------------------------


async def test_brokers_in_use_are_offered_once_each(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    first = add_entry(hass, GATEWAY_A, broker.port, "Building 7")
    add_entry(hass, GATEWAY_B, broker.port, "Building 8")
    other = add_entry(hass, GATEWAY_C, 1884, "Depot", username=None, prefix="depot/hy")
    choice = await begin(hass)
    assert (choice["step_id"], choice["errors"]) == ("user", {})
    assert options_of(choice, "broker") == {
        first.entry_id: f"heat@127.0.0.1:{broker.port}, hy/gw (Building 7, Building 8)",
        other.entry_id: "127.0.0.1:1884, depot/hy (Depot)",
        "new": "new",
    }
    assert defaults(choice) == {"broker": first.entry_id}
    menu = await go_on(hass, choice, {"broker": first.entry_id})
    assert menu["step_id"] == "gateways"


async def test_gateway_of_a_shared_broker_takes_over_its_settings(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    first = add_entry(hass, GATEWAY_B, broker.port)
    menu = await go_on(hass, await begin(hass), {"broker": first.entry_id})
    created = await register(hass, broker, menu)
    assert settings(created["result"]) == settings(first)
    assert created["data"]["gateway_id"] == GATEWAY_A


async def test_shared_broker_that_fails_is_told_and_can_be_tried_again(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    dead = add_entry(hass, GATEWAY_A, free_port(), "Dead")
    alive = add_entry(hass, GATEWAY_B, broker.port, "Alive")
    choice = await go_on(hass, await begin(hass), {"broker": dead.entry_id})
    assert (choice["step_id"], choice["errors"]) == ("user", {"base": "cannot_connect"})
    assert suggested(choice) == {"broker": dead.entry_id}
    menu = await go_on(hass, choice, {"broker": alive.entry_id})
    assert menu["step_id"] == "gateways"


async def test_new_broker_beside_those_in_use(hass: HomeAssistant, broker: AmqttBroker) -> None:
    add_entry(hass, GATEWAY_A, 1)
    form = await go_on(hass, await begin(hass), {"broker": "new"})
    assert (form["step_id"], form["errors"]) == ("broker", {})
    assert (await go_on(hass, form, broker_input(broker.port)))["step_id"] == "gateways"


async def test_broker_that_vanished_meanwhile_is_entered_anew(hass: HomeAssistant) -> None:
    entry = add_entry(hass, GATEWAY_A, 1)
    choice = await begin(hass)
    await hass.config_entries.async_remove(entry.entry_id)
    form = await go_on(hass, choice, {"broker": entry.entry_id})
    assert form["step_id"] == "broker"
