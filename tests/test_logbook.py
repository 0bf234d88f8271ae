"""What a person reads in the logbook of a real recorder."""

from datetime import timedelta
import logging
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from pytest_homeassistant_custom_component.typing import (
    RecorderInstanceContextManager,
    WebSocketGenerator,
)

from .common import COMMAND_TOPIC, VALVE, FakeLink, captured
from .test_commands import COMMAND_EVENT, fail, prove
from .test_valve import settle


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder be ready before Home Assistant."""
    logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)


@pytest.fixture
async def logbook(recorder_mock: object, hass: HomeAssistant) -> None:
    assert await async_setup_component(hass, "logbook", {})


async def test_the_end_of_every_command_stands_in_the_logbook(
    logbook: None,
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    since = dt_util.utcnow() - timedelta(seconds=1)
    await prove(hass, link)
    await fail(hass, link)
    link.deliver(captured("valve_set_100"), COMMAND_TOPIC)
    await settle()
    await async_wait_recording_done(hass)
    client = await hass_ws_client(hass)
    await client.send_json_auto_id(
        {
            "type": "logbook/get_events",
            "start_time": since.isoformat(),
            "entity_ids": [COMMAND_EVENT],
        }
    )
    answer: dict[str, Any] = await client.receive_json()
    lines = [line for line in answer["result"] if line.get("domain") == "hy_heating"]
    assert {line["name"] for line in lines} == {f"Valve {VALVE}"}
    assert {line["entity_id"] for line in lines} == {COMMAND_EVENT}
    first, second, third = (line["message"] for line in lines)
    assert first.startswith("reached 50 % (from 100 %, tries: 1, ")
    assert second.startswith("did not prove 0 %: the device answered with an error (found ? %, ")
    assert third == "was told 100 % by another master"
