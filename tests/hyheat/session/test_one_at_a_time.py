"""One job on the bus at a time, none while the reports of a read-now come in, in a fair order."""

import pytest

from custom_components.hy_heating.hyheat.envelope import ReadNow, ReadNowAck, Stat
from custom_components.hy_heating.hyheat.errors import FailureReason, RequestError
from custom_components.hy_heating.hyheat.model import MeterAddress
from custom_components.hy_heating.hyheat.session import ReadMeter, Request, SetOpening

from .bus import (
    CABINET,
    CABINETS,
    DONE,
    GATEWAY,
    PENDING,
    REPLIED,
    VALVE,
    VALVE_2,
    VALVE_3,
    VALVES,
    Bus,
    confirmed,
    move,
    read,
)


def test_a_command_goes_out_at_once_when_the_bus_is_free() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    assert bus.sent() == [move(VALVE, 50)]
    assert bus.session.in_flight == SetOpening(VALVE, 50)
    assert bus.outcome(ticket) == PENDING


def test_a_command_goes_to_the_port_of_its_meter() -> None:
    bus = Bus()
    bus.move(MeterAddress("valve", VALVE.address, port=3), 50)
    (sent,) = bus._sent
    assert getattr(sent.message, "port") == 3  # noqa: B009 - only a transparent command has one


def test_the_next_command_waits_for_the_reply_of_the_first() -> None:
    bus = Bus()
    bus.move(VALVE, 50)
    second = bus.read(VALVE_2)
    assert bus.session.queued == 1
    bus.ack()
    assert bus.sent() == [move(VALVE, 50)]
    bus.reply(VALVE, 50)
    assert bus.sent() == [read(VALVE_2)]
    assert bus.session.queued == 0
    bus.answer(VALVE_2, 30)
    assert bus.outcome(second) == DONE
    assert bus.session.in_flight is None


def test_a_read_now_ends_for_its_caller_with_the_acknowledgement() -> None:
    bus = Bus()
    ticket = bus.ask(VALVES)
    assert bus.sent() == [VALVES]
    bus.wait(3)
    bus.read_ack()
    assert bus.outcome(ticket) == DONE
    assert bus.results[ticket].reply == ReadNowAck(GATEWAY, Stat.SUCCEEDED)
    assert (bus.results[ticket].tries, bus.results[ticket].duration_s) == (1, 3.0)


def test_nothing_is_sent_while_the_reports_of_a_read_now_come_in() -> None:
    bus = Bus()
    bus.ask(VALVES)
    bus.read_ack()
    bus.sent()
    bus.move(VALVE, 50)
    bus.wait(14)
    bus.report(VALVE_2, 30)
    bus.wait(14)  # 15 s without a report would end it
    assert bus.sent() == []
    bus.wait(1)
    assert bus.sent() == [move(VALVE, 50)]


def test_a_read_now_is_over_when_all_meters_that_the_gateway_counts_have_reported() -> None:
    bus = Bus()
    bus.status(cabinets=5, valves=2)
    bus.ask(VALVES)
    bus.read_ack()
    bus.move(CABINET, 50)
    bus.sent()
    bus.report(VALVE, 100)
    bus.report(VALVE, 100)  # a duplicate is not the second meter
    bus.report(CABINET, 100, 100)  # and a cabinet no valve
    assert bus.sent() == []
    bus.report(VALVE_2, 100)
    assert bus.sent() == [move(CABINET, 50)]


def test_a_failed_status_takes_nothing_from_what_the_gateway_counts() -> None:
    bus = Bus()
    bus.status(cabinets=1, valves=1)
    bus.status(Stat.FAILED)
    bus.ask(ReadNow(GATEWAY, cabinets=True, valves=True))
    bus.read_ack()
    bus.read(VALVE)
    bus.sent()
    bus.report(CABINET, 100, 100)
    assert bus.sent() == []
    bus.report(VALVE, 100)
    assert bus.sent() == [read(VALVE)]


def test_reports_of_the_other_kind_do_not_prolong_a_read_now() -> None:
    bus = Bus()
    bus.ask(CABINETS)
    bus.read_ack()
    bus.read(VALVE)
    bus.sent()
    bus.wait(10)
    bus.report(VALVE_2, 100)
    bus.wait(5)
    assert bus.sent() == [read(VALVE)]


def test_a_read_now_is_over_after_90_s_so_that_commands_do_not_expire_behind_it() -> None:
    bus = Bus()
    bus.ask(VALVES)
    bus.read_ack()
    ticket = bus.move(VALVE, 50)
    bus.sent()
    for _ in range(8):
        bus.wait(11)
        bus.report(VALVE_2, 100)
    assert bus.sent() == []  # 88 s
    bus.wait(2)
    assert bus.sent() == [move(VALVE, 50)]
    assert bus.outcome(ticket) == PENDING


def test_a_read_now_of_another_master_holds_our_commands_back() -> None:
    bus = Bus()
    bus.read_ack()
    bus.move(VALVE, 50)
    assert bus.sent() == []
    bus.report(CABINET, 100, 100)
    bus.wait(15)
    assert bus.sent() == [move(VALVE, 50)]


