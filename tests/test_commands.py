"""The whole life of a command is visible: event, logbook, counters, repair, read-only, foreign."""

from collections.abc import Awaitable, Callable
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components import logbook as logbook_component
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir, translation
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.logbook import async_describe_events

from .common import (
    CABINET,
    COMMAND_TOPIC,
    GATEWAY_ID,
    VALVE,
    FakeLink,
    captured,
    captured_frame,
    make_entry,
    report,
    set_up,
)
from .test_valve import (
    HOUSEHOLD,
    VALVE_REPORT_0,
    VALVE_REPORT_50,
    answer_error,
    move,
    pass_time,
    settle,
    state_of,
    transparent_reply,
)

COMMAND_EVENT = f"event.valve_{VALVE}_command"


@pytest.fixture
async def known_meters(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> None:
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    link.published.clear()


def moves(link: FakeLink) -> list[bytes]:
    """Return the transparent commands that were published."""
    return [payload for _, payload in link.published if b'"msg_id":40' in payload]


async def prove(hass: HomeAssistant, link: FakeLink) -> None:
    """Move the household valve to 50 % and let a report show it."""
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    link.deliver(captured("transparent_ack"))
    link.deliver(captured("valve_set_50_reply_braced"))
    await action
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_50))
    await settle()


async def fail(
    hass: HomeAssistant,
    link: FakeLink,
    answer: Callable[[FakeLink], Awaitable[None]] = answer_error,
) -> None:
    """Move the household valve, which answers with an error."""
    action = move(hass, HOUSEHOLD, 0)
    await settle()
    await answer(link)
    with pytest.raises(HomeAssistantError):
        await action
    await settle()


@pytest.mark.usefixtures("known_meters")
async def test_a_proof_is_an_event(hass: HomeAssistant, link: FakeLink) -> None:
    told = async_capture_events(hass, "hy_heating_command")
    await prove(hass, link)
    state = state_of(hass, COMMAND_EVENT)
    shown = {key: state.attributes[key] for key in ("event_type", "wished", "before", "found")}
    assert shown == {"event_type": "verified", "wished": 50, "before": 100, "found": 50}
    assert state.attributes["reason"] is None
    assert state.attributes["tries"] == 1
    assert [event.data["verdict"] for event in told] == ["verified"]
    assert told[0].data["entity_id"] == COMMAND_EVENT


@pytest.mark.usefixtures("known_meters")
async def test_a_failure_is_an_event_with_its_reason(hass: HomeAssistant, link: FakeLink) -> None:
    await fail(hass, link)
    state = state_of(hass, COMMAND_EVENT)
    assert state.attributes["event_type"] == "failed"
    assert state.attributes["reason"] == "meter_refused"
    assert (state.attributes["wished"], state.attributes["found"]) == (0, None)
    assert state_of(hass, "sensor.building_3_valves_unproven").state == "1"
    assert state_of(hass, "sensor.building_3_valves_unproven").attributes["valves"] == [VALVE]

    await prove(hass, link)
    assert state_of(hass, COMMAND_EVENT).attributes["event_type"] == "verified"
    assert state_of(hass, "sensor.building_3_valves_unproven").state == "0"


