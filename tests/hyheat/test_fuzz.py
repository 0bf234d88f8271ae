"""Whatever bytes arrive end in a value or in a counted refusal: nothing else.

100 000 mutated payloads, the same ones in every run, go through the modules one by one and
through a client that is fed by a link; both must come to the same result.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import cycle, islice
import json
import random
from typing import Any

import orjson
import pytest

from custom_components.hy_heating.hyheat.client import AvailabilityChanged, ForeignCommand
from custom_components.hy_heating.hyheat.devices import describe
from custom_components.hy_heating.hyheat.envelope import Loads, command_topic
from custom_components.hy_heating.hyheat.errors import FrameError, RefusalReason
from custom_components.hy_heating.hyheat.explain import explain
from custom_components.hy_heating.hyheat.frame import scan
from custom_components.hy_heating.hyheat.model import MeterReading
from tests.fuzzing.oracle import Client, check_values, outcome, started
from tests.vectors import FRAMES, GATEWAY_ID, MESSAGES, message

PAYLOADS = 100_000
SEED = 20240528

SEEDS: list[bytes] = [vector["payload"].encode() for vector in MESSAGES]
OBJECTS = [json.loads(vector["payload"]) for vector in MESSAGES if vector["json_valid"]]
SEED_FRAMES = [
    bytes.fromhex(vector["hex"]).lstrip(b"\xfe") for vector in FRAMES if len(vector["hex"]) % 2 == 0
]
METERS = {b"\x55": ("27100583", "2034"), b"\x53": ("23227310", "2008")}

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
    # As captured, without spaces, or otherwise: these go different ways.
    return json.dumps(envelope, separators=rng.choice((None, (",", ":")))).encode()


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
