"""The gateway's JSON messages, both ways (docs/PROTOCOL.md, section 2)."""

from collections.abc import Callable
import json
import time
from typing import Any

from hypothesis import given, strategies as st
import orjson
import pytest

from custom_components.hy_heating.hyheat.envelope import (
    MAX_NESTING,
    MAX_PAYLOAD_SIZE,
    FromGateway,
    Loads,
    Message,
    MeterId,
    MonthDay,
    ReadNow,
    ReadNowAck,
    Report,
    SettingsQuery,
    SettingsReply,
    Stat,
    StatusQuery,
    StatusReply,
    ToGateway,
    TransparentAck,
    TransparentCommand,
    TransparentReply,
    command_topic,
    decode,
    decode_from_gateway,
    decode_to_gateway,
    encode,
    gateway_id_of_topic,
    is_gateway_id,
    report_topic,
)
from custom_components.hy_heating.hyheat.errors import EnvelopeError, RefusalReason
from tests.vectors import GATEWAY_ID, MESSAGES, frame_bytes, message

CABINET_FRAME = frame_bytes("cabinet_report").hex().upper()
VALVE_FRAME = frame_bytes("valve_report_C").hex().upper()

STATUS = StatusReply(
    gateway_id="02345678903",
    stat=Stat.SUCCEEDED,
    csq=(99, 99),
    rssi_dbm=-98,
    sinr_db=13,
    iccid="89860025102250386087",
    firmware="V1.0",
    has_reset=False,
    mbus_mv=29392,
    mbus_ma=3,
    model=136,
    cabinets=5,
    valves=96,
)
SETTINGS = SettingsReply(
    gateway_id="02345678903",
    stat=Stat.SUCCEEDED,
    interval_out_of_season_min=1440,
    season_start=MonthDay(9, 1),
    season_end=MonthDay(5, 1),
    cabinet_interval_min=10,
    valve_interval_min=60,
    in_season_statistics=True,
)


def command(frame: str) -> TransparentCommand:
    return TransparentCommand(GATEWAY_ID, "FEFEFEFE" + frame, port=0, count=5)


def reply(frame: str) -> TransparentReply:
    return TransparentReply(GATEWAY_ID, port=0, frames=(frame,))


# What each captured message says, read off its payload by hand.
EXPECTED: dict[str, Message] = {
    "status_query": StatusQuery(GATEWAY_ID),
    "status_reply": STATUS,
    "settings_query": SettingsQuery(GATEWAY_ID),
    "settings_reply": SETTINGS,
    "settings_reply_spaced": SETTINGS,
    "cabinet_report": Report(GATEWAY_ID, MeterId("27100583", "2034", 0), (CABINET_FRAME,)),
    "valve_report": Report(GATEWAY_ID, MeterId("23227310", "2008", 0), (VALVE_FRAME,)),
    "read_cabinets_now": ReadNow(GATEWAY_ID, cabinets=True, valves=False, upload=False),
    "read_valves_now": ReadNow(GATEWAY_ID, cabinets=False, valves=True, upload=False),
    "read_now_ack": ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED),
    "cabinet_set_0": command("6855271005830011111605902F0100007916"),
    "cabinet_set_50": command("6855271005830011111605902F01F4016E16"),
    "cabinet_set_100": command("6855271005830011111605902F01E8036416"),
    "valve_set_0": command("6853232273100011110404A01900006616"),
    "valve_set_50": command("6853232273100011110404A01900329816"),
    "valve_set_100": command("6853232273100011110404A0190064CA16"),
    "transparent_ack": TransparentAck(GATEWAY_ID, Stat.SUCCEEDED),
    "transparent_ack_failed": TransparentAck(GATEWAY_ID, Stat.FAILED),
    "cabinet_set_reply": reply("6855271005830011119603902F01F716"),
    "valve_set_0_reply": reply("6853232273100011118404A0190000E616"),
    "valve_set_50_reply_malformed": reply("6853232273100011118404A01900321816"),
    "valve_set_50_reply_braced": reply("6853232273100011118404A01900321816"),
    "valve_set_100_reply_malformed": reply("6853232273100011118404A01900644A16"),
}

GOOD = message("read_now_ack")


def payload(msg_id: object, data: object, **gw: object) -> bytes:
    """Return a payload whose envelope is right but for what is given."""
    head = {"msg_id": msg_id, "msg_gw_pr": 0, "gw_id": GATEWAY_ID} | gw
    return json.dumps({"gw": head, "data": data}).encode()


