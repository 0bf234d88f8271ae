"""Packets that come together, in parts, or when they are not wanted any more; and full buffers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from ssl import SSLContext
import time

from homeassistant.core import HomeAssistant
import pytest

from custom_components.hy_heating.links import BrokerLink, async_acquire_link
from custom_components.hy_heating.links.buffered import READ_BYTES, TURN_S

from .brokers import settings_of, until
from .certificates import Authority
from .scripted import ACCEPTED_V5, ACCEPTED_V311, V5, V311, ScriptedBroker, scripted_broker

pytestmark = pytest.mark.usefixtures("socket_enabled")

TOPIC = "hy/gw/set/02345678903"
COMMAND_TOPIC = "hy/gw/get/02345678903"


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the authority that the broker's certificate comes from."""
    return Authority("The site's own")


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, authority: Authority, tmp_path: Path) -> SSLContext | None:
    """Return the broker's side of TLS, None without."""
    return authority.issue().server_context(tmp_path) if request.param else None


@pytest.fixture
async def scripted(version: int, tls: SSLContext | None) -> AsyncIterator[ScriptedBroker]:
    """Return a scripted broker of one version of MQTT."""
    answer = ACCEPTED_V5 if version == V5 else ACCEPTED_V311
    async with scripted_broker(ScriptedBroker({version: answer}), tls) as broker:
        # Asked in the other version, it hangs up.
        broker.answers[V311 if version == V5 else V5] = b""
        yield broker


@pytest.fixture
async def link(
    hass: HomeAssistant, scripted: ScriptedBroker, authority: Authority, tls: SSLContext | None
) -> AsyncIterator[BrokerLink]:
    """Return a link connected to the scripted broker."""
    settings = settings_of(scripted.port, tls=bool(tls), ca_certificate=tls and authority.pem)
    link = await async_acquire_link(hass, settings)
    assert isinstance(link, BrokerLink)
    await link.async_wait_connected(5)
    yield link
    await link.async_release()


@pytest.fixture
async def heard(link: BrokerLink) -> list[bytes]:
    """Return what is heard on the topic from now on."""
    heard: list[bytes] = []
    await link.subscribe(TOPIC, lambda _topic, payload, _retained: heard.append(payload))
    return heard


@pytest.fixture(params=[V311, V5], ids=["3.1.1", "5"])
def version(request: pytest.FixtureRequest) -> int:
    """Return the version of MQTT."""
    number: int = request.param
    return number


class Turns:
    """A listener that counts what it hears in each turn of the event loop."""

    def __init__(self, takes_s: float = 0.0) -> None:
        """Take so long for each message, and let nobody else have a turn meanwhile."""
        self.heard: list[bytes] = []
        self._takes_s = takes_s
        self._turn = 0
        self._in_turn = Counter[int]()

    @property
    def most(self) -> int:
        """The most messages in one turn."""
        return max(self._in_turn.values())

    def listen(self, _topic: str, payload: bytes, _retained: bool) -> None:
        """Hear a message."""
        self.heard.append(payload)
        self._in_turn[self._turn] += 1
        time.sleep(self._takes_s)

    def count(self, until_heard: int) -> None:
        """Count turns from now on, until so many messages are heard."""
        self._turn += 1
        if len(self.heard) < until_heard:
            asyncio.get_running_loop().call_soon(self.count, until_heard)


async def test_packets_that_come_together(scripted: ScriptedBroker, heard: list[bytes]) -> None:
    told = [b"%03d" % number for number in range(200)]
    packets = b"".join(scripted.message(TOPIC, each, qos=1) for each in told)
    assert len(packets) > READ_BYTES
    scripted.send_raw(packets)
    await until(lambda: len(heard) == len(told))
    assert heard == told
    await until(lambda: scripted.acknowledged == len(told))


async def test_others_have_their_turn_while_much_is_to_be_read(
    scripted: ScriptedBroker, link: BrokerLink, tls: SSLContext | None
) -> None:
    turns = Turns()
    await link.subscribe(TOPIC, turns.listen)
    told = [b"%03d" % number * 30 for number in range(300)]
    packets = [scripted.message(TOPIC, each, qos=0) for each in told]
    packet_bytes = len(packets[0])
    # No number of packets fills what is read at once: the last is cut in two, as in a flood.
    assert READ_BYTES % packet_bytes
    scripted.send_raw(b"".join(packets))
    turns.count(len(told))
    await until(lambda: len(turns.heard) == len(told))
    assert turns.heard == told
    # One reading, and the packet that the reading before had the beginning of. TLS hands over
    # what it has left of a record, and then the beginning of the next.
    readings = 2 if tls else 1
    assert packet_bytes * turns.most < readings * READ_BYTES + packet_bytes


