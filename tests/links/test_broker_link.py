"""The shared link: subscriptions, loss and return, freshness, sharing, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator
import logging
import threading
import time

from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import Event, HomeAssistant
import pytest

from custom_components.hy_heating.hyheat.errors import (
    LinkAuthError,
    LinkError,
    LinkTimeoutError,
    SubscriptionRefusedError,
)
from custom_components.hy_heating.links import (
    BrokerLink,
    async_acquire_link,
    async_forget_session,
    base,
    broker as broker_module,
    client as client_module,
)

from .brokers import AmqttBroker, ForbiddenTopics, free_port, settings_of, until
from .scripted import (
    ACCEPTED_V5,
    ACCEPTED_V311,
    PUBLISH,
    SILENCE,
    V5,
    V311,
    ScriptedBroker,
    refused_v5,
    refused_v311,
    scripted_broker,
)

pytestmark = pytest.mark.usefixtures("socket_enabled")

TOPIC = "hy/gw/set/02345678903"
OTHER_TOPIC = "hy/gw/set/02345678904"
COMMAND_TOPIC = "hy/gw/get/02345678903"

type Message = tuple[str, bytes, bool]


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def __call__(self, topic: str, payload: bytes, retained: bool) -> None:
        self.heard.append((topic, payload, retained))

    @property
    def payloads(self) -> list[bytes]:
        """What was heard, without where."""
        return [payload for _, payload, _ in self.heard]


@pytest.fixture(autouse=True)
def _quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect after 50 ms instead of 1 s, and at most 200 ms instead of a minute."""
    monkeypatch.setattr(broker_module, "MIN_DELAY_S", 0.05)
    monkeypatch.setattr(broker_module, "MAX_DELAY_S", 0.2)


@pytest.fixture
async def link(hass: HomeAssistant, broker: AmqttBroker) -> AsyncIterator[BrokerLink]:
    """Return a connected link to amqtt."""
    link = await async_acquire_link(hass, settings_of(broker.port))
    assert isinstance(link, BrokerLink)
    await link.async_wait_connected(5)
    yield link
    await link.async_release()


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedBroker]:
    """Return a scripted broker of MQTT 5."""
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5, V311: ACCEPTED_V311})) as broker:
        yield broker


@pytest.fixture
async def scripted_link(hass: HomeAssistant, scripted: ScriptedBroker) -> AsyncIterator[BrokerLink]:
    """Return a link connected to the scripted broker."""
    link = await async_acquire_link(hass, settings_of(scripted.port))
    assert isinstance(link, BrokerLink)
    await link.async_wait_connected(5)
    yield link
    await link.async_release()


def failure_of(link: BrokerLink) -> LinkError | None:
    """Return why a link is down; a function because mypy takes properties for constants."""
    return link.failure


def own_records(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what the links logged from a level on."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= level and ".links." in record.name
    ]


# --- What diagnostics tell ------------------------------------------------------------------


async def test_facts_of_a_connection(hass: HomeAssistant) -> None:
    # The broker's answer has bit 0 of its flags set: it still had the session.
    had_it = bytes([ACCEPTED_V5[0], 3, 1, 0, 0])
    async with scripted_broker(ScriptedBroker({V5: had_it, V311: ACCEPTED_V311})) as broker:
        link = await async_acquire_link(hass, settings_of(broker.port))
        await link.async_wait_connected(5)
        await link.subscribe(TOPIC, Ear())
        facts = dict(link.facts)
        assert 0 <= float(str(facts.pop("connected_for_s"))) < 5
        assert facts == {
            "kind": "own connection",
            "connected": True,
            "failure": None,
            "mqtt_version": "5",
            "session_was_there": True,
            "connections": 1,
            "subscriptions": 1,
            "messages_without_room": 0,
        }
        broker.answers = {V5: refused_v5(136), V311: ACCEPTED_V311}
        broker.hang_up()
        await until(lambda: link.facts["failure"] and "refused" in str(link.facts["failure"]))
        down = {"connected", "mqtt_version", "session_was_there", "connected_for_s", "connections"}
        facts = {key: value for key, value in link.facts.items() if key in down}
        assert facts == dict.fromkeys(down, None) | {"connected": False, "connections": 1}
        broker.answers = {V5: ACCEPTED_V5, V311: ACCEPTED_V311}
        await until(lambda: link.connected)
        assert (link.facts["session_was_there"], link.facts["connections"]) == (False, 2)
        await link.async_release()


