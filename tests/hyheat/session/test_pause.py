"""The pause between two moves of one motor, and giving up what still waits for the bus."""

from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.exchange import Timing
from custom_components.hy_heating.hyheat.session import ReadMeter, SetOpening

from .bus import (
    CABINETS,
    DONE,
    PENDING,
    REPLIED,
    VALVE,
    VALVE_2,
    Bus,
    confirmed,
    move,
)

PAUSE_S = 30.0


def paused() -> Bus:
    return Bus(Timing())


def test_a_motor_rests_30_s_between_the_beginnings_of_two_moves() -> None:
    bus = paused()
    first = confirmed(bus, VALVE, 50)
    bus.report(VALVE, 50)
    assert bus.outcome(first) == DONE
    bus.wait(10)
    second = bus.move(VALVE, 0)
    bus.wait(PAUSE_S - 10 - 0.1)
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [move(VALVE, 0)]
    bus.reply(VALVE, 0)
    assert bus.outcome(second) == REPLIED


def test_other_motors_do_not_wait_for_it() -> None:
    bus = paused()
    confirmed(bus, VALVE, 50)
    bus.move(VALVE, 0)
    bus.move(VALVE_2, 0)
    assert bus.sent() == [move(VALVE_2, 0)]


def test_the_newest_opening_wins_while_the_motor_rests() -> None:
    bus = paused()
    confirmed(bus, VALVE, 50)
    older, newer = bus.move(VALVE, 0), bus.move(VALVE, 80)
    assert bus.outcome(older) == "superseded"
    bus.wait(PAUSE_S)
    assert bus.sent()[-1:] == [move(VALVE, 80)]
    assert bus.outcome(newer) == PENDING


def test_a_repeat_is_no_new_move() -> None:
    bus = paused()
    bus.move(VALVE, 50)
    bus.wait(10)  # no acknowledgement
    assert bus.sent() == [move(VALVE, 50)] * 2


def test_a_motor_rests_although_the_repeat_was_not_published() -> None:
    bus = paused()
    first = bus.move(VALVE, 50)
    bus.wait(10)
    assert bus.sent() == [move(VALVE, 50)] * 2
    bus.publish_fails()
    assert bus.outcome(first) == FailureReason.LINK_DOWN
    second = bus.move(VALVE, 0)  # the first try may have moved it
    assert bus.sent() == []
    bus.wait(PAUSE_S - 10)
    assert bus.sent() == [move(VALVE, 0)]
    bus.reply(VALVE, 0)
    assert bus.outcome(second) == REPLIED


def test_a_motor_rests_although_a_read_was_not_published() -> None:
    bus = paused()
    confirmed(bus, VALVE, 50)
    bus.report(VALVE, 50)
    for request in (ReadMeter(VALVE), CABINETS):
        ticket = bus.ask(request)
        bus.publish_fails()
        assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    bus.sent()
    bus.move(VALVE, 0)
    assert bus.sent() == []
    bus.wait(PAUSE_S)
    assert bus.sent() == [move(VALVE, 0)]


def test_what_waits_can_be_given_up_and_what_was_sent_cannot() -> None:
    bus = Bus()
    sent, waiting = bus.move(VALVE, 50), bus.move(VALVE_2, 50)
    bus.cancel(waiting)
    assert bus.outcome(waiting) == "canceled"
    bus.cancel(sent)
    assert bus.outcome(sent) == PENDING
    bus.reply(VALVE, 50)
    assert bus.outcome(sent) == REPLIED
    bus.cancel(sent)
    bus.report(VALVE, 50)
    assert bus.outcome(sent) == DONE
    assert bus.sent() == [move(VALVE, 50)], "what was given up is never sent"

    again = bus.ask(SetOpening(VALVE_2, 50))
    assert bus.sent() == [move(VALVE_2, 50)]
    assert bus.outcome(again) == PENDING


def test_a_read_now_that_waits_can_be_given_up() -> None:
    bus = Bus()
    bus.move(VALVE, 50)
    reading = bus.ask(CABINETS)
    bus.cancel(reading)
    assert bus.outcome(reading) == "canceled"


def test_forged_addresses_do_not_fill_the_memory() -> None:
    bus = paused()
    for number in range(2000):
        bus.session.foreign_move(number.to_bytes(7), bus.now)
    assert len(bus.session._moved) == 1024
    ticket = bus.move(VALVE, 50)
    assert bus.sent() == [move(VALVE, 50)], "nothing else suffers"
    bus.publish_fails()
    assert bus.outcome(ticket) == "link_down"
    bus.move(VALVE, 50)
    assert bus.sent() == [move(VALVE, 50)]

    bus.sleep(PAUSE_S)
    bus.session.foreign_move(VALVE_2.address, bus.now)
    assert len(bus.session._moved) == 1, "what has rested is forgotten"
