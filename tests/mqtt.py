"""Home Assistant's own MQTT integration, set up at a broker of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.links.brokers import until

MQTT = "homeassistant.components.mqtt"


def mqtt_entry(port: int, protocol: str = "5") -> MockConfigEntry:
    """Return an entry of Home Assistant's MQTT, without the messages that it sends by itself."""
    return MockConfigEntry(
        domain="mqtt",
        title="MQTT",
        data={
            "broker": "127.0.0.1",
            "port": port,
            "username": "heat",
            "password": "right",
            "protocol": protocol,
        },
        options={"birth_message": {}, "will_message": {}, "discovery": False},
        version=2,
        minor_version=1,
    )


@contextmanager
def impatient_mqtt() -> Iterator[None]:
    """Let it try again soon, and spare its try for MQTT 5, which amqtt leaves unanswered."""
    with (
        # It reads the configuration of the house, which a test has none of.
        patch("homeassistant.config.load_yaml_config_file", return_value={}),
        patch(f"{MQTT}.try_connection", return_value=False),
        patch(f"{MQTT}.client.RECONNECT_INTERVAL_SECONDS", 0.1),
        patch(f"{MQTT}.client.INITIAL_SUBSCRIBE_COOLDOWN", 0.05),
        patch(f"{MQTT}.client.SUBSCRIBE_COOLDOWN", 0.02),
        patch(f"{MQTT}.client.UNSUBSCRIBE_COOLDOWN", 0.02),
    ):
        yield


async def set_up_mqtt(
    hass: HomeAssistant, entry: MockConfigEntry, *, connected: bool = True
) -> None:
    """Set Home Assistant's MQTT up, and wait for its connection unless there can be none."""
    entry.add_to_hass(hass)
    assert await async_setup_component(hass, "mqtt", {})
    await hass.async_block_till_done()
    if connected:
        await until(lambda: hass.data["mqtt"].client.connected)


async def unload_mqtt(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """End it, whatever a test did to it."""
    if hass.config_entries.async_get_entry(entry.entry_id) and entry.state.recoverable:
        await hass.config_entries.async_unload(entry.entry_id)
