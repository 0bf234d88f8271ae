"""Opening a connection: which version of MQTT, which error, and nothing left behind."""

import asyncio
from collections.abc import AsyncIterator
import socket
import time
from typing import override

from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.plugins import _real_getaddrinfo

from custom_components.hy_heating.hyheat.errors import (
    LinkAuthError,
    LinkError,
    LinkTimeoutError,
)
from custom_components.hy_heating.links import connect
from custom_components.hy_heating.links.client import MqttClient
from custom_components.hy_heating.links.connect import async_connect

from .brokers import AmqttBroker, free_port, settings_of, until
from .scripted import (
    ACCEPTED_V5,
    ACCEPTED_V311,
    HANG_UP,
    SILENCE,
    V5,
    V311,
    Reader,
    ScriptedBroker,
    refused_v5,
    refused_v311,
    scripted_broker,
)

pytestmark = pytest.mark.usefixtures("socket_enabled")

CLIENT_ID = "hy-heating-0123456789ab"


async def opened(hass: HomeAssistant, port: int, *, persistent: bool = True) -> MqttClient:
    return await async_connect(hass, settings_of(port), CLIENT_ID, persistent=persistent)


async def why_not(hass: HomeAssistant, port: int) -> tuple[LinkError, float]:
    """Return the error of a failing connection, and the seconds until it came."""
    started_s = time.monotonic()
    with pytest.raises(LinkError) as caught:
        await opened(hass, port)
    return caught.value, time.monotonic() - started_s