def refused(
    raw: bytes,
    by: Callable[[bytes, str | None, Loads], Message] = decode_from_gateway,
    loads: Loads = json.loads,
) -> EnvelopeError:
    """Return the error that a payload is refused with, and see that a good one still passes."""
    with pytest.raises(EnvelopeError) as caught:
        by(raw, GATEWAY_ID, loads)
    assert decode_from_gateway(GOOD, GATEWAY_ID, loads) == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)
    return caught.value


class TestCaptured:
    def test_every_message_is_checked(self) -> None:
        assert {vector["name"] for vector in MESSAGES} == EXPECTED.keys()

    @pytest.mark.parametrize("loads", [json.loads, orjson.loads])
    @pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector["name"])
    def test_decode(self, vector: dict[str, Any], loads: Loads) -> None:
        raw, expected = vector["payload"].encode(), EXPECTED[vector["name"]]
        by = decode_to_gateway if vector["direction"] == "to_gateway" else decode_from_gateway
        assert by(raw, gateway_id_of_topic(vector["topic"]), loads) == expected
        assert decode(raw, loads) == expected

    @pytest.mark.parametrize(
        "vector",
        [vector for vector in MESSAGES if vector["json_valid"] and "spaced" not in vector["name"]],
        ids=lambda vector: vector["name"],
    )
    def test_encode_byte_for_byte(self, vector: dict[str, Any]) -> None:
        assert encode(EXPECTED[vector["name"]]) == vector["payload"].encode()

    @pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector["name"])
    def test_topics(self, vector: dict[str, Any]) -> None:
        topic = command_topic if vector["direction"] == "to_gateway" else report_topic
        assert topic(GATEWAY_ID) == vector["topic"]

    @pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector["name"])
    def test_the_declared_validity_is_true(self, vector: dict[str, Any]) -> None:
        try:
            json.loads(vector["payload"])
        except ValueError:
            assert not vector["json_valid"]
        else:
            assert vector["json_valid"]


class TestMalformed:
    """Exactly the two captured shapes are understood."""

    def csq(self, text: str) -> bytes:
        return payload(1, {"stat": 2, "CSQ": 0, "RSSI": -98}).replace(b'"CSQ": 0', text.encode())

    def meter_data(self, text: str, end: str = "}}") -> bytes:
        raw = payload(40, {"transparent_port": 0, "meter_data": 0}).decode()
        return raw.replace('"meter_data": 0}}', f'"meter_data":{text}{end}').encode()

    @pytest.mark.parametrize(
        ("text", "pair"),
        [
            ('"CSQ":99,99', (99, 99)),
            ('"CSQ": 21, 0', (21, 0)),
            ('"CSQ":7,7 ', (7, 7)),
            ('"CSQ":[99,99]', (99, 99)),  # what it should have been
        ],
    )
    def test_bare_pair(self, text: str, pair: tuple[int, int]) -> None:
        decoded = decode_from_gateway(self.csq(text))
        assert isinstance(decoded, StatusReply)
        assert (decoded.csq, decoded.rssi_dbm) == (pair, -98)

    def test_bare_pair_at_the_end(self) -> None:
        raw = payload(1, {"stat": 2, "CSQ": 0}).replace(b'"CSQ": 0', b'"CSQ":99,99')
        decoded = decode_from_gateway(raw)
        assert isinstance(decoded, StatusReply)
        assert decoded.csq == (99, 99)

    @pytest.mark.parametrize(
        "text",
        ['"CSQ":99,99,99', '"CSQ":99,', '"CSQ":,99', '"CSQ":-9,99', '"CSQ":1.5,9', '"CSQ":1234,99'],
    )
    def test_other_pairs(self, text: str) -> None:
        assert refused(self.csq(text)).reason is RefusalReason.JSON

    @pytest.mark.parametrize("end", ["}}", "}"])
    @pytest.mark.parametrize("text", ['{"6816"}', '{ "6816" }', ' {"6816"}', '{"68fE16"}', '{""}'])
    def test_braced_frame(self, text: str, end: str) -> None:
        decoded = decode_from_gateway(self.meter_data(text, end))
        assert isinstance(decoded, TransparentReply)
        assert decoded.frames == (text.strip(' {}"'),)

    @pytest.mark.parametrize(
        ("text", "end"),
        [
            ('{"6816","6816"}', "}}"),
            ('{"68 16"}', "}}"),
            ('{"zz"}', "}}"),
            ("{6816}", "}}"),
            ('{"6816"}', ""),
            ('{"6816"]', "}}"),
            ('["6816"}', "}}"),
            ('{{"6816"}}', "}}"),
            ('["6816"]', "}"),  # a missing final brace alone was never captured
        ],
    )
    def test_other_braces(self, text: str, end: str) -> None:
        assert refused(self.meter_data(text, end)).reason is RefusalReason.JSON

    @pytest.mark.parametrize(
        "text", ['"CSQ":99,99,"CSQ":1,1', '"meter_data":{"68"},"meter_data":{"68"}']
    )
    def test_one_shape_twice_was_never_captured(self, text: str) -> None:
        raw = payload(40, {"transparent_port": 0}).replace(b'port": 0', f'port":0,{text}'.encode())
        assert refused(raw).reason is RefusalReason.JSON

    def test_both_shapes_at_once_were_never_captured(self) -> None:
        raw = b'{"gw":{},"data":{"CSQ":99,99,"meter_data":{"6816"}}}'
        assert refused(raw).reason is RefusalReason.JSON

    def test_white_space_as_captured(self) -> None:
        raw = GOOD.replace(b"{", b" {").replace(b",", b", ") + b"\r\n"
        assert decode_from_gateway(raw) == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)


