"""Silence over the edges of the heating season, leap days, changes of the clocks, and restarts."""

from datetime import datetime, timedelta
import json
from zoneinfo import ZoneInfo

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from .common import CABINET, GATEWAY_ID, FakeLink, captured, make_entry, set_up
from .test_availability import (
    CABINET_LAST,
    CABINET_SUPPLY,
    CONNECTIVITY,
    SHANGHAI,
    VALVE_SUPPLY,
    problem,
)
from .test_valve import settle

SEASON = "binary_sensor.building_3_heating_season"
BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
WINTER = ("09-01", "05-01")
"""The captured season, around the new year."""
SUMMER_HALF = ("03-30", "10-26")
"""A season within a year; in 2025 the clocks of Berlin change on both of its days."""


def settings(season: tuple[str, str] = WINTER, **others: object) -> bytes:
    """Return the captured settings with another season, or others of their values."""
    message = json.loads(captured("settings_reply"))
    start, end = season
    message["data"] |= {"heating_start": f"20XX-{start}", "heating_end": f"20XX-{end}"} | others
    message["data"] = {key: each for key, each in message["data"].items() if each is not None}
    return json.dumps(message).encode()


class House:
    """A set-up gateway whose days a test lets pass."""

    def __init__(self, hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory) -> None:
        self.hass = hass
        self.link = link
        self.freezer = freezer
        self.entry: MockConfigEntry = make_entry()
        self.settings: bytes | None = settings()

    async def begin(self, at: datetime, season: tuple[str, str] = WINTER) -> None:
        """Set up at a local time; the gateway answers, and both meters report."""
        await self.hass.config.async_set_time_zone(str(at.tzinfo))
        self.freezer.move_to(at)
        self.settings = settings(season)
        await set_up(self.hass, self.entry)
        await self.answer()
        await self.report()

    async def answer(self) -> None:
        """Answer what was asked, and what is asked then."""
        await settle()
        while sent := self.link.sent():
            for message in sent:
                if message["gw"]["msg_id"] == 1:
                    self.link.deliver(captured("status_reply"))
                if message["gw"]["msg_id"] == 2 and self.settings:
                    self.link.deliver(self.settings)
            await settle()
        await self.hass.async_block_till_done()

    async def report(self) -> None:
        """Let both meters report."""
        self.link.deliver(captured("cabinet_report"))
        self.link.deliver(captured("valve_report"))
        await self.hass.async_block_till_done()

    async def wait(self, time: timedelta, step: timedelta = 30 * timedelta(seconds=1)) -> None:
        """Let time pass in steps; the gateway answers its polls."""
        while time > timedelta():
            self.freezer.tick(min(step, time))
            time -= step
            async_fire_time_changed(self.hass)
            await self.answer()

    def shows(self, entity_id: str) -> bool:
        """Whether an entity shows a value."""
        return not self.hass.states.is_state(entity_id, "unavailable")

    async def end(self) -> None:
        """Unload."""
        await self.hass.config_entries.async_unload(self.entry.entry_id)


@pytest.fixture
async def house(hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory) -> House:
    return House(hass, link, freezer)


def midnight(year: int, month: int, day: int, zone: ZoneInfo = SHANGHAI) -> datetime:
    return datetime(year, month, day, tzinfo=zone)


