"""Every request ends exactly once, with the right reason, at whatever stage the end comes."""

from collections.abc import Callable

import pytest

from custom_components.hy_heating.hyheat.envelope import ReadNow, Stat
from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.model import MeterAddress
from custom_components.hy_heating.hyheat.session import ReadMeter, Request, SetOpening

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

# --- How far an opening of VALVE has come when something happens -----------------------------


def _queued(bus: Bus) -> int:
    bus.read(VALVE_3)
    return bus.move(VALVE, 50)


def _behind_a_read_now(bus: Bus) -> int:
    bus.ask(VALVES)
    bus.read_ack()
    return bus.move(VALVE, 50)


def _sent(bus: Bus) -> int:
    return bus.move(VALVE, 50)


def _acknowledged(bus: Bus) -> int:
    ticket = bus.move(VALVE, 50)
    bus.ack()
    return ticket


def _refused(bus: Bus) -> int:
    ticket = bus.move(VALVE, 50)
    bus.ack(Stat.FAILED)
    return ticket


def _wrongly_echoed(bus: Bus) -> int:
    ticket = bus.move(VALVE, 50)
    bus.reply(VALVE, 10)
    return ticket


def _replied(bus: Bus) -> int:
    return confirmed(bus)


def _read_back(bus: Bus) -> int:
    ticket = confirmed(bus)
    bus.wait(8)
    bus.ack()
    return ticket


def _read_back_for_the_last_time(bus: Bus) -> int:
    ticket = confirmed(bus)
    bus.wait(180)
    return ticket


def _collecting_for_the_proof(bus: Bus) -> int:
    ticket = confirmed(bus)
    for step in (8, 16, 36):
        bus.wait(step)
        bus.refuse(VALVE, 0xC1)
    bus.read_ack()
    return ticket


STAGES = (
    _queued,
    _behind_a_read_now,
    _sent,
    _acknowledged,
    _refused,
    _wrongly_echoed,
    _replied,
    _read_back,
    _read_back_for_the_last_time,
    _collecting_for_the_proof,
)
WAITING = {_queued, _behind_a_read_now}
PROVING = {_replied, _read_back, _read_back_for_the_last_time, _collecting_for_the_proof}

every_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__[1:])


@every_stage
def test_a_newer_opening_ends_the_older_one(stage: Callable[[Bus], int]) -> None:
    bus = Bus()
    older = stage(bus)
    newer = bus.move(VALVE, 60)
    assert bus.outcome(older) == FailureReason.SUPERSEDED
    assert bus.results[older].tries == (0 if stage in WAITING else 1)
    _play_on(bus, newer)
    assert bus.outcome(newer) == DONE
    assert bus.sent().count(move(VALVE, 60)) == 1
    assert bus.ended_order.index(older) < bus.ended_order.index(newer)


@every_stage
def test_of_three_openings_only_the_last_is_sent_to_a_busy_bus(
    stage: Callable[[Bus], int],
) -> None:
    bus = Bus()
    stage(bus)
    bus.read(CABINET)
    bus.sent()
    second, third = bus.move(VALVE, 60), bus.move(VALVE, 70)
    assert bus.outcome(second) == FailureReason.SUPERSEDED
    _play_on(bus, third)
    assert bus.outcome(third) == DONE
    assert move(VALVE, 60) not in bus.sent()


@every_stage
def test_an_opening_of_another_meter_ends_nothing(stage: Callable[[Bus], int]) -> None:
    bus = Bus()
    ticket = stage(bus)
    other = bus.move(VALVE_2, 60)
    assert bus.outcome(ticket) in {PENDING, REPLIED}
    _play_on(bus, ticket)
    _play_on(bus, other)
    assert (bus.outcome(ticket), bus.outcome(other)) == (DONE, DONE)


@every_stage
def test_shut_down_ends_everything_and_nothing_follows(stage: Callable[[Bus], int]) -> None:
    bus = Bus()
    ticket = stage(bus)
    others = [bus.read(VALVE_2), bus.ask(STATUS), bus.ask(CABINETS)]
    bus.sent()
    bus.close()
    for one in (ticket, *others):
        assert bus.outcome(one) == FailureReason.SHUT_DOWN
    assert bus.session.next_deadline() is None
    assert bus.session.in_flight is None
    after = [bus.move(VALVE, 10), bus.ask(VALVES), bus.ask(STATUS)]
    assert [bus.outcome(one) for one in after] == [FailureReason.SHUT_DOWN] * 3
    bus.reply(VALVE, 50)
    bus.report(VALVE, 50)
    bus.read_ack()
    bus.publish_fails()
    bus.link(up=False)
    bus.link(up=True)
    assert bus.session.next_deadline() is None
    bus.wait(1000)
    bus.close()
    assert bus.sent() == []


