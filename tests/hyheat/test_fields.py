"""Codecs, unit codes and the layout type (docs/PROTOCOL.md, sections 3 to 5)."""

from collections.abc import Callable
from datetime import datetime
import math

from hypothesis import given, strategies as st
import pytest

from custom_components.hy_heating.hyheat.devices import DEVICES
from custom_components.hy_heating.hyheat.errors import RequestError
from custom_components.hy_heating.hyheat.fields import (
    CLOCK,
    ENERGY,
    POWER,
    RUNNING_TIME_MIN,
    VOLUME,
    VOLUME_FLOW_RATE,
    Codec,
    Field,
    Grade,
    Layout,
    Quantity,
    bcd,
    bcd_text,
    choice,
    integer,
    quantity,
    unidentified,
    value_field,
)
from custom_components.hy_heating.hyheat.model import Register, Value

STATE = choice({0x55: "open", 0x99: "closed"})

# Every codec that stands in a layout or in a command, by where it stands.
USED = {
    f"{spec.key}.{row.key}": row.codec
    for spec in DEVICES.values()
    for row in spec.layout.fields
    if row.codec
} | {f"{spec.key}.set_opening": spec.opening.codec for spec in DEVICES.values() if spec.opening}


def at(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0
) -> datetime:
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - as on the wire


def decoded(codec: Codec, data: str) -> Value:
    raw = bytes.fromhex(data)
    assert len(raw) == codec.width
    return codec.decode(raw)


def refuses(codec: Codec, value: Value) -> None:
    with pytest.raises(RequestError):
        codec.encode(value)


class TestBcd:
    @pytest.mark.parametrize(
        ("codec", "data", "value"),
        [
            # Least-significant byte first: 872800 reads 002887, in hundredths.
            (bcd(3, divisor=100), "872800", 28.87),
            (bcd(3, divisor=100), "000000", 0.0),
            (bcd(3, divisor=100), "999999", 9999.99),
            (bcd(4, divisor=100), "12235304", 45323.12),
            (bcd(3, divisor=100, high=200.0), "000002", 200.0),
            (bcd(3, divisor=100, high=200.0), "010002", None),
            (bcd(3, divisor=100, low=0.5), "500000", 0.5),
            (bcd(3, divisor=100, low=0.5), "490000", None),
        ],
    )
    def test_values_and_limits(self, codec: Codec, data: str, value: Value) -> None:
        assert decoded(codec, data) == value

    @pytest.mark.parametrize("data", ["8A2800", "A72800", "872B00", "87280C", "8728F0", "FFFFFF"])
    def test_a_digit_that_is_none_makes_it_unknown(self, data: str) -> None:
        assert decoded(bcd(3, divisor=100), data) is None
        assert decoded(bcd(3, divisor=100), "872800") == 28.87

    @pytest.mark.parametrize("value", [-0.01, 10000.0, "1", None, True, math.nan, math.inf])
    def test_no_place(self, value: Value) -> None:
        refuses(bcd(3, divisor=100), value)
        assert bcd(3, divisor=100).encode(9999.99) == bytes.fromhex("999999")

    @pytest.mark.parametrize("value", [200.01, math.nan, -0.01])
    def test_outside_the_limits(self, value: Value) -> None:
        refuses(bcd(3, divisor=100, low=0.0, high=200.0), value)
        assert bcd(3, divisor=100, high=200.0).encode(200.0) == bytes.fromhex("000002")


class TestBcdText:
    def test_leading_zeros_stay(self) -> None:
        assert decoded(bcd_text(4), "10732212") == "12227310"
        assert decoded(bcd_text(4), "01000000") == "00000001"

    @pytest.mark.parametrize("data", ["1073221A", "FFFFFFFF", "B0732212"])
    def test_not_bcd(self, data: str) -> None:
        assert decoded(bcd_text(4), data) is None

    @pytest.mark.parametrize(
        "value",
        ["1222731", "122273100", "1222731A", "", 12227310, None, "\u0661" * 8],
    )
    def test_no_place(self, value: Value) -> None:
        refuses(bcd_text(4), value)
        assert bcd_text(4).encode("12227310") == bytes.fromhex("10732212")


