"""A valve shows what the device reported, never what was wished."""

import asyncio
from collections.abc import Awaitable, Callable
import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from .common import CABINET, COMMAND_TOPIC, VALVE, FakeLink, captured, captured_frame, report

HOUSEHOLD = f"valve.valve_{VALVE}"
REGULATING = f"valve.cabinet_{CABINET}_valve"
ERROR_REPLY = captured_frame("valve_set_error_reply")

# Report C with its opening byte 64 (100 %) as 32 (50 %) and as 00: the checksum falls by as much,
# from 94 to 62 and to 30. The state byte 55 in front of it stays.
VALVE_REPORT_C = captured_frame("valve_report_C")
VALVE_REPORT_50 = VALVE_REPORT_C.replace("DC005564", "DC005532").replace("9416", "6216")
VALVE_REPORT_0 = VALVE_REPORT_C.replace("DC005564", "DC005500").replace("9416", "3016")

# The cabinet's report with openings E803 E803 (100.0 %) as F401 F401 (50.0 %): each pair falls
# from EB to F5 (mod 256: +0A), so the checksum rises by 14, from 73 to 87; with only the second
# one changed by 0A, to 7D.
CABINET_REPORT = captured_frame("cabinet_report")
CABINET_REPORT_50 = CABINET_REPORT.replace("E803E803", "F401F401").replace("7316", "8716")
CABINET_REPORT_HALF = CABINET_REPORT.replace("E803E803", "E803F401").replace("7316", "7D16")


def transparent_reply(frame: str) -> bytes:
    """Return the msg_id 40 that carries a device's answer."""
    gw = {"msg_id": 40, "msg_gw_pr": 0, "gw_id": "02345678903"}
    return json.dumps({"gw": gw, "data": {"transparent_port": 0, "meter_data": [frame]}}).encode()


def state_of(hass: HomeAssistant, entity_id: str) -> State:
    state = hass.states.get(entity_id)
    assert state is not None
    return state


def move(hass: HomeAssistant, entity_id: str, position: int) -> asyncio.Task[Any]:
    """Begin to move a valve; the task ends when the action does."""
    data = {"entity_id": entity_id, "position": position}
    return hass.async_create_task(
        hass.services.async_call("valve", "set_valve_position", data, blocking=True)
    )


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def pass_time(hass: HomeAssistant, freezer: FrozenDateTimeFactory, seconds: float) -> None:
    freezer.tick(seconds)
    async_fire_time_changed(hass)
    await settle()


