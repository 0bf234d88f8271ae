"""The device types: what their frames say and how their commands are built.

Expected values come from docs/PROTOCOL.md, sections 4 to 6.
"""

import ast
from dataclasses import replace
from datetime import datetime
import importlib
from pathlib import Path
import pkgutil

import pytest

from custom_components.hy_heating.hyheat import devices
from custom_components.hy_heating.hyheat.devices import (
    CABINET,
    DEVICES,
    HOUSEHOLD_VALVE,
    DeviceSpec,
    Sample,
    describe,
    interpret,
    openings_shown,
    read_frame,
    report_frame,
    set_opening_frame,
    to_reading,
)
from custom_components.hy_heating.hyheat.errors import FrameError, FrameErrorKind, RequestError
from custom_components.hy_heating.hyheat.fields import (
    VOLUME,
    Grade,
    Layout,
    quantity,
    value_field,
)
from custom_components.hy_heating.hyheat.frame import Frame, build, parse
from custom_components.hy_heating.hyheat.model import (
    ErrorReply,
    MeterAddress,
    MeterReading,
    ReadFrame,
    SetOpeningFrame,
    SetOpeningReply,
    UnknownReading,
)
from tests.vectors import frame_bytes

CABINET_ADDRESS = bytes.fromhex("27100583001111")
VALVE_ADDRESS = bytes.fromhex("23227310001111")
CABINET_METER = MeterAddress("cabinet", CABINET_ADDRESS)
VALVE_METER = MeterAddress("valve", VALVE_ADDRESS)

DECLARED = [(spec, sample) for spec in DEVICES.values() for sample in spec.samples]


def report(spec: DeviceSpec, changes: dict[int, str]) -> MeterReading:
    """Return the reading of a device's first sample with some bytes after SER changed."""
    payload = bytearray(parse(spec.samples[0].hex).payload)
    for offset, data in changes.items():
        part = bytes.fromhex(data)
        payload[offset : offset + len(part)] = part
    frame = report_frame(MeterAddress(spec.key, bytes(7)), 0, bytes(payload))
    reading = to_reading(parse(frame.raw))
    assert isinstance(reading, MeterReading)
    return reading


def layout_error(frame: Frame, protocol_code: str | None = None) -> FrameError:
    with pytest.raises(FrameError) as caught:
        interpret(frame, protocol_code)
    assert caught.value.kind is FrameErrorKind.LAYOUT
    return caught.value


WATER_METER = DeviceSpec(
    key="water_meter",
    name="water meter",
    type_code=0x11,
    protocol_code="2011",
    layout=Layout(
        5, (value_field(0, "volume_m3", quantity(VOLUME, written_as=0x2C), Grade.STANDARD, "v"),)
    ),
    samples=(),
)
"""A made-up device without a valve: 12345.67 m3 would be written 67 45 23 01 and unit 2C."""


@pytest.fixture
def water_meter(monkeypatch: pytest.MonkeyPatch) -> MeterAddress:
    monkeypatch.setitem(DEVICES, WATER_METER.key, WATER_METER)
    monkeypatch.setitem(devices._BY_TYPE_CODE, WATER_METER.type_code, WATER_METER)
    return MeterAddress(WATER_METER.key, bytes.fromhex("12345678001111"))


class TestADeviceWithoutAValve:
    def test_its_report_is_read(self, water_meter: MeterAddress) -> None:
        frame = report_frame(water_meter, 0, bytes.fromhex("674523012C"))
        reading = to_reading(parse(frame.raw))
        assert isinstance(reading, MeterReading)
        assert reading.values == {"volume_m3": 12345.67}
        assert openings_shown(reading) == ()

    def test_it_cannot_be_told_to_move(self, water_meter: MeterAddress) -> None:
        with pytest.raises(RequestError, match="a water meter has no valve"):
            set_opening_frame(water_meter, 50)

    def test_a_command_to_move_says_nothing(self, water_meter: MeterAddress) -> None:
        layout_error(build(0x11, water_meter.address, 0x04, bytes.fromhex("A0190032")))