class TestRefusedBeforeItIsJson:
    def test_the_largest(self) -> None:
        largest = decode_from_gateway(GOOD.ljust(MAX_PAYLOAD_SIZE), GATEWAY_ID)
        assert largest == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)
        error = refused(GOOD.ljust(MAX_PAYLOAD_SIZE + 1))
        assert error.reason is RefusalReason.TOO_LARGE
        assert (MAX_PAYLOAD_SIZE, MAX_NESTING) == (65536, 16)

    @pytest.mark.parametrize(
        ("raw", "offset"),
        [
            (b"\xff", 0),
            (b'{"gw":\xc3\x28}', 6),
            (b"{\xed\xa0\x80}", 1),
            (GOOD + b"\xe2", len(GOOD)),
        ],
    )
    def test_not_utf_8(self, raw: bytes, offset: int) -> None:
        error = refused(raw)
        assert (error.reason, error.offset) == (RefusalReason.ENCODING, offset)

    @pytest.mark.parametrize(
        ("raw", "offset"),
        [(b"", 0), (b"hello", 0), (b'{"gw":}', 6), (GOOD[:-1], len(GOOD) - 1), (b"\0", 0)],
    )
    def test_not_json(self, raw: bytes, offset: int) -> None:
        error = refused(raw)
        assert (error.reason, error.offset) == (RefusalReason.JSON, offset)

    def test_a_parser_that_names_no_place(self) -> None:
        def loads(text: str) -> object:
            if text.startswith("{"):
                return json.loads(text)
            raise ValueError("something")

        error = refused(b"hello", loads=loads)
        assert (error.reason, error.offset) == (RefusalReason.JSON, None)

    def test_a_number_too_long_to_convert(self) -> None:
        raw = GOOD.replace(b'"stat":2', b'"stat":' + b"9" * 5000)
        assert refused(raw).reason is RefusalReason.JSON