def test_a_refused_read_now_of_another_master_does_not() -> None:
    bus = Bus()
    bus.read_ack(Stat.FAILED)
    bus.move(VALVE, 50)
    assert bus.sent() == [move(VALVE, 50)]


def test_a_duplicate_acknowledgement_does_not_begin_a_read_now_anew() -> None:
    bus = Bus()
    bus.ask(VALVES)
    bus.read_ack()
    bus.read(VALVE)
    bus.sent()
    bus.wait(10)
    bus.read_ack()
    bus.wait(5)
    assert bus.sent() == [read(VALVE)]


def test_a_driver_that_is_held_up_does_not_take_the_next_read_now_for_the_last() -> None:
    bus = Bus()
    bus.read_ack()
    bus.sleep(15)  # its reports are in, but nobody has said so yet
    bus.read_ack()
    bus.move(VALVE, 50)
    bus.wait(14.9)
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [move(VALVE, 50)]


def test_a_repeat_waits_for_a_foreign_read_now_too() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.wait(9)
    bus.read_ack()  # 1 s before the repeat is due; its reports end 15 s later
    bus.sent()
    bus.wait(14)
    assert bus.sent() == []
    bus.wait(1)
    assert bus.sent() == [move(VALVE, 50)]
    confirmed(bus, asked=ticket)


def test_foreign_read_nows_cannot_hold_a_repeat_for_ever() -> None:
    # First sent at 0 s with 3 tries of 10 + 30 s: what is not repeated by 120 s is too late.
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    for _ in range(2):  # 5-95 s, and from 100 s on
        bus.wait(5)
        bus.read_ack()
        for _ in range(9):
            bus.wait(10)
            bus.report(CABINET, 100, 100)
    assert bus.sent() == [move(VALVE, 50)] * 2  # at 0 and 95 s
    assert bus.outcome(ticket) == FailureReason.EXPIRED
    assert bus.results[ticket].duration_s == 120.0
    assert confirmed(bus)


def test_an_opening_overtakes_read_nows_that_wait() -> None:
    # Two of them may hold the bus for 180 s, and an opening expires after 120 s.
    bus = Bus()
    bus.ask(CABINETS)
    bus.ask(VALVES)
    bus.read(VALVE_2)
    bus.move(VALVE, 50)
    bus.read_ack()
    bus.wait(15)
    assert bus.sent() == [CABINETS, read(VALVE_2)]
    bus.answer(VALVE_2, 30)
    assert bus.sent() == [move(VALVE, 50)]
    bus.reply(VALVE, 50)
    assert bus.sent() == [VALVES]


def test_when_a_read_now_was_acknowledged_last_is_known_whoever_s_it_was() -> None:
    bus = Bus()
    told = [bus.session.read_now_s]
    bus.ask(VALVES)
    bus.wait(1)
    bus.read_ack(Stat.FAILED)  # no reports follow
    told.append(bus.session.read_now_s)
    bus.wait(3)
    bus.read_ack()
    told.append(bus.session.read_now_s)
    bus.wait(100)
    bus.read_ack()  # another master's
    told.append(bus.session.read_now_s)
    assert told == [None, None, 1004.0, 1104.0]


def test_a_read_now_may_be_repeated_after_its_end() -> None:
    bus = Bus()
    for _ in range(2):
        ticket = bus.ask(VALVES)
        bus.read_ack()
        bus.wait(15)
        assert bus.outcome(ticket) == DONE
    assert bus.sent() == [VALVES, VALVES]


NO_DEVICE = "'boiler' is no known device type"
NOTHING = "a read-now of neither cabinets nor household valves"


@pytest.mark.parametrize(
    ("nonsense", "why"),
    [
        pytest.param(
            SetOpening(MeterAddress("boiler", VALVE.address), 50), NO_DEVICE, id="no valve"
        ),
        pytest.param(SetOpening(VALVE, 101), "101 is not within 0 to 100", id="more than open"),
        pytest.param(SetOpening(VALVE, -1), "-1 is not within 0 to 100", id="less than closed"),
        pytest.param(ReadMeter(MeterAddress("boiler", VALVE.address)), NO_DEVICE, id="no meter"),
        pytest.param(
            ReadMeter(MeterAddress("valve", b"\x23")),
            "an address has 7 bytes, not 1",
            id="no address",
        ),
        pytest.param(ReadNow(GATEWAY, cabinets=False, valves=False), NOTHING, id="nothing to read"),
    ],
)
def test_what_does_not_exist_is_refused_and_changes_nothing(nonsense: Request, why: str) -> None:
    bus = Bus()
    first = bus.move(VALVE, 50)
    second = bus.move(VALVE_2, 50)
    with pytest.raises(RequestError) as raised:
        bus.ask(nonsense)
    assert str(raised.value) == why
    assert (bus.outcome(first), bus.outcome(second)) == (PENDING, PENDING)
    assert bus.session.queued == 1
    bus.reply(VALVE, 50)
    bus.reply(VALVE_2, 50)
    assert (bus.outcome(first), bus.outcome(second)) == (REPLIED, REPLIED)


def test_nothing_pends_when_all_is_done() -> None:
    bus = Bus()
    assert bus.session.next_deadline() is None
    confirmed(bus)
    bus.report(VALVE, 50)
    bus.report(VALVE_3, 50)
    assert bus.session.next_deadline() is None
