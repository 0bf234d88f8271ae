"""The shortcuts of reports that are right in everything say what the long way says.

Each is compared with the way that looks at every part by itself: over the mutated payloads of
`test_fuzz`, over reports with one thing changed, and over whatever hypothesis comes up with.
"""

from datetime import datetime
from fractions import Fraction
from itertools import islice
import json
import random

from hypothesis import example, given, strategies as st
import pytest

from custom_components.hy_heating.hyheat import envelope, fields, intake
from custom_components.hy_heating.hyheat.devices import (
    CABINET,
    DEVICES,
    HOUSEHOLD_VALVE,
    DeviceSpec,
    plain_report,
    report_frame,
    to_reading,
)
from custom_components.hy_heating.hyheat.envelope import Message, Report
from custom_components.hy_heating.hyheat.errors import EnvelopeError, FrameError
from custom_components.hy_heating.hyheat.fields import CLOCK, Layout
from custom_components.hy_heating.hyheat.frame import from_hex, scan
from custom_components.hy_heating.hyheat.intake import contents_of
from custom_components.hy_heating.hyheat.model import MeterAddress, MeterReading, Register, Value
from custom_components.hy_heating.hyheat.plausibility import _continues
from tests.vectors import GATEWAY_ID, frame_bytes, message as captured

from .test_fuzz import changed_frame, payloads

NUMBERS = {CABINET.key: "27100583", HOUSEHOLD_VALVE.key: "23227310"}
FRAMES = {
    CABINET.key: frame_bytes("cabinet_report"),
    HOUSEHOLD_VALVE.key: frame_bytes("valve_report_A"),
}
SPECS = pytest.mark.parametrize("spec", DEVICES.values(), ids=DEVICES)


# --- The envelope ----------------------------------------------------------------------------


CAPTURED = [captured("cabinet_report"), captured("valve_report")]


def long_way(payload: bytes, gateway_id: str) -> Message | str:
    try:
        parsed = envelope._parse_json(payload, json.loads)
        return envelope._message(*envelope._open(parsed, gateway_id), envelope._FROM_GATEWAY)
    except EnvelopeError as err:
        return str(err.reason)


def same_envelope(payload: bytes, gateway_id: str = GATEWAY_ID) -> bool:
    """Compare both ways; return whether the short one was taken."""
    short = envelope._captured_report(payload, gateway_id)
    if short is not None:
        assert short == long_way(payload, gateway_id)
    return short is not None


def test_mutated_messages() -> None:
    taken = sum(same_envelope(payload) for payload in islice(payloads(), 20_000))
    assert taken > 1000


