"""Raw frames: sent once, and answered by what fits them."""

import pytest

from custom_components.hy_heating.hyheat.envelope import TransparentCommand
from custom_components.hy_heating.hyheat.model import ReadFrame, UnknownReading
from custom_components.hy_heating.hyheat.session import SendFrame

from .bus import DONE, GATEWAY, PENDING, VALVE, VALVE_2, Bus, move, reading, set_reply

# A read of data identifier D120 (the standard's first month) of the captured household valve, and
# an answer of the layout that nobody described; CS is not looked at here.
RAW = bytes.fromhex("6853232273100011110103D120000016")
READ_D120 = SendFrame(RAW, 0, VALVE.address, 0x01)
ANSWER = UnknownReading(0x53, VALVE.address, bytes.fromhex("6853232273100011118105D12000AABB0016"))


def test_it_is_sent_as_it_is_and_answered_by_the_device() -> None:
    bus = Bus()
    ticket = bus.ask(READ_D120)
    bus.ack()
    bus.transparent(ANSWER)
    assert bus.outcome(ticket) == DONE
    assert bus.results[ticket].reply == ANSWER


def test_its_bytes_and_port() -> None:
    bus = Bus()
    actions = bus.session.submit(1, SendFrame(b"\x68\x01", 7), bus.now)
    (send,) = actions
    assert getattr(send, "message", None) == TransparentCommand(GATEWAY, "6801", 7)


@pytest.mark.parametrize(
    "other",
    [
        reading(VALVE_2, 50),
        set_reply(VALVE, 50),
        ReadFrame(VALVE.device, VALVE.address),
        UnknownReading(0x53, VALVE_2.address, ANSWER.frame),
    ],
)
def test_what_does_not_fit_does_not_end_it(other: object) -> None:
    bus = Bus()
    ticket = bus.ask(READ_D120)
    bus.ack()
    bus.transparent(other)  # type: ignore[arg-type] # a parameter is any of them
    assert bus.outcome(ticket) == PENDING
    bus.transparent(reading(VALVE, 50))  # control 81 answers 01
    assert bus.outcome(ticket) == DONE


def test_bytes_that_are_no_frame_take_any_answer() -> None:
    bus = Bus()
    ticket = bus.ask(SendFrame(b"\xff\xff"))
    bus.transparent(set_reply(VALVE, 50))
    assert bus.outcome(ticket) == DONE


def test_it_is_never_repeated() -> None:
    bus = Bus()
    ticket = bus.ask(READ_D120)
    bus.wait(10)
    assert bus.outcome(ticket) == "gateway_silent"
    assert len(bus._sent) == 1
    bus.move(VALVE, 50)
    bus._sent.pop(0)
    assert bus.sent() == [move(VALVE, 50)], "the bus is free again"


def test_a_set_reply_fits_a_raw_set() -> None:
    bus = Bus()
    ticket = bus.ask(SendFrame(RAW, 0, VALVE.address, 0x04))
    bus.transparent(set_reply(VALVE, 50))
    assert bus.outcome(ticket) == DONE


def test_an_unknown_reply_ends_nothing_else() -> None:
    bus = Bus()
    ticket = bus.move(VALVE, 50)
    bus.transparent(ANSWER)
    assert bus.outcome(ticket) == PENDING
    bus.reply(VALVE, 50)
    assert bus.outcome(ticket) == "replied"
