"""The envelope of a frame: found, checked, refused and built (docs/PROTOCOL.md, section 3)."""

from collections.abc import Callable

from hypothesis import given, strategies as st
import pytest

from custom_components.hy_heating.hyheat.errors import FrameError, FrameErrorKind, RequestError
from custom_components.hy_heating.hyheat.frame import (
    Frame,
    build,
    checksum,
    from_hex,
    parse,
    scan,
)
from tests.vectors import VALID_FRAMES, frame_bytes

CABINET = frame_bytes("cabinet_report")
VALVE = frame_bytes("valve_report_A")
WHOLE = [pytest.param(bytes.fromhex(vector["hex"]), id=vector["name"]) for vector in VALID_FRAMES]

# A read of the cabinet, checksum by hand: 68+55+27+10+05+83+00+11+11+01+03+90+1F+00
# = 104+85+39+16+5+131+0+17+17+1+3+144+31+0 = 593 = 2 * 256 + 81 = ..51.
READ = bytes.fromhex("68 55 27100583001111 01 03 901F00 51 16")


def refused(data: bytes | str) -> FrameError:
    """Return the error that an input is refused with."""
    with pytest.raises(FrameError) as caught:
        parse(data)
    return caught.value


def only_error(data: bytes) -> FrameError:
    """Return the one thing that a scan finds, which must be an error."""
    (found,) = scan(data)
    assert isinstance(found, FrameError)
    return found


def with_checksum(body: bytes) -> bytes:
    """Complete a frame from its start byte to its last data byte."""
    return body + bytes((sum(body) % 256, 0x16))


class TestGood:
    def test_every_part(self) -> None:
        assert parse(READ) == Frame(
            device_type=0x55,
            address=bytes.fromhex("27100583001111"),
            control=0x01,
            data=bytes.fromhex("901F00"),
        )

    def test_what_a_command_is(self) -> None:
        frame = parse(READ)
        assert frame.meter_number == "27100583"
        assert (frame.di, frame.ser, frame.payload) == (0x901F, 0, b"")
        assert (frame.is_reply, frame.is_error, frame.error_status) == (False, False, None)
        assert (frame.command_control, frame.size, frame.raw) == (0x01, 16, READ)

    def test_what_a_reply_is(self) -> None:
        frame = parse(frame_bytes("cabinet_set_reply"))
        assert (frame.control, frame.command_control) == (0x96, 0x16)
        assert (frame.is_reply, frame.is_error) == (True, False)
        assert (frame.di, frame.ser, frame.payload) == (0x902F, 1, b"")

    @pytest.mark.parametrize("data", WHOLE)
    def test_hex_and_bytes_say_the_same(self, data: bytes) -> None:
        assert parse(data) == parse(data.hex()) == parse(data.hex(" ").upper())

    @pytest.mark.parametrize("data", WHOLE)
    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer(self, data: bytes, kind: Callable[[bytes], bytes]) -> None:
        assert parse(kind(data)) == parse(data)
        assert parse(kind(data)).raw == data.lstrip(b"\xfe")

    @pytest.mark.parametrize("preamble", [0, 1, 4, 300])
    def test_any_number_of_preamble_bytes(self, preamble: int) -> None:
        frame = parse(b"\xfe" * preamble + CABINET)
        assert (frame.raw, frame.offset) == (CABINET, preamble)

    @pytest.mark.parametrize("before", [b"", b"\x00\x16\xfe\x01", b"\xfe\xfe"])
    @pytest.mark.parametrize("behind", [b"", b"\x00\x16\xfe\x01", b"\xfe"])
    def test_junk_around(self, before: bytes, behind: bytes) -> None:
        (frame,) = scan(before + VALVE + behind)
        assert isinstance(frame, Frame)
        assert (frame.raw, frame.offset) == (VALVE, len(before))

    @pytest.mark.parametrize("between", [b"", b"\xfe\xfe", b"\x00\x01\xfe"])
    def test_two_at_once(self, between: bytes) -> None:
        first, second = scan(CABINET + between + VALVE)
        assert isinstance(first, Frame)
        assert isinstance(second, Frame)
        assert (first.raw, first.offset) == (CABINET, 0)
        assert (second.raw, second.offset) == (VALVE, len(CABINET + between))

    def test_no_data_at_all(self) -> None:
        frame = parse(with_checksum(bytes.fromhex("68 55 27100583001111 81 00")))
        assert (frame.data, frame.di, frame.ser, frame.payload) == (b"", None, None, b"")

    def test_the_most_data(self) -> None:
        frame = parse(with_checksum(bytes.fromhex("68 55 27100583001111 81 FF") + b"\xfe" * 255))
        assert (len(frame.data), frame.size) == (255, 268)

    @pytest.mark.parametrize(
        ("data", "di", "ser"), [("90", None, None), ("901F", 0x901F, None), ("901F07", 0x901F, 7)]
    )
    def test_data_too_short_for_di_or_ser(self, data: str, di: int, ser: int) -> None:
        frame = build(0x55, bytes(7), 0x81, bytes.fromhex(data))
        assert (frame.di, frame.ser) == (di, ser)

    @pytest.mark.parametrize(
        ("control", "data", "ser", "status"),
        [
            (0xC4, "00 0200", 0, "0200"),  # three bytes: SER and two of status
            (0xD6, "01 0200", 1, "0200"),
            (0xC1, "02", None, "02"),  # any other length: all of it is status
            (0xC1, "0203", None, "0203"),
            (0xC1, "02030405", None, "02030405"),
            (0xFF, "", None, ""),
        ],
    )
    def test_error_replies(self, control: int, data: str, ser: int | None, status: str) -> None:
        frame = build(0x53, bytes(7), control, bytes.fromhex(data))
        assert (frame.is_reply, frame.is_error, frame.di) == (True, True, None)
        assert (frame.ser, frame.error_status) == (ser, bytes.fromhex(status))
        assert frame.command_control == control & 0x3F

    def test_bit_6_of_a_command_is_no_error(self) -> None:
        frame = build(0x53, bytes(7), 0x41, bytes.fromhex("901F00"))
        assert (frame.is_reply, frame.is_error, frame.di) == (False, False, 0x901F)

    def test_an_address_with_letters_is_kept(self) -> None:
        assert build(0x53, bytes.fromhex("2A10FF83001111"), 1, b"").meter_number == "2A10FF83"


