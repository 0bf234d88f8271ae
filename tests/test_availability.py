"""Silence is judged fairly: by upload intervals and the season, from start-up after a restart."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from freezegun.api import FrozenDateTimeFactory
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.hy_heating.hyheat.errors import LinkError

from .common import CABINET, VALVE, FakeLink, captured, make_entry, set_up
from .test_valve import settle

CONNECTIVITY = "binary_sensor.building_3_connectivity"
CABINET_SUPPLY = f"sensor.cabinet_{CABINET}_supply_temperature"
CABINET_LAST = f"sensor.cabinet_{CABINET}_last_report"
VALVE_SUPPLY = f"sensor.valve_{VALVE}_supply_temperature"
SHANGHAI = ZoneInfo("Asia/Shanghai")

JANUARY = datetime(2025, 1, 15, 12, 0, tzinfo=SHANGHAI)
JULY = datetime(2025, 7, 15, 12, 0, tzinfo=SHANGHAI)


@pytest.fixture
async def winter(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to(JANUARY)


@pytest.fixture
async def summer(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to(JULY)


async def pass_minutes(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    link: FakeLink,
    minutes: int,
    *,
    gateway_answers: bool = True,
    step: timedelta = timedelta(seconds=30),
) -> None:
    """Let time pass in steps; the gateway answers its polls, or does not."""
    for _ in range(timedelta(minutes=minutes) // step):
        freezer.tick(step)
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
        for message in link.sent():
            if gateway_answers and message["gw"]["msg_id"] == 1:
                link.deliver(captured("status_reply"))
            if gateway_answers and message["gw"]["msg_id"] == 2:
                link.deliver(captured("settings_reply"))


def problem(hass: HomeAssistant, entity_id: str) -> object:
    state = hass.states.get(entity_id)
    assert state is not None
    return state.attributes["problem"]


async def report_all(hass: HomeAssistant, link: FakeLink) -> None:
    link.deliver(captured("settings_reply"))
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()


@pytest.mark.usefixtures("winter")
async def test_a_meter_is_lost_after_three_of_its_intervals(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await report_all(hass, link)
    await pass_minutes(hass, freezer, link, 29)
    assert hass.states.is_state(CABINET_SUPPLY, "28.87")

    await pass_minutes(hass, freezer, link, 3)  # 3 × 10 min for a cabinet
    assert hass.states.is_state(CABINET_SUPPLY, "unavailable")
    assert hass.states.is_state(VALVE_SUPPLY, "29.1"), "a valve has 3 × 60 min"
    assert problem(hass, CABINET_LAST) == "meter_silent"
    assert hass.states.is_state("sensor.building_3_meters_reporting", "1")
    assert caplog.text.count(f"Meter {CABINET} of gateway 02345678903 is silent") == 1

    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert hass.states.is_state(CABINET_SUPPLY, "28.87")
    assert problem(hass, CABINET_LAST) is None
    assert caplog.text.count("reports again") == 1

    await pass_minutes(hass, freezer, link, 29)
    link.deliver(captured("cabinet_report"))
    await pass_minutes(hass, freezer, link, 122)
    assert hass.states.is_state(VALVE_SUPPLY, "unavailable")


@pytest.mark.usefixtures("summer")
async def test_out_of_season_a_day_of_silence_is_normal(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    await report_all(hass, link)
    await pass_minutes(hass, freezer, link, 12 * 60, step=timedelta(minutes=15))
    assert hass.states.is_state(CABINET_SUPPLY, "28.87")
    assert hass.states.is_state("binary_sensor.building_3_heating_season", "off")


@pytest.mark.usefixtures("winter")
async def test_a_gateway_is_lost_after_three_unanswered_polls(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await report_all(hass, link)
    assert hass.states.is_state(CONNECTIVITY, "on")
    await pass_minutes(hass, freezer, link, 19, gateway_answers=False)
    assert hass.states.is_state(CONNECTIVITY, "on")
    await pass_minutes(hass, freezer, link, 12, gateway_answers=False)
    assert hass.states.is_state(CONNECTIVITY, "off")
    assert problem(hass, CONNECTIVITY) == "gateway_silent"
    assert problem(hass, CABINET_LAST) == "gateway_silent"
    assert hass.states.is_state(VALVE_SUPPLY, "unavailable")
    assert caplog.text.count("Gateway 02345678903 is silent") == 1

    link.deliver(captured("cabinet_report"))  # any valid message is a sign of life
    await hass.async_block_till_done()
    assert hass.states.is_state(CONNECTIVITY, "on")
    assert hass.states.is_state(VALVE_SUPPLY, "29.1")
    assert caplog.text.count("answers again") == 1


@pytest.mark.usefixtures("winter")
async def test_a_lost_broker_makes_all_unavailable_but_the_reason(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    await report_all(hass, link)
    await pass_minutes(hass, freezer, link, 9)
    link.set_connected(False)
    await hass.async_block_till_done()
    assert hass.states.is_state(CABINET_SUPPLY, "unavailable")
    assert hass.states.is_state(CONNECTIVITY, "off")
    assert problem(hass, CONNECTIVITY) == "broker_unreachable"
    assert problem(hass, CABINET_LAST) == "broker_unreachable"

    await pass_minutes(hass, freezer, link, 60)
    link.set_connected(True)
    await pass_minutes(hass, freezer, link, 25)
    assert hass.states.is_state(CABINET_SUPPLY, "28.87"), "it could not be heard: 30 min from now"
    await pass_minutes(hass, freezer, link, 7)
    assert hass.states.is_state(CABINET_SUPPLY, "unavailable")


@pytest.mark.usefixtures("winter")
@pytest.mark.parametrize(
    ("minutes", "read"),
    [
        pytest.param(9, None, id="none was due"),
        pytest.param(11, (1, 0), id="cabinets report every 10 minutes"),
        pytest.param(61, (1, 1), id="and household valves every hour"),
    ],
)
async def test_what_was_missed_while_the_broker_was_away_is_read(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    freezer: FrozenDateTimeFactory,
    minutes: int,
    read: tuple[int, int] | None,
) -> None:
    await report_all(hass, link)
    link.set_connected(False)
    await pass_minutes(hass, freezer, link, minutes)
    link.set_connected(True)
    await hass.async_block_till_done()
    assert {message["gw"]["msg_id"] for message in link.sent()} == {1}
    link.deliver(captured("status_reply"))
    await settle()
    asked = [
        (message["data"]["main_immediately"], message["data"]["copy_immediately"])
        for message in link.sent()
        if message["gw"]["msg_id"] == 18
    ]
    assert asked == ([read] if read else [])


@pytest.mark.usefixtures("winter")
async def test_what_the_broker_held_is_not_read_again(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    await report_all(hass, link)
    link.set_connected(False)
    await pass_minutes(hass, freezer, link, 61)
    link.set_connected(True)
    await report_all(hass, link)
    link.deliver(captured("status_reply"))
    await settle()
    assert 18 not in {message["gw"]["msg_id"] for message in link.sent()}


@pytest.mark.usefixtures("winter")
async def test_a_silent_gateway_is_not_asked_for_what_was_missed(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    await report_all(hass, link)
    link.set_connected(False)
    await pass_minutes(hass, freezer, link, 61)
    link.set_connected(True)
    await pass_minutes(hass, freezer, link, 1, gateway_answers=False)
    link.deliver(captured("status_reply"))  # it answers, but to nobody
    await hass.async_block_till_done()
    assert 18 not in {message["gw"]["msg_id"] for message in link.sent()}


@pytest.mark.usefixtures("winter")
async def test_after_a_restart_what_was_missed_is_read(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    entry = make_entry()
    await set_up(hass, entry)
    await report_all(hass, link)
    await hass.config_entries.async_unload(entry.entry_id)
    freezer.tick(timedelta(minutes=30))
    link.published.clear()
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    link.deliver(captured("status_reply"))
    await hass.async_block_till_done()
    link.deliver(captured("settings_reply"))
    await settle()
    assert captured("read_cabinets_now") in [payload for _, payload in link.published]
    link.deliver(captured("read_now_ack"))
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("winter")
async def test_a_restart_brings_the_last_readings_back(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    entry = make_entry()
    await set_up(hass, entry)
    await report_all(hass, link)
    link.deliver(captured("status_reply"))
    await hass.async_block_till_done()
    await hass.config_entries.async_unload(entry.entry_id)

    freezer.tick(timedelta(hours=5))
    link.wait_error = LinkError("the broker is late")
    await hass.config_entries.async_setup(entry.entry_id)
    assert entry.state is ConfigEntryState.SETUP_RETRY
    link.wait_error = None
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert hass.states.is_state(CABINET_SUPPLY, "28.87")
    assert hass.states.is_state(VALVE_SUPPLY, "29.1")
    assert hass.states.is_state("sensor.building_3_signal_strength_rssi", "-98")
    assert hass.states.is_state("binary_sensor.building_3_heating_season", "on")
    assert hass.states.is_state(CABINET_LAST, "2025-01-15T04:00:00+00:00"), "the true time"

    await pass_minutes(hass, freezer, link, 32)
    assert hass.states.is_state(CABINET_SUPPLY, "unavailable"), "30 min from start-up"
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize(
    ("start", "minutes", "expected"),
    [
        (datetime(2024, 8, 31, 23, 58, tzinfo=SHANGHAI), 5, "on"),
        (datetime(2025, 5, 1, 23, 58, tzinfo=SHANGHAI), 5, "off"),
    ],
)
async def test_the_season_turns_at_midnight(
    hass: HomeAssistant,
    link: FakeLink,
    freezer: FrozenDateTimeFactory,
    start: datetime,
    minutes: int,
    expected: str,
) -> None:
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to(start)
    entry = make_entry()
    await set_up(hass, entry)
    link.deliver(captured("settings_reply"))
    await hass.async_block_till_done()
    before = "off" if expected == "on" else "on"
    assert hass.states.is_state("binary_sensor.building_3_heating_season", before)
    await pass_minutes(hass, freezer, link, minutes)
    assert hass.states.is_state("binary_sensor.building_3_heating_season", expected)
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("winter")
async def test_last_seen_is_written_once_a_minute_not_with_every_message(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    await report_all(hass, link)
    await pass_minutes(hass, freezer, link, 2)
    written: list[str] = []
    hass.bus.async_listen("state_changed", lambda event: written.append(event.data["entity_id"]))
    for _ in range(59):
        freezer.tick(timedelta(seconds=1))
        async_fire_time_changed(hass)
        link.deliver(captured("valve_report"))
        await hass.async_block_till_done()
    assert written.count("sensor.building_3_last_seen") <= 1
    await pass_minutes(hass, freezer, link, 1)
    assert 1 <= written.count("sensor.building_3_last_seen") <= 2
