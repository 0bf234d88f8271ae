"""What counters do to the long-term statistics, read back from a real recorder.

The cabinet starts at 45 323.12 kWh, the captured value, and reports every ten minutes. Whatever it
reports, the sum never falls and never grows by more than 3 876.67 kWh in ten minutes (1.163 × 200 ×
100 = 23 260 kW), and what it grows by in all is worked out by hand in each row.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
import logging
from typing import Literal

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.db_schema import StatisticsShortTerm
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.components.recorder.tasks import StatisticsTask
from homeassistant.components.recorder.util import session_scope
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager

from .cabinets import KWH, MWH, cabinet_frame
from .common import CABINET, FakeLink, make_entry, report, set_up
from .repairs import fix, issues

ENERGY = f"sensor.cabinet_{CABINET}_heat_energy"
LAST_REPORT = f"sensor.cabinet_{CABINET}_last_report"
START = 4_532_312
BOUND_KWH = 3_876.68  # 1.163 × 200 × 100 / 6 and one digit
INVALID = b"\xff\xff\xff\xff"


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder be ready before Home Assistant."""


@pytest.fixture(autouse=True)
def _quiet_recorder(mock_recorder_before_hass: None) -> None:
    """Keep every single statement out of the captured log."""
    logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)


class Site:
    """One cabinet whose reports become states, and whose states become statistics."""

    def __init__(self, hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory) -> None:
        self.hass, self.link, self.freezer = hass, link, freezer
        self.begin = dt_util.utcnow()

    async def pass_minutes(self, minutes: int) -> None:
        """Let time pass, and the recorder compile every five minutes of it."""
        for _ in range(minutes // 5):
            now = dt_util.utcnow()
            start = now.replace(minute=now.minute - now.minute % 5, second=0, microsecond=0)
            self.freezer.tick(timedelta(minutes=5))
            await async_wait_recording_done(self.hass)
            get_instance(self.hass).queue_task(StatisticsTask(start, True))
            for _ in range(2):  # the rows, and what they bring about
                await async_wait_recording_done(self.hass)

    async def report(self, counts: int | bytes, unit: int = KWH, minutes: int = 10) -> str:
        """Report an energy some minutes after the last one; return the state it makes."""
        await self.pass_minutes(minutes)
        found = cabinet_frame({"heat_energy_kwh": counts}, {"heat_energy_kwh": unit})
        self.link.deliver(report(f"{CABINET}203400", found.raw.hex().upper()))
        await self.hass.async_block_till_done()
        state = self.hass.states.get(ENERGY)
        assert state is not None
        return state.state

    async def sums(self, period: Literal["5minute", "hour"] = "5minute") -> list[float]:
        """Return the sums of all periods since the beginning."""
        await async_wait_recording_done(self.hass)
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            self.begin - timedelta(hours=1),
            None,
            {ENERGY},
            period,
            {"energy": "kWh"},
            {"sum"},
        )
        return [float(row["sum"] or 0) for row in rows.get(ENERGY, [])]

    async def check_sums(self, total: float) -> None:
        """Check that the sums never fall nor jump, and what they come to."""
        for sums in (await self.sums(), await self.sums("hour")):
            for before, after in pairwise(sums):
                assert after - before >= -1e-6, f"the sum falls: {sums}"
        short = await self.sums()
        for before, after in pairwise(short):
            assert after - before <= BOUND_KWH, f"the sum jumps: {short}"
        assert short[-1] == pytest.approx(total, abs=1e-6)


@pytest.fixture
async def site(
    recorder_mock: object, hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Site]:
    freezer.move_to("2025-01-15T12:00:10+00:00")
    entry = make_entry()
    await set_up(hass, entry)
    yield Site(hass, link, freezer)
    await hass.config_entries.async_unload(entry.entry_id)


KEEP = "45323.12"