class TestDamaged:
    @pytest.mark.parametrize("data", WHOLE)
    def test_every_flipped_bit(self, data: bytes) -> None:
        start, before = data.index(0x68), parse(data)
        for position in range(start, len(data)):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[position] ^= 1 << bit
                results = list(scan(flipped))
                assert not [found for found in results if isinstance(found, Frame)]
                assert results, f"bit {bit} of byte {position} went unnoticed"
        assert parse(data) == before

    @pytest.mark.parametrize("data", WHOLE)
    def test_every_truncation(self, data: bytes) -> None:
        start = data.index(0x68)
        for size in range(len(data)):
            error = only_error(data[:size])
            expected = FrameErrorKind.START if size <= start else FrameErrorKind.LENGTH
            assert error.kind is expected, f"cut to {size} bytes"
        assert parse(data).size == len(data) - start

    def test_checksum(self) -> None:
        data = frame_bytes("valve_report_bad_checksum")
        error = refused(data)
        # The note prints 8B where the bytes sum to 91; the checksum is the last byte but one.
        assert (error.kind, error.offset) == (FrameErrorKind.CHECKSUM, len(data) - 2)
        assert (error.expected, error.found) == ("91", "8B")
        assert parse(data[:-2] + b"\x91\x16").device_type == 0x53

    def test_end(self) -> None:
        error = refused(b"\xfe" + READ[:-1] + b"\x17")
        assert (error.kind, error.offset) == (FrameErrorKind.END, 16)
        assert (error.expected, error.found) == ("16", "17")

    def test_shorter_than_its_length_byte_says(self) -> None:
        error = refused(READ[:-1])
        assert (error.kind, error.offset) == (FrameErrorKind.LENGTH, 10)
        assert (error.expected, error.found) == ("16 bytes (L=03)", "15 bytes")

    def test_header_cut_off(self) -> None:
        error = refused(b"\xfe" + READ[:4])
        assert (error.kind, error.offset) == (FrameErrorKind.LENGTH, 5)
        assert (error.expected, error.found) == ("a header of 11 bytes", "4 bytes")

    def test_a_header_and_no_more(self) -> None:
        error = refused(READ[:11])
        assert (error.kind, error.offset) == (FrameErrorKind.LENGTH, 10)
        assert (error.expected, error.found) == ("16 bytes (L=03)", "11 bytes")

    @pytest.mark.parametrize(
        ("data", "offset", "found"),
        [
            (b"", 0, "the end of the input"),
            (b"\xfe\xfe", 2, "the end of the input"),
            (b"\x01\x02", 0, "01"),
            (b"\xfe\x00\x16", 1, "00"),
        ],
    )
    def test_no_start(self, data: bytes, offset: int, found: str) -> None:
        error = only_error(data)
        assert (error.kind, error.offset) == (FrameErrorKind.START, offset)
        assert (error.expected, error.found) == ("68", found)

    def test_the_error_says_it_all(self) -> None:
        assert str(refused(READ[:-1] + b"\x17")) == ("end at offset 15: expected 16, found 17")


