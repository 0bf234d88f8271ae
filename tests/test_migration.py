"""Entries of other versions: older ones are brought up to date, newer ones refused."""

from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from .common import CABINET, FakeLink, captured, set_up

# As version 1.1 wrote it.
VERSION_1_DATA = {
    "host": "broker.example",
    "port": 8883,
    "username": "heat",
    "password": "secret-of-the-test",
    "tls": True,
    "tls_verify": True,
    "ca_certificate": None,
    "prefix": "hy/gw",
    "gateway_id": "02345678903",
    "area_id": "cellar",
}
VERSION_1_OPTIONS = {
    "travel_time_s": 120,
    "move_pause_s": 0,
    "read_only": False,
    "flow_scale": 1.0,
    "swapped_meters": ["23227310"],
}


def entry_of_version(version: int, minor_version: int = 1, **data: Any) -> MockConfigEntry:
    return MockConfigEntry(
        domain="hy_heating",
        title="Building 3",
        unique_id="02345678903",
        version=version,
        minor_version=minor_version,
        data={**VERSION_1_DATA, **data},
        options=VERSION_1_OPTIONS,
    )


async def test_version_1_had_only_connections_of_its_own(
    hass: HomeAssistant, link: FakeLink
) -> None:
    entry = entry_of_version(1)
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert (entry.version, entry.minor_version) == (2, 1)
    assert entry.data == {**VERSION_1_DATA, "link": "own", "discovery": False}
    assert entry.options == VERSION_1_OPTIONS
    assert (entry.unique_id, entry.title) == ("02345678903", "Building 3")
    # The session at the broker, with what it holds, is still the same: its key did not change.
    assert link.settings.key == (
        *("broker.example", 8883, "heat", True, True),
        *(None, "hy/gw"),
    )
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert hass.states.is_state(f"valve.cabinet_{CABINET}_valve", "open")
    await hass.config_entries.async_unload(entry.entry_id)


async def test_the_present_version_stays_as_it_is(hass: HomeAssistant, link: FakeLink) -> None:
    entry = entry_of_version(2, link="own", discovery=True)
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert entry.data == {**VERSION_1_DATA, "link": "own", "discovery": True}
    await hass.config_entries.async_unload(entry.entry_id)


async def test_a_newer_major_version_is_refused_and_left_alone(
    hass: HomeAssistant, link: FakeLink, caplog: pytest.LogCaptureFixture
) -> None:
    entry = entry_of_version(3, broker="elsewhere")
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.MIGRATION_ERROR
    assert (
        "Config entry Building 3 for hy_heating has version 3 which is higher than the current "
        "version 2" in caplog.text
    )
    assert entry.data == {**VERSION_1_DATA, "broker": "elsewhere"}
    assert link.users == 0


async def test_a_newer_minor_version_is_taken(hass: HomeAssistant, link: FakeLink) -> None:
    entry = entry_of_version(2, 7, link="own", discovery=False, more="of this")
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert (entry.version, entry.minor_version) == (2, 7)
    assert entry.data["more"] == "of this"
    await hass.config_entries.async_unload(entry.entry_id)
