"""What a gateway is to be like: the declarative part that JSON scenarios spell out."""

from dataclasses import dataclass

from custom_components.hy_heating.hyheat.envelope import MonthDay, is_gateway_id

from .errors import ScenarioError
from .faults import Fault

MAX_CABINETS = 99
MAX_VALVES = 999
MAX_BLOCK = 3899


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPlan:
    """One gateway; every time is in simulated time, every default as captured where it was.

    `captured` makes it the captured gateway: one cabinet and one household valve as captured,
    and `cabinets` and `valves` only the counts in its status. `block` keeps the meter numbers
    of gateways apart (by default the gateway's place in the scenario).
    `reports_per_interval` reports so many times more often than the settings tell.
    """

    gateway_id: str
    captured: bool = False
    cabinets: int = 5
    valves: int = 96
    block: int | None = None
    cabinet_interval_min: int = 10
    valve_interval_min: int = 60
    interval_out_of_season_min: int = 1440
    season_start: str = "09-01"
    season_end: str = "05-01"
    reports_per_interval: float = 1.0
    read_at_start: bool = True
    baud: int = 2400
    turnaround_s: float = 0.1
    meter_timeout_s: float = 2.0
    latency_s: float = 0.3
    cabinet_travel_s: float = 120.0
    valve_travel_s: float = 60.0
    malformed_replies: bool = True
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        """Check the limits; raises ScenarioError."""
        if not is_gateway_id(self.gateway_id):
            raise ScenarioError(f"gateway_id must be 11 digits, not {self.gateway_id!r}")
        for name, low, high in _LIMITS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ScenarioError(f"{name} must be {low} to {high}, not {value}")
        parse_day(self.season_start)
        parse_day(self.season_end)


_LIMITS = (
    ("cabinets", 0, MAX_CABINETS),
    ("valves", 0, MAX_VALVES),
    ("block", 0, MAX_BLOCK),
    ("cabinet_interval_min", 1, 100_000),
    ("valve_interval_min", 1, 100_000),
    ("interval_out_of_season_min", 1, 100_000),
    ("reports_per_interval", 0.001, 100_000),
    ("baud", 0, 1_000_000),
    ("turnaround_s", 0, 60),
    ("meter_timeout_s", 0, 600),
    ("latency_s", 0, 600),
    ("cabinet_travel_s", 0, 86_400),
    ("valve_travel_s", 0, 86_400),
)


def parse_day(text: str) -> MonthDay:
    """Return the day of a text MM-DD; raises ScenarioError."""
    month, _, day = text.partition("-")
    last = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
    if month.isdecimal() and day.isdecimal() and 1 <= int(month) <= 12:  # noqa: PLR2004 - months
        parsed = MonthDay(int(month), int(day))
        if 1 <= parsed.day <= last.get(parsed.month, 31):
            return parsed
    raise ScenarioError(f"a day must be MM-DD, not {text!r}")
