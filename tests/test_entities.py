"""Every captured message at the wire, every state that must come of it."""

from datetime import datetime
from unittest.mock import patch
from zoneinfo import ZoneInfo

from freezegun.api import FrozenDateTimeFactory
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er
from homeassistant.helpers.entity_platform import async_get_platforms
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating import coordinator
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import RefusalReason

from .common import CABINET, GATEWAY_ID, VALVE, FakeLink, captured, make_entry, report, set_up

RECEIVED = datetime(2024, 5, 28, 15, 29, 41, tzinfo=ZoneInfo("Asia/Shanghai"))
"""When the captured report A was received (vectors.json)."""

# By unique id behind "<gateway>_": platform, state as Home Assistant shows it, enabled by
# default. Values from docs/PROTOCOL.md; the status and settings replies are the captured ones.
# A season from 1 September to 1 May does not hold 28 May.
GATEWAY_STATES = {
    "connectivity": ("binary_sensor", "on", True),
    "heating_season": ("binary_sensor", "off", True),
    "in_season_statistics": ("binary_sensor", "on", False),
    "restarted": ("binary_sensor", "off", False),
    "refresh_status": ("button", STATE_UNKNOWN, True),
    "read_cabinets": ("button", STATE_UNKNOWN, True),
    "read_valves": ("button", STATE_UNKNOWN, True),
    "rssi": ("sensor", "-98", True),
    "sinr": ("sensor", "13", True),
    "mbus_voltage": ("sensor", "29.392", True),  # 29392 mV in V
    "mbus_current": ("sensor", "3", True),
    "last_seen": ("sensor", "2024-05-28T07:29:41+00:00", True),
    "meters_reporting": ("sensor", "2", True),
    "valves_unproven": ("sensor", "0", True),
    "commands_sent": ("sensor", "0", False),
    "commands_verified": ("sensor", "0", False),
    "commands_failed": ("sensor", "0", False),
    "time_to_proof": ("sensor", STATE_UNKNOWN, False),
    "csq": ("sensor", STATE_UNKNOWN, False),  # 99 means unknown
    "iccid": ("sensor", "89860025102250386087", False),
    "model_mode": ("sensor", "136", False),
    "expected_cabinets": ("sensor", "5", False),
    "expected_valves": ("sensor", "96", False),
    "cabinet_interval": ("sensor", "10", False),
    "valve_interval": ("sensor", "60", False),
    "out_of_season_interval": ("sensor", "1440", False),
    "season_start": ("sensor", "09-01", False),
    "season_end": ("sensor", "05-01", False),
}
CABINET_STATES = {
    "valve": ("valve", "open", True),
    "command": ("event", STATE_UNKNOWN, True),
    "heat_energy": ("sensor", "45323.12", True),
    "volume": ("sensor", "3456.78", True),
    "volume_flow_rate": ("sensor", "0", True),
    "supply_temperature": ("sensor", "28.87", True),
    "return_temperature": ("sensor", "28.93", True),
    "temperature_difference": ("sensor", "-0.06", True),  # 28.87 - 28.93
    "thermal_power": ("sensor", "0.0", True),  # no flow, no power, and never -0
    "opening": ("sensor", "100.0", True),
    "commanded_opening": ("sensor", "100.0", True),
    "last_report": ("sensor", "2024-05-28T07:29:41+00:00", True),
    "second_energy": ("sensor", "0.0", False),
    "second_volume": ("sensor", "0.0", False),
    "set_point_1": ("sensor", "25.0", False),
    "set_point_2": ("sensor", "25.0", False),
    "status": ("sensor", "64", False),
}
VALVE_STATES = {
    "valve": ("valve", "open", True),
    "command": ("event", STATE_UNKNOWN, True),
    "supply_temperature": ("sensor", "28.0", True),
    "return_temperature": ("sensor", "28.1", True),
    "last_report": ("sensor", "2024-05-28T07:29:41+00:00", True),
    "opening": ("sensor", "100", False),
    "temperature_difference": ("sensor", "-0.1", False),
    "set_point_1": ("sensor", "22.0", False),
    "set_point_2": ("sensor", "22.0", False),
    "running_time": ("sensor", "29.1", False),  # 1 d 5 h 06 min = 1746 min = 29.1 h
    # 2024-05-26 21:21:00 against 2024-05-28 15:29:41: 42 h 8 min 41 s slow.
    "clock_drift": ("sensor", str(-(42 * 3600 + 8 * 60 + 41)), False),
    "room_unit": ("sensor", "12227310", False),
    "status": ("sensor", "64", False),
}
EXPECTED = {
    **{f"{GATEWAY_ID}_{key}": row for key, row in GATEWAY_STATES.items()},
    **{f"{GATEWAY_ID}_{CABINET}_{key}": row for key, row in CABINET_STATES.items()},
    **{f"{GATEWAY_ID}_{VALVE}_{key}": row for key, row in VALVE_STATES.items()},
}