@pytest.mark.parametrize(
    ("glitch", "shown"),
    [
        pytest.param(0, KEEP, id="zero"),
        pytest.param(INVALID, STATE_UNKNOWN, id="all FF"),
        pytest.param(START * 95 // 100, KEEP, id="a dip of 5 %"),
        pytest.param(START * 10, KEEP, id="a tenfold spike"),
        pytest.param(99_999_999, KEEP, id="the end of the register"),
    ],
)
async def test_a_glitch_leaves_no_trace(site: Site, glitch: int | bytes, shown: str) -> None:
    assert await site.report(START) == "45323.12"
    assert await site.report(glitch) == shown
    assert await site.report(START + 800) == "45331.12"
    assert await site.report(START + 900) == "45332.12"
    await site.pass_minutes(5)
    await site.check_sums(9.0)
    assert not issues(site.hass)


async def test_a_switch_of_units_leaves_no_trace(site: Site) -> None:
    assert await site.report(START) == "45323.12"
    assert await site.report(4_532, MWH) == "45323.12"
    assert await site.report(4_533, MWH) == "45330"
    # 163.20 GJ are 45 333 1/3 kWh.
    assert float(await site.report(16_320, 0x11)) == pytest.approx(45_333 + 1 / 3, abs=1e-9)
    assert await site.report(4_533_512, KWH) == "45335.12"
    await site.pass_minutes(5)
    await site.check_sums(12.0)
    assert not issues(site.hass)


async def test_a_roll_over_goes_on_by_itself(site: Site) -> None:
    assert await site.report(99_999_000) == "999990.0"
    assert await site.report(99_999_500) == "999995.0"
    assert await site.report(500) == "999995.0"  # held back: 5.00 kWh behind the end
    assert await site.report(700) == "7.0"
    assert await site.report(1_000) == "10.0"
    await site.pass_minutes(5)
    # From 999 990.00 to the end at 1 000 000.00, and 10.00 from there.
    await site.check_sums(20.0)
    assert not issues(site.hass)


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(0, id="to zero"),
        pytest.param(12_345, id="a swap to a lower number"),
        pytest.param(START * 95 // 100, id="a swap to a number a little lower"),
        pytest.param(START * 2, id="a swap to a higher number"),
    ],
)
async def test_a_reset_is_unknown_until_a_person_continues_it(site: Site, new: int) -> None:
    assert await site.report(START) == "45323.12"
    assert await site.report(START + 500) == "45328.12"
    assert await site.report(new) == "45328.12"
    assert await site.report(new + 100) == STATE_UNKNOWN
    assert await site.report(new + 200) == STATE_UNKNOWN
    await site.check_sums(5.0)

    issue = issues(site.hass)["counter_reset_heat_energy"]
    assert issue.translation_placeholders == {
        "meter": f"Cabinet {CABINET}",
        "old": "45328.12 kWh",
        "new": f"{(new + 200) / 100:.2f} kWh",
    }
    await site.pass_minutes(5)
    assert await fix(site.hass, issue) == (FlowResultType.CREATE_ENTRY, None)
    assert not issues(site.hass)
    state = site.hass.states.get(ENERGY)
    assert state is not None
    assert float(state.state) == (new + 200) / 100

    await site.report(new + 300)
    await site.check_sums(5.0)  # the row of the first minutes after the register was continued
    for step in range(4, 12):
        await site.report(new + step * 100)
    await site.pass_minutes(5)
    await site.check_sums(14.0)  # 5 kWh before, and 9 of what came since
    assert len(await site.sums("hour")) == 2  # 12:00 and 13:00
    assert not issues(site.hass)


async def test_a_reset_fixed_within_the_same_five_minutes(site: Site) -> None:
    await site.report(START)
    await site.report(START + 500)
    for counts in (100, 200):
        site.freezer.tick(timedelta(seconds=70))
        await site.report(counts, minutes=0)
    await fix(site.hass, issues(site.hass)["counter_reset_heat_energy"])
    await site.report(300)
    await site.report(400)
    await site.pass_minutes(5)
    await site.check_sums(7.0)


async def test_a_correction_outlives_a_restart(site: Site, hass: HomeAssistant) -> None:
    await site.report(START)
    for counts in (100, 200):
        await site.report(counts)
    await fix(hass, issues(hass)["counter_reset_heat_energy"])
    entry = hass.config_entries.async_entries("hy_heating")[0]
    await hass.config_entries.async_reload(entry.entry_id)
    assert len(entry.runtime_data.gateway.readings.corrections.pending) == 1
    await site.report(300)
    await site.pass_minutes(5)
    await site.check_sums(1.0)
    assert not entry.runtime_data.gateway.readings.corrections.pending


async def test_a_sum_shown_in_another_unit_is_corrected_in_it(
    site: Site, hass: HomeAssistant
) -> None:
    await site.report(START)
    registry = er.async_get(hass)
    registry.async_update_entity_options(ENERGY, "sensor", {"unit_of_measurement": "MWh"})
    await hass.async_block_till_done()
    for counts in (START + 1_000, 100, 200):
        await site.report(counts)
    await fix(hass, issues(hass)["counter_reset_heat_energy"])
    await site.report(1_200)
    await site.pass_minutes(5)
    await site.check_sums(20.0)


