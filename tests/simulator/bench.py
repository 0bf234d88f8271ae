"""A fleet on a virtual clock, driven by tests."""

from dataclasses import replace
import json
from typing import Any, NamedTuple

from custom_components.hy_heating.hyheat.devices import describe
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    Report,
    TransparentReply,
    decode_from_gateway,
)
from custom_components.hy_heating.hyheat.frame import parse
from simulator import Fleet, Scenario, VirtualGateway
from simulator.gateway import Event

CAPTURED = "02345678903"
CABINET = "27100583"
VALVE = "23227310"
ALIVE = "02345678904"
WINTER = "2026-01-15T06:00"


def quiet(scenario: Scenario) -> Scenario:
    """Return a scenario without readings at the start and with very rare reports."""
    rare = ("cabinet_interval_min", "valve_interval_min", "interval_out_of_season_min")
    return scenario.with_plans(read_at_start=False, **dict.fromkeys(rare, 100_000))


class Sent(NamedTuple):
    """One message of a gateway, `at` seconds after the start of the bench."""

    at: float
    gateway_id: str
    payload: bytes

    @property
    def message(self) -> FromGateway:
        return decode_from_gateway(self.payload, self.gateway_id)

    @property
    def msg_id(self) -> int:
        """The msg_id; only for messages that are JSON."""
        number: int = json.loads(self.payload)["gw"]["msg_id"]
        return number

    @property
    def frame(self) -> dict[str, Any]:
        """What the frame of a report or a transparent reply says."""
        message = self.message
        assert isinstance(message, Report | TransparentReply)
        (frame,) = message.frames
        return describe(parse(frame))


class Bench:
    """A scenario from its start on, a winter morning unless it says otherwise.

    `events` are those told so far.
    """

    def __init__(self, scenario: Scenario) -> None:
        if scenario.start is None:
            scenario = replace(scenario, start=WINTER)
        self.start = self.now = scenario.start_time()
        self.events: list[Event] = []
        self.fleet = Fleet(scenario, self.now, self.events.append)
        self.gateway_id = next(iter(self.fleet.gateways))

    @property
    def gateway(self) -> VirtualGateway:
        return self.fleet.gateways[self.gateway_id]

    def send(self, payload: bytes | str, gateway_id: str | None = None) -> None:
        """Send something to a gateway, now."""
        raw = payload.encode() if isinstance(payload, str) else payload
        self.fleet.receive(gateway_id or self.gateway_id, raw, self.now)

    def ask(self, msg_id: int, **data: object) -> None:
        """Send a message to the gateway."""
        gw = {"msg_id": msg_id, "msg_gw_pr": 0, "gw_id": self.gateway_id}
        self.send(json.dumps({"gw": gw, "data": data}))

    def read_now(self, *, cabinets: bool = False, valves: bool = False) -> None:
        self.ask(18, main_immediately=int(cabinets), copy_immediately=int(valves), up_immediately=0)

    def transparent(self, frame: str, port: int = 0) -> None:
        self.ask(40, transparent_port=port, transparent=frame, transparent_count=5)

    def run(self, seconds: float) -> list[Sent]:
        """Let time pass and return what was sent."""
        self.now += seconds
        return [
            Sent(at - self.start, gateway_id, payload)
            for at, gateway_id, payload in self.fleet.due(self.now)
        ]

    def opening_pct(self, meter: str) -> float:
        return self.fleet.meter(self.gateway_id, meter).opening_pct(self.now)
