"""Gateways behind Home Assistant's own MQTT, in a real Home Assistant, as a person adds them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hass_api import ApiError, wait_for
from playwright.async_api import Page, expect
import pytest
import pytest_asyncio

from simulator.mqtt import Broker, Simulator
from simulator.scenario import demo

from .browser import logged_in, take_picture
from .conftest import ARTIFACTS
from .house import House, position
from .mosquitto import PASSWORD, USERNAME, Mosquitto
from .vectors import GATEWAY, VALVE

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTED_IN_LOG = (
    r"No connection to the gateways: Home Assistant's MQTT integration is not (loaded|connected)",
    # What its web server says when the browser leaves a page that still loads.
    r"Error doing job: ClientConnectionResetError",
)

PICTURES = ARTIFACTS / "pictures"
OTHER_GATEWAY = "02345678904"
OWN_BROKER = {"prefix": "hy/gw", "discovery": True}
VALVE_ENTITY = f"{GATEWAY}_{VALVE}_valve"
PROOF_TIMEOUT_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator(broker: Mosquitto) -> AsyncIterator[Simulator]:
    """Run two buildings that report often, with valves that take 4 s from end to end."""
    scenario = demo().with_plans(
        baud=0, turnaround_s=0.0, reports_per_interval=200.0, valve_travel_s=4.0
    )
    access = Broker(port=broker.port, username=USERNAME, password=PASSWORD)
    async with Simulator(scenario, access) as simulator:
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mqtt(house: House) -> str:
    """Set Home Assistant's MQTT up; return its entry's id."""
    return await house.add_mqtt()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(house: House) -> AsyncIterator[Page]:
    """Return a page of a browser that is logged in."""
    async with logged_in(house.hass.url) as page:
        yield page


async def test_the_first_gateway_from_the_listening_window(
    house: House, mqtt: str, simulator: Simulator
) -> None:
    api = house.api
    step = await api.start_flow()
    assert step["step_id"] == "user"
    options = step["data_schema"][0]["selector"]["select"]["options"]
    assert [option["value"] for option in options] == ["new", "home_assistant"]
    step = await api.answer_flow(step, {"broker": "home_assistant"})
    step = await api.answer_flow(step, OWN_BROKER)
    assert (step["type"], step["step_id"]) == ("menu", "gateways")
    step = await api.wait_flow(await api.answer_flow(step, {"next_step_id": "listen"}))
    assert step["step_id"] == "heard"
    step = await api.answer_flow(step, {"gateways": [GATEWAY]})
    step = await api.answer_flow(step, {"name": "Building 1"})
    assert (step["type"], step["title"]) == ("create_entry", "Building 1")


async def test_the_second_one_is_discovered(
    page: Page, house: House, mqtt: str, simulator: Simulator
) -> None:
    api = house.api
    (card,) = await wait_for(api.discovered, bool, 30.0)
    name = card["context"]["title_placeholders"]["name"]
    assert name.startswith(f"{OTHER_GATEWAY} · V1.0 · ")
    assert name.endswith(" dBm · 5+96")

    await page.goto(f"{house.hass.url}/config/integrations/dashboard")
    await expect(page.get_by_text(name)).to_be_visible()
    await take_picture(page, PICTURES, "discovered")
    await page.get_by_role("button", name="Add", exact=True).click()
    dialog = page.locator("dialog-data-entry-flow")
    await expect(dialog.get_by_text(f"Gateway {OTHER_GATEWAY}")).to_be_visible()
    await expect(dialog.get_by_text("Household valves: 96")).to_be_visible()
    await dialog.locator("input[name=name]").fill("Building 2")
    await take_picture(page, PICTURES, "flow-discovered")
    await dialog.get_by_role("button", name="Submit").click()
    await expect(dialog.get_by_text("Name and assign")).to_be_visible()
    await dialog.get_by_role("button", name="Skip and finish").click()

    await house.wait_state(f"{OTHER_GATEWAY}_connectivity", lambda state: state["state"] == "on")
    await asyncio.sleep(3)  # they go on reporting
    assert await api.discovered() == []


async def test_the_choice_of_a_connection(page: Page, house: House, mqtt: str) -> None:
    await page.goto(f"{house.hass.url}/config/integrations/integration/hy_heating")
    await page.get_by_role("button", name="Add hub").click()
    dialog = page.locator("dialog-data-entry-flow")
    for text in (
        "Home Assistant MQTT, hy/gw (Building 1, Building 2)",
        "Another broker, by a connection of its own",
        "Home Assistant's MQTT integration, with another topic prefix",
    ):
        await expect(dialog.get_by_text(text)).to_be_visible()
    await take_picture(page, PICTURES, "flow-connection")
    await dialog.get_by_text("Home Assistant's MQTT integration, with another").click()
    await dialog.get_by_role("button", name="Submit").click()
    await expect(dialog.get_by_text("Offer new gateways").first).to_be_visible()
    await take_picture(page, PICTURES, "flow-home-assistant")


async def test_a_valve_moves_and_proves_it(house: House, mqtt: str, simulator: Simulator) -> None:
    await house.wait_state(VALVE_ENTITY, lambda state: "current_position" in state["attributes"])
    entity_id = await house.entity_id(VALVE_ENTITY)
    await house.api.act("valve.set_valve_position", entity_id, position=40)
    await house.wait_state(VALVE_ENTITY, position(40), PROOF_TIMEOUT_S)
    assert simulator.opening_pct(GATEWAY, VALVE) == 40


async def test_mqtt_is_reloaded_disabled_and_enabled(
    house: House, mqtt: str, simulator: Simulator
) -> None:
    api, connectivity = house.api, f"{GATEWAY}_connectivity"
    await api.reload_entry(mqtt)
    await house.wait_state(connectivity, lambda state: state["state"] == "on")
    await house.wait_state(VALVE_ENTITY, position(40))

    await api.command("config_entries/disable", entry_id=mqtt, disabled_by="user")
    away = await house.wait_state(connectivity, lambda state: state["state"] == "off")
    assert away["attributes"]["problem"] == "mqtt_not_loaded"
    await house.wait_state(VALVE_ENTITY, lambda state: state["state"] == "unavailable")

    await api.command("config_entries/disable", entry_id=mqtt, disabled_by=None)
    await house.wait_state(connectivity, lambda state: state["state"] == "on")
    await house.wait_state(VALVE_ENTITY, position(40))


async def test_a_restart_finds_it_all_again(house: House, mqtt: str, simulator: Simulator) -> None:
    await house.stop()
    await house.start()
    states: list[dict[str, Any]] = [
        await house.wait_state(f"{gateway}_connectivity", lambda state: state["state"] == "on", 60)
        for gateway in (GATEWAY, OTHER_GATEWAY)
    ]
    assert [state["attributes"]["problem"] for state in states] == [None, None]
    await house.wait_state(VALVE_ENTITY, position(40))


async def test_without_mqtt_set_up_says_so_and_an_own_connection_helps(
    house: House, mqtt: str, simulator: Simulator
) -> None:
    api = house.api
    await api.remove_entry(mqtt)
    (first, *_) = await api.entries()
    await api.reload_entry(first["entry_id"])

    async def state() -> dict[str, Any]:
        entries = {entry["entry_id"]: entry for entry in await api.entries()}
        return entries[first["entry_id"]]

    entry = await wait_for(state, lambda entry: entry["state"] == "setup_retry")
    assert entry["error_reason_translation_key"] == "mqtt_not_loaded"

    path = "/api/config/config_entries/flow"
    body = {"handler": "hy_heating", "entry_id": first["entry_id"]}
    step: dict[str, Any] = await api.request("POST", path, body)
    assert step["step_id"] == "reconfigure"
    step = await api.answer_flow(step, {"next_step_id": "reconfigure_broker"})
    step = await api.answer_flow(step, house.broker_form(name=first["title"]))
    assert (step["type"], step["reason"]) == ("abort", "reconfigure_successful")
    for gateway in (GATEWAY, OTHER_GATEWAY):
        await house.wait_state(f"{gateway}_connectivity", lambda state: state["state"] == "on")
    with pytest.raises(ApiError):
        await api.request("GET", f"{path}/{step['flow_id']}")
