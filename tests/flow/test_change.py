"""Brokers in use changed: other credentials, another address; for all entries that share one."""

from typing import Any

from homeassistant.config_entries import ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.flow_broker_form import PASSWORD_UNCHANGED
from tests.links.brokers import AmqttBroker, free_port, settings_of, until
from tests.links.certificates import Authority

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
    broker_input,
    choose,
    connections,
    go_on,
    placeholders,
    settings,
    suggested,
    upload,
)


async def set_all_up(hass: HomeAssistant) -> None:
    """Set up what was added."""
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()


def assert_done(result: ConfigFlowResult, reason: str) -> None:
    assert (result["type"], result["reason"]) == (FlowResultType.ABORT, reason)


# --- Credentials ---------------------------------------------------------------------------


@pytest.mark.parametrize("username", ["heat", "other"])
async def test_new_credentials_are_tried_and_go_to_all_that_share_the_broker(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str], username: str
) -> None:
    asked = add_entry(hass, GATEWAY_A, broker.port, "Building 7", password="old")
    sharing = add_entry(hass, GATEWAY_B, broker.port, password="older")
    apart = add_entry(hass, GATEWAY_C, broker.port, password="old", prefix="depot")
    await set_all_up(hass)
    set_up.clear()

    form = await asked.start_reauth_flow(hass)
    assert form["step_id"] == "reauth_confirm"
    assert placeholders(form)["broker"] == f"heat@127.0.0.1:{broker.port}, hy/gw"
    assert suggested(form) == {"username": "heat"}
    form = await go_on(hass, form, {"username": username, "password": "wrong"})
    assert (form["step_id"], form["errors"]) == ("reauth_confirm", {"base": "invalid_auth"})
    assert suggested(form) == {"username": username, "password": "wrong"}
    form = await go_on(hass, form, {"password": "right"})
    assert form["errors"] == {"username": "username_required"}
    assert not set_up, "nothing is stored before it works"
    assert settings(asked).password == "old"

    done = await go_on(hass, form, {"username": username, "password": "right"})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert_done(done, "reauth_successful")
    new = settings_of(broker.port, username=username)
    assert settings(asked) == settings(sharing) == new
    assert settings(apart).password == "old"
    assert sorted(set_up) == [GATEWAY_A, GATEWAY_B]
    assert [asked.unique_id, asked.title] == [GATEWAY_A, "Building 7"]
    assert asked.data["gateway_id"] == GATEWAY_A
    assert not hass.config_entries.flow.async_progress()