@pytest.fixture
async def deaf_port() -> AsyncIterator[int]:
    """Return a port that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# --- Which version --------------------------------------------------------------------------


async def test_mqtt_5_with_a_session_of_seven_days(hass: HomeAssistant) -> None:
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5})) as broker:
        client = await opened(hass, broker.port)
        await client.close()
        [said] = broker.connects
        # Property 17, session expiry interval: 7 * 86400 = 604800 = 00093A80.
        assert said.properties == bytes.fromhex("1100093A80")
        assert (said.level, said.clean, said.client_id) == (5, False, CLIENT_ID)
        assert (said.username, said.password, said.keepalive_s) == ("heat", "right", 15)
        await until(lambda: broker.goodbyes == 1)


async def test_mqtt_5_without_a_session(hass: HomeAssistant) -> None:
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5})) as broker:
        client = await opened(hass, broker.port, persistent=False)
        await client.close()
        [said] = broker.connects
        assert (said.clean, said.properties) == (True, b"")


@pytest.mark.parametrize("persistent", [True, False])
async def test_a_broker_that_waits_for_the_rest_of_mqtt_5(
    hass: HomeAssistant,
    broker: AmqttBroker,
    monkeypatch: pytest.MonkeyPatch,
    persistent: bool,
) -> None:
    # amqtt does; see the anonymous question in `connect`.
    client = await opened(hass, broker.port, persistent=persistent)
    assert client.version == V311
    assert broker.sessions[CLIENT_ID].clean_session is not persistent
    await client.close()
    await until(lambda: not broker.connected_ids)
    # What the broker said is remembered: the second time is quick although asking takes long.
    monkeypatch.setattr(connect, "SILENCE_S", 3600.0)
    client = await opened(hass, broker.port)
    assert client.version == V311
    await client.close()


@pytest.mark.parametrize("refusal", [refused_v5(0x84), refused_v311(1)])
async def test_a_broker_that_refuses_mqtt_5(hass: HomeAssistant, refusal: bytes) -> None:
    answers: dict[int, bytes | None] = {V5: refusal, V311: ACCEPTED_V311}
    async with scripted_broker(ScriptedBroker(answers)) as broker:
        for _ in range(2):
            client = await opened(hass, broker.port)
            await client.close()
        # Remembered after the first time.
        assert [said.level for said in broker.connects] == [V5, V311, V311]
        # The broker is replaced by one of MQTT 5 only: the next try but one finds that.
        broker.answers = {V311: refused_v311(1), V5: ACCEPTED_V5}
        await why_not(hass, broker.port)
        client = await opened(hass, broker.port)
        await client.close()
        assert [said.level for said in broker.connects[3:]] == [V311, V5]


@pytest.mark.parametrize("answer", [HANG_UP, refused_v311(5), b"\x20\x02\x00\x63"])
async def test_a_broker_that_does_not_understand_mqtt_5(hass: HomeAssistant, answer: bytes) -> None:
    # 3.1.1's "not authorized" in answer to MQTT 5, and a code that is in no standard.
    answers: dict[int, bytes | None] = {V5: answer, V311: ACCEPTED_V311}
    async with scripted_broker(ScriptedBroker(answers)) as broker:
        for _ in range(2):
            client = await opened(hass, broker.port)
            assert client.version == V311
            await client.close()
        # It did not say so itself, and may have been in trouble: MQTT 5 is tried again.
        assert [said.level for said in broker.connects] == [V5, V311, V5, V311]


async def test_a_broker_known_for_mqtt_5_is_not_tried_with_less(hass: HomeAssistant) -> None:
    answers: dict[int, bytes | None] = {V5: ACCEPTED_V5, V311: ACCEPTED_V311}
    async with scripted_broker(ScriptedBroker(answers)) as broker:
        await (await opened(hass, broker.port)).close()
        broker.answers[V5] = HANG_UP
        err, _ = await why_not(hass, broker.port)
        assert "instead of answering" in str(err)
        broker.answers[V5] = ACCEPTED_V5
        await (await opened(hass, broker.port)).close()
        assert [said.level for said in broker.connects] == [V5, V5, V5]


async def test_a_slow_broker_is_not_taken_for_an_old_one(hass: HomeAssistant) -> None:
    async with scripted_broker(ScriptedBroker({V5: SILENCE})) as broker:
        opening = asyncio.ensure_future(opened(hass, broker.port))
        await until(lambda: len(broker.connects) == 2)  # ours, and the anonymous question
        assert [said.client_id for said in broker.connects] == [CLIENT_ID, ""]
        assert broker.connects[1].username is None
        await asyncio.sleep(0.1)
        assert not opening.done()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        await until(lambda: not broker.open_connections)


async def test_a_broker_that_answers_the_question_but_not_us_yet(hass: HomeAssistant) -> None:
    class Slow(ScriptedBroker):
        """Answers the anonymous question at once, and us only then."""

        @override
        def _connect(self, body: Reader) -> bytes | None:
            waiting = self._writer
            super()._connect(body)
            if self.connects[-1].client_id:
                return SILENCE
            assert waiting
            asyncio.get_running_loop().call_later(0.1, waiting.write, ACCEPTED_V5)
            return ACCEPTED_V5

    async with scripted_broker(Slow({V5: SILENCE})) as broker:
        client = await opened(hass, broker.port)
        assert client.version == V5
        await client.close()
        assert broker.goodbyes == 2


# --- Which error ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0x86, 0x87])
async def test_refused_credentials_with_mqtt_5(hass: HomeAssistant, code: int) -> None:
    answers: dict[int, bytes | None] = {V5: refused_v5(code), V311: ACCEPTED_V311}
    async with scripted_broker(ScriptedBroker(answers)) as broker:
        err, _ = await why_not(hass, broker.port)
        assert type(err) is LinkAuthError
        # No second try with another version: it would count as a second wrong password.
        assert len(broker.connects) == 1
        broker.answers[V5] = ACCEPTED_V5
        await (await opened(hass, broker.port)).close()


@pytest.mark.parametrize("code", [4, 5])
async def test_refused_credentials_with_mqtt_3_1_1(hass: HomeAssistant, code: int) -> None:
    answers: dict[int, bytes | None] = {V5: refused_v311(1), V311: refused_v311(code)}
    async with scripted_broker(ScriptedBroker(answers)) as broker:
        err, _ = await why_not(hass, broker.port)
        assert type(err) is LinkAuthError
        assert [said.level for said in broker.connects] == [V5, V311]
        broker.answers[V311] = ACCEPTED_V311
        await (await opened(hass, broker.port)).close()


async def test_wrong_password_at_a_real_broker(hass: HomeAssistant, broker: AmqttBroker) -> None:
    with pytest.raises(LinkAuthError):
        await async_connect(
            hass, settings_of(broker.port, password="wrong"), CLIENT_ID, persistent=True
        )
    await (await opened(hass, broker.port)).close()


@pytest.mark.parametrize(
    "answers",
    [{V5: refused_v5(0x88)}, {V5: refused_v311(1), V311: refused_v311(3)}],
    ids=["mqtt 5", "mqtt 3.1.1"],
)
async def test_refused_for_another_reason(
    hass: HomeAssistant, answers: dict[int, bytes | None]
) -> None:
    async with scripted_broker(ScriptedBroker(answers)) as broker:
        err, _ = await why_not(hass, broker.port)
        assert type(err) is LinkError
        assert "Server unavailable" in str(err)


async def test_nobody_listens(hass: HomeAssistant) -> None:
    err, elapsed_s = await why_not(hass, free_port())
    assert type(err) is LinkError
    assert "refused" in str(err)
    assert elapsed_s < 2


@pytest.mark.parametrize("host", ["no such host", "a" * 64 + ".example", ""])
async def test_not_a_host(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _real_getaddrinfo)
    with pytest.raises(LinkError) as caught:
        await async_connect(hass, settings_of(1883, host=host), CLIENT_ID, persistent=True)
    assert type(caught.value) is LinkError


async def test_nobody_answers(
    hass: HomeAssistant, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "CONNECT_TIMEOUT_S", 0.5)
    err, elapsed_s = await why_not(hass, deaf_port)
    assert type(err) is LinkTimeoutError
    # One limit for everything, with the question about the version.
    assert 0.4 < elapsed_s < 1.5


async def test_a_connection_that_ends_right_after_it_was_accepted(hass: HomeAssistant) -> None:
    answers: dict[int, bytes | None] = {V5: ACCEPTED_V5, V311: ACCEPTED_V311}
    async with scripted_broker(ScriptedBroker(answers, then_hang_up=True)) as broker:
        for _ in range(5):
            try:
                client = await opened(hass, broker.port)
            except LinkError:
                continue
            async with asyncio.timeout(2):
                await client.wait_ended()
            await client.close()
        broker.then_hang_up = False
        client = await opened(hass, broker.port)
        await asyncio.sleep(0.05)
        assert not client.ended
        await client.close()


async def test_given_up_while_the_thread_connects(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_connect = socket.create_connection

    def connect_slowly(*args: object, **kwargs: object) -> socket.socket:
        time.sleep(0.3)
        return real_connect(*args, **kwargs)  # type: ignore[arg-type] # passed on as it came

    monkeypatch.setattr(socket, "create_connection", connect_slowly)
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5})) as broker:
        opening = asyncio.ensure_future(opened(hass, broker.port))
        await asyncio.sleep(0.1)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        # The thread goes on; what it opens is closed at once.
        await until(lambda: broker.accepted == 1)
        await until(lambda: not broker.open_connections)
        monkeypatch.undo()
        await (await opened(hass, broker.port)).close()
