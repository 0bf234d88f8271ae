"""A gateway's bus, timetable and answers on a virtual clock."""

from dataclasses import replace
from itertools import pairwise

import pytest

from custom_components.hy_heating.hyheat.envelope import StatusReply, TransparentReply
from simulator import building, captured
from tests.vectors import message

from .bench import CABINET, VALVE, Bench, quiet

# At 2400 baud with 11 bits a byte and 0.1 s until the meter answers: 4 preamble bytes and a
# frame of 16 bytes go out in 20 × 11 / 2400 = 0.091667 s; a valve's report of 58 bytes comes in
# 0.265833 s, a cabinet's of 72 bytes in 0.33 s.
VALVE_READ_S = 0.091667 + 0.1 + 0.265833
CABINET_READ_S = 0.091667 + 0.1 + 0.33


def test_reading_96_valves_takes_its_time_on_the_bus() -> None:
    bench = Bench(quiet(building()))
    bench.read_now(valves=True)
    ack, *reports = bench.run(60)
    assert ack.at == pytest.approx(0.6)  # 0.3 s each way
    assert len(reports) == 96
    gaps = {round(later.at - earlier.at, 4) for earlier, later in pairwise(reports)}
    assert gaps == {round(VALVE_READ_S, 4)}
    assert reports[-1].at == pytest.approx(0.6 + 96 * VALVE_READ_S, abs=0.001)


def test_a_cabinet_takes_longer_and_baud_0_takes_no_time() -> None:
    bench = Bench(quiet(building(valves=0)))
    bench.read_now(cabinets=True)
    _, *reports = bench.run(60)
    assert reports[-1].at == pytest.approx(0.6 + 5 * CABINET_READ_S, abs=0.001)

    instant = Bench(quiet(building()).with_plans(baud=0, turnaround_s=0))
    instant.read_now(cabinets=True, valves=True)
    ack, *reports = instant.run(60)
    assert len(reports) == 101
    assert {report.at for report in reports} == {ack.at}


def test_commands_go_before_reads_and_one_at_a_time() -> None:
    bench = Bench(quiet(building(valves=10)))
    bench.read_now(valves=True)
    bench.run(1.0)  # the second valve is being read
    first, second = "23301000", "23301001"
    for number in (first, second):
        # 68 53 <number> 001111 04 04 A019 00 32 CS 16
        body = bytes.fromhex(f"6853{number}0011110404A0190032")
        bench.transparent(f"FEFEFEFE{body.hex()}{sum(body) % 256:02x}16")
    sent = bench.run(10)
    kinds = [
        "reply" if isinstance(each.message, TransparentReply) else each.message.__class__.__name__
        for each in sent
    ]
    # A report or two of what was on the bus already, then both replies, then the other reports.
    replies = [at for at, kind in enumerate(kinds) if kind == "reply"]
    assert replies[1] == replies[0] + 1
    assert kinds.index("TransparentAck") < replies[0] <= 5
    assert kinds.count("Report") >= 8
    # 20 bytes there... 17 of the frame and 4 of the preamble, and 17 back.
    exchange_s = 21 * 11 / 2400 + 0.1 + 17 * 11 / 2400
    assert sent[replies[1]].at - sent[replies[0]].at == pytest.approx(exchange_s, abs=0.001)


def test_asking_twice_for_the_same_readings_reads_once_more_only_what_was_read_already() -> None:
    bench = Bench(quiet(building(valves=10)))
    bench.read_now(valves=True)
    bench.read_now(valves=True)
    sent = bench.run(60)
    # Both are handled at the same moment, when the first valve is on the bus: 9 are in line.
    assert len([each for each in sent if each.msg_id == 20]) == 11


def test_reports_come_in_their_intervals_and_spread_evenly() -> None:
    bench = Bench(building(cabinets=2, valves=4).with_plans(read_at_start=False))
    hour = [each for each in bench.run(2 * 3600) if each.at >= 3600]
    by_meter: dict[str, list[float]] = {}
    for each in hour:
        by_meter.setdefault(each.frame["meter_number"], []).append(each.at % 3600)
    assert [len(times) for times in by_meter.values()].count(6) == 2  # cabinets, every 10 min
    valves = sorted(times[0] for times in by_meter.values() if len(times) == 1)
    assert len(valves) == 4
    gaps = [later - earlier for earlier, later in pairwise(valves)]
    assert all(gap == pytest.approx(900, abs=5) for gap in gaps)


def test_outside_the_season_valves_report_once_a_day_and_cabinets_as_ever() -> None:
    scenario = replace(building(cabinets=1, valves=2), start="2026-05-01T00:00")
    bench = Bench(scenario.with_plans(read_at_start=False))
    counts = []
    for _ in range(3):
        frames = [each.frame for each in bench.run(86_400)]
        counts.append(
            (
                sum(frame["device"] == "cabinet" for frame in frames),
                sum(frame["device"] == "valve" for frame in frames),
            )
        )
    # 144 × 10 min; 2 × 24 on the last day of the season, 2 × 1 afterwards. A slot at midnight
    # is reported in the second after it.
    assert counts[0] == (144 - 1, 48 - 1)
    assert counts[1] == counts[2] == (144, 2)


def test_reports_per_interval_changes_nothing_but_how_often() -> None:
    bench = Bench(building(cabinets=1, valves=0).with_plans(reports_per_interval=20))
    bench.ask(2)
    sent = bench.run(3600)
    assert len([each for each in sent if each.msg_id == 20]) == pytest.approx(120, abs=2)
    (settings,) = [each for each in sent if each.msg_id == 2]
    assert b'"main_interval":10' in settings.payload


