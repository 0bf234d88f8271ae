"""The card in the system information tells at a glance whether all is well."""

import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    get_system_health_info,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import LinkError

from .common import BROKER, VALVE, FakeLink, captured, report, set_up
from .test_translations import texts
from .test_valve import HOUSEHOLD, VALVE_REPORT_50, move, pass_time, settle
from .translations import LANGUAGES

ALL_ROWS = {
    "links_connected",
    "gateways_online",
    "messages_per_minute",
    "refusals_per_minute",
    "commands_under_way",
    "mean_time_to_proof",
}


@pytest.fixture(autouse=True)
async def system_health(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "system_health", {})


async def card(hass: HomeAssistant) -> dict[str, Any]:
    return await get_system_health_info(hass, DOMAIN)


async def test_before_anything_has_happened(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    assert await card(hass) == {
        "links_connected": "1/1",
        "gateways_online": "1/1",
        "messages_per_minute": 0,
        "refusals_per_minute": 0,
        "commands_under_way": 0,
    }


async def test_messages_refusals_and_a_command(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    link.deliver("no JSON")
    await hass.async_block_till_done()
    told = await card(hass)
    assert (told["messages_per_minute"], told["refusals_per_minute"]) == (3, 1)
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    assert (await card(hass))["commands_under_way"] == 1
    link.deliver(captured("valve_set_50_reply_braced"))
    await action
    assert (await card(hass))["commands_under_way"] == 1, "a reply is no proof"
    await pass_time(hass, freezer, 8.0)
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_50))
    await settle()
    told = await card(hass)
    assert told["commands_under_way"] == 0
    assert told["mean_time_to_proof"] == "8 s"
    assert told.keys() == ALL_ROWS


async def test_what_is_lost_and_what_returns(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    link.set_connected(False)
    told = await card(hass)
    assert (told["links_connected"], told["gateways_online"]) == ("0/1", "0/1")
    link.set_connected(True)
    told = await card(hass)
    assert (told["links_connected"], told["gateways_online"]) == ("1/1", "1/1")


async def test_an_entry_that_could_not_be_set_up_counts_as_lost(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    same = MockConfigEntry(
        domain=DOMAIN,
        unique_id="02345678904",
        data={**BROKER, "gateway_id": "02345678904", "area_id": None},
    )
    other = MockConfigEntry(
        domain=DOMAIN,
        unique_id="02345678905",
        data={**BROKER, "port": 1884, "gateway_id": "02345678905", "area_id": None},
    )
    await set_up(hass, same)
    link.wait_error = LinkError("no route")
    await set_up(hass, other)
    told = await card(hass)
    assert (told["links_connected"], told["gateways_online"]) == ("1/2", "2/3")
    await hass.config_entries.async_set_disabled_by(other.entry_id, ConfigEntryDisabler.USER)
    told = await card(hass)
    assert (told["links_connected"], told["gateways_online"]) == ("1/1", "2/2")


async def test_nothing_is_left_without_entries(hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, DOMAIN, {})
    told = await card(hass)
    assert (told["links_connected"], told["gateways_online"]) == ("0/0", "0/0")


async def test_home_assistant_shows_it(
    hass: HomeAssistant, entry: MockConfigEntry, hass_ws_client: WebSocketGenerator
) -> None:
    client = await hass_ws_client(hass)
    await client.send_json_auto_id({"type": "system_health/info"})
    while (message := await client.receive_json())["type"] != "event" or (
        message["event"].get("type") != "initial"
    ):
        pass
    shown = message["event"]["data"][DOMAIN]
    assert shown["info"]["gateways_online"] == "1/1", json.dumps(shown)
    assert shown["manage_url"] == "/config/integrations/integration/hy_heating"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_row_has_a_name(language: str) -> None:
    assert texts(language)["system_health"]["info"].keys() == ALL_ROWS
