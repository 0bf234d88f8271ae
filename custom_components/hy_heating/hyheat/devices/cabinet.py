"""The cabinet: heat meter and regulating valve of a building (docs/PROTOCOL.md, section 4)."""

from ..fields import (
    ENERGY,
    VOLUME,
    VOLUME_FLOW_RATE,
    Grade,
    Layout,
    bcd,
    integer,
    quantity,
    unidentified,
    value_field,
)
from .spec import DeviceSpec, OpeningCommand, Sample

_TEMPERATURE = bcd(3, divisor=100, high=200.0)
_SET_POINT = integer(2, divisor=10, signed=True, low=-100.0, high=1000.0)
_OPENING = integer(2, divisor=10, low=0.0, high=100.0)

# Which of the two openings is the command and which the feedback is not shown by any capture:
# this order is an assumption, and this is its only place.
_OPENING_KEYS = ("commanded_opening_pct", "actual_opening_pct")

_LAYOUT = Layout(
    56,
    (
        value_field(
            0, "heat_energy_kwh", quantity(ENERGY, written_as=0x05), Grade.STANDARD, "heat energy"
        ),
        value_field(
            5,
            "flow_l_h",
            quantity(VOLUME_FLOW_RATE, written_as=0x32),
            Grade.INFERRED,
            "volume flow rate",
        ),
        value_field(10, "volume_m3", quantity(VOLUME, written_as=0x2A), Grade.INFERRED, "volume"),
        value_field(
            15, "supply_temperature_c", _TEMPERATURE, Grade.STANDARD, "supply temperature", "°C"
        ),
        value_field(
            18, "return_temperature_c", _TEMPERATURE, Grade.STANDARD, "return temperature", "°C"
        ),
        value_field(
            21,
            "second_energy_kwh",
            quantity(ENERGY, written_as=0x05),
            Grade.INFERRED,
            "second energy register (cooling)",
        ),
        value_field(
            26,
            "second_volume_m3",
            quantity(VOLUME, written_as=0x2C),
            Grade.INFERRED,
            "second volume register",
        ),
        unidentified(31, 4),
        value_field(35, "set_point_1", _SET_POINT, Grade.INFERRED, "set point 1"),
        value_field(37, "set_point_2", _SET_POINT, Grade.INFERRED, "set point 2"),
        unidentified(39, 2),
        value_field(41, _OPENING_KEYS[0], _OPENING, Grade.INFERRED, "commanded opening", "%"),
        value_field(43, _OPENING_KEYS[1], _OPENING, Grade.INFERRED, "actual opening", "%"),
        unidentified(45, 10),
        value_field(55, "status", integer(1), Grade.INFERRED, "status byte"),
    ),
)

_CAPTURED_VALUES = {
    "device": "cabinet",
    "address": "27100583001111",
    "meter_number": "27100583",
    "control": "81",
    "di": "901F",
    "ser": 0,
    "heat_energy_kwh": 45323.12,
    "flow_l_h": 0,
    "volume_m3": 3456.78,
    "supply_temperature_c": 28.87,
    "return_temperature_c": 28.93,
    "second_energy_kwh": 0.0,
    "second_volume_m3": 0.0,
    "set_point_1": 25.0,
    "set_point_2": 25.0,
    "commanded_opening_pct": 100.0,
    "actual_opening_pct": 100.0,
    "status": 64,
}

CABINET = DeviceSpec(
    key="cabinet",
    name="cabinet",
    type_code=0x55,
    protocol_code="2034",
    layout=_LAYOUT,
    opening=OpeningCommand(control=0x16, di=0x902F, ser=0x01, codec=_OPENING, echoed=False),
    # Both, because their order is an assumption.
    proof_fields=_OPENING_KEYS,
    counters=("heat_energy_kwh", "volume_m3", "second_energy_kwh", "second_volume_m3"),
    samples=(
        Sample(
            "report",
            "685527100583001111813B901F0012235304050000000032785634002A872800932800"
            "0000000005000000002C00000000FA00FA000000E803E8030000EA008185CB0123F7407316",
            _CAPTURED_VALUES,
            "captured 2024-05-28",
        ),
        Sample(
            "report, 4 min 26 s later",
            "685527100583001111813B901F0012235304050000000032785634002A872800932800"
            "0000000005000000002C00000000FA00FA000000E803E8030000EA000C85CB0123F740FE16",
            _CAPTURED_VALUES,
            "captured 2024-05-28, one digit repaired and confirmed by the checksum",
        ),
        Sample(
            "set 0 %",
            "6855271005830011111605902F0100007916",
            {"device": "cabinet", "opening_pct": 0},
            "captured 2024-05-28, repaired and confirmed by the checksum",
        ),
        Sample(
            "set 50 %",
            "6855271005830011111605902F01F4016E16",
            {"device": "cabinet", "opening_pct": 50},
            "captured 2024-05-28, repaired and confirmed by the checksum",
        ),
        Sample(
            "set 100 %",
            "6855271005830011111605902F01E8036416",
            {"device": "cabinet", "opening_pct": 100},
            "constructed by the pattern of the captured two",
        ),
        Sample(
            "set reply",
            "6855271005830011119603902F01F716",
            {"device": "cabinet", "control": "96", "di": "902F", "ser": 1},
            "captured 2024-05-28",
        ),
        Sample(
            "set error reply",
            "685527100583001111D6030102007A16",
            {"device": "cabinet", "control": "D6", "error": True, "ser": 1, "status": "0200"},
            "constructed from CJ/T 188-2004",
        ),
        Sample(
            "read",
            "6855271005830011110103901F005116",
            {"device": "cabinet", "read": True},
            "constructed from CJ/T 188-2004",
        ),
    ),
)
