"""`python -m simulator` as a process: control by JSON lines, and ways to end."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
import os
from pathlib import Path
import signal
import sys
from typing import Any

import pytest

from simulator import captured, to_json
from tests.links.brokers import AmqttBroker
from tests.vectors import message

from .bench import CABINET, CAPTURED, VALVE

pytestmark = pytest.mark.usefixtures("socket_enabled")

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 15


@pytest.fixture
async def broker(socket_enabled: None) -> AsyncIterator[AmqttBroker]:
    broker = AmqttBroker()
    await broker.start()
    yield broker
    await broker.stop()


@asynccontextmanager
async def simulate(*arguments: str) -> AsyncIterator[Process]:
    """Run the simulator, and see to it that it has ended."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator", *arguments),
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=ROOT,
        env=os.environ | {"HY_SIMULATOR_PASSWORD": "right"},
        limit=2**20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class Remote:
    """The control of a process."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def send(self, text: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(text.encode() + b"\n")

    async def until(self, *events: str) -> dict[str, Any]:
        """Return the first event of some kinds."""
        assert self.process.stdout
        async with asyncio.timeout(WAIT_S):
            while line := await self.process.stdout.readline():
                event: dict[str, Any] = json.loads(line)
                if event["event"] in events:
                    return event
        raise AssertionError("the process ended")

    async def ask(self, **request: object) -> dict[str, Any]:
        self.send(json.dumps(request))
        return await self.until("done", "error")

    async def ended(self) -> int:
        async with asyncio.timeout(WAIT_S):
            return await self.process.wait()


def options(broker: AmqttBroker, *more: str) -> list[str]:
    way_in = ["--port", str(broker.port), "--username", "heat", "--control"]
    return [*way_in, "--preset", "captured", "--speed", "100", *more]


async def test_control_tells_and_does(broker: AmqttBroker) -> None:
    async with simulate(*options(broker)) as process:
        remote = Remote(process)
        ready = await remote.until("ready")
        assert ready["gateways"] == [{"id": CAPTURED, "cabinets": [CABINET], "valves": [VALVE]}]
        await remote.until("connected")

        await broker.publish(f"hy/gw/get/{CAPTURED}", message("valve_set_50"))
        moving = await remote.until("moving")
        assert (moving["gateway"], moving["meter"], moving["target_pct"]) == (CAPTURED, VALVE, 50)
        arrived = await remote.until("arrived")
        assert arrived["opening_pct"] == 50
        assert arrived["at"] == pytest.approx(moving["at"] + 30)

        state = await remote.ask(do="state", id=7)
        assert state["id"] == 7
        assert state["meters"][VALVE] == {
            "device": "valve",
            "opening_pct": 50,
            "target_pct": 50,
            "moving": False,
        }
        assert state["meters"][CABINET]["opening_pct"] == 100
        assert state["counts"]["commands"] == 1

        await remote.ask(do="move", gateway=CAPTURED, meter=CABINET, opening_pct=12.5)
        await remote.until("arrived")
        state = await remote.ask(do="state", meter=CABINET)
        assert [each["opening_pct"] for each in state["meters"].values()] == [12.5]


async def test_control_switches_faults(broker: AmqttBroker) -> None:
    async with simulate(*options(broker)) as process:
        remote = Remote(process)
        await remote.until("connected")
        put = await remote.ask(do="fault", kind="stuck_valve", meter=VALVE)
        assert put == {"event": "done", "kind": "stuck_valve"}
        await broker.publish(f"hy/gw/get/{CAPTURED}", message("valve_set_0"))
        await remote.until("moving")
        state = await remote.ask(do="state", meter=VALVE)
        assert state["meters"][VALVE]["opening_pct"] == 100
        assert (await remote.ask(do="clear", kind="stuck_valve"))["lifted"] == 1
        await broker.publish(f"hy/gw/get/{CAPTURED}", message("valve_set_0"))
        assert (await remote.until("arrived"))["opening_pct"] == 0


async def test_control_refuses_what_makes_no_sense_and_goes_on(broker: AmqttBroker) -> None:
    async with simulate(*options(broker)) as process:
        remote = Remote(process)
        for line, says in (
            ("nonsense", "Expecting value"),
            ("[]", "object"),
            ("{}", "do must be one of"),
            ('{"do": "state", "gateway": "1"}', "gateway must be one of"),
            ('{"do": "state", "meter": "1"}', "no meter 1"),
            ('{"do": "move", "meter": "1", "opening_pct": 3}', "no meter 1"),
            (f'{{"do": "move", "meter": "{VALVE}"}}', "opening_pct must be"),
            (f'{{"do": "move", "meter": "{VALVE}", "opening_pct": true}}', "opening_pct must be"),
            (f'{{"do": "move", "meter": "{VALVE}", "opening_pct": 101}}', "opening_pct must be"),
            ('{"do": "fault", "kind": "x"}', "must be one of"),
            ('{"do": "fault", "kind": "silent_meter", "meter": "1"}', "no meter 1"),
            ('{"do": "fault", "kind": "delayed", "seconds": "x"}', "type float"),
            ('{"do": "clear", "kind": "x"}', "'x'"),
        ):
            remote.send(line)
            refused = await remote.until("done", "error")
            assert refused["event"] == "error", line
            assert says in refused["detail"], line
        assert (await remote.ask(do="state"))["event"] == "done"


@pytest.mark.parametrize("way", ["stop", "end of input", "SIGTERM", "SIGINT"])
async def test_it_ends_cleanly(broker: AmqttBroker, way: str) -> None:
    async with simulate(*options(broker)) as process:
        remote = Remote(process)
        await remote.until("connected")
        assert process.stdin
        match way:
            case "stop":
                remote.send('{"do": "stop"}')
            case "end of input":
                process.stdin.close()
            case _:
                process.send_signal(signal.Signals[way])
        assert await remote.ended() == 0
        assert process.stderr
        assert await process.stderr.read() == b""


async def test_without_control_it_says_where_it_is(broker: AmqttBroker) -> None:
    arguments = ["--port", str(broker.port), "--username", "heat", "--verbose", "--valves", "1"]
    async with simulate(*arguments) as process:
        assert process.stdout
        first = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
        assert first.startswith(b"1 gateways with 6 meters on 127.0.0.1:")
        assert process.stderr
        assert b"connected" in await asyncio.wait_for(process.stderr.readline(), WAIT_S)
        process.send_signal(signal.SIGINT)
        assert await Remote(process).ended() == 0


async def test_a_scenario_can_be_printed() -> None:
    async with simulate("--preset", "captured", "--print-scenario") as process:
        out, err = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert (process.returncode, err) == (0, b"")
    assert out.decode() == to_json(captured()) + "\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--valves", "5000"], b"valves must be 0 to 999"),
        (["--tls", "--ca-file", "missing.pem"], b"missing.pem"),
        (["--fault", "silent_meter,meter=1"], b"meter 1, which is not there"),
    ],
)
async def test_options_that_make_no_sense_end_with_status_2(
    arguments: list[str], says: bytes
) -> None:
    async with simulate(*arguments) as process:
        _, err = await asyncio.wait_for(process.communicate(), WAIT_S)
    assert process.returncode == 2
    assert says in err
    assert b"Traceback" not in err