REPORT_A = (
    "685323227310001111812D901F011073221201DC00DC0055640A28006F33000064011801196201050630055020"
    "00B42300212126052420407216"
)


async def deliver_all(hass: HomeAssistant, link: FakeLink) -> None:
    link.deliver(captured("status_reply"))
    link.deliver(captured("settings_reply"))
    link.deliver(captured("cabinet_report"))
    link.deliver(report(f"{VALVE}200800", REPORT_A))
    await hass.async_block_till_done()


@pytest.fixture
async def at_capture(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Stand at the time and place of the capture."""
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to(RECEIVED)


@pytest.mark.usefixtures("at_capture", "all_entities_enabled")
async def test_every_state_of_the_captured_messages(hass: HomeAssistant, link: FakeLink) -> None:
    entry = make_entry()
    await set_up(hass, entry)
    await deliver_all(hass, link)

    registry = er.async_get(hass)
    found = {}
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        state = hass.states.get(entity.entity_id)
        assert state is not None, entity.entity_id
        found[entity.unique_id] = (entity.domain, state.state)
    assert found == {key: row[:2] for key, row in EXPECTED.items()}
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("all_entities_enabled")
async def test_a_signal_index_that_the_modem_knows(hass: HomeAssistant, link: FakeLink) -> None:
    entry = make_entry()
    await set_up(hass, entry)
    for pair, state in ((b"20,99", "20"), (b"99,99", STATE_UNKNOWN), (b"31,0", "31")):
        link.deliver(captured("status_reply").replace(b"99,99", pair))
        await hass.async_block_till_done()
        assert hass.states.is_state("sensor.building_3_signal_quality_index_csq", state)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_no_more_meters_than_a_bus_can_have(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gateway = entry.runtime_data.gateway
    monkeypatch.setattr(coordinator, "MAX_METERS", 1)
    link.deliver(captured("cabinet_report"))
    for _ in range(2):
        link.deliver(report(f"{VALVE}200800", REPORT_A))
    assert list(gateway.meters) == [CABINET]
    assert gateway.client.refusals.counts == {(VALVE, RefusalReason.FRAME_LAYOUT): 2}
    assert caplog.text.count("more than 1 meters") == 1

    monkeypatch.setattr(coordinator, "MAX_METERS", 2)
    link.deliver(report(f"{VALVE}200800", REPORT_A))
    assert list(gateway.meters) == [CABINET, VALVE]


@pytest.mark.usefixtures("at_capture")
async def test_which_entities_are_enabled_by_default(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    await deliver_all(hass, link)
    registry = er.async_get(hass)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    assert {entity.unique_id: not entity.disabled for entity in entities} == {
        key: row[2] for key, row in EXPECTED.items()
    }


@pytest.mark.usefixtures("at_capture", "all_entities_enabled")
async def test_long_term_statistics_only_where_history_is_worth_its_rows(
    hass: HomeAssistant, link: FakeLink
) -> None:
    entry = make_entry()
    await set_up(hass, entry)
    await deliver_all(hass, link)

    registry = er.async_get(hass)
    with_statistics: dict[str, set[str]] = {}
    for entity in er.async_entries_for_config_entry(registry, entry.entry_id):
        state = hass.states.get(entity.entity_id)
        assert state is not None
        if "state_class" in state.attributes:
            owner, _, key = entity.unique_id.removeprefix(f"{GATEWAY_ID}_").partition("_")
            if owner in (CABINET, VALVE):
                with_statistics.setdefault(owner, set()).add(key)
    assert with_statistics == {
        CABINET: {
            "heat_energy",
            "volume",
            "volume_flow_rate",
            "supply_temperature",
            "return_temperature",
            "thermal_power",
            "opening",
            "second_energy",
            "second_volume",
        },
        VALVE: {"supply_temperature", "return_temperature", "opening"},
    }
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.usefixtures("at_capture")
async def test_devices_and_names(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    await deliver_all(hass, link)
    registry = dr.async_get(hass)
    devices = {
        device.serial_number: device
        for device in dr.async_entries_for_config_entry(registry, entry.entry_id)
    }
    gateway, cabinet, valve = devices[GATEWAY_ID], devices[CABINET], devices[VALVE]
    assert (gateway.name, gateway.sw_version) == ("Building 3", "V1.0")
    assert (cabinet.name, cabinet.via_device_id) == (f"Cabinet {CABINET}", gateway.id)
    assert (valve.name, valve.via_device_id) == (f"Valve {VALVE}", gateway.id)
    assert cabinet.identifiers == {(DOMAIN, f"{GATEWAY_ID}_{CABINET}")}

    names = {
        state.entity_id: state.attributes["friendly_name"]
        for state in hass.states.async_all()
        if state.entity_id.startswith(("valve.", "binary_sensor."))
    }
    assert names[f"valve.valve_{VALVE}"] == f"Valve {VALVE}"
    assert names[f"valve.cabinet_{CABINET}_valve"] == f"Cabinet {CABINET} Valve"
    assert names["binary_sensor.building_3_connectivity"] == "Building 3 Connectivity"


async def test_a_device_is_registered_once(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    registry = dr.async_get(hass)
    with patch.object(
        registry, "async_get_or_create", wraps=registry.async_get_or_create
    ) as registered:
        await deliver_all(hass, link)
        assert [call.kwargs["serial_number"] for call in registered.call_args_list] == [
            CABINET,
            VALVE,
        ]
        registered.reset_mock()
        await hass.config_entries.async_reload(entry.entry_id)
        await hass.async_block_till_done()
        assert [call.kwargs["serial_number"] for call in registered.call_args_list] == [
            GATEWAY_ID,
            CABINET,
            VALVE,
        ]


MOST_ATTRIBUTES = 42
"""A dictionary with more takes twice the memory: 800 bytes more for each entity."""


@pytest.mark.usefixtures("all_entities_enabled")
async def test_what_an_entity_keeps_fits_into_the_smaller_dictionary(
    hass: HomeAssistant, link: FakeLink
) -> None:
    entry = make_entry()
    await set_up(hass, entry)
    await deliver_all(hass, link)
    await deliver_all(hass, link)
    kept = {
        entity_id: len(vars(entity))
        for platform in async_get_platforms(hass, DOMAIN)
        for entity_id, entity in platform.entities.items()
    }
    assert len(kept) == len(EXPECTED)
    assert {each: count for each, count in kept.items() if count > MOST_ATTRIBUTES} == {}
    await hass.config_entries.async_unload(entry.entry_id)


async def test_an_unknown_device_shows_its_frame(
    hass: HomeAssistant,
    link: FakeLink,
    entry: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # A water meter by the standard (T=10), read reply, two data bytes:
    # 68 10 12345678001111 81 05 901F00 AABB; in hex the sum runs 68+10 = 78, with the address
    # 1AE, with 81 and 05 234, with 90 1F 00 2E3, with AA BB 448: CS is 48.
    frame = "6810123456780011118105901F00AABB4816"
    link.deliver(report("12345678300900", frame))
    link.deliver(report("12345678300900", frame))
    await hass.async_block_till_done()

    state = hass.states.get("sensor.unknown_device_12345678_last_report")
    assert state is not None
    assert state.attributes["raw_frame"] == frame
    told = [record for record in caplog.records if frame in record.getMessage()]
    assert len(told) == 1, "the log says once how to report it"
    assert "report this frame" in told[0].getMessage()


async def test_a_report_writes_only_what_changed(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry, freezer: FrozenDateTimeFactory
) -> None:
    freezer.move_to("2026-11-01T08:00:00.100000+00:00")
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    written: list[str] = []
    for kind in ("state_changed", "state_reported"):
        hass.bus.async_listen(
            kind, lambda event: written.append(event.data["entity_id"]), callback(lambda _: True)
        )

    freezer.tick(0.8)  # the same again within the second that its state has
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert written == []
    freezer.tick(0.2)
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert written == [f"sensor.cabinet_{CABINET}_last_report"]
