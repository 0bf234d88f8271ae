"""Actions answer for every target, with a reason; raw frames only on purpose."""

import asyncio
import json
from typing import Any

from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError, Unauthorized
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    label_registry as lr,
)
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    MockUser,
    async_capture_events,
)

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.errors import to_home_assistant
from custom_components.hy_heating.hyheat.errors import RequestError

from .common import CABINET, GATEWAY_ID, VALVE, FakeLink, captured, captured_frame, report
from .test_commands import moves
from .test_valve import (
    CABINET_REPORT,
    HOUSEHOLD,
    REGULATING,
    VALVE_REPORT_50,
    VALVE_REPORT_C,
    settle,
    transparent_reply,
)

# Report C of other valves: only the last two digits of the number differ, 10 to 11...19 (BCD as
# written), so the checksum rises by as much from 94.
REPORT_C = captured_frame("valve_report_C")


# E803 E803 (EB + EB) as 0000 0000: the sum falls by 1D6, so mod 256 by D6, from 73 to 9D.
CABINET_REPORT_0 = CABINET_REPORT.replace("E803E803", "00000000").replace("7316", "9D16")


def other_valve(last: int) -> tuple[str, str]:
    """Return number and report of another household valve, 23227311 to 23227319."""
    number = f"2322731{last}"
    frame = REPORT_C.replace("23227310", number).replace("9416", f"{0x94 + last:02X}16")
    return number, frame


async def call(hass: HomeAssistant, action: str, **data: Any) -> dict[str, Any]:
    response = await hass.services.async_call(
        DOMAIN, action, data, blocking=True, return_response=True
    )
    assert response is not None
    return dict(response)


def begin(hass: HomeAssistant, action: str, **data: Any) -> asyncio.Task[dict[str, Any]]:
    return hass.async_create_task(call(hass, action, **data))


def device_id(hass: HomeAssistant, entry: MockConfigEntry, serial_number: str) -> str:
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    return next(device.id for device in devices if device.serial_number == serial_number)


@pytest.fixture(autouse=True)
async def known_meters(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> None:
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    link.published.clear()


async def test_a_row_with_proof_for_every_valve(hass: HomeAssistant, link: FakeLink) -> None:
    action = begin(hass, "set_openings", entity_id=[HOUSEHOLD, "valve.not_here"], opening=50)
    await settle()
    assert moves(link) == [captured("valve_set_50")]
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    assert not action.done(), "a reply is no proof"
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_50))
    rows = {row["entity_id"]: row for row in (await action)["results"]}
    duration = rows[HOUSEHOLD].pop("duration")
    assert duration >= 0
    assert rows == {
        HOUSEHOLD: {
            "entity_id": HOUSEHOLD,
            "result": "verified",
            "reason": None,
            "before": 100,
            "wished": 50,
            "found": 50,
            "tries": 1,
        },
        "valve.not_here": {
            "entity_id": "valve.not_here",
            "result": "failed",
            "reason": "not_loaded",
            "before": None,
            "wished": 50,
            "found": None,
            "tries": 0,
            "duration": 0.0,
        },
    }


async def test_openings_by_entity_and_without_waiting(hass: HomeAssistant, link: FakeLink) -> None:
    answer = await call(hass, "set_openings", openings={HOUSEHOLD: 50, REGULATING: 0}, wait=False)
    assert [(row["entity_id"], row["result"], row["wished"]) for row in answer["results"]] == [
        (HOUSEHOLD, "sent", 50),
        (REGULATING, "sent", 0),
    ]
    assert len({tuple(row) for row in answer["results"]}) == 1, "every row has the same columns"
    await settle()
    assert moves(link) == [captured("valve_set_50")], "one at a time on a bus"
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    assert moves(link)[-1] == captured("cabinet_set_0")


