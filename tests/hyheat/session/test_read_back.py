"""When a proof is waited for: one direct read after the other, or one msg 18 for all.

Read-backs are due 8, 24, 60 and 120 s after the reply, and the last when 180 s are over.
"""

from custom_components.hy_heating.hyheat.envelope import Stat
from custom_components.hy_heating.hyheat.errors import FailureReason

from .bus import (
    CABINET,
    CABINETS,
    DONE,
    PENDING,
    REPLIED,
    STATUS,
    VALVE,
    VALVE_2,
    VALVE_3,
    VALVES,
    Bus,
    confirmed,
    move,
    read,
)

ERROR_TO_READ = 0xC1


def test_read_backs_follow_at_ever_larger_steps() -> None:
    bus = Bus()
    ticket = confirmed(bus, VALVE, 100)
    for step in (8, 16, 36, 60, 60):
        bus.wait(step - 0.1)
        assert bus.sent() == []
        bus.wait(0.1)
        assert bus.sent() == [read(VALVE)]
        assert bus.outcome(ticket) == REPLIED
        bus.ack()
        bus.answer(VALVE, 90)
    assert bus.outcome(ticket) == FailureReason.NOT_REACHED
    assert bus.session.next_deadline() is None


def test_a_read_back_that_is_not_answered_is_not_repeated_before_its_next_step() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(8)
    assert bus.sent() == [read(VALVE)]
    bus.wait(15.9)  # no acknowledgement: it is over after 10 s
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [read(VALVE)]
    bus.ack()
    bus.wait(30)  # acknowledged: after 30 s, at 54 s
    assert bus.session.in_flight is None
    bus.wait(6)
    assert bus.sent() == [read(VALVE)]
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_read_backs_of_a_proof_that_is_over_are_left_out() -> None:
    bus = Bus()
    confirmed(bus)
    bus.wait(8)
    bus.report(VALVE, 50)
    assert bus.sent() == [read(VALVE)]  # in flight, of no use any more
    bus.answer(VALVE, 50)
    bus.wait(600)
    assert bus.sent() == []


def test_a_read_back_waits_for_what_somebody_wants() -> None:
    bus = Bus()
    first = confirmed(bus)
    bus.move(VALVE_2, 30)
    bus.move(VALVE_3, 10)
    bus.ack()
    bus.wait(8)
    assert bus.sent() == [move(VALVE_2, 30)]
    bus.reply(VALVE_2, 30)
    assert bus.sent() == [move(VALVE_3, 10)]
    bus.reply(VALVE_3, 10)
    assert bus.sent() == [read(VALVE)]
    bus.answer(VALVE, 50)
    assert bus.outcome(first) == DONE


def test_steps_that_the_busy_bus_missed_are_not_made_up_for() -> None:
    bus = Bus()
    confirmed(bus)
    bus.read_ack()  # another master's, whose reports come in until 50 s, and 15 s of quiet
    for _ in range(5):
        bus.wait(10)
        bus.report(VALVE_2, 0)
    bus.wait(14.9)
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [read(VALVE)]
    bus.answer(VALVE, 0)
    bus.wait(54.9)
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [read(VALVE)]


def test_the_last_read_backs_take_turns_with_commands_so_that_neither_starves() -> None:
    bus = Bus()
    first, second = confirmed(bus, VALVE, 50), confirmed(bus, VALVE_2, 30)
    bus.wait(179)
    bus.sent()
    for meter in (CABINET, VALVE_3, CABINET):
        bus.read(meter)
    bus.wait(1)
    bus.answer(CABINET, 0, 0)
    assert bus.sent() == [read(CABINET), read(VALVE)]
    bus.answer(VALVE, 50)
    assert bus.outcome(first) == DONE
    assert bus.sent() == [read(VALVE_3)]
    bus.answer(VALVE_3, 0)
    assert bus.sent() == [read(VALVE_2)]
    bus.answer(VALVE_2, 30)
    assert bus.outcome(second) == DONE
    assert bus.sent() == [read(CABINET)]