class TestQuantity:
    """Every unit code with a value worked out by hand."""

    @pytest.mark.parametrize(
        ("of", "data", "value"),
        [
            (ENERGY, "01000000 05", 0.01),  # 0.01 kWh
            (ENERGY, "12235304 05", 45323.12),
            (ENERGY, "99999999 05", 999_999.99),
            (ENERGY, "01000000 08", 10),  # 0.01 MWh = 10 kWh
            (ENERGY, "01000000 11", 10 / 3.6),  # 0.01 GJ = 10 MJ, 1 kWh = 3.6 MJ: 2.777...
            (ENERGY, "36000000 11", 100.0),  # 0.36 GJ = 360 MJ = 100 kWh
            (VOLUME, "78563400 2A", 3456.78),  # 345678 x 10 L
            (VOLUME, "01000000 2A", 0.01),
            (VOLUME, "01000000 2C", 0.01),  # 0.01 m³
            (VOLUME, "00010000 2C", 1.0),
            (VOLUME_FLOW_RATE, "34120000 32", 1234),  # whole L/h
            (VOLUME_FLOW_RATE, "34120000 35", 123.4),  # 0.1234 m³/h = 123.4 L/h
            (POWER, "01000000 14", 0.01),  # 0.01 W
            (POWER, "01000000 17", 10),  # 0.01 kW
            (POWER, "01000000 1A", 10_000),  # 0.01 MW
        ],
    )
    def test_units(self, of: Quantity, data: str, value: float) -> None:
        assert decoded(quantity(of, written_as=min(of.codes)), data) == pytest.approx(
            value, rel=1e-15
        )

    @pytest.mark.parametrize(
        ("of", "known"),
        [
            (ENERGY, {0x05, 0x08, 0x11}),
            (VOLUME, {0x2A, 0x2C}),
            (VOLUME_FLOW_RATE, {0x32, 0x35}),
            (POWER, {0x14, 0x17, 0x1A}),
        ],
    )
    def test_any_other_code_makes_it_unknown(self, of: Quantity, known: set[int]) -> None:
        codec = quantity(of, written_as=min(known))
        for code in range(256):
            value = codec.decode(bytes((1, 0, 0, 0, code)))
            assert (value is not None) == (code in known), f"unit code {code:02X}"

    @pytest.mark.parametrize("digits", ["0A000000", "A0000000", "000000F0", "FFFFFFFF"])
    def test_digits_that_are_none(self, digits: str) -> None:
        assert decoded(quantity(ENERGY, written_as=0x05), digits + "05") is None

    def test_all_ff(self) -> None:
        assert decoded(quantity(ENERGY, written_as=0x05), "FFFFFFFFFF") is None

    def test_written_in_the_one_unit(self) -> None:
        energy = quantity(ENERGY, written_as=0x05)
        assert energy.encode(45323.12) == bytes.fromhex("1223530405")
        assert quantity(ENERGY, written_as=0x08).encode(120) == bytes.fromhex("1200000008")

    @pytest.mark.parametrize("value", [-1, 1_000_000, math.nan, math.inf, "1", True, None])
    def test_no_place(self, value: Value) -> None:
        refuses(quantity(ENERGY, written_as=0x05), value)