async def test_targets_by_area_and_device(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    area = ar.async_get(hass).async_create("Third floor")
    dr.async_get(hass).async_update_device(device_id(hass, entry, VALVE), area_id=area.id)
    answer = await call(
        hass,
        "set_openings",
        area_id=area.id,
        device_id=device_id(hass, entry, CABINET),
        opening=50,
        wait=False,
    )
    assert {row["entity_id"] for row in answer["results"]} == {HOUSEHOLD, REGULATING}


async def test_targets_by_floor_and_label(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    floor = fr.async_get(hass).async_create("Third floor")
    area = ar.async_get(hass).async_create("Flat 12", floor_id=floor.floor_id)
    dr.async_get(hass).async_update_device(device_id(hass, entry, VALVE), area_id=area.id)
    of_entities, of_devices = (lr.async_get(hass).async_create(name) for name in ("New", "Old"))
    er.async_get(hass).async_update_entity(REGULATING, labels={of_entities.label_id})
    answer = await call(hass, "set_openings", floor_id=floor.floor_id, opening=50, wait=False)
    assert [row["entity_id"] for row in answer["results"]] == [HOUSEHOLD], "and no sensor"
    answer = await call(hass, "set_openings", label_id=of_entities.label_id, opening=50, wait=False)
    assert [row["entity_id"] for row in answer["results"]] == [REGULATING]
    dr.async_get(hass).async_update_device(
        device_id(hass, entry, CABINET), labels={of_devices.label_id}
    )
    answer = await call(hass, "set_openings", label_id=of_devices.label_id, opening=0, wait=False)
    assert [row["entity_id"] for row in answer["results"]] == [REGULATING]


async def test_unavailable_targets_get_a_row_too(hass: HomeAssistant, link: FakeLink) -> None:
    link.set_connected(False)
    await settle()
    answer = await call(hass, "set_openings", entity_id=HOUSEHOLD, opening=50)
    (row,) = answer["results"]
    assert (row["result"], row["reason"], row["tries"]) == ("failed", "link_down", 0)
    assert moves(link) == []

    link.set_connected(True)
    answer = await call(hass, "set_openings", entity_id=HOUSEHOLD, opening=50, wait=False)
    assert answer["results"][0]["result"] == "sent"


async def test_without_a_response_a_failure_is_an_error(
    hass: HomeAssistant, link: FakeLink
) -> None:
    link.set_connected(False)
    with pytest.raises(HomeAssistantError) as failure:
        await hass.services.async_call(
            DOMAIN, "set_openings", {"entity_id": HOUSEHOLD, "opening": 50}, blocking=True
        )
    assert failure.value.translation_key == "openings_failed"
    assert failure.value.translation_placeholders == {
        "failed": "1",
        "total": "1",
        "first": HOUSEHOLD,
        "reason": "link_down",
    }
    link.set_connected(True)
    data = {"entity_id": HOUSEHOLD, "opening": 50, "wait": False}
    await hass.services.async_call(DOMAIN, "set_openings", data, blocking=True)
    await settle()
    assert moves(link) == [captured("valve_set_50")]


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"opening": 50}, "no_valve_targeted"),
        ({"entity_id": HOUSEHOLD}, "opening_missing"),
    ],
)
async def test_what_is_not_said_is_asked_for(
    hass: HomeAssistant, data: dict[str, Any], key: str
) -> None:
    with pytest.raises(ServiceValidationError) as failure:
        await call(hass, "set_openings", **data)
    assert failure.value.translation_key == key


async def test_many_valves_are_closed_only_when_confirmed(
    hass: HomeAssistant, link: FakeLink
) -> None:
    for last in range(1, 10):  # ten household valves in all
        number, frame = other_valve(last)
        link.deliver(report(f"{number}200800", frame))
    await settle()
    four = [f"valve.valve_2322731{last}" for last in range(1, 5)]
    with pytest.raises(ServiceValidationError) as failure:
        await call(hass, "set_openings", entity_id=four, opening=0, wait=False)
    assert failure.value.translation_key == "too_many_closing"
    assert failure.value.translation_placeholders == {
        "gateway": GATEWAY_ID,
        "closing": "4",
        "valves": "10",
        "share": "30%",
    }
    assert moves(link) == []
    answer = await call(hass, "set_openings", entity_id=four[:3], opening=0, wait=False)
    assert len(answer["results"]) == 3, "30 % need no confirmation"
    answer = await call(hass, "set_openings", entity_id=four, opening=0, wait=False, confirm=True)
    assert {row["result"] for row in answer["results"]} == {"sent"}


async def test_a_canceled_action_gives_up_what_was_not_sent(
    hass: HomeAssistant, link: FakeLink
) -> None:
    action = begin(hass, "set_openings", openings={HOUSEHOLD: 50, REGULATING: 0})
    await settle()
    action.cancel()
    await settle()
    assert action.cancelled()
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    assert moves(link) == [captured("valve_set_50")], "the second one never went out"
    state = hass.states.get(f"event.cabinet_{CABINET}_command")
    assert state is not None
    assert state.attributes["reason"] == "canceled"


