"""District heat in Home Assistant's own energy dashboard, as its own check sees it."""

from typing import Any

from homeassistant.components.energy.data import async_get_manager
from homeassistant.components.energy.validate import async_validate
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component
import pytest

from .common import CABINET
from .test_readings import ENERGY, START, Site, mock_recorder_before_hass, site

__all__ = ["mock_recorder_before_hass", "site"]  # fixtures

FLOW = f"sensor.cabinet_{CABINET}_volume_flow_rate"
VOLUME = f"sensor.cabinet_{CABINET}_volume"
GAS: dict[str, Any] = {"type": "gas", "stat_energy_from": ENERGY, "name": "District heat"}
PRICED = GAS | {"number_energy_price": 0.25, "entity_energy_price": None, "stat_cost": None}


class Dashboard:
    """The energy dashboard's settings, and what Home Assistant finds wrong with them."""

    def __init__(self, hass: HomeAssistant) -> None:
        self._hass = hass

    async def save(self, *sources: dict[str, Any], **more: Any) -> None:
        """Save sources as the user would choose them."""
        manager = await async_get_manager(self._hass)
        settings: Any = {"energy_sources": [*sources], "device_consumption": [], **more}
        await manager.async_update(settings)
        await self._hass.async_block_till_done()

    async def complaints(self) -> set[str]:
        """Return the kinds of what is wrong."""
        found = (await async_validate(self._hass)).as_dict()
        return {issue["type"] for kind in found.values() for row in kind for issue in row}


@pytest.fixture
async def dashboard(site: Site, hass: HomeAssistant) -> Dashboard:
    assert await async_setup_component(hass, "energy", {})
    await site.report(START)
    await site.report(START + 100)
    await site.pass_minutes(10)
    return Dashboard(hass)


async def test_heat_is_a_source_with_its_flow_and_price(
    hass: HomeAssistant, dashboard: Dashboard, site: Site
) -> None:
    await dashboard.save(PRICED | {"stat_rate": FLOW})
    assert await dashboard.complaints() == set()
    # What Home Assistant makes of it: 0.80 kWh more at 0.25 each are 0.20.
    await site.report(START + 180)
    cost = hass.states.get(f"{ENERGY}_cost")
    assert cost is not None
    assert float(cost.state) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("unit", "shown"),
    [
        # 45 324.12 kWh × 0.0036 GJ/kWh
        ("GJ", 163.166832),
        ("MWh", 45.32412),
        ("kWh", 45_324.12),
    ],
)
async def test_heat_in_the_unit_that_the_user_chose(
    hass: HomeAssistant, dashboard: Dashboard, site: Site, unit: str, shown: float
) -> None:
    er.async_get(hass).async_update_entity_options(ENERGY, "sensor", {"unit_of_measurement": unit})
    await hass.async_block_till_done()
    assert float(await site.report(START + 100)) == pytest.approx(shown, abs=1e-9)
    state = hass.states.get(ENERGY)
    assert state is not None
    assert state.attributes["unit_of_measurement"] == unit
    await dashboard.save(GAS)
    assert await dashboard.complaints() == set()
    # The sum stays what was measured: 1.00 kWh, then 1.00 more.
    await site.report(START + 200)
    await site.pass_minutes(10)
    assert (await site.sums())[-1] == pytest.approx(2.0, abs=1e-6)


async def test_heat_as_an_individual_device(dashboard: Dashboard) -> None:
    await dashboard.save(device_consumption=[{"stat_consumption": ENERGY, "name": "Cabinet"}])
    assert await dashboard.complaints() == set()


async def test_heating_water_is_no_water_consumption_by_itself(
    hass: HomeAssistant, dashboard: Dashboard, site: Site
) -> None:
    await dashboard.save({"type": "water", "stat_energy_from": VOLUME, "stat_rate": FLOW})
    assert await dashboard.complaints() == {"entity_unexpected_device_class"}
    # The class is all that is missing: unit, state class and flow are right.
    er.async_get(hass).async_update_entity(VOLUME, device_class="water")
    await hass.async_block_till_done()
    assert await dashboard.complaints() == set()
