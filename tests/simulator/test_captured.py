"""The captured gateway: every byte as in the vectors, until a valve is told to move."""

import pytest

from simulator import captured
from tests.vectors import frame_bytes, message

from .bench import CABINET, CAPTURED, VALVE, Bench


@pytest.fixture
def bench() -> Bench:
    bench = Bench(captured())
    bench.run(10)  # the readings at the start
    return bench


@pytest.mark.parametrize(
    ("query", "reply"),
    [("status_query", "status_reply"), ("settings_query", "settings_reply")],
)
def test_queries_are_answered_as_captured(bench: Bench, query: str, reply: str) -> None:
    bench.send(message(query))
    (sent,) = bench.run(5)
    assert sent.payload == message(reply)
    assert sent.gateway_id == CAPTURED


def test_reports_are_the_captured_frames_in_turn_and_then_the_last_for_good() -> None:
    bench = Bench(captured())
    sent = bench.run(3 * 3600)
    cabinets = [each.payload for each in sent if CABINET.encode() in each.payload]
    valves = [each.payload for each in sent if VALVE.encode() in each.payload]
    # In 3 hours of January: once at the start, then every 10 and every 60 minutes.
    assert len(cabinets) >= 18
    assert len(valves) >= 3
    first, later = message("cabinet_report"), frame_bytes("cabinet_report_4min_later").hex().upper()
    assert cabinets[0] == first
    assert all(later.encode() in payload for payload in cabinets[1:])
    assert valves[0] == message("valve_report")
    report_a = frame_bytes("valve_report_A").hex().upper()
    assert all(report_a.encode() in payload for payload in valves[1:])


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("cabinet_set_0", "cabinet_set_reply"),
        ("cabinet_set_50", "cabinet_set_reply"),
        ("cabinet_set_100", "cabinet_set_reply"),
        ("valve_set_0", "valve_set_0_reply"),
        ("valve_set_50", "valve_set_50_reply_malformed"),
        ("valve_set_100", "valve_set_100_reply_malformed"),
    ],
)
def test_commands_are_acknowledged_and_then_answered_as_captured(
    bench: Bench, command: str, reply: str
) -> None:
    bench.send(message(command))
    ack, answer = bench.run(5)
    assert ack.payload == message("transparent_ack")
    assert answer.payload == message(reply)
    assert ack.at < answer.at


def test_replies_are_json_where_the_scenario_says_so() -> None:
    bench = Bench(captured().with_plans(malformed_replies=False, read_at_start=False))
    bench.send(message("valve_set_50"))
    _, answer = bench.run(5)
    braced = message("valve_set_50_reply_braced")
    assert answer.payload == braced.replace(b'{"68', b'["68').replace(b'16"}', b'16"]')


def test_read_now_is_acknowledged_and_the_readings_follow(bench: Bench) -> None:
    bench.send(message("read_valves_now"))
    ack, *reports = bench.run(5)
    assert ack.payload == message("read_now_ack")
    assert [report.frame["meter_number"] for report in reports] == [VALVE]
    bench.send(message("read_cabinets_now"))
    ack, *reports = bench.run(5)
    assert ack.payload == message("read_now_ack")
    assert [report.frame["meter_number"] for report in reports] == [CABINET]


@pytest.mark.parametrize(
    ("command", "report"),
    [("cabinet_read", "cabinet_report_4min_later"), ("valve_read", "valve_report_A")],
)
def test_one_meter_is_read_by_a_transparent_command(
    bench: Bench, command: str, report: str
) -> None:
    bench.transparent(frame_bytes(command).hex().upper())
    ack, answer = bench.run(5)
    assert ack.payload == message("transparent_ack")
    assert frame_bytes(report).hex().upper().encode() in answer.payload
    assert answer.msg_id == 40


def test_a_moved_valve_changes_its_opening_and_nothing_else(bench: Bench) -> None:
    bench.send(message("valve_set_50"))
    bench.run(60)
    bench.transparent(frame_bytes("valve_read").hex())
    # Report A with 64 -> 32 in its opening, so the sum 72 - 32 = 40.
    half = frame_bytes("valve_report_A").hex().upper()
    half = half.replace("DC0055640A28", "DC0055320A28")[:-4] + "4016"
    assert half.encode() in bench.run(5)[1].payload

    bench.send(message("valve_set_0"))
    bench.run(60)
    bench.transparent(frame_bytes("valve_read").hex())
    # State 55 -> 99 (+44) and opening 64 -> 00 (-64): the sum is 72 + 44 - 64 = 52.
    closed = half.replace("DC0055320A28", "DC0099000A28")[:-4] + "5216"
    assert closed.encode() in bench.run(5)[1].payload

    bench.send(message("valve_set_100"))
    bench.run(120)
    bench.transparent(frame_bytes("valve_read").hex())
    assert frame_bytes("valve_report_A").hex().upper().encode() in bench.run(5)[1].payload


def test_a_moved_cabinet_shows_both_openings_and_nothing_else(bench: Bench) -> None:
    bench.send(message("cabinet_set_50"))
    bench.run(5 + 30)  # of 60 s for half the way
    bench.transparent(frame_bytes("cabinet_read").hex())
    moving = bench.run(2)[1].frame
    assert moving["commanded_opening_pct"] == 50.0
    assert 70 < moving["actual_opening_pct"] < 80
    bench.run(60)
    bench.transparent(frame_bytes("cabinet_read").hex())
    there = bench.run(2)[1].frame
    assert there["commanded_opening_pct"] == there["actual_opening_pct"] == 50.0
    assert there["heat_energy_kwh"] == 45323.12
    assert there["flow_l_h"] == 0
    assert there["volume_m3"] == 3456.78
    assert (there["supply_temperature_c"], there["return_temperature_c"]) == (28.87, 28.93)