async def test_others_have_their_turn_while_messages_take_long(
    scripted: ScriptedBroker, link: BrokerLink
) -> None:
    turns = Turns(takes_s := 0.003)
    await link.subscribe(TOPIC, turns.listen)
    told = [b"%03d" % number for number in range(40)]
    scripted.send_raw(b"".join(scripted.message(TOPIC, each, qos=1) for each in told))
    turns.count(len(told))
    await until(lambda: scripted.acknowledged == len(told))
    assert turns.heard == told
    # The last one may begin just before the time is over.
    assert turns.most <= TURN_S / takes_s + 1


async def test_what_is_taken_at_once_is_acknowledged_with_one_call_of_the_system(
    scripted: ScriptedBroker, link: BrokerLink, heard: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert link._client
    paho = link._client._client
    written: list[bytes] = []
    send = paho._sock_send

    def note(packet: bytes) -> int:
        written.append(packet)
        return send(packet)

    monkeypatch.setattr(paho, "_sock_send", note)
    told = [b"%d" % number for number in range(12)]
    scripted.send_raw(b"".join(scripted.message(TOPIC, each, qos=1) for each in told))
    await until(lambda: scripted.acknowledged == len(told))
    assert heard == told
    # PUBACK, two bytes more, packet id 1 (MQTT 3.1.1 and 5.0, 3.4)
    assert written == [bytes.fromhex("40020001") * len(told)]
    scripted.send(TOPIC, b"one more", qos=1)
    await until(lambda: scripted.acknowledged == len(told) + 1)
    assert written[1:] == [bytes.fromhex("40020001")]


async def test_a_packet_that_comes_byte_by_byte(
    scripted: ScriptedBroker, heard: list[bytes]
) -> None:
    packet = scripted.message(TOPIC, b"in parts", qos=1)
    for byte in packet[:-1]:
        scripted.send_raw(bytes([byte]))
        await asyncio.sleep(0.002)
    assert heard == []
    scripted.send_raw(packet[-1:] + scripted.message(TOPIC, b"at once", qos=1)[:7])
    await until(lambda: heard == [b"in parts"])
    scripted.send_raw(scripted.message(TOPIC, b"at once", qos=1)[7:])
    await until(lambda: heard == [b"in parts", b"at once"])
    assert scripted.acknowledged == 2


async def test_other_packets_between_messages(
    scripted: ScriptedBroker, link: BrokerLink, heard: list[bytes]
) -> None:
    pong = b"\xd0\x00"
    one, two = (scripted.message(TOPIC, each, qos=0) for each in (b"one", b"two"))
    scripted.send_raw(one + pong + two)
    await until(lambda: heard == [b"one", b"two"])
    assert link.connected


async def test_a_damaged_packet_ends_the_connection_and_the_next_one_is_good(
    scripted: ScriptedBroker, link: BrokerLink, heard: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("custom_components.hy_heating.links.broker.MIN_DELAY_S", 0.05)
    good = scripted.message(TOPIC, b"good", qos=0)
    before = len(scripted.connects)
    # Its topic is longer than the packet: nothing behind it can be trusted.
    scripted.send_raw(good + b"\x30\x05\x00\x63abc" + good)
    await until(lambda: len(scripted.connects) > before)
    assert heard == [b"good"]
    await until(lambda: link.connected)
    scripted.send(TOPIC, b"again")
    await until(lambda: heard == [b"good", b"again"])


async def test_what_was_read_and_not_taken_is_not_acknowledged(
    hass: HomeAssistant, scripted: ScriptedBroker, link: BrokerLink
) -> None:
    heard: list[bytes] = []
    client = link._client
    assert client

    def hang_up_at_the_third(_topic: str, payload: bytes, _retained: bool) -> None:
        heard.append(payload)
        if len(heard) == 3:
            client.abort()

    await link.subscribe(TOPIC, hang_up_at_the_third)
    told = [b"%d" % number for number in range(9)]
    scripted.send_raw(b"".join(scripted.message(TOPIC, each, qos=1) for each in told))
    await until(lambda: scripted.open_connections == 0)
    assert heard == told[:3]  # the others are still the broker's
    assert scripted.acknowledged == 0
    await until(lambda: link.connected)
    scripted.send(TOPIC, b"later", qos=1)
    await until(lambda: heard[3:] == [b"later"] and scripted.acknowledged == 1)


async def test_a_command_larger_than_the_buffers_goes_out_when_there_is_room(
    scripted: ScriptedBroker, link: BrokerLink, heard: list[bytes]
) -> None:
    scripted.reading.clear()  # the broker no longer reads: the buffers fill
    await asyncio.sleep(0.05)
    payload = b"x" * 50_000_000
    publishing = asyncio.create_task(link.publish(COMMAND_TOPIC, payload, expiry_s=30, fresh=False))
    await asyncio.sleep(0.2)
    assert not publishing.done()
    scripted.send(TOPIC, b"heard meanwhile")
    await until(lambda: heard == [b"heard meanwhile"])
    scripted.reading.set()
    await publishing
    await until(lambda: scripted.published and scripted.published[-1].payload == payload)
    await link.publish(COMMAND_TOPIC, b"y", expiry_s=30, fresh=True)
    await until(lambda: scripted.published[-1].payload == b"y")
