"""Status and settings queries: beside the bus, shared, repeated once, exempt from silence."""

import pytest

from custom_components.hy_heating.hyheat.envelope import (
    SettingsReply,
    Stat,
    StatusReply,
)
from custom_components.hy_heating.hyheat.errors import FailureReason

from .bus import DONE, GATEWAY, PENDING, SETTINGS, STATUS, VALVE, VALVES, Bus, move


def test_queries_are_answered_beside_the_bus() -> None:
    bus = Bus()
    bus.move(VALVE, 50)
    status, settings = bus.ask(STATUS), bus.ask(SETTINGS)
    assert bus.sent() == [move(VALVE, 50), STATUS, SETTINGS]
    bus.wait(2)
    bus.settings()
    assert bus.outcome(settings) == DONE
    assert bus.outcome(status) == PENDING
    bus.status(valves=96)
    assert bus.results[status].reply == StatusReply(
        gateway_id=GATEWAY, stat=Stat.SUCCEEDED, valves=96
    )
    assert bus.results[settings].reply == SettingsReply(gateway_id=GATEWAY, stat=Stat.SUCCEEDED)
    assert (bus.results[status].tries, bus.results[status].duration_s) == (1, 2.0)


def test_who_asks_meanwhile_shares_the_query() -> None:
    bus = Bus()
    first = bus.ask(STATUS)
    bus.wait(5)
    second = bus.ask(STATUS)
    assert bus.sent() == [STATUS]
    bus.status()
    assert bus.outcome(first) == bus.outcome(second) == DONE
    bus.ask(STATUS)
    assert bus.sent() == [STATUS]


def test_a_query_is_repeated_once() -> None:
    bus = Bus()
    ticket = bus.ask(STATUS)
    bus.wait(10)
    assert bus.sent() == [STATUS, STATUS]
    bus.wait(10)
    assert bus.sent() == []
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    assert (bus.results[ticket].tries, bus.results[ticket].duration_s) == (2, 20.0)
    again = bus.ask(STATUS)
    bus.wait(10)
    bus.status()
    assert bus.outcome(again) == DONE
    assert bus.results[again].tries == 2


def test_a_repetition_that_could_not_be_published_fails_alone() -> None:
    bus = Bus()
    status = bus.ask(STATUS)
    bus.wait(1)
    settings = bus.ask(SETTINGS)
    bus.wait(9)
    assert bus.sent() == [STATUS, SETTINGS, STATUS]
    of_status = bus.last_job()
    bus.wait(1)
    assert bus.sent() == [SETTINGS]
    bus.publish_fails(of_status)
    assert bus.outcome(status) == FailureReason.LINK_DOWN
    assert bus.outcome(settings) == PENDING
    bus.settings()
    assert bus.outcome(settings) == DONE
    status = bus.ask(STATUS)
    bus.status()
    assert bus.outcome(status) == DONE


def test_a_query_that_was_not_published_does_not_end_its_repetition() -> None:
    bus = Bus()
    ticket = bus.ask(STATUS)
    first_try = bus.last_job()
    bus.wait(10)
    bus.publish_fails(first_try)  # only now: the link was slow
    assert bus.outcome(ticket) == PENDING
    bus.status()
    assert bus.outcome(ticket) == DONE


def test_a_refused_query_fails_with_the_reply() -> None:
    bus = Bus()
    ticket = bus.ask(SETTINGS)
    bus.settings(Stat.FAILED)
    assert bus.outcome(ticket) == FailureReason.GATEWAY_REFUSED
    assert bus.results[ticket].reply == SettingsReply(gateway_id=GATEWAY, stat=Stat.FAILED)
    ticket = bus.ask(SETTINGS)
    bus.settings()
    assert bus.outcome(ticket) == DONE


def test_replies_that_nobody_waits_for_end_nothing() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.status()
    bus.settings()
    assert bus.outcome(ticket) == PENDING
    assert not bus.ended_order


def test_a_query_that_could_not_be_published_fails_alone() -> None:
    bus = Bus()
    status = bus.ask(STATUS)
    job = bus.last_job()
    settings, read_now = bus.ask(SETTINGS), bus.ask(VALVES)
    bus.publish_fails(job)
    assert bus.outcome(status) == FailureReason.LINK_DOWN
    assert bus.outcome(settings) == bus.outcome(read_now) == PENDING
    bus.publish_fails(job)  # an older try's news
    bus.settings()
    assert bus.outcome(settings) == DONE


def test_a_gateway_that_is_silent_can_still_be_asked() -> None:
    bus = Bus()
    for _ in range(3):
        bus.ask(STATUS)
        bus.wait(20)
    assert bus.session.gateway_silent
    bus.sent()
    ticket = bus.ask(STATUS)
    bus.wait(10)
    assert bus.outcome(ticket) == PENDING
    assert bus.sent() == [STATUS, STATUS]
    bus.status()
    assert bus.outcome(ticket) == DONE
    assert not bus.session.gateway_silent


def test_each_query_that_is_not_answered_counts() -> None:
    bus = Bus()
    bus.ask(STATUS)
    bus.ask(SETTINGS)
    bus.wait(20)
    assert not bus.session.gateway_silent
    bus.ask(STATUS)
    bus.wait(20)
    assert bus.session.gateway_silent, "the third"


@pytest.mark.parametrize("request_", [STATUS, SETTINGS], ids=str)
def test_queries_need_the_link(request_: object) -> None:
    query = STATUS if request_ is STATUS else SETTINGS
    bus = Bus(up=False)
    assert bus.outcome(bus.ask(query)) == FailureReason.LINK_DOWN
    bus.link(up=True)
    ticket = bus.ask(query)
    bus.link(up=False)
    assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    assert bus.sent() == [query]
    bus.link(up=True)
    ticket = bus.ask(query)
    bus.close()
    assert bus.outcome(ticket) == FailureReason.SHUT_DOWN
    assert bus.outcome(bus.ask(query)) == FailureReason.SHUT_DOWN
