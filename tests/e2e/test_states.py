"""Every captured message on a real broker becomes the states that the vectors name."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from .house import House, position
from .mosquitto import Mosquitto
from .vectors import (
    CABINET,
    FRAMES,
    GATEWAY,
    MESSAGES,
    REPORTS,
    VALVE,
    payload,
    report,
    valve_report_an_hour_later,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTED_IN_LOG = (rf"{VALVE}.*checksum|checksum.*{VALVE}",)  # said once about the damaged report

TIME_ZONE = ZoneInfo("Asia/Shanghai")  # of the Home Assistant under test

type Row = tuple[str, str, Callable[[Any], object]]
"""Key of an entity, key of the vector's decoded value, and what the state must be."""


def same(value: object) -> object:
    return value


def minutes_as_hours(minutes: int) -> float:
    return minutes / 60


def millivolts_as_volts(millivolts: int) -> float:
    return millivolts / 1000


def on_or_off(value: bool) -> str:
    return "on" if value else "off"


def unknown_signal(csq: list[int]) -> str:
    assert csq == [99, 99]  # 99 is the modem's word for unknown
    return "unknown"


STATUS: tuple[Row, ...] = (
    ("csq", "csq", unknown_signal),
    ("rssi", "rssi_dbm", same),
    ("sinr", "sinr_db", same),
    ("iccid", "iccid", same),
    ("restarted", "has_reset", on_or_off),
    ("mbus_voltage", "mbus_mv", millivolts_as_volts),
    ("mbus_current", "mbus_ma", same),
    ("model_mode", "model", same),
    ("expected_cabinets", "cabinets", same),
    ("expected_valves", "valves", same),
)
SETTINGS: tuple[Row, ...] = (
    ("out_of_season_interval", "interval_out_of_season_min", same),
    ("season_start", "season_start", same),
    ("season_end", "season_end", same),
    ("cabinet_interval", "cabinet_interval_min", same),
    ("valve_interval", "valve_interval_min", same),
    ("in_season_statistics", "in_season_statistics", on_or_off),
)
CABINET_REPORT: tuple[Row, ...] = (
    ("heat_energy", "heat_energy_kwh", same),
    ("volume_flow_rate", "flow_l_h", same),
    ("volume", "volume_m3", same),
    ("supply_temperature", "supply_temperature_c", same),
    ("return_temperature", "return_temperature_c", same),
    ("second_energy", "second_energy_kwh", same),
    ("second_volume", "second_volume_m3", same),
    ("set_point_1", "set_point_1", same),
    ("set_point_2", "set_point_2", same),
    ("commanded_opening", "commanded_opening_pct", same),
    ("opening", "actual_opening_pct", same),
    ("status", "status", same),
)
VALVE_REPORT: tuple[Row, ...] = (
    ("room_unit", "room_unit_number", same),
    ("set_point_1", "set_point_1_c", same),
    ("set_point_2", "set_point_2_c", same),
    ("valve", "valve_state", same),
    ("opening", "opening_pct", same),
    ("status", "status", same),
    ("supply_temperature", "supply_temperature_c", same),
    ("return_temperature", "return_temperature_c", same),
    ("running_time", "running_time_min", minutes_as_hours),
)
NOT_A_STATE = {
    *("device", "address", "meter_number", "control", "di", "ser"),  # the frame's own
    "stat",  # the reply's own
    "firmware",  # the device's, asserted below
    "device_clock",  # only as drift, asserted below
}


def is_state(expected: object, state: dict[str, Any]) -> bool:
    """Whether a state says a value: numbers as numbers, so that 25 is 25.0."""
    if isinstance(expected, int | float) and state["state"] not in {"unknown", "unavailable"}:
        return float(state["state"]) == pytest.approx(expected)
    return bool(state["state"] == str(expected))


async def assert_states(
    house: House, prefix: str, rows: tuple[Row, ...], decoded: dict[str, Any]
) -> None:
    assert set(decoded) - NOT_A_STATE == {key for _, key, _ in rows}
    for entity, key, convert in rows:
        await house.wait_state(f"{prefix}_{entity}", partial(is_state, convert(decoded[key])))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(house: House, broker: Mosquitto) -> House:
    """Register the captured gateway, heard in the flow's window, with every entity enabled."""
    await house.add_heard_gateway(GATEWAY, "Captured", payload("cabinet_report"))
    await broker.publish(REPORTS, payload("cabinet_report"))
    await broker.publish(REPORTS, payload("valve_report"))
    await house.wait_state(f"{GATEWAY}_{VALVE}_valve", position(100))
    await house.enable_all_entities()
    return house


