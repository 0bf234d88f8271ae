"""Everything that a fault can strike: a broker, a line, a Home Assistant, and a busy building."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from hass_api import wait_for

from .house import WatchedHouse
from .ledger import GATEWAY, Account, Commander, Stopwatch, WatchedSimulator, access, busy_building
from .line import Line
from .mosquitto import Mosquitto

LOGGED = ("error", "warning", "notice", "information", "subscribe", "unsubscribe")
PROOF_TIMEOUT_S = 60.0


class Stage:
    """One building behind one broker, which Home Assistant reaches by a line that can be cut."""

    def __init__(
        self, broker: Mosquitto, line: Line, house: WatchedHouse, simulator: WatchedSimulator
    ) -> None:
        """Take the parts, all of which run."""
        self.broker = broker
        self.line = line
        self.house = house
        self.simulator = simulator
        self.witness = simulator.valves()[-1]
        """A valve whose states are looked at."""

    @property
    def valve(self) -> str:
        """The unique id of the valve that is looked at."""
        return f"{GATEWAY}_{self.witness}_valve"

    def account(self) -> Account:
        """Begin to count reports."""
        return Account(self.simulator, self.house)

    def commander(self) -> Commander:
        """Return somebody who gives commands."""
        return Commander(self.house, self.simulator)

    async def lost(self, timeout_s: float = 60.0) -> None:
        """Wait until Home Assistant says that nothing counts any more."""
        await self.house.wait_state(self.valve, is_unavailable, timeout_s)

    async def recovered(self, timeout_s: float = 120.0) -> float:
        """Wait until everything counts again; return how many seconds that took."""
        watch = Stopwatch()
        await self.house.wait_state(f"{GATEWAY}_connectivity", is_on, timeout_s)
        await self.house.wait_state(self.valve, lambda state: not is_unavailable(state), timeout_s)
        return watch.passed_s

    async def shows_the_truth(self) -> None:
        """Wait until every valve shows where its device really stands."""
        entity_ids = {
            number: await self.house.entity_id(f"{GATEWAY}_{number}_valve")
            for number in self.simulator.fleet.gateways[GATEWAY].meters
        }

        async def wrong() -> dict[str, Any]:
            states = await self.house.api.states()
            shown = {
                number: states[entity_id]["attributes"].get("current_position")
                for number, entity_id in entity_ids.items()
            }
            return {
                number: position
                for number, position in shown.items()
                if position is None
                or abs(position - self.simulator.opening_pct(GATEWAY, number)) > 1
            }

        await wait_for(wrong, lambda wrong: not wrong, PROOF_TIMEOUT_S, 0.5)

    async def last_reports(self) -> dict[str, datetime]:
        """Return when each meter reported last, by what Home Assistant shows."""
        states = await self.house.api.states()
        return {
            number: datetime.fromisoformat(
                states[await self.house.entity_id(f"{GATEWAY}_{number}_last_report")]["state"]
            )
            for number in self.simulator.fleet.gateways[GATEWAY].meters
        }


def is_unavailable(state: dict[str, Any]) -> bool:
    """Whether a state does not count."""
    return bool(state["state"] == "unavailable")


def is_on(state: dict[str, Any]) -> bool:
    """Whether a state says on."""
    return bool(state["state"] == "on")


@asynccontextmanager
async def staged(folder: Path, **house: Any) -> AsyncIterator[Stage]:
    """Set everything up, and take it down."""
    async with AsyncExitStack() as stack:
        broker = Mosquitto(folder / "mosquitto", ["queue_qos0_messages true"], LOGGED)
        stack.push_async_callback(broker.stop)
        await broker.start()
        line = Line(broker.port)
        stack.push_async_callback(line.close)
        await line.open()
        watched = WatchedHouse(folder / "homeassistant", broker, port=line.port, **house)
        stack.push_async_callback(watched.stop)
        await watched.start()
        simulator = WatchedSimulator(busy_building(), access(broker))
        await stack.enter_async_context(simulator)
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        await watched.add_answering_gateway(GATEWAY, "Struck")
        for number in simulator.fleet.gateways[GATEWAY].meters:
            await watched.wait_state(f"{GATEWAY}_{number}_last_report", bool)
        yield Stage(broker, line, watched, simulator)
