"""Every known frame and message in machine-readable form, each with its provenance.

`vectors.json` has the keys: `frames` with `hex` and, where `valid`, what they say (`decoded`,
`command` or `reply`), otherwise the `error` they must be refused with; `messages` with topic,
direction, payload and, where it has fields of its own, `decoded`. The wire is described in
docs/PROTOCOL.md.
"""

import json
from pathlib import Path
from typing import Any

type Vector = dict[str, Any]

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors.json").read_text(encoding="utf-8")
)
GATEWAY_ID: str = VECTORS["gateway_id"]
FRAMES: list[Vector] = VECTORS["frames"]
MESSAGES: list[Vector] = VECTORS["messages"]
VALID_FRAMES = [vector for vector in FRAMES if vector["valid"]]
DAMAGED_FRAMES = [vector for vector in FRAMES if not vector["valid"]]


def frame_bytes(name: str) -> bytes:
    """Return the bytes of a frame, with its preamble where it has one."""
    return bytes.fromhex(next(vector["hex"] for vector in FRAMES if vector["name"] == name))


def message(name: str) -> bytes:
    """Return the payload of a message."""
    payload: str = next(vector["payload"] for vector in MESSAGES if vector["name"] == name)
    return payload.encode()


def said_by(vector: Vector) -> dict[str, Any]:
    """Return what a valid frame says."""
    return next(vector[key] for key in ("decoded", "command", "reply") if key in vector)