class TestSamples:
    @pytest.mark.parametrize(
        ("spec", "sample"), DECLARED, ids=[f"{spec.key}-{sample.name}" for spec, sample in DECLARED]
    )
    def test_says_what_it_declares(self, spec: DeviceSpec, sample: Sample) -> None:
        frame = parse(sample.hex)
        assert frame.raw.hex().upper() == sample.hex
        assert frame.device_type == spec.type_code
        assert describe(frame) == sample.expected
        assert sample.source

    def test_every_declared_sample_is_run(self) -> None:
        """What looks like a frame in the sources is a sample, and every sample was run above."""
        written = []
        for module in pkgutil.iter_modules(devices.__path__):
            source = Path(devices.__path__[0], f"{module.name}.py").read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value.upper()
                    if len(text) >= 2 * 13 and not set(text) - set("0123456789ABCDEF"):
                        written.append(text)
        run = [sample.hex for _, sample in DECLARED]
        assert sorted(written) == sorted(run)
        assert len(run) == len(set(run)) == 19

    def test_every_device_type_is_registered(self) -> None:
        found = {
            id(value)
            for module in pkgutil.iter_modules(devices.__path__, f"{devices.__name__}.")
            for value in vars(importlib.import_module(module.name)).values()
            if isinstance(value, DeviceSpec)
        }
        assert found == {id(spec) for spec in DEVICES.values()}
        assert [*DEVICES] == [spec.key for spec in DEVICES.values()] == ["cabinet", "valve"]

    def test_codes_are_unique(self) -> None:
        specs = DEVICES.values()
        assert {spec.type_code for spec in specs} == {0x55, 0x53}
        assert {spec.protocol_code for spec in specs} == {"2034", "2008"}

    @pytest.mark.parametrize("spec", DEVICES.values(), ids=lambda spec: spec.key)
    def test_every_field_is_seen_with_a_value(self, spec: DeviceSpec) -> None:
        seen = {
            key
            for sample in spec.samples
            for key, value in sample.expected.items()
            if value is not None
        }
        assert {row.key for row in spec.layout.fields if row.key} <= seen

    @pytest.mark.parametrize("spec", DEVICES.values(), ids=lambda spec: spec.key)
    def test_every_kind_of_frame_is_seen(self, spec: DeviceSpec) -> None:
        kinds = {type(interpret(parse(sample.hex))) for sample in spec.samples}
        moves = {SetOpeningFrame, SetOpeningReply} if spec.opening else set()
        assert kinds == {MeterReading, ErrorReply, ReadFrame} | moves

    @pytest.mark.parametrize(("spec", "size"), [(CABINET, 56), (HOUSEHOLD_VALVE, 42)])
    def test_every_byte_is_accounted_for_once(self, spec: DeviceSpec, size: int) -> None:
        covered = [
            offset
            for row in spec.layout.fields
            for offset in range(row.offset, row.offset + row.width)
        ]
        assert covered == list(range(size))
        for row in spec.layout.fields:
            assert bool(row.key) == (row.codec is not None) == (row.grade is not Grade.UNIDENTIFIED)
            assert row.codec is None or row.codec.width == row.width

    @pytest.mark.parametrize("spec", DEVICES.values(), ids=lambda spec: spec.key)
    def test_a_report_can_be_written_back(self, spec: DeviceSpec) -> None:
        reports = [parse(sample.hex) for sample in spec.samples if "report" in sample.name]
        assert reports
        for frame in reports:
            values = spec.layout.decode(frame.payload)
            assert spec.layout.encode(values, frame.payload) == frame.payload

    def test_proof_fields_are_fields(self) -> None:
        assert CABINET.proof_fields == ("commanded_opening_pct", "actual_opening_pct")
        assert HOUSEHOLD_VALVE.proof_fields == ("opening_pct",)
        for spec in DEVICES.values():
            assert set(spec.proof_fields) <= {row.key for row in spec.layout.fields}


