"""Every vector, through the frame and device modules (messages: test_envelope)."""

import json
from typing import Any

import pytest

from custom_components.hy_heating.hyheat.devices import (
    describe,
    read_frame,
    set_opening_frame,
)
from custom_components.hy_heating.hyheat.envelope import (
    Report,
    TransparentCommand,
    TransparentReply,
    decode,
    encode,
)
from custom_components.hy_heating.hyheat.errors import FrameError
from custom_components.hy_heating.hyheat.frame import parse
from custom_components.hy_heating.hyheat.model import MeterAddress
from tests.vectors import (
    DAMAGED_FRAMES,
    FRAMES,
    GATEWAY_ID,
    MESSAGES,
    VALID_FRAMES,
    VECTORS,
    said_by,
)


def name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def built(vector: dict[str, Any]) -> bytes:
    """Return what the library builds for a command's vector."""
    command = vector["command"]
    address = bytes.fromhex(vector["hex"]).lstrip(b"\xfe")[2:9]
    meter = MeterAddress(command["device"], address)
    if command.get("read"):
        return read_frame(meter).encode()
    return set_opening_frame(meter, command["opening_pct"]).encode()


def test_all_of_them_are_here() -> None:
    assert (len(FRAMES), len(VALID_FRAMES), len(DAMAGED_FRAMES)) == (23, 19, 4)
    assert len(MESSAGES) == 23
    assert VECTORS.keys() == {"source", "gateway_id", "frames", "messages"}
    assert all(vector["provenance"] for vector in FRAMES + MESSAGES)


@pytest.mark.parametrize("vector", VALID_FRAMES, ids=name)
def test_valid_frames_give_exactly_the_expected_values(vector: dict[str, Any]) -> None:
    said = describe(parse(vector["hex"]))
    assert said == said_by(vector)
    assert json.loads(json.dumps(said)) == said_by(vector)


@pytest.mark.parametrize("vector", DAMAGED_FRAMES, ids=name)
def test_damaged_frames_give_the_named_error(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError) as caught:
        parse(vector["hex"])
    assert caught.value.kind == vector["error"]


@pytest.mark.parametrize("vector", [v for v in VALID_FRAMES if "command" in v], ids=name)
def test_commands_are_built_byte_for_byte(vector: dict[str, Any]) -> None:
    assert built(vector) == bytes.fromhex(vector["hex"])


@pytest.mark.parametrize(
    "vector", [v for v in MESSAGES if "transparent_count" in v["payload"]], ids=name
)
def test_commands_are_published_byte_for_byte(vector: dict[str, Any]) -> None:
    frame = next(v for v in VALID_FRAMES if v["name"] == vector["name"])
    message = TransparentCommand(GATEWAY_ID, built(frame).hex().upper())
    assert encode(message) == vector["payload"].encode()


@pytest.mark.parametrize("vector", [v for v in MESSAGES if "001111" in v["payload"]], ids=name)
def test_every_frame_in_a_message_is_good(vector: dict[str, Any]) -> None:
    message = decode(vector["payload"].encode())
    assert isinstance(message, Report | TransparentReply | TransparentCommand)
    frames = (message.frame,) if isinstance(message, TransparentCommand) else message.frames
    assert len(frames) == 1
    assert describe(parse(frames[0]))["device"] in {"cabinet", "valve"}
