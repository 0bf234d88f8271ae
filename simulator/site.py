"""From a plan to a gateway with its loops and meters, every detail drawn from the seed."""

from dataclasses import dataclass, field, replace
from random import Random

from custom_components.hy_heating.hyheat.devices import CABINET, HOUSEHOLD_VALVE

from .devices import CapturedMeter, FlatCharacter, VirtualCabinet, VirtualMeter, VirtualValve
from .gateway import VirtualGateway
from .model import HeatingLoop, LoopCharacter
from .motion import Motion
from .plan import GatewayPlan, parse_day
from .scenario import Scenario
from .season import Season

_FIRST_CABINET = 27_200_000
_FIRST_VALVE = 23_300_000
_CABINETS_PER_BLOCK = 100
_VALVES_PER_BLOCK = 1000


@dataclass(slots=True)
class Site:
    """One building: a gateway's plan, its block of meter numbers and the time of its start."""

    scenario: Scenario
    plan: GatewayPlan
    block: int
    now: float
    season: Season = field(init=False)

    def __post_init__(self) -> None:
        """Take the season from the plan."""
        start, end = parse_day(self.plan.season_start), parse_day(self.plan.season_end)
        self.season = Season(start, end, self.scenario.utc_offset_h * 3600)

    def gateway(self) -> VirtualGateway:
        """Return the gateway, powered up."""
        meters = self._captured_meters() if self.plan.captured else self._meters()
        random = self._random(self.plan.gateway_id)
        return VirtualGateway(self.plan, meters, self.season, random, self.now)

    def _random(self, what: str) -> Random:
        """Return the chance of one thing, the same whatever else there is."""
        return Random(f"{self.scenario.seed}:{what}")

    def _captured_meters(self) -> list[VirtualMeter]:
        return [
            CapturedMeter(CABINET, self.plan.cabinet_travel_s),
            CapturedMeter(HOUSEHOLD_VALVE, self.plan.valve_travel_s),
        ]

    def _meters(self) -> list[VirtualMeter]:
        first = _FIRST_CABINET + self.block * _CABINETS_PER_BLOCK
        # Without a cabinet the flats still need water: a loop that nobody meters.
        numbers = [f"{first + index:08d}" for index in range(max(1, self.plan.cabinets))]
        loops = [self._loop(number) for number in numbers]
        cabinets = [
            VirtualCabinet(number, loop)
            for number, loop in list(zip(numbers, loops, strict=True))[: self.plan.cabinets]
        ]
        valves = [self._valve(index, loops) for index in range(self.plan.valves)]
        for loop in loops:
            loop.settle(self.now)
        return [*cabinets, *valves]

    def _loop(self, number: str) -> HeatingLoop:
        weather = self._random(f"{self.plan.gateway_id}:weather")
        phases = (weather.random(), weather.random())
        climate = replace(self.scenario.climate, phases=phases)
        random = self._random(number)
        flats = self.plan.valves // max(1, self.plan.cabinets)
        character = LoopCharacter.drawn(random, flats)
        valve = Motion(float(random.randint(55, 95)), self.plan.cabinet_travel_s)
        return HeatingLoop(character, climate, self.season, valve, self.now)

    def _valve(self, index: int, loops: list[HeatingLoop]) -> VirtualValve:
        number = f"{_FIRST_VALVE + self.block * _VALVES_PER_BLOCK + index:08d}"
        character = FlatCharacter.drawn(self._random(number))
        loop = loops[index % len(loops)]
        return VirtualValve(number, character, loop, self.plan.valve_travel_s, self.now)
