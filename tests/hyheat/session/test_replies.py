"""A reply is matched by address, control and data identifier; no other ends a request."""

from collections.abc import Callable

import pytest

from custom_components.hy_heating.hyheat.envelope import Stat
from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.model import ErrorReply, MeterAddress, UnknownReading
from custom_components.hy_heating.hyheat.session import SetOpening

from .bus import (
    CABINET,
    DONE,
    PENDING,
    REPLIED,
    VALVE,
    VALVE_2,
    VALVES,
    Bus,
    confirmed,
    move,
    read,
    reading,
    set_reply,
)

ERROR_TO_READ = 0xC1  # 01 | 80 | 40
ERROR_TO_VALVE = 0xC4  # 04 | 80 | 40
ERROR_TO_CABINET = 0xD6  # 16 | 80 | 40


def test_a_valve_repeats_the_opening() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.ack()
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED
    assert bus.session.proving(VALVE.address) == 50


def test_a_cabinet_does_not() -> None:
    bus = Bus()
    ticket = bus.move(CABINET, 50)
    assert bus.sent() == [move(CABINET, 50)]
    bus.ack()
    bus.reply(CABINET, 0)
    assert bus.outcome(ticket) == REPLIED
    assert bus.session.proving(CABINET.address) == 50


def test_a_direct_read_ends_with_its_reading() -> None:
    bus = Bus()
    ticket = bus.read(CABINET)
    bus.ack()
    bus.wait(2)
    bus.answer(CABINET, 40, 40)
    assert bus.outcome(ticket) == DONE
    result = bus.results[ticket]
    assert (result.reply, result.tries, result.duration_s) == (reading(CABINET, 40, 40), 1, 2.0)
    assert bus.direct_reads() is True


def test_a_reply_without_acknowledgement_counts_and_the_late_one_is_harmless() -> None:
    bus = Bus()
    first, second = bus.move(VALVE, 50), bus.move(VALVE_2, 30)
    bus.reply(VALVE, 50)
    assert bus.outcome(first) == REPLIED
    bus.ack()  # the first one's; the second takes it as its own, as progress only
    assert bus.outcome(second) == PENDING
    bus.reply(VALVE_2, 30)
    assert bus.outcome(second) == REPLIED


SAME_NUMBER_CABINET = MeterAddress("cabinet", VALVE.address)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda bus: bus.reply(VALVE_2, 50), id="another meter"),
        pytest.param(lambda bus: bus.reply(SAME_NUMBER_CABINET, 50), id="another device type"),
        pytest.param(lambda bus: bus.answer(VALVE, 50), id="a reading"),
        pytest.param(lambda bus: bus.report(VALVE, 50), id="a report"),
        pytest.param(lambda bus: bus.refuse(VALVE_2, ERROR_TO_VALVE), id="another's error"),
        pytest.param(lambda bus: bus.refuse(VALVE, ERROR_TO_READ), id="an error to a read"),
        pytest.param(
            lambda bus: bus.transparent(UnknownReading(0x10, VALVE.address, b"")), id="unknown"
        ),
        pytest.param(lambda bus: bus.transparent(move(VALVE, 50)), id="a command"),
        pytest.param(lambda bus: bus.transparent(), id="nothing"),
        pytest.param(lambda bus: bus.ack(), id="an acknowledgement"),
        pytest.param(lambda bus: bus.read_ack(Stat.FAILED), id="a refused read-now"),
    ],
)
def test_nothing_else_answers_an_opening(said: Callable[[Bus], None]) -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.ack()
    said(bus)
    assert bus.outcome(ticket) == PENDING
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda bus: bus.answer(VALVE_2, 50), id="another meter"),
        pytest.param(lambda bus: bus.report(VALVE, 50), id="a report"),
        pytest.param(lambda bus: bus.reply(VALVE, 50), id="a confirmation"),
        pytest.param(lambda bus: bus.refuse(VALVE, ERROR_TO_VALVE), id="an error to an opening"),
        pytest.param(lambda bus: bus.read_ack(Stat.FAILED), id="a refused read-now"),
    ],
)
def test_nothing_else_answers_a_direct_read(said: Callable[[Bus], None]) -> None:
    bus = Bus()
    ticket = bus.read(VALVE)
    bus.ack()
    said(bus)
    assert bus.outcome(ticket) == PENDING
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_a_transparent_reply_does_not_answer_a_read_now() -> None:
    bus = Bus()
    ticket = bus.ask(VALVES)
    bus.ack()
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == PENDING
    bus.wait(10)
    assert bus.sent() == [VALVES, VALVES]
    bus.read_ack()
    assert bus.outcome(ticket) == DONE


