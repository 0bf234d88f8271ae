"""What must hold for whatever bytes arrive: a typed value, or a counted refusal.

`outcome` takes a payload through the modules one by one, `Client` through a client behind a link;
both must come to the same result.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import override

from custom_components.hy_heating.hyheat.client import (
    Event,
    GatewayClient,
    MessageReceived,
    ReadingReceived,
    Refusals,
    Refused,
)
from custom_components.hy_heating.hyheat.devices import interpret, to_reading
from custom_components.hy_heating.hyheat.envelope import (
    Loads,
    Report,
    TransparentReply,
    decode_from_gateway,
    report_topic,
)
from custom_components.hy_heating.hyheat.errors import (
    EnvelopeError,
    FrameError,
    RefusalReason,
)
from custom_components.hy_heating.hyheat.frame import Frame, from_hex, scan
from custom_components.hy_heating.hyheat.link import MessageListener, StatusListener
from custom_components.hy_heating.hyheat.model import (
    FrameContent,
    MeterReading,
    UnknownReading,
    Value,
)
from tests.vectors import GATEWAY_ID

MAX_FRAMES = 32
"""In one message; what is more is refused."""

# What a value can be at most (docs/PROTOCOL.md, sections 4 and 5).
LIMITS: dict[tuple[str, str], tuple[float, float]] = {
    ("cabinet", "heat_energy_kwh"): (0, 99_999_999 * 10),
    ("cabinet", "second_energy_kwh"): (0, 99_999_999 * 10),
    ("cabinet", "flow_l_h"): (0, 99_999_999),
    ("cabinet", "volume_m3"): (0, 999_999.99),
    ("cabinet", "second_volume_m3"): (0, 999_999.99),
    ("cabinet", "supply_temperature_c"): (0, 200),
    ("cabinet", "return_temperature_c"): (0, 200),
    ("cabinet", "set_point_1"): (-100, 1000),
    ("cabinet", "set_point_2"): (-100, 1000),
    ("cabinet", "commanded_opening_pct"): (0, 100),
    ("cabinet", "actual_opening_pct"): (0, 100),
    ("cabinet", "status"): (0, 254),
    ("valve", "set_point_1_c"): (-40, 100),
    ("valve", "set_point_2_c"): (-40, 100),
    ("valve", "opening_pct"): (0, 100),
    ("valve", "supply_temperature_c"): (-40, 200),
    ("valve", "return_temperature_c"): (-40, 200),
    ("valve", "running_time_min"): (0, 255 * 1440 - 1),
    ("valve", "status"): (0, 254),
}


@dataclass
class Outcome:
    """What a payload came to: counted refusals, and readings."""

    valid: bool = False
    refused: Counter[RefusalReason] = field(default_factory=Counter)
    readings: list[MeterReading | UnknownReading] = field(default_factory=list)


def outcome(payload: bytes, loads: Loads) -> Outcome:
    """Take a payload through the modules one by one."""
    result = Outcome()
    try:
        received = decode_from_gateway(payload, GATEWAY_ID, loads)
    except EnvelopeError as err:
        result.refused[err.reason] += 1
        return result
    result.valid = True
    if isinstance(received, Report | TransparentReply):
        found = [frame for text in received.frames for frame in frames_of(text)]
        for frame in found[:MAX_FRAMES]:
            take_frame(received, frame, result)
        if len(found) > MAX_FRAMES:
            result.refused[RefusalReason.TOO_LARGE] += 1
    return result


def frames_of(text: str) -> list[Frame | FrameError]:
    """Return what stands in a text, frame by frame."""
    try:
        return list(scan(from_hex(text)))
    except FrameError as err:
        return [err]


def take_frame(
    received: Report | TransparentReply, frame: Frame | FrameError, result: Outcome
) -> None:
    """Add what a frame comes to."""
    content: FrameContent | UnknownReading
    try:
        if isinstance(frame, FrameError):
            raise frame
        if isinstance(received, TransparentReply):
            content = interpret(frame)
        elif frame.meter_number != received.meter_id.number:
            result.refused[RefusalReason.ADDRESS] += 1
            return
        else:
            content = to_reading(frame, received.meter_id.protocol_code)
    except FrameError as err:
        result.refused[RefusalReason(f"frame_{err.kind}")] += 1
        return
    if isinstance(content, MeterReading | UnknownReading):
        result.readings.append(content)


def check_values(device: str, values: Mapping[str, Value]) -> None:
    """Check that what is known is of a type and within limits that make sense."""
    for key, value in values.items():
        if isinstance(value, int | float):
            low, high = LIMITS[device, key]
            assert isfinite(value)
            assert low <= value <= high, f"{key} = {value}"
        elif isinstance(value, str):
            assert key in {"valve_state", "room_unit_number"}
        else:
            assert value is None or (key == "device_clock" and isinstance(value, datetime))


class FakeLink:
    """A link that is up and sends what the test puts in."""

    connected = True

    def __init__(self) -> None:
        self.listeners: dict[str, MessageListener] = {}
        self.published = 0

    def deliver(self, topic: str, payload: bytes) -> None:
        self.listeners[topic](topic, payload, False)

    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        self.listeners[topic] = listener

        async def unsubscribe() -> None:
            del self.listeners[topic]

        return unsubscribe

    async def publish(self, *_args: object, **_kwargs: object) -> None:
        self.published += 1

    def add_status_listener(self, _listener: StatusListener) -> Callable[[], None]:
        return lambda: None


class WatchedRefusals(Refusals):
    """Refusals that remember what was added since they were last asked."""

    def __init__(self) -> None:
        super().__init__()
        self._new: Counter[RefusalReason] = Counter()

    @override
    def add(self, refused: Refused) -> bool:
        self._new[refused.reason] += 1
        return super().add(refused)

    def taken(self) -> Counter[RefusalReason]:
        """Return what was added since the last call."""
        taken, self._new = self._new, Counter()
        assert self.total >= taken.total()
        return taken


@dataclass
class Client:
    """A client behind a link, and what it made of one payload after the other."""

    gateway: GatewayClient
    link: FakeLink
    events: list[Event]
    refusals: WatchedRefusals

    def outcome(self, payload: bytes) -> Outcome:
        self.events.clear()
        self.link.deliver(report_topic(GATEWAY_ID), payload)
        messages = [event for event in self.events if isinstance(event, MessageReceived)]
        assert len(messages) <= 1
        return Outcome(
            valid=bool(messages),
            refused=self.refusals.taken(),
            readings=[event.reading for event in self.events if isinstance(event, ReadingReceived)],
        )


async def started(loads: Loads) -> Client:
    link, events = FakeLink(), list[Event]()
    gateway = GatewayClient(GATEWAY_ID, link, events.append, loads=loads)
    refusals = gateway.refusals = WatchedRefusals()
    await gateway.start()
    return Client(gateway, link, events, refusals)