async def test_a_reset_that_takes_itself_back_clears_its_issue(site: Site) -> None:
    await site.report(START)
    for _ in range(2):
        await site.report(0)
    assert "counter_reset_heat_energy" in issues(site.hass)
    assert await site.report(START + 1_000) == "45333.12"
    assert not issues(site.hass)
    await site.pass_minutes(5)
    await site.check_sums(10.0)


async def test_an_unreported_reset_survives_a_restart(site: Site, hass: HomeAssistant) -> None:
    await site.report(START)
    for _ in range(2):
        await site.report(0)
    entry = hass.config_entries.async_entries("hy_heating")[0]
    await hass.config_entries.async_unload(entry.entry_id)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
    assert hass.states.is_state(ENERGY, STATE_UNKNOWN)
    issue = issues(hass)["counter_reset_heat_energy"]
    assert await fix(hass, issue) == (FlowResultType.CREATE_ENTRY, None)
    assert hass.states.is_state(ENERGY, "0.0")


async def test_a_backlog_is_taken_in_order_and_marked(site: Site, hass: HomeAssistant) -> None:
    await site.report(START)
    site.freezer.tick(timedelta(hours=10))
    for step in range(1, 61):
        assert (
            float(await site.report(START + step * 5_000, minutes=0))
            == (START + step * 5_000) / 100
        )
        site.freezer.tick(timedelta(milliseconds=16))
    state = hass.states.get(LAST_REPORT)
    assert state is not None
    assert state.attributes["delivered_late"] is True
    await site.pass_minutes(5)
    assert (await site.sums())[-1] == pytest.approx(3_000)

    await site.report(START + 300_500)
    state = hass.states.get(LAST_REPORT)
    assert state is not None
    assert state.attributes["delivered_late"] is False


async def test_a_late_report_is_not_applied(
    site: Site, hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(3):
        await site.report(START + step * 100)
    received = hass.states.get(LAST_REPORT)
    site.freezer.tick(timedelta(seconds=1))
    assert await site.report(START + 100, minutes=0) == "45325.12"
    assert hass.states.get(LAST_REPORT) == received
    entry: MockConfigEntry = hass.config_entries.async_entries("hy_heating")[0]  # type: ignore[assignment] # ours
    assert entry.runtime_data.gateway.readings.late == 1
    assert await site.report(START + 300) == "45326.12"
    await site.pass_minutes(5)
    await site.check_sums(3.0)


async def test_a_reset_that_waited_longer_than_the_recorder_keeps_short_rows(
    site: Site, hass: HomeAssistant
) -> None:
    for step in range(8):
        await site.report(START + step * 100)  # 7.00 kWh, over the full hour at 13:00
    for counts in (100, 200):
        await site.report(counts)
    hours = await site.sums("hour")
    assert hours == [pytest.approx(4.0)]  # 12:10 to 12:50

    def forget() -> None:
        with session_scope(hass=hass) as session:
            session.query(StatisticsShortTerm).delete()

    await get_instance(hass).async_add_executor_job(forget)
    await fix(hass, issues(hass)["counter_reset_heat_energy"])
    await site.report(300)
    await site.report(400)
    await site.pass_minutes(5)
    # All that is left to go on from are the 4 kWh of the hour, at 45 327.12 kWh; then 3 kWh of the
    # old register and 2 of the new one.
    assert (await site.sums())[-1] == pytest.approx(9.0)


async def test_a_correction_of_an_entity_that_is_gone_is_given_up(
    site: Site, hass: HomeAssistant
) -> None:
    await site.report(START)
    for counts in (100, 200):
        await site.report(counts)
    await fix(hass, issues(hass)["counter_reset_heat_energy"])
    entry = hass.config_entries.async_entries("hy_heating")[0]
    corrections = entry.runtime_data.gateway.readings.corrections
    assert len(corrections.pending) == 1
    er.async_get(hass).async_remove(ENERGY)
    await site.pass_minutes(10)
    assert not corrections.pending


async def test_a_correction_waits_for_its_row(site: Site, hass: HomeAssistant) -> None:
    await site.report(START)
    for counts in (100, 200):
        await site.report(counts)
    await fix(hass, issues(hass)["counter_reset_heat_energy"])
    hass.bus.async_fire("recorder_5min_statistics_generated")
    await async_wait_recording_done(hass)
    entry = hass.config_entries.async_entries("hy_heating")[0]
    assert len(entry.runtime_data.gateway.readings.corrections.pending) == 1
    await site.report(300)
    await site.pass_minutes(5)
    await site.check_sums(1.0)
