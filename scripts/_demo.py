"""Runs the demo; scripts/demo --help says what it is."""

import argparse
import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
import fcntl
import logging
import os
from pathlib import Path
import shutil
import signal
import sys

from demo_flow import TRAVEL_TIME_S, find_missing, listen, point_out, register_missing, remove_rooms
from demo_site import (
    BUILDINGS,
    HOST,
    Memory,
    count_meters,
    embedded_broker,
    make_simulator,
    remember,
)
from demo_terminal import Terminal
from hass_api import DOMAIN, ApiError, HassApi
from hass_log import complaints
from hass_process import ROOT, HassProcess, HassProcessError, is_in_use
from processes import is_port_free

from simulator.mqtt import Simulator
from simulator.scenario import JAMMED_VALVE

FOLDER = ROOT / ".demo"
HASS_FOLDER = FOLDER / "homeassistant"
MEMORY = FOLDER / "demo.json"
USERNAME = PASSWORD = "demo"  # noqa: S105 - shown to everybody, on the loopback interface only

DEFAULT_PORT = 8123
DEFAULT_BROKER_PORT = 18830
RESTART_STATUS = 100  # Home Assistant's way to ask for being started again
EARLIER_RUN_TIMEOUT_S = 45.0
METERS_TIMEOUT_S = 180.0
SAVE_INTERVAL_S = 10.0

_PLACES = (
    ("Building 1, as captured", "02345678903"),
    ("  cabinet", "27100583"),
    ("  household valve", "23227310"),
    ("Building 2, alive", "02345678904"),
)
"""What is worth a look, by serial number."""


class DemoError(Exception):
    """The demo cannot go on; the text has the cause, `next_step` what to do."""

    def __init__(self, cause: str, next_step: str) -> None:
        """Take both."""
        super().__init__(cause)
        self.next_step = next_step


def main() -> int:
    """Run the demo until it is told to end; return the exit status."""
    options = _options()
    terminal = Terminal()
    try:
        with _only_run():
            if options.reset:
                _forget()
            asyncio.run(_run_until_told(options, terminal))
    except asyncio.CancelledError:
        terminal.say("The demo has ended; scripts/demo goes on from here.")
    except DemoError as err:
        terminal.fail(str(err), err.next_step)
        return 1
    except (HassProcessError, ApiError, TimeoutError) as err:
        terminal.fail(str(err), f"look into {FOLDER / 'demo.log'}, then try scripts/demo --reset")
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", allow_abbrev=False)
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--port", type=_port, default=DEFAULT_PORT)
    parser.add_argument("--broker-port", type=_port)
    return parser.parse_args()


def _port(text: str) -> int:
    lowest, highest = 1024, 65535
    if not text.isdecimal() or not lowest <= int(text) <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from {lowest} to {highest}")
    return int(text)


@contextmanager
def _only_run() -> Iterator[None]:
    """Make this the only run in this folder; raises DemoError where another one goes on."""
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DemoError(
                "the demo runs already in this folder", "end the other one with Ctrl-C first"
            ) from None
        yield


def _forget() -> None:
    MEMORY.unlink(missing_ok=True)
    if HASS_FOLDER.exists():
        shutil.rmtree(HASS_FOLDER)


async def _run_until_told(options: argparse.Namespace, terminal: Terminal) -> None:
    """Let the first Ctrl-C end everything in order, and the second one at once."""
    work = asyncio.create_task(_run(options, terminal))

    def end() -> None:
        if work.cancelling():
            os._exit(130)  # Home Assistant ends by itself when we are gone
        work.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    await work


async def _run(options: argparse.Namespace, terminal: Terminal) -> None:
    _log_to(FOLDER / "demo.log")
    terminal.say(terminal.strong("HY Heating: the demo"))
    await _wait_for_earlier_run(terminal)
    memory = _recall(options.broker_port)
    _check_port(options.port, "--port", "Home Assistant")
    _check_port(memory.broker_port, "--broker-port", "the broker")
    async with AsyncExitStack() as stack:
        async with terminal.step(f"Starting an MQTT broker on port {memory.broker_port}"):
            await stack.enter_async_context(embedded_broker(memory.broker_port))
        hass = HassProcess(HASS_FOLDER, options.port, "HY Heating demo")
        stack.push_async_callback(_end_hass, hass, terminal)
        api = await stack.enter_async_context(HassApi(hass.url))
        await _start_hass(hass, api, terminal)
        simulator = await _show_buildings(api, memory, stack, terminal)
        stack.callback(_save, simulator, memory.broker_port)
        _save(simulator, memory.broker_port)
        await _introduce(hass, api, terminal)
        await _wait_for_meters(api, simulator, terminal)
        await _show_jammed_valve(hass, api, terminal)
        terminal.say("  Ctrl-C ends the demo.")
        await asyncio.gather(
            _keep_running(hass, terminal),
            _keep_saving(simulator, memory.broker_port),
            simulator.wait_stopped(),
        )


# --- Before anything starts ----------------------------------------------------------------


def _log_to(path: Path) -> None:
    """Keep what the libraries say away from the terminal."""
    logging.basicConfig(
        filename=path,
        filemode="w",
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s [%(name)s] %(message)s",
    )


async def _wait_for_earlier_run(terminal: Terminal) -> None:
    """Wait for the Home Assistant of a demo that was killed; raises DemoError."""
    if not is_in_use(HASS_FOLDER):
        return
    async with terminal.step("Waiting for an earlier run to end") as step:
        while is_in_use(HASS_FOLDER):
            if step.elapsed_s > EARLIER_RUN_TIMEOUT_S:
                raise DemoError(
                    f"a Home Assistant still runs in {HASS_FOLDER}", "end it, then try again"
                )
            await asyncio.sleep(0.2)


