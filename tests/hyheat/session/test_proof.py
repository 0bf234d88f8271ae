"""A reply is no proof: a report that shows the opening is, and it is judged fairly."""

from collections.abc import Callable

import pytest

from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.model import MeterAddress
from custom_components.hy_heating.hyheat.session import Timing

from .bus import (
    CABINET,
    DONE,
    REPLIED,
    VALVE,
    VALVE_2,
    Bus,
    confirmed,
    read,
    reading,
)


@pytest.mark.parametrize(
    ("meter", "wish", "shown", "proven"),
    [
        (VALVE, 50, [50], True),
        (VALVE, 50, [48], True),
        (VALVE, 50, [52], True),
        (VALVE, 50, [47], False),
        (VALVE, 50, [53], False),
        (VALVE, 0, [0], True),
        (VALVE, 0, [None], False),
        (CABINET, 50, [50.0, 50.0], True),
        (CABINET, 50, [48.0, 52.0], True),
        (CABINET, 50, [50.0, 47.9], False),
        (CABINET, 50, [52.1, 50.0], False),
        (CABINET, 100, [100.0, None], False),
        (CABINET, 100, [None, 100.0], False),
    ],
)
def test_a_report_proves_an_opening_within_2_percent_on_all_openings_of_the_device(
    meter: MeterAddress, wish: int, shown: list[float | None], proven: bool
) -> None:
    bus = Bus()
    ticket = confirmed(bus, meter, wish)
    bus.wait(5)
    bus.report(meter, *shown)
    assert bus.outcome(ticket) == (DONE if proven else REPLIED)
    if not proven:
        bus.report(meter, *[wish] * len(shown))
        assert bus.outcome(ticket) == DONE
    assert bus.results[ticket].found_pct == tuple([wish] * len(shown) if not proven else shown)
    assert bus.results[ticket].duration_s == 5.0
    assert bus.session.proving(meter.address) is None


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda bus: bus.report(VALVE, 50), id="a report"),
        pytest.param(lambda bus: bus.answer(VALVE, 50), id="an answer to somebody's read"),
    ],
)
def test_any_report_of_the_meter_is_proof(said: Callable[[Bus], None]) -> None:
    bus = Bus()
    ticket = confirmed(bus)
    said(bus)
    assert bus.outcome(ticket) == DONE
    assert bus.sent() == []


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(lambda bus: bus.report(VALVE_2, 50), id="another meter"),
        pytest.param(
            lambda bus: bus.report(MeterAddress("cabinet", VALVE.address), 50, 50),
            id="another device type",
        ),
        pytest.param(lambda bus: bus.reply(VALVE, 50), id="a second confirmation"),
    ],
)
def test_nothing_else_is(said: Callable[[Bus], None]) -> None:
    bus = Bus()
    ticket = confirmed(bus)
    said(bus)
    assert bus.outcome(ticket) == REPLIED
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_a_report_before_the_reply_is_no_proof() -> None:
    # The valve may just be leaving that opening for an older command.
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.report(VALVE, 50)
    confirmed(bus, asked=ticket)
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_on_its_way_is_not_yet_a_failure() -> None:
    bus = Bus()
    ticket = confirmed(bus, VALVE, 100)
    for shown in (0, 30, 60):
        bus.wait(50)
        bus.answer(VALVE, shown)  # to a read-back, or somebody else's read
        assert bus.outcome(ticket) == REPLIED
        assert bus.session.proving(VALVE.address) == 100
    bus.wait(20)
    bus.report(VALVE, 99)
    assert bus.outcome(ticket) == DONE


def test_another_opening_after_the_travel_time_is_not_reached() -> None:
    bus = Bus()
    ticket = confirmed(bus, CABINET, 100)
    bus.wait(10)
    bus.answer(CABINET, 100, 20)
    bus.wait(170)  # 180 s after the reply
    bus.answer(CABINET, 100, 40)
    assert bus.outcome(ticket) == FailureReason.NOT_REACHED
    result = bus.results[ticket]
    assert (result.found_pct, result.duration_s, result.tries) == ((100, 40), 180.0, 1)
    # Later proof changes nothing, and the next opening starts from scratch.
    bus.report(CABINET, 100, 100)
    ticket = confirmed(bus, CABINET, 100)
    bus.report(CABINET, 100, 100)
    assert bus.outcome(ticket) == DONE


def test_an_unknown_opening_after_the_travel_time_is_not_reached() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(181)
    bus.report(VALVE, None)
    assert bus.outcome(ticket) == FailureReason.NOT_REACHED
    assert bus.results[ticket].found_pct == (None,)


def test_what_was_found_on_the_way_does_not_tell_that_it_was_not_reached() -> None:
    # The last read is the one that counts; without an answer nobody knows.
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(8)
    bus.answer(VALVE, 20)
    bus.link(up=False)
    bus.wait(172)
    assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    assert bus.results[ticket].found_pct == (20,)


def test_the_answer_to_the_last_read_back_may_be_the_proof() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(180)
    assert bus.sent()[-1] == read(VALVE)
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE
    assert bus.session.in_flight is None


def test_a_short_travel_time_leaves_out_later_read_backs() -> None:
    bus = Bus(Timing(travel_s=30.0))
    ticket = confirmed(bus, VALVE, 100)
    for step in (8, 16, 6):  # at 8, 24, and the last at 30 s
        bus.wait(step)
        assert bus.sent() == [read(VALVE)]
        bus.answer(VALVE, 40)
    assert bus.outcome(ticket) == FailureReason.NOT_REACHED


def test_several_meters_are_proven_at_once_and_each_by_its_own_report() -> None:
    bus = Bus()
    first = confirmed(bus, VALVE, 50)
    second = confirmed(bus, VALVE_2, 30)
    third = confirmed(bus, CABINET, 70)
    bus.transparent(reading(VALVE_2, 30), reading(CABINET, 70, 70), reading(VALVE, 20))
    assert [bus.outcome(ticket) for ticket in (first, second, third)] == [REPLIED, DONE, DONE]
    bus.report(VALVE, 50)
    assert bus.outcome(first) == DONE


def test_a_reading_of_another_meter_in_front_of_it_hides_no_proof() -> None:
    bus = Bus()
    ticket = confirmed(bus, VALVE)
    bus.transparent(reading(VALVE_2, 100), reading(VALVE, 50))
    assert bus.outcome(ticket) == DONE
