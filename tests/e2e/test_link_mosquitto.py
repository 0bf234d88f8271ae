"""The links at a real mosquitto: MQTT 5, held messages, refusals, TLS."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
import time

from aiomqtt import ProtocolVersion
from homeassistant.core import HomeAssistant
import pytest

from custom_components.hy_heating.hyheat.errors import (
    LinkAuthError,
    LinkError,
    LinkTimeoutError,
    LinkTlsError,
    SubscriptionRefusedError,
)
from custom_components.hy_heating.links import (
    BrokerLink,
    BrokerSettings,
    async_acquire_link,
    async_forget_session,
    base,
    broker as broker_module,
    client as client_module,
    temporary_link,
)
from custom_components.hy_heating.links.client import MqttClient
from tests.links.brokers import settings_of, until
from tests.links.certificates import Authority
from tests.links.mosquitto import Line, Mosquitto

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("socket_enabled")]

TOPIC = "hy/gw/set/02345678903"
OTHER_TOPIC = "hy/gw/set/02345678904"
COMMAND_TOPIC = "hy/gw/get/02345678903"


class Ear:
    """A listener that remembers payloads."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def __call__(self, _topic: str, payload: bytes, _retained: bool) -> None:
        self.heard.append(payload)


@pytest.fixture(autouse=True)
def _quick_reconnects(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnect after 50 ms instead of 1 s, and at most 200 ms instead of a minute."""
    monkeypatch.setattr(broker_module, "MIN_DELAY_S", 0.05)
    monkeypatch.setattr(broker_module, "MAX_DELAY_S", 0.2)


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """Return a running mosquitto with its options as Debian ships them."""
    mosquitto = Mosquitto(tmp_path)
    await mosquitto.start()
    yield mosquitto
    await mosquitto.stop()


async def connected(hass: HomeAssistant, settings: BrokerSettings) -> BrokerLink:
    link = await async_acquire_link(hass, settings)
    assert isinstance(link, BrokerLink)
    await link.async_wait_connected(10)
    return link


async def test_mqtt_5_and_a_command_that_expires(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    link = await connected(hass, settings_of(mosquitto.port))
    assert link._client
    assert link._client.version is ProtocolVersion.V5
    async with mosquitto.client() as gateway:
        await gateway.subscribe(COMMAND_TOPIC, qos=1)
        await link.publish(COMMAND_TOPIC, b"x", expiry_s=30, fresh=True)
        async with asyncio.timeout(5):
            message = await anext(gateway.messages)
    assert (message.payload, message.qos, message.retain) == (b"x", 0, False)
    assert message.properties
    assert str(message.properties) == "[MessageExpiryInterval : 30]"
    await link.async_release()
    assert "as hy-heating-" in mosquitto.log


async def test_a_command_does_not_wait_for_a_gateway_that_is_away(
    hass: HomeAssistant, tmp_path: Path
) -> None:
    mosquitto = Mosquitto(tmp_path, ["queue_qos0_messages true"])
    await mosquitto.start()
    async with mosquitto.client("gateway", clean=False) as gateway:
        await gateway.subscribe(COMMAND_TOPIC, qos=1)
    link = await connected(hass, settings_of(mosquitto.port))
    await link.publish(COMMAND_TOPIC, b"expires", expiry_s=1, fresh=True)
    await link.publish(COMMAND_TOPIC, b"waits", expiry_s=60, fresh=True)
    await asyncio.sleep(2.5)
    async with mosquitto.client("gateway", clean=False) as gateway, asyncio.timeout(5):
        message = await anext(gateway.messages)
    # This broker queues even QoS 0: without an expiry the first would come too, as the second does.
    assert message.payload == b"waits"
    await link.async_release()
    await mosquitto.stop()


async def test_wrong_password(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    with pytest.raises(LinkAuthError):
        async with temporary_link(hass, settings_of(mosquitto.port, password="wrong")):
            pass
    with pytest.raises(LinkAuthError):
        async with temporary_link(hass, settings_of(mosquitto.port, username=None)):
            pass
    async with temporary_link(hass, settings_of(mosquitto.port)) as link:
        assert link.connected
    # Each was one try, in MQTT 5.
    assert mosquitto.log.count("not authorised") == 2
    assert "p2" not in mosquitto.log


async def test_reports_wait_while_home_assistant_restarts(
    hass: HomeAssistant, mosquitto: Mosquitto
) -> None:
    settings = settings_of(mosquitto.port)
    link = await connected(hass, settings)
    for topic in (TOPIC, OTHER_TOPIC):
        await link.subscribe(topic, Ear())
    await link.async_release()
    reports = [f"{number}".encode() for number in range(100)]
    await mosquitto.publish(TOPIC, *reports)
    await mosquitto.publish(OTHER_TOPIC, b"other")
    # The entries are set up one after another, the second much later.
    link = await connected(hass, settings)
    ear, other_ear = Ear(), Ear()
    await asyncio.sleep(0.5)
    await link.subscribe(TOPIC, ear)
    await mosquitto.publish(TOPIC, b"live")
    await asyncio.sleep(0.5)
    await link.subscribe(OTHER_TOPIC, other_ear)
    await until(lambda: len(ear.heard) == 101)
    assert ear.heard == [*reports, b"live"]
    assert other_ear.heard == [b"other"]
    await link.async_release()


async def test_reports_wait_while_the_line_is_cut(
    hass: HomeAssistant, mosquitto: Mosquitto
) -> None:
    line = Line(mosquitto.port)
    await line.open()
    link = await connected(hass, settings_of(line.port))
    ear, other_ear = Ear(), Ear()
    status: list[bool] = []
    await link.subscribe(TOPIC, ear)
    await link.subscribe(OTHER_TOPIC, other_ear)
    link.add_status_listener(status.append)
    await line.cut()
    await until(lambda: status == [False])
    reports = [f"{number}".encode() for number in range(50)]
    await mosquitto.publish(TOPIC, *reports)
    await mosquitto.publish(OTHER_TOPIC, b"other")
    await line.open()
    await until(lambda: len(ear.heard) == 50 and other_ear.heard)
    assert status == [False, True]
    assert (ear.heard, other_ear.heard) == (reports, [b"other"])
    await link.async_release()
    await line.cut()


async def test_a_restart_of_the_broker(hass: HomeAssistant, tmp_path: Path) -> None:
    options = ["persistence true", f"persistence_location {tmp_path}/"]
    mosquitto = Mosquitto(tmp_path, options)
    await mosquitto.start()
    link = await connected(hass, settings_of(mosquitto.port))
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    for number in range(2):
        await mosquitto.stop()
        await until(lambda: not link.connected)
        await mosquitto.start()
        await until(lambda: link.connected)
        await mosquitto.publish(TOPIC, b"x")
        await until(lambda: len(ear.heard) == number + 1)  # noqa: B023
    # Once without its memory.
    await mosquitto.stop()
    (tmp_path / "mosquitto.db").unlink()
    await mosquitto.start()
    await until(lambda: link.connected)
    await mosquitto.publish(TOPIC, b"x")
    await until(lambda: len(ear.heard) == 3)
    await link.async_release()
    await mosquitto.stop()


async def test_a_session_is_forgotten(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    settings = settings_of(mosquitto.port)
    link = await connected(hass, settings)
    await link.subscribe(TOPIC, Ear())
    await link.async_release()
    await async_forget_session(hass, settings)
    await mosquitto.publish(TOPIC, b"x")
    link = await connected(hass, settings)
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    await mosquitto.publish(TOPIC, b"y")
    await until(lambda: ear.heard)
    assert ear.heard == [b"y"]
    await link.async_release()


async def test_home_assistant_stops(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    link = await connected(hass, settings_of(mosquitto.port))
    end = await link.subscribe(TOPIC, Ear())
    await hass.async_stop(force=True)
    await end()
    await until(lambda: "disconnected." in mosquitto.log)
    client_id = mosquitto.log.split("as hy-heating-")[1].split()[0]
    assert f"Client hy-heating-{client_id} disconnected." in mosquitto.log
    assert "UNSUBSCRIBE" not in mosquitto.log


async def test_a_refused_subscription(hass: HomeAssistant, tmp_path: Path) -> None:
    mosquitto = Mosquitto(tmp_path, allowed_topics=[TOPIC, OTHER_TOPIC])
    await mosquitto.start()
    settings = settings_of(mosquitto.port)
    link = await connected(hass, settings)
    ear, other_ear = Ear(), Ear()
    await link.subscribe(TOPIC, ear)
    await link.subscribe(OTHER_TOPIC, other_ear)
    with pytest.raises(SubscriptionRefusedError, match=COMMAND_TOPIC):
        await link.subscribe(COMMAND_TOPIC, Ear())
    async with temporary_link(hass, settings) as temporary:
        with pytest.raises(SubscriptionRefusedError, match=r"hy/gw/set/\+"):
            await temporary.subscribe("hy/gw/set/+", Ear())
    # At a reconnect one of two is refused, the other goes on.
    await mosquitto.stop()
    mosquitto.allowed_topics = [OTHER_TOPIC]
    await mosquitto.start()
    await until(lambda: link.connected)
    assert isinstance(link.failure, SubscriptionRefusedError)
    assert link.failure.topic == TOPIC
    await mosquitto.publish(OTHER_TOPIC, b"x")
    await until(lambda: other_ear.heard)
    await link.async_release()
    await mosquitto.stop()


async def test_a_listening_window(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    heard: list[str] = []
    async with temporary_link(hass, settings_of(mosquitto.port)) as link:
        await link.subscribe("hy/gw/set/+", lambda topic, _payload, _retained: heard.append(topic))
        for topic in (TOPIC, OTHER_TOPIC, COMMAND_TOPIC, TOPIC):
            await mosquitto.publish(topic, b"x")
        await until(lambda: len(heard) == 3)
    assert heard == [TOPIC, OTHER_TOPIC, TOPIC]


async def test_a_broker_that_freezes(
    hass: HomeAssistant, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "FRESH_S", 0.1)
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT_S", 1.0)
    link = await connected(hass, settings_of(mosquitto.port))
    async with mosquitto.client() as gateway:
        await gateway.subscribe(COMMAND_TOPIC)
        await asyncio.sleep(0.2)
        mosquitto.freeze()
        started_s = time.monotonic()
        with pytest.raises(LinkTimeoutError):
            await link.publish(COMMAND_TOPIC, b"late", expiry_s=30, fresh=True)
        assert 0.9 < time.monotonic() - started_s < 2
        mosquitto.thaw()
        await link.publish(COMMAND_TOPIC, b"now", expiry_s=30, fresh=True)
        async with asyncio.timeout(5):
            message = await anext(gateway.messages)
    assert message.payload == b"now"
    await link.async_release()


async def test_nobody_answers_to_a_connection(
    hass: HomeAssistant, mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.hy_heating.links.connect.CONNECT_TIMEOUT_S", 1.0)
    mosquitto.freeze()
    with pytest.raises(LinkTimeoutError):
        async with temporary_link(hass, settings_of(mosquitto.port)):
            pass
    mosquitto.thaw()
    async with temporary_link(hass, settings_of(mosquitto.port)) as link:
        assert link.connected


async def test_two_links_with_one_client_id(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    link = await connected(hass, settings_of(mosquitto.port))
    status: list[bool] = []
    link.add_status_listener(status.append)
    other = MqttClient(
        settings_of(mosquitto.port), None, ProtocolVersion.V5, link._client_id, persistent=True
    )
    await other.open()
    await until(lambda: status)
    # It comes back, and pushes the other out.
    await until(lambda: other.ended)
    await other.close()
    await until(lambda: status == [False, True])
    await link.async_release()


async def test_tls(hass: HomeAssistant, tmp_path: Path) -> None:
    authority = Authority("The site's own")
    issued = authority.issue()
    (tmp_path / "ca.crt").write_text(authority.pem)
    (tmp_path / "server.crt").write_bytes(issued.certificate)
    (tmp_path / "server.key").write_bytes(issued.key)
    files = [f"cafile {tmp_path}/ca.crt", f"certfile {tmp_path}/server.crt"]
    mosquitto = Mosquitto(tmp_path, [*files, f"keyfile {tmp_path}/server.key"])
    await mosquitto.start()

    def settings(**changes: object) -> BrokerSettings:
        return settings_of(mosquitto.port, tls=True, **changes)

    for refused in (settings(), settings(ca_certificate=Authority("Somebody else").pem)):
        with pytest.raises(LinkTlsError, match="certificate"):
            async with temporary_link(hass, refused):
                pass
    with pytest.raises(LinkAuthError):
        async with temporary_link(hass, settings(ca_certificate=authority.pem, password="wrong")):
            pass
    async with temporary_link(hass, settings(tls_verify=False)) as temporary:
        assert temporary.connected
    link = await connected(hass, settings(ca_certificate=authority.pem))
    ear = Ear()
    await link.subscribe(TOPIC, ear)
    # Larger than one TLS record.
    await link.publish(TOPIC, b"x" * 50_000, expiry_s=30, fresh=True)
    await until(lambda: ear.heard)
    assert ear.heard == [b"x" * 50_000]
    await link.async_release()
    # Without TLS at a port with TLS, and the other way round.
    with pytest.raises(LinkError):
        async with temporary_link(hass, settings_of(mosquitto.port)):
            pass
    await mosquitto.stop()
    mosquitto.options = []
    await mosquitto.start()
    with pytest.raises(LinkTlsError):
        async with temporary_link(hass, settings(ca_certificate=authority.pem)):
            pass
    await mosquitto.stop()