def _recall(broker_port: int | None) -> Memory:
    """Return what earlier runs left, or a new beginning; raises DemoError."""
    memory = Memory.load(MEMORY)
    if memory is None:
        _forget()  # an earlier run that ended before it had made anything whole
        return Memory(broker_port or DEFAULT_BROKER_PORT, datetime.now(UTC), {})
    if broker_port not in {None, memory.broker_port}:
        raise DemoError(
            f"the gateways are registered with the broker on port {memory.broker_port}",
            "leave out --broker-port, or add --reset to start afresh",
        )
    return memory


def _check_port(port: int, option: str, who: str) -> None:
    if not is_port_free(port):
        raise DemoError(
            f"another program uses port {port}, which {who} needs",
            f"end that program, or choose another port with scripts/demo {option} NUMBER",
        )


# --- Starting ------------------------------------------------------------------------------


async def _start_hass(hass: HassProcess, api: HassApi, terminal: Terminal) -> None:
    first = not hass.onboarded
    text = "Starting Home Assistant" + (" for the first time" if first else "")
    async with terminal.step(text):
        await hass.start()
        if first:
            await api.onboard("Demo", USERNAME, PASSWORD)
            await remove_rooms(api)
        else:
            await _log_in(api)
        await api.wait_running()


async def _log_in(api: HassApi) -> None:
    try:
        await api.log_in(USERNAME, PASSWORD)
    except ApiError as err:
        raise DemoError(
            f"Home Assistant refuses the demo user: {err}", "start afresh with scripts/demo --reset"
        ) from err


async def _show_buildings(
    api: HassApi, memory: Memory, stack: AsyncExitStack, terminal: Terminal
) -> Simulator:
    """Power up the buildings; new gateways do so while Home Assistant listens for them."""
    if not await find_missing(api):
        async with terminal.step("Powering up two buildings"):
            return await stack.enter_async_context(make_simulator(memory))
    async with terminal.step("Adding the gateways of two buildings through the config flow"):
        step = await listen(api, HOST, memory.broker_port)
        simulator = await stack.enter_async_context(make_simulator(memory))
        await register_missing(api, HOST, memory.broker_port, step)
        return simulator


async def _introduce(hass: HassProcess, api: HassApi, terminal: Terminal) -> None:
    devices = {device["serial_number"]: device["id"] for device in await api.devices()}
    terminal.say()
    terminal.say(
        f"  Open {terminal.strong(hass.url)} and log in as "
        f"{terminal.strong(USERNAME)} with the password {terminal.strong(PASSWORD)}"
    )
    terminal.say()
    for label, serial_number in _PLACES:
        if device_id := devices.get(serial_number):
            terminal.say(f"  {label:<26} {hass.url}/config/devices/device/{device_id}")
    terminal.say()


async def _wait_for_meters(api: HassApi, simulator: Simulator, terminal: Terminal) -> None:
    total = count_meters(simulator)
    async with terminal.step("Waiting for the meters to report") as step:
        while step.elapsed_s < METERS_TIMEOUT_S:
            count = len(await api.devices()) - len(BUILDINGS)
            step.text = f"{count} of {total} meters have reported"
            if count >= total:
                break
            await asyncio.sleep(1)


async def _show_jammed_valve(hass: HassProcess, api: HassApi, terminal: Terminal) -> None:
    """Name the valve that does not obey, and say what there is to see."""
    name = f"Valve {JAMMED_VALVE} (jammed)"
    if (device_id := await point_out(api, JAMMED_VALVE, name)) is None:
        return
    terminal.say()
    terminal.say(f"  {name:<26} {hass.url}/config/devices/device/{device_id}")
    terminal.say(f"    move it: after {TRAVEL_TIME_S} s its command fails, and its page says why;")
    terminal.say("    the third time in a row, so does Settings → System → Repairs")
    terminal.say()


# --- Running and ending --------------------------------------------------------------------


async def _keep_running(hass: HassProcess, terminal: Terminal) -> None:
    """Start Home Assistant again whenever somebody restarts it; raises DemoError."""
    while True:
        await asyncio.sleep(1)
        if (status := hass.ended) is None:
            continue
        if status != RESTART_STATUS:
            raise DemoError(f"Home Assistant ended with status {status}", f"see {hass.console}")
        async with terminal.step("Restarting Home Assistant"):
            await hass.start()


async def _keep_saving(simulator: Simulator, broker_port: int) -> None:
    """Leave little to guess for the run that follows a power failure."""
    while True:
        await asyncio.sleep(SAVE_INTERVAL_S)
        _save(simulator, broker_port)


def _save(simulator: Simulator, broker_port: int) -> None:
    remember(simulator, broker_port).save(MEMORY)


async def _end_hass(hass: HassProcess, terminal: Terminal) -> None:
    if hass.ended is None:
        async with terminal.step("Ending Home Assistant"):
            await hass.stop()
        _tell_complaints(hass, terminal)


def _tell_complaints(hass: HassProcess, terminal: Terminal) -> None:
    ours = [record for record in complaints(hass.log) if DOMAIN in record.text]
    if ours:
        terminal.say(f"  {len(ours)} warnings or errors of {DOMAIN} are in {hass.console}")


if __name__ == "__main__":
    sys.exit(main())