async def test_facts_with_an_older_broker(link: BrokerLink) -> None:
    assert (link.facts["mqtt_version"], link.facts["session_was_there"]) == ("3.1.1", False)


# --- Subscriptions --------------------------------------------------------------------------


async def test_messages_reach_the_listener_of_their_topic(
    link: BrokerLink, broker: AmqttBroker
) -> None:
    one, other = Ear(), Ear()
    await broker.retain(OTHER_TOPIC, b"old")
    await link.subscribe(TOPIC, one)
    end = await link.subscribe(OTHER_TOPIC, other)
    await broker.publish(TOPIC, b"\x00\xff")
    await until(lambda: one.heard and other.heard)
    assert one.heard == [(TOPIC, b"\x00\xff", False)]
    assert other.heard == [(OTHER_TOPIC, b"old", True)]
    await end()
    assert broker.subscriptions == {TOPIC}


async def test_a_topic_stays_subscribed_until_its_last_listener_is_gone(
    link: BrokerLink, broker: AmqttBroker
) -> None:
    one, other = Ear(), Ear()
    end_one = await link.subscribe(TOPIC, one)
    end_other = await link.subscribe(TOPIC, other)
    await end_one()
    await broker.publish(TOPIC, b"x")
    await until(lambda: other.heard)
    assert not one.heard
    await end_other()
    assert broker.subscriptions == set()


async def test_a_busy_start_leaves_no_subscription_without_its_answer(
    link: BrokerLink, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.5)
    topics = {f"hy/gw/set/{number:011d}" for number in range(30)}

    async def set_up(topic: str) -> None:
        await link.subscribe(topic, Ear())
        time.sleep(0.05)  # noqa: ASYNC251 - as adding a gateway's entities does

    await asyncio.gather(*map(set_up, topics))
    assert topics <= broker.subscriptions


async def test_a_refused_subscription(link: BrokerLink, broker: AmqttBroker) -> None:
    ear = Ear()
    ForbiddenTopics.forbidden.add(TOPIC)
    with pytest.raises(SubscriptionRefusedError, match=TOPIC):
        await link.subscribe(TOPIC, ear)
    assert link.failure is None  # nobody listens to it
    ForbiddenTopics.forbidden.clear()
    await link.subscribe(TOPIC, ear)
    await broker.publish(TOPIC, b"x")
    await until(lambda: ear.heard)