@every_stage
def test_a_lost_link_ends_what_waits_and_what_is_not_answered(
    stage: Callable[[Bus], int],
) -> None:
    bus = Bus()
    ticket = stage(bus)
    others = [bus.read(VALVE_2), bus.ask(STATUS), bus.ask(CABINETS)]
    bus.sent()
    bus.link(up=False)
    assert bus.outcome(others[1]) == bus.outcome(others[2]) == FailureReason.LINK_DOWN
    assert (bus.outcome(ticket) == FailureReason.LINK_DOWN) is (stage in WAITING)
    assert bus.outcome(bus.move(VALVE_3, 1)) == FailureReason.LINK_DOWN
    bus.wait(240)
    assert bus.outcome(ticket) == bus.outcome(others[0]) == FailureReason.LINK_DOWN
    assert bus.sent() == []
    assert not bus.session.gateway_silent
    bus.link(up=True)
    assert bus.sent() == []  # nothing acts late
    _play_on(bus, bus.move(VALVE, 50))


@every_stage
def test_a_link_that_flaps_costs_only_what_waited(stage: Callable[[Bus], int]) -> None:
    bus = Bus()
    ticket = stage(bus)
    bus.link(up=False)
    bus.wait(1)
    bus.link(up=True)
    if stage in WAITING:
        assert bus.outcome(ticket) == FailureReason.LINK_DOWN
        ticket = bus.move(VALVE, 50)
    _play_on(bus, ticket)
    assert bus.outcome(ticket) == DONE


@every_stage
def test_a_reply_that_comes_while_the_link_is_thought_lost_counts(
    stage: Callable[[Bus], int],
) -> None:
    bus = Bus()
    ticket = stage(bus)
    bus.link(up=False)
    bus.reply(VALVE, 50)
    bus.report(VALVE, 50)
    assert bus.outcome(ticket) == (FailureReason.LINK_DOWN if stage in WAITING else DONE)


@every_stage
def test_a_silent_gateway_ends_what_waits(stage: Callable[[Bus], int]) -> None:
    bus = Bus()
    ticket = stage(bus)
    for _ in range(3):
        bus.ask(STATUS)
        bus.wait(20)
    if stage in PROVING - {_read_back_for_the_last_time}:
        assert bus.outcome(ticket) == REPLIED  # reports may still come by themselves
        bus.wait(180)
    assert bus.session.gateway_silent
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    bus.report(VALVE_3, 0)
    _play_on(bus, bus.move(VALVE, 50))


# --- Messages that cannot be published --------------------------------------------------------


def test_a_command_that_cannot_be_published_fails_at_once_and_frees_the_bus() -> None:
    bus = Bus()
    ticket, following = bus.move(VALVE, 50), bus.read(VALVE_2)
    bus.publish_fails()
    assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    assert bus.sent() == [move(VALVE, 50), read(VALVE_2)]
    bus.answer(VALVE_2, 1)
    assert bus.outcome(following) == DONE


def test_old_news_of_a_failed_publish_ends_nothing() -> None:
    bus = Bus()
    first = bus.move(VALVE, 50)
    job = bus.last_job()
    bus.ack()
    bus.publish_fails(job)  # it was acknowledged, so it did go out
    assert bus.outcome(first) == PENDING
    bus.reply(VALVE, 50)
    second = bus.read(VALVE_2)
    bus.publish_fails(job)
    assert bus.outcome(second) == PENDING
    bus.answer(VALVE_2, 1)
    assert bus.outcome(second) == DONE


def test_a_try_that_was_not_published_does_not_end_the_next_one() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    first_try = bus.last_job()
    bus.wait(10)
    assert bus.sent() == [move(VALVE, 50)] * 2
    following = bus.read(VALVE_2)
    bus.publish_fails(first_try)  # only now: the link was slow
    assert bus.outcome(ticket) == bus.outcome(following) == PENDING
    assert bus.sent() == []
    bus.publish_fails()  # the second try is the one in flight
    assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    assert bus.sent() == [read(VALVE_2)]


