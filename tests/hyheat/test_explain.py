"""What explain says of every byte (docs/PROTOCOL.md, sections 3 to 6)."""

import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.hy_heating.hyheat.devices import CABINET, HOUSEHOLD_VALVE, DeviceSpec
from custom_components.hy_heating.hyheat.envelope import MAX_PAYLOAD_SIZE
from custom_components.hy_heating.hyheat.explain import (
    MAX_LENGTH,
    ExplainedFrame,
    ExplainedMessage,
    Refusal,
    explain,
)
from custom_components.hy_heating.hyheat.frame import build, parse
from tests.vectors import (
    DAMAGED_FRAMES,
    GATEWAY_ID,
    MESSAGES,
    VALID_FRAMES,
    frame_bytes,
    message,
    said_by,
)

type Json = dict[str, Any]

VALVE_REPLY = "6853232273100011118404A01900321816"
CABINET_ADDRESS = bytes.fromhex("27100583001111")


def name(vector: Json) -> str:
    return str(vector["name"])


def objects(text: str) -> list[Json]:
    """Return what --json prints, after a round trip through JSON."""
    return [
        json.loads(json.dumps(part)) for explained in explain(text) for part in explained.as_json()
    ]


def one(text: str) -> Json:
    (only,) = objects(text)
    return only


def rows(text: str, start: int = 0, end: int | None = None) -> list[tuple[Any, ...]]:
    """Return hex, name, value and grade of some bytes of the one object of an input."""
    return [
        (note["hex"], note["name"], note["value"], note["grade"])
        for note in one(text)["bytes"][start:end]
    ]


def refusal(text: str) -> Refusal:
    (only,) = explain(text)
    assert isinstance(only, Refusal)
    return only


def report(meter_id: str, *frames: str) -> str:
    data = {"meter_id": meter_id, "meter_data": list(frames)}
    return json.dumps({"gw": {"msg_id": 20, "msg_gw_pr": 0, "gw_id": GATEWAY_ID}, "data": data})