async def test_one_answer_ends_the_question_of_every_entry(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entries = [
        add_entry(hass, gateway_id, broker.port, password="old")
        for gateway_id in (GATEWAY_A, GATEWAY_B)
    ]
    await set_all_up(hass)
    forms = [await entry.start_reauth_flow(hass) for entry in entries]
    await go_on(hass, forms[1], {"username": "heat", "password": "right"})
    await hass.async_block_till_done()
    assert not hass.config_entries.flow.async_progress()


async def test_credentials_of_a_dead_broker_wait_until_it_lives(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, password="old")
    await broker.stop()
    form = await entry.start_reauth_flow(hass)
    form = await go_on(hass, form, {"username": "heat", "password": "right"})
    assert form["errors"] == {"base": "cannot_connect"}
    await broker.start()
    done = await go_on(hass, form, {"username": "heat", "password": "right"})
    await hass.async_block_till_done()
    assert_done(done, "reauth_successful")


# --- The connection ------------------------------------------------------------------------


async def start_change(hass: HomeAssistant, entry: MockConfigEntry) -> ConfigFlowResult:
    """Open the form of the connection of an entry."""
    return await choose(hass, await entry.start_reconfigure_flow(hass), "reconfigure_broker")


def changed(port: int, name: str = "Building 7", **changes: object) -> dict[str, object]:
    """Return the form of a changed connection, with the stored password where none is given."""
    return broker_input(port, name=name, **({"password": PASSWORD_UNCHANGED} | changes))


async def test_form_shows_what_is_stored_but_not_the_password(
    hass: HomeAssistant, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, 8884, "Building 7", tls=True, prefix="site/hy")
    add_entry(hass, GATEWAY_B, 8884, "Building 8", tls=True, prefix="site/hy")
    form = await start_change(hass, entry)
    assert form["step_id"] == "reconfigure_broker"
    assert suggested(form) == {
        "name": "Building 7",
        "host": "127.0.0.1",
        "port": 8884,
        "username": "heat",
        "password": PASSWORD_UNCHANGED,
        "encryption": "system_ca",
        "discovery": False,
        "prefix": "site/hy",
    }
    assert placeholders(form)["sharing"] == "Building 8"


@pytest.mark.parametrize(
    ("stored", "encryption"),
    [
        ({}, "none"),
        ({"tls": True}, "system_ca"),
        ({"tls": True, "tls_verify": False}, "unverified"),
        ({"tls": True, "ca_certificate": Authority("Own").pem}, "own_ca"),
    ],
)
async def test_form_shows_the_stored_encryption(
    hass: HomeAssistant, set_up: list[str], stored: dict[str, Any], encryption: str
) -> None:
    entry = add_entry(hass, GATEWAY_A, 8884, username=None, password=None, **stored)
    form = await start_change(hass, entry)
    shown = suggested(form)
    assert shown["encryption"] == encryption
    assert not {"username", "password"} & shown.keys()
    kept = "CN=Own" if encryption == "own_ca" else "–"
    assert placeholders(form)["certificate"] == kept
    assert placeholders(form)["sharing"] == "–"


async def test_change_is_tried_and_goes_to_all_that_share_the_broker(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    old_port = free_port()
    entry = add_entry(hass, GATEWAY_A, old_port, "Building 7")
    sharing = add_entry(hass, GATEWAY_B, old_port, "Building 8")
    apart = add_entry(hass, GATEWAY_C, 1884, "Depot")
    await set_all_up(hass)
    set_up.clear()

    form = await start_change(hass, entry)
    form = await go_on(hass, form, changed(free_port(), "Tower"))
    assert (form["step_id"], form["errors"]) == ("reconfigure_broker", {"base": "cannot_connect"})
    assert (suggested(form)["name"], suggested(form)["password"]) == ("Tower", PASSWORD_UNCHANGED)
    form = await go_on(hass, form, changed(broker.port, "Tower", prefix="hy/"))
    assert form["errors"] == {"advanced": "invalid_prefix"}
    assert not set_up, "nothing is stored before it works"
    assert settings(entry).port == old_port

    done = await go_on(hass, form, changed(broker.port, " Tower ", prefix="site/hy"))
    await hass.async_block_till_done(wait_background_tasks=True)
    assert_done(done, "reconfigure_successful")
    new = settings_of(broker.port, prefix="site/hy")
    assert settings(entry) == settings(sharing) == new
    assert settings(apart).port == 1884
    assert [entry.title, sharing.title] == ["Tower", "Building 8"]
    assert [entry.unique_id, sharing.unique_id] == [GATEWAY_A, GATEWAY_B]
    assert sorted(set_up) == [GATEWAY_A, GATEWAY_B]


async def test_name_alone_needs_no_broker(hass: HomeAssistant, set_up: list[str]) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883, "Building 7")
    form = await start_change(hass, entry)
    done = await go_on(hass, form, changed(entry.data["port"], "Tower"))
    await hass.async_block_till_done()
    assert_done(done, "reconfigure_successful")
    assert entry.title == "Tower"
    form = await start_change(hass, entry)
    await go_on(hass, form, changed(entry.data["port"], " "))
    await hass.async_block_till_done()
    assert entry.title == "Tower", "a blank name is none"


async def test_password_can_be_changed_and_removed(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7", password="old")
    form = await start_change(hass, entry)
    form = await go_on(hass, form, changed(broker.port, username="", password=""))
    assert form["errors"] == {"base": "invalid_auth"}, "it was tried without"
    done = await go_on(hass, form, changed(broker.port, password="right"))
    await hass.async_block_till_done()
    assert_done(done, "reconfigure_successful")
    assert settings(entry) == settings_of(broker.port)


async def test_own_authority_goes_when_it_is_not_chosen(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    entry = add_entry(
        hass, GATEWAY_A, free_port(), "A", tls=True, ca_certificate=Authority("Own").pem
    )
    form = await start_change(hass, entry)
    done = await go_on(hass, form, changed(broker.port))
    await hass.async_block_till_done(wait_background_tasks=True)
    assert_done(done, "reconfigure_successful")
    assert settings(entry) == settings_of(broker.port)


async def test_uploaded_authority_replaces_the_stored_one(
    hass: HomeAssistant,
    broker: AmqttBroker,
    set_up: list[str],
    hass_client: ClientSessionGenerator,
) -> None:
    old, new = Authority("Old"), Authority("New")
    entry = add_entry(hass, GATEWAY_A, free_port(), "A", tls=True, ca_certificate=old.pem)
    form = await start_change(hass, entry)
    file_id = await upload(hass_client, new.pem.encode())
    typed = changed(free_port(), encryption="own_ca", ca_certificate=file_id)
    form = await go_on(hass, form, typed)
    assert form["errors"] == {"base": "cannot_connect"}
    assert placeholders(form)["certificate"] == "CN=New"
    assert settings(entry).ca_certificate == old.pem


# --- With all that is behind an entry ------------------------------------------------------


async def test_connections_and_session_move_to_the_new_broker(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    old = AmqttBroker()
    await old.start()
    entries: list[MockConfigEntry] = [
        add_entry(hass, gateway_id, old.port) for gateway_id in (GATEWAY_A, GATEWAY_B)
    ]
    await set_all_up(hass)
    assert {entry.state for entry in entries} == {ConfigEntryState.LOADED}
    assert connections(old.port) == 1
    (session,) = old.connected_ids

    form = await start_change(hass, entries[0])
    done = await go_on(hass, form, changed(broker.port))
    assert_done(done, "reconfigure_successful")
    await hass.async_block_till_done()
    assert {entry.state for entry in entries} == {ConfigEntryState.LOADED}
    assert connections(broker.port) == 1, "both share the new one"
    await until(lambda: not connections(old.port))
    await until(lambda: session not in old.sessions)  # it no longer collects there
    await old.stop()