@pytest.fixture(autouse=True)
async def known_meters(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> None:
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    link.published.clear()


@pytest.mark.parametrize("opening", [0, 50, 100])
async def test_the_captured_exchange_of_a_household_valve(
    hass: HomeAssistant, link: FakeLink, opening: int
) -> None:
    reports = {0: VALVE_REPORT_0, 50: VALVE_REPORT_50, 100: VALVE_REPORT_C}
    action = move(hass, HOUSEHOLD, opening)
    await settle()
    assert link.published == [(COMMAND_TOPIC, captured(f"valve_set_{opening}"))]
    assert state_of(hass, HOUSEHOLD).state == "open", "nothing moved yet"

    link.deliver(captured("transparent_ack"))
    await settle()
    assert not action.done()
    link.deliver(transparent_reply(captured_frame(f"valve_set_{opening}_reply")))
    await action
    moving = {0: "closing", 50: "closing", 100: "open"}  # it stood at 100
    assert state_of(hass, HOUSEHOLD).state == moving[opening]
    assert state_of(hass, HOUSEHOLD).attributes["current_position"] == 100

    link.deliver(report(f"{VALVE}200800", reports[opening]))
    await settle()
    proved = state_of(hass, HOUSEHOLD)
    assert proved.state == ("closed" if opening == 0 else "open")
    assert proved.attributes["current_position"] == opening


async def test_a_cabinet_is_proved_by_both_of_its_openings(
    hass: HomeAssistant, link: FakeLink
) -> None:
    action = move(hass, REGULATING, 50)
    await settle()
    assert link.published == [(COMMAND_TOPIC, captured("cabinet_set_50"))]
    link.deliver(captured("transparent_ack"))
    link.deliver(captured("cabinet_set_reply"))
    await action
    assert state_of(hass, REGULATING).state == "closing"

    link.deliver(report(f"{CABINET}203400", CABINET_REPORT_HALF))
    await settle()
    assert state_of(hass, REGULATING).state == "open", "it stands where it was told to"
    link.deliver(report(f"{CABINET}203400", CABINET_REPORT_50))
    await settle()
    assert state_of(hass, REGULATING).state == "open"
    assert state_of(hass, REGULATING).attributes["current_position"] == 50


async def test_an_opening_without_proof_ends_with_the_travel_time(
    hass: HomeAssistant,
    link: FakeLink,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    link.deliver(captured("transparent_ack"))
    link.deliver(captured("valve_set_50_reply_malformed"))
    await action
    for _ in range(40):  # read-backs that find the valve where it was
        await pass_time(hass, freezer, 10)
        for message in link.sent():
            if message["gw"]["msg_id"] == 40:
                link.deliver(captured("transparent_ack"))
                link.deliver(transparent_reply(VALVE_REPORT_C))
                await settle()
    assert state_of(hass, HOUSEHOLD).state == "open"
    assert state_of(hass, HOUSEHOLD).attributes["current_position"] == 100
    assert "not_reached" in caplog.text

    action = move(hass, HOUSEHOLD, 0)
    await settle()
    link.deliver(transparent_reply(captured_frame("valve_set_0_reply")))
    await action
    assert state_of(hass, HOUSEHOLD).state == "closing", "the next command goes through"


async def answer_refusal(link: FakeLink) -> None:
    link.deliver(captured("transparent_ack_failed"))


async def answer_error(link: FakeLink) -> None:
    link.deliver(captured("transparent_ack"))
    link.deliver(transparent_reply(ERROR_REPLY))


async def answer_wrong_echo(link: FakeLink) -> None:
    link.deliver(captured("transparent_ack"))
    link.deliver(transparent_reply(captured_frame("valve_set_100_reply")))


async def answer_ack_only(link: FakeLink) -> None:
    link.deliver(captured("transparent_ack"))


async def answer_nothing(link: FakeLink) -> None:
    pass


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (answer_refusal, "failed_gateway_refused"),
        (answer_error, "failed_meter_refused"),
        (answer_wrong_echo, "failed_wrong_echo"),
        (answer_ack_only, "failed_meter_silent"),
        (answer_nothing, "failed_gateway_silent"),
    ],
)
async def test_every_failure_is_told_with_its_reason(
    hass: HomeAssistant,
    link: FakeLink,
    freezer: FrozenDateTimeFactory,
    answer: Callable[[FakeLink], Awaitable[None]],
    key: str,
) -> None:
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    for _ in range(30):
        if action.done():
            break
        if link.sent():
            await answer(link)
        await pass_time(hass, freezer, 5)
    with pytest.raises(HomeAssistantError) as failure:
        await action
    assert failure.value.translation_key == key
    assert failure.value.translation_placeholders == {"target": VALVE}
    assert state_of(hass, HOUSEHOLD).attributes.get("current_position", 100) == 100

    link.deliver(captured("status_reply"))  # a sign of life, where it was silent
    await settle()
    link.published.clear()
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    link.deliver(captured("transparent_ack"))
    link.deliver(captured("valve_set_50_reply_braced"))
    await action


async def test_nothing_is_sent_while_the_link_is_down(hass: HomeAssistant, link: FakeLink) -> None:
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    link.set_connected(False)
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "unavailable"
    link.published.clear()

    link.set_connected(True)
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "open"
    link.deliver(captured("valve_set_50_reply_braced"))  # what was sent may still be answered
    await action
    assert state_of(hass, HOUSEHOLD).state == "closing"


async def test_the_newest_opening_wins(hass: HomeAssistant, link: FakeLink) -> None:
    blocking = move(hass, REGULATING, 50)
    older = move(hass, HOUSEHOLD, 0)
    newer = move(hass, HOUSEHOLD, 50)
    await settle()
    with pytest.raises(HomeAssistantError) as failure:
        await older
    assert failure.value.translation_key == "failed_superseded"
    assert [payload for _, payload in link.published] == [captured("cabinet_set_50")]

    link.deliver(captured("cabinet_set_reply"))
    await blocking
    assert link.published[-1] == (COMMAND_TOPIC, captured("valve_set_50"))
    link.deliver(captured("valve_set_50_reply_braced"))
    await newer


async def test_a_command_outlives_who_gave_it(hass: HomeAssistant, link: FakeLink) -> None:
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    action.cancel()
    await settle()
    link.deliver(captured("transparent_ack"))
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "closing"
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_50))
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "open"
    assert state_of(hass, HOUSEHOLD).attributes["current_position"] == 50


async def test_toggle_knows_whether_the_valve_is_closed(
    hass: HomeAssistant, link: FakeLink
) -> None:
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_0))
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "closed"
    action = hass.async_create_task(
        hass.services.async_call("valve", "toggle", {"entity_id": HOUSEHOLD}, blocking=True)
    )
    await settle()
    assert link.published == [(COMMAND_TOPIC, captured("valve_set_100"))]
    link.deliver(transparent_reply(captured_frame("valve_set_100_reply")))
    await action
    assert state_of(hass, HOUSEHOLD).state == "opening"