class TestNesting:
    def nested(self, depth: int) -> bytes:
        """Return a good message with an extra value, `depth` levels deep in all."""
        levels = depth - 2  # the message and its data are two
        extra = b',"extra":' + b"[" * levels + b"]" * levels
        return GOOD.replace(b'"stat":2', b'"stat":2' + extra)

    @pytest.mark.parametrize("loads", [json.loads, orjson.loads])
    def test_the_deepest(self, loads: Loads) -> None:
        deepest = decode_from_gateway(self.nested(MAX_NESTING), GATEWAY_ID, loads)
        assert deepest == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)
        assert refused(self.nested(MAX_NESTING + 1), loads=loads).reason is RefusalReason.NESTING

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(b"[" * 32_000 + b"]" * 32_000, id="lists"),
            pytest.param(b'{"a":' * 9_000 + b"1" + b"}" * 9_000, id="objects"),
            pytest.param(b"[" * 65_000, id="never closed"),
            pytest.param(b'[{"a":' * 9_000, id="objects in lists"),
            pytest.param(b'["",' * 9_000, id="texts between"),
            pytest.param(b"[" * MAX_NESTING + b"]," + b"[" * 2, id="one step back"),
        ],
    )
    @pytest.mark.parametrize("loads", [json.loads, orjson.loads])
    def test_very_deep(self, raw: bytes, loads: Loads) -> None:
        assert refused(raw, loads=loads).reason is RefusalReason.NESTING

    def test_brackets_side_by_side_are_not_deep(self) -> None:
        raw = GOOD.replace(b'"stat":2', b'"stat":2,"extra":[' + b"[]," * 99 + b"[]]")
        assert decode_from_gateway(raw) == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("[" * 99, id="lists"),
            pytest.param("{" * 99, id="objects"),
            pytest.param('"[' * 99, id="behind quotes"),
            pytest.param("\\[" * 99, id="behind backslashes"),
            pytest.param('\\"{\\' * 99, id="behind both"),
        ],
    )
    def test_brackets_in_a_text_are_not_deep(self, text: str) -> None:
        raw = payload(18, {"stat": 2, "extra": text})
        assert decode_from_gateway(raw) == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)

    @pytest.mark.parametrize(
        "raw",
        [
            pytest.param(b'"' + b'\\"[' * 20_000, id="one text"),
            pytest.param(b'"["' * 20_000, id="many texts"),
            pytest.param(b"[]" * 30_000, id="many lists"),
        ],
    )
    def test_what_never_ends_costs_little(self, raw: bytes) -> None:
        started = time.process_time()
        assert refused(raw).reason is RefusalReason.JSON
        assert time.process_time() - started < 1.0


