"""The link over Home Assistant's MQTT at a real mosquitto: MQTT 5, a frozen broker, a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
import time

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.hyheat.errors import LinkError, LinkTimeoutError
from custom_components.hy_heating.links import (
    HomeAssistantSettings,
    SharedLink,
    async_acquire_link,
    home_assistant,
    temporary_link,
)
from tests.links.brokers import until
from tests.links.mosquitto import Mosquitto
from tests.mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("socket_enabled")]

TOPIC = "hy/gw/set/02345678903"
COMMAND_TOPIC = "hy/gw/get/02345678903"
SETTINGS = HomeAssistantSettings(prefix="hy/gw")


class Ear:
    """A listener that remembers payloads and whether they were kept from before."""

    def __init__(self) -> None:
        self.heard: list[tuple[bytes, bool]] = []

    def __call__(self, _topic: str, payload: bytes, retained: bool) -> None:
        self.heard.append((payload, retained))


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """Return a running mosquitto that queues even what need not be queued."""
    mosquitto = Mosquitto(tmp_path, ["queue_qos0_messages true"])
    await mosquitto.start()
    yield mosquitto
    await mosquitto.stop()


@pytest.fixture
async def mqtt(hass: HomeAssistant, mosquitto: Mosquitto) -> AsyncIterator[MockConfigEntry]:
    """Set Home Assistant's MQTT up."""
    with impatient_mqtt():
        entry = mqtt_entry(mosquitto.port)
        await set_up_mqtt(hass, entry)
        yield entry
        await unload_mqtt(hass, entry)


@pytest.fixture
async def link(hass: HomeAssistant, mqtt: MockConfigEntry) -> AsyncIterator[SharedLink]:
    """Return a connected link."""
    link = await async_acquire_link(hass, SETTINGS)
    await link.async_wait_connected(10)
    yield link
    await link.async_release()


def is_up(link: SharedLink) -> bool:
    return link.connected


async def test_a_command_expires_and_is_not_kept(link: SharedLink, mosquitto: Mosquitto) -> None:
    async with mosquitto.client() as gateway:
        await gateway.subscribe(COMMAND_TOPIC, qos=1)
        await link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
        async with asyncio.timeout(5):
            message = await anext(gateway.messages)
    assert (message.payload, message.qos, message.retain) == (b"x", 0, False)
    assert str(message.properties) == "[MessageExpiryInterval : 30]"


async def test_a_command_does_not_wait_for_a_gateway_that_is_away(
    link: SharedLink, mosquitto: Mosquitto
) -> None:
    async with mosquitto.client("gateway", clean=False) as gateway:
        await gateway.subscribe(COMMAND_TOPIC, qos=1)
    await link.publish(COMMAND_TOPIC, b"expires", expiry_s=1, fresh=True)
    await link.publish(COMMAND_TOPIC, b"waits", expiry_s=60, fresh=True)
    await asyncio.sleep(2.5)
    async with mosquitto.client("gateway", clean=False) as gateway, asyncio.timeout(5):
        message = await anext(gateway.messages)
    assert message.payload == b"waits"


async def test_a_frozen_broker_gets_no_command_late(
    link: SharedLink, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "FRESH_S", 0.5)
    monkeypatch.setattr(home_assistant, "ANSWER_TIMEOUT_S", 1.0)
    async with mosquitto.client() as gateway:
        await gateway.subscribe(COMMAND_TOPIC, qos=1)
        await asyncio.sleep(0.6)  # what was heard before counts no longer
        mosquitto.freeze()
        begun = time.monotonic()
        with pytest.raises(LinkTimeoutError):
            await link.publish(COMMAND_TOPIC, b"late", expiry_s=10, fresh=True)
        assert 0.9 < time.monotonic() - begun < 3.0
        mosquitto.thaw()
        await link.publish(COMMAND_TOPIC, b"now", expiry_s=10, fresh=True)
        async with asyncio.timeout(5):
            message = await anext(gateway.messages)
    assert message.payload == b"now", "and the other one never comes"


async def test_a_link_made_while_the_broker_is_frozen_takes_it_for_no_answer(
    hass: HomeAssistant,
    mqtt: MockConfigEntry,
    mosquitto: Mosquitto,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Home Assistant may have been connected for hours."""
    monkeypatch.setattr(home_assistant, "ANSWER_TIMEOUT_S", 1.0)
    mosquitto.freeze()
    link = await async_acquire_link(hass, SETTINGS)
    await link.async_wait_connected(10)
    with pytest.raises(LinkTimeoutError):
        await link.publish(COMMAND_TOPIC, b"late", expiry_s=10, fresh=True)
    mosquitto.thaw()
    await link.publish(COMMAND_TOPIC, b"now", expiry_s=10, fresh=True)
    await link.async_release()


async def test_each_listener_hears_once_what_several_subscriptions_match(
    hass: HomeAssistant, link: SharedLink, mosquitto: Mosquitto
) -> None:
    one, window = Ear(), Ear()
    await link.subscribe(TOPIC, one)
    async with temporary_link(hass, SETTINGS) as passing:
        await passing.subscribe("hy/gw/set/+", window)
        # With MQTT 5, copies are told apart by themselves, and equal messages are two.
        await mosquitto.publish(TOPIC, b"\x00\xff", b"\x00\xff", b"end")
        await until(lambda: one.heard[-1:] == window.heard[-1:] == [(b"end", False)])
    assert (
        one.heard == window.heard == [(b"\x00\xff", False), (b"\x00\xff", False), (b"end", False)]
    )


async def test_a_kept_message_is_told_as_such(link: SharedLink, mosquitto: Mosquitto) -> None:
    async with mosquitto.client() as gateway:
        await gateway.publish(TOPIC, b"old", qos=1, retain=True)
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    await until(lambda: ear.heard)
    assert ear.heard == [(b"old", True)]


async def test_a_restart_of_the_broker(link: SharedLink, mosquitto: Mosquitto) -> None:
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    await mosquitto.stop()
    await until(lambda: not is_up(link))
    with pytest.raises(LinkError):
        await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
    await mosquitto.start()
    await until(lambda: is_up(link))
    await mosquitto.publish(TOPIC, b"x")
    await until(lambda: ear.heard)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)


async def test_no_session_is_left_there(
    hass: HomeAssistant, mqtt: MockConfigEntry, mosquitto: Mosquitto
) -> None:
    """What this link cannot do: reports that come while Home Assistant is away are lost."""
    link = await async_acquire_link(hass, SETTINGS)
    await link.async_wait_connected(10)
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    await hass.config_entries.async_unload(mqtt.entry_id)
    await mosquitto.publish(TOPIC, b"meanwhile")
    await hass.config_entries.async_setup(mqtt.entry_id)
    await until(lambda: is_up(link))
    await mosquitto.publish(TOPIC, b"afterwards")
    await until(lambda: ear.heard)
    assert ear.heard == [(b"afterwards", False)]
    await link.async_release()