@pytest.mark.parametrize(
    ("season", "at", "before", "after"),
    [
        pytest.param(WINTER, midnight(2024, 9, 1), "off", "on", id="begins"),
        pytest.param(WINTER, midnight(2025, 5, 1), "on", "on", id="its last day"),
        pytest.param(WINTER, midnight(2025, 5, 2), "on", "off", id="is over"),
        pytest.param(WINTER, midnight(2025, 1, 1), "on", "on", id="new year"),
        pytest.param(("03-02", "10-08"), midnight(2025, 3, 2), "off", "on", id="within: begins"),
        pytest.param(("03-02", "10-08"), midnight(2025, 10, 9), "on", "off", id="within: is over"),
        pytest.param(("03-02", "10-08"), midnight(2025, 1, 1), "off", "off", id="within: new year"),
        pytest.param(("02-29", "10-08"), midnight(2024, 2, 28), "off", "off", id="leap, not yet"),
        pytest.param(("02-29", "10-08"), midnight(2024, 2, 29), "off", "on", id="leap, begins"),
        pytest.param(
            ("02-29", "10-08"), midnight(2025, 2, 28), "off", "on", id="begins on the 28th"
        ),
        pytest.param(("02-29", "01-31"), midnight(2025, 2, 28), "off", "on", id="and wraps"),
        pytest.param(("10-01", "02-29"), midnight(2024, 2, 29), "on", "on", id="leap, last day"),
        pytest.param(("10-01", "02-29"), midnight(2024, 3, 1), "on", "off", id="leap, is over"),
        pytest.param(("10-01", "02-29"), midnight(2025, 2, 28), "on", "on", id="28th, last day"),
        pytest.param(("10-01", "02-29"), midnight(2025, 3, 1), "on", "off", id="28th, is over"),
        pytest.param(("01-05", "02-29"), midnight(2025, 3, 1), "on", "off", id="28th, within"),
        pytest.param(SUMMER_HALF, midnight(2025, 3, 30, BERLIN), "off", "on", id="23 hours long"),
        pytest.param(SUMMER_HALF, midnight(2025, 10, 26, BERLIN), "on", "on", id="25 hours long"),
        pytest.param(SUMMER_HALF, midnight(2025, 10, 27, BERLIN), "on", "off", id="and over"),
        pytest.param(("10-26", "03-30"), midnight(2025, 3, 31, BERLIN), "on", "off", id="reversed"),
        pytest.param(("10-26", "03-30"), midnight(2025, 10, 26, BERLIN), "off", "on", id="again"),
    ],
)
async def test_the_season_turns_at_local_midnight(
    hass: HomeAssistant,
    house: House,
    season: tuple[str, str],
    at: datetime,
    before: str,
    after: str,
) -> None:
    await house.begin(at - timedelta(minutes=3), season)
    assert hass.states.is_state(SEASON, before)
    await house.wait(2 * MINUTE)
    assert hass.states.is_state(SEASON, before)
    await house.wait(3 * MINUTE)
    assert hass.states.is_state(SEASON, after)
    assert house.shows(CABINET_SUPPLY)
    await house.end()


