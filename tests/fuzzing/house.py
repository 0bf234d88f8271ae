"""The whole way: a real Home Assistant whose gateway is a script, and a look at its states.

Time is virtual and everything runs in one thread, so the same script is the same run. Each one
meets an entry of its own that was set up on the same day; Home Assistant itself stays.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
import json
import logging
from math import isfinite
from typing import Any, override
from unittest.mock import PropertyMock, patch

from homeassistant import loader
from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant, State
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    frame,
    issue_registry as ir,
    translation,
)
from homeassistant.helpers.json import json_bytes
import orjson
from pytest_homeassistant_custom_component.common import (
    MockConfigEntry,
    async_test_home_assistant,
    mock_storage,
)

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.coordinator import GatewayCoordinator
from custom_components.hy_heating.diagnostics import (
    async_get_config_entry_diagnostics,
    async_get_device_diagnostics,
)
from custom_components.hy_heating.hyheat.model import MeterReading
from tests.common import (
    CABINET,
    COMMAND_TOPIC,
    GATEWAY_ID,
    VALVE,
    FakeLink,
    captured,
    every_entry_gets,
    make_entry,
    set_up,
)
from tests.hyheat.fake_link import JumpingSelector, VirtualTimeLoop

from .oracle import outcome
from .script import Step, steps

BEGIN = datetime(2024, 1, 15, 12, 0, tzinfo=UTC)
"""In the captured heating season."""
LIVES = 200
"""After so many entries a fresh Home Assistant: its registries remember what was removed."""
SETTLE_S = 1.0
EXPLAINED_DEVICES = 4

# What the documents promise.
MAX_METERS = 512
MAX_KEPT = 20
MAX_COUNTED = 1000 + 20

# Which field of a meter's report an entity shows, and what it is multiplied with for people;
# an entity that is not named here is only looked at as a number (docs/PROTOCOL.md, 4 and 5).
FIELDS: dict[str, dict[str, tuple[str, float]]] = {
    "cabinet": {
        "heat_energy": ("heat_energy_kwh", 1),
        "volume": ("volume_m3", 1),
        "volume_flow_rate": ("flow_l_h", 1),
        "supply_temperature": ("supply_temperature_c", 1),
        "return_temperature": ("return_temperature_c", 1),
        "opening": ("actual_opening_pct", 1),
        "commanded_opening": ("commanded_opening_pct", 1),
        "second_energy": ("second_energy_kwh", 1),
        "second_volume": ("second_volume_m3", 1),
        "set_point_1": ("set_point_1", 1),
        "set_point_2": ("set_point_2", 1),
        "status": ("status", 1),
    },
    "valve": {
        "supply_temperature": ("supply_temperature_c", 1),
        "return_temperature": ("return_temperature_c", 1),
        "opening": ("opening_pct", 1),
        "set_point_1": ("set_point_1_c", 1),
        "set_point_2": ("set_point_2_c", 1),
        "running_time": ("running_time_min", 1 / 60),
        "status": ("status", 1),
    },
}
OPENINGS = {"cabinet": "actual_opening_pct", "valve": "opening_pct"}
# The largest a state may be that is no field: 130 K, and what 99 999 999 L/h would carry.
DERIVED = {"temperature_difference": 240.0, "thermal_power": 3e7}
MAX_NUMBER = 2.0**53


class _InlineLoop(VirtualTimeLoop):
    """A virtual clock, and no other threads: what is blocking is done at once."""

    @override
    def run_in_executor(  # type: ignore[override] # its own type has no name here
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as err:  # noqa: BLE001 - it belongs to whoever waits
            future.set_exception(err)
        return future


class _Log(logging.Handler):
    """Keeps what is logged from warnings up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def check(self) -> None:
        """Check that nothing went wrong, and that nothing of ours was said twice."""
        said: Counter[str] = Counter()
        for record in self.records:
            text = record.getMessage()
            assert not record.exc_info, f"{text}: {record.exc_info!r}"
            assert record.levelno < logging.ERROR, text
            if record.name.startswith("custom_components") and "silent" not in text:
                said[text] += 1
        twice = [text for text, times in said.items() if times > 1]
        assert not twice, f"logged again and again: {twice[:3]}"


@contextmanager
def open_house() -> Iterator[Callable[[bytes], None]]:
    """Return what takes scripts, in a Home Assistant that is new from time to time."""
    log = _Log()
    logging.getLogger().addHandler(log)
    logging.getLogger().setLevel(logging.WARNING)
    tenancy = _Tenancy(log)
    try:
        yield tenancy.take
    finally:
        tenancy.end()
        logging.getLogger().removeHandler(log)


