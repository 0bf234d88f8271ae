"""Garbage at a steady rate, for a topic that Home Assistant listens to."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
import itertools
import json
import random

from custom_components.hy_heating.hyheat.envelope import report_topic

from .mosquitto import USERNAME

BATCH_S = 0.01
LARGE_BYTES = 60_000

type Kind = Callable[[random.Random], bytes]


def envelope(gateway_id: str, meter_id: str, *frames: str) -> bytes:
    """Return a report, whatever its frames are."""
    gw = {"msg_id": 20, "msg_gw_pr": 0, "gw_id": gateway_id}
    data = {"meter_id": meter_id, "meter_data": list(frames)}
    return json.dumps({"gw": gw, "data": data}).encode()


def renumbered(frame: str, number: int, *, valid: bool = True) -> str:
    """Return a frame as another meter of the same type would send it.

    The number stands behind start and type; the checksum before the end is the sum of
    all bytes before it, modulo 256.
    """
    raw = bytearray.fromhex(frame)
    raw[2:6] = bytes.fromhex(f"{number:08d}")
    raw[-2] = (sum(raw[:-2]) + (not valid)) % 256
    return raw.hex().upper()


def garbage(gateway_id: str, good: str) -> dict[str, Kind]:
    """Return every kind of garbage for a gateway, made of a good frame of a household valve."""
    numbers = itertools.count(50_000_000)
    shapes = itertools.cycle(
        (
            *(b"[]", b"5", b"null", b'""', b"{}", b'{"gw":[]}', b'{"gw":{},"data":{}}'),
            *(b"[" * 300, b'{"data":{"gw":1}}', b'{"gw":{"msg_id":20,"gw_id":1e400},"data":0}'),
        )
    )

    def report(number: int, *frames: str) -> bytes:
        return envelope(gateway_id, f"{number:08d}200800", *frames)

    def wrong_checksum(_: random.Random) -> bytes:
        number = next(numbers)
        return report(number, renumbered(good, number, valid=False))

    def many(frame: str) -> bytes:
        return report(1, *itertools.repeat(frame, LARGE_BYTES // len(frame) - 2))

    broken = renumbered(good, 1, valid=False)
    return {
        "no text": lambda chance: chance.randbytes(200),
        "no JSON": lambda _: report(1, good)[:-20],
        "another shape": lambda _: next(shapes),
        "no frame": lambda chance: report(1, chance.randbytes(60).hex()),
        "wrong checksum, invented meter": wrong_checksum,
        "another gateway": lambda _: envelope("09999999999", "00000001200800", good),
        "60 KB of broken frames": lambda _: many(broken),
        "60 KB of broken frames in a row": lambda _: report(1, broken * (LARGE_BYTES // 120)),
        "60 KB of starts": lambda _: report(1, "68" * (LARGE_BYTES // 2)),
        "60 KB of brackets": lambda _: b'{"a":' + b"[]," * (LARGE_BYTES // 3),
    }


def inventions(gateway_id: str, good: str) -> dict[str, Kind]:
    """Return reports that only somebody who means harm makes: good in every byte, of no meter."""
    numbers = itertools.count(60_000_000)

    def one(_: random.Random) -> bytes:
        number = next(numbers)
        return envelope(gateway_id, f"{number:08d}200800", renumbered(good, number))

    def many(_: random.Random) -> bytes:
        number = next(numbers)
        frames = itertools.repeat(renumbered(good, number), LARGE_BYTES // len(good) - 2)
        return envelope(gateway_id, f"{number:08d}200800", *frames)

    return {"an invented meter": one, "60 KB of an invented meter": many}


LARGE_EVERY = 1_000
"""Of so many messages, one is of each large kind: 5 a second at 5 000 messages a second."""
RETAINED_EVERY = 100
STOCK = 20_000


class Flood:
    """Publishes garbage with QoS 0 over a connection of its own."""

    def __init__(
        self, port: int, password: str, gateway_id: str, kinds: Mapping[str, Kind]
    ) -> None:
        """Prepare to publish kinds of messages in turn, large ones less often."""
        self.sent = 0
        self._port, self._password = port, password
        self._topic = report_topic(gateway_id).encode()
        self._small = [kind for name, kind in kinds.items() if not name.startswith("60 KB")]
        self._large = [kind for name, kind in kinds.items() if name.startswith("60 KB")]
        self._chance = random.Random(1)

    def _packets(self) -> Iterator[bytes]:
        """Yield packets of all kinds without end."""
        small = itertools.cycle(self._small)
        for number in itertools.count():
            place = number % LARGE_EVERY
            kind = self._large[place] if place < len(self._large) else next(small)
            payload = kind(self._chance)
            yield packet(self._topic, payload, retain=number % RETAINED_EVERY == 50)

    async def run(self, rate_per_s: int, duration_s: float) -> None:
        """Publish so many messages a second for a time; raises OSError if it is hung up."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(connect("hy-flood", USERNAME, self._password))
        assert (await reader.readexactly(4))[3] == 0
        loop, packets = asyncio.get_running_loop(), self._packets()
        # Made before they are sent, to keep the rate; so many that each number comes seldom.
        supply = itertools.cycle(list(itertools.islice(packets, STOCK)))
        begun_s = loop.time()
        try:
            while (passed_s := loop.time() - begun_s) < duration_s:
                due = int(passed_s * rate_per_s) - self.sent
                writer.write(b"".join(itertools.islice(supply, due)))
                self.sent += due
                await writer.drain()
                await asyncio.sleep(BATCH_S)
        finally:
            writer.close()


def connect(client_id: str, username: str, password: str) -> bytes:
    """Return a CONNECT of MQTT 3.1.1 (chapter 3.1) with a clean session and no keepalive."""
    body = text("MQTT") + bytes([4, 0xC2, 0, 0]) + text(client_id) + text(username) + text(password)
    return bytes([0x10]) + length(body) + body


def packet(topic: bytes, payload: bytes, *, retain: bool) -> bytes:
    """Return a PUBLISH with QoS 0 (chapter 3.3)."""
    body = len(topic).to_bytes(2) + topic + payload
    return bytes([0x30 | retain]) + length(body) + body


def text(value: str) -> bytes:
    """Return a text with its length before it."""
    return len(value.encode()).to_bytes(2) + value.encode()


def length(body: bytes) -> bytes:
    """Return the length of a body, seven bits to a byte (chapter 2.2.3)."""
    rest, encoded = len(body), bytearray()
    while True:
        rest, digit = divmod(rest, 128)
        encoded.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes(encoded)
