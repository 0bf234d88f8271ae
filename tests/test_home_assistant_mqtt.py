"""A gateway behind Home Assistant's own MQTT, from set-up to removal, at a real broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
import json
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, State
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.diagnostics import (
    get_diagnostics_for_config_entry,
)
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.hy_heating.const import DOMAIN
from tests.links.brokers import AmqttBroker, until

from .common import CABINET, COMMAND_TOPIC, GATEWAY_ID, REPORT_TOPIC, captured, set_up
from .mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

CONNECTIVITY = "binary_sensor.building_3_connectivity"
CABINET_VALVE = f"valve.cabinet_{CABINET}_valve"


@pytest.fixture
async def broker(socket_enabled: None) -> AsyncIterator[AmqttBroker]:
    """Bring up a broker."""
    broker = AmqttBroker()
    await broker.start()
    yield broker
    await broker.stop()


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


def shared_entry() -> MockConfigEntry:
    return MockConfigEntry(
        domain=DOMAIN,
        title="Building 3",
        unique_id=GATEWAY_ID,
        version=2,
        data={
            "link": "home_assistant",
            "prefix": "hy/gw",
            "discovery": False,
            "gateway_id": GATEWAY_ID,
        },
        options={"move_pause_s": 0},
    )


def assert_state(entry: MockConfigEntry, expected: ConfigEntryState) -> None:
    """Check an entry's state without telling the type checker that it stays so."""
    assert entry.state is expected


def state(hass: HomeAssistant, entity_id: str) -> State:
    found = hass.states.get(entity_id)
    assert found
    return found


async def becomes(hass: HomeAssistant, entity_id: str, right: Callable[[State], bool]) -> State:
    await until(lambda: (found := hass.states.get(entity_id)) is not None and right(found))
    return state(hass, entity_id)


async def test_reports_become_states_and_commands_reach_the_gateway(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry
) -> None:
    entry = shared_entry()
    await set_up(hass, entry)
    assert_state(entry, ConfigEntryState.LOADED)
    assert broker.subscriptions == {REPORT_TOPIC, COMMAND_TOPIC}
    await broker.publish(REPORT_TOPIC, captured("cabinet_report"))
    await becomes(hass, CABINET_VALVE, lambda valve: valve.state == "open")

    commands: list[Any] = []

    def hear(_topic: str, payload: bytes, _retained: bool) -> None:
        commands.append(json.loads(payload))

    await entry.runtime_data.link.subscribe(COMMAND_TOPIC, hear)
    moving = hass.async_create_task(
        hass.services.async_call(
            "valve", "set_valve_position", {"entity_id": CABINET_VALVE, "position": 50}, True
        )
    )
    await until(lambda: any(command["gw"]["msg_id"] == 40 for command in commands))
    await hass.config_entries.async_unload(entry.entry_id)
    with pytest.raises(Exception) as failure:  # noqa: PT011 - the key is checked
        await moving
    assert getattr(failure.value, "translation_key", None) == "failed_shut_down"
    await until(lambda: not broker.subscriptions)


async def test_a_download_says_which_link_it_is(
    hass: HomeAssistant,
    broker: AmqttBroker,
    mqtt: MockConfigEntry,
    hass_client: ClientSessionGenerator,
) -> None:
    entry = shared_entry()
    await set_up(hass, entry)
    assert await async_setup_component(hass, "diagnostics", {})
    download: Any = await get_diagnostics_for_config_entry(hass, hass_client, entry)
    assert download["link"]["kind"] == "Home Assistant's MQTT"
    assert download["link"]["connected"] is True


async def test_a_kept_report_is_refused(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry
) -> None:
    await broker.retain(REPORT_TOPIC, captured("cabinet_report"))
    entry = shared_entry()
    await set_up(hass, entry)
    client = entry.runtime_data.gateway.client
    await until(lambda: client.refusals.counts)
    assert [str(reason) for _, reason in client.refusals.counts] == ["retained"]
    assert hass.states.get(CABINET_VALVE) is None
    await broker.publish(REPORT_TOPIC, captured("cabinet_report"))
    await becomes(hass, CABINET_VALVE, lambda valve: valve.state == "open")


async def test_nothing_counts_while_mqtt_is_away_and_everything_afterwards(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry
) -> None:
    entry = shared_entry()
    await set_up(hass, entry)
    await broker.publish(REPORT_TOPIC, captured("cabinet_report"))
    await becomes(hass, CABINET_VALVE, lambda valve: valve.state == "open")

    await broker.stop()
    await becomes(hass, CABINET_VALVE, lambda valve: valve.state == "unavailable")
    assert state(hass, CONNECTIVITY).attributes["problem"] == "broker_unreachable"
    await hass.config_entries.async_unload(mqtt.entry_id)
    assert state(hass, CONNECTIVITY).state == "off"
    assert state(hass, CONNECTIVITY).attributes["problem"] == "mqtt_not_loaded", "now it is that"
    assert_state(entry, ConfigEntryState.LOADED)

    await broker.start()
    await hass.config_entries.async_setup(mqtt.entry_id)
    await becomes(hass, CABINET_VALVE, lambda valve: valve.state == "open")
    assert state(hass, CONNECTIVITY).attributes["problem"] is None
    await broker.publish(REPORT_TOPIC, captured("cabinet_report"))

    await hass.config_entries.async_reload(mqtt.entry_id)
    await becomes(hass, CABINET_VALVE, lambda valve: valve.state == "open")
    assert broker.subscriptions == {REPORT_TOPIC, COMMAND_TOPIC}


async def test_set_up_waits_for_mqtt_and_says_so(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry
) -> None:
    entry = shared_entry()
    await hass.config_entries.async_unload(mqtt.entry_id)
    await set_up(hass, entry)
    assert_state(entry, ConfigEntryState.SETUP_RETRY)
    assert entry.error_reason_translation_key == "mqtt_not_loaded"

    await broker.stop()
    await hass.config_entries.async_setup(mqtt.entry_id)
    await hass.config_entries.async_reload(entry.entry_id)
    assert_state(entry, ConfigEntryState.SETUP_RETRY)
    assert entry.error_reason_translation_key == "mqtt_not_connected"

    await broker.start()
    await until(lambda: hass.data["mqtt"].client.connected)
    await hass.config_entries.async_reload(entry.entry_id)
    assert_state(entry, ConfigEntryState.LOADED)


async def test_removal_leaves_nothing_and_disturbs_nobody(
    hass: HomeAssistant, broker: AmqttBroker, mqtt: MockConfigEntry
) -> None:
    ignored = MockConfigEntry(domain=DOMAIN, unique_id="02345678999", source="ignore", data={})
    ignored.add_to_hass(hass)
    entry = shared_entry()
    await set_up(hass, entry)
    await hass.config_entries.async_remove(entry.entry_id)
    await until(lambda: not broker.subscriptions)
    assert hass.data["mqtt"].client.connected
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("hy_heating")]
