"""Which gateways there are: presets, and scenarios from JSON files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from datetime import UTC, datetime
import json
import time
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import ScenarioError
from .faults import Fault, FaultKind
from .model import Climate
from .plan import MAX_BLOCK, GatewayPlan

CAPTURED_GATEWAY_ID = "02345678903"

JAMMED_VALVE = "23301007"
"""In the demo, a household valve that says yes to every command and stays where it is."""
COLD_ALL_YEAR = Climate(mean_c=-2.0, yearly_swing_c=6.0, daily_swing_c=4.0, weather_swing_c=3.0)
"""The demo's climate: its building is to be alive whenever somebody looks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything that a simulation is made of.

    `start` is the simulated time at the start, ISO 8601 (without a zone: local time by
    `utc_offset_h`), None for now; `speed` says how many simulated seconds a real one has.
    """

    gateways: tuple[GatewayPlan, ...]
    seed: int = 1
    start: str | None = None
    speed: float = 1.0
    utc_offset_h: float = 8.0
    climate: Climate = field(default_factory=Climate)

    def __post_init__(self) -> None:
        """Check the whole; raises ScenarioError."""
        if not 0 < self.speed <= 1_000_000:  # noqa: PLR2004 - a limit of its own
            raise ScenarioError(f"speed must be above 0 and at most 1000000, not {self.speed}")
        if not -24 < self.utc_offset_h < 24:  # noqa: PLR2004 - hours of a day
            raise ScenarioError(f"utc_offset_h must be within a day, not {self.utc_offset_h}")
        if not self.gateways:
            raise ScenarioError("a scenario needs a gateway")
        ids = [plan.gateway_id for plan in self.gateways]
        if len(set(ids)) < len(ids):
            raise ScenarioError("a gateway id stands twice")
        blocks = [self.block_of(index) for index in range(len(ids))]
        if len(set(blocks)) < len(blocks) or max(blocks) > MAX_BLOCK:
            raise ScenarioError(f"each gateway needs a block of its own, 0 to {MAX_BLOCK}")
        self.start_time()

    def block_of(self, index: int) -> int:
        """Return the block of meter numbers of the gateway at a place."""
        block = self.gateways[index].block
        return index if block is None else block

    def start_time(self) -> float:
        """Return the simulated time at the start, in seconds since 1970 UTC."""
        if self.start is None:
            return time.time()
        try:
            start = datetime.fromisoformat(self.start)
        except ValueError:
            raise ScenarioError(f"start must be an ISO 8601 time, not {self.start!r}") from None
        if start.tzinfo is not None:
            return start.timestamp()
        return start.replace(tzinfo=UTC).timestamp() - self.utc_offset_h * 3600

    def with_plans(self, **changes: Any) -> Scenario:
        """Return the scenario with the same change to every gateway; raises ScenarioError."""
        plans = tuple(replace(plan, **changes) for plan in self.gateways)
        return replace(self, gateways=plans)


def captured() -> Scenario:
    """Return the captured gateway with its cabinet and its household valve, at rest."""
    return Scenario(gateways=(GatewayPlan(gateway_id=CAPTURED_GATEWAY_ID, captured=True),))


def building(gateway_id: str = "02345678904", cabinets: int = 5, valves: int = 96) -> Scenario:
    """Return one living building."""
    plan = GatewayPlan(gateway_id=gateway_id, cabinets=cabinets, valves=valves, block=1)
    return Scenario(gateways=(plan,))


def demo() -> Scenario:
    """Return the captured gateway and a living building that reports often, whatever the date."""
    alive = GatewayPlan(
        gateway_id="02345678904",
        season_start="01-01",
        season_end="12-31",
        reports_per_interval=20,
        cabinet_travel_s=40,
        valve_travel_s=20,
        block=1,
        faults=(Fault(kind=FaultKind.STUCK_VALVE, meter=JAMMED_VALVE),),
    )
    still = GatewayPlan(
        gateway_id=CAPTURED_GATEWAY_ID,
        captured=True,
        reports_per_interval=20,
        cabinet_travel_s=40,
        valve_travel_s=20,
    )
    return Scenario(gateways=(still, alive), climate=COLD_ALL_YEAR)


def fleet(
    gateways: int = 100,
    cabinets: int = 5,
    valves: int = 96,
    first_gateway_id: str = "03000000001",
) -> Scenario:
    """Return many buildings with ids in a row, on a bus that takes no time."""
    first = int(first_gateway_id)
    plans = (
        GatewayPlan(
            gateway_id=f"{first + index:011d}",
            cabinets=cabinets,
            valves=valves,
            baud=0,
            turnaround_s=0,
            read_at_start=False,
        )
        for index in range(gateways)
    )
    return Scenario(gateways=tuple(plans), start="2026-01-15T06:00")


PRESETS = {
    "captured": captured,
    "building": building,
    "demo": demo,
    "fleet": fleet,
}
"""The presets by name."""


def from_json(text: str) -> Scenario:
    """Return the scenario of a JSON text; raises ScenarioError that names the place."""
    try:
        data = json.loads(text)
    except ValueError as err:
        raise ScenarioError(f"not JSON: {err}") from None
    return _build(Scenario, data, "scenario")


def to_json(scenario: Scenario) -> str:
    """Return a scenario as JSON, as `from_json` reads it."""
    return json.dumps(asdict(scenario), indent=2)


def fault_from(data: object, where: str = "fault") -> Fault:
    """Return the fault of a JSON object; raises ScenarioError."""
    return _build(Fault, data, where)


def _build[T](kind: type[T], data: object, where: str) -> T:
    """Return a dataclass from a JSON object with the same keys."""
    if not isinstance(data, Mapping):
        raise ScenarioError(f"{where} must be an object")
    types = get_type_hints(kind)
    known = {each.name for each in fields(kind) if each.init} if is_dataclass(kind) else set()
    if unknown := sorted(set(data) - known):
        raise ScenarioError(
            f"{where}: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}"
        )
    values = {key: _value(types[key], value, f"{where}.{key}") for key, value in data.items()}
    try:
        return kind(**values)
    except TypeError as err:
        raise ScenarioError(f"{where}: {err}") from None
    except ScenarioError as err:
        raise ScenarioError(f"{where}: {err}") from None


def _value(kind: object, value: object, where: str) -> object:
    """Return a JSON value as the type that a dataclass field has."""
    if get_origin(kind) in (Union, UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        kind = next(arg for arg in get_args(kind) if arg is not type(None))
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ScenarioError(f"{where} must be a list")
        item = get_args(kind)[0]
        return tuple(_value(item, each, f"{where}[{n}]") for n, each in enumerate(value))
    if kind is FaultKind:
        try:
            return FaultKind(str(value))
        except ValueError:
            names = ", ".join(FaultKind)
            raise ScenarioError(f"{where} must be one of {names}, not {value!r}") from None
    if isinstance(kind, type) and is_dataclass(kind):
        return _build(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        name = getattr(kind, "__name__", kind)
        raise ScenarioError(f"{where} must be of type {name}, not {value!r}")
    return value