async def test_a_script_that_is_stopped_gives_up_what_was_not_sent(
    hass: HomeAssistant, link: FakeLink
) -> None:
    step = {
        "action": "hy_heating.set_openings",
        "data": {"openings": {HOUSEHOLD: 50, REGULATING: 0}},
        "response_variable": "outcome",
    }
    after = {"event": "after_the_openings", "event_data": {"outcome": "{{ outcome }}"}}
    script = {"evening": {"sequence": [step, after]}}
    assert await async_setup_component(hass, "script", {"script": script})
    told = async_capture_events(hass, "after_the_openings")
    await hass.services.async_call("script", "turn_on", {"entity_id": "script.evening"})
    await settle()
    assert moves(link) == [captured("valve_set_50")]
    assert hass.states.is_state("script.evening", "on")
    await hass.services.async_call(
        "script", "turn_off", {"entity_id": "script.evening"}, blocking=True
    )
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    assert hass.states.is_state("script.evening", "off")
    assert moves(link) == [captured("valve_set_50")], "the second one never went out"
    reasons = [
        state.attributes["reason"]
        for state in hass.states.async_all("event")
        if "reason" in state.attributes
    ]
    assert reasons == ["canceled"]

    # The same script, left alone, gets a row for each.
    link.published.clear()
    await hass.services.async_call("script", "turn_on", {"entity_id": "script.evening"})
    await settle()
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    link.deliver(captured("cabinet_set_reply"))
    await settle()
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_50))
    link.deliver(report(f"{CABINET}203400", CABINET_REPORT_0))
    await hass.async_block_till_done()
    (event,) = told
    rows = event.data["outcome"]["results"]
    assert {(row["entity_id"], row["result"], row["found"]) for row in rows} == {
        (HOUSEHOLD, "verified", 50),
        (REGULATING, "verified", 0.0),
    }


