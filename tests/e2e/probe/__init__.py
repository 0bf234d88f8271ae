"""Measures from inside a Home Assistant under test; tests link it in as `hy_probe`.

`GET /api/hy_probe` tells how late the event loop was, and what the process takes; `POST` lets both
begin anew.
"""

import asyncio
import gc
import os
import time
from typing import Any

from aiohttp import web
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.http import KEY_HASS, HomeAssistantView
from homeassistant.helpers.typing import ConfigType
import psutil

DOMAIN = "hy_probe"
TICK_S = 0.005

CONFIG_SCHEMA = cv.empty_config_schema(DOMAIN)


async def async_setup(hass: HomeAssistant, config: ConfigType) -> bool:
    """Measure from now on."""
    pulse = Pulse(hass.loop)
    pulse.begin()
    hass.http.register_view(ProbeView(pulse))
    return True


class Pulse:
    """How late a call is that is due every 5 ms.

    `worst_s` is by the clock; `worst_own_s` leaves out what other processes had the processor
    for: of the time that a call was late, it counts what this process computed in.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._process = psutil.Process()
        self._collecting_cpu_s: float | None = None
        self._collected_s = 0.0
        gc.callbacks.append(self._collect)
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._since_s, self._since_cpu_s = self._loop.time(), time.process_time()
        self._last_cpu_s = time.process_time()
        self._due_s = self._loop.time() + TICK_S  # what was late before does not count
        self._collected_s = 0.0
        self.worst_s = self.worst_own_s = self.worst_rest_s = 0.0

    def begin(self) -> None:
        """Begin to tick."""
        self._due_s = self._loop.time() + TICK_S
        self._loop.call_at(self._due_s, self._tick)

    def _tick(self) -> None:
        now, cpu_s = self._loop.time(), time.process_time()
        late_s = now - self._due_s
        self.worst_s = max(self.worst_s, late_s)
        own_s = min(late_s, cpu_s - self._last_cpu_s)
        if self._collecting_cpu_s is not None:  # another thread's, which has not yet told its end
            self._collected_s += cpu_s - self._collecting_cpu_s
            self._collecting_cpu_s = cpu_s
        self.worst_own_s = max(self.worst_own_s, own_s)
        self.worst_rest_s = max(self.worst_rest_s, own_s - self._collected_s)
        self._last_cpu_s, self._collected_s = cpu_s, 0.0
        self.begin()

    def _collect(self, phase: str, _info: dict[str, int]) -> None:
        now_s = time.process_time()
        if phase == "start":
            self._collecting_cpu_s = now_s
        elif self._collecting_cpu_s is not None:
            self._collected_s += now_s - self._collecting_cpu_s
            self._collecting_cpu_s = None

    def told(self) -> dict[str, Any]:
        """Return what was measured; times in seconds."""
        passed_s = self._loop.time() - self._since_s
        return {
            "pid": os.getpid(),
            "rss_bytes": self._process.memory_info().rss,
            "passed_s": passed_s,
            "cpu_share": (time.process_time() - self._since_cpu_s) / passed_s,
            "worst_s": self.worst_s,
            "worst_own_s": self.worst_own_s,
            "worst_rest_s": self.worst_rest_s,
        }


class ProbeView(HomeAssistantView):
    """The way to the figures."""

    url = "/api/hy_probe"
    name = "api:hy_probe"

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse

    async def get(self, request: web.Request) -> web.Response:
        """Tell the figures."""
        return self.json(self._pulse.told() | {"refusals": _refusals(request)})

    async def post(self, _request: web.Request) -> web.Response:
        """Let them begin anew, without the collection that Home Assistant's start is still due."""
        gc.collect()
        self._pulse.reset()
        return self.json({})


def _refusals(request: web.Request) -> dict[str, int]:
    hass = request.app[KEY_HASS]
    totals: dict[str, int] = {}
    for entry in hass.config_entries.async_loaded_entries("hy_heating"):
        for (_, reason), count in entry.runtime_data.gateway.client.refusals.counts.items():
            totals[str(reason)] = totals.get(str(reason), 0) + count
    return totals
