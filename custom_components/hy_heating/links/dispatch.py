"""From a topic to its listeners, and messages that wait for one."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
import logging

import aiomqtt

from ..hyheat.link import MessageListener

_LOGGER = logging.getLogger(__name__)

HOLD_S = 600.0
"""How long messages wait for a listener: entries are set up one after another, and a failed set-up
is tried again after 5 s, 10 s, 20 s, and so on up to 80 s."""
MAX_HELD_BYTES = 16 * 1024 * 1024
"""Reports of ten thousand meters and more: a broker holds 1000 messages unless told otherwise."""
MESSAGE_OVERHEAD_BYTES = 200
"""What a waiting message takes beside its topic and payload."""


def is_filter(topic: str) -> bool:
    """Whether a topic has wildcards."""
    return "+" in topic or "#" in topic


def matches(topic: str, topic_filter: str) -> bool:
    """Whether a topic is the one of a subscription, or one of them."""
    if is_filter(topic_filter):
        return aiomqtt.Topic(topic).matches(topic_filter)
    return topic == topic_filter


class Listeners:
    """Who hears what: one look-up per message, however many topics there are."""

    def __init__(self) -> None:
        """Begin without any."""
        self._by_topic: dict[str, dict[object, MessageListener]] = {}
        self._filters: set[str] = set()
        self._faulty: set[str] = set()

    @property
    def topics(self) -> list[str]:
        """The topics that somebody listens to."""
        return list(self._by_topic)

    def add(self, topic: str, listener: MessageListener) -> Callable[[], bool]:
        """Hand messages of a topic, which may have wildcards, to a listener.

        Return how to end that, which tells whether the topic has thereby lost its last listener.
        """
        token = object()
        self._by_topic.setdefault(topic, {})[token] = listener
        if is_filter(topic):
            self._filters.add(topic)
        return lambda: self._remove(topic, token)

    def _remove(self, topic: str, token: object) -> bool:
        listeners = self._by_topic.get(topic, {})
        if listeners.pop(token, None) is None or listeners:
            return False
        del self._by_topic[topic]
        self._filters.discard(topic)
        return True

    def deliver(self, topic: str, payload: bytes, retained: bool) -> bool:
        """Hand a message to its listeners; return whether there was any. Raises nothing."""
        listeners = list(self._by_topic.get(topic, {}).values())
        for topic_filter in self._filters:
            if matches(topic, topic_filter):
                listeners += self._by_topic[topic_filter].values()
        return self._hand_over(listeners, topic, payload, retained)

    def deliver_for(self, subscription: str, topic: str, payload: bytes, retained: bool) -> bool:
        """Hand a message to the listeners of the subscription that it came by; as `deliver`."""
        listeners = list(self._by_topic.get(subscription, {}).values())
        return self._hand_over(listeners, topic, payload, retained)

    def _hand_over(
        self, listeners: list[MessageListener], topic: str, payload: bytes, retained: bool
    ) -> bool:
        for listener in listeners:
            try:
                listener(topic, payload, retained)
            except Exception:
                if topic not in self._faulty:
                    self._faulty.add(topic)
                    _LOGGER.exception("A listener failed at a message on %s", topic)
        return bool(listeners)


@dataclass(slots=True)
class _Held:
    since_s: float
    messages: list[tuple[str, bytes, bool]] = field(default_factory=list)
    size_bytes: int = 0


class HeldMessages:
    """Messages without a listener yet.

    A broker delivers what it held right after connecting, before the entries have subscribed, and
    counts it as received. Nothing runs by itself here: what is too old goes when it is next seen.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        """Begin with none; `now` is the loop's time unless given."""
        self._now = now or asyncio.get_running_loop().time
        self._by_topic: dict[str, _Held] = {}
        self._size_bytes = 0
        self._full = False
        self.lost = 0
        """Messages that there was no room for."""

    def add(self, topic: str, payload: bytes, retained: bool) -> bool:
        """Keep a message; return False when nobody came for its topic for too long."""
        held = self._by_topic.setdefault(topic, _Held(self._now()))
        if self._now() - held.since_s > HOLD_S:
            self._drop(topic)
            return False
        size_bytes = len(topic) + len(payload) + MESSAGE_OVERHEAD_BYTES
        if self._size_bytes + size_bytes > MAX_HELD_BYTES:
            if not self._full:
                _LOGGER.warning("Too many messages wait for their gateways: some are lost")
            self._full = True
            self.lost += 1
            return True
        held.messages.append((topic, payload, retained))
        held.size_bytes += size_bytes
        self._size_bytes += size_bytes
        return True

    def take(self, subscription: str) -> Iterator[tuple[str, bytes, bool]]:
        """Yield and forget what waits for a subscription, in the order of its arrival."""
        for topic in [topic for topic in self._by_topic if matches(topic, subscription)]:
            held = self._drop(topic)
            if self._now() - held.since_s <= HOLD_S:
                yield from held.messages

    def _drop(self, topic: str) -> _Held:
        held = self._by_topic.pop(topic)
        self._size_bytes -= held.size_bytes
        self._full = False
        return held
