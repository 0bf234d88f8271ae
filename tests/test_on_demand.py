"""What people ask for by hand: buttons, and updates of single entities."""

import asyncio
import json
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from .common import VALVE, FakeLink, captured, captured_frame, report
from .test_valve import VALVE_REPORT_50, settle, transparent_reply

SUPPLY = f"sensor.valve_{VALVE}_supply_temperature"


def act(hass: HomeAssistant, domain: str, action: str, entity_id: str) -> asyncio.Task[Any]:
    data = {"entity_id": entity_id}
    return hass.async_create_task(hass.services.async_call(domain, action, data, blocking=True))


@pytest.fixture(autouse=True)
async def asked_nothing(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> None:
    link.deliver(captured("status_reply"))
    await settle()
    link.deliver(captured("settings_reply"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    link.published.clear()


async def test_refresh_status_asks_for_status_and_settings(
    hass: HomeAssistant, link: FakeLink
) -> None:
    action = act(hass, "button", "press", "button.building_3_refresh_status")
    await settle()
    assert [payload for _, payload in link.published] == [captured("status_query")]
    link.deliver(captured("status_reply").replace(b'"RSSI":-98', b'"RSSI":-77'))
    await settle()
    assert link.published[-1][1] == captured("settings_query")
    link.deliver(captured("settings_reply"))
    await action
    assert hass.states.is_state("sensor.building_3_signal_strength_rssi", "-77")


@pytest.mark.parametrize(
    ("button", "message"),
    [("read_cabinets_now", "read_cabinets_now"), ("read_household_valves_now", "read_valves_now")],
)
async def test_read_now(hass: HomeAssistant, link: FakeLink, button: str, message: str) -> None:
    action = act(hass, "button", "press", f"button.building_3_{button}")
    await settle()
    assert link.published[-1][1] == captured(message)
    link.deliver(captured("read_now_ack"))
    await action


@pytest.mark.parametrize("button", ["refresh_status", "read_cabinets_now"])
async def test_a_button_that_cannot_says_why(
    hass: HomeAssistant, link: FakeLink, button: str
) -> None:
    action = act(hass, "button", "press", f"button.building_3_{button}")
    await settle()
    link.set_connected(False)
    if button == "read_cabinets_now":  # it was sent, and may still be answered
        link.set_connected(True)
        link.deliver(captured("read_now_ack"))
        await action
        return
    with pytest.raises(HomeAssistantError) as failure:
        await action
    assert failure.value.translation_key == "failed_link_down"
    assert failure.value.translation_placeholders == {"target": "02345678903"}

    link.set_connected(True)
    await settle()
    link.deliver(captured("status_reply"))
    await settle()
    assert hass.states.is_state("binary_sensor.building_3_connectivity", "on")


async def test_an_update_of_an_entity_reads_its_meter(hass: HomeAssistant, link: FakeLink) -> None:
    assert await async_setup_component(hass, "homeassistant", {})
    action = act(hass, "homeassistant", "update_entity", f"valve.valve_{VALVE}")
    await settle()
    sent = json.loads(link.published[-1][1])
    assert sent["data"]["transparent"] == captured_frame("valve_read")
    link.deliver(transparent_reply(VALVE_REPORT_50))
    await action
    state = hass.states.get(f"valve.valve_{VALVE}")
    assert state is not None
    assert state.attributes["current_position"] == 50


async def test_an_update_that_is_refused_leaves_the_last_reading(
    hass: HomeAssistant, link: FakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    assert await async_setup_component(hass, "homeassistant", {})
    action = act(hass, "homeassistant", "update_entity", SUPPLY)
    await settle()
    link.deliver(transparent_reply(captured_frame("error_reply_one_byte")))
    await action
    assert hass.states.is_state(SUPPLY, "29.1")
    assert f"{VALVE} answered with an error" in caplog.text

    link.deliver(report(f"{VALVE}200800", captured_frame("valve_report_C")))
    await settle()
    assert hass.states.is_state(SUPPLY, "29.1")


async def test_an_update_of_the_gateway_asks_for_its_status(
    hass: HomeAssistant, link: FakeLink
) -> None:
    assert await async_setup_component(hass, "homeassistant", {})
    action = act(hass, "homeassistant", "update_entity", "sensor.building_3_signal_strength_rssi")
    await settle()
    assert [payload for _, payload in link.published] == [captured("status_query")]
    link.deliver(captured("status_reply"))
    await action