def test_a_driver_that_is_held_up_still_reads_back() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.sleep(1000)
    bus.tick()
    assert bus.sent() == [read(VALVE)]
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_a_read_back_that_nobody_waits_for_any_more_is_not_repeated() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(180)
    bus.sent()
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE
    bus.wait(40)
    assert bus.sent() == []
    assert confirmed(bus)


# --- The last read-back ---------------------------------------------------------------------


def test_the_last_read_back_is_repeated_and_then_a_read_now_has_the_last_word() -> None:
    bus = Bus()
    bus.answer(VALVE_2, 0)  # direct reads are answered here, so it is for this meter alone
    ticket = confirmed(bus)
    _pass_to_the_last(bus)
    for _ in range(3):
        assert bus.sent() == [read(VALVE)]
        bus.ack()
        bus.wait(30)
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.report(VALVE_2, 0)
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE
    assert bus.direct_reads() is True


def test_a_meter_that_answers_nothing_at_all_is_silent() -> None:
    bus = Bus()
    bus.answer(VALVE_2, 0)
    ticket = confirmed(bus)
    _pass_to_the_last(bus)
    for _ in range(3):
        bus.ack()
        bus.wait(30)
    bus.read_ack()
    bus.report(VALVE_2, 0)
    bus.wait(15)
    assert bus.outcome(ticket) == FailureReason.METER_SILENT
    assert bus.results[ticket].duration_s == 180 + 3 * 30 + 15
    assert confirmed(bus)


def test_a_meter_that_refuses_direct_reads_is_proven_by_a_read_now() -> None:
    bus = Bus()
    bus.answer(CABINET, 0, 0)
    ticket = confirmed(bus)
    for step in (8, 16, 36, 60, 60):
        bus.wait(step)
        assert bus.sent() == [read(VALVE)]
        bus.refuse(VALVE, ERROR_TO_READ)
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_a_read_now_that_began_before_the_travel_time_was_over_is_not_the_last() -> None:
    bus = _without_direct_reads()
    ticket = confirmed(bus)
    bus.wait(165)
    other = confirmed(bus, VALVE_2)
    bus.wait(8)  # 173 s: the other valve's first
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.wait(15)
    assert bus.outcome(ticket) == bus.outcome(other) == REPLIED
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.wait(15)
    assert bus.outcome(ticket) == FailureReason.METER_SILENT
    assert bus.outcome(other) == REPLIED


def test_a_gateway_that_refuses_the_last_read_back_is_the_reason() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    _pass_to_the_last(bus)
    for _ in range(3):
        bus.ack(Stat.FAILED)
        bus.wait(2)
    assert bus.sent() == [read(VALVE)] * 3 + [VALVES]
    for _ in range(3):
        bus.read_ack(Stat.FAILED)
        bus.wait(2)
    assert bus.outcome(ticket) == FailureReason.GATEWAY_REFUSED


def test_a_gateway_that_falls_silent_is_the_reason() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(180 + 30)
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    # It ignored reads only, which nobody asked for: no reason to give it up.
    assert not bus.session.gateway_silent
    assert bus.direct_reads() is None


def test_a_proof_goes_on_while_the_gateway_is_silent() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    for _ in range(3):
        bus.ask(STATUS)
        bus.wait(20)
    assert bus.session.gateway_silent
    bus.sent()
    bus.wait(60)
    assert bus.sent() == []  # at 120 s nothing is sent to a silent gateway
    assert bus.outcome(ticket) == REPLIED
    bus.report(VALVE_2, 0)
    bus.wait(60)
    assert bus.sent() == [read(VALVE)]
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE


# --- Gateways without direct reads ----------------------------------------------------------


def test_after_two_unanswered_direct_reads_a_gateway_gets_read_nows() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(8)
    bus.ack()
    bus.wait(30)  # until 38 s
    assert bus.direct_reads() is None  # one may be chance
    bus.wait(22)
    assert bus.sent() == [read(VALVE)] * 2
    bus.ack(Stat.FAILED)
    bus.wait(2)
    assert bus.direct_reads() is False
    bus.wait(58)
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE
    # Remembered for the next opening, and of the right kind.
    bus.wait(15)
    ticket = confirmed(bus, CABINET)
    bus.wait(8)
    assert bus.sent() == [CABINETS]
    bus.read_ack()
    bus.report(CABINET, 50, 50)
    assert bus.outcome(ticket) == DONE