class TestRefusedShapes:
    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (b"[]", RefusalReason.TYPE),
            (b'"gw"', RefusalReason.TYPE),
            (b"1", RefusalReason.TYPE),
            (b"null", RefusalReason.TYPE),
            (b"{}", RefusalReason.SHAPE),
            (b'{"gw":{}}', RefusalReason.SHAPE),
            (b'{"data":{}}', RefusalReason.SHAPE),
            (b'{"gw":[],"data":{}}', RefusalReason.TYPE),
            (b'{"gw":null,"data":{}}', RefusalReason.TYPE),
            (b'{"gw":{},"data":[]}', RefusalReason.TYPE),
            (payload(1, {"stat": 2}, gw_id=None), RefusalReason.SHAPE),
            (payload(1, {"stat": 2}, gw_id=2345678903), RefusalReason.TYPE),
            (payload(1, {"stat": 2}, gw_id="2345678903"), RefusalReason.GATEWAY_ID),
            (payload(1, {"stat": 2}, gw_id="0234567890X"), RefusalReason.GATEWAY_ID),
            (payload(1, {"stat": 2}, gw_id="\u0660" * 11), RefusalReason.GATEWAY_ID),
            (payload(1, {"stat": 2}, gw_id="02345678904"), RefusalReason.GATEWAY_ID),
            (payload(1, {"stat": 2}, gw_id="\ud800"), RefusalReason.VALUE),
            (payload(1, {"stat": 2}, msg_gw_pr="0"), RefusalReason.TYPE),
            (payload(None, {"stat": 2}), RefusalReason.SHAPE),
            (payload("1", {"stat": 2}), RefusalReason.TYPE),
            (payload(1.0, {"stat": 2}), RefusalReason.TYPE),
            (payload(True, {"stat": 2}), RefusalReason.TYPE),
            (payload(3, {"stat": 2}), RefusalReason.MSG_ID),
            (payload(0, {"stat": 2}), RefusalReason.MSG_ID),
            (payload(-1, {"stat": 2}), RefusalReason.MSG_ID),
            (payload(2**53 + 1, {"stat": 2}), RefusalReason.VALUE),
            # Numbers that are no numbers of JSON, as Python reads them.
            (GOOD.replace(b'"msg_id":18', b'"msg_id":1e999'), RefusalReason.TYPE),
            (GOOD.replace(b'"msg_id":18', b'"msg_id":NaN'), RefusalReason.TYPE),
        ],
    )
    def test_envelope(self, raw: bytes, reason: RefusalReason) -> None:
        assert refused(raw).reason is reason

    @pytest.mark.parametrize(
        ("msg_id", "data", "reason"),
        [
            (1, {}, RefusalReason.SHAPE),
            (1, {"stat": 0}, RefusalReason.VALUE),
            (1, {"stat": 3}, RefusalReason.VALUE),
            (1, {"stat": "2"}, RefusalReason.TYPE),
            (1, {"stat": True}, RefusalReason.TYPE),
            (1, {"stat": 2, "CSQ": 99}, RefusalReason.TYPE),
            (1, {"stat": 2, "CSQ": [99]}, RefusalReason.TYPE),
            (1, {"stat": 2, "CSQ": [99, 99, 99]}, RefusalReason.TYPE),
            (1, {"stat": 2, "CSQ": [99, True]}, RefusalReason.TYPE),
            (1, {"stat": 2, "CSQ": [99, 2**53 + 1]}, RefusalReason.VALUE),
            (1, {"stat": 2, "CSQ": [-(2**53) - 1, 99]}, RefusalReason.VALUE),
            (1, {"stat": 2, "RSSI": "-98"}, RefusalReason.TYPE),
            (1, {"stat": 2, "RSSI": -98.5}, RefusalReason.TYPE),
            (1, {"stat": 2, "RSSI": -(2**53) - 1}, RefusalReason.VALUE),
            (1, {"stat": 2, "CCID": 8986}, RefusalReason.TYPE),
            (1, {"stat": 2, "CCID": "8" * 1025}, RefusalReason.VALUE),
            (1, {"stat": 2, "GW_Ver": "V1\x00"}, RefusalReason.VALUE),
            (1, {"stat": 2, "GW_Ver": "\ud800"}, RefusalReason.VALUE),
            (1, {"stat": 2, "has_rst": 2}, RefusalReason.VALUE),
            (1, {"stat": 2, "has_rst": False}, RefusalReason.TYPE),
            (1, {"stat": 2, "MBUS_mV": -1}, RefusalReason.VALUE),
            (1, {"stat": 2, "copy_meter_total": -1}, RefusalReason.VALUE),
            (2, {"stat": 2, "main_interval": -10}, RefusalReason.VALUE),
            (2, {"stat": 2, "main_interval": [10]}, RefusalReason.TYPE),
            (2, {"stat": 2, "heating_start": 901}, RefusalReason.TYPE),
            (2, {"stat": 2, "copy_statistics": 7}, RefusalReason.VALUE),
            (18, {}, RefusalReason.SHAPE),
            (18, {"stat": None}, RefusalReason.SHAPE),
            (20, {}, RefusalReason.SHAPE),
            (20, {"meter_id": "27100583203400"}, RefusalReason.SHAPE),
            (20, {"meter_data": ["6816"]}, RefusalReason.SHAPE),
            (20, {"meter_id": 27100583203400, "meter_data": []}, RefusalReason.TYPE),
            (20, {"meter_id": "2710058320340", "meter_data": []}, RefusalReason.VALUE),
            (20, {"meter_id": "2710058A203400", "meter_data": []}, RefusalReason.VALUE),
            (20, {"meter_id": "\u0662" * 14, "meter_data": []}, RefusalReason.VALUE),
            (20, {"meter_id": "27100583203400", "meter_data": "6816"}, RefusalReason.TYPE),
            (20, {"meter_id": "27100583203400", "meter_data": [6816]}, RefusalReason.TYPE),
            (20, {"meter_id": "27100583203400", "meter_data": ["68", None]}, RefusalReason.TYPE),
            (20, {"meter_id": "27100583203400", "meter_data": {"68": 1}}, RefusalReason.TYPE),
            (40, {}, RefusalReason.SHAPE),
            (40, {"stat": 9}, RefusalReason.VALUE),
            (40, {"meter_data": ["6816"]}, RefusalReason.SHAPE),
            (40, {"meter_data": None, "transparent_port": 0}, RefusalReason.SHAPE),
            (40, {"meter_data": ["6816"], "transparent_port": -1}, RefusalReason.VALUE),
            (40, {"meter_data": ["6816"], "transparent_port": "0"}, RefusalReason.TYPE),
        ],
    )
    @pytest.mark.parametrize("loads", [json.loads, orjson.loads])
    def test_from_a_gateway(
        self, msg_id: int, data: dict[str, Any], reason: RefusalReason, loads: Loads
    ) -> None:
        raw = payload(msg_id, data)
        if loads is orjson.loads and b"\\ud800" in raw:
            reason = RefusalReason.JSON  # it takes half a surrogate pair for no JSON at all
        assert refused(raw, loads=loads).reason is reason

    @pytest.mark.parametrize(
        ("msg_id", "data", "reason"),
        [
            (20, {}, RefusalReason.MSG_ID),  # nobody sends a report to a gateway
            (18, {}, RefusalReason.SHAPE),
            (18, {"main_immediately": 1, "copy_immediately": 0}, RefusalReason.SHAPE),
            (
                18,
                {"main_immediately": 2, "copy_immediately": 0, "up_immediately": 0},
                RefusalReason.VALUE,
            ),
            (40, {"transparent_port": 0, "transparent_count": 5}, RefusalReason.SHAPE),
            (40, {"transparent": "FE68", "transparent_count": 5}, RefusalReason.SHAPE),
            (40, {"transparent": "FE68", "transparent_port": 0}, RefusalReason.SHAPE),
            (
                40,
                {"transparent": ["FE68"], "transparent_port": 0, "transparent_count": 5},
                RefusalReason.TYPE,
            ),
        ],
    )
    def test_to_a_gateway(self, msg_id: int, data: dict[str, Any], reason: RefusalReason) -> None:
        assert refused(payload(msg_id, data), decode_to_gateway).reason is reason

    def test_the_gateway_id_of_the_topic(self) -> None:
        other = "02345678904"
        with pytest.raises(EnvelopeError) as caught:
            decode_from_gateway(GOOD, other)
        assert caught.value.reason is RefusalReason.GATEWAY_ID
        assert GATEWAY_ID in caught.value.detail
        assert other in caught.value.detail
        assert decode_from_gateway(GOOD, None) == decode_from_gateway(GOOD, GATEWAY_ID)

    def test_the_error_says_it_all(self) -> None:
        error = refused(payload(18, {"stat": 7}))
        assert str(error) == "value: stat must be 1 or 2, found 7"