class TestInteger:
    @pytest.mark.parametrize(
        ("codec", "data", "value"),
        [
            (integer(1), "40", 64),
            (integer(1), "00", 0),
            (integer(1), "FF", None),  # all FF marks an invalid register
            (integer(2), "E803", 1000),
            (integer(2, "big"), "0118", 280),
            (integer(2, "big", divisor=10), "0118", 28.0),
            (integer(2, divisor=10), "FA00", 25.0),
            (integer(2), "FFFF", None),
            (integer(2, signed=True), "FFFF", None),
            (integer(3), "0A2800", 10250),
            # Two's complement: FFF6 is 65526 - 65536 = -10.
            (integer(2, "big", signed=True), "FFF6", -10),
            (integer(2, divisor=10, signed=True), "F6FF", -1.0),
            (integer(2, signed=True), "0080", -32768),
            (integer(2, signed=True), "FF7F", 32767),
            (integer(1, low=0, high=100), "64", 100),
            (integer(1, low=0, high=100), "65", None),
            (integer(2, "big", divisor=10, signed=True, low=-40.0), "FE70", -40.0),
            (integer(2, "big", divisor=10, signed=True, low=-40.0), "FE6F", None),
        ],
    )
    def test_values_and_limits(self, codec: Codec, data: str, value: Value) -> None:
        assert decoded(codec, data) == value

    @pytest.mark.parametrize("value", [256, -1, "1", None, False, math.nan, math.inf])
    def test_no_place(self, value: Value) -> None:
        refuses(integer(1), value)
        assert integer(1).encode(254) == b"\xfe"

    @pytest.mark.parametrize(
        ("codec", "value"),
        [
            (integer(1), 255),
            (integer(2), 65535),
            (integer(2, signed=True, divisor=10), -0.1),
        ],
    )
    def test_what_would_read_as_unknown_has_no_place(self, codec: Codec, value: float) -> None:
        assert codec.decode(b"\xff" * codec.width) is None
        refuses(codec, value)

    @pytest.mark.parametrize("value", [100.1, -1, math.nan])
    def test_outside_the_limits(self, value: float) -> None:
        refuses(integer(1, low=0, high=100), value)


class TestChoice:
    def test_names(self) -> None:
        assert (decoded(STATE, "55"), decoded(STATE, "99")) == ("open", "closed")

    def test_any_other_code_is_unknown(self) -> None:
        known = [code for code in range(256) if STATE.decode(bytes((code,))) is not None]
        assert known == [0x55, 0x99]

    @pytest.mark.parametrize("value", ["ajar", 0x55, None])
    def test_no_place(self, value: Value) -> None:
        refuses(STATE, value)
        assert STATE.encode("closed") == b"\x99"


class TestRunningTime:
    @pytest.mark.parametrize(
        ("data", "minutes"),
        [
            ("010506", 1746),  # 1 d 5 h 6 min = 1440 + 300 + 6
            ("010235", 1613),  # 1 d 2 h 53 min = 1440 + 120 + 53
            ("000000", 0),
            ("00173B", 1439),  # 23 h 59 min
            ("FE173B", 254 * 1440 + 1439),
            ("FF0000", None),
            ("FFFFFF", None),
            ("001800", None),  # 24 h
            ("00003C", None),  # 60 min
        ],
    )
    def test_days_hours_minutes(self, data: str, minutes: int | None) -> None:
        assert decoded(RUNNING_TIME_MIN, data) == minutes

    @pytest.mark.parametrize("value", [-1, 255 * 1440, "1", None, math.nan, math.inf])
    def test_no_place(self, value: Value) -> None:
        refuses(RUNNING_TIME_MIN, value)
        assert RUNNING_TIME_MIN.encode(255 * 1440 - 1) == bytes.fromhex("FE173B")


class TestClock:
    @pytest.mark.parametrize(
        ("data", "time"),
        [
            # Second, minute, hour, day, month, year, century, each of two digits.
            ("00212126052420", at(2024, 5, 26, 21, 21)),
            ("59592331129920", at(2099, 12, 31, 23, 59, 59)),
            ("00000029022420", at(2024, 2, 29)),
            ("00000001010100", at(1, 1, 1)),
            ("00000029022320", None),  # 2023 is no leap year
            ("00000030022420", None),  # 30 February
            ("00000031042420", None),  # 31 April
            ("00000000012420", None),  # day 0
            ("00000001002420", None),  # month 0
            ("00000001132420", None),  # month 13
            ("60000001012420", None),  # second 60
            ("00600001012420", None),  # minute 60
            ("00002401012420", None),  # hour 24
            ("00000001010000", None),  # year 0
            ("0A000001012420", None),  # no BCD
            ("FFFFFFFFFFFFFF", None),
        ],
    )
    def test_edges(self, data: str, time: datetime | None) -> None:
        assert decoded(CLOCK, data) == time

    @pytest.mark.parametrize("value", ["2024-05-26", 0, None])
    def test_no_place(self, value: Value) -> None:
        refuses(CLOCK, value)
        assert CLOCK.encode(at(2024, 5, 26, 21, 21)) == bytes.fromhex("00212126052420")


