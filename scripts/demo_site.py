"""What the demo shows: its broker, its two buildings, and how long they have been there."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
import json
from pathlib import Path
from typing import Self

from amqtt.broker import Broker as EmbeddedBroker

from simulator.devices import VirtualCabinet
from simulator.model import HeatingLoop
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

# More than any cabinet of the demo uses, so that no register is ever lower than one that was
# reported since it was saved: 100 kW at a temperature drop of 12 K.
_ENERGY_KWH_PER_H = 100.0
_VOLUME_M3_PER_H = 7.2


@dataclass(frozen=True, slots=True)
class Memory:
    """What one run of the demo leaves for the next.

    `registers` has heat energy in kWh and volume in m³ by the number of a cabinet.
    """

    broker_port: int
    saved: datetime
    registers: Mapping[str, tuple[float, float]]

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Return what an earlier run left, None where there is nothing of use."""
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                int(stored["broker_port"]),
                datetime.fromisoformat(stored["saved"]),
                {
                    number: (float(energy_kwh), float(volume_m3))
                    for number, (energy_kwh, volume_m3) in stored["registers"].items()
                },
            )
        except OSError, ValueError, KeyError, TypeError, AttributeError:
            return None

    def save(self, path: Path) -> None:
        """Leave it for the next run."""
        stored = {
            "broker_port": self.broker_port,
            "saved": self.saved.isoformat(),
            "registers": dict(self.registers),
        }
        new = path.with_suffix(".new")
        new.write_text(json.dumps(stored), encoding="utf-8")
        new.replace(path)


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
    """Return the two buildings, whose registers have gone on since they were saved."""
    access = Broker(host=HOST, port=memory.broker_port)
    simulator = Simulator(demo().with_plans(baud=_BAUD), access)
    hours = max(0.0, (datetime.now(UTC) - memory.saved).total_seconds() / 3600)
    for number, loop in _loops(simulator):
        if number in memory.registers:
            energy_kwh, volume_m3 = memory.registers[number]
            loop.character = replace(
                loop.character,
                energy_kwh=energy_kwh + hours * _ENERGY_KWH_PER_H,
                volume_m3=volume_m3 + hours * _VOLUME_M3_PER_H,
            )
    return simulator


def remember(simulator: Simulator, broker_port: int) -> Memory:
    """Return what is to be left for the next run."""
    now = simulator.clock.now()
    readings = {number: loop.reading(now) for number, loop in _loops(simulator)}
    registers = {
        number: (reading.energy_kwh, reading.volume_m3) for number, reading in readings.items()
    }
    return Memory(broker_port, datetime.now(UTC), registers)


def _loops(simulator: Simulator) -> Iterator[tuple[str, HeatingLoop]]:
    """Yield the metered heating loops by the number of their cabinet."""
    for gateway in simulator.fleet.gateways.values():
        for meter in gateway.meters.values():
            if isinstance(meter, VirtualCabinet):
                yield meter.number, meter.loop


def count_meters(simulator: Simulator) -> int:
    """Return how many meters all buildings have."""
    return sum(len(gateway.meters) for gateway in simulator.fleet.gateways.values())