def test_one_read_now_serves_all_proofs_of_its_kind() -> None:
    bus = _without_direct_reads()
    first, second = confirmed(bus, VALVE), confirmed(bus, VALVE_2)
    cabinet = confirmed(bus, CABINET)
    bus.wait(8)
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.report(VALVE, 50)
    assert bus.outcome(first) == DONE
    bus.wait(15)  # at 23 s it is over without the second
    assert bus.outcome(second) == REPLIED
    assert bus.sent() == [CABINETS]
    bus.read_ack()
    bus.report(CABINET, 50, 50)
    assert bus.outcome(cabinet) == DONE
    bus.wait(15)
    assert bus.sent() == [VALVES]  # due since 24 s
    bus.read_ack()
    bus.report(VALVE_2, 50)
    assert bus.outcome(second) == DONE


def test_a_read_now_that_is_complete_too_soon_is_followed_by_the_next() -> None:
    bus = _without_direct_reads()
    bus.status(cabinets=0, valves=1)
    ticket = confirmed(bus)
    bus.wait(8)
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.report(VALVE, 20)  # the only valve: the read-now is over, and the motor still runs
    assert bus.outcome(ticket) == REPLIED
    bus.wait(16)  # until 24 s
    assert bus.sent() == [VALVES]
    bus.read_ack()
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_direct_reads_that_wait_are_not_tried_once_the_gateway_is_known_not_to_answer() -> None:
    bus = Bus()
    for meter in (VALVE, VALVE_2, VALVE_3):
        confirmed(bus, meter)
    bus.wait(8)
    for _ in range(2):
        bus.ack()
        bus.wait(30)
    assert bus.sent() == [read(VALVE), read(VALVE_2), VALVES]


def test_an_answered_direct_read_whoever_asked_is_remembered_too() -> None:
    bus = _without_direct_reads()
    bus.answer(VALVE_3, 0)
    assert bus.direct_reads() is True
    confirmed(bus)
    bus.wait(8)
    assert bus.sent() == [read(VALVE)]


def test_a_gateway_that_once_answered_is_not_given_up_for_silent_meters() -> None:
    bus = Bus()
    bus.answer(VALVE_3, 0)
    confirmed(bus)
    for step in (8, 16, 36):
        bus.wait(step)
        bus.refuse(VALVE, ERROR_TO_READ)
    assert bus.direct_reads() is True


def test_reads_that_somebody_asked_for_teach_nothing_about_the_gateway() -> None:
    # A meter that is read by hand may be dead; one that has just confirmed an opening is not.
    bus = Bus()
    for _ in range(3):
        bus.read(VALVE)
        bus.refuse(VALVE, ERROR_TO_READ)
    assert bus.direct_reads() is None
    ticket = confirmed(bus)
    assert bus.outcome(ticket) == REPLIED


def test_a_superseded_read_back_teaches_and_ends_nothing_else() -> None:
    bus = Bus()
    older = confirmed(bus, VALVE, 50)
    bus.wait(8)
    newer = bus.move(VALVE, 60)
    assert bus.outcome(older) == FailureReason.SUPERSEDED
    assert bus.sent() == [read(VALVE)]
    bus.ack()
    bus.wait(30)
    assert bus.outcome(newer) == PENDING
    assert bus.sent() == [move(VALVE, 60)]
    confirmed(bus, VALVE, 60, asked=newer)
    bus.wait(7.9)
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [read(VALVE)]


def _without_direct_reads() -> Bus:
    """Return a bus whose gateway has refused two direct reads, with all quiet again."""
    bus = Bus()
    confirmed(bus)
    for step in (8, 16):
        bus.wait(step)
        bus.refuse(VALVE, ERROR_TO_READ)
    bus.report(VALVE, 50)
    assert bus.direct_reads() is False
    bus.sent()
    return bus


def _pass_to_the_last(bus: Bus) -> None:
    """Pass all read-backs but the last, which is on its way; none was acknowledged."""
    bus.wait(179)
    bus.sent()
    bus.wait(1)
