"""The household valve: one per flat, 0-100 % (docs/PROTOCOL.md, section 5)."""

from ..fields import (
    CLOCK,
    RUNNING_TIME_MIN,
    Grade,
    Layout,
    bcd_text,
    choice,
    integer,
    unidentified,
    value_field,
)
from .spec import DeviceSpec, OpeningCommand, Sample

_SET_POINT = integer(2, divisor=10, signed=True, low=-40.0, high=100.0)
_TEMPERATURE = integer(2, "big", divisor=10, signed=True, low=-40.0, high=200.0)
_OPENING = integer(1, low=0, high=100)

# Which slot is supply and which return is not shown by any capture: the standard's order is
# assumed, and this is its only place.
_TEMPERATURE_KEYS = ("supply_temperature_c", "return_temperature_c")

_LAYOUT = Layout(
    42,
    (
        value_field(
            0, "room_unit_number", bcd_text(4), Grade.INFERRED, "number of the paired room unit"
        ),
        unidentified(4, 1),
        value_field(5, "set_point_1_c", _SET_POINT, Grade.INFERRED, "room set point 1", "°C"),
        value_field(7, "set_point_2_c", _SET_POINT, Grade.INFERRED, "room set point 2", "°C"),
        value_field(
            9, "valve_state", choice({0x55: "open", 0x99: "closed"}), Grade.STANDARD, "valve state"
        ),
        value_field(10, "opening_pct", _OPENING, Grade.STANDARD, "opening", "%"),
        unidentified(11, 3),
        unidentified(14, 3),
        unidentified(17, 2),
        value_field(
            19, _TEMPERATURE_KEYS[0], _TEMPERATURE, Grade.INFERRED, "supply temperature", "°C"
        ),
        value_field(
            21, _TEMPERATURE_KEYS[1], _TEMPERATURE, Grade.INFERRED, "return temperature", "°C"
        ),
        unidentified(23, 1),
        value_field(
            24, "running_time_min", RUNNING_TIME_MIN, Grade.INFERRED, "running time", "min"
        ),
        unidentified(27, 7),
        value_field(34, "device_clock", CLOCK, Grade.STANDARD, "device clock"),
        value_field(41, "status", integer(1), Grade.INFERRED, "status byte"),
    ),
)

_CAPTURED_VALUES = {
    "device": "valve",
    "address": "23227310001111",
    "meter_number": "23227310",
    "control": "81",
    "di": "901F",
    "ser": 1,
    "room_unit_number": "12227310",
    "set_point_1_c": 22.0,
    "set_point_2_c": 22.0,
    "valve_state": "open",
    "opening_pct": 100,
    "status": 64,
}

HOUSEHOLD_VALVE = DeviceSpec(
    key="valve",
    name="household valve",
    type_code=0x53,
    protocol_code="2008",
    layout=_LAYOUT,
    opening=OpeningCommand(control=0x04, di=0xA019, ser=0x00, codec=_OPENING, echoed=True),
    proof_fields=("opening_pct",),
    samples=(
        Sample(
            "report A",
            "685323227310001111812D901F011073221201DC00DC0055640A28006F330000640118"
            "0119620105063005502000B42300212126052420407216",
            _CAPTURED_VALUES
            | {
                "supply_temperature_c": 28.0,
                "return_temperature_c": 28.1,
                "running_time_min": 1746,
                "device_clock": "2024-05-26T21:21:00",
            },
            "captured 2024-05-28",
        ),
        Sample(
            "report C",
            "685323227310001111812D901F011073221201DC00DC0055640A28006F330000640123"
            "0125620102353005502000B42300081926052420409416",
            _CAPTURED_VALUES
            | {
                "supply_temperature_c": 29.1,
                "return_temperature_c": 29.3,
                "running_time_min": 1613,
                "device_clock": "2024-05-26T19:08:00",
            },
            "captured 2024-05-28",
        ),
        *(
            sample
            for opening, command_hex, reply_hex in (
                (0, "6853232273100011110404A01900006616", "6853232273100011118404A0190000E616"),
                (50, "6853232273100011110404A01900329816", "6853232273100011118404A01900321816"),
                (100, "6853232273100011110404A0190064CA16", "6853232273100011118404A01900644A16"),
            )
            for sample in (
                Sample(
                    f"set {opening} %",
                    command_hex,
                    {"device": "valve", "opening_pct": opening},
                    "captured 2024-05-28",
                ),
                Sample(
                    f"set {opening} % reply",
                    reply_hex,
                    {
                        "device": "valve",
                        "control": "84",
                        "di": "A019",
                        "ser": 0,
                        "opening_pct": opening,
                    },
                    "captured 2024-05-28",
                ),
            )
        ),
        Sample(
            "set error reply",
            "685323227310001111C4030002006E16",
            {"device": "valve", "control": "C4", "error": True, "ser": 0, "status": "0200"},
            "constructed from CJ/T 188-2004",
        ),
        Sample(
            "error reply of one byte",
            "685323227310001111C101026916",
            {"device": "valve", "control": "C1", "error": True, "status": "02"},
            "constructed: sources disagree on the length of an error reply",
        ),
        Sample(
            "read",
            "6853232273100011110103901F005816",
            {"device": "valve", "read": True},
            "constructed from CJ/T 188-2004",
        ),
    ),
)
