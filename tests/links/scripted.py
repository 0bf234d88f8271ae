"""A broker that does as told: refuses, falls silent, hangs up, speaks MQTT 5.

Its bytes are written down by hand from the standards (MQTT 3.1.1 and 5.0, chapter 3).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
import ssl

CONNECT, CONNACK, PUBLISH, PUBACK = 0x10, 0x20, 0x30, 0x40
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = 0x82, 0x90, 0xA2, 0xB0
PINGREQ, PINGRESP, DISCONNECT = 0xC0, 0xD0, 0xE0

V311, V5 = 4, 5
"""The protocol level in CONNECT."""

ACCEPTED_V311 = bytes([CONNACK, 2, 0, 0])
ACCEPTED_V5 = bytes([CONNACK, 3, 0, 0, 0])
SILENCE = None
HANG_UP = b""


def refused_v311(code: int) -> bytes:
    """Return a CONNACK of MQTT 3.1.1 with a return code, 1 to 5."""
    return bytes([CONNACK, 2, 0, code])


def refused_v5(code: int) -> bytes:
    """Return a CONNACK of MQTT 5 with a reason code, 0x80 and above, and no properties."""
    return bytes([CONNACK, 3, 0, code, 0])


@dataclass
class Connect:
    """What a client said when it connected."""

    level: int
    clean: bool
    keepalive_s: int
    properties: bytes
    client_id: str
    username: str | None
    password: str | None


@dataclass
class Publish:
    """A message from a client."""

    topic: str
    payload: bytes
    first_byte: int
    properties: bytes


class Reader:
    """Takes a packet's body apart."""

    def __init__(self, body: bytes) -> None:
        self.rest = body

    def take(self, count: int) -> bytes:
        """Take so many bytes."""
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def number(self) -> int:
        """Take two bytes as a number."""
        return int.from_bytes(self.take(2))

    def text(self) -> str:
        """Take a text with its length before it."""
        return self.take(self.number()).decode()

    def properties(self, level: int) -> bytes:
        """Take the properties of MQTT 5, shorter than 128 bytes."""
        return self.take(self.take(1)[0]) if level == V5 else b""


@dataclass
class ScriptedBroker:
    """Answers to CONNECT by protocol level as told, and to the rest as a broker would."""

    answers: dict[int, bytes | None]
    then_hang_up: bool = False
    frozen: bool = False
    codes: dict[str, int] = field(default_factory=dict)
    """Answers to subscriptions: reason codes by topic."""
    short_suback: bool = False
    mute: bool = False
    """Answers to nothing but CONNECT."""
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared, the broker leaves what comes in the buffers."""
    port: int = 0
    connects: list[Connect] = field(default_factory=list)
    published: list[Publish] = field(default_factory=list)
    subscribed: list[list[str]] = field(default_factory=list)
    unsubscribed: list[str] = field(default_factory=list)
    acknowledged: int = 0
    pinged: int = 0
    goodbyes: int = 0
    accepted: int = 0
    open_connections: int = 0
    resets: int = 0
    _level: int = 0
    _writer: asyncio.StreamWriter | None = None

    def __post_init__(self) -> None:
        self.reading.set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hold the conversation of one connection."""
        self.accepted += 1
        self.open_connections += 1
        try:
            while True:
                await self.reading.wait()
                first = (await reader.readexactly(1))[0]
                length, shift = 0, 0
                while True:
                    byte = (await reader.readexactly(1))[0]
                    length |= (byte & 0x7F) << shift
                    shift += 7
                    if byte < 0x80:
                        break
                answer = self._answer(first, Reader(await reader.readexactly(length)))
                if answer == HANG_UP:
                    return
                if answer and not self.frozen and (first == CONNECT or not self.mute):
                    writer.write(answer)
                if first == CONNECT:
                    self._writer = writer
                    if self.then_hang_up:
                        return
        except ConnectionResetError:
            self.resets += 1
        except ConnectionError, asyncio.IncompleteReadError:
            return
        finally:
            self.open_connections -= 1
            writer.close()

    def send(self, topic: str, payload: bytes, *, qos: int = 0, retained: bool = False) -> None:
        """Send a message to who connected last."""
        self.send_raw(self.message(topic, payload, qos=qos, retained=retained))

    def message(self, topic: str, payload: bytes, *, qos: int, retained: bool = False) -> bytes:
        """Return a short message, with packet id 1 where it needs one."""
        body = len(topic).to_bytes(2) + topic.encode()
        body += b"\0\1" if qos else b""
        body += b"\0" if self._level == V5 else b""
        return bytes([PUBLISH | qos << 1 | retained, len(body + payload)]) + body + payload

    def send_raw(self, packet: bytes) -> None:
        """Send bytes to who connected last."""
        assert self._writer
        self._writer.write(packet)

    def hang_up(self) -> None:
        """End the connection of who connected last."""
        assert self._writer
        self._writer.close()

    def _answer(self, first: int, body: Reader) -> bytes | None:
        match first:
            case 0x10:
                return self._connect(body)
            case 0x82:
                return self._subscribe(body)
            case 0xA2:
                packet_id = body.take(2)
                body.properties(self._level)
                self.unsubscribed.append(body.text())
                tail = b"\0\0" if self._level == V5 else b""
                return bytes([UNSUBACK, 2 + len(tail)]) + packet_id + tail
            case 0xC0:
                self.pinged += 1
                return bytes([PINGRESP, 0])
            case 0xE0:
                self.goodbyes += 1
            case 0x40:
                self.acknowledged += 1
            case _:
                topic = body.text()
                properties = body.properties(self._level)
                self.published.append(Publish(topic, body.rest, first, properties))
        return SILENCE

    def _connect(self, body: Reader) -> bytes | None:
        body.text()
        self._level, flags = body.take(2)
        connect = Connect(
            level=self._level,
            clean=bool(flags & 0x02),
            keepalive_s=body.number(),
            properties=body.properties(self._level),
            client_id=body.text(),
            username=body.text() if flags & 0x80 else None,
            password=body.text() if flags & 0x40 else None,
        )
        self.connects.append(connect)
        return self.answer_to_connect()

    def answer_to_connect(self) -> bytes | None:
        """Return what the client that connected last is told."""
        return self.answers[self._level]

    def _subscribe(self, body: Reader) -> bytes:
        packet_id = body.take(2)
        body.properties(self._level)
        topics = []
        while body.rest:
            topics.append(body.text())
            body.take(1)
        self.subscribed.append(topics)
        codes = bytes(self.codes.get(topic, 1) for topic in topics)
        tail = (b"\0" if self._level == V5 else b"") + codes[: -1 if self.short_suback else None]
        return bytes([SUBACK, 2 + len(tail)]) + packet_id + tail


@asynccontextmanager
async def scripted_broker(
    broker: ScriptedBroker, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedBroker]:
    """Let a scripted broker listen."""
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        await broker.talk(reader, writer)

    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    broker.port = server.sockets[0].getsockname()[1]
    try:
        yield broker
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
