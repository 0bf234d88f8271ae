"""Between the decision to send and the link, messages arrive that cannot be its answer."""

from custom_components.hy_heating.hyheat.envelope import Stat
from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.session import Timing

from .bus import CABINETS, DONE, PENDING, REPLIED, STATUS, VALVE, VALVE_2, VALVES, Bus, move, read


def held() -> Bus:
    bus = Bus()
    bus.holds = True
    return bus


def test_a_duplicate_answer_is_no_answer_to_what_has_not_gone_out() -> None:
    bus = held()
    first, second, third = bus.read(VALVE), bus.read(VALVE), bus.move(VALVE_2, 50)
    assert bus.hand_over()
    bus.answer(VALVE, 30)
    bus.answer(VALVE, 30)
    assert bus.outcome(first) == DONE
    assert bus.outcome(second) == PENDING
    assert bus.sent() == [read(VALVE), read(VALVE)], "the third waits for the second"
    assert bus.hand_over()
    bus.answer(VALVE, 30)
    assert bus.outcome(second) == DONE
    assert bus.sent() == [move(VALVE_2, 50)]
    assert bus.outcome(third) == PENDING


def test_a_duplicate_acknowledgement_is_none_of_what_has_not_gone_out() -> None:
    bus = held()
    ticket = bus.move(VALVE, 50)
    bus.ack(Stat.FAILED)
    assert bus.hand_over()
    bus.wait(9.9)
    assert bus.outcome(ticket) == PENDING
    assert bus.sent() == [move(VALVE, 50)], "a refusal would have had it repeated after 2 s"
    bus.ack()
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED


def test_an_answer_to_the_try_before_makes_the_next_one_needless() -> None:
    bus = held()
    ticket = bus.move(VALVE, 50)
    assert bus.hand_over()
    bus.wait(10)  # no acknowledgement: once more
    assert bus.sent() == [move(VALVE, 50)] * 2
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED
    assert not bus.hand_over()


def test_a_query_that_is_answered_on_its_way_does_not_go_out() -> None:
    bus = held()
    ticket = bus.ask(STATUS)
    bus.status()
    assert bus.outcome(ticket) == DONE
    assert not bus.hand_over()
    bus.ask(STATUS)
    assert bus.hand_over()


def test_what_has_not_gone_out_lets_the_read_now_of_another_master_pass() -> None:
    bus = held()
    ticket = bus.move(VALVE, 50)
    bus.read_ack()
    assert not bus.hand_over()
    bus.sent()
    bus.wait(14.9)
    assert bus.sent() == []
    bus.wait(0.1)
    assert bus.sent() == [move(VALVE, 50)]
    assert bus.hand_over()
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == REPLIED
    bus.report(VALVE, 50)
    assert bus.results[ticket].tries == 1, "the one that did not go out is none"


def test_what_never_went_out_for_others_is_sent_its_full_number_of_times() -> None:
    bus = held()
    ticket = bus.move(VALVE, 50)
    bus.read_ack()
    assert not bus.hand_over()
    bus.holds = False
    bus.wait(15 + 3 * 10)
    assert bus.outcome(ticket) == FailureReason.GATEWAY_SILENT
    assert bus.sent() == [move(VALVE, 50)] * 4, "one was taken back, three went out"


def test_a_read_now_that_has_not_gone_out_is_not_what_is_acknowledged() -> None:
    bus = held()
    ticket = bus.ask(VALVES)
    bus.read_ack()
    assert bus.outcome(ticket) == PENDING
    assert bus.hand_over()
    bus.read_ack()
    assert bus.outcome(ticket) == DONE


def test_the_end_of_the_link_ends_what_let_others_pass() -> None:
    bus = Bus(Timing(move_pause_s=0.0))
    bus.holds = True
    ticket = bus.ask(CABINETS)
    assert bus.hand_over()
    bus.read_ack()
    assert bus.outcome(ticket) == DONE
    bus.wait(15)
    late = bus.move(VALVE, 50)
    bus.read_ack()
    assert not bus.hand_over()
    bus.link(up=False)
    bus.wait(15)
    assert bus.outcome(late) == FailureReason.LINK_DOWN
    bus.link(up=True)
    again = bus.move(VALVE, 50)
    assert bus.hand_over()
    bus.reply(VALVE, 50)
    assert bus.outcome(again) == REPLIED
