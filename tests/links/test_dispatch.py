"""Messages find their listeners, and wait for those who are late."""

import logging

import pytest

from custom_components.hy_heating.links import dispatch
from custom_components.hy_heating.links.dispatch import HOLD_S, HeldMessages, Listeners

type Message = tuple[str, bytes, bool]


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.heard: list[Message] = []

    def __call__(self, topic: str, payload: bytes, retained: bool) -> None:
        self.heard.append((topic, payload, retained))


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


# --- Listeners ------------------------------------------------------------------------------


def test_a_message_goes_to_the_listeners_of_its_topic_only() -> None:
    listeners, one, other = Listeners(), Ear(), Ear()
    listeners.add("a/1", one)
    listeners.add("a/2", other)
    assert listeners.deliver("a/1", b"x", True)
    assert (one.heard, other.heard) == ([("a/1", b"x", True)], [])
    assert not listeners.deliver("a", b"x", False)
    assert not listeners.deliver("a/1/b", b"x", False)


def test_a_wildcard_hears_every_topic_that_it_matches_beside_exact_listeners() -> None:
    listeners, every, one = Listeners(), Ear(), Ear()
    remove = listeners.add("a/+", every)
    listeners.add("a/1", one)
    assert listeners.deliver("a/1", b"x", False)
    assert listeners.deliver("a/2", b"y", False)
    assert not listeners.deliver("a/2/b", b"z", False)
    assert every.heard == [("a/1", b"x", False), ("a/2", b"y", False)]
    assert one.heard == [("a/1", b"x", False)]
    assert remove()
    assert not listeners.deliver("a/2", b"y", False)
    assert listeners.deliver("a/1", b"x", False)


def test_a_topic_lives_as_long_as_it_has_a_listener() -> None:
    listeners, one, other = Listeners(), Ear(), Ear()
    remove_one = listeners.add("a", one)
    remove_other = listeners.add("a", other)
    assert not remove_one()
    assert not remove_one()  # once more does no harm
    assert listeners.topics == ["a"]
    listeners.deliver("a", b"x", False)
    assert (one.heard, other.heard) == ([], [("a", b"x", False)])
    assert remove_other()
    assert not remove_other()
    assert listeners.topics == []


def test_a_listener_that_fails_is_logged_once_per_topic_and_stops_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def failing(topic: str, payload: bytes, retained: bool) -> None:
        raise RuntimeError("broken")

    listeners, ear = Listeners(), Ear()
    for topic in ("a", "b"):
        listeners.add(topic, failing)
        listeners.add(topic, ear)
    for topic in ("a", "a", "b"):
        assert listeners.deliver(topic, b"x", False)
    assert [message[0] for message in ear.heard] == ["a", "a", "b"]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.getMessage()[-1] for record in errors] == ["a", "b"]


# --- Messages that wait ---------------------------------------------------------------------


def test_messages_wait_in_order_and_are_given_once() -> None:
    held = HeldMessages(Clock())
    for payload in (b"1", b"2"):
        assert held.add("a", payload, False)
    assert held.add("b", b"3", True)
    assert list(held.take("a")) == [("a", b"1", False), ("a", b"2", False)]
    assert list(held.take("a")) == []
    assert list(held.take("b")) == [("b", b"3", True)]


def test_a_wildcard_takes_what_it_matches() -> None:
    held = HeldMessages(Clock())
    for topic in ("a/1", "a/2", "b/1"):
        held.add(topic, b"x", False)
    assert [message[0] for message in held.take("a/+")] == ["a/1", "a/2"]
    assert [message[0] for message in held.take("b/1")] == ["b/1"]


def test_nobody_comes_for_too_long() -> None:
    clock = Clock()
    held = HeldMessages(clock)
    assert held.add("a", b"1", False)
    clock.now_s += HOLD_S
    assert held.add("a", b"2", False)
    clock.now_s += 0.1
    assert not held.add("a", b"3", False)
    assert list(held.take("a")) == []
    # Afterwards the topic is like a new one.
    assert held.add("a", b"4", False)
    assert list(held.take("a")) == [("a", b"4", False)]


def test_what_is_too_old_is_not_given() -> None:
    clock = Clock()
    held = HeldMessages(clock)
    held.add("a", b"1", False)
    clock.now_s += HOLD_S + 0.1
    assert list(held.take("a")) == []
    held.add("a", b"2", False)
    assert list(held.take("a")) == [("a", b"2", False)]


def test_there_is_room_for_so_much_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Topic 1 byte, payload 99, overhead 200: 300 bytes each, so three fit into 1000.
    monkeypatch.setattr(dispatch, "MAX_HELD_BYTES", 1000)
    held = HeldMessages(Clock())
    for number in range(5):
        assert held.add("a", bytes([number]) * 99, False)
    assert [message[1][0] for message in held.take("a")] == [0, 1, 2]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert held.lost == 2
    # Taken means room again.
    assert held.add("b", b"x" * 99, False)
    assert list(held.take("b")) == [("b", b"x" * 99, False)]
    assert len(caplog.records) == 1
