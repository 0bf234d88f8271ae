"""The captured frames and messages, and what they say."""

import json
from pathlib import Path
from typing import Any

GATEWAY = "02345678903"
CABINET = "27100583"
VALVE = "23227310"
REPORTS = f"hy/gw/set/{GATEWAY}"

_VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "vectors" / "vectors.json").read_text(encoding="utf-8")
)
MESSAGES: dict[str, dict[str, Any]] = {each["name"]: each for each in _VECTORS["messages"]}
FRAMES: dict[str, dict[str, Any]] = {each["name"]: each for each in _VECTORS["frames"]}


def payload(message: str) -> str:
    """Return the payload of a message by its name."""
    return str(MESSAGES[message]["payload"])


def report(meter_id: str, frame: str) -> str:
    """Return the payload that reports a frame by its name."""
    gateway = {"msg_id": 20, "msg_gw_pr": 0, "gw_id": GATEWAY}
    data = {"meter_id": meter_id, "meter_data": [FRAMES[frame]["hex"]]}
    return json.dumps({"gw": gateway, "data": data})