async def test_every_captured_message_and_every_decoded_value(
    gateway: House, broker: Mosquitto
) -> None:
    async with broker.client() as client:
        for message in MESSAGES.values():
            await client.publish(message["topic"], message["payload"], qos=1)

    await assert_states(gateway, GATEWAY, STATUS, MESSAGES["status_reply"]["decoded"])
    await assert_states(gateway, GATEWAY, SETTINGS, MESSAGES["settings_reply"]["decoded"])
    cabinet, valve = f"{GATEWAY}_{CABINET}", f"{GATEWAY}_{VALVE}"
    await assert_states(gateway, cabinet, CABINET_REPORT, FRAMES["cabinet_report"]["decoded"])
    await assert_states(gateway, valve, VALVE_REPORT, FRAMES["valve_report_C"]["decoded"])


async def test_what_follows_from_the_decoded_values(gateway: House) -> None:
    cabinet = f"{GATEWAY}_{CABINET}"
    await gateway.wait_state(f"{cabinet}_valve", position(100))
    # 28.87 °C - 28.93 °C; no flow, so no power, and never -0.
    await gateway.wait_state(f"{cabinet}_temperature_difference", partial(is_state, -0.06))
    power = await gateway.wait_state(f"{cabinet}_thermal_power", partial(is_state, 0))
    assert not power["state"].startswith("-")
    await gateway.wait_state(f"{GATEWAY}_connectivity", lambda state: state["state"] == "on")
    today = datetime.now(TIME_ZONE)
    in_season = (today.month, today.day) >= (9, 1) or (today.month, today.day) <= (5, 1)
    await gateway.wait_state(f"{GATEWAY}_heating_season", partial(is_state, on_or_off(in_season)))
    reporting = await gateway.wait_state(f"{GATEWAY}_meters_reporting", partial(is_state, 2))
    assert reporting["attributes"]["expected"] == 101  # 5 cabinets and 96 valves, it said


async def test_the_other_captured_frames(gateway: House, broker: Mosquitto) -> None:
    await broker.publish(REPORTS, report(f"{CABINET}203400", "cabinet_report_4min_later"))
    await broker.publish(REPORTS, report(f"{VALVE}200800", "valve_report_A"))

    decoded = FRAMES["valve_report_A"]["decoded"]
    await assert_states(gateway, f"{GATEWAY}_{VALVE}", VALVE_REPORT, decoded)
    later = FRAMES["cabinet_report_4min_later"]["decoded"]
    await assert_states(gateway, f"{GATEWAY}_{CABINET}", CABINET_REPORT, later)

    clock = datetime.fromisoformat(decoded["device_clock"]).replace(tzinfo=TIME_ZONE)
    last_report = await gateway.state(f"{GATEWAY}_{VALVE}_last_report")
    assert last_report
    drift_s = (clock - datetime.fromisoformat(last_report["state"])).total_seconds()
    drift = await gateway.wait_state(
        f"{GATEWAY}_{VALVE}_clock_drift", lambda state: state["state"] != "unavailable"
    )
    assert float(drift["state"]) == pytest.approx(drift_s, abs=2)


async def test_the_devices(gateway: House) -> None:
    devices = {device["serial_number"]: device for device in await gateway.api.devices()}
    assert set(devices) == {GATEWAY, CABINET, VALVE}
    told = MESSAGES["status_reply"]["decoded"]
    assert devices[GATEWAY]["sw_version"] == told["firmware"]
    assert {devices[CABINET]["via_device_id"], devices[VALVE]["via_device_id"]} == {
        devices[GATEWAY]["id"]
    }


async def test_a_damaged_report_changes_nothing_and_the_next_good_one_counts(
    gateway: House, broker: Mosquitto
) -> None:
    supply, valve = f"{GATEWAY}_{VALVE}_supply_temperature", f"{VALVE}200800"
    await gateway.wait_state(supply, partial(is_state, 28.0))
    for _ in range(2):
        await broker.publish(REPORTS, report(valve, "valve_report_bad_checksum"))
    # Messages arrive in order: once the cabinet's is there, the damaged ones were judged.
    before = await gateway.state(f"{GATEWAY}_{CABINET}_last_report")
    await asyncio.sleep(1.1)  # the state is in whole seconds
    await broker.publish(REPORTS, payload("cabinet_report"))
    await gateway.wait_state(f"{GATEWAY}_{CABINET}_last_report", lambda state: state != before)
    await gateway.wait_state(supply, partial(is_state, 28.0))

    await broker.publish(REPORTS, valve_report_an_hour_later())
    await gateway.wait_state(supply, partial(is_state, 29.1))
    warnings = [line for line in gateway.hass.log.splitlines() if "checksum" in line]
    assert len(warnings) == 1
