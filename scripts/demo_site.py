"""What the demo shows: its broker, its two buildings, and how long they have been there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
import json
from pathlib import Path
from typing import Self

from amqtt.broker import Broker as EmbeddedBroker

from simulator.devices import VirtualCabinet
from simulator.mqtt import Broker, Simulator
from simulator.scenario import demo

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Building:
    """A building of the demo: what the flow is told about its gateway."""

    gateway_id: str
    name: str
    area: str


BUILDINGS = (
    Building("02345678903", "Building 1 (captured)", "Building 1"),
    Building("02345678904", "Building 2 (alive)", "Building 2"),
)

CAPTURED_METERS = {"27100583", "23227310"}
"""The cabinet and the household valve of the captured gateway."""

# Faster than the usual 2400, so that all meters of a new demo are there within half a minute.
_BAUD = 9600

# More than any cabinet of the demo uses, so that its registers never go back from one run to
# the next, whatever was or was not saved: 100 kW at a temperature drop of 12 K.
_ENERGY_KWH_PER_H = 100.0
_VOLUME_M3_PER_H = 7.2


@dataclass(frozen=True, slots=True)
class Memory:
    """What one run of the demo leaves for the next."""

    since: datetime
    broker_port: int

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return what an earlier run left, None where there is nothing of use."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(datetime.fromisoformat(stored["since"]), int(stored["broker_port"]))
        except OSError, ValueError, KeyError, TypeError:
            return None

    def save(self, path: Path) -> None:
        """Leave it for the next run."""
        stored = {"since": self.since.isoformat(), "broker_port": self.broker_port}
        path.write_text(json.dumps(stored), encoding="utf-8")


@asynccontextmanager
async def embedded_broker(port: int) -> AsyncIterator[None]:
    """Run a broker that everybody on this machine may use."""
    broker = EmbeddedBroker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
    )
    await broker.start()
    try:
        yield
    finally:
        await broker.shutdown()


def make_simulator(memory: Memory) -> Simulator:
    """Return the two buildings, whose registers have gone on since the first run."""
    simulator = Simulator(demo().with_plans(baud=_BAUD), Broker(host=HOST, port=memory.broker_port))
    hours = max(0.0, (datetime.now(UTC) - memory.since).total_seconds() / 3600)
    for gateway in simulator.fleet.gateways.values():
        for meter in gateway.meters.values():
            if isinstance(meter, VirtualCabinet):
                character = meter.loop.character
                meter.loop.character = replace(
                    character,
                    energy_kwh=character.energy_kwh + hours * _ENERGY_KWH_PER_H,
                    volume_m3=character.volume_m3 + hours * _VOLUME_M3_PER_H,
                )
    return simulator


def count_meters(simulator: Simulator) -> int:
    """Return how many meters all buildings have."""
    return sum(len(gateway.meters) for gateway in simulator.fleet.gateways.values())