class TestTolerated:
    def test_what_a_gateway_left_out_is_none(self) -> None:
        assert decode_from_gateway(payload(1, {"stat": 1})) == StatusReply(
            gateway_id=GATEWAY_ID, stat=Stat.FAILED
        )
        assert decode_from_gateway(payload(2, {"stat": 2})) == SettingsReply(
            gateway_id=GATEWAY_ID, stat=Stat.SUCCEEDED
        )

    @pytest.mark.parametrize(
        ("text", "day"),
        [
            ("20XX-09-01", MonthDay(9, 1)),
            ("2024-02-29", MonthDay(2, 29)),
            ("20XX-12-31", MonthDay(12, 31)),
            ("20XX-02-30", None),
            ("20XX-04-31", None),
            ("20XX-13-01", None),
            ("20XX-00-01", None),
            ("20XX-01-00", None),
            ("XXXX-01-01", None),
            ("20XX-9-1", None),
            ("", None),
            (None, None),
        ],
    )
    def test_a_season_day_that_is_none(self, text: str | None, day: MonthDay | None) -> None:
        decoded = decode_from_gateway(payload(2, {"stat": 2, "heating_start": text}))
        assert isinstance(decoded, SettingsReply)
        assert decoded.season_start == day

    def test_the_last_day_of_every_month(self) -> None:
        lasts = zip(range(1, 13), (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), strict=True)
        for month, last in lasts:
            for day, expected in ((last, MonthDay(month, last)), (last + 1, None)):
                data = {"stat": 2, "heating_end": f"20XX-{month:02d}-{day:02d}"}
                decoded = decode_from_gateway(payload(2, data))
                assert isinstance(decoded, SettingsReply)
                assert decoded.season_end == expected

    def test_the_number_of_the_sim_card_stays_out_of_what_is_logged(self) -> None:
        reply = StatusReply(
            gateway_id=GATEWAY_ID, stat=Stat.SUCCEEDED, iccid="89860025102250386087"
        )
        assert "8986" not in repr(reply)
        assert "rssi_dbm" in repr(reply)

    @pytest.mark.parametrize(
        ("gw", "detail"),
        [
            ({"msg_id": 1, "msg_gw_pr": 0}, "gw_id is missing"),
            ({"msg_gw_pr": 0, "gw_id": GATEWAY_ID}, "msg_id is missing"),
            ([], "gw must be an object, found list"),
            ({"msg_id": "1", "gw_id": GATEWAY_ID}, "msg_id must be an integer, found str"),
            ({"msg_id": 2**53 + 1, "gw_id": GATEWAY_ID}, "msg_id is out of range"),
            ({"msg_id": -(2**53) - 1, "gw_id": GATEWAY_ID}, "msg_id is out of range"),
            ({"msg_id": 2**53, "gw_id": GATEWAY_ID}, f"msg_id {2**53} is not known"),
            ({"msg_id": -(2**53), "gw_id": GATEWAY_ID}, f"msg_id {-(2**53)} is not known"),
        ],
    )
    def test_what_a_head_must_have(self, gw: object, detail: str) -> None:
        with pytest.raises(EnvelopeError) as caught:
            decode_from_gateway(json.dumps({"gw": gw, "data": {"stat": 2}}).encode())
        assert caught.value.detail == detail

    def test_a_text_may_have_1024_characters(self) -> None:
        decoded = decode_from_gateway(payload(1, {"stat": 2, "GW_Ver": "V" * 1024}))
        assert isinstance(decoded, StatusReply)
        assert decoded.firmware == "V" * 1024
        with pytest.raises(EnvelopeError) as caught:
            decode_from_gateway(payload(1, {"stat": 2, "GW_Ver": "V" * 1025}))
        assert caught.value.detail == "GW_Ver is too long or not printable"

    def test_a_season_that_is_not_known_is_not_told(self) -> None:
        told = encode(SettingsReply(gateway_id=GATEWAY_ID, stat=Stat.SUCCEEDED))
        assert b"20XX" not in told

    def test_unknown_keys(self) -> None:
        raw = payload(18, {"stat": 2, "new": {"a": [1]}}, new=7)
        assert decode_from_gateway(raw) == ReadNowAck(GATEWAY_ID, Stat.SUCCEEDED)