class TestCabinetReport:
    def test_reading(self) -> None:
        reading = to_reading(parse(frame_bytes("cabinet_report")), "2034")
        assert isinstance(reading, MeterReading)
        assert (reading.device, reading.meter_number) == ("cabinet", "27100583")
        assert (reading.control, reading.di, reading.ser) == (0x81, 0x901F, 0)
        assert reading.address == CABINET_ADDRESS
        assert reading.frame == frame_bytes("cabinet_report")
        assert reading.number("heat_energy_kwh") == 45323.12

    @pytest.mark.parametrize(
        ("changes", "key", "value"),
        [
            # One invalid digit makes its own value unknown and no other.
            ({0: "FFFFFFFFFF"}, "heat_energy_kwh", None),
            ({0: "122A5304"}, "heat_energy_kwh", None),
            ({4: "06"}, "heat_energy_kwh", None),
            ({4: "08"}, "heat_energy_kwh", 45323120),  # the same digits as 45323.12 MWh
            ({0: "3600000011"}, "heat_energy_kwh", 100.0),  # 0.36 GJ
            ({5: "3412000032"}, "flow_l_h", 1234),
            ({5: "3412000035"}, "flow_l_h", 123.4),
            ({5: "3412000033"}, "flow_l_h", None),
            ({14: "2C"}, "volume_m3", 3456.78),  # 3456.78 m³ either way
            ({14: "2B"}, "volume_m3", None),
            ({15: "FFFFFF"}, "supply_temperature_c", None),
            ({15: "000002"}, "supply_temperature_c", 200.0),
            ({15: "010002"}, "supply_temperature_c", None),  # 200.01 °C
            ({18: "000000"}, "return_temperature_c", 0.0),
            ({21: "0100000005"}, "second_energy_kwh", 0.01),
            ({26: "010000002C"}, "second_volume_m3", 0.01),
            ({35: "F6FF"}, "set_point_1", -1.0),  # two's complement
            ({37: "FFFF"}, "set_point_2", None),
            ({41: "E903"}, "commanded_opening_pct", None),  # 100.1 %
            ({43: "0000"}, "actual_opening_pct", 0.0),
            ({43: "F401"}, "actual_opening_pct", 50.0),
            ({55: "FF"}, "status", None),
            ({55: "00"}, "status", 0),
        ],
    )
    def test_each_field_on_its_own(
        self, changes: dict[int, str], key: str, value: float | None
    ) -> None:
        usual, changed = report(CABINET, {}).values, report(CABINET, changes).values
        assert changed[key] == value
        assert {k: v for k, v in changed.items() if k != key} == {
            k: v for k, v in usual.items() if k != key
        }

    @pytest.mark.parametrize("offset", [*range(31, 35), 39, 40, *range(45, 55)])
    def test_unidentified_bytes_change_nothing(self, offset: int) -> None:
        assert report(CABINET, {offset: "A5"}).values == report(CABINET, {}).values

    def test_both_openings_prove(self) -> None:
        assert openings_shown(report(CABINET, {})) == (100.0, 100.0)
        assert openings_shown(report(CABINET, {43: "F401"})) == (100.0, 50.0)
        assert openings_shown(report(CABINET, {41: "FFFF"})) == (None, 100.0)