async def test_a_broker_that_answers_for_fewer_subscriptions(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    scripted.short_suback = True
    with pytest.raises(LinkError, match="every subscription"):
        await scripted_link.subscribe(TOPIC, Ear())
    scripted.short_suback = False
    await scripted_link.subscribe(TOPIC, Ear())


async def test_a_connection_that_ends_while_a_subscription_is_asked_for(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    scripted.frozen = True
    subscribing = asyncio.ensure_future(scripted_link.subscribe(TOPIC, Ear()))
    await until(lambda: scripted.subscribed)
    scripted.hang_up()
    with pytest.raises(LinkError):
        await subscribing
    assert not scripted_link.connected
    # Without a connection it fails at once.
    with pytest.raises(LinkError, match="not connected"):
        await scripted_link.subscribe(TOPIC, Ear())
    scripted.frozen = False
    await until(lambda: scripted_link.connected)
    await scripted_link.subscribe(TOPIC, Ear())


async def test_a_broker_that_does_not_answer_to_a_subscription(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.2)
    scripted.frozen = True
    with pytest.raises(LinkTimeoutError):
        await scripted_link.subscribe(TOPIC, Ear())
    scripted.frozen = False
    await scripted_link.subscribe(TOPIC, Ear())


# --- Messages that come before their listener ------------------------------------------------


async def test_messages_wait_for_a_listener(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    scripted.send(TOPIC, b"1", qos=1)
    scripted.send(OTHER_TOPIC, b"2", qos=1)
    await until(lambda: scripted.acknowledged == 2)
    one, other = Ear(), Ear()
    await scripted_link.subscribe(OTHER_TOPIC, other)
    await scripted_link.subscribe(TOPIC, one)
    assert (one.payloads, other.payloads) == ([b"1"], [b"2"])


async def test_messages_wait_across_a_set_up_that_failed(
    hass: HomeAssistant, scripted: ScriptedBroker
) -> None:
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    scripted.send(TOPIC, b"1", qos=1)
    await until(lambda: scripted.acknowledged == 1)
    scripted.codes[TOPIC] = 0x87
    ear = Ear()
    with pytest.raises(SubscriptionRefusedError):
        await link.subscribe(TOPIC, ear)
    await link.async_release()
    assert not ear.heard
    scripted.codes.clear()
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    await link.subscribe(TOPIC, ear)
    assert ear.payloads == [b"1"]
    await link.async_release()


async def test_what_comes_during_a_subscription_is_heard_in_order(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    scripted.send(TOPIC, b"1")
    ear = Ear()
    subscribing = asyncio.ensure_future(scripted_link.subscribe(TOPIC, ear))
    scripted.send(TOPIC, b"2")
    await subscribing
    scripted.send(TOPIC, b"3")
    await until(lambda: len(ear.heard) == 3)
    assert ear.payloads == [b"1", b"2", b"3"]


async def test_a_topic_that_nobody_comes_for_is_unsubscribed(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.hy_heating.links.dispatch.HOLD_S", 0.1)
    scripted.send(TOPIC, b"1", qos=1)
    await asyncio.sleep(0.2)
    assert not scripted.unsubscribed
    scripted.send(TOPIC, b"2", qos=1)
    await until(lambda: scripted.unsubscribed == [TOPIC])
    assert scripted_link.connected


async def test_a_topic_that_is_no_text_is_ignored(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    ear = Ear()
    await scripted_link.subscribe(TOPIC, ear)
    # MQTT 5, QoS 0: a topic of two bytes that are no UTF-8, no properties, payload "x".
    scripted.send_raw(bytes([PUBLISH, 6, 0, 2, 0xFF, 0xFE, 0]) + b"x")
    scripted.send(TOPIC, b"y")
    await until(lambda: ear.heard)
    assert ear.payloads == [b"y"]
    assert scripted_link.connected


# --- Loss and return ------------------------------------------------------------------------


async def test_a_broker_that_restarts(
    link: BrokerLink, broker: AmqttBroker, caplog: pytest.LogCaptureFixture
) -> None:
    ear, other_ear = Ear(), Ear()
    status: list[tuple[bool, bool]] = []
    await link.subscribe(TOPIC, ear)
    await link.subscribe(OTHER_TOPIC, other_ear)
    # With each change: whether it says the same itself, and the subscriptions by then.
    link.add_status_listener(lambda up: status.append((up, link.connected)))
    for round_ in range(2):
        await broker.stop()
        await until(lambda: not link.connected)
        assert type(failure_of(link)) is LinkError
        with pytest.raises(LinkError):
            await link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
        await asyncio.sleep(0.3)  # some tries fail
        await broker.start()
        await until(lambda: link.connected)
        assert failure_of(link) is None
        assert broker.subscriptions == {TOPIC, OTHER_TOPIC}
        await broker.publish(TOPIC, b"x")
        await broker.publish(OTHER_TOPIC, b"x")
        await until(
            lambda: len(ear.heard) == len(other_ear.heard) == round_ + 1  # noqa: B023
        )
    assert status == [(False, False), (True, True)] * 2
    # Each loss and each return once.
    assert len(own_records(caplog, logging.WARNING)) == 2
    assert len(own_records(caplog, logging.INFO)) == 4


async def test_all_subscriptions_come_back_in_one_packet_before_anybody_is_told(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    ears = {topic: Ear() for topic in (TOPIC, OTHER_TOPIC)}
    for topic, ear in ears.items():
        await scripted_link.subscribe(topic, ear)
    subscribed: list[int] = []
    scripted_link.add_status_listener(lambda _up: subscribed.append(len(scripted.subscribed)))
    scripted.hang_up()
    await until(lambda: len(subscribed) == 2)
    assert subscribed == [2, 3]
    assert scripted.subscribed[2] == [TOPIC, OTHER_TOPIC]


async def test_what_a_broker_held_comes_after_the_status_and_in_order(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    events: list[object] = []
    await scripted_link.subscribe(TOPIC, lambda _topic, payload, _retained: events.append(payload))
    scripted_link.add_status_listener(events.append)
    # The broker sends what it held before it answers to the subscription.
    scripted.answers[V5] = ACCEPTED_V5 + scripted.message(TOPIC, b"1", qos=1)
    scripted.hang_up()
    await until(lambda: len(events) == 3)
    assert events == [False, True, b"1"]


async def test_what_a_broker_held_is_not_lost_when_the_subscriptions_fail(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.2)
    ear = Ear()
    await scripted_link.subscribe(TOPIC, ear)
    scripted.answers[V5] = ACCEPTED_V5 + scripted.message(TOPIC, b"1", qos=1)
    scripted.mute = True
    scripted.hang_up()
    await until(lambda: ear.heard)
    assert ear.payloads[0] == b"1"
    assert not scripted_link.connected
    scripted.mute = False
    scripted.answers[V5] = ACCEPTED_V5
    await until(lambda: scripted_link.connected)


async def test_a_subscription_that_is_refused_at_a_reconnect(
    link: BrokerLink, broker: AmqttBroker, caplog: pytest.LogCaptureFixture
) -> None:
    ear, other_ear = Ear(), Ear()
    end = await link.subscribe(TOPIC, ear)
    await link.subscribe(OTHER_TOPIC, other_ear)
    for _ in range(2):
        await broker.stop()
        await until(lambda: not link.connected)
        await broker.start()
        ForbiddenTopics.forbidden.add(TOPIC)
        await until(lambda: link.connected)
        # The others go on.
        other_ear.heard.clear()
        await broker.publish(OTHER_TOPIC, b"x")
        await until(lambda: other_ear.heard)
        assert isinstance(link.failure, SubscriptionRefusedError)
        assert link.failure.topic == TOPIC
    refusals = [text for text in own_records(caplog, logging.WARNING) if "refuses" in text]
    assert len(refusals) == 1
    # Allowed again.
    await broker.stop()
    await until(lambda: not link.connected)
    await broker.start()
    await until(lambda: link.connected)
    assert link.failure is None
    await end()


async def test_a_refused_subscription_that_is_given_up_is_no_failure(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    end = await scripted_link.subscribe(TOPIC, Ear())
    scripted.codes[TOPIC] = 0x87
    scripted.hang_up()
    await until(lambda: isinstance(scripted_link.failure, SubscriptionRefusedError))
    await end()
    assert scripted_link.failure is None


async def test_refused_credentials_after_a_restart_and_a_new_password(
    hass: HomeAssistant,
    scripted: ScriptedBroker,
    scripted_link: BrokerLink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    status: list[tuple[bool, type[object]]] = []
    scripted_link.add_status_listener(lambda up: status.append((up, type(scripted_link.failure))))
    scripted.answers[V5] = SILENCE
    scripted.hang_up()
    await until(lambda: status)
    scripted.answers[V5] = refused_v5(0x86)
    await until(lambda: len(scripted.connects) > 1)
    scripted.hang_up()
    await until(lambda: (False, LinkAuthError) in status)
    assert status[0] == (False, LinkError)
    with pytest.raises(LinkAuthError):
        await scripted_link.async_wait_connected(5)
    # Refused credentials are not tried again soon.
    tries = len(scripted.connects)
    await asyncio.sleep(0.5)
    assert len(scripted.connects) == tries
    # Somebody has the new password: it is tried at once, and whoever waits learns how it went.
    scripted.answers[V5] = ACCEPTED_V5
    again = await async_acquire_link(hass, settings_of(scripted.port, password="new"))
    assert again is scripted_link
    await again.async_wait_connected(5)
    assert scripted.connects[-1].password == "new"
    assert status[-1] == (True, type(None))
    await again.async_release()
    # One warning for the loss, one for the credentials.
    assert len(own_records(caplog, logging.WARNING)) == 2


async def test_a_new_password_while_the_old_one_is_being_tried(
    hass: HomeAssistant, scripted: ScriptedBroker
) -> None:
    scripted.answers[V5] = SILENCE
    link = await async_acquire_link(hass, settings_of(scripted.port, password="old"))
    await until(lambda: scripted.connects)
    again = await async_acquire_link(hass, settings_of(scripted.port, password="new"))
    waiting = asyncio.ensure_future(again.async_wait_connected(5))
    await asyncio.sleep(0)
    # The refusal of the old password is not the answer that the new one waits for.
    scripted.answers[V5] = ACCEPTED_V5
    scripted.send_raw(refused_v5(0x86))
    await waiting
    assert [said.password for said in scripted.connects] == ["old", "new"]
    await link.async_release()
    await again.async_release()


async def test_a_flapping_connection_is_not_chased(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients with one id would push each other out as fast as they reconnect."""
    delays: list[float] = []

    async def pause(delay_s: float) -> None:
        delays.append(delay_s)
        await asyncio.sleep(0)

    monkeypatch.setattr(scripted_link, "_pause", pause)
    for number in range(1, 5):
        scripted.hang_up()
        await until(lambda: len(delays) == number)  # noqa: B023
        await until(lambda: scripted_link.connected)
    assert delays == [0.05, 0.1, 0.2, 0.2]
    # A connection that stood for long starts from the shortest delay again.
    monkeypatch.setattr(broker_module, "STABLE_S", 0.0)
    scripted.hang_up()
    await until(lambda: len(delays) == 5)
    assert delays[-1] == 0.05
    await until(lambda: scripted_link.connected)


async def test_a_dead_broker_is_noticed(
    hass: HomeAssistant, scripted: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "KEEPALIVE_S", 1)
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    await until(lambda: scripted.pinged == 1)
    assert link.connected
    scripted.frozen = True
    await until(lambda: not link.connected, 10)
    scripted.frozen = False
    await until(lambda: link.connected)
    await link.async_release()


async def test_a_broker_whose_answer_to_a_ping_waits_behind_messages_is_not_dead(
    hass: HomeAssistant, scripted: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "KEEPALIVE_S", 1)
    link = await async_acquire_link(hass, settings_of(scripted.port))
    assert isinstance(link, BrokerLink)
    await link.async_wait_connected(5)
    scripted.mute = True
    for _ in range(20):
        scripted.send(TOPIC, b"x")
        await asyncio.sleep(0.2)
    assert scripted.pinged
    assert link.connected
    assert [said.client_id for said in scripted.connects].count(link._client_id) == 1
    # When nothing comes any more, it is.
    await until(lambda: not link.connected, 6)
    scripted.mute = False
    await until(lambda: link.connected)
    await link.async_release()


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param("E0018E", id="a reason"),
        pytest.param("E0028E00", id="a reason and no properties"),
        # One empty user property: 26 0000 0000.
        pytest.param("E0078E052600000000", id="a reason and a property"),
    ],
)
async def test_a_broker_that_says_goodbye(
    scripted: ScriptedBroker,
    scripted_link: BrokerLink,
    caplog: pytest.LogCaptureFixture,
    packet: str,
) -> None:
    # DISCONNECT of MQTT 5 with reason 8E, session taken over.
    scripted.send_raw(bytes.fromhex(packet))
    await until(lambda: not scripted_link.connected)
    await until(lambda: scripted_link.connected)
    [warning] = own_records(caplog, logging.WARNING)
    assert "Session taken over" in warning


@pytest.mark.parametrize("packet", ["E000", "E001FF", "E00101"])
async def test_a_goodbye_without_a_reason_that_is_known(
    scripted: ScriptedBroker,
    scripted_link: BrokerLink,
    caplog: pytest.LogCaptureFixture,
    packet: str,
) -> None:
    scripted.send_raw(bytes.fromhex(packet))
    await until(lambda: not scripted_link.connected)
    await until(lambda: scripted_link.connected)
    [warning] = own_records(caplog, logging.WARNING)
    assert "the connection was lost" in warning


async def test_a_failure_that_nobody_thought_of(
    scripted: ScriptedBroker,
    scripted_link: BrokerLink,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_client: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(scripted_link, "_subscribe_again", fail)
    scripted.hang_up()
    await until(lambda: "unexpected" in str(scripted_link.failure))
    monkeypatch.undo()
    await until(lambda: scripted_link.connected)
    assert "RuntimeError: broken" in caplog.text


async def test_paho_only_speaks_to_who_looks_for_faults(
    scripted: ScriptedBroker, scripted_link: BrokerLink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, f"{client_module.__name__}.paho")
    # An answer to nothing, which aiomqtt logs as an error: UNSUBACK for packet 99.
    scripted.send_raw(bytes.fromhex("B00400630000"))
    await until(lambda: "Unexpected message ID" in caplog.text)
    levels = {record.levelno for record in caplog.records if record.name.endswith(".paho")}
    assert levels == {logging.DEBUG}


async def test_status_listeners_can_leave_and_fail(
    scripted: ScriptedBroker, scripted_link: BrokerLink, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(up: bool) -> None:
        raise RuntimeError("broken")

    left: list[bool] = []
    status: list[bool] = []
    scripted_link.add_status_listener(failing)
    scripted_link.add_status_listener(left.append)()
    scripted_link.add_status_listener(status.append)
    scripted.hang_up()
    await until(lambda: status == [False, True])
    assert not left
    assert len(own_records(caplog, logging.ERROR)) == 2


# --- Waiting for the connection -------------------------------------------------------------


async def test_waiting_fails_as_soon_as_the_reason_is_known(hass: HomeAssistant) -> None:
    link = await async_acquire_link(hass, settings_of(free_port()))
    async with asyncio.timeout(2):
        for _ in range(2):
            with pytest.raises(LinkError, match="refused"):
                await link.async_wait_connected(60)
    assert not link.connected
    await link.async_release()


async def test_wrong_password(hass: HomeAssistant, broker: AmqttBroker) -> None:
    link = await async_acquire_link(hass, settings_of(broker.port, password="wrong"))
    with pytest.raises(LinkAuthError):
        await link.async_wait_connected(5)
    assert isinstance(link.failure, LinkAuthError)
    await link.async_release()
    link = await async_acquire_link(hass, settings_of(broker.port))
    await link.async_wait_connected(5)
    await link.async_release()


async def test_waiting_has_an_end(hass: HomeAssistant, scripted: ScriptedBroker) -> None:
    scripted.answers[V5] = SILENCE
    link = await async_acquire_link(hass, settings_of(scripted.port))
    with pytest.raises(LinkTimeoutError):
        await link.async_wait_connected(0.1)
    assert link.failure is None  # not known yet
    await link.async_release()
    with pytest.raises(LinkError, match="closed"):
        await link.async_wait_connected(0.1)


# --- Publishing -----------------------------------------------------------------------------


async def test_a_command_expires_at_a_broker_of_mqtt_5(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    await scripted_link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
    await until(lambda: scripted.published)
    [message] = scripted.published
    assert (message.topic, message.payload) == (COMMAND_TOPIC, b"x")
    # QoS 0, not retained, no duplicate; property 2, message expiry interval, 30 s.
    assert (message.first_byte, message.properties) == (0x30, bytes.fromhex("020000001E"))


async def test_what_is_no_topic(scripted: ScriptedBroker, scripted_link: BrokerLink) -> None:
    with pytest.raises(LinkError):
        await scripted_link.publish("hy/+", b"x", expiry_s=30, fresh=False)
    with pytest.raises(LinkError):
        await scripted_link.subscribe("hy/#/set", Ear())
    await scripted_link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=False)
    await until(lambda: scripted.published)


async def test_a_command_at_a_broker_of_mqtt_3_1_1(
    hass: HomeAssistant, scripted: ScriptedBroker
) -> None:
    scripted.answers[V5] = refused_v311(1)
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    await link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
    await until(lambda: scripted.published)
    [message] = scripted.published
    assert (message.payload, message.first_byte, message.properties) == (b"x", 0x30, b"")
    await link.async_release()


async def test_a_broker_not_heard_for_long_is_asked_first_once_for_all(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*, fresh: bool) -> None:
        await scripted_link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=fresh)

    await send(fresh=True)
    assert not scripted.unsubscribed  # heard a moment ago
    monkeypatch.setattr(base, "FRESH_S", 0.05)
    await asyncio.sleep(0.1)
    await send(fresh=False)
    assert not scripted.unsubscribed
    await asyncio.gather(*(send(fresh=True) for _ in range(5)))
    assert len(scripted.unsubscribed) == 1
    # Any packet is a sign of life: a message, the answer to a subscription.
    await asyncio.sleep(0.1)
    await scripted_link.subscribe(TOPIC, Ear())
    await send(fresh=True)
    await asyncio.sleep(0.1)
    scripted.send(TOPIC, b"y")
    ear = Ear()
    await scripted_link.subscribe(OTHER_TOPIC, ear)
    await send(fresh=True)
    assert len(scripted.unsubscribed) == 1
    await until(lambda: len(scripted.published) == 9)


async def test_no_command_goes_to_a_broker_that_does_not_answer(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "FRESH_S", 0.05)
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.3)
    await asyncio.sleep(0.1)
    scripted.frozen = True
    started_s = asyncio.get_running_loop().time()
    results = await asyncio.gather(
        *(scripted_link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True) for _ in range(3)),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [LinkTimeoutError] * 3
    # Together, not one after another.
    assert asyncio.get_running_loop().time() - started_s < 0.6
    scripted.frozen = False
    await scripted_link.publish(COMMAND_TOPIC, b"y", expiry_s=30, fresh=True)
    await until(lambda: scripted.published)
    assert [message.payload for message in scripted.published] == [b"y"]


async def test_a_broker_that_is_silent_after_a_command_is_hung_up_on(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.1)
    # It was heard just now, so this is written, to somebody who is no longer there.
    scripted.frozen = True
    await scripted_link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
    await until(lambda: not scripted_link.connected)
    # The connection was reset: what was not yet acknowledged on its way is thrown away.
    await until(lambda: scripted.resets == 1)
    scripted.frozen = False
    await until(lambda: scripted_link.connected)
    assert [message.payload for message in scripted.published] == [b"x"]
    # One that is there is asked once, and stays.
    before = len(scripted.unsubscribed)
    for _ in range(2):
        await scripted_link.publish(COMMAND_TOPIC, b"y", expiry_s=30, fresh=True)
    await asyncio.sleep(0.3)
    assert len(scripted.unsubscribed) == before + 1
    assert scripted_link.connected
    assert scripted.accepted == 2


async def test_a_goodbye_is_no_reset(hass: HomeAssistant, scripted: ScriptedBroker) -> None:
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    await link.async_release()
    await until(lambda: not scripted.open_connections)
    assert (scripted.goodbyes, scripted.resets) == (1, 0)


async def test_a_connection_that_ends_while_the_broker_is_asked(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "FRESH_S", 0.0)
    await asyncio.sleep(0.01)
    scripted.frozen = True
    publishing = asyncio.ensure_future(
        scripted_link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
    )
    await until(lambda: scripted.unsubscribed)
    scripted.hang_up()
    with pytest.raises(LinkError):
        await publishing
    scripted.frozen = False
    await until(lambda: scripted_link.connected)
    assert not scripted.published


async def test_a_command_that_is_stuck_is_never_sent(
    scripted: ScriptedBroker, scripted_link: BrokerLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 0.3)
    scripted.reading.clear()  # the broker no longer reads: the buffers fill
    # More than any socket buffer holds.
    await asyncio.sleep(0.05)
    with pytest.raises(LinkTimeoutError):
        await scripted_link.publish(COMMAND_TOPIC, b"x" * 50_000_000, expiry_s=30, fresh=False)
    assert not scripted_link.connected
    scripted.reading.set()
    await until(lambda: scripted_link.connected)
    await scripted_link.publish(COMMAND_TOPIC, b"y", expiry_s=30, fresh=True)
    await until(lambda: scripted.published and scripted.published[-1].payload == b"y")


async def test_a_stuck_command_that_is_given_up_is_never_sent_either(
    scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    scripted.reading.clear()
    await asyncio.sleep(0.05)
    publishing = scripted_link.publish(COMMAND_TOPIC, b"x" * 50_000_000, expiry_s=30, fresh=False)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await publishing
    assert not scripted_link.connected
    scripted.reading.set()
    await until(lambda: scripted_link.connected)
    await scripted_link.publish(COMMAND_TOPIC, b"y", expiry_s=30, fresh=True)
    await until(lambda: scripted.published and scripted.published[-1].payload == b"y")


# --- Sharing --------------------------------------------------------------------------------


async def test_one_connection_for_all_who_mean_the_same_broker(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    settings = settings_of(broker.port)
    links = await asyncio.gather(*(async_acquire_link(hass, settings) for _ in range(5)))
    assert len(set(links)) == 1
    other = await async_acquire_link(hass, settings_of(broker.port, prefix="hy/other"))
    assert other is not links[0]
    await asyncio.gather(*(link.async_wait_connected(5) for link in (*links, other)))
    assert len(broker.connected_ids) == 2
    # A user who comes late finds it connected, and stays so.
    late = await async_acquire_link(hass, settings_of(broker.port, password="not yet used"))
    assert late.connected
    await late.async_release()
    await asyncio.gather(*(link.async_release() for link in links[1:]))
    assert links[0].connected
    await links[0].async_release()
    await other.async_release()
    await until(lambda: not broker.connected_ids)
    # Released once too often: nothing happens to who came later.
    again = await async_acquire_link(hass, settings)
    await links[0].async_release()
    await again.async_wait_connected(5)
    assert again is not links[0]
    await again.async_release()


async def test_acquired_and_released_at_once(hass: HomeAssistant, scripted: ScriptedBroker) -> None:
    settings = settings_of(scripted.port)

    async def use() -> None:
        link = await async_acquire_link(hass, settings)
        await link.async_release()

    await asyncio.gather(*(use() for _ in range(10)))
    link = await async_acquire_link(hass, settings)
    await link.async_wait_connected(5)
    await until(lambda: scripted.open_connections == 1)
    await link.async_release()


async def test_the_client_id_is_stable_and_short(hass: HomeAssistant, broker: AmqttBroker) -> None:
    ids: list[str] = []
    for _ in range(2):
        link = await async_acquire_link(hass, settings_of(broker.port))
        await link.async_wait_connected(5)
        ids += broker.connected_ids
        await link.async_release()
        await until(lambda: not broker.connected_ids)
    assert ids[0] == ids[1]
    assert len(ids[0]) == 23
    assert ids[0].startswith("hy-heating-")


async def test_a_session_is_kept_until_it_is_forgotten(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    settings = settings_of(broker.port)
    link = await async_acquire_link(hass, settings)
    await link.async_wait_connected(5)
    await link.subscribe(TOPIC, Ear())
    await async_forget_session(hass, settings)  # in use: nothing happens
    assert link.connected
    await link.async_release()
    await until(lambda: not broker.connected_ids)
    assert broker.subscriptions == {TOPIC}
    await async_forget_session(hass, settings)
    assert broker.subscriptions == set()


async def test_a_session_that_cannot_be_forgotten(hass: HomeAssistant, broker: AmqttBroker) -> None:
    settings = settings_of(broker.port)
    await broker.stop()
    await async_forget_session(hass, settings)
    await broker.start()
    link = await async_acquire_link(hass, settings)
    await link.async_wait_connected(5)
    await link.async_release()


# --- Nothing left behind --------------------------------------------------------------------


async def test_nothing_is_left_behind(hass: HomeAssistant, scripted: ScriptedBroker) -> None:
    tasks, threads = asyncio.all_tasks(), threading.active_count()
    for _ in range(3):
        link = await async_acquire_link(hass, settings_of(scripted.port))
        await link.async_wait_connected(5)
        end = await link.subscribe(TOPIC, Ear())
        await end()
        await link.async_release()
    await until(lambda: not scripted.open_connections)
    assert scripted.goodbyes == 3
    assert scripted.unsubscribed == [TOPIC] * 3
    assert asyncio.all_tasks() == tasks
    # Connecting takes one thread of Home Assistant's executor, again and again.
    assert threading.active_count() <= threads + 3
    with pytest.raises(LinkError):
        await link.publish(TOPIC, b"x", expiry_s=1, fresh=False)
    await end()  # once more does no harm


@pytest.mark.parametrize("wait_s", [0.0, 0.05, 0.7])
async def test_released_while_connecting(
    hass: HomeAssistant, scripted: ScriptedBroker, wait_s: float
) -> None:
    # After 0.7 s the question about the version is out as well.
    tasks = asyncio.all_tasks()
    scripted.answers[V5] = SILENCE
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await asyncio.sleep(wait_s)
    await link.async_release()
    await until(lambda: not scripted.open_connections)
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == tasks


async def test_released_while_waiting_to_reconnect(hass: HomeAssistant) -> None:
    tasks = asyncio.all_tasks()
    link = await async_acquire_link(hass, settings_of(free_port()))
    with pytest.raises(LinkError):
        await link.async_wait_connected(5)
    await link.async_release()
    assert asyncio.all_tasks() == tasks


async def test_a_goodbye_that_cannot_be_written(
    scripted: ScriptedBroker, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CLOSE_TIMEOUT_S", 0.2)
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 60.0)
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    scripted.reading.clear()
    publishing = [
        asyncio.ensure_future(
            link.publish(COMMAND_TOPIC, b"x" * 1_000_000, expiry_s=30, fresh=False)
        )
        for _ in range(20)
    ]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(2):
        await link.async_release()
    results = await asyncio.gather(*publishing, return_exceptions=True)
    assert isinstance(results[-1], LinkError)
    scripted.reading.set()
    assert scripted.goodbyes == 0


async def test_home_assistant_stops(
    hass: HomeAssistant, scripted: ScriptedBroker, scripted_link: BrokerLink
) -> None:
    status: list[bool] = []
    end = await scripted_link.subscribe(TOPIC, Ear())
    scripted_link.add_status_listener(status.append)

    async def stop(_event: Event) -> None:
        await end()

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_STOP, stop)
    await hass.async_stop(force=True)
    await until(lambda: not scripted.open_connections)
    assert scripted.goodbyes == 1
    # The broker goes on collecting reports while Home Assistant restarts.
    assert not scripted.unsubscribed
    assert not scripted_link.connected
