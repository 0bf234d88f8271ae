"""Every fault does what it says, and everything is as before when it is lifted."""

from typing import Any

import pytest

from custom_components.hy_heating.hyheat.errors import EnvelopeError, FrameError, RefusalReason
from custom_components.hy_heating.hyheat.frame import parse
from simulator import FAULTS, Fault, FaultKind, ScenarioError, building, captured
from tests.vectors import frame_bytes, message

from .bench import CABINET, VALVE, Bench, Sent, quiet

STATUS = message("status_reply")
ACK = message("transparent_ack")
REFUSED = message("transparent_ack_failed")
VALVE_READ = frame_bytes("valve_read").hex()
CABINET_READ = frame_bytes("cabinet_read").hex()


@pytest.fixture
def bench() -> Bench:
    return Bench(quiet(captured()))


def put(bench: Bench, kind: FaultKind, **narrowed: Any) -> None:
    bench.gateway.faults.add(Fault(kind=kind, **narrowed))


def payloads(sent: list[Sent]) -> list[bytes]:
    return [each.payload for each in sent]


def exchange(bench: Bench, command: str, seconds: float = 5) -> list[bytes]:
    """Send a captured command and return what comes back."""
    bench.send(message(command))
    return payloads(bench.run(seconds))


def test_every_fault_is_described_and_tested() -> None:
    assert set(FAULTS) == set(FaultKind)
    assert {f"test_{kind}" for kind in FaultKind} <= set(globals())


def test_silent_gateway(bench: Bench) -> None:
    bench.send(message("valve_set_50"))
    bench.run(0.5)  # the frame is on the bus
    put(bench, FaultKind.SILENT_GATEWAY)
    assert exchange(bench, "status_query", 60) == []
    assert bench.opening_pct(VALVE) == 50.0  # its valves go on
    assert exchange(bench, "valve_set_0", 60) == []
    assert bench.opening_pct(VALVE) == 50.0  # and it hears nothing
    assert bench.gateway.faults.clear(FaultKind.SILENT_GATEWAY) == 1
    assert exchange(bench, "status_query") == [STATUS]
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_drop_downlinks(bench: Bench) -> None:
    put(bench, FaultKind.DROP_DOWNLINKS, count=2)
    assert exchange(bench, "valve_set_0") == []
    assert exchange(bench, "status_query") == []
    assert bench.opening_pct(VALVE) == 100.0
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_drop_uplinks(bench: Bench) -> None:
    put(bench, FaultKind.DROP_UPLINKS, msg_id=40, count=1)
    assert exchange(bench, "status_query") == [STATUS]
    assert exchange(bench, "valve_set_0") == [message("valve_set_0_reply")]  # without its ack
    assert bench.gateway.lost == 1
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_stat_1(bench: Bench) -> None:
    put(bench, FaultKind.STAT_1)
    for query in ("status_query", "settings_query", "read_valves_now", "valve_set_0"):
        (payload,) = exchange(bench, query)
        assert payload.endswith(b'"data":{"stat":1}}')
    assert bench.opening_pct(VALVE) == 100.0
    bench.gateway.faults.clear()
    put(bench, FaultKind.STAT_1, msg_id=40, count=1)
    assert exchange(bench, "status_query") == [STATUS]
    assert exchange(bench, "valve_set_0") == [REFUSED]
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_malformed_json(bench: Bench) -> None:
    put(bench, FaultKind.MALFORMED_JSON)
    bench.send(message("status_query"))
    (sent,) = bench.run(5)
    assert STATUS.startswith(sent.payload)
    with pytest.raises(EnvelopeError) as refused:
        _ = sent.message
    assert refused.value.reason is RefusalReason.JSON
    bench.gateway.faults.clear()
    assert exchange(bench, "status_query") == [STATUS]


def test_duplicate(bench: Bench) -> None:
    put(bench, FaultKind.DUPLICATE, msg_id=1)
    assert exchange(bench, "status_query") == [STATUS, STATUS]
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]
    bench.gateway.faults.clear()
    assert exchange(bench, "status_query") == [STATUS]


def test_reordered(bench: Bench) -> None:
    put(bench, FaultKind.REORDERED, count=1)
    assert exchange(bench, "valve_set_0") == [message("valve_set_0_reply"), ACK]
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]
    put(bench, FaultKind.REORDERED, count=1, seconds=20)
    bench.send(message("status_query"))
    assert bench.run(20) == []
    assert payloads(bench.run(1)) == [STATUS]  # nothing overtook it
    assert exchange(bench, "status_query") == [STATUS]


def test_delayed(bench: Bench) -> None:
    put(bench, FaultKind.DELAYED, seconds=45)
    bench.send(message("status_query"))
    (sent,) = bench.run(60)
    assert sent.payload == STATUS
    assert sent.at == pytest.approx(45 + 0.6)
    bench.gateway.faults.clear()
    assert exchange(bench, "status_query", 1) == [STATUS]


def test_no_direct_reads(bench: Bench) -> None:
    put(bench, FaultKind.NO_DIRECT_READS)
    bench.transparent(VALVE_READ)
    assert payloads(bench.run(10)) == [ACK]
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]
    bench.read_now(cabinets=True, valves=True)
    assert [sent.msg_id for sent in bench.run(10)] == [18, 20, 20]
    bench.gateway.faults.clear()
    bench.transparent(VALVE_READ)
    assert len(bench.run(10)) == 2


