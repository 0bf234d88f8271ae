"""What gateways sent and what the integration took, frame by frame; and what became of commands."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
import itertools
import json
import time
from typing import Any, override

import aiohttp
from hass_api import ApiError

from simulator.mqtt import Broker, Simulator
from simulator.scenario import Scenario, building

from .house import WatchedHouse
from .mosquitto import Mosquitto

GATEWAY = "02345678904"
REPORT_EVERY_S = 6.0
"""A meter reports so often in these tests, up to 600 times as often as in earnest; and not more
often, or its reports would count as a backlog."""
SETTLED_S = 2.0
"""What is still on its way after that without anything new is lost."""


def busy_building(gateway_id: str = GATEWAY, cabinets: int = 5, valves: int = 96) -> Scenario:
    """Return a building under load, alive whatever the date, with fast valves on a fast bus."""
    return building(gateway_id, cabinets, valves).with_plans(
        cabinet_interval_min=10,
        valve_interval_min=10,
        reports_per_interval=600 / REPORT_EVERY_S,
        season_start="01-01",
        season_end="12-31",
        baud=0,
        turnaround_s=0.0,
        cabinet_travel_s=4.0,
        valve_travel_s=4.0,
    )


def access(broker: Mosquitto, **changes: Any) -> Broker:
    """Return how a gateway gets in; it reports with QoS 1, so that it knows what was taken."""
    settings: dict[str, Any] = {
        "port": broker.port,
        "username": broker.username,
        "password": broker.password,
        "qos": 1,
        "reconnect_s": 0.2,
    }
    return Broker(**(settings | changes))


class WatchedSimulator(Simulator):
    """A simulator that remembers the frames in the reports that the broker took."""

    def __init__(self, scenario: Scenario, broker: Broker) -> None:
        """Prepare it."""
        super().__init__(scenario, broker)
        self.taken: Counter[str] = Counter()
        self.refused = 0
        """Reports that the broker did not take: it was away."""

    @override
    async def _publish(self, gateway_id: str, payload: bytes) -> None:
        before = self.published
        await super()._publish(gateway_id, payload)
        if b'"msg_id":20' not in payload:
            return
        if self.published > before:
            self.taken.update(json.loads(payload)["data"]["meter_data"])
        else:
            self.refused += 1

    def valves(self, gateway_id: str = GATEWAY) -> list[str]:
        """Return the numbers of the household valves."""
        meters = self.fleet.gateways[gateway_id].meters.values()
        return [meter.number for meter in meters if meter.spec.key == "valve"]

    def moves(self, gateway_id: str = GATEWAY) -> int:
        """Return how often a meter was told to move."""
        return self.fleet.gateways[gateway_id].counts["commands"]


@dataclass
class Account:
    """Reports from now on: taken by the broker, and received by the integration."""

    simulator: WatchedSimulator
    house: WatchedHouse

    def __post_init__(self) -> None:
        """Begin with what there was."""
        self._taken = self.simulator.taken.copy()
        self._refused = self.simulator.refused
        self._received = self.house.received()

    async def close(self) -> dict[str, int]:
        """Return how many were sent until now, and lost, once what is on its way has arrived."""
        taken = self.simulator.taken - self._taken
        refused = self.simulator.refused - self._refused

        def missing() -> int:
            return (taken - (self.house.received() - self._received)).total()

        last = -1
        while (lost := missing()) and lost != last:
            last = lost
            await asyncio.sleep(SETTLED_S)
        return {
            "not taken": refused,
            "taken": taken.total(),
            "received": taken.total() - lost,
            "lost": lost,
        }


class Commander:
    """Gives commands to one valve after another, and remembers what became of each."""

    def __init__(self, house: WatchedHouse, simulator: WatchedSimulator) -> None:
        """Prepare it; a valve is asked again only after all others, so that its motor rests."""
        self.outcomes: Counter[str] = Counter()
        self._house = house
        self._valves = itertools.cycle(simulator.valves())
        self._openings = itertools.cycle((30, 35, 40, 50, 60, 70, 80))

    async def give(self) -> str:
        """Give a command, and wait for its end; return `verified` or why it failed."""
        valve = next(self._valves)
        try:
            entity_id = await self._house.entity_id(f"{GATEWAY}_{valve}_valve")
            answer = await self._house.api.ask(
                "hy_heating.set_openings", entity_id=entity_id, opening=next(self._openings)
            )
        except ApiError, aiohttp.ClientError, OSError:
            self.outcomes["not given"] += 1
            return "not given"
        (row,) = answer["results"]
        outcome = str(row["result"] if row["result"] == "verified" else row["reason"])
        self.outcomes[outcome] += 1
        return outcome

    @asynccontextmanager
    async def giving(self, every_s: float) -> AsyncIterator[None]:
        """Give commands meanwhile, and wait for the end of each."""
        commands: set[asyncio.Task[str]] = set()

        async def give() -> None:
            while True:
                commands.add(asyncio.create_task(self.give()))
                await asyncio.sleep(every_s)

        giving = asyncio.create_task(give())
        try:
            yield
        finally:
            giving.cancel()
            await asyncio.wait([giving, *commands])

    @property
    def columns(self) -> dict[str, int | str]:
        """Return the outcomes for the table of figures."""
        failed = {name: n for name, n in self.outcomes.items() if name != "verified"}
        return {
            "commands": self.outcomes.total(),
            "verified": self.outcomes["verified"],
            "failed": ", ".join(f"{n} {name}" for name, n in sorted(failed.items())) or "0",
        }


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        """Begin."""
        self._begun_s = time.monotonic()

    @property
    def passed_s(self) -> float:
        """How long ago that is."""
        return time.monotonic() - self._begun_s