class TestHouseholdValveReport:
    def test_reading(self) -> None:
        reading = to_reading(parse(frame_bytes("valve_report_A")), "2008")
        assert isinstance(reading, MeterReading)
        assert (reading.device, reading.meter_number) == ("valve", "23227310")
        assert reading.values["device_clock"] == datetime(2024, 5, 26, 21, 21)  # noqa: DTZ001
        assert reading.number("device_clock") is None
        assert reading.number("no_such_field") is None

    @pytest.mark.parametrize(
        ("changes", "key", "value"),
        [
            ({0: "FF732212"}, "room_unit_number", None),
            ({0: "01000000"}, "room_unit_number", "00000001"),
            ({5: "38FF"}, "set_point_1_c", -20.0),  # FF38 = 65336 - 65536 = -200
            ({7: "E903"}, "set_point_2_c", None),  # 100.1 °C
            ({9: "99"}, "valve_state", "closed"),
            ({9: "56"}, "valve_state", None),
            ({10: "00"}, "opening_pct", 0),
            ({10: "65"}, "opening_pct", None),  # 101 %
            ({10: "FF"}, "opening_pct", None),
            ({19: "FFF6"}, "supply_temperature_c", -1.0),
            ({19: "FFFF"}, "supply_temperature_c", None),
            ({21: "07D0"}, "return_temperature_c", 200.0),
            ({21: "07D1"}, "return_temperature_c", None),
            ({21: "FE6F"}, "return_temperature_c", None),  # -40.1 °C
            ({24: "001800"}, "running_time_min", None),
            ({38: "13"}, "device_clock", None),  # month 13
            ({41: "00"}, "status", 0),
        ],
    )
    def test_each_field_on_its_own(self, changes: dict[int, str], key: str, value: object) -> None:
        usual, changed = report(HOUSEHOLD_VALVE, {}).values, report(HOUSEHOLD_VALVE, changes).values
        assert changed[key] == value
        assert {k: v for k, v in changed.items() if k != key} == {
            k: v for k, v in usual.items() if k != key
        }

    @pytest.mark.parametrize("offset", [4, *range(11, 19), 23, *range(27, 34)])
    def test_unidentified_bytes_change_nothing(self, offset: int) -> None:
        assert report(HOUSEHOLD_VALVE, {offset: "A5"}).values == report(HOUSEHOLD_VALVE, {}).values

    def test_the_opening_proves(self) -> None:
        assert openings_shown(report(HOUSEHOLD_VALVE, {})) == (100,)
        assert openings_shown(report(HOUSEHOLD_VALVE, {10: "FF"})) == (None,)


class TestCommands:
    @pytest.mark.parametrize(
        ("meter", "opening_pct", "vector"),
        [
            (CABINET_METER, 0, "cabinet_set_0"),
            (CABINET_METER, 50, "cabinet_set_50"),
            (CABINET_METER, 100, "cabinet_set_100"),
            (VALVE_METER, 0, "valve_set_0"),
            (VALVE_METER, 50, "valve_set_50"),
            (VALVE_METER, 100, "valve_set_100"),
        ],
    )
    def test_set_opening(self, meter: MeterAddress, opening_pct: int, vector: str) -> None:
        frame = set_opening_frame(meter, opening_pct)
        assert frame.encode() == frame_bytes(vector)
        assert interpret(parse(frame.raw)) == SetOpeningFrame(
            meter.device, meter.address, opening_pct
        )

    @pytest.mark.parametrize("opening_pct", range(101))
    def test_every_opening(self, opening_pct: int) -> None:
        # 1 % is 10 in two bytes for the cabinet and 1 in one byte for the valve.
        cabinet = set_opening_frame(CABINET_METER, opening_pct)
        assert cabinet.data == b"\x90\x2f\x01" + (10 * opening_pct).to_bytes(2, "little")
        valve = set_opening_frame(VALVE_METER, opening_pct)
        assert valve.data == b"\xa0\x19\x00" + bytes((opening_pct,))

    @pytest.mark.parametrize("opening_pct", [-1, 101, 100.1, float("nan"), float("inf"), True])
    @pytest.mark.parametrize("meter", [CABINET_METER, VALVE_METER], ids=lambda meter: meter.device)
    def test_no_other_opening(self, meter: MeterAddress, opening_pct: float) -> None:
        with pytest.raises(RequestError):
            set_opening_frame(meter, opening_pct)

    @pytest.mark.parametrize(
        ("meter", "vector"), [(CABINET_METER, "cabinet_read"), (VALVE_METER, "valve_read")]
    )
    def test_read(self, meter: MeterAddress, vector: str) -> None:
        frame = read_frame(meter)
        assert frame.encode() == frame_bytes(vector)
        assert interpret(frame) == ReadFrame(meter.device, meter.address)

    def test_an_address_that_is_none(self) -> None:
        with pytest.raises(RequestError):
            read_frame(MeterAddress("cabinet", bytes(6)))
        assert CABINET_METER.meter_number == "27100583"
        assert CABINET_METER.port == 0

    @pytest.mark.parametrize(
        ("frame_hex", "opening"),
        [
            ("902F01 E903", None),  # 100.1 %: a command, but for no opening that there is
            ("902F01 FFFF", None),
            ("902F01 F401", 50.0),
        ],
    )
    def test_a_command_with_a_value_that_is_none(
        self, frame_hex: str, opening: float | None
    ) -> None:
        frame = build(0x55, CABINET_ADDRESS, 0x16, bytes.fromhex(frame_hex))
        assert interpret(frame) == SetOpeningFrame("cabinet", CABINET_ADDRESS, opening)
        assert describe(frame) == {"device": "cabinet", "opening_pct": opening}