def test_status_of_a_living_gateway_counts_its_meters() -> None:
    bench = Bench(quiet(building(cabinets=3, valves=17)))
    bench.ask(1)
    (sent,) = bench.run(2)
    assert b'"CSQ":99,99,' in sent.payload
    status = sent.message
    assert isinstance(status, StatusReply)
    assert (status.cabinets, status.valves) == (3, 17)
    assert status.rssi_dbm is not None
    assert -98 <= status.rssi_dbm <= -74
    assert len(status.iccid or "") == 20


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[]",
        b'{"gw":{"msg_id":99,"msg_gw_pr":0,"gw_id":"02345678903"},"data":{}}',
        b'{"gw":{"msg_id":1,"msg_gw_pr":0,"gw_id":"02345678999"},"data":{}}',
        b'{"gw":{"msg_id":40,"msg_gw_pr":0,"gw_id":"02345678903"},"data":{}}',
    ],
)
def test_what_is_no_command_is_counted_and_not_answered(payload: bytes) -> None:
    bench = Bench(quiet(captured()))
    bench.send(payload)
    assert bench.run(5) == []
    assert bench.gateway.counts["refused"] == 1
    assert bench.events[0]["event"] == "refused"
    bench.send(message("status_query"))
    assert [sent.payload for sent in bench.run(5)] == [message("status_reply")]


@pytest.mark.parametrize(
    ("frame", "port"),
    [("not hex", 0), ("FEFEFEFE6853232273100011110404A01900329816", 1)],
)
def test_what_cannot_go_to_the_bus_is_refused(frame: str, port: int) -> None:
    bench = Bench(quiet(captured()))
    bench.transparent(frame, port)
    assert [sent.payload for sent in bench.run(5)] == [message("transparent_ack_failed")]
    assert bench.opening_pct(VALVE) == 100.0


@pytest.mark.parametrize(
    "frame",
    [
        "6853999999990011110404A01900323416",  # another meter: the sum is 434
        "6853232273100011118404A0190000E616",  # a reply
        "FEFEFEFE6853232273100011110404A01900329916",  # wrong checksum
        "FEFE",
        "",
    ],
)
def test_what_nobody_feels_addressed_by_is_acknowledged_and_not_answered(frame: str) -> None:
    bench = Bench(quiet(captured()))
    bench.transparent(frame)
    assert [sent.payload for sent in bench.run(30)] == [message("transparent_ack")]
    assert bench.gateway.counts["no_answer"] == 1
    assert bench.opening_pct(VALVE) == 100.0


@pytest.mark.parametrize(
    ("body", "refusal"),
    [
        # An opening of 101 % (65 hex): C4 with the command's sequence byte and a status.
        ("6853232273100011110404A0190065", "685323227310001111C4030002006E16"),
        # A write that nobody knows (DI A018): the same.
        ("6853232273100011110404A0180032", "685323227310001111C4030002006E16"),
        # 200 % for the cabinet (07D0).
        ("6855271005830011111605902F01D007", "685527100583001111D6030102007A16"),
    ],
)
def test_a_meter_refuses_what_it_cannot_do(body: str, refusal: str) -> None:
    bench = Bench(quiet(captured()))
    raw = bytes.fromhex(body)
    bench.transparent(f"{body}{sum(raw) % 256:02X}16")
    ack, reply = bench.run(5)
    assert ack.payload == message("transparent_ack")
    assert refusal.encode() in reply.payload
    assert bench.opening_pct(VALVE) == bench.opening_pct(CABINET) == 100.0


def test_more_than_32_commands_in_line_are_refused() -> None:
    bench = Bench(quiet(captured()))
    for _ in range(34):
        bench.send(message("valve_set_50"))
    payloads = [sent.payload for sent in bench.run(30)]
    # One is on the bus, 32 are in line, and there is no place for the last.
    assert payloads.count(message("transparent_ack")) == 33
    assert payloads.count(message("transparent_ack_failed")) == 1
    bench.send(message("valve_set_50"))
    assert message("transparent_ack") in [sent.payload for sent in bench.run(30)]


def test_valves_travel_and_tell() -> None:
    bench = Bench(quiet(captured()))
    bench.send(message("valve_set_50"))
    bench.run(1.0)  # 0.3 s on the way, 21 × 11 / 2400 = 0.09625 s on the bus: it left at 0.396
    assert bench.opening_pct(VALVE) == pytest.approx(100 - (1.0 - 0.39625) / 0.6, abs=0.01)
    assert [(event["event"], event.get("target_pct")) for event in bench.events] == [("moving", 50)]
    bench.run(30)
    assert bench.opening_pct(VALVE) == 50.0
    assert bench.events[-1]["event"] == "arrived"
    assert bench.events[-1]["at"] == pytest.approx(bench.start + 30.39625, abs=0.001)


def test_an_overtaken_move_does_not_arrive() -> None:
    bench = Bench(quiet(captured()))
    bench.send(message("valve_set_0"))
    bench.run(20)
    bench.send(message("valve_set_100"))
    bench.run(300)
    assert [event["event"] for event in bench.events] == ["moving", "moving", "arrived"]
    assert bench.opening_pct(VALVE) == 100.0


def test_a_valve_can_be_turned_by_hand() -> None:
    bench = Bench(quiet(captured()))
    bench.fleet.move(bench.gateway_id, VALVE, 40, bench.now)
    bench.run(60)
    assert bench.opening_pct(VALVE) == 40.0
    with pytest.raises(KeyError):
        bench.fleet.move(bench.gateway_id, "00000000", 40, bench.now)
