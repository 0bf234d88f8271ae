"""A new meter in the place of an old one: what it keeps, and what its statistics come to.

The old cabinet starts at 45 323.12 kWh, the captured value. Every sum is worked out by hand.
"""

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
import logging
from typing import override

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.statistics import statistics_during_period
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
    label_registry as lr,
)
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.components.recorder.common import (
    async_wait_recording_done,
)
from pytest_homeassistant_custom_component.typing import RecorderInstanceContextManager

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import LinkError

from .cabinets import cabinet_frame
from .common import CABINET, GATEWAY_ID, FakeLink, captured, make_entry, report, set_up
from .exchange import status
from .repairs import fix, issues
from .test_readings import BOUND_KWH, ENERGY, START, Site

NEW = "27100999"
NEW_ENERGY = f"sensor.cabinet_{NEW}_heat_energy"
FIXED = (FlowResultType.CREATE_ENTRY, None)


@pytest.fixture
def mock_recorder_before_hass(async_test_recorder: RecorderInstanceContextManager) -> None:
    """Let the recorder be ready before Home Assistant."""


@pytest.fixture(autouse=True)
def _quiet_recorder(mock_recorder_before_hass: None) -> None:
    """Keep every single statement out of the captured log."""
    logging.getLogger("sqlalchemy.engine").setLevel(logging.WARNING)