class TestReplies:
    def test_the_cabinet_does_not_echo(self) -> None:
        assert interpret(parse(frame_bytes("cabinet_set_reply"))) == SetOpeningReply(
            "cabinet", CABINET_ADDRESS, 0x96, 0x902F, 1, echoed=False
        )

    @pytest.mark.parametrize("opening_pct", [0, 50, 100])
    def test_the_valve_echoes(self, opening_pct: int) -> None:
        frame = parse(frame_bytes(f"valve_set_{opening_pct}_reply"))
        assert interpret(frame) == SetOpeningReply(
            "valve", VALVE_ADDRESS, 0x84, 0xA019, 0, echoed=True, opening_pct=opening_pct
        )

    def test_an_echo_that_is_no_opening(self) -> None:
        frame = build(0x53, VALVE_ADDRESS, 0x84, bytes.fromhex("A0190065"))  # 101 %
        assert describe(frame)["opening_pct"] is None

    @pytest.mark.parametrize(
        ("control", "data", "ser", "status", "command"),
        [
            (0xC1, "02", None, "02", 0x01),
            (0xC1, "0203", None, "0203", 0x01),
            (0xC4, "000200", 0, "0200", 0x04),
            (0xD6, "010200", 1, "0200", 0x16),
            (0xFF, "01020304", None, "01020304", 0x3F),
        ],
    )
    def test_errors(
        self, control: int, data: str, ser: int | None, status: str, command: int
    ) -> None:
        content = interpret(build(0x53, VALVE_ADDRESS, control, bytes.fromhex(data)))
        assert content == ErrorReply("valve", VALVE_ADDRESS, control, ser, bytes.fromhex(status))
        assert content.command_control == command

    def test_an_error_reply_without_a_status(self) -> None:
        error = layout_error(build(0x53, VALVE_ADDRESS, 0xC1, b""))
        assert (error.offset, error.expected, error.found) == (10, "a status byte or more", "none")