class _Tenancy:
    """A Home Assistant for so many scripts, then the next one."""

    def __init__(self, log: _Log) -> None:
        self._log = log
        self._lives = 0
        self._close = ExitStack()
        self._runner: asyncio.Runner
        self._house: House

    def take(self, data: bytes) -> None:
        if not self._lives:
            self._begin()
        self._lives -= 1
        try:
            self._runner.run(self._house.live(list(steps(data))))
        except BaseException:
            self._lives = 0  # nobody knows what state it is in
            raise

    def _begin(self) -> None:
        self.end()
        self._runner = runner = self._close.enter_context(
            asyncio.Runner(loop_factory=lambda: _InlineLoop(JumpingSelector()))
        )
        opened = _opened(self._log)
        self._house = runner.run(opened.__aenter__())
        self._close.callback(lambda: runner.run(opened.__aexit__(None, None, None)))
        self._lives = LIVES

    def end(self) -> None:
        self._close.close()


@asynccontextmanager
async def _opened(log: _Log) -> AsyncIterator[House]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _InlineLoop)
    with ExitStack() as patches:
        storage = patches.enter_context(mock_storage())
        patches.enter_context(
            patch(
                "homeassistant.helpers.entity.Entity.entity_registry_enabled_default",
                PropertyMock(return_value=True),
            )
        )
        async with async_test_home_assistant(loop) as hass:
            frame.async_setup(hass)
            await translation.async_load_integrations(hass, {"homeassistant"})
            hass.data.pop(loader.DATA_CUSTOM_COMPONENTS)
            house = House(hass, loop, log, storage)
            for name in ("utcnow", "now"):
                patches.enter_context(patch(f"homeassistant.util.dt.{name}", house.now))
            yield house
            await hass.async_stop(force=True)