class TestNothingIsSearchedForInside:
    def test_a_whole_frame_inside_a_bad_one(self) -> None:
        body = bytes.fromhex("68 55 27100583001111 81") + bytes((len(VALVE),)) + VALVE
        good = with_checksum(body)
        bad = good[:-2] + bytes((good[-2] ^ 1, 0x16))
        assert only_error(bad).kind is FrameErrorKind.CHECKSUM
        frame, *others = scan(good)
        assert isinstance(frame, Frame)
        assert (frame.data, others) == (VALVE, [])

    @pytest.mark.parametrize("length", [0x00, 0x02, 0x2E, 0x80, 0xFF])
    def test_a_wrong_length_hides_what_follows(self, length: int) -> None:
        bad = bytearray(VALVE)
        bad[10] = length
        error = only_error(bytes(bad) + VALVE)
        assert error.kind in {FrameErrorKind.LENGTH, FrameErrorKind.END}

    def test_a_start_byte_in_junk_ends_the_search(self) -> None:
        error = only_error(b"\x68" + VALVE)
        # Read from the junk byte on, the control 81 stands where the length is.
        assert (error.kind, error.offset) == (FrameErrorKind.LENGTH, 10)
        assert (error.expected, error.found) == ("142 bytes (L=81)", "59 bytes")

    @pytest.mark.parametrize("between", [b"", b"\xfe\xfe\xfe\xfe"])
    def test_right_behind_a_bad_checksum_the_next_counts(self, between: bytes) -> None:
        bad = VALVE[:-2] + bytes((VALVE[-2] ^ 1, 0x16))
        error, frame = scan(bad + between + CABINET)
        assert isinstance(error, FrameError)
        assert isinstance(frame, Frame)
        assert error.kind is FrameErrorKind.CHECKSUM
        assert (frame.raw, frame.offset) == (CABINET, len(bad + between))

    def test_after_a_bad_checksum_junk_ends_the_search(self) -> None:
        bad = VALVE[:-2] + bytes((VALVE[-2] ^ 1, 0x16))
        assert only_error(bad + b"\x00" + CABINET).kind is FrameErrorKind.CHECKSUM


