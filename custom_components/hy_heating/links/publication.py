"""A PUBLISH packet of the common form, read without paho's objects for it, and its answer.

Those (a message, a lock, and with MQTT 5 the table of all properties) cost as much as judging a
report. Wire facts: MQTT 3.1.1 and 5.0, sections 3.3 and 3.4.
"""

from typing import NamedTuple

_RETAIN, _QOS = 0x01, 0x06
_AT_MOST_ONCE, _AT_LEAST_ONCE = 0x00, 0x02
_NONE, _EXPIRY = b"\x00", b"\x05\x02"
"""Properties: none; and five bytes with when a message expires, as on our own that come back."""
_PUBACK, _PUBACK_BYTES = 0x40, 2


class Publication(NamedTuple):
    """What was published; `packet_id` is to be acknowledged, None where nothing is."""

    topic: str
    payload: bytes
    retained: bool
    packet_id: int | None


def read_publication(
    command: int, packet: bytes | bytearray, *, has_properties: bool
) -> Publication | None:
    """Return what a packet publishes; None for a form that paho is to look at.

    `command` is the first byte of the fixed header, `packet` what follows that header;
    `has_properties` tells MQTT 5. Left to paho are QoS 2, other properties than an expiry, no or a
    damaged topic, and whatever is too short.
    """
    qos = command & _QOS
    payload_at = topic_end = 2 + int.from_bytes(packet[:2])
    packet_id = None
    if qos == _AT_LEAST_ONCE:
        payload_at += 2
        packet_id = int.from_bytes(packet[topic_end:payload_at])
    elif qos != _AT_MOST_ONCE:
        return None
    if has_properties:
        properties_at = payload_at
        payload_at += 1
        if packet.startswith(_EXPIRY, properties_at):
            payload_at += _EXPIRY[0]
        elif not packet.startswith(_NONE, properties_at):
            return None
    if len(packet) < payload_at:
        return None
    try:
        topic = packet[2:topic_end].decode()
    except UnicodeDecodeError:
        return None
    if not topic:
        return None
    return Publication(topic, bytes(packet[payload_at:]), bool(command & _RETAIN), packet_id)


def acknowledgment(packet_id: int) -> bytes:
    """Return the PUBACK that tells a broker that what was published is taken."""
    return bytes((_PUBACK, _PUBACK_BYTES)) + packet_id.to_bytes(2)