class House:
    """A Home Assistant in which entries live through scripts."""

    def __init__(
        self, hass: HomeAssistant, loop: _InlineLoop, log: _Log, storage: dict[str, Any]
    ) -> None:
        """Take what stays from one script to the next."""
        self.hass = hass
        self._loop = loop
        self._log = log
        self._storage = storage
        self._began_s = loop.time()
        self._link = FakeLink()
        self._entry: MockConfigEntry
        self._told: dict[tuple[str, str], set[object]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def now(self, time_zone: tzinfo | None = None) -> datetime:
        """Return the virtual time of day."""
        passed = timedelta(seconds=self._loop.time() - self._began_s)
        return (BEGIN + passed).astimezone(time_zone or UTC)

    async def live(self, script: list[Step]) -> None:
        """Let a new entry live through a script, then look at what it shows."""
        self._began_s = self._loop.time()
        self._log.records.clear()
        self._loop.errors.clear()
        self._told.clear()
        self._link = FakeLink()
        self._entry = make_entry()
        with every_entry_gets(self._link):
            await set_up(self.hass, self._entry)
            for step in script:
                gateway = self._gateway
                await self._play(step)
                await self.hass.async_block_till_done()
                if self._gateway is not gateway:
                    self._log.check()
                    self._log.records.clear()  # what starts anew may say it again
            await asyncio.sleep(SETTLE_S)
            await self.hass.async_block_till_done()
            self.check()
            await self._check_diagnostics()
            await self._leave()
        self._log.check()
        assert not self._loop.errors, self._loop.errors

    async def _play(self, step: Step) -> None:
        match step.kind:
            case "message" | "retained":
                self._deliver(step.payload, retained=step.kind == "retained")
            case "command":
                self._link.deliver(step.payload, COMMAND_TOPIC)
            case "wait":
                await self._wait(step.number)
            case "move":
                for meter in (CABINET, VALVE):
                    self._begin(self._move(meter, step.number % 101))
            case "read":
                gateway = self._gateway
                self._begin(gateway.async_read_now(cabinets=True, valves=True))
            case "down" | "up":
                self._link.set_connected(step.kind == "up")
            case _:  # restart
                assert await self.hass.config_entries.async_reload(self._entry.entry_id)

    @property
    def _gateway(self) -> GatewayCoordinator:
        gateway: GatewayCoordinator = self._entry.runtime_data.gateway
        return gateway

    def _deliver(self, payload: bytes, *, retained: bool) -> None:
        if not retained:
            for reading in outcome(payload, orjson.loads).readings:
                if isinstance(reading, MeterReading):
                    for key, value in reading.values.items():
                        self._told.setdefault((reading.meter_number, key), set()).add(value)
        self._link.deliver(payload, retained=retained)

    async def _wait(self, seconds: int) -> None:
        """Let time pass; the gateway answers what it is polled for."""
        end_s = self._loop.time() + seconds
        while (left_s := end_s - self._loop.time()) > 0:
            await asyncio.sleep(min(left_s, 600.0))
            for message in self._link.sent():
                reply = {1: "status_reply", 2: "settings_reply"}.get(message["gw"]["msg_id"])
                if reply and self._link.connected:
                    self._link.deliver(captured(reply))

    def _begin(self, action: Awaitable[object]) -> None:
        async def run() -> None:
            with suppress(HomeAssistantError):  # it says why
                await action

        self._tasks.append(self._loop.create_task(run()))

    async def _move(self, meter: str, opening_pct: int) -> None:
        entity_id = er.async_get(self.hass).async_get_entity_id(
            "valve", DOMAIN, f"{GATEWAY_ID}_{meter}_valve"
        )
        if entity_id:
            await self.hass.services.async_call(
                "valve",
                "set_valve_position",
                {"entity_id": entity_id, "position": opening_pct},
                blocking=True,
            )

    async def _leave(self) -> None:
        """Remove the entry, and see that everything that was begun ends with it."""
        await self.hass.config_entries.async_remove(self._entry.entry_id)
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)
        await self.hass.async_block_till_done()
        assert not self._link.subscriptions
        assert not self._link.status_listeners
        assert not self.hass.states.async_all(), self.hass.states.async_entity_ids()
        for issue in list(ir.async_get(self.hass).issues.values()):
            if issue.domain == DOMAIN:
                ir.async_delete_issue(self.hass, DOMAIN, issue.issue_id)
        self._storage.clear()

    # --- What must hold ------------------------------------------------------------------------

    def check(self) -> None:
        """Check that nothing has grown without bounds, and every state."""
        gateway = self._gateway
        refusals = gateway.client.refusals
        assert len(gateway.meters) <= MAX_METERS
        assert len(refusals.last) <= MAX_KEPT
        assert len(refusals.counts) <= MAX_COUNTED
        registry = er.async_get(self.hass)
        for state in self.hass.states.async_all():
            json.loads(json_bytes(state.as_dict()))
            entity = registry.async_get(state.entity_id)
            if entity and state.state not in {STATE_UNKNOWN, STATE_UNAVAILABLE}:
                self._check_state(gateway, entity.unique_id, state)

    async def _check_diagnostics(self) -> None:
        """Check that whatever came can be downloaded."""
        parts = [await async_get_config_entry_diagnostics(self.hass, self._entry)]
        registry, entry_id = dr.async_get(self.hass), self._entry.entry_id
        devices = dr.async_entries_for_config_entry(registry, entry_id)[:EXPLAINED_DEVICES]
        parts += [
            await async_get_device_diagnostics(self.hass, self._entry, device) for device in devices
        ]
        json.dumps(parts, allow_nan=False)

    def _check_state(self, gateway: GatewayCoordinator, unique_id: str, state: State) -> None:
        _, _, rest = unique_id.partition("_")
        number, _, key = rest.partition("_")
        meter = gateway.meters.get(number)
        if meter is None:
            _check_number(state.state)
            return
        kind = meter.data.kind
        if key == "valve":
            position = state.attributes["current_position"]
            if position is None:
                assert state.state in {"opening", "closing"}, state
                return
            assert 0 <= position <= 100, state
            told = self._told.get((number, OPENINGS[kind]), set())
            assert any(_is_near(value, position, 1) for value in told), (state, told)
        elif key in DERIVED:
            assert abs(float(state.state)) <= DERIVED[key] * 1000, state
        elif key in FIELDS.get(kind, {}):
            field, factor = FIELDS[kind][key]
            told = self._told.get((number, field), set())
            shown = float(state.state)
            assert any(
                isinstance(value, int | float) and _is_near(value * factor, shown, 1e-4)
                for value in told
            ), f"{state.entity_id} shows {shown}, told was {told}"
        else:
            _check_number(state.state)


def _is_near(value: object, shown: float, within: float) -> bool:
    return isinstance(value, int | float) and abs(value - shown) <= within


def _check_number(text: str) -> None:
    """Check that a state that is a number is a possible one."""
    with suppress(ValueError):
        number = float(text)
        assert isfinite(number), text
        if not text.isdecimal() or len(text) < len(str(10**18)):
            assert abs(number) <= MAX_NUMBER, text
