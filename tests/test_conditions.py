"""What is wrong at a site is told while it is so: raised, kept over a restart, cleared."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryDisabler
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, issue_registry as ir
import pytest

from custom_components.hy_heating.conditions import CONDITIONS
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import LinkError, SubscriptionRefusedError

from .common import (
    GATEWAY_ID,
    REPORT_TOPIC,
    FakeLink,
    captured,
    captured_frame,
    make_entry,
    report,
    set_up,
)
from .exchange import Building
from .repairs import fix, issues
from .test_translations import texts
from .translations import LANGUAGES

CABINET, ONE, TWO = "27000001", "23000001", "23000002"
START = "2025-01-15T12:00:10+00:00"
# Times are told in Home Assistant's time zone, which is US/Pacific in its tests.
FIRST = "2025-01-15 04:00"


@pytest.fixture
async def building(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Building]:
    """Return a building in January with one cabinet and two valves, all of which report."""
    freezer.move_to(START)
    building = Building(hass, link, make_entry(), freezer)
    building.cabinets, building.valves = 1, 2
    await building.set_up()
    await building.report(CABINET, ONE, TWO)
    yield building
    if hass.config_entries.async_get_entry(building.entry.entry_id):
        await hass.config_entries.async_unload(building.entry.entry_id)


async def restart(building: Building) -> None:
    """Let Home Assistant start again: issues are gone, what was kept is not."""
    hass, entry_id = building.hass, building.entry.entry_id
    await hass.config_entries.async_unload(entry_id)
    ir.async_get(hass).issues.clear()
    await hass.config_entries.async_setup(entry_id)
    await hass.async_block_till_done()


def told(hass: HomeAssistant, key: str) -> Mapping[str, str]:
    placeholders = issues(hass)[key].translation_placeholders
    assert placeholders is not None
    return placeholders


async def leave_unanswered(building: Building, hours: float) -> None:
    """Let time pass in which the gateway says nothing."""
    for _ in range(round(hours * 6)):
        building.freezer.tick(600)
        for _ in range(20):  # polls run in the background
            await asyncio.sleep(0)
        building.link.sent()
    await building.judge()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_condition_has_its_text(language: str) -> None:
    for row in CONDITIONS:
        text = texts(language)["issues"][row.key]
        assert ("fix_flow" in text) is row.is_fixable


async def test_all_is_well(hass: HomeAssistant, building: Building) -> None:
    await building.pass_hours(4, CABINET, ONE, TWO)
    await restart(building)
    await building.judge()
    assert not issues(hass)


# --- The gateway ---------------------------------------------------------------------------------


async def test_a_gateway_that_is_silent_for_a_day(hass: HomeAssistant, building: Building) -> None:
    await leave_unanswered(building, 23)
    assert "gateway_silent" not in issues(hass)
    await leave_unanswered(building, 1.5)
    assert told(hass, "gateway_silent") == {"gateway": "Building 3", "since": FIRST}

    building.link.set_connected(False, LinkError("lost"))
    await building.judge()
    assert "gateway_silent" in issues(hass), "nothing is known of it meanwhile"
    building.link.set_connected(True)

    await restart(building)
    await leave_unanswered(building, 3)
    assert told(hass, "gateway_silent")["since"] == FIRST
    await building.report(CABINET)
    assert "gateway_silent" not in issues(hass)


async def test_out_of_season_a_gateway_may_be_off_for_a_week(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to("2025-07-15T12:00:10+00:00")
    building = Building(hass, link, make_entry(), freezer)
    await building.set_up()
    await leave_unanswered(building, 24 * 7 - 1)
    assert not issues(hass)
    await leave_unanswered(building, 1.5)
    assert "gateway_silent" in issues(hass)
    await hass.config_entries.async_unload(building.entry.entry_id)


async def test_a_gateway_that_was_never_heard(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(START)
    building = Building(hass, link, make_entry(), freezer)
    await set_up(hass, building.entry)
    await leave_unanswered(building, 24.5)
    assert told(hass, "gateway_silent")["since"] == FIRST, "counted from when it was added"
    await hass.config_entries.async_unload(building.entry.entry_id)


async def test_a_subscription_that_is_refused_at_set_up(
    hass: HomeAssistant, link: FakeLink
) -> None:
    entry = make_entry()
    link.subscribe_error = SubscriptionRefusedError(REPORT_TOPIC)
    await set_up(hass, entry)
    assert told(hass, "subscription_refused") == {
        "gateway": "Building 3",
        "topic": REPORT_TOPIC,
        "broker": "127.0.0.1:1883",
    }
    link.subscribe_error = None
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert not issues(hass)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_a_subscription_that_is_refused_at_a_reconnect(
    hass: HomeAssistant, building: Building
) -> None:
    building.link.refused_topics = {"hy/gw/set/02345678904"}
    await building.judge()
    assert not issues(hass), "another gateway's"
    building.link.refused_topics = {REPORT_TOPIC}
    await building.judge()
    assert told(hass, "subscription_refused")["topic"] == REPORT_TOPIC
    building.link.set_connected(False, LinkError("lost"))
    building.link.refused_topics = set()
    await building.judge()
    assert "subscription_refused" in issues(hass), "not before it is asked again"
    building.link.set_connected(True)
    await building.judge()
    assert not issues(hass)


@pytest.mark.parametrize(
    ("mbus", "shown"),
    [
        pytest.param((11_999, 3), ("12.0 V", "3 mA"), id="short"),
        pytest.param((0, 900), ("0.0 V", "900 mA"), id="short and overload"),
        pytest.param((42_001, 3), ("42.0 V", "3 mA"), id="too high"),
        pytest.param((29_392, 801), ("29.4 V", "801 mA"), id="overload"),
    ],
)
async def test_a_bus_out_of_range(
    hass: HomeAssistant, building: Building, mbus: tuple[int, int], shown: tuple[str, str]
) -> None:
    building.mbus = mbus
    for _ in range(2):
        building.link.deliver(building.status())
    await building.judge()
    assert not issues(hass), "a bus that is being read is measured anywhere"
    building.link.deliver(building.status())
    await building.judge()
    found = told(hass, "mbus_out_of_range")
    assert (found["voltage"], found["current"]) == shown
    assert (found["lowest"], found["highest"], found["most"]) == ("12 V", "42 V", "800 mA")

    building.mbus = (12_000, 800)
    building.link.deliver(building.status())
    await building.judge()
    assert not issues(hass)


async def test_a_gateway_that_does_not_tell_its_bus(
    hass: HomeAssistant, building: Building
) -> None:
    reply = building.status().replace(b'"MBUS_mV":29392,"MBUS_mA":3,', b"")
    for _ in range(4):
        building.link.deliver(reply)
    await building.judge()
    assert not issues(hass)


# --- Meters --------------------------------------------------------------------------------------


async def test_fewer_meters_than_the_gateway_counts(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(START)
    building = Building(hass, link, make_entry(), freezer)
    building.cabinets, building.valves = 2, 4
    await building.set_up()
    await building.report(CABINET, ONE, TWO)
    assert not issues(hass), "they need not have reported yet"
    await building.pass_hours(1 / 3, CABINET, ONE, TWO)
    assert issues(hass).keys() == {"fewer_cabinets"}, "10 minutes for a cabinet, 60 for a valve"
    await building.pass_hours(1, CABINET, ONE, TWO)
    assert told(hass, "fewer_cabinets") == {
        "gateway": "Building 3",
        "reporting": "1",
        "expected": "2",
        "silent": "–",
        "unheard": "1",
    }
    await building.pass_hours(4, CABINET, ONE)
    assert told(hass, "fewer_valves") == {
        "gateway": "Building 3",
        "reporting": "1",
        "expected": "4",
        "silent": f"Valve {TWO}",
        "unheard": "2",
    }
    await restart(building)
    await building.answer()
    await building.pass_hours(1.5, CABINET, ONE)
    assert told(hass, "fewer_valves")["silent"] == f"Valve {TWO}", "missed over the restart"

    await building.report(TWO, "23000003", "23000004", "27000002")
    assert not issues(hass)
    await hass.config_entries.async_unload(building.entry.entry_id)


async def test_a_meter_that_is_gone_for_a_month_is_offered_for_removal(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, CABINET, ONE)
    building.freezer.tick(timedelta(days=29))
    await restart(building)
    await building.answer()
    await building.report(CABINET, ONE)
    assert "meter_gone" not in issues(hass)
    building.freezer.tick(timedelta(days=1))
    await restart(building)
    await building.answer()
    await building.report(CABINET)
    issue = issues(hass)["meter_gone"]
    assert issue.translation_placeholders == {
        "gateway": "Building 3",
        "meter": f"Valve {TWO}",
        "since": FIRST,
    }, "and only the one that was missed before"

    assert await fix(hass, issue) == (FlowResultType.CREATE_ENTRY, None)
    assert "meter_gone" not in issues(hass)
    assert TWO not in building.gateway.meters
    assert TWO not in building.gateway.readings.memories
    serials = {
        device.serial_number
        for device in dr.async_entries_for_config_entry(dr.async_get(hass), building.entry.entry_id)
    }
    assert serials == {GATEWAY_ID, CABINET, ONE}
    assert hass.states.get(f"valve.valve_{TWO}") is None
    await building.report(TWO)
    assert hass.states.is_state(f"valve.valve_{TWO}", "open"), "it returns"


async def test_a_meter_that_returns_is_no_longer_offered_for_removal(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, CABINET, ONE)
    building.freezer.tick(timedelta(days=31))
    await restart(building)
    await building.answer()
    await building.report(CABINET)
    issue = issues(hass)["meter_gone"]
    building.gateway.replacements.async_reported(TWO)
    assert await fix(hass, issue) == (FlowResultType.ABORT, "no_longer_so")
    await building.report(TWO)
    assert "meter_gone" not in issues(hass)


async def test_what_was_planned_for_a_removed_meter_is_given_up(building: Building) -> None:
    corrections = building.gateway.readings.corrections
    corrections.restore(
        [
            [number, "heat_energy_kwh", 5.0, 0.0, "2025-01-15T12:00:00+00:00"]
            for number in (CABINET, "27000002")
        ]
    )
    building.gateway.async_forget_meter(CABINET)
    assert [row.number for row in corrections.pending] == ["27000002"]


async def test_an_unknown_device_comes_with_a_report(
    hass: HomeAssistant, building: Building
) -> None:
    # The captured report with another device type: 53 + 1 = 54, and CS grows by 1.
    raw = bytearray.fromhex(captured_frame("valve_report_C"))
    raw[1], raw[-2] = 0x54, raw[-2] + 1
    text = raw.hex().upper()
    building.link.deliver(report("23227310200800", text))
    await building.judge()
    assert told(hass, "unknown_device") == {
        "gateway": "Building 3",
        "meter": "23227310",
        "report": "\n".join(
            [
                "hy_heating: 0.1.0",
                "gateway firmware: V1.0",
                "device type: 54",
                "protocol code: 2008",
                f"frame: {text}",
            ]
        ),
    }
    await restart(building)
    assert "unknown_device" in issues(hass)
    building.link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    await building.judge()
    assert "unknown_device" not in issues(hass), "its layout is known after all"


async def test_clocks_that_are_a_day_off(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    # The captured clock stands at 2024-05-26 19:08:00, local time.
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to("2024-05-27T11:08:00+00:00")  # 24 h later
    building = Building(hass, link, make_entry(), freezer)
    await building.set_up()
    building.link.deliver(captured("valve_report"))
    await building.judge()
    assert not issues(hass)
    freezer.move_to("2024-05-28T07:29:41+00:00")  # 44 h 21 min 41 s later
    building.link.deliver(captured("valve_report"))
    await building.judge()
    assert told(hass, "clock_drift") == {
        "gateway": "Building 3",
        "count": "1",
        "limit": "24",
        "meters": "Valve 23227310 (-44 h)",
    }
    await restart(building)
    assert "clock_drift" in issues(hass)
    # Set right: 2024-05-28 15:30:00 (BCD seconds first), CS worked out over the new bytes.
    frame = bytearray.fromhex(captured_frame("valve_report_C"))
    clock = bytes.fromhex("00301528052420")
    frame[-10:-3] = clock
    frame[-2] = sum(frame[:-2]) % 256
    building.link.deliver(report("23227310200800", frame.hex().upper()))
    await building.judge()
    assert hass.states.is_state("sensor.valve_23227310_supply_temperature", "29.1")
    assert not issues(hass)
    await hass.config_entries.async_unload(building.entry.entry_id)


async def test_two_masters_at_one_valve(hass: HomeAssistant, building: Building) -> None:
    commands = building.gateway.meters[ONE].commands
    for turn in range(4):
        building.freezer.tick(120)
        if turn % 2:
            commands.async_foreign(20)
        else:
            commands.start(100)
        await building.judge()
    assert told(hass, "two_masters") == {"gateway": "Building 3", "meter": f"Valve {ONE}"}
    await building.pass_hours(1, CABINET, ONE, TWO)
    assert not issues(hass)


async def test_issues_go_with_their_entry(hass: HomeAssistant, building: Building) -> None:
    await building.pass_hours(4, CABINET)
    assert issues(hass).keys() == {"fewer_valves"}
    ir.async_create_issue(
        hass,
        DOMAIN,
        "store_damaged_of_another_entry",
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key="store_damaged",
        translation_placeholders={"path": "somewhere"},
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("custom_components.hy_heating.async_forget_session", _forget)
        await hass.config_entries.async_remove(building.entry.entry_id)
    assert issues(hass).keys() == {"store_damaged"}, "another entry's stays"


async def test_issues_go_while_their_entry_is_disabled(
    hass: HomeAssistant, building: Building
) -> None:
    await building.pass_hours(4, CABINET, ONE)
    assert issues(hass).keys() == {"fewer_valves"}
    entry_id = building.entry.entry_id
    await hass.config_entries.async_set_disabled_by(entry_id, ConfigEntryDisabler.USER)
    assert not issues(hass)
    await hass.config_entries.async_set_disabled_by(entry_id, None)
    await hass.async_block_till_done()
    await building.answer()
    await building.pass_hours(1.5, CABINET, ONE)
    assert told(hass, "fewer_valves")["silent"] == f"Valve {TWO}"


async def test_ids_of_issues_hide_what_a_download_must_not_tell(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to(START)
    building = Building(hass, link, make_entry(hash_key="ab" * 16), freezer)
    await building.set_up()
    await building.report(CABINET, ONE, TWO)
    await building.pass_hours(4, CABINET)
    await building.report("23000009")
    (issue,) = issues(hass).values()
    assert issue.translation_key == "meter_appeared"
    assert not {GATEWAY_ID, "23000009"} & set(issue.issue_id.split("_"))
    await building.report(ONE)
    assert told(hass, "meter_appeared")["missing"] == f"Valve {TWO}"
    building.gateway.async_forget_meter("23000009")
    assert not issues(hass)
    await hass.config_entries.async_unload(building.entry.entry_id)


async def _forget(*_: object) -> None:
    """Stand in for ending the session at a broker that is not there."""
