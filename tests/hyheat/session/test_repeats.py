"""Repeats within the budget, then the reason; nothing acts late."""

import pytest

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
    Bus,
    confirmed,
    move,
    read,
)


def test_an_opening_without_acknowledgement_is_sent_every_10_s_three_times() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.wait(9.9)
    assert bus.sent() == [move(VALVE, 50)]
    bus.wait(0.1)
    assert bus.sent() == [move(VALVE, 50)]
    bus.wait(10)
    assert bus.sent() == [move(VALVE, 50)]
    assert bus.outcome(ticket) == PENDING
    bus.wait(10)
    assert bus.sent() == []
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    assert (bus.results[ticket].tries, bus.results[ticket].duration_s) == (3, 30.0)
    assert confirmed(bus)


def test_an_opening_without_reply_is_sent_every_30_s_after_its_acknowledgement() -> None:
    bus = Bus()
    ticket = bus.move(CABINET, 50)
    for _ in range(3):
        bus.wait(9)
        bus.ack()
        bus.wait(29.9)
        assert bus.sent() == [move(CABINET, 50)]
        assert bus.outcome(ticket) == PENDING
        bus.wait(0.1)
    assert bus.outcome(ticket) == FailureReason.METER_SILENT
    assert (bus.results[ticket].tries, bus.results[ticket].duration_s) == (3, 117.0)
    assert confirmed(bus, CABINET)


def test_a_refusing_gateway_gets_a_pause_of_2_s_and_two_more_tries() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    for _ in range(3):
        assert bus.sent() == [move(VALVE, 50)]
        bus.ack(Stat.FAILED)
        assert bus.sent() == []
        bus.wait(2)
    assert bus.sent() == []
    assert bus.outcome(ticket) == FailureReason.GATEWAY_REFUSED
    assert bus.results[ticket].duration_s == 6.0
    assert confirmed(bus)


def test_a_refusing_gateway_that_thinks_better_of_it_is_believed() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.ack(Stat.FAILED)
    bus.wait(1)
    bus.ack()  # e.g. the refusal was another master's
    bus.wait(29.9)
    assert bus.sent() == [move(VALVE, 50)]
    confirmed(bus, asked=ticket)


def test_repeated_acknowledgements_do_not_prolong_the_wait() -> None:
    bus = Bus()
    bus.move(VALVE, 50)
    bus.sent()
    for _ in range(6):
        bus.ack()
        bus.ack(Stat.FAILED)  # too late to be about this try
        bus.wait(5)
    assert bus.sent() == [move(VALVE, 50)]
    for _ in range(2):
        bus.ack(Stat.FAILED)
        bus.wait(1)
    assert bus.sent() == [move(VALVE, 50)]


def test_a_refused_or_unanswered_read_now_is_repeated_too() -> None:
    bus = Bus()
    refused = bus.ask(CABINETS)
    for _ in range(3):
        bus.read_ack(Stat.FAILED)
        bus.read_ack(Stat.FAILED)
        bus.wait(2)
    assert bus.outcome(refused) == FailureReason.GATEWAY_REFUSED
    silent = bus.ask(CABINETS)
    bus.wait(30)
    assert bus.outcome(silent) == FailureReason.GATEWAY_SILENT
    assert bus.sent() == [CABINETS] * 6
    ticket = bus.ask(CABINETS)
    bus.read_ack(Stat.FAILED)
    bus.read_ack()
    assert bus.outcome(ticket) == DONE


def test_the_late_acknowledgement_of_a_read_now_still_means_that_reports_come_in() -> None:
    bus = Bus()
    ticket = bus.ask(CABINETS)
    bus.wait(30)
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    bus.sent()
    bus.read_ack()
    bus.move(VALVE, 50)
    assert bus.sent() == []
    bus.wait(15)
    assert bus.sent() == [move(VALVE, 50)]


# --- Expiry ---------------------------------------------------------------------------------


def test_a_queued_command_expires_after_120_s() -> None:
    # Two meters that acknowledge and never answer hold the bus for 3 x 40 s each.
    bus = Bus()
    bus.move(VALVE, 50)
    waiting = bus.move(VALVE_2, 30)
    bus.sent()
    for _ in range(3):
        bus.wait(9.9)
        bus.ack()
        bus.wait(30)
    assert bus.sent() == [move(VALVE, 50)] * 2 + [move(VALVE_2, 30)]  # at 119.7 s
    late = bus.move(VALVE_3, 10)
    for _ in range(3):
        bus.ack()
        bus.wait(29)
        bus.ack()
        bus.wait(1)
    assert bus.outcome(waiting) == FailureReason.METER_SILENT
    assert bus.outcome(late) == PENDING
    assert bus.sent() == [move(VALVE_2, 30)] * 2 + [move(VALVE_3, 10)]


def test_an_expired_command_is_told_and_never_sent() -> None:
    # A meter that does not answer holds the bus for 119.7 s, another master's read-now longer.
    bus = Bus()
    bus.move(VALVE, 50)
    ticket = bus.move(VALVE_2, 30)
    for _ in range(2):
        bus.wait(9.9)
        bus.ack()
        bus.wait(30)
    bus.wait(9.9)
    bus.ack()
    bus.wait(29.9)
    bus.read_ack()
    bus.wait(0.3)
    assert bus.sent() == [move(VALVE, 50)] * 3  # 119.9 s
    assert bus.outcome(ticket) == PENDING
    bus.wait(0.1)
    assert bus.outcome(ticket) == FailureReason.EXPIRED
    assert (bus.results[ticket].tries, bus.results[ticket].duration_s) == (0, 120.0)
    bus.wait(60)
    assert bus.sent() == []
    assert confirmed(bus)