@pytest.mark.parametrize("payload", CAPTURED)
def test_the_captured_form_takes_the_shortcut(
    payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = long_way(payload, GATEWAY_ID)
    monkeypatch.delattr(envelope, "_parse_json")  # the long way is closed
    assert envelope.decode_from_gateway(payload, GATEWAY_ID) == expected
    assert isinstance(expected, Report)


@pytest.mark.parametrize("payload", CAPTURED)
def test_every_byte_of_a_message_changed(payload: bytes) -> None:
    taken = 0
    for place in range(len(payload)):
        for byte in b'0A"\\,:[]{} \n\x00\xc3\xff':
            changed = bytearray(payload)
            changed[place] = byte
            taken += same_envelope(bytes(changed))
        assert not same_envelope(payload[:place])
        assert not same_envelope(payload[:place] + b" " + payload[place:])
    assert taken > 100  # digits of the frame and of the meter's id


def message(**changes: object) -> bytes:
    """Return a report with some of its values changed, whichever part they stand in."""
    gw: dict[str, object] = {"msg_id": 20, "msg_gw_pr": 0, "gw_id": GATEWAY_ID}
    data: dict[str, object] = {"meter_id": "27100583203400", "meter_data": ["68"]}
    for part in gw, data:
        part.update({key: value for key, value in changes.items() if key in part})
    return json.dumps({"gw": gw, "data": data}, separators=(",", ":")).encode()


JUNK: list[object] = [None, True, False, 0.0, 1, 20.0, "", "6"]
JUNK += [[], {}, ["68", "68"], [68], [""], ["6 8"], ["\\u0036"], ['6"8'], ["６８"], "68"]
TEXTS = ["2710058320340", "27100583203400 ", "２７１００５８３２０３４００", "2710058320340a"]


@pytest.mark.parametrize("key", ["msg_id", "msg_gw_pr", "gw_id", "meter_id", "meter_data"])
@pytest.mark.parametrize("value", [*JUNK, *TEXTS, 2**53 + 1])
def test_one_value_changed(key: str, value: object) -> None:
    assert same_envelope(message())
    assert not same_envelope(message(**{key: value}))


@pytest.mark.parametrize("text", ["zz", "6", "FE68"])
def test_a_frame_of_anything_is_looked_at_by_the_next_layer(text: str) -> None:
    assert same_envelope(message(meter_data=[text]))


@pytest.mark.parametrize("gateway_id", ["02345678904", "0234567890", "a" * 11])
def test_another_gateway(gateway_id: str) -> None:
    assert not same_envelope(message(), gateway_id)
    assert not same_envelope(message(gw_id="a" * 11), gateway_id)
    assert same_envelope(message())  # what is remembered of a meter is its gateway's


def test_a_frame_that_fills_a_message_and_one_that_is_too_much() -> None:
    room = envelope.MAX_PAYLOAD_SIZE - len(message(meter_data=[""]))
    assert same_envelope(message(meter_data=["6" * room]))
    assert not same_envelope(message(meter_data=["6" * (room + 1)]))


# --- The frame -------------------------------------------------------------------------------


def closer_look(data: bytes, number: str, protocol_code: str) -> list[object]:
    """Return what `scan` and `to_reading` make of bytes that were reported by a meter."""
    said: list[object] = []
    for found in scan(data):
        try:
            if isinstance(found, FrameError):
                raise found
            said.append(
                to_reading(found, protocol_code) if found.meter_number == number else "address"
            )
        except FrameError as err:
            said.append(str(err.kind))
    return said


def same_frame(data: bytes, number: str, protocol_code: str) -> bool:
    """Compare both ways; return whether the short one was taken."""
    short = plain_report(data, number, protocol_code)
    if short is not None:
        assert closer_look(data, number, protocol_code) == [short]
    return short is not None


@SPECS
def test_captured_reports_take_the_shortcut(spec: DeviceSpec) -> None:
    raw, number = FRAMES[spec.key], NUMBERS[spec.key]
    for before in (b"", b"\xfe\xfe\xfe\xfe", b"\x00\x16"):
        assert same_frame(before + raw, number, spec.protocol_code)
    for changed in (raw + b"\x00", raw + raw, raw[:-1], raw[1:], b""):
        assert not same_frame(changed, number, spec.protocol_code)


@SPECS
def test_a_start_byte_inside_of_a_report_is_none(spec: DeviceSpec) -> None:
    changed = bytearray(FRAMES[spec.key])
    changed[13] = 0x68  # SER, which may be anything
    changed[-2] = sum(changed[:-2]) % 256
    for before in (b"", b"\xfe\xfe"):
        assert same_frame(before + bytes(changed), NUMBERS[spec.key], spec.protocol_code)


@SPECS
def test_a_report_of_one_frame_takes_the_shortcut(
    spec: DeviceSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter_id = envelope.MeterId(NUMBERS[spec.key], spec.protocol_code, 0)
    report = Report(GATEWAY_ID, meter_id, (FRAMES[spec.key].hex(),))
    monkeypatch.delattr(intake, "_closer_look")  # the long way is closed
    (content,) = intake.contents_of(report)
    assert isinstance(content, MeterReading)
    assert content.device == spec.key


@SPECS
def test_every_byte_changed_in_every_way(spec: DeviceSpec) -> None:
    raw, number = FRAMES[spec.key], NUMBERS[spec.key]
    for place in range(len(raw)):
        for bits in range(1, 256):
            changed = bytearray(raw)
            changed[place] ^= bits
            assert not same_frame(bytes(changed), number, spec.protocol_code)
            # The same with a checksum that is right again: most of these are reports.
            changed[-2] = sum(changed[:-2]) % 256
            same_frame(bytes(changed), number, spec.protocol_code)


def test_mutated_frames() -> None:
    rng, taken = random.Random(11), 0
    for _ in range(20_000):
        data = changed_frame(rng)
        for spec in DEVICES.values():
            taken += same_frame(data, NUMBERS[spec.key], spec.protocol_code)
    assert taken > 1000


@given(st.binary(max_size=90), st.sampled_from([*NUMBERS.values()]))
def test_any_bytes(data: bytes, number: str) -> None:
    for code in ("2034", "2008", "2035"):
        same_frame(data, number, code)


def test_a_report_of_several_frames_is_looked_at_one_by_one() -> None:
    texts = (FRAMES["cabinet"].hex(),) * 2
    report = Report(GATEWAY_ID, envelope.MeterId("27100583", "2034", 0), texts)
    assert list(contents_of(report)) == [
        reading for text in texts for reading in closer_look(from_hex(text), "27100583", "2034")
    ]


# --- The values ------------------------------------------------------------------------------


def one_by_one(layout: Layout, payload: bytes) -> dict[str, Value]:
    return {
        row.key: row.codec.decode(payload[row.offset : row.offset + row.width])
        for row in layout.fields
        if row.codec
    }


def with_types(values: dict[str, Value]) -> dict[str, tuple[type, Value]]:
    return {key: (type(value), value) for key, value in values.items()}


@SPECS
@given(st.data())
def test_values_of_any_payload(spec: DeviceSpec, data: st.DataObject) -> None:
    layout = spec.layout
    payload = data.draw(st.binary(min_size=layout.size, max_size=layout.size))
    expected = with_types(one_by_one(layout, payload))
    assert with_types(layout.decode(payload)) == expected
    assert with_types(layout.decode(b"\x68" * 5 + payload, 5)) == expected  # now remembered
    frame = report_frame(MeterAddress(spec.key, bytes(7)), 0, payload)
    reading = plain_report(frame.raw, "00000000", spec.protocol_code)
    assert reading is not None
    assert with_types(dict(reading.values)) == expected


def test_more_forms_than_are_remembered() -> None:
    layout = HOUSEHOLD_VALVE.layout
    payload = bytearray(layout.size)
    for form in [*range(fields._MAX_REMEMBERED * 2), *range(100)]:
        payload[19:21] = form.to_bytes(2)
        expected = form / 10 if form <= 2000 else None
        assert layout.decode(bytes(payload))["supply_temperature_c"] == expected


def test_no_more_forms_are_remembered_than_may_be() -> None:
    remembered = fields._Remembered(bytes.hex)
    for form in range(fields._MAX_REMEMBERED):
        assert remembered[form.to_bytes(2)] == f"{form:04x}"
    assert len(remembered) == fields._MAX_REMEMBERED
    assert remembered[b"\xff\xff"] == "ffff"
    assert len(remembered) == 1


DIGIT_PAIRS = st.integers(0, 99).map(lambda number: int(f"{number:02d}", 16))


@given(st.lists(DIGIT_PAIRS | st.integers(0, 255), min_size=7, max_size=7).map(bytes))
@example(bytes.fromhex("00002431122520"))  # midnight as hour 24
@example(bytes.fromhex("00000001010000"))  # the year 0
@example(bytes.fromhex("60595931122420"))
def test_clock(data: bytes) -> None:
    digits = data.hex()
    try:
        second, minute, hour, day, month, year, century = (
            int(digits[i : i + 2]) for i in range(0, 14, 2)
        )
        expected = datetime(century * 100 + year, month, day, hour, minute, second)  # noqa: DTZ001
    except ValueError:
        expected = None
    assert CLOCK.decode(data) == expected


# --- Registers in whole counts ---------------------------------------------------------------

STEPS = st.sampled_from([(1, 100), (10, 1), (25, 9)])
COUNTS = st.integers(-(10**8), 10**8)
REGISTERS = st.builds(lambda counts, step: Register(counts, *step), COUNTS, STEPS)


@given(REGISTERS, REGISTERS)
def test_at_least(one: Register, other: Register) -> None:
    assert one.at_least(other) is (one.exact >= other.exact)


@given(COUNTS, st.integers(0, 2000), st.integers(-3, 2000), STEPS, st.integers(0, 10**6))
def test_what_can_follow(
    base: int, passed: int, more: int, step: tuple[int, int], allowed: int
) -> None:
    first, last = Register(base, *step), Register(base + passed, *step)
    new = Register(base + passed + more, *step)
    digit = Fraction(*step)
    expected = more >= 0 and (passed + more) * digit <= digit + allowed
    assert _continues(last, first, new, float(allowed)) is expected