class TestFrames:
    @pytest.mark.parametrize("vector", VALID_FRAMES, ids=name)
    def test_every_valid_vector(self, vector: Json) -> None:
        explained, said = one(vector["hex"]), said_by(vector)
        frame = parse(vector["hex"])
        assert explained["ok"] is True
        assert explained["fields"] == said
        assert explained["device"] == said["device"]
        assert explained["meter_number"] in {"27100583", "23227310"}
        assert explained["control"] == f"{frame.control:02X}"
        assert explained["di"] == (None if said.get("error") else f"{frame.di:04X}")
        assert list(explained) == [
            "ok",
            "device",
            "meter_number",
            "control",
            "di",
            "fields",
            "bytes",
        ]

    @pytest.mark.parametrize("vector", VALID_FRAMES, ids=name)
    def test_every_byte_is_listed(self, vector: Json) -> None:
        notes = one(vector["hex"])["bytes"]
        assert "".join(note["hex"] for note in notes) == vector["hex"]
        assert [note["offset"] for note in notes] == list(range(len(notes)))
        assert all(list(note) == ["offset", "hex", "name", "value", "grade"] for note in notes)
        assert all(note["name"] and note["grade"] in {"A", "B", "C", "D"} for note in notes)

    @pytest.mark.parametrize(
        ("vector", "spec"), [("cabinet_report", CABINET), ("valve_report_A", HOUSEHOLD_VALVE)]
    )
    def test_every_field_of_a_report_stands_at_its_place(
        self, vector: str, spec: DeviceSpec
    ) -> None:
        said = next(said_by(v) for v in VALID_FRAMES if v["name"] == vector)
        notes = one(frame_bytes(vector).hex())["bytes"][14:-2]
        assert len(notes) == spec.layout.size
        for row in spec.layout.fields:
            part = notes[row.offset : row.offset + row.width]
            assert {note["grade"] for note in part} == {row.grade}
            if row.codec is None:
                assert {(note["name"], note["value"]) for note in part} == {("unidentified", None)}
                continue
            if row.codec.quantity:
                assert part[-1]["name"] == f"unit of {row.name}"
                del part[-1]
            assert {note["name"] for note in part} == {row.name}
            assert all(note["value"] == said[row.key] for note in part)

    def test_cabinet_report(self) -> None:
        shown = rows(frame_bytes("cabinet_report").hex())
        assert shown[:19] == [
            ("68", "start", "start of frame", "A"),
            ("55", "device type", "cabinet", "A"),
            ("27", "address A0", "27100583", "A"),
            ("10", "address A1", "27100583", "A"),
            ("05", "address A2", "27100583", "A"),
            ("83", "address A3", "27100583", "A"),
            ("00", "address A4", "001111", "A"),
            ("11", "address A5", "001111", "A"),
            ("11", "address A6", "001111", "A"),
            ("81", "control", "reply to read data", "A"),
            ("3B", "length", 59, "A"),
            ("90", "DI0", "read current data", "A"),
            ("1F", "DI1", "read current data", "A"),
            ("00", "SER", 0, "A"),
            ("12", "heat energy", 45323.12, "B"),
            ("23", "heat energy", 45323.12, "B"),
            ("53", "heat energy", 45323.12, "B"),
            ("04", "heat energy", 45323.12, "B"),
            ("05", "unit of heat energy", "kWh", "B"),
        ]
        assert shown[28] == ("2A", "unit of volume", "10 L", "C")
        assert shown[-3:] == [
            ("40", "status byte", 64, "C"),
            ("73", "checksum", "correct", "A"),
            ("16", "end", "end of frame", "A"),
        ]

    def test_valve_report(self) -> None:
        shown = rows(frame_bytes("valve_report_A").hex())
        assert shown[1] == ("53", "device type", "household valve", "A")
        assert shown[13] == ("01", "SER", 1, "A")
        assert shown[23:25] == [
            ("55", "valve state", "open", "B"),
            ("64", "opening", 100, "B"),
        ]
        assert set(shown[48:55]) >= {("20", "device clock", "2024-05-26T21:21:00", "B")}

    def test_command(self) -> None:
        shown = rows(frame_bytes("cabinet_set_50").hex())
        assert shown[:5] == [
            *[("FE", "preamble", "wake-up", "A")] * 4,
            ("68", "start", "start of frame", "A"),
        ]
        assert shown[13:20] == [
            ("16", "control", "set opening", "A"),
            ("05", "length", 5, "A"),
            ("90", "DI0", "set cabinet opening", "A"),
            ("2F", "DI1", "set cabinet opening", "A"),
            ("01", "SER", 1, "A"),
            ("F4", "opening", 50.0, "A"),
            ("01", "opening", 50.0, "A"),
        ]

    def test_echo(self) -> None:
        assert rows(VALVE_REPLY, 9, 15) == [
            ("84", "control", "reply to write", "A"),
            ("04", "length", 4, "A"),
            ("A0", "DI0", "set valve opening", "A"),
            ("19", "DI1", "set valve opening", "A"),
            ("00", "SER", 0, "A"),
            ("32", "opening", 50, "A"),
        ]

    def test_read(self) -> None:
        assert rows(frame_bytes("valve_read").hex(), 13) == [
            ("01", "control", "read data", "A"),
            ("03", "length", 3, "A"),
            ("90", "DI0", "read current data", "A"),
            ("1F", "DI1", "read current data", "A"),
            ("00", "SER", 0, "A"),
            ("58", "checksum", "correct", "A"),
            ("16", "end", "end of frame", "A"),
        ]

    def test_error_replies(self) -> None:
        assert rows(frame_bytes("cabinet_set_error_reply").hex(), 9, 14) == [
            ("D6", "control", "error reply to set opening", "A"),
            ("03", "length", 3, "A"),
            ("01", "SER", 1, "A"),
            ("02", "error status", "0200", "B"),
            ("00", "error status", "0200", "B"),
        ]
        assert rows(frame_bytes("error_reply_one_byte").hex(), 9, 12) == [
            ("C1", "control", "error reply to read data", "A"),
            ("01", "length", 1, "A"),
            ("02", "error status", "02", "B"),
        ]

    def test_an_error_reply_to_something_unknown(self) -> None:
        explained = one(build(0x55, CABINET_ADDRESS, 0xFF, b"\x07").raw.hex())
        assert explained["fields"] == {
            "device": "cabinet",
            "control": "FF",
            "error": True,
            "status": "07",
        }
        assert explained["bytes"][9]["value"] is None

    def test_hex_is_told_in_capital_letters(self) -> None:
        raw = build(0x53, bytes.fromhex("23227310ABCDEF"), 0xC1, b"\xab").raw
        explained = one(raw.hex())
        assert explained["fields"]["status"] == "AB"
        assert [note["value"] for note in explained["bytes"][6:9]] == ["ABCDEF"] * 3
        assert explained["bytes"][11]["value"] == "AB"

    def test_values_come_with_their_units(self) -> None:
        (explained,) = explain(frame_bytes("cabinet_report").hex())
        assert isinstance(explained, ExplainedFrame)
        units = [note.unit for note in explained.notes]
        assert len(units) == 72
        # In the order of docs/PROTOCOL.md, section 4: what stands behind SER begins at 14.
        assert units[14:35] == [
            *["kWh"] * 4,
            "",
            *["L/h"] * 4,
            "",
            *["m³"] * 4,
            "",
            *["°C"] * 6,
        ]
        assert units[:10] == [""] * 10
        assert units[10] == "bytes"

    def test_unknown_values(self) -> None:
        payload = bytearray(parse(frame_bytes("cabinet_report")).payload)
        payload[4], payload[15] = 0x06, 0xFF  # a unit code that is none, a digit that is none
        raw = build(0x55, CABINET_ADDRESS, 0x81, b"\x90\x1f\x00" + payload).raw
        explained = one(raw.hex())
        assert explained["ok"] is True
        assert explained["fields"]["heat_energy_kwh"] is None
        assert explained["fields"]["supply_temperature_c"] is None
        assert explained["fields"]["return_temperature_c"] == 28.93
        shown = rows(raw.hex())
        assert shown[14:19] == [
            ("12", "heat energy", None, "B"),
            ("23", "heat energy", None, "B"),
            ("53", "heat energy", None, "B"),
            ("04", "heat energy", None, "B"),
            ("06", "unit of heat energy", None, "B"),
        ]
        assert shown[29] == ("FF", "supply temperature", None, "B")


