"""What readings raise for a person to decide, what the fix does, and how it clears by itself."""

from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.repairs import ConfirmRepairFlow
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.repairs import async_create_fix_flow

from .cabinets import cabinet_frame
from .common import CABINET, FakeLink, make_entry, report, set_up
from .repairs import fix, issues

FLOW = f"sensor.cabinet_{CABINET}_volume_flow_rate"
ENERGY = f"sensor.cabinet_{CABINET}_heat_energy"
SUPPLY = f"sensor.cabinet_{CABINET}_supply_temperature"
FIXED = (FlowResultType.CREATE_ENTRY, None)


class Cabinet:
    """The captured cabinet, reporting what a test wants."""

    def __init__(self, hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory) -> None:
        self.hass, self.link, self.freezer = hass, link, freezer
        self.volume = 345_678

    async def flows(self, shown_l_h: int, reports: int) -> None:
        """Let 6 m³/h pass (100 counts of 10 L in ten minutes) and another flow be shown."""
        for _ in range(reports):
            self.freezer.tick(600)
            self.volume += 100
            await self._deliver({"flow_l_h": shown_l_h, "volume_m3": self.volume})

    async def hot(self, supply_c: float, return_c: float, hours: int) -> None:
        """Report two temperatures every hour while water flows; its volume stays in doubt."""
        for _ in range(hours):
            self.freezer.tick(3600)
            temperatures = {"supply_temperature_c": supply_c, "return_temperature_c": return_c}
            await self._deliver({"flow_l_h": 6_000}, temperatures)

    async def energy(self, counts: int) -> None:
        self.freezer.tick(600)
        await self._deliver({"heat_energy_kwh": counts, "volume_m3": self.volume})

    async def _deliver(
        self, counts: dict[str, int | bytes], temperatures_c: dict[str, float] | None = None
    ) -> None:
        frame = cabinet_frame(counts, None, temperatures_c)
        self.link.deliver(report(f"{CABINET}203400", frame.raw.hex().upper()))
        await self.hass.async_block_till_done()


@pytest.fixture
def cabinet(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> Cabinet:
    return Cabinet(hass, link, freezer)


async def test_a_flow_ten_times_too_small_is_scaled_and_the_issue_goes(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.flows(600, reports=6)
    assert not issues(hass)
    await cabinet.flows(600, reports=1)
    issue = issues(hass)["flow_scale"]
    assert issue.translation_placeholders == {
        "gateway": "Building 3",
        "meter": f"Cabinet {CABINET}",
        "scale": "10",
    }
    assert hass.states.is_state(FLOW, "600")

    assert await fix(hass, issue) == FIXED
    assert entry.options["flow_scale"] == 10
    assert hass.states.is_state(FLOW, "6000.0"), "the kept reading too"
    await cabinet.flows(600, reports=10)
    assert not issues(hass)


async def test_a_wrong_scale_is_offered_back(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> None:
    entry = make_entry(flow_scale=100.0)
    await set_up(hass, entry)
    await Cabinet(hass, link, freezer).flows(6_000, reports=7)
    assert await fix(hass, issues(hass)["flow_scale"]) == FIXED
    assert entry.options["flow_scale"] == 1
    assert hass.states.is_state(FLOW, "6000")
    await hass.config_entries.async_unload(entry.entry_id)


async def test_a_flow_that_is_right_again_clears_its_issue(
    hass: HomeAssistant, cabinet: Cabinet
) -> None:
    await cabinet.flows(60, reports=7)
    assert "flow_scale" in issues(hass)
    await cabinet.flows(6_000, reports=8)
    assert not issues(hass)


async def test_what_a_removed_meter_said_is_cleared(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.flows(60, reports=7)
    for _ in range(2):
        await cabinet.energy(0)
    assert issues(hass).keys() == {"flow_scale", "counter_reset_heat_energy"}
    entry.runtime_data.gateway.async_forget_meter("11111111")
    assert len(issues(hass)) == 2, "another meter has nothing to do with it"
    entry.runtime_data.gateway.async_forget_meter(CABINET)
    assert not issues(hass)


async def test_exchanged_temperatures_are_offered_and_exchanged(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.hot(40, 55, hours=48)
    assert not issues(hass)
    await cabinet.hot(40, 55, hours=1)
    issue = issues(hass)["temperatures_reversed"]
    assert issue.translation_placeholders == {"meter": f"Cabinet {CABINET}"}
    assert await fix(hass, issue) == FIXED
    assert entry.options["swapped_meters"] == [CABINET]
    assert hass.states.is_state(SUPPLY, "55.0")
    assert not issues(hass), "nor raised again by the reload"

    # The sensors are put right, so now the option is wrong: it is offered back.
    await cabinet.hot(55, 40, hours=49)
    assert await fix(hass, issues(hass)["temperatures_reversed"]) == FIXED
    assert entry.options["swapped_meters"] == []
    assert hass.states.is_state(SUPPLY, "55.0")
    assert not issues(hass)


async def test_exchanged_temperatures_clear_by_themselves(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.hot(40, 55, hours=49)
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert "temperatures_reversed" in issues(hass), "found again after a restart"
    await cabinet.hot(55, 40, hours=1)
    assert not issues(hass)


async def test_a_meter_is_called_as_its_user_calls_it(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.energy(4_532_312)
    registry = dr.async_get(hass)
    device = next(
        device
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
        if device.serial_number == CABINET
    )
    registry.async_update_device(device.id, name_by_user="East wing")
    for _ in range(2):
        await cabinet.energy(0)
    placeholders = issues(hass)["counter_reset_heat_energy"].translation_placeholders
    assert placeholders is not None
    assert placeholders["meter"] == "East wing"


async def test_a_counter_is_continued_without_a_recorder(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.energy(4_532_312)
    for _ in range(2):
        await cabinet.energy(700)
    assert await fix(hass, issues(hass)["counter_reset_heat_energy"]) == FIXED
    assert hass.states.is_state(ENERGY, "7.0")
    await cabinet.energy(800)
    assert hass.states.is_state(ENERGY, "8.0")
    assert not entry.runtime_data.gateway.readings.corrections.pending


async def test_a_fix_that_comes_too_late_changes_nothing(
    hass: HomeAssistant, entry: MockConfigEntry, cabinet: Cabinet
) -> None:
    await cabinet.energy(4_532_312)
    for _ in range(2):
        await cabinet.energy(0)
    issue = issues(hass)["counter_reset_heat_energy"]
    entry.runtime_data.gateway.readings.memories.clear()
    assert await fix(hass, issue) == (FlowResultType.ABORT, "no_longer_so")

    await hass.config_entries.async_unload(entry.entry_id)
    assert await fix(hass, issue) == (FlowResultType.ABORT, "not_loaded")
    assert "counter_reset_heat_energy" in issues(hass)


@pytest.mark.parametrize("data", [None, {}, {"kind": "of tomorrow"}])
async def test_an_issue_without_a_fix_of_ours_is_only_confirmed(
    hass: HomeAssistant, data: dict[str, Any] | None
) -> None:
    assert type(await async_create_fix_flow(hass, "any", data)) is ConfirmRepairFlow