class TestIdentity:
    """What a codec writes it reads back, and what it reads it writes back."""

    @pytest.mark.parametrize("name", USED)
    @given(data=st.data())
    def test_bytes_to_value_to_bytes(self, name: str, data: st.DataObject) -> None:
        codec = USED[name]
        raw = data.draw(st.binary(min_size=codec.width, max_size=codec.width))
        value = codec.decode(raw)
        if value is None:
            return
        again = codec.encode(value)
        assert codec.decode(again) == pytest.approx(value) if codec.quantity else again == raw

    @given(st.integers(0, 99_999_999))
    def test_quantity(self, number: int) -> None:
        energy = quantity(ENERGY, written_as=0x05)
        assert energy.decode(energy.encode(number / 100)) == number / 100

    @given(st.integers(0, 999_999))
    def test_bcd(self, number: int) -> None:
        codec = bcd(3, divisor=100)
        assert codec.decode(codec.encode(number / 100)) == number / 100

    @given(st.text("0123456789", min_size=8, max_size=8))
    def test_bcd_text(self, number: str) -> None:
        assert bcd_text(4).decode(bcd_text(4).encode(number)) == number

    @given(st.integers(-32768, 32767).filter(lambda number: number != -1))
    def test_signed_integer(self, number: int) -> None:
        codec = integer(2, "big", divisor=10, signed=True)
        assert codec.decode(codec.encode(number / 10)) == number / 10

    @given(st.integers(0, 255 * 1440 - 1))
    def test_running_time(self, minutes: int) -> None:
        assert RUNNING_TIME_MIN.decode(RUNNING_TIME_MIN.encode(minutes)) == minutes

    @given(st.datetimes())
    def test_clock(self, time: datetime) -> None:
        assert CLOCK.decode(CLOCK.encode(time)) == time.replace(microsecond=0, fold=0)

    @pytest.mark.parametrize("state", ["open", "closed"])
    def test_choice(self, state: str) -> None:
        assert STATE.decode(STATE.encode(state)) == state


PAIR = Layout(
    4,
    (
        value_field(0, "first", integer(1), Grade.SHOWN, "first", "K"),
        unidentified(1, 2),
        value_field(3, "second", integer(1), Grade.INFERRED, "second"),
    ),
)


class TestLayout:
    def test_decode(self) -> None:
        assert PAIR.decode(bytes.fromhex("01020304")) == {"first": 1, "second": 4}
        assert PAIR.decode(bytes.fromhex("FF020304")) == {"first": None, "second": 4}

    def test_encode_leaves_the_rest(self) -> None:
        base = bytes.fromhex("01020304")
        assert PAIR.encode({}, base) == base
        assert PAIR.encode({"second": 9}, base) == bytes.fromhex("01020309")
        assert PAIR.encode({"first": None}, base) == bytes.fromhex("FF020304")

    @pytest.mark.parametrize(
        ("values", "base"),
        [
            ({"third": 1}, "01020304"),
            ({"": 1}, "01020304"),  # unidentified bytes have no key
            ({"first": 256}, "01020304"),
            ({"first": 1}, "010203"),
            ({"first": 1}, "0102030405"),
        ],
    )
    def test_encode_refuses(self, values: dict[str, Value], base: str) -> None:
        with pytest.raises(RequestError):
            PAIR.encode(values, bytes.fromhex(base))

    def test_the_unit_comes_from_the_quantity(self) -> None:
        assert PAIR.fields[0].unit == "K"
        energy = value_field(0, "e", quantity(ENERGY, written_as=0x05), Grade.STANDARD, "energy")
        assert energy.unit == "kWh"

    def test_an_unidentified_row(self) -> None:
        row = unidentified(7, 3)
        assert (row.offset, row.width, row.key, row.codec) == (7, 3, "", None)
        assert (row.name, row.grade) == ("unidentified", Grade.UNIDENTIFIED)

    @pytest.mark.parametrize(
        ("size", "rows", "complaint"),
        [
            (3, (unidentified(0, 1), unidentified(2, 1)), "starts at 2, the row before ends at 1"),
            (3, (unidentified(0, 2), unidentified(1, 2)), "starts at 1, the row before ends at 2"),
            (3, (unidentified(1, 2),), "starts at 1, the row before ends at 0"),
            (3, (unidentified(0, 2),), "cover 2 of 3"),
            (3, (unidentified(0, 4),), "cover 4 of 3"),
            (1, (), "cover 0 of 1"),
            (2, (PAIR.fields[0], Field(offset=1, width=1, key="first")), "stands twice"),
        ],
    )
    def test_a_table_that_is_wrong(
        self, size: int, rows: tuple[Field, ...], complaint: str
    ) -> None:
        with pytest.raises(ValueError, match=complaint):
            Layout(size, rows)