class TestHex:
    @pytest.mark.parametrize(
        "text", ["68fe0A", "68FE0a", " 68 fe\t0a\r\n", "68\n\n  FE0A", "68 FE  0A"]
    )
    def test_either_case_and_white_space(self, text: str) -> None:
        assert from_hex(text) == b"\x68\xfe\x0a"

    def test_nothing(self) -> None:
        assert from_hex("") == b""

    @pytest.mark.parametrize(
        ("text", "offset", "expected", "found"),
        [
            ("68xA", 2, "a hex digit", "'x'"),
            ("68 0g", 4, "a hex digit", "'g'"),
            ("x", 0, "a hex digit", "'x'"),
            ("68\xa055", 2, "a hex digit", r"'\xa0'"),  # white space, but not of ASCII
            ("68\u0661\u0662", 2, "a hex digit", "'\u0661'"),  # digits, but not of ASCII
            ("68\ud800", 2, "a hex digit", r"'\ud800'"),
            ("68\x00", 2, "a hex digit", r"'\x00'"),
            ("685", 2, "two digits for each byte", "3 digits"),
            ("68 5", 3, "two digits for each byte", "3 digits"),
            ("6 8", 0, "two digits for each byte", "2 digits"),
            ("68 5 52 7", 3, "two digits for each byte", "6 digits"),
        ],
    )
    def test_refused(self, text: str, offset: int, expected: str, found: str) -> None:
        error = refused(text)
        assert (error.kind, error.offset) == (FrameErrorKind.HEX, offset)
        assert (error.expected, error.found) == (expected, found)
        assert parse(READ.hex()).raw == READ


class TestBuild:
    def test_preamble_is_sent(self) -> None:
        frame = build(0x55, bytes.fromhex("27100583001111"), 0x01, bytes.fromhex("901F00"))
        assert frame.encode() == b"\xfe\xfe\xfe\xfe" + READ

    @pytest.mark.parametrize(
        ("device_type", "address", "control", "data", "why"),
        [
            (0x55, bytes(6), 0x01, b"", "an address has 7 bytes, not 6"),
            (0x55, bytes(8), 0x01, b"", "an address has 7 bytes, not 8"),
            (0x55, bytes(7), 0x01, bytes(256), "a frame carries at most 255 bytes, not 256"),
            (0x100, bytes(7), 0x01, b"", "the device type is one byte, not 256"),
            (-1, bytes(7), 0x01, b"", "the device type is one byte, not -1"),
            (0x55, bytes(7), 0x100, b"", "the control is one byte, not 256"),
        ],
    )
    def test_what_does_not_fit(
        self, device_type: int, address: bytes, control: int, data: bytes, why: str
    ) -> None:
        with pytest.raises(RequestError) as raised:
            build(device_type, address, control, data)
        assert str(raised.value) == why
        assert build(0x55, bytes(7), 0x01, bytes(255)).size == 268

    def test_checksum_wraps_at_256(self) -> None:
        assert checksum(b"\xff\x02") == 0x01

    @pytest.mark.parametrize(
        ("size", "expected"),
        # 0xFF is 256 - 1: so many of them sum to -size, modulo 256.
        [(0, 0x00), (1, 0xFF), (255, 0x01), (256, 0x00), (257, 0xFF), (258, 0xFE), (266, 0xF6)],
    )
    def test_checksum_of_the_greatest_bytes(self, size: int, expected: int) -> None:
        assert checksum(b"\xff" * size) == expected

    @given(st.binary(max_size=300))
    def test_checksum_is_the_sum_of_all_bytes(self, body: bytes) -> None:
        assert checksum(body) == sum(body) % 256

    @given(
        device_type=st.integers(0, 255),
        address=st.binary(min_size=7, max_size=7),
        control=st.integers(0, 255),
        data=st.binary(max_size=255),
    )
    def test_parse_undoes_build(
        self, device_type: int, address: bytes, control: int, data: bytes
    ) -> None:
        frame = build(device_type, address, control, data)
        assert parse(frame.raw) == frame
        assert parse(frame.encode()).raw == frame.raw

    @given(st.binary(max_size=600))
    def test_any_bytes_are_frames_or_errors(self, data: bytes) -> None:
        results = list(scan(data))
        assert results
        for found in results:
            if isinstance(found, Frame):
                part = data[found.offset : found.offset + found.size]
                assert part == found.raw
                assert (part[0], part[-1], part[-2]) == (0x68, 0x16, sum(part[:-2]) % 256)
            else:
                assert 0 <= found.offset <= len(data)
