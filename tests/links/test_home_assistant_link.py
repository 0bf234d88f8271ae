"""The link over Home Assistant's own MQTT integration, at a broker of MQTT 3.1.1.

What needs MQTT 5, or a broker that freezes, is in tests/e2e/test_home_assistant_link.py.
"""

import asyncio
from collections.abc import AsyncIterator
import logging
from unittest.mock import patch

from homeassistant.components import mqtt as mqtt_component
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.hyheat.errors import LinkError, LinkTimeoutError
from custom_components.hy_heating.links import (
    HomeAssistantSettings,
    MqttNotConnectedError,
    MqttNotLoadedError,
    SharedLink,
    async_acquire_link,
    async_forget_session,
    async_open_link,
    home_assistant,
    temporary_link,
)
from tests.mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

from .brokers import AmqttBroker, until

pytestmark = pytest.mark.usefixtures("socket_enabled")

TOPIC = "hy/gw/set/02345678903"
OTHER_TOPIC = "hy/gw/set/02345678904"
COMMAND_TOPIC = "hy/gw/get/02345678903"
EVERY_REPORT = "hy/gw/set/+"
SETTINGS = HomeAssistantSettings(prefix="hy/gw")

type Message = tuple[str, bytes, bool]


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def __call__(self, topic: str, payload: bytes, retained: bool) -> None:
        self.heard.append((topic, payload, retained))


@pytest.fixture
async def mqtt(hass: HomeAssistant, broker: AmqttBroker) -> AsyncIterator[MockConfigEntry]:
    """Set Home Assistant's MQTT up."""
    with impatient_mqtt():
        entry = mqtt_entry(broker.port, "3.1.1")
        await set_up_mqtt(hass, entry)
        yield entry
        await unload_mqtt(hass, entry)


@pytest.fixture
async def link(hass: HomeAssistant, mqtt: MockConfigEntry) -> AsyncIterator[SharedLink]:
    """Return a connected link."""
    link = await async_acquire_link(hass, SETTINGS)
    await link.async_wait_connected(5)
    yield link
    await link.async_release()


def is_up(link: SharedLink) -> bool:
    """Return whether it is connected; a function because mypy takes properties for constants."""
    return link.connected


def failure_of(link: SharedLink) -> LinkError | None:
    return link.failure


def own_records(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= level and ".links." in record.name
    ]


# --- Messages -------------------------------------------------------------------------------


async def test_messages_reach_the_listener_of_their_topic_as_bytes(
    hass: HomeAssistant, link: SharedLink, broker: AmqttBroker
) -> None:
    one, other = Ear(), Ear()
    await broker.retain(OTHER_TOPIC, b"old")
    await link.subscribe(TOPIC, one)
    end = await link.subscribe(OTHER_TOPIC, other)
    await broker.publish(TOPIC, b"\x00\xff")
    await until(lambda: one.heard and other.heard)
    assert one.heard == [(TOPIC, b"\x00\xff", False)]
    assert other.heard == [(OTHER_TOPIC, b"old", True)], "and it is told that it is an old one"
    await end()
    await until(lambda: broker.subscriptions == {TOPIC})
    await broker.publish(OTHER_TOPIC, b"x")
    await broker.publish(TOPIC, b"x")
    await until(lambda: len(one.heard) == 2)
    assert len(other.heard) == 1


async def test_a_topic_stays_subscribed_until_its_last_listener_is_gone(
    link: SharedLink, broker: AmqttBroker
) -> None:
    one, other = Ear(), Ear()
    end_one = await link.subscribe(TOPIC, one)
    end_other = await link.subscribe(TOPIC, other)
    await end_one()
    await broker.publish(TOPIC, b"x")
    await until(lambda: other.heard)
    assert not one.heard
    await end_other()
    await until(lambda: broker.subscriptions == set())


