"""The reports of the benchmark say what they are believed to say."""

from collections import Counter

from homeassistant.util.json import json_loads
import pytest

from bench.payloads import Meter, commanded_pct, gateway_id, meters
from custom_components.hy_heating.hyheat.devices import CABINET, HOUSEHOLD_VALVE
from custom_components.hy_heating.hyheat.envelope import decode_from_gateway
from custom_components.hy_heating.hyheat.intake import contents_of
from custom_components.hy_heating.hyheat.model import MeterReading


def read(meter: Meter, step: int) -> MeterReading:
    (reading,) = contents_of(decode_from_gateway(meter.payload(step), meter.gateway, json_loads))
    assert isinstance(reading, MeterReading)
    return reading


# Energy 45000 + 0.07 a step, flow 1000 + steps of 50, temperatures by 0.01 up to 1 K, opening by
# 0.1 % up to 80 %.
@pytest.mark.parametrize(
    ("step", "energy", "flow", "supply", "returned", "commanded"),
    [
        (0, 45_000.0, 1000, 52.5, 38.25, 10.0),
        (1, 45_000.07, 1001, 52.51, 38.26, 10.1),
        (49, 45_003.43, 1049, 52.99, 38.74, 14.9),
        (50, 45_003.5, 1000, 53.0, 38.75, 15.0),
        (100, 45_007.0, 1000, 52.5, 38.25, 20.0),
        (799, 45_055.93, 1049, 53.49, 39.24, 89.9),
        (800, 45_056.0, 1000, 52.5, 38.25, 10.0),
    ],
)
def test_a_cabinets_report(
    step: int, energy: float, flow: float, supply: float, returned: float, commanded: float
) -> None:
    values = read(Meter("00000000001", CABINET, "27100583"), step).values
    assert values["heat_energy_kwh"] == energy
    assert values["volume_m3"] == 3000.0
    assert values["flow_l_h"] == flow
    assert values["supply_temperature_c"] == supply
    assert values["return_temperature_c"] == returned
    assert values["commanded_opening_pct"] == commanded == commanded_pct(step)
    assert values["actual_opening_pct"] == 50.0


@pytest.mark.parametrize(
    ("step", "supply", "returned", "opening"),
    [
        (0, 40.0, 30.0, 20),
        (39, 43.9, 33.9, 59),
        (40, 44.0, 30.0, 60),
        (50, 40.0, 31.0, 70),
        (59, 40.9, 31.9, 79),
        (60, 41.0, 32.0, 20),
    ],
)
def test_a_household_valves_report(step: int, supply: float, returned: float, opening: int) -> None:
    values = read(Meter("00000000001", HOUSEHOLD_VALVE, "23200000"), step).values
    assert values["supply_temperature_c"] == supply
    assert values["return_temperature_c"] == returned
    assert values["opening_pct"] == opening


def test_a_report_comes_from_its_meter() -> None:
    meter = Meter("00000000002", CABINET, "27100583")
    message = json_loads(meter.payload(3))
    assert isinstance(message, dict)
    assert message["gw"] == {"msg_id": 20, "msg_gw_pr": 0, "gw_id": "00000000002"}
    reading = read(meter, 3)
    assert reading.device == CABINET.key
    assert reading.address == bytes.fromhex("27100583001111")


def test_every_cabinets_report_changes_five_values() -> None:
    # All but the power, which Home Assistant gets from flow and temperatures.
    meter = Meter("00000000001", CABINET, "27100583")
    before, after = read(meter, 8).values, read(meter, 9).values
    assert {key for key in before if before[key] != after[key]} == {
        "heat_energy_kwh",
        "flow_l_h",
        "supply_temperature_c",
        "return_temperature_c",
        "commanded_opening_pct",
    }


@pytest.mark.parametrize(
    ("count", "gateways", "cabinets", "valves"),
    [(5, 1, 5, 0), (101, 1, 5, 96), (1010, 10, 50, 960), (10_100, 100, 500, 9600)],
)
def test_how_many_meters_there_are(count: int, gateways: int, cabinets: int, valves: int) -> None:
    found = meters(count)
    kinds = Counter(meter.spec.key for meter in found)
    assert len(found) == count
    assert kinds[CABINET.key] == cabinets
    assert kinds[HOUSEHOLD_VALVE.key] == valves
    assert {meter.gateway for meter in found} == {
        f"{number:011d}" for number in range(1, gateways + 1)
    }
    assert len({meter.number for meter in found}) == count


def test_numbers_go_on_from_gateway_to_gateway() -> None:
    second = [meter for meter in meters(202) if meter.gateway == "00000000002"]
    assert [meter.number for meter in second[:6]] == [
        "27100005",
        "27100006",
        "27100007",
        "27100008",
        "27100009",
        "23200096",
    ]
    assert second[-1].number == "23200191"


def test_the_id_of_a_gateway_has_eleven_digits() -> None:
    assert gateway_id(7) == "00000000007"
    assert gateway_id(10_000) == "00000010000"