class TestAround:
    def test_junk_and_preamble(self) -> None:
        shown = rows("01 FE 02 FE FE" + VALVE_REPLY + "FE 03 16")
        assert shown[:6] == [
            ("01", "junk", None, "D"),
            ("FE", "junk", None, "D"),
            ("02", "junk", None, "D"),
            ("FE", "preamble", "wake-up", "A"),
            ("FE", "preamble", "wake-up", "A"),
            ("68", "start", "start of frame", "A"),
        ]
        assert shown[-4:] == [
            ("16", "end", "end of frame", "A"),
            ("FE", "trailing junk", None, "D"),
            ("03", "trailing junk", None, "D"),
            ("16", "trailing junk", None, "D"),
        ]

    def test_a_damaged_frame_behind_a_good_one(self) -> None:
        good, damaged = explain(VALVE_REPLY + VALVE_REPLY[:-4] + "1916")
        assert isinstance(good, ExplainedFrame)
        assert isinstance(damaged, Refusal)
        assert (damaged.error, damaged.offset) == ("checksum", 32)
        assert [note.offset for note in damaged.notes] == list(range(17, 34))
        assert damaged.notes[0].name == "start"

    def test_several_frames(self) -> None:
        text = "00" + VALVE_REPLY + "FE" + frame_bytes("cabinet_set_reply").hex().upper() + "00"
        first, second = objects(text)
        assert (first["device"], second["device"]) == ("valve", "cabinet")
        assert second["bytes"][0] == {
            "offset": 18,
            "hex": "FE",
            "name": "preamble",
            "value": "wake-up",
            "grade": "A",
        }
        notes = first["bytes"] + second["bytes"]
        assert "".join(note["hex"] for note in notes) == text
        assert [note["offset"] for note in notes] == list(range(len(text) // 2))

    def test_a_good_one_behind_a_bad_one(self) -> None:
        bad = VALVE_REPLY[:-4] + "1916"
        first, second = explain("FE" + bad + "FEFE" + VALVE_REPLY)
        assert isinstance(first, Refusal)
        assert isinstance(second, ExplainedFrame)
        assert (first.error, first.offset) == ("checksum", 16)
        assert [note.offset for note in first.notes] == list(range(18))
        assert [note.offset for note in second.notes] == list(range(18, 37))

    @pytest.mark.parametrize("text", ["FEFE", "00FE", "0102"])
    def test_no_start(self, text: str) -> None:
        found = refusal(text)
        assert found.error == "start"
        assert [note.byte for note in found.notes] == list(bytes.fromhex(text))
        assert {note.name for note in found.notes} <= {"junk", "preamble"}

    def test_white_space_does_not_count(self) -> None:
        assert objects(" 68 53\n" + VALVE_REPLY[4:]) == objects(VALVE_REPLY)


class TestDamaged:
    @pytest.mark.parametrize("vector", DAMAGED_FRAMES, ids=name)
    def test_every_damaged_vector(self, vector: Json) -> None:
        found = one(vector["hex"])
        assert list(found) == ["ok", "error", "offset", "expected", "found"]
        assert (found["ok"], found["error"]) == (False, vector["error"])
        assert refusal(vector["hex"]).good is False

    @pytest.mark.parametrize(
        ("text", "error", "offset", "expected", "found"),
        [
            # The last byte but one is the checksum: 18 in the captured frame.
            (VALVE_REPLY[:-4] + "1916", "checksum", 15, "18", "19"),
            (VALVE_REPLY[:-2] + "17", "end", 16, "16", "17"),
            ("FE" + VALVE_REPLY[:-2], "length", 11, "17 bytes (L=04)", "16 bytes"),
            (VALVE_REPLY[:8], "length", 4, "a header of 11 bytes", "4 bytes"),
            ("FE01", "start", 1, "68", "01"),
            ("", "start", 0, "68", "the end of the input"),
            ("68x", "hex", 2, "a hex digit", "'x'"),
            ("685", "hex", 2, "two digits for each byte", "3 digits"),
        ],
    )
    def test_the_place_of_the_damage(
        self, text: str, error: str, offset: int, expected: str, found: str
    ) -> None:
        assert one(text) == {
            "ok": False,
            "error": error,
            "offset": offset,
            "expected": expected,
            "found": found,
        }
        assert one(VALVE_REPLY)["ok"] is True

    def test_nothing_is_read_from_it(self) -> None:
        notes = refusal("FE" + VALVE_REPLY[:-4] + "1916").notes
        assert [note.name for note in notes] == [
            "preamble",
            "start",
            "device type",
            *[f"address A{number}" for number in range(7)],
            "control",
            "length",
            "DI0",
            "DI1",
            "SER",
            "data",
            "checksum",
            "end",
        ]
        assert [(note.value, note.grade) for note in notes[1:]] == [(None, None)] * 17

    def test_what_follows_is_not_read(self) -> None:
        notes = refusal(VALVE_REPLY[:-2] + "17" + VALVE_REPLY).notes
        assert [note.name for note in notes][15:] == ["checksum", "end", *["not read"] * 17]

    def test_trailing_junk_of_a_bad_checksum(self) -> None:
        notes = refusal(VALVE_REPLY[:-4] + "191600").notes
        assert [note.name for note in notes][15:] == ["checksum", "end", "trailing junk"]

    def test_a_short_length(self) -> None:
        text = VALVE_REPLY[:20] + "01" + "A0" + "0000"
        assert [note.name for note in refusal(text).notes][9:] == [
            "control",
            "length",
            "DI0",
            "checksum",
            "end",
        ]

    @pytest.mark.parametrize("size", range(1, 17))
    def test_every_truncation_lists_every_byte(self, size: int) -> None:
        found = refusal(VALVE_REPLY[: 2 * size])
        assert found.error == "length"
        assert [note.byte for note in found.notes] == list(bytes.fromhex(VALVE_REPLY)[:size])


class TestUnknown:
    def test_an_unknown_device_type(self) -> None:
        raw = build(0x54, CABINET_ADDRESS, 0x81, bytes.fromhex("90210001020304")).raw
        found = refusal("FE" + raw.hex())
        assert found.as_json() == [
            {
                "ok": False,
                "error": "layout",
                "offset": 2,
                "expected": "a known device type",
                "found": "54",
            }
        ]
        notes = [(note.name, note.value, note.grade) for note in found.notes]
        assert notes[2] == ("device type", None, "A")
        assert notes[3] == ("address A0", "27100583", "A")
        assert notes[10] == ("control", "reply to read data", "A")
        assert notes[12:15] == [("DI0", None, "A"), ("DI1", None, "A"), ("SER", 0, "A")]
        assert notes[15:19] == [("unidentified", None, "D")] * 4
        assert notes[19:] == [("checksum", "correct", "A"), ("end", "end of frame", "A")]

    @pytest.mark.parametrize(
        ("control", "data", "names"),
        [
            (0x81, "", []),
            (0x81, "90", ["DI0"]),
            (0x81, "901F", ["DI0", "DI1"]),
            (0x81, "901F00", ["DI0", "DI1", "SER"]),
            (0xC1, "", []),
        ],
    )
    def test_little_data(self, control: int, data: str, names: list[str]) -> None:
        raw = build(0x55, CABINET_ADDRESS, control, bytes.fromhex(data)).raw
        found = refusal(raw.hex())
        assert found.error == "layout"
        assert [note.name for note in found.notes][11:-2] == names

    def test_an_unknown_length_of_a_known_device(self) -> None:
        payload = parse(frame_bytes("cabinet_report")).payload[:-1]
        found = refusal(build(0x55, CABINET_ADDRESS, 0x81, b"\x90\x1f\x00" + payload).raw.hex())
        assert (found.error, found.offset) == ("layout", 10)
        assert (found.expected, found.found) == ("L=3B", "L=3A")
        assert found.notes[1].value == "cabinet"
        assert {note.name for note in found.notes[14:-2]} == {"unidentified"}


class TestMessages:
    @pytest.mark.parametrize("vector", [v for v in MESSAGES if "decoded" in v], ids=name)
    def test_fields(self, vector: Json) -> None:
        explained = one(vector["payload"])
        assert explained["fields"] == vector["decoded"]
        assert list(explained) == ["ok", "msg_id", "gateway_id", "fields"]
        assert (explained["ok"], explained["gateway_id"]) == (True, GATEWAY_ID)
        assert explained["msg_id"] == (1 if "status" in vector["name"] else 2)

    @pytest.mark.parametrize(
        ("vector", "msg_id", "fields"),
        [
            ("status_query", 1, {}),
            ("settings_query", 2, {}),
            ("read_cabinets_now", 18, {"cabinets": True, "valves": False, "upload": False}),
            ("read_now_ack", 18, {"stat": 2}),
            ("transparent_ack_failed", 40, {"stat": 1}),
        ],
    )
    def test_without_frames(self, vector: str, msg_id: int, fields: Json) -> None:
        assert one(message(vector).decode()) == {
            "ok": True,
            "msg_id": msg_id,
            "gateway_id": GATEWAY_ID,
            "fields": fields,
        }

    def test_what_is_unknown_is_null(self) -> None:
        text = message("settings_reply").decode().replace("20XX-09-01", "20XX-13-01")
        assert one(text)["fields"]["season_start"] is None

    @pytest.mark.parametrize("vector", [v for v in MESSAGES if "001111" in v["payload"]], ids=name)
    def test_every_frame_inside(self, vector: Json) -> None:
        explained = one(vector["payload"])
        assert explained["ok"] is True
        assert "".join(note["hex"] for note in explained["bytes"]) in vector["payload"]
        assert explained["device"] == vector["name"].partition("_")[0]

    @pytest.mark.parametrize("vector", MESSAGES, ids=name)
    def test_every_message_is_good(self, vector: Json) -> None:
        (explained,) = explain(vector["payload"])
        assert isinstance(explained, ExplainedMessage)
        assert explained.good
        assert explained.name

    def test_one_bad_frame_of_several(self) -> None:
        good = frame_bytes("valve_report_A").hex()
        text = report("23227310200800", good, "zz", good[:-2] + "17", good + good)
        (explained,) = explain(text)
        assert isinstance(explained, ExplainedMessage)
        assert explained.good is False
        assert explained.fields == {"meter_id": "23227310200800"}
        assert [part["ok"] for part in objects(text)] == [True, False, False, True, True]
        assert [part.get("error") for part in objects(text)][1:3] == ["hex", "end"]

    def test_an_empty_report(self) -> None:
        assert one(report("23227310200800"))["fields"] == {"meter_id": "23227310200800"}

    def test_a_frame_of_another_meter(self) -> None:
        found = one(report("27100583203400", frame_bytes("valve_report_A").hex()))
        assert (found["error"], found["offset"]) == ("layout", 2)
        assert found["expected"] == "the meter number of the report, 27100583"
        assert found["found"] == "23227310"

    def test_a_frame_of_another_protocol(self) -> None:
        found = one(report("23227310203400", frame_bytes("valve_report_A").hex()))
        assert (found["error"], found["offset"]) == ("layout", 1)
        assert found["expected"] == "the device type of protocol 2034"

    @pytest.mark.parametrize(
        ("text", "offset", "expected", "found"),
        [
            ('{"gw":', 6, "JSON", "not JSON: Expecting value: line 1 column 7 (char 6)"),
            (' {"\udcff":1}', 3, "text in UTF-8", "not UTF-8"),
            ("[]", None, "the message must be an object", "list"),
            ("{}", None, "the keys of a message", "gw is missing"),
            ("[" * 17, None, "a message of a gateway", "more than 16 levels deep"),
            (
                message("read_now_ack").decode().replace('"stat":2', '"stat":7'),
                None,
                "stat must be 1 or 2",
                "7",
            ),
            (
                message("read_now_ack").decode().replace("18", "19"),
                None,
                "msg_id 1, 2, 18, 20 or 40",
                "msg_id 19 is not known",
            ),
            (
                message("read_now_ack").decode().replace(GATEWAY_ID, "1"),
                None,
                "a gateway id",
                "gw_id must be 11 digits",
            ),
            (
                message("read_now_ack").decode().replace(GATEWAY_ID, "1" * 1025),
                None,
                "values within their limits",
                "gw_id is too long or not printable",
            ),
            (
                message("read_now_ack").decode().ljust(MAX_PAYLOAD_SIZE + 1),
                None,
                "at most 65536 bytes",
                "65537 bytes, at most 65536",
            ),
        ],
    )
    def test_refused(self, text: str, offset: int | None, expected: str, found: str) -> None:
        assert one(text) == {
            "ok": False,
            "error": "json",
            "offset": offset,
            "expected": expected,
            "found": found,
        }
        assert one(message("read_now_ack").decode())["ok"] is True


class TestAnything:
    @pytest.mark.parametrize(("text", "error"), [("0", "hex"), ("{", "json"), (" [", "json")])
    def test_too_long(self, text: str, error: str) -> None:
        found = one(text.ljust(MAX_LENGTH + 1, "0"))
        assert (found["error"], found["offset"]) == (error, MAX_LENGTH)
        assert (found["expected"], found["found"]) == (f"at most {MAX_LENGTH} characters", "more")
        assert found["expected"] == "at most 131072 characters"

    def test_the_longest(self) -> None:
        text = (VALVE_REPLY * 4000)[: MAX_LENGTH // 34 * 34]
        assert len(text) > MAX_LENGTH - 34
        assert all(explained.good for explained in explain(text))

    @given(
        st.one_of(
            st.text(),
            st.binary().map(bytes.hex),
            st.text('{}[]":,0123456789abcdefgw_id\\ '),
            st.binary(max_size=40).map(lambda data: f"68{data.hex()}16"),
        )
    )
    def test_any_text_is_explained_or_refused(self, text: str) -> None:
        explained = explain(text)
        assert explained
        for part in objects(text):
            assert part["ok"] in {True, False}
            assert part["ok"] or part["error"]

    @given(st.binary(min_size=1, max_size=200))
    def test_no_byte_is_lost(self, data: bytes) -> None:
        notes = [
            note
            for explained in explain(data.hex())
            if not isinstance(explained, ExplainedMessage)
            for note in explained.notes
        ]
        assert bytes(note.byte for note in notes) == data
        assert [note.offset for note in notes] == list(range(len(data)))
