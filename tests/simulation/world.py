"""One seed, from the first message to the last check."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from functools import partial
import logging
from random import Random

from simulator import Fault, FaultKind, Fleet, GatewayPlan, Scenario

from .invariants import EPOCH_S, Ledger
from .loop import START_S, SimulationLoop
from .network import Network
from .station import OPENINGS_PCT, Station
from .weather import MAX_DELAY_S, Weather

STORM_S = 240.0
POLL_S = 60.0
PATIENCE_S = 900.0
"""More than any command may take: 120 s queued, 3 tries of 40 s, 180 s of travel, and reads."""
REPORT_MIN = 2
_SLACK_S = 15.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one seed went: well where there are no violations."""

    seed: int
    violations: list[str]
    trace: list[str]
    figures: Counter[str]


def run_seed(seed: int, *, keep_trace: bool = False) -> Outcome:
    """Play one seed in a virtual time of its own."""
    loggers = [logging.getLogger(name) for name in ("custom_components.hy_heating", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # refusals by the thousand; they are counted
    try:
        loop = SimulationLoop()
        ledger = Ledger(lambda: loop.time() - START_S, keep_trace)
        try:
            loop.run(_play(seed, ledger, loop))
        except TimeoutError as err:
            ledger.violate("time goes on", str(err))
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
    trace = ledger.trace() if ledger.violations or keep_trace else []
    return Outcome(seed, ledger.violations, trace, ledger.figures)


async def _play(seed: int, ledger: Ledger, loop: SimulationLoop) -> None:
    world = World(seed, ledger, loop)
    try:
        await world.play()
    except Exception as err:  # noqa: BLE001 - whatever it is, it belongs to this seed
        ledger.violate("no exception", repr(err))
    for context in loop.errors:
        ledger.violate("no exception", f"{context}")
    if not ledger.violations:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left or loop.timers():
            ledger.violate("nothing is left behind", f"{left}, {loop.timers()} timers")
    ledger.figures["virtual seconds"] += int(ledger.now())


class World:
    """Gateways, network and clients of one seed."""

    def __init__(self, seed: int, ledger: Ledger, loop: SimulationLoop) -> None:
        """Draw everything from the seed."""
        self._random = Random(seed)
        self._ledger = ledger
        self._loop = loop
        self._fleet = Fleet(self._scenario(seed), self._now())
        self._polling: asyncio.TimerHandle
        self._tasks: list[asyncio.Task[None]] = []
        chance = self._random.random
        self._network = Network(
            ledger,
            self._random,
            self._to_gateway,
            keeps_session=chance() < 0.7,
            queues=chance() < 0.5,
        )
        self.stations = [
            Station(ledger, self._random, self._network, gateway)
            for gateway in self._fleet.gateways.values()
        ]

    def _scenario(self, seed: int) -> Scenario:
        random = self._random
        no_direct_reads = Fault(kind=FaultKind.NO_DIRECT_READS)
        plans = tuple(
            GatewayPlan(
                gateway_id=f"0234567890{index}",
                cabinets=random.randint(0, 1),
                valves=random.randint(1, 3),
                cabinet_interval_min=REPORT_MIN,
                valve_interval_min=REPORT_MIN,
                baud=random.choice((0, 2400, 2400)),
                latency_s=random.choice((0.0, 0.3, 1.0)),
                faults=(no_direct_reads,) if random.random() < 0.2 else (),
            )
            for index in range(random.choice((1, 1, 2)))
        )
        return Scenario(gateways=plans, seed=seed)

    # --- Time -------------------------------------------------------------------------------

    def _now(self) -> float:
        return EPOCH_S + self._loop.time()

    def _to_gateway(self, gateway_id: str, payload: bytes) -> None:
        self._fleet.receive(gateway_id, payload, self._now())

    @property
    def next_due(self) -> float | None:
        """When a gateway has something to do, in the loop's time."""
        due = self._fleet.next_due
        return None if due is None else due - EPOCH_S

    def live(self) -> None:
        """Let the gateways live up to the loop's time."""
        due = self._fleet.next_due or 0.0  # what is due by a hair after the loop's time, too
        for _, gateway_id, payload in self._fleet.due(max(due, self._now())):
            self._network.up(gateway_id, payload)

    def _poll(self) -> None:
        self._polling = self._loop.call_later(POLL_S, self._poll)
        for station in self.stations:
            station.poll()

    # --- Life -------------------------------------------------------------------------------

    async def play(self) -> None:
        """Go through a storm, heal, and see that all is well."""
        for station in self.stations:
            await station.start()
        self._loop.outside = self
        self._poll()
        self._brew()
        self._ledger.note("storm", self._network.weather)
        await asyncio.sleep(STORM_S)
        await self._heal()
        await self._everything_ended()
        await self._valves_obey()
        await asyncio.sleep(REPORT_MIN * 60 + _SLACK_S)
        self._check_truth()
        await self._end()

    def _brew(self) -> None:
        """Plan what will go wrong, and what will be asked meanwhile."""
        random, network = self._random, self._network
        network.weather = Weather.drawn(random)
        for _ in range(random.randint(0, 2)):
            self._spell(partial(network.set_connected, False), partial(network.set_connected, True))
        for station in self.stations:
            for _ in range(random.randint(0, 1)):
                self._spell(partial(station.set_silent, True), partial(station.set_silent, False))
            for _ in range(random.randint(0, 2)):
                self._at_random(station.break_something)
            for _ in range(random.randint(4, 20)):
                self._at_random(station.act)
            if random.random() < 0.4:
                self._at_random(partial(self._restart, station))

    def _at_random(self, action: partial[None] | object) -> float:
        assert callable(action)
        at = self._loop.time() + self._random.random() * STORM_S
        self._loop.call_at(at, action)
        return at

    def _spell(self, begin: partial[None], end: partial[None]) -> None:
        at = self._at_random(begin)
        self._loop.call_at(at + self._random.random() * 60, end)

    def _restart(self, station: Station) -> None:
        if station.client:
            pause_s = self._random.random() * 20
            self._tasks.append(self._loop.create_task(station.restart(pause_s)))

    async def _heal(self) -> None:
        """Let everything work again, and what is under way arrive."""
        self._ledger.note("healed")
        self._network.weather = Weather()
        for station in self.stations:
            station.repair()
        await asyncio.sleep(60 + MAX_DELAY_S)  # the last spell is over, the last message there
        for task in self._tasks:
            await task
        for station in self.stations:
            if not station.gateway.faults.hit(FaultKind.SILENT_GATEWAY) and self._network.connected:
                continue
            self._ledger.violate("the world heals", station.gateway.gateway_id)

    async def _everything_ended(self) -> None:
        """Wait for the end of all that was asked: it comes by itself."""
        deadline = self._loop.time() + PATIENCE_S
        while pending := [asked for station in self.stations for asked in station.pending]:
            if self._loop.time() > deadline:
                self._ledger.violate("every command ends once", f"{pending} never ended")
                return
            await asyncio.sleep(5)

    async def _valves_obey(self) -> None:
        """Move every valve once more: in a healed network each opening is proved."""
        await asyncio.sleep(POLL_S + 1)  # polls find gateways again that were silent
        begun = [
            (station, meter, wish, station.open_valve(meter, wish))
            for station in self.stations
            for meter in station.meters
            for wish in (self._random.choice(OPENINGS_PCT),)
        ]
        await self._everything_ended()
        for station, meter, wish, asked in begun:
            if not station.watch.showed(meter.address, wish, asked.begun):
                self._ledger.violate("a healed network obeys", str(asked))

    def _check_truth(self) -> None:
        """Compare what entities would show last with what the devices are."""
        for station in self.stations:
            for meter in station.gateway.meters.values():
                shown = station.watch.last.get(meter.number)
                key = "actual_opening_pct" if meter.spec.key == "cabinet" else "opening_pct"
                truth = meter.opening_pct(self._now())
                if shown is None or shown[key] != truth:
                    self._ledger.violate(
                        "the last state is the true one", f"{meter.number}: {truth} %, {shown}"
                    )

    async def _end(self) -> None:
        """Let what is under way arrive, and stop all that this world itself runs."""
        self._polling.cancel()
        await asyncio.sleep(_SLACK_S)
        await self._everything_ended()
        self._loop.outside = None
        await asyncio.sleep(_SLACK_S)
        for station in self.stations:
            await station.stop()
        if not self._network.is_left_alone:
            self._ledger.violate("nothing is left behind", "a subscription")