async def test_a_second_copy_is_not_a_second_message(
    hass: HomeAssistant, link: SharedLink, broker: AmqttBroker
) -> None:
    """One copy comes for each of Home Assistant's subscriptions, and each goes to everybody."""
    one, window = Ear(), Ear()
    await link.subscribe(TOPIC, one)
    async with temporary_link(hass, SETTINGS) as passing:
        await passing.subscribe(EVERY_REPORT, window)
        client = hass.data["mqtt"].client
        copies: list[str] = []
        await until(lambda: broker.subscriptions == {TOPIC, EVERY_REPORT})
        real = client._async_mqtt_on_message

        def count(client: object, userdata: object, message: object) -> None:
            copies.append(getattr(message, "topic"))  # noqa: B009 - paho's message
            real(client, userdata, message)

        client._mqttc.on_message = count
        await broker.publish(TOPIC, b"1")
        await until(lambda: len(copies) == 2)  # else this test shows nothing
        await asyncio.sleep(2 * home_assistant.SECOND_COPY_S)
        await broker.publish(TOPIC, b"1")
        await until(lambda: len(copies) == 4)
        client._mqttc.on_message = real
    assert one.heard == window.heard == [(TOPIC, b"1", False)] * 2


async def test_a_command_is_not_retained_and_goes_out_once(
    hass: HomeAssistant, link: SharedLink, broker: AmqttBroker
) -> None:
    ear = Ear()
    await link.subscribe(COMMAND_TOPIC, ear)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
    await until(lambda: ear.heard)
    assert ear.heard == [(COMMAND_TOPIC, b"x", False)]
    assert broker._broker
    assert COMMAND_TOPIC not in broker._broker.retained_messages


async def test_the_broker_is_asked_where_it_was_not_heard_for_long(
    link: SharedLink, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear, question = Ear(), (home_assistant.NOBODYS_TOPIC, b"", False)
    await link.subscribe("hy-heating/#", ear)
    await link.publish(COMMAND_TOPIC, b"poll", expiry_s=10, fresh=False)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
    await until(lambda: ear.heard)
    assert ear.heard == [question], "then it had answered just now"
    await asyncio.sleep(2 * home_assistant.SECOND_COPY_S)  # or the next one is taken for a copy
    monkeypatch.setattr(home_assistant, "FRESH_S", 0.0)
    await asyncio.gather(
        *(link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True) for _ in range(3))
    )
    await until(lambda: len(ear.heard) > 1)
    assert ear.heard == [question] * 2, "one question for all"


async def test_no_answer_is_no_command(
    hass: HomeAssistant, link: SharedLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "FRESH_S", 0.0)
    monkeypatch.setattr(home_assistant, "ANSWER_TIMEOUT_S", 0.1)
    published: list[str] = []
    real = mqtt_component.async_publish

    async def publish(hass: HomeAssistant, topic: str, *args: object, **more: object) -> None:
        published.append(topic)
        if topic == home_assistant.NOBODYS_TOPIC:
            await asyncio.sleep(0.3)
        await real(hass, topic, *args, **more)  # type: ignore[arg-type] # passed on as it came

    with patch.object(mqtt_component, "async_publish", publish):
        with pytest.raises(LinkTimeoutError):
            await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
        assert published == [home_assistant.NOBODYS_TOPIC]
        await link.publish(COMMAND_TOPIC, b"poll", expiry_s=10, fresh=False)
        assert published == [home_assistant.NOBODYS_TOPIC, COMMAND_TOPIC]
    monkeypatch.setattr(home_assistant, "ANSWER_TIMEOUT_S", 5.0)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)


async def test_what_cannot_be_written_fails(link: SharedLink) -> None:
    async def hang(*_: object, **__: object) -> None:
        await asyncio.sleep(10)

    async def fail(*_: object, **__: object) -> None:
        raise HomeAssistantError("broken pipe")

    with patch.object(mqtt_component, "async_publish", fail):
        with pytest.raises(LinkError, match="broken pipe"):
            await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=False)
        with patch.object(home_assistant, "FRESH_S", 0.0), pytest.raises(LinkError, match="pipe"):
            await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
    with (
        patch.object(mqtt_component, "async_publish", hang),
        patch.object(home_assistant, "ANSWER_TIMEOUT_S", 0.05),
        pytest.raises(LinkTimeoutError),
    ):
        await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=False)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)


