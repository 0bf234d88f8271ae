"""Answers the benchmark from inside Home Assistant, over a socket in the configuration folder.

Each line that comes is a JSON list of a question's name and its arguments; each line that goes is
the answer. Nothing is done between questions, so the probe costs nothing that would be measured.
"""

import asyncio
from collections.abc import Awaitable, Callable
import cProfile
from datetime import timedelta
import gc
import json
from pathlib import Path
import pstats
import time
from typing import Any

from homeassistant.auth.const import GROUP_ID_ADMIN
from homeassistant.components.recorder import get_instance
from homeassistant.const import ATTR_RESTORED, EVENT_STATE_CHANGED
from homeassistant.core import Event, EventStateChangedData, HomeAssistant, callback
from homeassistant.helpers import config_validation as cv, entity_registry as er
from homeassistant.helpers.typing import ConfigType
import psutil

from .opcodes import Opcodes

DOMAIN = "bench_probe"
SOCKET = "bench.sock"
POLL_S = 0.02
PULSE_S = 0.002
FULL_COLLECTION = 2
"""The oldest generation: while it is gone through, nothing else of Python runs."""

CONFIG_SCHEMA = cv.empty_config_schema(DOMAIN)

type Answer = Callable[..., Awaitable[Any]]


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Listen for questions."""
    probe = Probe(hass)
    path = Path(hass.config.path(SOCKET))
    await hass.async_add_executor_job(path.unlink, True)
    await asyncio.start_unix_server(probe.talk, path, limit=2**20)
    return True


class Probe:
    """Every public coroutine is a question."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Be inside it."""
        self._hass = hass
        self._late_s: list[tuple[float, int, float]] | None = None
        self._computed_s = 0.0
        self._profile = cProfile.Profile()
        self._opcodes = Opcodes(())
        self._process = psutil.Process()
        self._collections_ms: list[float] = []
        self._collecting_since_s = 0.0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it goes."""
        while line := await reader.readline():
            name, *arguments = json.loads(line)
            question: Answer = getattr(self, f"ask_{name}")
            writer.write(json.dumps(await question(*arguments)).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def ask_token(self) -> str:
        """Return an access token of an administrator."""
        auth = self._hass.auth
        user = await auth.async_create_user("Bench", group_ids=[GROUP_ID_ADMIN])
        refresh = await auth.async_create_refresh_token(
            user,
            client_name="Bench",
            token_type="long_lived_access_token",  # noqa: S106 - no password
            access_token_expiration=timedelta(days=1),
        )
        return auth.async_create_access_token(refresh)

    async def ask_running(self) -> dict[str, float]:
        """Wait until everything is set up and nothing is to be done; return how it stands."""
        while not self._hass.is_running:
            await asyncio.sleep(POLL_S)
        running_s = time.time() - self._process.create_time()
        await self._hass.async_block_till_done()
        return {
            "running_s": running_s,
            "settled_s": time.time() - self._process.create_time(),
            "cpu_s": time.process_time(),
            "states": self._hass.states.async_entity_ids_count(),
            "rss_mb": self._process.memory_info().rss / 2**20,
        }

    async def ask_cpu_s(self) -> float:
        """Return the processor time of the whole process."""
        return time.process_time()

    async def ask_collect(self) -> None:
        """Collect garbage, so that none of it falls into what is measured next."""
        await self._hass.async_add_executor_job(gc.collect)

    async def ask_watch_collections(self) -> None:
        """Begin to note how long full garbage collections take, in whatever thread."""
        self._collections_ms = []
        gc.callbacks.append(self._collecting)

    def _collecting(self, phase: str, details: dict[str, int]) -> None:
        if details["generation"] != FULL_COLLECTION:
            return
        if phase == "start":
            self._collecting_since_s = time.perf_counter()
        else:
            self._collections_ms.append((time.perf_counter() - self._collecting_since_s) * 1000)

    async def ask_collections_ms(self) -> list[float]:
        """Return how long they took, and end that."""
        gc.callbacks.remove(self._collecting)
        return self._collections_ms

    async def ask_wait(self, entity_id: str, state: str, timeout_s: float) -> bool:
        """Wait until an entity shows a state; return whether it came to that."""
        deadline = time.monotonic() + timeout_s
        while (now := self._hass.states.get(entity_id)) is None or now.state != state:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    async def ask_wait_states(self, count: int, timeout_s: float) -> int:
        """Wait until there are so many states; return how many there are.

        Those that Home Assistant writes at its start for what is registered do not count: they say
        only that there was an entity before.
        """
        deadline = time.monotonic() + timeout_s
        while (there := self._live()) < count and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
        await self._hass.async_block_till_done()
        return there

    async def ask_enable(self, domain: str, count: int, timeout_s: float) -> float:
        """Enable the entries of an integration; return after how many seconds all states live.

        Raises TimeoutError where there are less than so many, of all integrations together.
        """
        manager = self._hass.config_entries
        entries = manager.async_entries(domain)
        begin = time.monotonic()
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(
                *(manager.async_set_disabled_by(entry.entry_id, None) for entry in entries)
            )
            while self._live() < count:
                await asyncio.sleep(POLL_S)
        return time.monotonic() - begin

    async def ask_not_set_up(self, platform: str) -> list[str]:
        """Return which entities of an integration have only what a start writes for them."""
        registry = er.async_get(self._hass)
        return [
            state.entity_id
            for state in self._hass.states.async_all()
            if ATTR_RESTORED in state.attributes
            and (entry := registry.async_get(state.entity_id))
            and entry.platform == platform
        ]

    def _live(self) -> int:
        return sum(ATTR_RESTORED not in each.attributes for each in self._hass.states.async_all())

    async def ask_wait_valves(self, count: int, timeout_s: float) -> None:
        """Wait until so many valves tell where they stand; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while (
                sum(
                    "current_position" in each.attributes
                    for each in self._hass.states.async_all("valve")
                )
                < count
            ):
                await asyncio.sleep(0.2)

    async def ask_state(self, entity_id: str) -> str | None:
        """Return what an entity shows."""
        state = self._hass.states.get(entity_id)
        return state.state if state else None

    async def ask_received(self) -> int:
        """Return how many messages the integration has got from its gateways since the start."""
        entries = self._hass.config_entries.async_loaded_entries("hy_heating")
        return sum(entry.runtime_data.gateway.client.messages.total for entry in entries)

    async def ask_recorded(self) -> None:
        """Wait until the recorder has written everything."""
        await get_instance(self._hass).async_block_till_done()

    async def ask_changed(self, seconds: float) -> list[str]:
        """Return which entities' states changed in so many seconds, one by one."""
        seen: list[str] = []

        @callback
        def count(event: Event[EventStateChangedData]) -> None:
            seen.append(event.data["entity_id"])

        remove = self._hass.bus.async_listen(EVENT_STATE_CHANGED, count)
        await asyncio.sleep(seconds)
        remove()
        return seen

    async def ask_entities(self, domain: str) -> dict[str, str]:
        """Return the entity ids of a domain's registered entities by unique id."""
        registered = er.async_get(self._hass).entities.values()
        return {each.unique_id: each.entity_id for each in registered if each.domain == domain}

    async def ask_call(self, domain: str, action: str, data: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON is any of its types
        """Have an action done; return its answer."""
        services = self._hass.services
        return await services.async_call(domain, action, data, blocking=True, return_response=True)

    async def ask_recording(self) -> dict[str, int]:
        """Return how many sensors there are, and how many of them are kept for ever."""
        sensors = self._hass.states.async_all("sensor")
        kept = sum("state_class" in state.attributes for state in sensors)
        return {"sensors": len(sensors), "statistics": kept}

    async def ask_profile(self) -> None:
        """Begin to profile."""
        self._profile = cProfile.Profile()
        self._profile.enable()

    async def ask_profiled(self) -> list[tuple[str, int, float, float]]:
        """Return what took most by itself: where, calls, own and whole seconds; and end that."""
        self._profile.disable()
        rows = pstats.Stats(self._profile).stats.items()  # type: ignore[attr-defined]
        found = [
            (f"{Path(file).parent.name}/{Path(file).name}:{name}", calls, own, whole)
            for (file, _, name), (calls, _, own, whole, _) in rows
        ]
        return sorted(found, key=lambda row: -row[2])

    async def ask_instructions(self, root: str) -> None:
        """Begin to count what Python executes below a function."""
        self._opcodes = Opcodes({root})
        self._opcodes.begin()

    async def ask_instructed(self) -> float:
        """Return how many instructions each call took, and end that."""
        self._opcodes.end()
        return self._opcodes.each

    async def ask_pulse(self) -> None:
        """Begin to note how late a call is that is due every 2 ms."""
        self._late_s, self._computed_s = [], time.thread_time()
        self._beat(self._hass.loop.time())

    def _beat(self, due_s: float) -> None:
        if self._late_s is None:
            return
        now = self._hass.loop.time()
        before_s, self._computed_s = self._computed_s, time.thread_time()
        computed_s = self._computed_s - before_s
        self._late_s.append((max(0.0, now - due_s), len(self._collections_ms), computed_s))
        self._hass.loop.call_at(now + PULSE_S, self._beat, now + PULSE_S)

    async def ask_late_s(self) -> list[tuple[float, int, float]]:
        """Return how late each call was, and end that.

        With each: how many full collections there were until then, and how long this thread
        computed since the call before.
        """
        late_s, self._late_s = self._late_s or [], None
        return late_s