def test_a_read_back_that_cannot_be_published_is_tried_again_at_its_next_step() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(8)
    bus.publish_fails()
    assert bus.outcome(ticket) == REPLIED
    bus.wait(16)
    assert bus.sent() == [read(VALVE)] * 2
    bus.answer(VALVE, 50)
    assert bus.outcome(ticket) == DONE


def test_the_last_read_back_that_cannot_be_published_gives_the_reason() -> None:
    bus = Bus()
    ticket = confirmed(bus)
    bus.wait(180)
    bus.publish_fails()
    assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    assert bus.direct_reads() is None


# --- The rest of the ways out -----------------------------------------------------------------


def test_a_read_now_that_loses_the_link_after_its_acknowledgement_has_ended_well() -> None:
    bus = Bus()
    ticket = bus.ask(VALVES)
    bus.read_ack()
    bus.link(up=False)
    bus.report(VALVE, 1)
    bus.wait(100)
    assert bus.outcome(ticket) == DONE
    assert bus.session.next_deadline() is None
    bus.link(up=True)
    assert confirmed(bus)


def test_the_bus_stays_busy_with_a_superseded_opening_no_longer_than_with_one_try() -> None:
    bus = Bus()
    bus.move(VALVE, 50)
    bus.wait(5)
    newer = bus.move(VALVE, 60)
    bus.wait(4.9)
    assert bus.sent() == [move(VALVE, 50)]
    bus.wait(0.1)
    assert bus.sent() == [move(VALVE, 60)]
    confirmed(bus, VALVE, 60, asked=newer)


def test_the_reply_to_a_superseded_opening_frees_the_bus_and_proves_nothing() -> None:
    bus = Bus()
    older, newer = bus.move(VALVE, 50), bus.move(VALVE, 60)
    bus.reply(VALVE, 50)
    assert bus.sent() == [move(VALVE, 50), move(VALVE, 60)]
    assert bus.session.proving(VALVE.address) is None
    bus.report(VALVE, 50)
    assert (bus.outcome(older), bus.outcome(newer)) == (FailureReason.SUPERSEDED, PENDING)


def test_an_opening_that_fails_at_once_does_not_end_the_older_one() -> None:
    bus = Bus()
    older = confirmed(bus)
    bus.link(up=False)
    assert bus.outcome(bus.move(VALVE, 60)) == FailureReason.LINK_DOWN
    assert bus.outcome(older) == REPLIED
    bus.report(VALVE, 50)
    assert bus.outcome(older) == DONE


@pytest.mark.parametrize(
    "request_", [SetOpening(VALVE, 50), VALVES, STATUS], ids=["opening", "read-now", "query"]
)
def test_without_a_link_everything_fails_at_once(request_: Request) -> None:
    bus = Bus(up=False)
    ticket = bus.ask(request_)
    assert bus.outcome(ticket) == FailureReason.LINK_DOWN
    assert bus.results[ticket].tries == 0
    assert bus.sent() == []
    bus.link(up=True)
    assert bus.sent() == []
    bus.ask(request_)
    assert len(bus.sent()) == 1


def _play_on(bus: Bus, ticket: int) -> None:
    """Play a gateway and meters that do as they are told, until a request has ended."""
    for _ in range(60):
        if bus.outcome(ticket) not in {PENDING, REPLIED}:
            return
        match bus.session.in_flight:
            case SetOpening(meter=meter, opening_pct=opening_pct):
                bus.ack()
                bus.reply(meter, opening_pct)
            case ReadMeter(meter=meter):
                bus.answer(meter, *_openings(bus, meter))
            case ReadNow():
                bus.read_ack()
                for meter in (VALVE, VALVE_2, VALVE_3, CABINET):
                    bus.report(meter, *_openings(bus, meter))
            case _:  # no raw frames here
                deadline = bus.session.next_deadline()
                assert deadline is not None, "nothing would ever end it"
                bus.wait(deadline - bus.now)
    raise AssertionError("no end")


def _openings(bus: Bus, meter: MeterAddress) -> list[int]:
    shown = bus.session.proving(meter.address) or 0
    return [shown] * (2 if meter.device == "cabinet" else 1)