async def test_a_subscription_that_is_not_answered_fails_and_leaves_nothing(
    link: SharedLink, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_assistant, "SUBSCRIBE_TIMEOUT_S", 0.0)
    ear = Ear()
    with pytest.raises(LinkTimeoutError):
        await link.subscribe(TOPIC, ear)
    monkeypatch.setattr(home_assistant, "SUBSCRIBE_TIMEOUT_S", 5.0)
    await link.subscribe(OTHER_TOPIC, ear)
    assert TOPIC not in broker.subscriptions
    await link.subscribe(TOPIC, ear)
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)


# --- Loss and return ------------------------------------------------------------------------


async def test_subscriptions_are_in_force_again_when_it_is_said_to_be_back(
    link: SharedLink, broker: AmqttBroker, caplog: pytest.LogCaptureFixture
) -> None:
    ear = Ear()
    status: list[tuple[bool, bool]] = []
    link.add_status_listener(lambda up: status.append((up, TOPIC in broker.subscriptions)))
    await link.subscribe(TOPIC, ear)
    await broker.stop()
    await until(lambda: not is_up(link))
    assert isinstance(failure_of(link), MqttNotConnectedError)
    with pytest.raises(MqttNotConnectedError):
        await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
    with pytest.raises(MqttNotConnectedError):
        await link.subscribe(OTHER_TOPIC, ear)
    await broker.start()
    await until(lambda: is_up(link))
    assert [up for up, _ in status] == [False, True]
    assert status[1] == (True, True)
    assert failure_of(link) is None
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)
    assert own_records(caplog, logging.INFO) == [
        f"No connection to the gateways: {MqttNotConnectedError()}",
        "Home Assistant's MQTT is connected again",
    ]


async def test_an_unanswered_subscription_is_made_again_before_it_counts_as_back(
    link: SharedLink, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    monkeypatch.setattr(home_assistant, "SUBSCRIBE_TIMEOUT_S", 0.0)
    monkeypatch.setattr(home_assistant, "RETRY_S", 0.05)
    await broker.stop()
    await until(lambda: not is_up(link))
    await broker.start()
    await until(lambda: broker.connected_ids)
    await asyncio.sleep(0.3)
    assert not is_up(link)
    monkeypatch.setattr(home_assistant, "SUBSCRIBE_TIMEOUT_S", 5.0)
    await until(lambda: is_up(link))
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)


@pytest.mark.parametrize("how", ["unload", "reload", "disable", "remove"])
async def test_mqtt_goes_and_comes(
    hass: HomeAssistant, link: SharedLink, mqtt: MockConfigEntry, broker: AmqttBroker, how: str
) -> None:
    ear = Ear()
    status: list[bool] = []
    link.add_status_listener(status.append)
    await link.subscribe(TOPIC, ear)
    entries = hass.config_entries
    if how == "reload":
        await entries.async_reload(mqtt.entry_id)
    else:
        if how == "unload":
            await entries.async_unload(mqtt.entry_id)
        elif how == "disable":
            await entries.async_set_disabled_by(mqtt.entry_id, ConfigEntryDisabler.USER)
        else:
            await entries.async_remove(mqtt.entry_id)
        assert not is_up(link)
        assert isinstance(failure_of(link), MqttNotLoadedError)
        with pytest.raises(MqttNotLoadedError):
            await link.publish(COMMAND_TOPIC, b"x", expiry_s=10, fresh=True)
        if how == "unload":
            await entries.async_setup(mqtt.entry_id)
        elif how == "disable":
            await entries.async_set_disabled_by(mqtt.entry_id, None)
        else:
            again = mqtt_entry(broker.port, "3.1.1")
            again.add_to_hass(hass)
            await entries.async_setup(again.entry_id)
    await until(lambda: is_up(link))
    assert status[0] is False
    assert status[-1] is True
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)
    await asyncio.sleep(0.1)
    assert len(ear.heard) == 1
    client = hass.data["mqtt"].client
    assert [each.topic for each in client.subscriptions] == [TOPIC], "none is left of before"
    if how == "remove":
        await link.async_release()
        assert not client.subscriptions
        await entries.async_unload(again.entry_id)


async def test_a_subscription_under_way_fails_when_the_connection_goes(
    hass: HomeAssistant, link: SharedLink, mqtt: MockConfigEntry
) -> None:
    subscribing = asyncio.ensure_future(link.subscribe(TOPIC, Ear()))
    await asyncio.sleep(0)
    await hass.config_entries.async_unload(mqtt.entry_id)
    with pytest.raises(MqttNotLoadedError):
        await subscribing
    assert not hass.data["mqtt"].client.subscriptions


