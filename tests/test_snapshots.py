"""Every entity, device and download of the captured frames, kept as they are.

Whoever changes one sees it here: `scripts/test tests/test_snapshots.py -n0 --snapshot-update` takes
the change over, and the change to the snapshot belongs to the commit. The values were compared with
docs/PROTOCOL.md by hand; tests/test_entities.py holds them once more, written from there.
"""

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import Platform
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.syrupy import HomeAssistantSnapshotExtension
from syrupy.assertion import SnapshotAssertion
from syrupy.filters import props

from custom_components.hy_heating import PLATFORMS
from custom_components.hy_heating.diagnostics import (
    async_get_config_entry_diagnostics,
    async_get_device_diagnostics,
)

from .common import CABINET, GATEWAY_ID, VALVE, FakeLink, make_entry, report, set_up
from .test_entities import RECEIVED, deliver_all

UNKNOWN = "10000042"
# Type 30 (gas, by the standard), address 10000042 001111, C 81, L 04, DI 901F, SER 00, one byte 42;
# checksum 68+30+10+00+00+42+00+11+11+81+04+90+1F+00+42 = 282, so 82.
UNKNOWN_FRAME = "6830100000420011118104901F00428216"

CHANGES = props("created_at", "modified_at", "entry_id", "home_assistant", "python", "version")
"""What differs from run to run, or with the release."""


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Leave out of a snapshot what Home Assistant draws by lot."""
    return snapshot.use_extension(HomeAssistantSnapshotExtension)


@pytest.fixture
async def site(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory, all_entities_enabled: None
) -> MockConfigEntry:
    """Return the captured gateway with a cabinet, a household valve and an unknown device."""
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to(RECEIVED)
    entry = make_entry()
    await set_up(hass, entry)
    await deliver_all(hass, link)
    link.deliver(report(f"{UNKNOWN}200800", UNKNOWN_FRAME))
    await hass.async_block_till_done()
    return entry


def serial_numbers(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, dr.AnyDeviceEntry]:
    devices = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    return {str(device.serial_number): device for device in devices}


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_entities(
    hass: HomeAssistant, site: MockConfigEntry, snapshot: SnapshotAssertion, platform: Platform
) -> None:
    registry = er.async_get(hass)
    entities = er.async_entries_for_config_entry(registry, site.entry_id)
    shown = sorted(
        (entity for entity in entities if entity.domain == platform),
        key=lambda entity: entity.unique_id,
    )
    assert shown
    for entity in shown:
        assert entity == snapshot(name=f"{entity.entity_id} entry")
        assert hass.states.get(entity.entity_id) == snapshot(name=f"{entity.entity_id} state")
    await hass.config_entries.async_unload(site.entry_id)


async def test_devices(
    hass: HomeAssistant, site: MockConfigEntry, snapshot: SnapshotAssertion
) -> None:
    devices = serial_numbers(hass, site)
    assert devices.keys() == {GATEWAY_ID, CABINET, VALVE, UNKNOWN}
    for number, device in sorted(devices.items()):
        assert device == snapshot(name=number)
    await hass.config_entries.async_unload(site.entry_id)


async def test_diagnostics(
    hass: HomeAssistant, site: MockConfigEntry, snapshot: SnapshotAssertion
) -> None:
    told = await async_get_config_entry_diagnostics(hass, site)
    assert told == snapshot(name="gateway", exclude=CHANGES)
    for number, device in sorted(serial_numbers(hass, site).items()):
        if number != GATEWAY_ID:
            told = await async_get_device_diagnostics(hass, site, device)
            assert told == snapshot(name=number, exclude=CHANGES)
    await hass.config_entries.async_unload(site.entry_id)