class TestUnknown:
    PAYLOAD = parse(frame_bytes("cabinet_report")).payload

    @pytest.mark.parametrize(
        ("frame", "protocol_code", "offset", "expected", "found"),
        [
            (
                build(0x54, CABINET_ADDRESS, 0x81, b"\x90\x1f\x00"),
                None,
                1,
                "a known device type",
                "54",
            ),
            (
                parse(frame_bytes("cabinet_report")),
                "2008",
                1,
                "the device type of protocol 2008",
                "cabinet",
            ),
            (
                build(0x55, bytes.fromhex("2A10FF83001111"), 0x81, b"\x90\x1f\x00" + PAYLOAD),
                None,
                2,
                "a meter number of 8 digits",
                "2A10FF83",
            ),
            (
                build(0x55, CABINET_ADDRESS, 0x81, b"\x90\x1f\x00" + PAYLOAD[:-1]),
                None,
                10,
                "L=3B",
                "L=3A",
            ),
            (
                build(0x55, CABINET_ADDRESS, 0x81, b"\x90\x1f\x00" + PAYLOAD + b"\x00"),
                None,
                10,
                "L=3B",
                "L=3C",
            ),
            (build(0x55, CABINET_ADDRESS, 0x81, b""), None, 10, "3 data bytes or more", "0"),
            (
                build(0x55, CABINET_ADDRESS, 0x01, b"\x90\x1f\x00\x00"),
                None,
                10,
                "L=03",
                "L=04",
            ),
            (
                build(0x55, CABINET_ADDRESS, 0x81, b"\x90\x20\x00"),
                None,
                9,
                "a known control and data identifier of a cabinet",
                "81 9020",
            ),
            (
                # A cabinet has no such command: it is the household valve's.
                build(0x55, CABINET_ADDRESS, 0x04, b"\xa0\x19\x00\x64"),
                None,
                9,
                "a known control and data identifier of a cabinet",
                "04 A019",
            ),
            (
                build(0x53, VALVE_ADDRESS, 0x84, b"\xa0\x19\x00"),
                None,
                10,
                "L=04",
                "L=03",
            ),
            (
                build(0x55, CABINET_ADDRESS, 0x96, b"\x90\x2f\x01\xe8\x03"),
                None,
                10,
                "L=03",
                "L=05",
            ),
        ],
    )
    def test_layout(
        self, frame: Frame, protocol_code: str | None, offset: int, expected: str, found: str
    ) -> None:
        error = layout_error(frame, protocol_code)
        assert (error.offset, error.expected, error.found) == (offset, expected, found)
        assert to_reading(frame, protocol_code) == UnknownReading(
            frame.device_type, frame.address, frame.raw
        )
        with pytest.raises(FrameError):
            describe(frame, protocol_code)

    def test_the_offset_counts_from_the_start_of_the_input(self) -> None:
        frame = parse(b"\xfe\xfe" + build(0x54, CABINET_ADDRESS, 0x81, b"").raw)
        assert layout_error(frame).offset == 3

    def test_the_number_of_an_unknown_device(self) -> None:
        unknown = to_reading(build(0x54, bytes.fromhex("2A10FF83001111"), 0x81, b""))
        assert isinstance(unknown, UnknownReading)
        assert unknown.meter_number == "2A10FF83"

    def test_no_report(self) -> None:
        with pytest.raises(FrameError) as caught:
            to_reading(parse(frame_bytes("valve_set_50_reply")))
        assert (caught.value.offset, caught.value.found) == (9, "control 84")
        assert isinstance(to_reading(parse(frame_bytes("valve_report_A"))), MeterReading)


def test_an_address_is_described_in_capital_letters() -> None:
    # Only the number, A0 to A3, is made of digits.
    meter = MeterAddress("valve", bytes.fromhex("23227310ABCDEF"))
    frame = report_frame(meter, 1, parse(frame_bytes("valve_report_A")).payload)
    assert describe(frame)["address"] == "23227310ABCDEF"


@pytest.mark.parametrize(
    ("spec", "size", "head"), [(CABINET, 72, "813B901F"), (HOUSEHOLD_VALVE, 58, "812D901F")]
)
def test_what_all_reports_of_a_device_share(spec: DeviceSpec, size: int, head: str) -> None:
    # As captured: control, length, data identifier; 11 bytes before the data and 2 behind them.
    made = replace(spec)
    assert (made.report_size, made.report_head.hex().upper()) == (size, head)
