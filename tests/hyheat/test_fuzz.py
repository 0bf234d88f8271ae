"""Whatever bytes arrive end in a value or in a counted refusal: nothing else.

100 000 mutated payloads, the same ones in every run, go through the modules one by one and
through a client that is fed by a link; both must come to the same result.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import cycle, islice
import json
from math import isfinite
import random
from typing import Any

import orjson
import pytest

from custom_components.hy_heating.hyheat.client import (
    AvailabilityChanged,
    Event,
    ForeignCommand,
    GatewayClient,
    MessageReceived,
    ReadingReceived,
)
from custom_components.hy_heating.hyheat.devices import describe, interpret, to_reading
from custom_components.hy_heating.hyheat.envelope import (
    Loads,
    Report,
    TransparentReply,
    command_topic,
    decode_from_gateway,
    report_topic,
)
from custom_components.hy_heating.hyheat.errors import (
    EnvelopeError,
    FrameError,
    RefusalReason,
)
from custom_components.hy_heating.hyheat.explain import explain
from custom_components.hy_heating.hyheat.frame import from_hex, scan
from custom_components.hy_heating.hyheat.link import MessageListener, StatusListener
from custom_components.hy_heating.hyheat.model import (
    FrameContent,
    MeterReading,
    UnknownReading,
    Value,
)
from tests.vectors import FRAMES, GATEWAY_ID, MESSAGES, message

PAYLOADS = 100_000
SEED = 20240528

SEEDS: list[bytes] = [vector["payload"].encode() for vector in MESSAGES]
OBJECTS = [json.loads(vector["payload"]) for vector in MESSAGES if vector["json_valid"]]
SEED_FRAMES = [
    bytes.fromhex(vector["hex"]).lstrip(b"\xfe") for vector in FRAMES if len(vector["hex"]) % 2 == 0
]
METERS = {b"\x55": ("27100583", "2034"), b"\x53": ("23227310", "2008")}

# What a value can be at most (docs/PROTOCOL.md, sections 4 and 5).
LIMITS: dict[tuple[str, str], tuple[float, float]] = {
    ("cabinet", "heat_energy_kwh"): (0, 99_999_999 * 10),
    ("cabinet", "second_energy_kwh"): (0, 99_999_999 * 10),
    ("cabinet", "flow_l_h"): (0, 99_999_999),
    ("cabinet", "volume_m3"): (0, 999_999.99),
    ("cabinet", "second_volume_m3"): (0, 999_999.99),
    ("cabinet", "supply_temperature_c"): (0, 200),
    ("cabinet", "return_temperature_c"): (0, 200),
    ("cabinet", "set_point_1"): (-100, 1000),
    ("cabinet", "set_point_2"): (-100, 1000),
    ("cabinet", "commanded_opening_pct"): (0, 100),
    ("cabinet", "actual_opening_pct"): (0, 100),
    ("cabinet", "status"): (0, 254),
    ("valve", "set_point_1_c"): (-40, 100),
    ("valve", "set_point_2_c"): (-40, 100),
    ("valve", "opening_pct"): (0, 100),
    ("valve", "supply_temperature_c"): (-40, 200),
    ("valve", "return_temperature_c"): (-40, 200),
    ("valve", "running_time_min"): (0, 255 * 1440 - 1),
    ("valve", "status"): (0, 254),
}


# --- Payloads --------------------------------------------------------------------------------


def flipped(rng: random.Random, data: bytes) -> bytes:
    mutated = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        mutated[rng.randrange(len(mutated))] ^= 1 << rng.randrange(8)
    return bytes(mutated)


def truncated(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def doubled(rng: random.Random, data: bytes) -> bytes:
    begin = rng.randrange(len(data))
    end = rng.randrange(begin, len(data))
    return data[:end] + data[begin:end] * rng.randint(1, 3) + data[end:]


def spliced(rng: random.Random, data: bytes) -> bytes:
    other: bytes = rng.choice(SEEDS)
    return data[: rng.randrange(len(data))] + other[rng.randrange(len(other)) :]


def overwritten(rng: random.Random, data: bytes) -> bytes:
    begin = rng.randrange(len(data))
    return data[:begin] + rng.randbytes(rng.randint(1, 8)) + data[begin + 4 :]


BYTE_MUTATIONS = (flipped, truncated, doubled, spliced, overwritten)


def junk(rng: random.Random) -> object:
    value: object = rng.choice(
        (
            None,
            True,
            0,
            -1,
            1,
            2,
            99,
            2**53 + 1,
            -(2**63),
            10**400,
            1.5,
            1e308,
            float("inf"),
            float("nan"),
            "",
            "20XX-02-30",
            "\ud800",
            "a\udfffb",
            "\x00",
            "68" * 40,
            "FE" * 700,
            "27100583203400",
            [],
            {},
            [1, 2],
            {"a": None},
        )
    )
    for _ in range(rng.choice((0, 0, 0, 1, 3, 15, 300))):
        value = [value] if rng.random() < 0.5 else {"a": value}
    return value


def with_junk(rng: random.Random) -> bytes:
    """Return a message with one value, or one key, replaced by something else."""
    parts = json.loads(json.dumps(rng.choice(OBJECTS)))
    part = rng.choice((parts, parts["gw"], parts["data"], parts["data"]))
    key = rng.choice([*part, "CSQ", "meter_data", "stat"])
    if rng.random() < 0.2:
        part.pop(key, None)
    else:
        part[key] = junk(rng)
    if rng.random() < 0.5:
        return json.dumps(parts).encode()
    return json.dumps(parts, ensure_ascii=False).encode(errors="surrogatepass")


def changed_frame(rng: random.Random) -> bytes:
    """Return a frame that was changed; often its length and checksum are right again."""
    frame = bytearray(rng.choice(SEED_FRAMES))
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        frame[rng.randrange(len(frame))] = rng.choice((0x00, 0xFF, 0x99, rng.randrange(256)))
    if rng.random() < 0.2:
        frame[rng.randrange(len(frame)) :] = b"\x16"
    if rng.random() < 0.7 and len(frame) > 13:
        frame[0], frame[10], frame[-1] = 0x68, len(frame) - 13, 0x16
        frame[-2] = sum(frame[:-2]) % 256
    return bytes(frame)


def with_frame(rng: random.Random) -> bytes:
    """Return a message with a frame that was changed, sometimes with others or other texts."""
    frame = changed_frame(rng)
    texts = [frame.hex() * rng.choice((1, 1, 1, 2))]
    if rng.random() < 0.1:
        texts.append(rng.choice(("", "6", "FEFE", "zz", "\ud800", "68 16", texts[0].upper())))
    number, protocol = METERS.get(frame[1:2], ("27100583", "2034"))
    if rng.random() < 0.05:
        number = "00000000"
    data: dict[str, Any] = {"meter_id": f"{number}{protocol}00", "meter_data": texts}
    msg_id = 20
    if rng.random() < 0.4:
        data, msg_id = {"transparent_port": 0, "meter_data": texts}, 40
    envelope = {"gw": {"msg_id": msg_id, "msg_gw_pr": 0, "gw_id": GATEWAY_ID}, "data": data}
    return json.dumps(envelope).encode()


def payloads() -> Iterator[bytes]:
    rng = random.Random(SEED)
    for number in range(PAYLOADS):
        match number % 4:
            case 0 | 1:
                yield with_frame(rng)
            case 2:
                yield with_junk(rng)
            case _:
                yield rng.choice(BYTE_MUTATIONS)(rng, rng.choice(SEEDS))


# --- What they come to -----------------------------------------------------------------------


@dataclass
class Outcome:
    """What a payload came to: counted refusals, and readings."""

    valid: bool = False
    refused: Counter[RefusalReason] = field(default_factory=Counter)
    readings: list[MeterReading | UnknownReading] = field(default_factory=list)


def outcome(payload: bytes, loads: Loads) -> Outcome:
    """Take a payload through the modules one by one."""
    result = Outcome()
    try:
        received = decode_from_gateway(payload, GATEWAY_ID, loads)
    except EnvelopeError as err:
        result.refused[err.reason] += 1
        return result
    result.valid = True
    if isinstance(received, Report | TransparentReply):
        for text in received.frames:
            take_frame(received, text, result)
    return result


def take_frame(received: Report | TransparentReply, text: str, result: Outcome) -> None:
    try:
        found = list(scan(from_hex(text)))
    except FrameError as err:
        found = [err]
    for frame in found:
        content: FrameContent | UnknownReading
        try:
            if isinstance(frame, FrameError):
                raise frame
            if isinstance(received, TransparentReply):
                content = interpret(frame)
            elif frame.meter_number != received.meter_id.number:
                result.refused[RefusalReason.ADDRESS] += 1
                continue
            else:
                content = to_reading(frame, received.meter_id.protocol_code)
        except FrameError as err:
            result.refused[RefusalReason(f"frame_{err.kind}")] += 1
            continue
        if isinstance(content, MeterReading | UnknownReading):
            result.readings.append(content)


def check_values(device: str, values: Mapping[str, Value]) -> None:
    """Check that what is known is of a type and within limits that make sense."""
    for key, value in values.items():
        if isinstance(value, int | float):
            low, high = LIMITS[device, key]
            assert isfinite(value)
            assert low <= value <= high, f"{key} = {value}"
        elif isinstance(value, str):
            assert key in {"valve_state", "room_unit_number"}
        else:
            assert value is None or (key == "device_clock" and isinstance(value, datetime))


class FakeLink:
    """A link that is up and sends what the test puts in."""

    connected = True

    def __init__(self) -> None:
        self.listeners: dict[str, MessageListener] = {}
        self.published = 0

    def deliver(self, topic: str, payload: bytes) -> None:
        self.listeners[topic](topic, payload, False)

    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        self.listeners[topic] = listener

        async def unsubscribe() -> None:
            del self.listeners[topic]

        return unsubscribe

    async def publish(self, *_args: object, **_kwargs: object) -> None:
        self.published += 1

    def add_status_listener(self, _listener: StatusListener) -> Callable[[], None]:
        return lambda: None


@dataclass
class Client:
    """A client behind a link, and what it made of one payload after the other."""

    gateway: GatewayClient
    link: FakeLink
    events: list[Event]
    counted: int = 0

    def outcome(self, payload: bytes) -> Outcome:
        self.events.clear()
        self.link.deliver(report_topic(GATEWAY_ID), payload)
        messages = [event for event in self.events if isinstance(event, MessageReceived)]
        assert len(messages) <= 1
        return Outcome(
            valid=bool(messages),
            refused=self.refused(),
            readings=[event.reading for event in self.events if isinstance(event, ReadingReceived)],
        )

    def refused(self) -> Counter[RefusalReason]:
        """Return what was counted since the last payload."""
        refusals = self.gateway.refusals
        counted, self.counted = refusals.total - self.counted, refusals.total
        assert counted < len(refusals.last) or counted == refusals.total
        return Counter(
            refused.reason for refused in list(refusals.last)[len(refusals.last) - counted :]
        )


async def started(loads: Loads) -> Client:
    link, events = FakeLink(), list[Event]()
    gateway = GatewayClient(GATEWAY_ID, link, events.append, loads=loads)
    await gateway.start()
    return Client(gateway, link, events)


async def feed(chosen: Iterator[bytes]) -> Counter[str]:
    """Feed payloads to clients and to the modules and compare; return what was seen."""
    parsers: list[Loads] = [json.loads, orjson.loads]
    clients = [(loads, await started(loads)) for loads in parsers]
    seen: Counter[str] = Counter()
    for payload, (loads, client) in zip(chosen, cycle(clients), strict=False):
        expected = outcome(payload, loads)
        assert client.outcome(payload) == expected, payload
        seen["valid" if expected.valid else "refused message"] += 1
        seen.update(map(str, expected.refused))
        for reading in expected.readings:
            seen[type(reading).__name__] += 1
            if isinstance(reading, MeterReading):
                check_values(reading.device, reading.values)
    for _, client in clients:
        # Whatever was before, a good message is understood.
        assert client.outcome(message("valve_report")).readings
        await client.gateway.stop()
    return seen


def test_a_value_or_a_counted_refusal(caplog: pytest.LogCaptureFixture) -> None:
    seen = asyncio.run(feed(payloads()))
    assert seen["valid"] + seen["refused message"] == PAYLOADS == 100_000
    # The mutations reach every reason that bytes can give, and readings come through.
    out_of_reach = {RefusalReason.TOO_LARGE, RefusalReason.TOPIC, RefusalReason.RETAINED}
    assert {str(reason) for reason in {*RefusalReason} - out_of_reach} <= seen.keys()
    assert seen["MeterReading"] > 1000
    assert seen["UnknownReading"] > 1000
    assert not [record for record in caplog.records if record.exc_info]


def test_what_others_command_may_be_anything() -> None:
    async def play() -> Client:
        client = await started(orjson.loads)
        for payload in islice(payloads(), 10_000):
            client.link.deliver(command_topic(GATEWAY_ID), payload)
        client.link.deliver(command_topic(GATEWAY_ID), message("valve_set_50"))
        await client.gateway.stop()
        return client

    client = asyncio.run(play())
    told = [event for event in client.events if not isinstance(event, AvailabilityChanged)]
    assert told[-1] == ForeignCommand("23227310", 50)
    assert {type(event) for event in told} == {ForeignCommand}


def test_what_is_kept_of_a_refused_frame_can_be_shown() -> None:
    async def kept() -> list[str]:
        client = await started(json.loads)
        client.outcome(message("valve_report").replace(b'["68', rb'["\ud800'))
        await client.gateway.stop()
        return [refused.raw for refused in client.gateway.refusals.last]

    (raw,) = asyncio.run(kept())
    assert raw.encode().startswith(rb"\ud800")


def test_explain_takes_them_all() -> None:
    for payload in islice(payloads(), 5_000):
        for explained in explain(payload.decode(errors="surrogateescape")):
            for part in explained.as_json():
                assert part["ok"] in {True, False}
                assert json.dumps(part)


def test_every_frame_is_described_or_refused() -> None:
    rng = random.Random(SEED)
    said: Counter[str] = Counter()
    for _ in range(5_000):
        for frame in scan(changed_frame(rng)):
            if isinstance(frame, FrameError):
                said["refused"] += 1
                continue
            try:
                device = str(describe(frame)["device"])
            except FrameError:
                device = "unknown"
            said[device] += 1
    assert said.keys() == {"refused", "cabinet", "valve", "unknown"}