class TestMadeHere:
    """A table and its codecs as they are made; those of the devices were made at import."""

    # 45 323.12 kWh, a byte nobody knows, open, 258 L/h with the low byte first, and 10 L.
    PAYLOAD = bytes.fromhex("1223530405 AA 55 0201 010000002A")

    def layout(self) -> Layout:
        return Layout(
            14,
            (
                value_field(
                    0, "energy", quantity(ENERGY, written_as=0x05), Grade.SHOWN, "heat energy"
                ),
                unidentified(5, 1),
                value_field(6, "state", choice({0x55: "open"}), Grade.INFERRED, "valve state"),
                value_field(7, "flow", integer(2), Grade.STANDARD, "flow", "L/h"),
                value_field(9, "volume", quantity(VOLUME, written_as=0x2A), Grade.SHOWN, "volume"),
            ),
        )

    def test_its_rows(self) -> None:
        rows = self.layout().fields
        assert [
            (row.offset, row.width, row.key, row.name, row.grade, row.unit) for row in rows
        ] == [
            (0, 5, "energy", "heat energy", "A", "kWh"),
            (5, 1, "", "unidentified", "D", ""),
            (6, 1, "state", "valve state", "C", ""),
            (7, 2, "flow", "flow", "B", "L/h"),
            (9, 5, "volume", "volume", "A", "m³"),
        ]
        assert [row.codec is None for row in rows] == [False, True, False, False, False]

    def test_what_it_decodes(self) -> None:
        values = {"energy": 45_323.12, "state": "open", "flow": 258, "volume": 0.01}
        assert self.layout().decode(self.PAYLOAD) == values
        assert self.layout().register("energy", self.PAYLOAD) == Register(4_532_312, 1, 100)
        assert self.layout().register("volume", self.PAYLOAD) == Register(1, 1, 100)
        with pytest.raises(KeyError):
            self.layout().register("flow", self.PAYLOAD)

    def test_what_it_decodes_from_the_middle_of_a_frame(self) -> None:
        layout = self.layout()
        assert layout.decode(b"\x68" * 3 + self.PAYLOAD, 3) == layout.decode(self.PAYLOAD)

    def test_a_register_with_a_unit(self) -> None:
        codec = quantity(ENERGY, written_as=0x05)
        assert codec.register is not None
        assert codec.register(bytes.fromhex("0100000008")) == Register(1, 10, 1)
        for unknown in ("0A00000005", "0100000006", "FFFFFFFFFF"):
            assert codec.register(bytes.fromhex(unknown)) is None
            assert codec.decode(bytes.fromhex(unknown)) is None
        # Whole where its counts are: 10 kWh, but 0.01 kWh.
        found = [codec.decode(bytes.fromhex(f"01000000{unit}")) for unit in ("08", "05")]
        assert [(type(value), value) for value in found] == [(int, 10), (float, 0.01)]

    def test_what_it_encodes(self) -> None:
        layout = self.layout()
        written = layout.encode({"flow": 1, "state": None}, self.PAYLOAD)
        assert written == bytes.fromhex("1223530405 AA FF 0100 010000002A")
        with pytest.raises(RequestError, match=r"^the report has 14 bytes, not 13$"):
            layout.encode({"flow": 1}, self.PAYLOAD[:-1])
        with pytest.raises(RequestError, match=r"^the report has no field power$"):
            layout.encode({"power": 1}, self.PAYLOAD)

    def test_a_key_that_stands_twice(self) -> None:
        row = value_field(0, "state", STATE, Grade.INFERRED, "valve state")
        with pytest.raises(ValueError, match=r"^a key stands twice$"):
            Layout(2, (row, value_field(1, "state", STATE, Grade.INFERRED, "again")))

    @pytest.mark.parametrize("wrong", ["1", None, True])
    def test_what_is_no_number(self, wrong: Value) -> None:
        with pytest.raises(RequestError, match=rf"^{wrong!r} is not a number$"):
            integer(1).encode(wrong)

    def test_a_choice(self) -> None:
        state = choice({0x55: "open", 0x99: "closed"})
        assert [decoded(state, code) for code in ("55", "99", "00")] == ["open", "closed", None]
        assert state.encode("closed") == b"\x99"
        for wrong in ("half", 0x55, None):
            with pytest.raises(RequestError, match=rf"^{wrong!r} is not one of open, closed$"):
                state.encode(wrong)

    def test_limits_of_digits(self) -> None:
        codec = bcd(2, divisor=10, low=1.0, high=500.0)
        # Low byte first: 0009, 0010, 5000 and 5001 tenths.
        read = [decoded(codec, data) for data in ("0900", "1000", "0050", "0150")]
        assert read == [None, 1.0, 500.0, None]
        assert codec.encode(1.0) == bytes.fromhex("1000")
        for wrong in (0.9, 500.1):
            with pytest.raises(RequestError, match=rf"^{wrong} is not within 1.0 to 500.0$"):
                codec.encode(wrong)

    def test_limits_of_a_binary_number(self) -> None:
        codec = integer(1, divisor=2, low=1, high=100)
        read = [decoded(codec, data) for data in ("01", "02", "C8", "C9", "FF")]
        assert read == [None, 1.0, 100.0, None, None]
        assert codec.encode(1) == b"\x02"
        for wrong in (0, 101):
            with pytest.raises(RequestError, match=rf"^{wrong} is not within 1 to 100$"):
                codec.encode(wrong)

    def test_a_binary_number_is_whole_unless_it_is_divided(self) -> None:
        read = [decoded(codec, "04") for codec in (integer(1), integer(1, divisor=2))]
        assert [(type(value), value) for value in read] == [(int, 4), (float, 2.0)]
        assert decoded(integer(2), "FFFF") is None

    @pytest.mark.parametrize(
        ("make", "value", "why"),
        [
            (lambda: integer(1), 256, "256 is not a number of 1 bytes"),
            (lambda: integer(1), 255, "255 is not a number that can be told from an invalid one"),
            (lambda: bcd(2, divisor=1), 10_000, "10000 is not a number of at most 4 digits"),
            (lambda: bcd_text(2), 12, "12 is not a text of digits"),
            (lambda: bcd_text(2), "123", "'123' is not a text of 4 digits"),
            (lambda: CLOCK, 5, "5 is not a time"),
            (lambda: RUNNING_TIME_MIN, 367_200, "367200 is not a running time under 255 days"),
        ],
        ids=["too large", "invalid", "too many", "no text", "too short", "no time", "too long"],
    )
    def test_what_has_no_place_is_told(
        self, make: Callable[[], Codec], value: Value, why: str
    ) -> None:
        with pytest.raises(RequestError) as raised:
            make().encode(value)
        assert str(raised.value) == why
