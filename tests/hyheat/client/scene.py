"""A client, the fake link that a test plays, and what the listener was told."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

from custom_components.hy_heating.hyheat import envelope
from custom_components.hy_heating.hyheat.client import (
    AvailabilityChanged,
    Event,
    GatewayClient,
    PendingOpening,
)
from custom_components.hy_heating.hyheat.devices import report_frame
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    MeterId,
    Report,
)
from custom_components.hy_heating.hyheat.errors import (
    FailureReason,
)
from custom_components.hy_heating.hyheat.frame import parse
from custom_components.hy_heating.hyheat.model import MeterAddress
from custom_components.hy_heating.hyheat.session import Result
from tests.hyheat.fake_link import FakeLink
from tests.vectors import GATEWAY_ID, frame_bytes

VALVE = MeterAddress("valve", bytes.fromhex("23227310001111"))
VALVE_2 = MeterAddress("valve", bytes.fromhex("23227311001111"))
REPORTS = f"hy/gw/set/{GATEWAY_ID}"
COMMANDS = f"hy/gw/get/{GATEWAY_ID}"
VALVE_REPORT = frame_bytes("valve_report_C").hex().upper()
UP = AvailabilityChanged(link_up=True, gateway_silent=False)
DOWN = AvailabilityChanged(link_up=False, gateway_silent=False)
SILENT = AvailabilityChanged(link_up=True, gateway_silent=True)


class Scene:
    """A client, the link that the test plays, and what the listener was told."""

    def __init__(self, *, connected: bool = True, **given: Any) -> None:
        self.link = FakeLink(connected=connected)
        self.events: list[Event] = []
        self.client = GatewayClient(GATEWAY_ID, self.link, self.heard, **given)

    def heard(self, event: Event) -> None:
        self.events.append(event)

    def hears(self, said: bytes | FromGateway, *, retained: bool = False) -> None:
        payload = said if isinstance(said, bytes) else envelope.encode(said)
        self.link.deliver(REPORTS, payload, retained=retained)

    def take_events(self) -> list[Event]:
        """Return what the listener was told since the last call."""
        events, self.events = self.events, []
        return events

    async def sent(self) -> list[bytes]:
        """Return what was published since the last call."""
        await asyncio.sleep(0.001)
        payloads = [published.payload for published in self.link.published]
        self.link.published.clear()
        return payloads


@asynccontextmanager
async def scene(
    *, connected: bool = True, refused: Collection[str] = (), **given: Any
) -> AsyncIterator[Scene]:
    """Start a client, and stop it."""
    played = Scene(connected=connected, **given)
    played.link.refused.update(refused)
    await played.client.start()
    yield played
    await played.client.stop()
    assert played.link.subscriptions == {}
    assert played.link.status_listeners == []


def report(frame: str, meter_id: str = "23227310200800") -> Report:
    return Report(GATEWAY_ID, MeterId(meter_id[:8], meter_id[8:12], int(meter_id[12:])), (frame,))


def valve_report(opening_pct: int) -> str:
    """Return the captured report with another opening, the 11th byte after SER."""
    captured = parse(VALVE_REPORT)
    payload = captured.payload[:10] + bytes((opening_pct,)) + captured.payload[11:]
    return report_frame(VALVE, 1, payload).raw.hex().upper()


async def ended(pending: PendingOpening) -> FailureReason | None:
    return (await pending.ended).reason


async def wait_for(future: asyncio.Future[Result]) -> None:
    await future
