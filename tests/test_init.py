"""Set-up, failure and recovery of an entry; nothing is left behind."""

import asyncio
from datetime import timedelta
from unittest.mock import AsyncMock, patch

from homeassistant.config_entries import SOURCE_REAUTH, ConfigEntryState
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant
from homeassistant.helpers import area_registry as ar, device_registry as dr
from homeassistant.setup import async_setup_component
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)
from pytest_homeassistant_custom_component.typing import WebSocketGenerator

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import (
    LinkAuthError,
    LinkError,
    LinkTimeoutError,
    LinkTlsError,
    SubscriptionRefusedError,
)

from .common import (
    CABINET,
    COMMAND_TOPIC,
    GATEWAY_ID,
    REPORT_TOPIC,
    FakeLink,
    captured,
    make_entry,
    set_up,
)


def assert_state(entry: MockConfigEntry, expected: ConfigEntryState) -> None:
    """Check an entry's state without telling the type checker that it stays so."""
    assert entry.state is expected


async def test_unload_and_reload_leave_nothing_behind(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    assert_state(entry, ConfigEntryState.LOADED)
    assert (list(link.subscriptions), link.users) == ([REPORT_TOPIC, COMMAND_TOPIC], 1)
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()

    await hass.config_entries.async_reload(entry.entry_id)
    assert (list(link.subscriptions), link.users) == ([REPORT_TOPIC, COMMAND_TOPIC], 1)
    assert len(link.status_listeners) == 2

    await hass.config_entries.async_unload(entry.entry_id)
    assert (link.subscriptions, link.users, link.status_listeners) == ({}, 0, [])


async def test_what_is_asked_at_the_start(link: FakeLink, entry: MockConfigEntry) -> None:
    assert [message["gw"]["msg_id"] for message in link.sent()] == [1]
    link.deliver(captured("status_reply"))
    for _ in range(5):
        await entry.runtime_data.gateway.hass.async_block_till_done()
    assert [message["gw"]["msg_id"] for message in link.sent()] == [2]


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (LinkError("refused"), "broker_unreachable"),
        (LinkTimeoutError("late"), "broker_timeout"),
        (LinkTlsError("certificate"), "broker_tls_failed"),
    ],
)
async def test_set_up_is_tried_again_until_the_broker_is_there(
    hass: HomeAssistant, link: FakeLink, error: LinkError, key: str
) -> None:
    entry = make_entry()
    link.wait_error = error
    await set_up(hass, entry)
    assert_state(entry, ConfigEntryState.SETUP_RETRY)
    assert entry.error_reason_translation_key == key
    assert (link.subscriptions, link.users) == ({}, 0)

    link.wait_error = None
    async_fire_time_changed(hass, dt_util.utcnow() + timedelta(minutes=5))
    for _ in range(1000):  # the retry runs in the background, and so does the first poll
        await asyncio.sleep(0)
    assert_state(entry, ConfigEntryState.LOADED)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_a_refused_subscription_names_its_topic(hass: HomeAssistant, link: FakeLink) -> None:
    entry = make_entry()
    link.subscribe_error = SubscriptionRefusedError(REPORT_TOPIC)
    await set_up(hass, entry)
    assert_state(entry, ConfigEntryState.SETUP_RETRY)
    assert entry.error_reason_translation_key == "subscription_refused"
    assert entry.error_reason_translation_placeholders == {
        "broker": "127.0.0.1:1883",
        "topic": REPORT_TOPIC,
    }
    assert (link.users, link.status_listeners) == (0, [])

    link.subscribe_error = None
    await hass.config_entries.async_reload(entry.entry_id)
    assert_state(entry, ConfigEntryState.LOADED)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_refused_credentials_ask_for_new_ones(hass: HomeAssistant, link: FakeLink) -> None:
    entry = make_entry()
    link.wait_error = LinkAuthError("not authorized")
    await set_up(hass, entry)
    assert_state(entry, ConfigEntryState.SETUP_ERROR)
    flows = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert [flow["context"]["source"] for flow in flows] == [SOURCE_REAUTH]

    link.wait_error = None
    await hass.config_entries.async_reload(entry.entry_id)
    assert_state(entry, ConfigEntryState.LOADED)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_credentials_refused_while_running_ask_for_new_ones(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    link.set_connected(False, LinkError("lost"))
    assert not hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    link.set_connected(False, LinkAuthError("not authorized"))
    await hass.async_block_till_done()
    flows = hass.config_entries.flow.async_progress_by_handler(DOMAIN)
    assert [flow["context"]["source"] for flow in flows] == [SOURCE_REAUTH]
    link.set_connected(True)
    assert hass.states.is_state("binary_sensor.building_3_connectivity", "on")


async def test_removing_the_last_entry_of_a_broker_ends_our_session_there(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    other = MockConfigEntry(
        domain=DOMAIN,
        title="Building 4",
        unique_id="02345678904",
        data={**entry.data, "gateway_id": "02345678904"},
    )
    await set_up(hass, other)
    with patch("custom_components.hy_heating.async_forget_session", AsyncMock()) as forget:
        await hass.config_entries.async_remove(entry.entry_id)
        forget.assert_not_called()
        await hass.config_entries.async_remove(other.entry_id)
        forget.assert_awaited_once_with(hass, link.settings)
    assert link.users == 0


async def test_the_area_given_in_the_flow_is_suggested(hass: HomeAssistant, link: FakeLink) -> None:
    area = ar.async_get(hass).async_create("Building three")
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Building 3",
        unique_id=GATEWAY_ID,
        data={**make_entry().data, "area_id": area.id},
    )
    await set_up(hass, entry)
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert {device.area_id for device in devices} == {area.id}
    await hass.config_entries.async_unload(entry.entry_id)


async def test_only_a_meter_that_is_silent_can_be_removed(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    hass_ws_client: WebSocketGenerator,
) -> None:
    assert await async_setup_component(hass, "config", {})
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    client = await hass_ws_client(hass)
    devices = {
        device.serial_number: device.id
        for device in dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    }
    assert not (await client.remove_device(devices[GATEWAY_ID]))["success"]
    assert not (await client.remove_device(devices[CABINET]))["success"]

    await hass.config_entries.async_unload(entry.entry_id)
    assert not (await client.remove_device(devices[CABINET]))["success"], "it could not be cleaned"
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()

    link.set_connected(False)
    assert (await client.remove_device(devices[CABINET]))["success"]
    number = entry.runtime_data.gateway.meters | entry.runtime_data.gateway.readings.memories
    assert CABINET not in number, "nothing is kept of it"
    await hass.async_block_till_done()
    assert hass.states.get(f"valve.cabinet_{CABINET}_valve") is None

    link.set_connected(True)
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert hass.states.is_state(f"valve.cabinet_{CABINET}_valve", "open"), "it returns"


async def test_a_stop_of_home_assistant_ends_waiting_commands(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    data = {"entity_id": "valve.valve_23227310", "position": 50}
    action = hass.async_create_task(
        hass.services.async_call("valve", "set_valve_position", data, blocking=True)
    )
    for _ in range(5):
        await hass.async_add_executor_job(int)
    hass.bus.async_fire(EVENT_HOMEASSISTANT_STOP)
    with pytest.raises(Exception) as failure:  # noqa: PT011 - the key is checked
        await action
    assert getattr(failure.value, "translation_key", None) == "failed_shut_down"