MUST_BE_A_LIST = "meter_data must be a list, found str"
MUST_BE_A_LIST_OF_TEXTS = "meter_data must be a list of texts, found int"


class TestEitherDirection:
    """What a message's data holds tells where it goes."""

    @pytest.mark.parametrize(
        ("msg_id", "data", "detail"),
        [
            (1, {"stat": 7}, "stat must be 1 or 2, found 7"),
            (1, {"CSQ": [99, 99]}, "stat is missing"),
            (18, {"main_immediately": 1}, "copy_immediately is missing"),
            (18, {"stat": 0}, "stat must be 1 or 2, found 0"),
            (18, {}, "main_immediately is missing"),
            (20, {}, "meter_id is missing"),
            (20, {"meter_id": "2710058320340"}, "meter_id must be 14 digits"),
            (20, {"meter_id": "2710058320340A"}, "meter_id must be 14 digits"),
            (20, {"meter_id": "27100583203400"}, "meter_data is missing"),
            (40, {"transparent_port": 0, "meter_data": "68"}, MUST_BE_A_LIST),
            (40, {"transparent_port": 0, "meter_data": ["68", 68]}, MUST_BE_A_LIST_OF_TEXTS),
            (40, {"transparent": 7}, "transparent must be a text, found int"),
            (40, {"transparent": "68"}, "transparent_port is missing"),
            (40, {"transparent": "68", "transparent_port": 0}, "transparent_count is missing"),
            (40, {"transparent_count": 5, "transparent_port": 0}, "transparent is missing"),
            (
                40,
                {"transparent": "68", "transparent_port": -1, "transparent_count": 5},
                "transparent_port must not be negative, found -1",
            ),
            (18, {"main_immediately": 1, "copy_immediately": 0}, "up_immediately is missing"),
            (18, {"main_immediately": 2}, "main_immediately must be 0 or 1, found 2"),
            (1, {"stat": 2, "CSQ": "x"}, "CSQ must be a pair of integers, found str"),
            (1, {"stat": 2, "CSQ": [2**53 + 1, 99]}, "CSQ is out of range"),
            (1, {"stat": 2, "CSQ": [99, 2**53 + 1]}, "CSQ is out of range"),
            (40, {"meter_data": ["68"]}, "transparent_port is missing"),
            (40, {"transparent_port": 0}, "stat is missing"),
            (99, {}, "msg_id 99 is not known"),
        ],
    )
    def test_the_error_is_that_of_the_right_direction(
        self, msg_id: int, data: dict[str, Any], detail: str
    ) -> None:
        with pytest.raises(EnvelopeError) as caught:
            decode(payload(msg_id, data))
        assert caught.value.detail == detail


