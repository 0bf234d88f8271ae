"""Readings outlive a restart, a crash and a damaged file."""

from datetime import timedelta
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_fire_time_changed,
)

from custom_components.hy_heating.const import DOMAIN

from .common import (
    CABINET,
    GATEWAY_ID,
    VALVE,
    FakeLink,
    captured,
    captured_frame,
    make_entry,
    set_up,
)

CABINET_SUPPLY = f"sensor.cabinet_{CABINET}_supply_temperature"
RECEIVED = "2025-01-15T04:00:00+00:00"


def stored(**changes: Any) -> dict[str, Any]:
    """Return a store file of the captured gateway with one good cabinet."""
    cabinet = {
        "frame": captured_frame("cabinet_report"),
        "received": RECEIVED,
        "port": 0,
        "protocol_code": "2034",
    }
    data = {
        "status": captured("status_reply").decode(),
        "settings": captured("settings_reply").decode(),
        "last_seen": RECEIVED,
        "meters": {CABINET: cabinet},
    }
    return {"version": 1, "minor_version": 1, "data": {**data, **changes}}


@pytest.fixture
def entry_with_store() -> MockConfigEntry:
    return make_entry()


async def test_under_constant_reports_a_crash_loses_less_than_30_s(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    hass_storage: dict[str, Any],
    freezer: FrozenDateTimeFactory,
) -> None:
    key = f"{DOMAIN}.{entry.entry_id}"
    for _ in range(3):
        link.deliver(captured("cabinet_report"))
        link.deliver(captured("valve_report"))
        freezer.tick(timedelta(seconds=9))
        async_fire_time_changed(hass)
        await hass.async_block_till_done()
    meters = hass_storage[key]["data"]["meters"]
    assert meters[CABINET]["frame"] == captured_frame("cabinet_report")
    assert meters[VALVE]["frame"] == captured_frame("valve_report_C")


async def test_a_damaged_part_is_left_out_and_the_rest_stands(
    hass: HomeAssistant,
    link: FakeLink,
    entry_with_store: MockConfigEntry,
    hass_storage: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = stored()["data"]["meters"][CABINET]
    hass_storage[f"{DOMAIN}.{entry_with_store.entry_id}"] = stored(
        status='{"gw":{"msg_id":1}}',
        meters={
            CABINET: good,
            VALVE: {**good, "frame": captured_frame("valve_report_bad_checksum")},
            "11111111": good,
            "22222222": {**good, "received": "yesterday"},
        },
    )
    await set_up(hass, entry_with_store)
    assert hass.states.is_state(CABINET_SUPPLY, "28.87")
    assert list(entry_with_store.runtime_data.gateway.meters) == [CABINET]
    assert hass.states.is_state("sensor.building_3_signal_strength_rssi", "unknown")
    assert hass.states.is_state("sensor.building_3_meters_reporting", "1")
    assert "kept message is unreadable" in caplog.text
    for number in (VALVE, "11111111", "22222222"):
        assert f"kept reading of meter {number}" in caplog.text

    link.deliver(captured("status_reply"))
    await hass.async_block_till_done()
    assert hass.states.is_state("sensor.building_3_signal_strength_rssi", "-98")
    await hass.config_entries.async_unload(entry_with_store.entry_id)


async def test_a_removed_entry_leaves_no_file(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, hass_storage: dict[str, Any]
) -> None:
    link.deliver(captured("cabinet_report"))
    await hass.config_entries.async_unload(entry.entry_id)
    assert f"{DOMAIN}.{entry.entry_id}" in hass_storage
    await hass.config_entries.async_setup(entry.entry_id)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("custom_components.hy_heating.async_forget_session", _forget)
        await hass.config_entries.async_remove(entry.entry_id)
    assert f"{DOMAIN}.{entry.entry_id}" not in hass_storage


async def _forget(*_: object) -> None:
    """Stand in for ending the session at a broker that is not there."""


async def test_swapped_temperatures_are_exchanged_in_one_place(
    hass: HomeAssistant, link: FakeLink
) -> None:
    entry = make_entry(swapped_meters=[VALVE])
    await set_up(hass, entry)
    link.deliver(captured("valve_report"))
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    # Report C has 29.1 in the first slot and 29.3 in the second.
    assert hass.states.is_state(f"sensor.valve_{VALVE}_supply_temperature", "29.3")
    assert hass.states.is_state(f"sensor.valve_{VALVE}_return_temperature", "29.1")
    assert hass.states.is_state(CABINET_SUPPLY, "28.87"), "only where the site said so"

    await hass.config_entries.async_reload(entry.entry_id)
    assert hass.states.is_state(f"sensor.valve_{VALVE}_supply_temperature", "29.3"), (
        "kept as received, exchanged once"
    )
    await hass.config_entries.async_unload(entry.entry_id)


async def test_what_another_layout_sends_does_not_change_a_known_meter(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    # The cabinet answers a read with two bytes, AA BB: 68 55 27100583 001111 81 05 901F00 AABB.
    # In hex: 68+55 = BD; +27+10+05+83 = 17C; +11+11 = 19E; +81+05 = 224; +90+1F = 2D3;
    # +AA+BB = 438: CS is 38.
    frame = "6855271005830011118105901F00AABB3816"
    payload = (
        f'{{"gw":{{"msg_id":20,"msg_gw_pr":0,"gw_id":"{GATEWAY_ID}"}},'
        f'"data":{{"meter_id":"{CABINET}203400","meter_data":["{frame}"]}}}}'
    )
    link.deliver(payload)
    link.deliver(payload)
    await hass.async_block_till_done()
    assert hass.states.is_state(CABINET_SUPPLY, "28.87")
    refusals = entry.runtime_data.gateway.client.refusals
    assert refusals.counts == {(CABINET, "frame_layout"): 2}
    assert caplog.text.count("another layout than this meter's") == 1
