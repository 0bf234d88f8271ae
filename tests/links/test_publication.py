"""Packets that are read without paho say what they say to paho."""

from hypothesis import example, given, strategies as st
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
import pytest

from custom_components.hy_heating.links.publication import Publication, read_publication

V311, V5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
VERSIONS = st.sampled_from([V311, V5])
PUBLISH = 0x30


def by_paho(command: int, packet: bytes, version: MQTTProtocolVersion) -> Publication | None:
    """Return what paho hands over, None for nothing."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=version)
    found: list[Publication] = []

    def note(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        packet_id = message.mid if message.qos else None
        found.append(Publication(message.topic, message.payload, message.retain, packet_id))

    client.on_message = note
    client._in_packet["command"], client._in_packet["packet"] = command, bytearray(packet)
    client._handle_publish()
    return found[0] if found else None


def check(command: int, packet: bytes, version: MQTTProtocolVersion) -> bool:
    """Compare with paho; return whether it was read without it."""
    found = read_publication(command, bytearray(packet), has_properties=version is V5)
    if found is not None:
        assert found == by_paho(command, packet, version)
        assert type(found.payload) is bytes
    return found is not None


# "a/b" and "hi", by hand: length and text of the topic, packet id 258, no properties, payload.
TOPIC, PACKET_ID, PAYLOAD = b"\x00\x03a/b", b"\x01\x02", b"hi"
# Five bytes of properties: the message expires in 90 s (MQTT 5.0, 3.3.2.3.3).
EXPIRY = b"\x05\x02\x00\x00\x00\x5a"


@pytest.mark.parametrize(
    ("command", "packet", "version", "expected"),
    [
        (0x30, TOPIC + PAYLOAD, V311, Publication("a/b", b"hi", False, None)),
        (0x31, TOPIC + PAYLOAD, V311, Publication("a/b", b"hi", True, None)),
        (0x32, TOPIC + PACKET_ID + PAYLOAD, V311, Publication("a/b", b"hi", False, 258)),
        (0x3A, TOPIC + PACKET_ID + PAYLOAD, V311, Publication("a/b", b"hi", False, 258)),
        (0x30, TOPIC + b"\x00" + PAYLOAD, V5, Publication("a/b", b"hi", False, None)),
        (0x33, TOPIC + PACKET_ID + b"\x00" + PAYLOAD, V5, Publication("a/b", b"hi", True, 258)),
        (0x30, TOPIC + EXPIRY + PAYLOAD, V5, Publication("a/b", b"hi", False, None)),
        (0x32, TOPIC + PACKET_ID + EXPIRY, V5, Publication("a/b", b"", False, 258)),
        (0x32, TOPIC + PACKET_ID, V311, Publication("a/b", b"", False, 258)),
        (0x32, TOPIC + PACKET_ID + b"\x00", V5, Publication("a/b", b"", False, 258)),
    ],
)
def test_common_forms(
    command: int, packet: bytes, version: MQTTProtocolVersion, expected: Publication
) -> None:
    assert read_publication(command, packet, has_properties=version is V5) == expected
    assert check(command, packet, version)


@pytest.mark.parametrize(
    ("command", "packet", "version"),
    [
        (0x34, TOPIC + PACKET_ID + PAYLOAD, V311),  # QoS 2
        (0x36, TOPIC + PACKET_ID + PAYLOAD, V311),  # no QoS at all
        (0x30, TOPIC + b"\x02\x01\x00" + PAYLOAD, V5),  # a property
        (0x30, TOPIC + b"\x06" + EXPIRY[1:] + PAYLOAD, V5),  # an expiry, and no good property
        (0x30, TOPIC + EXPIRY[:-1], V5),
        (0x30, b"\x00\x00\x03\x23\x00\x01" + PAYLOAD, V5),  # a topic alias
        (0x30, b"\x00\x00\x00" + PAYLOAD, V5),  # no topic
        (0x30, b"\x00\x00" + PAYLOAD, V311),
        (0x30, b"\x00\x02\xc3\x28" + PAYLOAD, V311),  # a topic that is not UTF-8
        (0x30, b"\x00\x09a/b", V311),
        (0x32, TOPIC + b"\x01", V311),
        (0x32, TOPIC + PACKET_ID, V5),
        (0x30, b"\x00", V311),
        (0x30, b"", V5),
    ],
)
def test_rare_and_damaged_forms_are_left_to_paho(
    command: int, packet: bytes, version: MQTTProtocolVersion
) -> None:
    assert read_publication(command, packet, has_properties=version is V5) is None


@given(
    st.text(min_size=1, max_size=20),
    st.binary(max_size=30),
    st.integers(0, 0xFFFF),
    st.integers(0, 1),
    st.booleans(),
    st.none() | st.integers(0, 0xFFFF_FFFF),
    VERSIONS,
)
def test_whatever_is_published(
    topic: str,
    payload: bytes,
    packet_id: int,
    qos: int,
    retain: bool,
    expiry_s: int | None,
    version: MQTTProtocolVersion,
) -> None:
    name = topic.encode(errors="replace")
    packet = len(name).to_bytes(2) + name + (packet_id.to_bytes(2) if qos else b"")
    if version is V5:
        packet += b"\x00" if expiry_s is None else b"\x05\x02" + expiry_s.to_bytes(4)
    packet += payload
    assert check(PUBLISH | qos << 1 | retain, packet, version)


@given(st.integers(0, 15), st.binary(max_size=40), VERSIONS)
@example(2, b"\x00\x01a\x00\x00\x00", V5)
def test_any_bytes(flags: int, packet: bytes, version: MQTTProtocolVersion) -> None:
    check(PUBLISH | flags, packet, version)
