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
    return _report(meter_id, FRAMES[frame]["hex"])


def valve_report_an_hour_later() -> str:
    """Return report A an hour on, with a supply temperature of 29.1 °C.

    The temperature's low byte rises from 18 to 23 and the clock's hour from 21 to 22: by 0C in
    all, and so does the checksum, from 72 to 7E. (A report with an older clock would be a late
    one, and is not applied.)
    """
    frame = str(FRAMES["valve_report_A"]["hex"])
    for before, after in (
        ("01180119", "01230119"),
        ("00212126052420", "00212226052420"),
        ("407216", "407E16"),
    ):
        assert frame.count(before) == 1
        frame = frame.replace(before, after)
    return _report(f"{VALVE}200800", frame)


def _report(meter_id: str, frame: str) -> str:
    gateway = {"msg_id": 20, "msg_gw_pr": 0, "gw_id": GATEWAY}
    data = {"meter_id": meter_id, "meter_data": [frame]}
    return json.dumps({"gw": gateway, "data": data})