async def test_read_meter_answers_with_the_values(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    action = begin(hass, "read_meter", device_id=device_id(hass, entry, VALVE))
    await settle()
    sent = json.loads(link.published[-1][1])
    assert sent["data"]["transparent"] == captured_frame("valve_read")
    link.deliver(transparent_reply(VALVE_REPORT_C))
    answer = await action
    assert (answer["meter_number"], answer["device"]) == (VALVE, "valve")
    assert answer["values"]["supply_temperature_c"] == 29.1
    assert answer["values"]["device_clock"] == "2024-05-26T19:08:00"


async def test_a_meter_is_read_and_a_frame_sent_without_an_answer(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    data = {"device_id": device_id(hass, entry, VALVE)}
    action = hass.async_create_task(
        hass.services.async_call(DOMAIN, "read_meter", data, blocking=True)
    )
    await settle()
    link.deliver(transparent_reply(VALVE_REPORT_C))
    assert await action is None
    assert hass.states.is_state(f"sensor.valve_{VALVE}_supply_temperature", "29.1")

    link.published.clear()
    data["frame"] = captured_frame("valve_set_50")
    action = hass.async_create_task(
        hass.services.async_call(DOMAIN, "send_frame", data, blocking=True)
    )
    await settle()
    link.deliver(captured("valve_set_50_reply_braced"))
    assert await action is None
    assert moves(link) == [captured("valve_set_50")]


async def test_nothing_is_sent_to_a_gateway_that_is_only_read(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    hass.config_entries.async_update_entry(entry, options={**entry.options, "read_only": True})
    await hass.config_entries.async_reload(entry.entry_id)
    frame = captured_frame("valve_set_50")
    link.published.clear()
    with pytest.raises(ServiceValidationError) as failure:
        await call(hass, "send_frame", device_id=device_id(hass, entry, GATEWAY_ID), frame=frame)
    assert failure.value.translation_key == "failed_read_only"
    assert moves(link) == []

    hass.config_entries.async_update_entry(entry, options={**entry.options, "read_only": False})
    await hass.config_entries.async_reload(entry.entry_id)
    action = begin(hass, "send_frame", device_id=device_id(hass, entry, VALVE), frame=frame)
    await settle()
    assert moves(link) == [captured("valve_set_50")]
    link.deliver(captured("valve_set_50_reply_braced"))
    assert (await action)["opening_pct"] == 50


async def test_an_unknown_device_is_not_read(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    # Type 30, address 10000042 001111, C 81, L 04, DI 901F, SER 00, one byte 42; the sum is 282.
    link.deliver(report("10000042200800", "6830100000420011118104901F00428216"))
    await hass.async_block_till_done()
    link.published.clear()
    with pytest.raises(HomeAssistantError) as failure:
        await call(hass, "read_meter", device_id=device_id(hass, entry, "10000042"))
    assert failure.value.translation_key == "unknown_device"
    assert failure.value.translation_placeholders == {"target": "10000042"}
    assert link.published == []


def test_what_cannot_be_asked_for_is_no_failure_of_the_device() -> None:
    err = to_home_assistant(RequestError("the device type is one byte"), VALVE)
    assert isinstance(err, ServiceValidationError)
    assert err.translation_key == "invalid_request"
    assert err.translation_placeholders == {
        "target": VALVE,
        "detail": "the device type is one byte",
    }


async def test_read_meter_wants_a_meter(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    with pytest.raises(ServiceValidationError) as failure:
        await call(hass, "read_meter", device_id=device_id(hass, entry, GATEWAY_ID))
    assert failure.value.translation_key == "no_meter_targeted"


async def test_read_now(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> None:
    gateway = device_id(hass, entry, GATEWAY_ID)
    action = begin(hass, "read_now", device_id=gateway)
    await settle()
    assert link.published[-1][1] == captured("read_cabinets_now")
    link.deliver(captured("read_now_ack"))
    assert await action == {"accepted": True}
    with pytest.raises(ServiceValidationError) as failure:
        await call(hass, "read_now", device_id=gateway, cabinets=False)
    assert failure.value.translation_key == "nothing_to_read"


async def test_send_frame_answers_with_the_decoded_reply(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    gateway = device_id(hass, entry, GATEWAY_ID)
    frame = captured_frame("valve_set_50")
    action = begin(hass, "send_frame", device_id=gateway, frame=frame)
    await settle()
    assert moves(link) == [captured("valve_set_50")]
    link.deliver(captured("valve_set_50_reply_braced"))
    assert await action == {
        "device": "valve",
        "control": "84",
        "di": "A019",
        "ser": 0,
        "opening_pct": 50,
    }


async def test_send_frame_shows_a_reply_that_nobody_described(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    # A read of D120: 68 53 23227310001111 01 03 D12000. In hex 68+53 = BB, with the address 1A5,
    # with 01 03 1A9, with D1 20 29A: CS is 9A. The answer has control 81, L 05 and AA BB more:
    # 1A5 + 81 + 05 = 22B, + D1 + 20 = 31C, + AA + BB = 481: CS is 81.
    gateway = device_id(hass, entry, GATEWAY_ID)
    request = "6853232273100011110103D120009A16"
    answer = "6853232273100011118105D12000AABB8116"
    action = begin(hass, "send_frame", device_id=gateway, frame=request)
    await settle()
    link.deliver(transparent_reply(answer))
    assert await action == {"device": None, "frame": answer}
    assert entry.runtime_data.gateway.client.refusals.total == 0

    link.deliver(transparent_reply(answer))
    assert entry.runtime_data.gateway.client.refusals.counts == {(VALVE, "frame_layout"): 1}


@pytest.mark.parametrize(
    ("frame", "key"),
    [
        (captured_frame("valve_report_bad_checksum"), "frame_refused"),
        ("zz", "frame_refused"),
        # To all addresses: 68 53 AAAAAAAAAAAAAA 01 03 901F00; 7 × AA = 4A6, with 68 53 561,
        # with 01 03 565, with 90 1F 614: CS is 14.
        ("6853AAAAAAAAAAAAAA0103901F001416", "frame_broadcast"),
        # A good frame, and behind it one to all, or anything else.
        (captured_frame("valve_read") + "6853AAAAAAAAAAAAAA0103901F001416", "frame_refused"),
        (captured_frame("valve_read") + "00", "frame_refused"),
        ("00" + captured_frame("valve_read"), "frame_refused"),
    ],
)
async def test_send_frame_refuses_what_could_do_harm(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, frame: str, key: str
) -> None:
    gateway = device_id(hass, entry, GATEWAY_ID)
    with pytest.raises(ServiceValidationError) as failure:
        await call(hass, "send_frame", device_id=gateway, frame=frame)
    assert failure.value.translation_key == key
    assert moves(link) == []
    if frame == "zz":
        return
    data = {"device_id": gateway, "frame": frame, "force": True}
    action = hass.async_create_task(
        hass.services.async_call(DOMAIN, "send_frame", data, blocking=True)
    )
    await settle()
    assert [json.loads(payload)["data"]["transparent"] for payload in moves(link)] == [frame]
    link.deliver(captured("transparent_ack_failed"))
    await hass.config_entries.async_unload(entry.entry_id)
    with pytest.raises(HomeAssistantError):
        await action


async def test_send_frame_is_for_administrators(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, hass_read_only_user: MockUser
) -> None:
    data = {"device_id": device_id(hass, entry, GATEWAY_ID), "frame": captured_frame("valve_read")}
    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            DOMAIN,
            "send_frame",
            data,
            blocking=True,
            context=Context(user_id=hass_read_only_user.id),
        )
    assert moves(link) == []


async def test_decode_frame_explains_without_sending(hass: HomeAssistant, link: FakeLink) -> None:
    answer = await call(hass, "decode_frame", frame=captured_frame("valve_set_50_reply"))
    (explained,) = answer["results"]
    assert (explained["ok"], explained["fields"]["opening_pct"]) == (True, 50)
    assert len(explained["bytes"]) == 17
    answer = await call(hass, "decode_frame", frame=captured_frame("valve_report_bad_checksum"))
    assert answer["results"][0]["error"] == "checksum"
    assert moves(link) == []


async def test_the_valves_of_other_integrations_are_left_alone(hass: HomeAssistant) -> None:
    registry = er.async_get(hass)
    foreign = registry.async_get_or_create("valve", "demo", "1").entity_id
    answer = await call(hass, "set_openings", entity_id=foreign, opening=50)
    assert answer["results"][0]["reason"] == "not_loaded"