class TestTopics:
    def test_prefix(self) -> None:
        assert report_topic(GATEWAY_ID, "site/a") == "site/a/set/02345678903"
        assert command_topic(GATEWAY_ID, "site/a") == "site/a/get/02345678903"
        assert gateway_id_of_topic("site/a/set/02345678903") == GATEWAY_ID
        assert gateway_id_of_topic(GATEWAY_ID) == GATEWAY_ID

    @pytest.mark.parametrize(
        "topic", ["", "hy/gw/set/", "hy/gw/set/0234567890", "hy/gw/set/0234567890A", "a/b\ud800"]
    )
    def test_no_gateway_id(self, topic: str) -> None:
        with pytest.raises(EnvelopeError) as caught:
            gateway_id_of_topic(topic)
        assert caught.value.reason is RefusalReason.TOPIC
        assert caught.value.detail == f"{topic!r} does not end in 11 digits"

    @pytest.mark.parametrize(
        ("text", "valid"),
        [
            ("02345678903", True),
            ("0234567890", False),
            ("023456789033", False),
            ("0234567890a", False),
            ("02345678903\n", False),
            ("\u0660" * 11, False),
        ],
    )
    def test_gateway_id(self, text: str, valid: bool) -> None:
        assert is_gateway_id(text) is valid


gateway_ids = st.text("0123456789", min_size=11, max_size=11)
stats = st.sampled_from(Stat)
counts = st.none() | st.integers(0, 2**53)
integers = st.none() | st.integers(-(2**53), 2**53)
flags = st.none() | st.booleans()
texts = st.none() | st.text(max_size=40).filter(str.isprintable)
days = st.none() | st.dates().map(lambda date: MonthDay(date.month, date.day))
meter_ids = st.builds(
    MeterId,
    number=st.text("0123456789", min_size=8, max_size=8),
    protocol_code=st.text("0123456789", min_size=4, max_size=4),
    port=st.integers(0, 99),
)
frames = st.lists(st.text(max_size=40), max_size=3).map(tuple)

from_gateway: st.SearchStrategy[FromGateway] = st.one_of(
    st.builds(
        StatusReply,
        gateway_id=gateway_ids,
        stat=stats,
        csq=st.none() | st.tuples(st.integers(-(2**53), 2**53), st.integers(0, 99)),
        rssi_dbm=integers,
        sinr_db=integers,
        iccid=texts,
        firmware=texts,
        has_reset=flags,
        mbus_mv=counts,
        mbus_ma=counts,
        model=integers,
        cabinets=counts,
        valves=counts,
    ),
    st.builds(
        SettingsReply,
        gateway_id=gateway_ids,
        stat=stats,
        interval_out_of_season_min=counts,
        season_start=days,
        season_end=days,
        cabinet_interval_min=counts,
        valve_interval_min=counts,
        in_season_statistics=flags,
    ),
    st.builds(ReadNowAck, gateway_ids, stats),
    st.builds(Report, gateway_ids, meter_ids, frames),
    st.builds(TransparentAck, gateway_ids, stats),
    st.builds(TransparentReply, gateway_ids, st.integers(0, 2**53), frames),
)
to_gateway: st.SearchStrategy[ToGateway] = st.one_of(
    st.builds(StatusQuery, gateway_ids),
    st.builds(SettingsQuery, gateway_ids),
    st.builds(ReadNow, gateway_ids, st.booleans(), st.booleans(), st.booleans()),
    st.builds(
        TransparentCommand,
        gateway_ids,
        st.text(max_size=40).filter(str.isprintable),
        st.integers(0, 2**53),
        st.integers(0, 2**53),
    ),
)


class TestIdentity:
    @given(from_gateway)
    def test_from_gateway(self, sent: FromGateway) -> None:
        raw = encode(sent)
        assert decode_from_gateway(raw, sent.gateway_id) == sent
        assert decode_from_gateway(raw, sent.gateway_id, orjson.loads) == sent
        assert decode(raw) == sent

    @given(to_gateway)
    def test_to_gateway(self, sent: ToGateway) -> None:
        raw = encode(sent)
        assert decode_to_gateway(raw, sent.gateway_id) == sent
        assert decode(raw) == sent

    def test_every_message_type_was_captured(self) -> None:
        captured = {type(expected) for expected in EXPECTED.values()}
        assert captured == {*FromGateway.__value__.__args__, *ToGateway.__value__.__args__}