def test_the_right_frame_among_several_counts() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.transparent(set_reply(VALVE_2, 50), set_reply(VALVE, 50), set_reply(VALVE, 50))
    assert bus.outcome(ticket) == REPLIED


@pytest.mark.parametrize(
    ("meter", "control"), [(VALVE, ERROR_TO_VALVE), (CABINET, ERROR_TO_CABINET)]
)
def test_a_meter_that_refuses_an_opening_ends_it_at_once(meter: MeterAddress, control: int) -> None:
    bus = Bus()
    ticket = bus.move(meter, 50)
    bus.ack()
    bus.refuse(meter, control)
    assert bus.outcome(ticket) == FailureReason.METER_REFUSED
    assert isinstance(bus.results[ticket].reply, ErrorReply)
    assert confirmed(bus, meter)


def test_a_meter_that_refuses_a_read_ends_it_at_once() -> None:
    bus = Bus()
    ticket = bus.read(VALVE)
    bus.refuse(VALVE, ERROR_TO_READ)
    assert bus.outcome(ticket) == FailureReason.METER_REFUSED
    ticket = bus.read(VALVE)
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_a_wrong_echo_is_not_ours_and_the_right_one_may_still_come() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.ack()
    bus.reply(VALVE, 100)
    assert bus.outcome(ticket) == PENDING
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED


def test_a_wrong_echo_is_repeated_within_the_budget_and_then_the_reason() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    for _ in range(3):
        bus.ack()
        bus.reply(VALVE, 49)
        bus.wait(30)
    assert bus.sent() == [move(VALVE, 50)] * 3
    assert bus.outcome(ticket) == FailureReason.WRONG_ECHO
    assert bus.results[ticket].tries == 3
    assert confirmed(bus)


def test_a_wrong_echo_stays_the_reason_whenever_the_acknowledgement_comes() -> None:
    # Of the last try; an echo also shows that the gateway is not silent.
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.wait(20)  # two tries without any answer
    bus.reply(VALVE, 49)
    bus.ack()
    bus.wait(30)
    assert bus.outcome(ticket) == FailureReason.WRONG_ECHO
    ticket = bus.move(VALVE, 50)
    bus.wait(20)
    bus.reply(VALVE, 49)
    bus.wait(10)
    assert bus.outcome(ticket) == FailureReason.WRONG_ECHO
    assert not bus.session.gateway_silent


def test_the_last_try_gives_the_reason() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.ack()
    bus.reply(VALVE, 49)
    bus.wait(30)
    bus.ack()
    bus.wait(30)
    bus.ack()
    bus.wait(30)
    assert bus.outcome(ticket) == FailureReason.METER_SILENT


def test_late_and_duplicate_replies_end_nothing() -> None:
    bus = Bus()
    silent = bus.move(VALVE, 50)
    for _ in range(3):
        bus.ack()
        bus.wait(30)
    assert bus.outcome(silent) == FailureReason.METER_SILENT
    bus.reply(VALVE, 50)
    ticket = confirmed(bus, VALVE_2)
    bus.reply(VALVE, 50)
    bus.reply(VALVE_2, 50)
    bus.ack(Stat.FAILED)
    assert bus.outcome(ticket) == REPLIED
    bus.report(VALVE_2, 50)
    bus.reply(VALVE_2, 50)
    bus.report(VALVE_2, 50)
    assert bus.outcome(ticket) == DONE
    assert bus.sent() == []


def test_a_late_echo_of_an_older_opening_does_not_confirm_the_newer() -> None:
    bus = Bus()
    older = bus.move(VALVE, 0)
    bus.ack()
    newer = bus.move(VALVE, 100)
    assert bus.outcome(older) == FailureReason.SUPERSEDED
    assert bus.sent() == [move(VALVE, 0)]  # the bus waits for the older one's reply
    bus.wait(30)
    assert bus.sent() == [move(VALVE, 100)]  # it is not repeated
    bus.reply(VALVE, 0)
    assert bus.outcome(newer) == PENDING
    bus.reply(VALVE, 100)
    assert bus.outcome(newer) == REPLIED


def test_replies_in_another_order_reach_their_own_request() -> None:
    bus = Bus()
    first, second = bus.read(VALVE), bus.move(VALVE_2, 30)
    bus.reply(VALVE_2, 30)  # nobody asked that yet
    assert (bus.outcome(first), bus.outcome(second)) == (PENDING, PENDING)
    bus.answer(VALVE, 20)
    assert (bus.outcome(first), bus.outcome(second)) == (DONE, PENDING)
    assert bus.session.in_flight == SetOpening(VALVE_2, 30)
    bus.reply(VALVE_2, 30)
    assert bus.outcome(second) == REPLIED
    assert bus.sent() == [read(VALVE), move(VALVE_2, 30)]
