"""What is fuzzed. A target takes bytes and returns; whatever it raises is a finding."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
import json
import time
import zlib

import orjson

from custom_components.hy_heating.hyheat.client import Event, ForeignCommand
from custom_components.hy_heating.hyheat.devices import (
    DEVICES,
    DeviceSpec,
    counters,
    describe,
    interpret,
    report_frame,
    to_reading,
)
from custom_components.hy_heating.hyheat.envelope import (
    MAX_PAYLOAD_SIZE,
    Loads,
    Message,
    command_topic,
    decode,
    decode_from_gateway,
    decode_to_gateway,
    encode,
)
from custom_components.hy_heating.hyheat.errors import EnvelopeError, FrameError, HyHeatError
from custom_components.hy_heating.hyheat.explain import explain
from custom_components.hy_heating.hyheat.frame import Frame, parse, scan
from custom_components.hy_heating.hyheat.model import MeterAddress, MeterReading
from tests.vectors import FRAMES, GATEWAY_ID, MESSAGES, VALID_FRAMES

from .oracle import Client, check_values, outcome, started
from .script import body_of, mended, steps

type Take = Callable[[bytes], None]

MAX_TIME_S = 2.0
"""For one message of the largest size; it takes some milliseconds, ten times that when watched."""
_LARGE_ONE_IN = 256
_PARSERS: tuple[Loads, ...] = (json.loads, orjson.loads)


@dataclass(frozen=True, slots=True)
class Target:
    """One way for bytes into the product.

    `prepared` gives what takes them, in a process of its own. `runs` is the number of inputs
    that every change must pass.
    """

    name: str
    prepared: Callable[[], AbstractContextManager[Take]]
    seeds: tuple[bytes, ...]
    runs: int
    max_size: int = 512


# --- Messages and frames -----------------------------------------------------------------------


def take_envelope(data: bytes) -> None:
    """Check that a payload is a message that can be written again, or is refused."""
    _decode_all(data)
    if data and zlib.crc32(data) % _LARGE_ONE_IN == 0:
        # What is cheap when small must not be dear when large.
        for large in (data * (MAX_PAYLOAD_SIZE // len(data)), _swollen(data)):
            began_s = time.process_time()
            _decode_all(large)
            took_s = time.process_time() - began_s
            assert took_s < MAX_TIME_S, f"{len(large)} bytes took {took_s:.1f} s"


def _swollen(data: bytes) -> bytes:
    """Return a payload whose middle is repeated until it has the largest size."""
    begin, end = len(data) // 3, 2 * len(data) // 3 + 1
    times = (MAX_PAYLOAD_SIZE - len(data)) // (end - begin)
    return data[:begin] + data[begin:end] * times + data[end:]


def _decode_all(data: bytes) -> None:
    for loads in _PARSERS:
        for open_it in (
            partial(decode, data, loads),
            partial(decode_from_gateway, data, GATEWAY_ID, loads),
            partial(decode_to_gateway, data, None, loads),
        ):
            message: Message
            try:
                message = open_it()
            except EnvelopeError as err:
                check_told(err)
            else:
                check_message(message)


def check_told(err: HyHeatError, size: int | None = None) -> None:
    """Check that a refusal tells why, and where in an input of so many bytes."""
    assert str(err)
    if size is not None:
        assert isinstance(err, FrameError)
        assert 0 <= err.offset <= size, err


def check_message(message: Message) -> None:
    """Check that a message says the same when it is written and read again."""
    assert decode(encode(message)) == message


def take_frame(data: bytes) -> None:
    """Check that what is taken for a frame is one, and says the same in every form."""
    for found in scan(data):
        if isinstance(found, FrameError):
            check_told(found, len(data))
        else:
            check_frame(found, data[found.offset : found.offset + found.size])
    whole = mended(data)
    check_frame(parse(whole), whole)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return
    try:
        parse(text)
    except FrameError as err:
        check_told(err)


def check_frame(frame: Frame, raw: bytes) -> None:
    """Check a frame against its bytes, by hand (docs/PROTOCOL.md, section 3)."""
    assert raw[0] == 0x68
    assert raw[-1] == 0x16
    assert raw[-2] == sum(raw[:-2]) % 256
    assert len(raw) == raw[10] + 13
    assert (frame.device_type, frame.address) == (raw[1], raw[2:9])
    assert (frame.control, frame.data) == (raw[9], raw[11:-2])
    assert frame.raw == raw
    assert frame.encode() == b"\xfe\xfe\xfe\xfe" + raw
    assert parse(frame.encode()).raw == parse(raw.hex()).raw == raw


def take_content(data: bytes) -> None:
    """Check that any good frame is understood or refused, and can be explained."""
    frame = parse(mended(data))
    for protocol_code in (None, *(spec.protocol_code for spec in DEVICES.values())):
        try:
            content = interpret(frame, protocol_code)
        except FrameError as err:
            check_told(err, frame.size)
        else:
            if isinstance(content, MeterReading):
                check_values(content.device, content.values)
            json.dumps(describe(frame, protocol_code), allow_nan=False)
        try:
            reading = to_reading(frame, protocol_code)
        except FrameError as err:
            check_told(err)
        else:
            assert reading.frame == frame.raw
    for explained in explain(frame.raw.hex()):
        json.dumps(explained.as_json(), allow_nan=False)


# --- Layouts ---------------------------------------------------------------------------------


def take_layout(spec: DeviceSpec, captured: bytes, data: bytes) -> None:
    """Check every value of a report: typed, within limits, and from its own bytes alone."""
    size = spec.layout.size
    payload = data[:size] + captured[len(data[:size]) :]
    reading = _reading(spec, payload)
    values = dict(reading.values)
    check_values(spec.key, values)
    for key, register in counters(reading).items():
        assert (None if register is None else register.value) == values[key], key
    for row in spec.layout.fields:
        if not row.key:
            continue
        part = slice(row.offset, row.offset + row.width)
        alone = captured[: part.start] + payload[part] + captured[part.stop :]
        assert _reading(spec, alone).values[row.key] == values[row.key], row.key
        if values[row.key] is not None and row.codec and not row.codec.quantity:
            written = spec.layout.encode({row.key: values[row.key]}, captured)
            assert _reading(spec, written).values[row.key] == values[row.key], row.key


def _reading(spec: DeviceSpec, payload: bytes) -> MeterReading:
    meter = MeterAddress(spec.key, bytes.fromhex("00000001001111"))
    reading = to_reading(report_frame(meter, 0, payload), spec.protocol_code)
    assert isinstance(reading, MeterReading)
    return reading


def _captured_payload(spec: DeviceSpec) -> bytes:
    frame = next(
        frame
        for sample in spec.samples
        if len((frame := parse(sample.hex)).payload) == spec.layout.size
    )
    return frame.payload


# --- A client behind a link --------------------------------------------------------------------


@contextmanager
def _clients() -> Iterator[Take]:
    with asyncio.Runner() as runner:
        yield lambda data: runner.run(_take_client(data))


async def _take_client(data: bytes) -> None:
    """Check that a client takes a script of messages as the modules do one by one."""
    for loads in _PARSERS:
        client = await started(loads)
        try:
            for step in steps(data):
                match step.kind:
                    case "message":
                        assert client.outcome(step.payload) == outcome(step.payload, loads)
                    case "command":
                        _check_foreign(client, step.payload)
                    case _:
                        pass
            kept = client.gateway.refusals
            assert len(kept.last) <= 20
            assert all(len(refused.raw) <= 4 * 512 for refused in kept.last)  # each byte as \xNN
        finally:
            await client.gateway.stop()


def _check_foreign(client: Client, payload: bytes) -> None:
    client.events.clear()
    client.link.deliver(command_topic(GATEWAY_ID), payload)
    told: list[Event] = client.events
    assert len(told) <= 1
    for event in told:
        assert isinstance(event, ForeignCommand)
        assert 0 <= event.opening_pct <= 100


# --- The whole way -----------------------------------------------------------------------------


@contextmanager
def _house() -> Iterator[Take]:
    # Only here: the other targets need no Home Assistant.
    from .house import open_house  # noqa: PLC0415

    with open_house() as take:
        yield take


# --- The table ---------------------------------------------------------------------------------


@contextmanager
def _plain(take: Take) -> Iterator[Take]:
    yield take


def _of_messages() -> tuple[bytes, ...]:
    return tuple(row["payload"].encode() for row in MESSAGES)


def _of_frames() -> tuple[bytes, ...]:
    frames = [row["hex"] for row in FRAMES]
    return (
        *(frame.encode() for frame in frames),
        *(bytes.fromhex(frame) for frame in frames if len(frame) % 2 == 0),
    )


def _contents() -> list[bytes]:
    """Return the captured frames without length, checksum and end, for `mended`."""
    return [body_of(parse(row["hex"])) for row in VALID_FRAMES]


def _scripts() -> tuple[bytes, ...]:
    """Return scripts of the captured messages, and one that holds them all."""
    lines = [
        (b"G" if row["direction"] == "to_gateway" else b"") + row["payload"].encode()
        for row in MESSAGES
    ]
    lines += [b"F" + body.hex().encode() for body in _contents()]
    lines += [b"T" + body.hex().encode() for body in _contents()]
    cabinet, valve = (
        _captured_payload(DEVICES[key]).hex().encode() for key in ("cabinet", "valve")
    )
    moved = b"\n".join(
        (
            b"C" + cabinet,
            b"V" + valve,
            b"M30",
            b"W1",
            b'{"gw":{"msg_id":40,"msg_gw_pr":0,"gw_id":"%s"},"data":{"stat":2}}'
            % GATEWAY_ID.encode(),
            b"T5527100583001111" + b"96902F01",
            b"T5323227310001111" + b"84A019001E",
            b"W20",
            b"V" + valve,
            b"C" + cabinet,
            b"W600",
        )
    )
    counted = b"\n".join(
        (
            b"C" + cabinet,
            b"W600",
            b"C00" + cabinet[2:],
            b"W600",
            b"C00" + cabinet[2:],
            b"D",
            b"W99",
            b"U",
            b"X",
            b"W99999",
            b"C" + cabinet,
            b"Q",
            b"W99",
        )
    )
    alone = [b"C" + cabinet, b"V" + valve, b"K" + lines[0], moved, counted]
    return (*lines, *alone, b"\n".join(lines[:40]))


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("envelope", partial(_plain, take_envelope), _of_messages(), runs=40_000),
        Target("frame", partial(_plain, take_frame), _of_frames(), runs=60_000),
        Target("content", partial(_plain, take_content), tuple(_contents()), runs=20_000),
        *(
            Target(
                f"layout-{spec.key}",
                partial(_plain, partial(take_layout, spec, _captured_payload(spec))),
                (_captured_payload(spec),),
                runs=20_000,
                max_size=spec.layout.size,
            )
            for spec in DEVICES.values()
        ),
        Target("client", _clients, _scripts(), runs=4_000, max_size=4096),
        Target("house", _house, _scripts(), runs=600, max_size=4096),
    )
}