def test_silent_meter(bench: Bench) -> None:
    put(bench, FaultKind.SILENT_METER, meter=VALVE)
    assert exchange(bench, "valve_set_0") == [ACK]
    assert bench.opening_pct(VALVE) == 100.0
    bench.read_now(cabinets=True, valves=True)
    _, *reports = bench.run(10)
    assert [report.frame["meter_number"] for report in reports] == [CABINET]
    assert bench.gateway.counts["no_answer"] == 2
    assert bench.gateway.faults.clear(meter=VALVE) == 1
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_corrupt_checksum(bench: Bench) -> None:
    put(bench, FaultKind.CORRUPT_CHECKSUM, meter=CABINET)
    bench.read_now(cabinets=True, valves=True)
    _, broken, good = bench.run(10)
    frame = broken.payload.split(b'"')[-2].decode()
    with pytest.raises(FrameError, match="checksum"):
        parse(frame)
    # Only the checksum: 73 -> 72.
    assert frame == frame_bytes("cabinet_report").hex().upper()[:-4] + "7216"
    assert good.frame["meter_number"] == VALVE
    bench.gateway.faults.clear()
    bench.read_now(cabinets=True)
    assert bench.run(10)[1].frame["heat_energy_kwh"] == 45323.12


def test_error_reply(bench: Bench) -> None:
    put(bench, FaultKind.ERROR_REPLY)
    _, valve = exchange(bench, "valve_set_50")
    assert frame_bytes("valve_set_error_reply").hex().upper().encode() in valve
    _, cabinet = exchange(bench, "cabinet_set_50")
    assert frame_bytes("cabinet_set_error_reply").hex().upper().encode() in cabinet
    bench.transparent(VALVE_READ)
    # C1 with SER 0 and a status: the set reply's C4 -> C1, so 6E -> 6B.
    assert b"685323227310001111C1030002006B16" in bench.run(5)[1].payload
    assert bench.opening_pct(VALVE) == bench.opening_pct(CABINET) == 100.0
    bench.read_now(valves=True)
    assert bench.run(5)[1].frame["opening_pct"] == 100  # reports go on
    bench.gateway.faults.clear()
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_wrong_echo(bench: Bench) -> None:
    put(bench, FaultKind.WRONG_ECHO, count=2)
    _, reply = exchange(bench, "valve_set_50")
    assert b"A0190028" in reply  # 40 instead of 50
    _, reply = exchange(bench, "valve_set_0", 60)
    assert b"A019000A" in reply  # 10 instead of 0
    assert bench.opening_pct(VALVE) == 0.0
    assert exchange(bench, "valve_set_50") == [ACK, message("valve_set_50_reply_malformed")]


def test_lost_reply(bench: Bench) -> None:
    put(bench, FaultKind.LOST_REPLY, meter=VALVE, count=1)
    assert exchange(bench, "cabinet_set_50") == [ACK, message("cabinet_set_reply")]
    assert exchange(bench, "valve_set_50", 60) == [ACK]
    assert bench.opening_pct(VALVE) == 50.0
    assert exchange(bench, "valve_set_0") == [ACK, message("valve_set_0_reply")]


def test_stuck_valve(bench: Bench) -> None:
    put(bench, FaultKind.STUCK_VALVE)
    assert exchange(bench, "valve_set_0", 200) == [ACK, message("valve_set_0_reply")]
    assert exchange(bench, "cabinet_set_50", 200) == [ACK, message("cabinet_set_reply")]
    assert bench.opening_pct(VALVE) == bench.opening_pct(CABINET) == 100.0
    bench.transparent(CABINET_READ)
    shown = bench.run(5)[1].frame
    assert (shown["commanded_opening_pct"], shown["actual_opening_pct"]) == (50.0, 100.0)
    assert [event["event"] for event in bench.events] == ["moving", "moving"]  # none arrived
    bench.gateway.faults.clear()
    exchange(bench, "valve_set_0", 200)
    exchange(bench, "cabinet_set_50", 200)
    assert (bench.opening_pct(VALVE), bench.opening_pct(CABINET)) == (0.0, 50.0)


def test_a_share_strikes_about_so_often_and_the_same_way_each_time() -> None:
    counts = []
    for _ in range(2):
        bench = Bench(building(valves=10).with_plans(reports_per_interval=50))
        put(bench, FaultKind.DROP_UPLINKS, msg_id=20, share=0.25)
        sent = len(bench.run(3600))
        counts.append((sent, bench.gateway.lost))
    assert counts[0] == counts[1]
    sent, lost = counts[0]
    assert lost / (sent + lost) == pytest.approx(0.25, abs=0.05)


def test_faults_of_a_plan_are_in_force_from_the_start_for_each_bench_anew() -> None:
    fault = Fault(kind=FaultKind.DROP_UPLINKS, count=1)
    scenario = quiet(captured()).with_plans(faults=(fault,))
    for _ in range(2):
        bench = Bench(scenario)
        assert exchange(bench, "status_query") == []
        assert exchange(bench, "status_query") == [STATUS]
    assert fault.count == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"kind": FaultKind.DELAYED, "count": 0}, "count"),
        ({"kind": FaultKind.DELAYED, "share": 0.0}, "share"),
        ({"kind": FaultKind.DELAYED, "share": 1.5}, "share"),
        ({"kind": FaultKind.DELAYED, "seconds": -1.0}, "seconds"),
        ({"kind": FaultKind.SILENT_METER, "msg_id": 20}, "does not take msg_id"),
        ({"kind": FaultKind.STAT_1, "meter": VALVE}, "does not take meter"),
        ({"kind": FaultKind.DUPLICATE, "seconds": 3.0}, "does not take seconds"),
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        Fault(**wrong)


def test_a_fault_of_a_meter_that_is_not_there_is_refused() -> None:
    fault = Fault(kind=FaultKind.SILENT_METER, meter="12345678")
    with pytest.raises(ScenarioError, match="12345678"):
        Bench(captured().with_plans(faults=(fault,)))
