"""A second client under our id is named in the log and as a repair issue, which clears."""

import asyncio
from collections.abc import AsyncIterator
import logging
from typing import override

from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
import pytest

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.links import (
    SharedLink,
    async_acquire_link,
    broker as broker_module,
    rival as rival_module,
)

from .brokers import settings_of, until
from .scripted import (
    ACCEPTED_V5,
    ACCEPTED_V311,
    V5,
    V311,
    ScriptedBroker,
    refused_v5,
    refused_v311,
    scripted_broker,
)

pytestmark = pytest.mark.usefixtures("socket_enabled")

# DISCONNECT of MQTT 5 with reason 8E, session taken over, as mosquitto sends it.
TAKEN_OVER = bytes.fromhex("E0018E")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_module, "MIN_DELAY_S", 0.01)
    monkeypatch.setattr(broker_module, "MAX_DELAY_S", 0.01)
    monkeypatch.setattr(rival_module, "CLEAR_S", 0.5)


@pytest.fixture
async def scripted(hass: HomeAssistant) -> AsyncIterator[ScriptedBroker]:
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5, V311: ACCEPTED_V311})) as broker:
        yield broker


@pytest.fixture
async def link(hass: HomeAssistant, scripted: ScriptedBroker) -> AsyncIterator[SharedLink]:
    link = await async_acquire_link(hass, settings_of(scripted.port))
    await link.async_wait_connected(5)
    yield link
    await link.async_release()
    assert issues(hass) == []


def issues(hass: HomeAssistant) -> list[ir.IssueEntry]:
    return [issue for (domain, _), issue in ir.async_get(hass).issues.items() if domain == DOMAIN]


def warnings(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and words in record.getMessage()
    ]


async def is_pushed_out(scripted: ScriptedBroker, link: SharedLink, packet: bytes) -> None:
    accepted = scripted.accepted
    if packet:
        scripted.send_raw(packet)
    else:
        scripted.hang_up()
    await until(lambda: scripted.accepted > accepted and link.connected)


async def test_a_rival_is_named_after_three_takeovers_and_forgotten_when_it_is_gone(
    hass: HomeAssistant,
    scripted: ScriptedBroker,
    link: SharedLink,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        await is_pushed_out(scripted, link, TAKEN_OVER)
    assert issues(hass) == []
    for _ in range(3):
        await is_pushed_out(scripted, link, TAKEN_OVER)
        [issue] = issues(hass)
    assert issue.translation_key == "session_taken_over"
    client_id = scripted.connects[0].client_id
    assert issue.translation_placeholders == {
        "broker": f"127.0.0.1:{scripted.port}",
        "client_id": client_id,
    }
    [warning] = warnings(caplog, "ends our connection again and again")
    assert client_id in warning

    await until(lambda: issues(hass) == [])
    assert link.connected
    # And again, should it come back.
    for _ in range(3):
        await is_pushed_out(scripted, link, TAKEN_OVER)
    assert len(issues(hass)) == 1


async def test_takeovers_now_and_then_are_nobody(
    hass: HomeAssistant,
    scripted: ScriptedBroker,
    link: SharedLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rival_module, "WITHIN_S", 0.2)
    for _ in range(4):
        await is_pushed_out(scripted, link, TAKEN_OVER)
        await asyncio.sleep(0.15)
    assert issues(hass) == []


async def test_a_broker_that_gives_no_reason_is_understood_too(
    hass: HomeAssistant,
    scripted: ScriptedBroker,
    link: SharedLink,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(4):
        await is_pushed_out(scripted, link, b"")
    monkeypatch.setattr(rival_module, "BRIEF_S", 0.0)  # this one stood for long
    await is_pushed_out(scripted, link, b"")
    monkeypatch.setattr(rival_module, "BRIEF_S", 60.0)
    for count in range(1, 7):
        await is_pushed_out(scripted, link, b"")
        assert len(issues(hass)) == (count >= 5)
    await until(lambda: issues(hass) == [])


async def test_a_broker_that_is_away_in_between_is_no_rival(
    hass: HomeAssistant, scripted: ScriptedBroker, link: SharedLink
) -> None:
    for _ in range(8):
        scripted.answers[V5] = refused_v5(0x88)  # server unavailable
        accepted = scripted.accepted
        scripted.hang_up()
        await until(lambda: scripted.accepted > accepted)  # noqa: B023
        scripted.answers[V5] = ACCEPTED_V5
        await until(lambda: link.connected)
    assert issues(hass) == []


# --- A broker that keeps no session ---------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "refusal"),
    [
        pytest.param(V5, refused_v5(0x83), id="MQTT 5, implementation specific"),
        pytest.param(V5, refused_v5(0x97), id="MQTT 5, quota"),
        pytest.param(V311, refused_v311(2), id="MQTT 3.1.1, identifier rejected"),
    ],
)
async def test_a_refused_session_falls_back_to_none(
    hass: HomeAssistant, version: int, refusal: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    class Forgetful(ScriptedBroker):
        """Takes only clients that want no session."""

        @override
        def answer_to_connect(self) -> bytes | None:
            said = self.connects[-1]
            accepted = ACCEPTED_V5 if version == V5 else ACCEPTED_V311
            if version == V311 and said.level == V5:
                return refused_v311(1)
            return accepted if said.clean else refusal

    async with scripted_broker(Forgetful({})) as broker:
        link = await async_acquire_link(hass, settings_of(broker.port))
        await link.async_wait_connected(5)
        for _ in range(2):
            accepted = broker.accepted
            broker.hang_up()
            await until(lambda: broker.accepted > accepted + 1 and link.connected)  # noqa: B023
        said = broker.connects[-1]
        assert (said.level, said.clean, said.properties) == (version, True, b"")
        [warning] = warnings(caplog, "keeps our session for 0 s only")
        assert "are lost" in warning
        await link.async_release()


async def test_a_broker_that_keeps_a_session_for_a_while_only(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    # CONNACK of MQTT 5 with property 11, session expiry interval: 3600 = 00000E10.
    an_hour = bytes.fromhex("20080000051100000E10")
    async with scripted_broker(ScriptedBroker({V5: an_hour})) as broker:
        link = await async_acquire_link(hass, settings_of(broker.port))
        await link.async_wait_connected(5)
        assert len(warnings(caplog, "keeps our session for 3600 s only")) == 1
        await link.async_release()


async def test_a_broker_that_keeps_it_as_wished_is_not_talked_about(
    scripted: ScriptedBroker, link: SharedLink, caplog: pytest.LogCaptureFixture
) -> None:
    await is_pushed_out(scripted, link, b"")
    assert not warnings(caplog, "keeps our session")
    assert all(not said.clean for said in scripted.connects)