@pytest.mark.usefixtures("all_entities_enabled")
async def test_the_counters_of_a_gateway(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    await prove(hass, link)
    await fail(hass, link)
    assert hass.states.is_state("sensor.building_3_commands_sent", "2")
    assert hass.states.is_state("sensor.building_3_commands_verified", "1")
    failed = state_of(hass, "sensor.building_3_commands_failed")
    assert (failed.state, failed.attributes["meter_refused"]) == ("1", 1)
    assert float(state_of(hass, "sensor.building_3_mean_time_to_proof").state) >= 0


@pytest.mark.usefixtures("known_meters")
async def test_a_valve_that_fails_three_times_in_a_row_raises_a_repair(
    hass: HomeAssistant, link: FakeLink
) -> None:
    issues = ir.async_get(hass)
    issue_id = f"valve_disobeys_{GATEWAY_ID}_{VALVE}"
    for _ in range(2):
        await fail(hass, link)
    assert issues.async_get_issue(DOMAIN, issue_id) is None
    await fail(hass, link)
    issue = issues.async_get_issue(DOMAIN, issue_id)
    assert issue is not None
    assert issue.translation_placeholders == {
        "meter": VALVE,
        "gateway": GATEWAY_ID,
        "failures": "3",
    }
    await prove(hass, link)
    assert issues.async_get_issue(DOMAIN, issue_id) is None


@pytest.mark.usefixtures("all_entities_enabled")
async def test_counters_and_what_is_unproven_survive_a_restart(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    await prove(hass, link)
    for _ in range(3):
        await fail(hass, link)
    issues = ir.async_get(hass)
    issue_id = f"valve_disobeys_{GATEWAY_ID}_{VALVE}"
    proof_s = state_of(hass, "sensor.building_3_mean_time_to_proof").state
    ir.async_delete_issue(hass, DOMAIN, issue_id)  # as a restart does

    await hass.config_entries.async_reload(entry.entry_id)
    assert hass.states.is_state("sensor.building_3_commands_sent", "4")
    assert hass.states.is_state("sensor.building_3_commands_verified", "1")
    assert state_of(hass, "sensor.building_3_commands_failed").attributes["meter_refused"] == 3
    assert float(state_of(hass, "sensor.building_3_mean_time_to_proof").state) == pytest.approx(
        float(proof_s), abs=0.05
    )
    assert state_of(hass, "sensor.building_3_valves_unproven").attributes["valves"] == [VALVE]
    assert issues.async_get_issue(DOMAIN, issue_id)

    await prove(hass, link)
    assert issues.async_get_issue(DOMAIN, issue_id) is None
    await hass.config_entries.async_reload(entry.entry_id)
    assert issues.async_get_issue(DOMAIN, issue_id) is None
    assert hass.states.is_state("sensor.building_3_valves_unproven", "0")


@pytest.mark.usefixtures("known_meters")
async def test_nothing_is_sent_again_after_a_restart(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    first = move(hass, HOUSEHOLD, 50)
    await settle()
    second = move(hass, f"valve.cabinet_{CABINET}_valve", 0)
    await settle()
    assert moves(link) == [captured("valve_set_50")]
    await hass.config_entries.async_unload(entry.entry_id)
    for action in (first, second):
        with pytest.raises(HomeAssistantError) as failure:
            await action
        assert failure.value.translation_key == "failed_shut_down"
    link.published.clear()
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    link.deliver(captured("valve_set_50_reply_braced"))
    await settle()
    assert moves(link) == []
    assert state_of(hass, HOUSEHOLD).state == "open", "it stands where it was reported"
    unproven = state_of(hass, "sensor.building_3_valves_unproven")
    assert unproven.attributes["valves"] == [VALVE, CABINET]
    await prove(hass, link)
    assert state_of(hass, "sensor.building_3_valves_unproven").attributes["valves"] == [CABINET]


@pytest.mark.parametrize(
    "damage",
    [
        {"counters": {"sent": "many", "verified": 0, "failed": {}, "proofs_s": []}},
        {"counters": {"sent": 1, "verified": 0, "failed": {"laziness": 1}, "proofs_s": []}},
        {"counters": {"sent": 1, "verified": 0, "failed": {}, "proofs_s": ["nan"]}},
        {"counters": [1]},
        {"valves": {VALVE: "lazy", "11111111": [True, 3]}},
        {"valves": [VALVE]},
        [],
    ],
)
@pytest.mark.usefixtures("all_entities_enabled", "known_meters")
async def test_damaged_counters_begin_anew(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    damage: object,
) -> None:
    await fail(hass, link)
    await hass.config_entries.async_unload(entry.entry_id)
    kept = hass_storage[f"{DOMAIN}.{entry.entry_id}"]["data"]
    kept["commands"] = {**kept["commands"], **damage} if isinstance(damage, dict) else damage
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert state_of(hass, HOUSEHOLD).state == "open"
    counted = isinstance(damage, dict) and "counters" not in damage
    assert hass.states.is_state("sensor.building_3_commands_sent", "1" if counted else "0")
    before = int(state_of(hass, "sensor.building_3_commands_verified").state)
    await prove(hass, link)
    assert hass.states.is_state("sensor.building_3_commands_verified", str(before + 1))


@pytest.mark.usefixtures("known_meters")
async def test_a_removed_valve_is_no_longer_said_to_disobey(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    for _ in range(3):
        await fail(hass, link)
    issue_id = f"valve_disobeys_{GATEWAY_ID}_{VALVE}"
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id)
    entry.runtime_data.gateway.async_forget_meter(VALVE)
    assert ir.async_get(hass).async_get_issue(DOMAIN, issue_id) is None


async def test_a_read_only_gateway_is_never_told_anything(
    hass: HomeAssistant, link: FakeLink
) -> None:
    entry = make_entry(read_only=True)
    await set_up(hass, entry)
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    link.published.clear()
    action = move(hass, HOUSEHOLD, 0)
    with pytest.raises(HomeAssistantError) as failure:
        await action
    assert failure.value.translation_key == "failed_read_only"
    assert moves(link) == []

    hass.config_entries.async_update_entry(entry, options={"move_pause_s": 0})
    await hass.config_entries.async_reload(entry.entry_id)
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    assert moves(link) == [captured("valve_set_50")]
    link.deliver(captured("valve_set_50_reply_braced"))
    await action
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("known_meters")
async def test_the_command_of_another_master_is_seen_and_marked(
    hass: HomeAssistant, link: FakeLink
) -> None:
    link.deliver(captured("valve_set_0"), COMMAND_TOPIC)
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "closing"
    state = state_of(hass, COMMAND_EVENT)
    assert (state.attributes["event_type"], state.attributes["wished"]) == ("foreign", 0)

    link.deliver(transparent_reply(captured_frame("valve_set_0_reply")))
    link.deliver(report(f"{VALVE}200800", VALVE_REPORT_0))
    await settle()
    assert state_of(hass, HOUSEHOLD).state == "closed"
    assert link.published == []


@pytest.mark.usefixtures("known_meters")
async def test_our_own_command_that_comes_back_is_not_foreign(
    hass: HomeAssistant, link: FakeLink
) -> None:
    action = move(hass, HOUSEHOLD, 50)
    await settle()
    link.deliver(captured("valve_set_50"), COMMAND_TOPIC)
    await settle()
    assert state_of(hass, COMMAND_EVENT).state == "unknown"
    link.deliver(captured("valve_set_50_reply_braced"))
    await action
    link.deliver(captured("valve_set_0"), COMMAND_TOPIC)
    await settle()
    told = state_of(hass, COMMAND_EVENT).attributes
    assert (told["event_type"], told["reason"]) in {("foreign", None), ("failed", "superseded")}


@pytest.mark.usefixtures("known_meters")
@pytest.mark.parametrize(
    "payload",
    [
        b"no JSON",
        captured("status_query"),
        captured("read_cabinets_now"),
        captured("valve_set_0").replace(b"6616", b"6716"),
        captured("valve_set_0").replace(b"6853", b"zz53"),
    ],
)
async def test_what_is_no_move_of_another_master_changes_nothing(
    hass: HomeAssistant, link: FakeLink, payload: bytes
) -> None:
    link.deliver(payload, COMMAND_TOPIC)
    link.deliver(captured("valve_set_0"), COMMAND_TOPIC, retained=True)
    await settle()
    assert state_of(hass, COMMAND_EVENT).state == "unknown"
    link.deliver(captured("valve_set_0"), COMMAND_TOPIC)
    await settle()
    assert state_of(hass, COMMAND_EVENT).attributes["event_type"] == "foreign"


@pytest.mark.usefixtures("known_meters")
@pytest.mark.parametrize(
    ("language", "verified", "failed"),
    [
        (
            "en",
            "reached 50 % (from 100 %, tries: 1, ",
            "did not prove 0 %: the device answered with an error (found ? %, tries: 1, ",
        ),
        (
            "zh-Hans",
            "已到达 50 %（原 100 %，尝试 1 次，用时 ",
            "未证实到达 0 %：设备应答了错误（实际 ? %，尝试 1 次，用时 ",
        ),
    ],
)
async def test_the_logbook_tells_it_in_both_languages(
    hass: HomeAssistant, link: FakeLink, language: str, verified: str, failed: str
) -> None:
    translation.async_setup(hass)
    await hass.config.async_update(language=language)
    await hass.async_block_till_done()
    events = async_capture_events(hass, "hy_heating_command")
    await prove(hass, link)
    await fail(hass, link)
    link.deliver(captured("valve_set_100"), COMMAND_TOPIC)
    await settle()

    described: dict[tuple[str, str], Callable[[Event[Any]], dict[str, Any]]] = {}

    @callback
    def describe(domain: str, event: str, how: Callable[[Event[Any]], dict[str, Any]]) -> None:
        described[domain, event] = how

    async_describe_events(hass, describe)
    lines = [described[DOMAIN, "hy_heating_command"](event) for event in events]
    assert lines[0][logbook_component.LOGBOOK_ENTRY_MESSAGE].startswith(verified)
    assert lines[1][logbook_component.LOGBOOK_ENTRY_MESSAGE].startswith(failed)
    assert "100 %" in lines[2][logbook_component.LOGBOOK_ENTRY_MESSAGE]
    assert {line[logbook_component.LOGBOOK_ENTRY_NAME] for line in lines} == {f"Valve {VALVE}"}


async def test_a_motor_rests_between_two_moves(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    entry = make_entry(move_pause_s=30)
    await set_up(hass, entry)
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await settle()
    link.published.clear()
    await prove(hass, link)
    link.published.clear()
    action = move(hass, HOUSEHOLD, 0)
    await pass_time(hass, freezer, 29)
    assert moves(link) == []
    await pass_time(hass, freezer, 1)
    assert moves(link) == [captured("valve_set_0")]
    link.deliver(transparent_reply(captured_frame("valve_set_0_reply")))
    await action
    assert state_of(hass, f"valve.cabinet_{CABINET}_valve").state == "open"
    await hass.config_entries.async_unload(entry.entry_id)