class Exchange(Site):
    """A cabinet that falls silent and another one that is built in for it."""

    entry: MockConfigEntry

    def deliver(self, counts: int, number: str = NEW) -> None:
        """Let a cabinet report an energy now."""
        found = cabinet_frame({"heat_energy_kwh": counts}, number=number)
        self.link.deliver(report(f"{number}203400", found.raw.hex().upper()))

    @override
    async def pass_minutes(self, minutes: int) -> None:
        for _ in range(minutes // 5):
            await super().pass_minutes(5)
            await self.answer()

    async def answer(self) -> None:
        """Let the gateway answer what it was asked."""
        settings, read_now = captured("settings_reply"), captured("read_now_ack")
        replies = {1: status(), 2: settings, 18: read_now}
        while asked := [row["gw"]["msg_id"] for row in self.link.sent()]:
            for msg_id in asked:
                self.link.deliver(replies[msg_id])
            await self.hass.async_block_till_done()

    async def fall_silent(self) -> None:
        """Let four intervals pass, and the silence be judged."""
        await self.pass_minutes(40)
        self.entry.runtime_data.gateway._judge()
        await self.hass.async_block_till_done()

    async def appear(self) -> None:
        """Let the new cabinet report for the first time: 3.00 kWh."""
        self.freezer.tick(1)
        self.deliver(300)
        await self.hass.async_block_till_done()
        self.entry.runtime_data.gateway._judge()

    def device(self, number: str) -> dr.DeviceEntry | None:
        identifier = (DOMAIN, f"{GATEWAY_ID}_{number}")
        registry = dr.async_get(self.hass)
        return registry.async_get_device_by_identifier(identifier, self.entry.entry_id)

    def unique_ids(self) -> dict[str, str]:
        """Return the entity ids of all meters by unique id."""
        entities = er.async_entries_for_config_entry(er.async_get(self.hass), self.entry.entry_id)
        return {
            entity.unique_id.removeprefix(f"{GATEWAY_ID}_"): entity.entity_id
            for entity in entities
            if entity.unique_id.split("_")[1].isdigit()
        }

    async def total(self, entity_id: str) -> float:
        """Return what the sums of an entity come to; they never fall nor jump."""
        await async_wait_recording_done(self.hass)
        rows = await get_instance(self.hass).async_add_executor_job(
            statistics_during_period,
            self.hass,
            self.begin - timedelta(hours=1),
            None,
            {entity_id},
            "5minute",
            {"energy": "kWh"},
            {"sum"},
        )
        sums = [float(row["sum"] or 0) for row in rows[entity_id]]
        for before, after in pairwise(sums):
            assert -1e-6 <= after - before <= BOUND_KWH, sums
        return sums[-1]


@pytest.fixture
async def site(
    recorder_mock: object, hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Exchange]:
    freezer.move_to("2025-01-15T12:00:10+00:00")
    entry = make_entry()
    await set_up(hass, entry)
    site = Exchange(hass, link, freezer)
    site.entry = entry
    await site.answer()  # 10 minutes for a cabinet, and it is the season
    yield site
    if entry.state is ConfigEntryState.LOADED:
        await hass.config_entries.async_unload(entry.entry_id)


async def count_5_kwh_and_fall_silent(site: Exchange) -> None:
    """Let the old cabinet count 5 kWh and be missed."""
    await site.report(START)
    await site.report(START + 500)
    await site.fall_silent()


async def test_a_new_meter_takes_everything_of_the_old_one(
    site: Exchange, hass: HomeAssistant
) -> None:
    await count_5_kwh_and_fall_silent(site)
    assert not issues(hass)
    devices, entities = dr.async_get(hass), er.async_get(hass)
    old = site.device(CABINET)
    assert old is not None
    area = ar.async_get(hass).async_create("Boiler room")
    label = lr.async_get(hass).async_create("Billing")
    devices.async_update_device(
        old.id, name_by_user="East wing", area_id=area.id, labels={label.label_id}
    )
    entities.async_update_entity(ENERGY, new_entity_id="sensor.east_heat", name="Heat")
    before = site.unique_ids()

    await site.appear()
    issue = issues(hass)["meter_appeared"]
    assert issue.translation_placeholders == {
        "gateway": "Building 3",
        "meter": f"Cabinet {NEW}",
        "missing": "East wing",
    }
    assert hass.states.is_state(NEW_ENERGY, "3.0")
    await site.pass_minutes(10)
    site.deliver(500)  # 5.00 kWh: 2.00 since its first report
    await site.pass_minutes(5)

    assert await fix(hass, issue) == FIXED
    assert not issues(hass)
    assert site.entry.state is ConfigEntryState.LOADED
    device = site.device(NEW)
    assert device is not None
    assert (device.id, device.serial_number) == (old.id, NEW)
    assert (device.name_by_user, device.name) == ("East wing", f"Cabinet {NEW}")
    assert (device.area_id, device.labels) == (area.id, {label.label_id})
    assert site.device(CABINET) is None
    assert site.unique_ids() == {
        unique_id.replace(CABINET, NEW): entity_id for unique_id, entity_id in before.items()
    }, "the same entities, and none besides"
    entity = entities.async_get("sensor.east_heat")
    assert entity is not None
    assert entity.name == "Heat"
    assert hass.states.is_state("sensor.east_heat", "5.0")
    assert hass.states.get(NEW_ENERGY) is None

    await site.pass_minutes(10)
    site.deliver(600)
    await site.pass_minutes(10)
    # 5.00 kWh of the old one, 3.00 kWh of the new one since its first report.
    assert await site.total("sensor.east_heat") == pytest.approx(8.0, abs=1e-6)


async def test_commands_go_to_the_new_meter(
    site: Exchange, hass: HomeAssistant, link: FakeLink
) -> None:
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    await fix(hass, issues(hass)["meter_appeared"])
    link.sent()
    data = {"entity_id": f"valve.cabinet_{CABINET}_valve", "opening": 50, "wait": False}
    await hass.services.async_call(DOMAIN, "set_openings", data, blocking=True)
    await hass.async_block_till_done()
    frames = [
        message["data"]["transparent"] for message in link.sent() if message["gw"]["msg_id"] == 40
    ]
    assert len(frames) == 1
    assert frames[0].upper().startswith(f"FEFEFEFE6855{NEW}001111")


async def test_an_old_meter_that_reports_again_comes_as_a_new_one(
    site: Exchange, hass: HomeAssistant
) -> None:
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    await fix(hass, issues(hass)["meter_appeared"])
    site.deliver(START + 600, CABINET)
    await hass.async_block_till_done()
    assert hass.states.is_state(ENERGY, "3.0"), "the entity is the new meter's"
    assert hass.states.is_state(f"{ENERGY}_2", "45329.12")
    for _ in range(2):
        await hass.config_entries.async_reload(site.entry.entry_id)
        assert hass.states.is_state(ENERGY, "3.0")
        assert hass.states.is_state(f"{ENERGY}_2", "45329.12")
    assert not issues(hass)


async def test_the_new_meter_may_appear_before_the_old_one_is_missed(
    site: Exchange, hass: HomeAssistant
) -> None:
    await site.report(START)
    await site.pass_minutes(10)
    await site.appear()
    assert not issues(hass)
    await site.pass_minutes(20)
    site.deliver(400)
    await site.pass_minutes(5)
    site.entry.runtime_data.gateway._judge()
    assert "meter_appeared" in issues(hass)


async def test_the_question_goes_when_the_old_meter_returns(
    site: Exchange, hass: HomeAssistant
) -> None:
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    issue = issues(hass)["meter_appeared"]
    site.deliver(START + 600, CABINET)
    assert not issues(hass)

    await site.pass_minutes(10)
    site.deliver(400)
    await site.fall_silent()
    assert not issues(hass), "it was there after the new one, so that did not replace it"
    with pytest.raises(Exception, match="not found"):
        await fix(hass, issue)


async def test_the_question_goes_with_the_device(site: Exchange, hass: HomeAssistant) -> None:
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    site.entry.runtime_data.gateway.async_forget_meter(CABINET)
    assert not issues(hass)


async def test_the_question_survives_a_restart_and_a_silent_gateway(
    site: Exchange, hass: HomeAssistant, link: FakeLink
) -> None:
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    link.set_connected(False, LinkError("lost"))
    assert "meter_appeared" in issues(hass)
    link.set_connected(True)
    await hass.config_entries.async_unload(site.entry.entry_id)
    for issue in issues(hass).values():  # as a restart does
        ir.async_delete_issue(hass, DOMAIN, issue.issue_id)
    await hass.config_entries.async_setup(site.entry.entry_id)
    await hass.async_block_till_done()
    issue = issues(hass)["meter_appeared"]
    assert await fix(hass, issue) == FIXED
    assert hass.states.is_state(ENERGY, "3.0")


async def replace_by_hand(site: Exchange) -> None:
    """Say in the flow's words that the new cabinet took the place of the old one."""
    gateway = site.entry.runtime_data.gateway
    assert gateway.replacements.async_replace(CABINET, NEW)
    await site.hass.async_block_till_done()


async def test_a_meter_exchanged_within_five_minutes(site: Exchange) -> None:
    await site.report(START)
    await site.report(START + 500)
    site.freezer.tick(60)
    site.deliver(300)
    await site.hass.async_block_till_done()
    site.freezer.tick(60)
    await replace_by_hand(site)
    site.freezer.tick(60)
    site.deliver(350)
    await site.pass_minutes(10)
    site.deliver(400)
    await site.pass_minutes(10)
    # 5.00 kWh of the old one, 1.00 kWh of the new one.
    assert await site.total(ENERGY) == pytest.approx(6.0, abs=1e-6)


async def test_a_crash_after_the_exchange_changes_no_sum(
    site: Exchange, hass: HomeAssistant
) -> None:
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    await fix(hass, issues(hass)["meter_appeared"])
    for counts in (400, 500):
        await hass.config_entries.async_reload(site.entry.entry_id)
        await site.pass_minutes(10)
        site.deliver(counts)
        await hass.async_block_till_done()
    await hass.config_entries.async_reload(site.entry.entry_id)
    await site.pass_minutes(10)
    # 5.00 kWh of the old one, 2.00 kWh of the new one.
    assert await site.total(ENERGY) == pytest.approx(7.0, abs=1e-6)


async def test_a_meter_that_was_reset_and_then_exchanged_before_its_first_row(
    site: Exchange, hass: HomeAssistant
) -> None:
    await site.report(START)
    await site.report(START + 500)
    for counts in (100, 200):
        site.freezer.tick(timedelta(seconds=70))
        await site.report(counts, minutes=0)
    await fix(hass, issues(hass)["counter_reset_heat_energy"])
    site.freezer.tick(10)
    await site.report(250, minutes=0)
    site.freezer.tick(10)
    site.deliver(300)
    await hass.async_block_till_done()
    site.freezer.tick(10)
    await replace_by_hand(site)
    corrections = site.entry.runtime_data.gateway.readings.corrections
    heat = [row for row in corrections.pending if row.field == "heat_energy_kwh"]
    assert [(row.number, row.old, row.new) for row in heat] == [
        (NEW, 45_328.12, 2.0),
        (NEW, 2.5, 3.0),
    ]
    await site.pass_minutes(10)
    site.deliver(400)
    await site.pass_minutes(10)
    # 5.00 kWh, then 0.50 kWh from the reset register, then 1.00 kWh of the new meter.
    assert await site.total(ENERGY) == pytest.approx(6.5, abs=1e-6)
    assert not corrections.pending


async def test_a_new_meter_replaced_in_its_turn(site: Exchange, hass: HomeAssistant) -> None:
    newer = "27100998"
    await count_5_kwh_and_fall_silent(site)
    await site.appear()
    await fix(hass, issues(hass)["meter_appeared"])
    before = len(site.unique_ids())
    await site.pass_minutes(10)
    site.deliver(400)
    await site.fall_silent()
    site.deliver(70_000, newer)
    await hass.async_block_till_done()
    site.entry.runtime_data.gateway._judge()
    await fix(hass, issues(hass)["meter_appeared"])
    assert {unique_id.split("_")[0] for unique_id in site.unique_ids()} == {newer}
    assert len(site.unique_ids()) == before
    await site.pass_minutes(10)
    site.deliver(70_300, newer)
    await site.pass_minutes(10)
    # 5.00 kWh, 1.00 kWh, 3.00 kWh.
    assert await site.total(ENERGY) == pytest.approx(9.0, abs=1e-6)