async def test_a_listener_that_fails_disturbs_nobody(
    link: SharedLink, broker: AmqttBroker, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    ear = Ear()
    status: list[bool] = []
    await link.subscribe(TOPIC, fail)
    await link.subscribe(TOPIC, ear)
    link.add_status_listener(fail)
    stop = link.add_status_listener(status.append)
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)
    await broker.stop()
    await until(lambda: status == [False])
    stop()
    await broker.start()
    await until(lambda: is_up(link))
    assert status == [False]
    caplog.clear()


async def test_facts_of_a_connection(link: SharedLink, broker: AmqttBroker) -> None:
    await link.subscribe(TOPIC, Ear())
    facts = dict(link.facts)
    assert 0 <= float(str(facts.pop("connected_for_s"))) < 5
    assert facts == {
        "kind": "Home Assistant's MQTT",
        "connected": True,
        "failure": None,
        "mqtt_version": "3.1.1",
        "session_was_there": False,
        "connections": 1,
        "subscriptions": 1,
    }
    await broker.stop()
    await until(lambda: not is_up(link))
    assert link.facts["failure"] == str(MqttNotConnectedError())
    down = ("mqtt_version", "session_was_there", "connected_for_s")
    assert [link.facts[name] for name in down] == [None] * 3
    await broker.start()
    await until(lambda: is_up(link))
    assert link.facts["connections"] == 2


# --- Waited for -----------------------------------------------------------------------------


async def test_without_mqtt_there_is_nothing_to_wait_for(hass: HomeAssistant) -> None:
    link = await async_acquire_link(hass, SETTINGS)
    with pytest.raises(MqttNotLoadedError):
        await link.async_wait_connected(5)
    await link.async_release()
    with pytest.raises(MqttNotLoadedError):
        async with temporary_link(hass, SETTINGS):
            pytest.fail("not reached")


async def test_a_dead_broker_is_told_at_once_and_a_link_that_waits_finds_it_alive(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    await broker.stop()
    with impatient_mqtt():
        mqtt = mqtt_entry(broker.port, "3.1.1")
        await set_up_mqtt(hass, mqtt, connected=False)
        link = await async_acquire_link(hass, SETTINGS)
        with pytest.raises(MqttNotConnectedError):
            await link.async_wait_connected(5)
        await broker.start()
        await until(lambda: is_up(link))
        await link.async_wait_connected(5)
        await link.async_release()
        await hass.config_entries.async_unload(mqtt.entry_id)


async def test_one_that_waits_longer_than_it_wants_to(
    hass: HomeAssistant, mqtt: MockConfigEntry
) -> None:
    link = await async_open_link(hass, SETTINGS)
    with pytest.raises(LinkTimeoutError):
        await link.async_wait_connected(0)
    await link.async_wait_connected(5)
    await link.async_release()


# --- Shared ---------------------------------------------------------------------------------


async def test_gateways_of_one_prefix_share_a_link(
    hass: HomeAssistant, link: SharedLink, broker: AmqttBroker
) -> None:
    again = await async_acquire_link(hass, SETTINGS)
    other = await async_acquire_link(hass, HomeAssistantSettings(prefix="hy/other"))
    assert again is link
    assert other is not link
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    await again.async_release()
    await other.async_release()
    assert is_up(link)
    assert not is_up(other)
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)


async def test_the_last_user_ends_the_subscriptions_and_nothing_else(
    hass: HomeAssistant, mqtt: MockConfigEntry, broker: AmqttBroker
) -> None:
    link = await async_acquire_link(hass, SETTINGS)
    await link.async_wait_connected(5)
    await link.subscribe(TOPIC, Ear())
    status: list[bool] = []
    link.add_status_listener(status.append)
    await link.async_release()
    await until(lambda: not broker.subscriptions)
    assert not status, "who ended it knows"
    assert hass.data["mqtt"].client.connected
    await async_forget_session(hass, SETTINGS)  # there is none
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("hy_heating")]