def test_a_driver_that_is_held_up_does_not_make_a_command_late() -> None:
    # The reply that frees the bus is handled before the timer that should have expired the next.
    bus = Bus()
    first = bus.read(VALVE)
    second = bus.move(VALVE_2, 30)
    bus.sent()
    bus.sleep(121)
    bus.answer(VALVE, 50)
    assert bus.outcome(first) == DONE
    assert bus.outcome(second) == FailureReason.EXPIRED
    assert bus.sent() == []
    assert confirmed(bus, VALVE_2)


def test_a_driver_that_is_held_up_does_not_repeat_late() -> None:
    # 3 tries of 10 + 30 s: what is not repeated within 120 s is too late.
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.sent()
    bus.sleep(120)
    bus.tick()
    assert bus.outcome(ticket) == FailureReason.EXPIRED
    assert bus.sent() == []
    ticket = bus.move(VALVE, 50)
    bus.sent()
    bus.sleep(119)
    bus.tick()
    assert bus.sent() == [move(VALVE, 50)]
    confirmed(bus, asked=ticket)


# --- A silent gateway -----------------------------------------------------------------------


def test_three_unanswered_requests_in_a_row_make_a_gateway_silent() -> None:
    bus = Bus()
    for meter in (VALVE, VALVE_2):
        bus.move(meter, 50)
        bus.wait(30)
        assert not bus.session.gateway_silent
    waiting, third = bus.read(VALVE_3), bus.read(VALVE)
    assert bus.outcome(waiting) == bus.outcome(third) == PENDING
    bus.wait(30)
    assert bus.session.gateway_silent
    # What waits fails with it, and what is asked now fails now.
    assert bus.outcome(waiting) == bus.outcome(third) == FailureReason.GATEWAY_SILENT
    assert (bus.results[waiting].tries, bus.results[third].tries) == (3, 0)
    bus.sent()
    assert bus.outcome(bus.move(VALVE, 50)) == FailureReason.GATEWAY_SILENT
    assert bus.outcome(bus.ask(CABINETS)) == FailureReason.GATEWAY_SILENT
    assert bus.sent() == []


@pytest.mark.parametrize("stat", [Stat.SUCCEEDED, Stat.FAILED])
def test_polls_find_a_silent_gateway_again(stat: Stat) -> None:
    bus = _silent()
    bus.ask(STATUS)
    assert bus.sent() == [STATUS]
    bus.status(stat)
    assert not bus.session.gateway_silent
    assert confirmed(bus)


def test_any_message_is_a_sign_of_life() -> None:
    bus = _silent()
    bus.report(VALVE_3, 10)
    assert not bus.session.gateway_silent
    assert confirmed(bus)


def test_a_message_between_unanswered_requests_begins_the_count_anew() -> None:
    bus = Bus()
    for _ in range(5):
        for _ in range(2):
            bus.move(VALVE, 50)
            bus.wait(30)
        assert not bus.session.gateway_silent
        bus.report(VALVE_3, 10)


def test_what_the_gateway_took_in_before_it_fell_silent_may_be_answered() -> None:
    bus = Bus()
    for _ in range(2):
        bus.ask(STATUS)
        bus.wait(20)
    bus.ask(STATUS)
    bus.wait(5)
    ticket = bus.move(VALVE, 50)
    bus.wait(15)
    assert bus.session.gateway_silent
    assert bus.outcome(ticket) == PENDING
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED


def test_what_it_did_not_answer_is_not_repeated_to_a_silent_gateway() -> None:
    bus = Bus()
    for _ in range(2):
        bus.ask(STATUS)
        bus.wait(20)
    bus.ask(STATUS)
    bus.wait(1)
    ticket = bus.move(VALVE, 50)
    bus.wait(19)  # the third query ends; the opening was repeated once
    assert bus.outcome(ticket) == PENDING
    bus.wait(1)
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    assert bus.sent().count(move(VALVE, 50)) == 2


def test_meters_that_do_not_answer_do_not_make_the_gateway_silent() -> None:
    bus = Bus()
    for _ in range(4):
        bus.read(VALVE)
        for _ in range(3):
            bus.ack()
            bus.wait(30)
    assert not bus.session.gateway_silent
    bus.sent()
    bus.read(VALVE)
    assert bus.sent() == [read(VALVE)]


def test_only_what_the_gateway_itself_left_unanswered_counts() -> None:
    # A silent meter and two requests without any answer are not three.
    bus = Bus()
    bus.read(VALVE)
    for _ in range(3):
        bus.ack()
        bus.wait(30)
    for _ in range(2):
        bus.read(VALVE)
        bus.wait(30)
    assert not bus.session.gateway_silent
    bus.read(VALVE)
    bus.wait(30)
    assert bus.session.gateway_silent


def test_a_lost_link_says_nothing_about_the_gateway() -> None:
    bus = Bus()
    for _ in range(4):
        ticket = bus.read(VALVE)
        bus.link(up=False)
        bus.wait(10)
        assert bus.outcome(ticket) == FailureReason.LINK_DOWN
        bus.link(up=True)
    assert not bus.session.gateway_silent
    assert confirmed(bus)


def _silent() -> Bus:
    bus = Bus()
    for _ in range(3):
        bus.ask(STATUS)
        bus.wait(20)
    bus.sent()
    assert bus.session.gateway_silent
    return bus