async def test_when_the_season_begins_meters_have_time_to_report_more_often(
    hass: HomeAssistant, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.begin(datetime(2024, 8, 31, 4, 0, tzinfo=SHANGHAI))
    await house.wait(20 * HOUR, 15 * MINUTE)
    await house.wait(29 * MINUTE)
    assert hass.states.is_state(SEASON, "on")
    assert house.shows(CABINET_SUPPLY), "3 × 10 min from midnight"
    await house.wait(4 * MINUTE)
    assert problem(hass, CABINET_LAST) == "meter_silent"
    assert house.shows(VALVE_SUPPLY)
    await house.wait(2 * HOUR + 20 * MINUTE)
    assert house.shows(VALVE_SUPPLY), "3 × 60 min from midnight"
    await house.wait(10 * MINUTE)
    assert not house.shows(VALVE_SUPPLY)
    await house.report()
    assert house.shows(CABINET_SUPPLY)
    assert house.shows(VALVE_SUPPLY)
    assert caplog.text.count("is silent") == caplog.text.count("reports again") == 2
    await house.end()


async def test_when_the_season_ends_its_rhythm_is_forgotten(
    hass: HomeAssistant, house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.begin(datetime(2025, 5, 1, 23, 0, tzinfo=SHANGHAI))
    for _ in range(6):
        await house.wait(9 * MINUTE)
        await house.report()
    await house.wait(10 * MINUTE)
    assert hass.states.is_state(SEASON, "off")
    await house.wait(70 * HOUR, 15 * MINUTE)
    assert house.shows(CABINET_SUPPLY), "3 × 1440 min, whatever it did in the season"
    await house.wait(3 * HOUR, 15 * MINUTE)
    assert problem(hass, CABINET_LAST) == "meter_silent"
    await house.report()
    assert house.shows(CABINET_SUPPLY)
    assert caplog.text.count(f"Meter {CABINET} of gateway {GATEWAY_ID} is silent") == 1
    await house.end()


async def test_out_of_season_three_reports_show_a_shorter_rhythm(
    hass: HomeAssistant, house: House
) -> None:
    await house.begin(datetime(2025, 7, 1, 12, 0, tzinfo=SHANGHAI))
    await house.wait(6 * HOUR, 15 * MINUTE)
    await house.report()
    await house.wait(20 * HOUR, 15 * MINUTE)
    assert house.shows(CABINET_SUPPLY), "two reports show none"
    await house.report()
    await house.wait(6 * HOUR, 15 * MINUTE)
    await house.report()  # gaps of 6, 20 and 6 hours: the median is 6
    await house.wait(17 * HOUR + 45 * MINUTE, 15 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    await house.wait(30 * MINUTE, 15 * MINUTE)
    assert problem(hass, CABINET_LAST) == "meter_silent", "3 × 6 h"
    await house.end()


async def test_reads_on_demand_show_no_rhythm(
    hass: HomeAssistant, house: House, link: FakeLink
) -> None:
    await house.begin(datetime(2025, 7, 1, 12, 0, tzinfo=SHANGHAI))
    frame = json.loads(captured("cabinet_report"))["data"]["meter_data"][0]
    gw = {"msg_id": 40, "msg_gw_pr": 0, "gw_id": GATEWAY_ID}
    answer = {"gw": gw, "data": {"transparent_port": 0, "meter_data": [frame]}}
    for _ in range(4):
        await house.wait(30 * MINUTE)
        link.deliver(json.dumps(answer))  # of one meter
        await house.wait(30 * MINUTE)
        link.deliver(captured("read_now_ack"))  # of all, another master's here
        await house.report()
        await house.report()
    await house.wait(20 * HOUR, 15 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    await house.end()


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(datetime(2025, 3, 30, 1, 50, tzinfo=BERLIN), id="an hour is left out"),
        pytest.param(datetime(2025, 10, 26, 2, 50, tzinfo=BERLIN), id="an hour comes twice"),
    ],
)
async def test_silence_is_elapsed_time_also_when_the_clocks_change(
    hass: HomeAssistant, house: House, at: datetime
) -> None:
    await house.begin(at)
    await house.wait(29 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    await house.wait(3 * MINUTE)
    assert problem(hass, CABINET_LAST) == "meter_silent"
    assert house.shows(VALVE_SUPPLY)
    await house.report()
    assert house.shows(CABINET_SUPPLY)
    await house.wait(29 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    await house.end()


async def test_the_season_is_that_of_home_assistant_s_time_zone(
    hass: HomeAssistant, house: House
) -> None:
    await house.begin(datetime(2024, 9, 1, 6, 0, tzinfo=SHANGHAI))
    assert hass.states.is_state(SEASON, "on")
    await hass.config.async_set_time_zone(str(NEW_YORK))  # 18:00 on the day before
    await house.wait(2 * MINUTE)
    assert hass.states.is_state(SEASON, "off")
    await house.wait(2 * HOUR)
    assert house.shows(CABINET_SUPPLY)
    await hass.config.async_set_time_zone(str(SHANGHAI))
    await house.wait(2 * MINUTE)
    assert hass.states.is_state(SEASON, "on")
    assert house.shows(CABINET_SUPPLY), "its silence in the season counts from now"
    await house.wait(32 * MINUTE)
    assert not house.shows(CABINET_SUPPLY)
    await house.end()


@pytest.mark.parametrize(
    ("at", "away", "cabinet", "valve"),
    [
        pytest.param(
            datetime(2024, 8, 31, 20, 0, tzinfo=SHANGHAI),
            8 * HOUR,
            30,
            180,
            id="it began meanwhile",
        ),
        pytest.param(
            datetime(2025, 5, 1, 20, 0, tzinfo=SHANGHAI), 8 * HOUR, 4320, 4320, id="it ended"
        ),
        pytest.param(
            datetime(2025, 3, 30, 1, 0, tzinfo=BERLIN), 2 * HOUR, 30, 180, id="the clocks changed"
        ),
    ],
)
async def test_after_a_restart_silence_counts_from_start_up(
    hass: HomeAssistant,
    house: House,
    at: datetime,
    away: timedelta,
    cabinet: int,
    valve: int,
) -> None:
    await house.begin(at)
    await house.end()
    house.freezer.tick(away)
    house.link.published.clear()
    await hass.config_entries.async_setup(house.entry.entry_id)
    await house.answer()
    step = MINUTE if cabinet < 60 else 15 * MINUTE
    await house.wait((cabinet - 1) * MINUTE, step)
    assert house.shows(CABINET_SUPPLY)
    await house.wait(3 * MINUTE)
    assert not house.shows(CABINET_SUPPLY)
    if valve > cabinet:
        await house.wait((valve - cabinet - 4) * MINUTE, step)
        assert house.shows(VALVE_SUPPLY)
        await house.wait(4 * MINUTE)
    assert not house.shows(VALVE_SUPPLY)
    assert hass.states.is_state(CONNECTIVITY, "on")
    await house.end()


async def test_until_the_settings_are_known_a_day_of_silence_is_normal(
    hass: HomeAssistant, house: House
) -> None:
    await house.begin(datetime(2025, 1, 15, 12, 0, tzinfo=SHANGHAI))
    await house.end()
    await hass.config_entries.async_remove(house.entry.entry_id)
    house.entry, house.settings = make_entry(), None
    await set_up(hass, house.entry)
    await house.answer()
    await house.report()
    assert hass.states.is_state(SEASON, "unknown")
    await house.wait(71 * HOUR, 15 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    await house.wait(2 * HOUR, 15 * MINUTE)
    assert not house.shows(CABINET_SUPPLY), "3 × 1440 min"
    await house.end()


async def test_settings_without_intervals_leave_the_defaults(
    hass: HomeAssistant, house: House, link: FakeLink
) -> None:
    await house.begin(datetime(2025, 1, 15, 12, 0, tzinfo=SHANGHAI))
    house.settings = settings(main_interval=None, copy_interval=None)
    link.deliver(house.settings)
    await house.report()
    await house.wait(29 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    await house.wait(3 * MINUTE)
    assert not house.shows(CABINET_SUPPLY), "3 × 10 min"
    await house.wait(2 * HOUR + 26 * MINUTE)
    assert house.shows(VALVE_SUPPLY)
    await house.wait(4 * MINUTE)
    assert not house.shows(VALVE_SUPPLY), "3 × 60 min"
    await house.end()


# --- Every loss and return is logged once ------------------------------------------------------


async def test_a_lost_meter_stays_lost_over_an_outage_and_is_logged_once(
    hass: HomeAssistant, house: House, link: FakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    await house.begin(datetime(2025, 1, 15, 12, 0, tzinfo=SHANGHAI))
    await house.wait(32 * MINUTE)
    assert problem(hass, CABINET_LAST) == "meter_silent"
    link.set_connected(False)
    await house.wait(5 * MINUTE)
    assert problem(hass, CABINET_LAST) == "broker_unreachable"
    link.set_connected(True)
    await house.answer()
    assert problem(hass, CABINET_LAST) == "meter_silent", "nothing was heard of it"
    assert house.shows(VALVE_SUPPLY)
    await house.wait(35 * MINUTE)
    assert caplog.text.count(f"Meter {CABINET} of gateway {GATEWAY_ID} is silent") == 1
    await house.report()
    assert problem(hass, CABINET_LAST) is None
    assert caplog.text.count(f"Meter {CABINET} of gateway {GATEWAY_ID} reports again") == 1
    await house.end()


async def test_a_silent_gateway_is_logged_once_over_an_outage(
    hass: HomeAssistant,
    house: House,
    link: FakeLink,
    freezer: FrozenDateTimeFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await house.begin(datetime(2025, 1, 15, 12, 0, tzinfo=SHANGHAI))

    async def in_silence(minutes: int) -> None:
        for _ in range(2 * minutes):
            freezer.tick(timedelta(seconds=30))
            async_fire_time_changed(hass)
            await hass.async_block_till_done()
            link.published.clear()

    await in_silence(32)
    assert problem(hass, CONNECTIVITY) == "gateway_silent"
    link.set_connected(False)
    await in_silence(2)
    assert problem(hass, CONNECTIVITY) == "broker_unreachable"
    link.set_connected(True)
    await in_silence(2)
    assert problem(hass, CONNECTIVITY) == "gateway_silent"
    link.set_connected(False)
    await in_silence(2)
    link.set_connected(True)
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    assert problem(hass, CONNECTIVITY) is None
    assert caplog.text.count(f"Gateway {GATEWAY_ID} is silent") == 1
    assert caplog.text.count(f"Gateway {GATEWAY_ID} answers again") == 1
    await house.end()


async def test_a_longer_interval_brings_a_meter_back_that_was_thought_lost(
    hass: HomeAssistant, house: House, link: FakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    await house.begin(datetime(2025, 1, 15, 12, 0, tzinfo=SHANGHAI))
    await house.wait(32 * MINUTE)
    assert not house.shows(CABINET_SUPPLY)
    house.settings = settings(main_interval=60)
    link.deliver(house.settings)
    await house.wait(2 * MINUTE)
    assert house.shows(CABINET_SUPPLY)
    assert caplog.text.count(f"Meter {CABINET} of gateway {GATEWAY_ID} is no longer overdue") == 1
    await house.wait(2 * HOUR + 28 * MINUTE)
    assert not house.shows(CABINET_SUPPLY), "3 × 60 min since its last report"
    await house.end()
