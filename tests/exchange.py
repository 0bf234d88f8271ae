"""A gateway of the captured kind with as many meters as a test wants, in season, clock frozen."""

import asyncio
from datetime import datetime

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.coordinator import GatewayCoordinator
from custom_components.hy_heating.hyheat import frame
from custom_components.hy_heating.hyheat.devices import report_frame
from custom_components.hy_heating.hyheat.model import MeterAddress

from .cabinets import cabinet_frame
from .common import FakeLink, captured, captured_frame, report, set_up


def valve_frame(number: str, clock: datetime) -> frame.Frame:
    """Return the captured report of a household valve with another number and clock."""
    payload = bytearray(frame.parse(captured_frame("valve_report_C")).payload)
    # Seconds first, the century last, two digits each (docs/PROTOCOL.md, section 5).
    payload[34:41] = bytes.fromhex(f"{clock:%S%M%H%d%m%y}20")
    return report_frame(MeterAddress("valve", bytes.fromhex(f"{number}001111")), 1, bytes(payload))


def status(cabinets: int = 0, valves: int = 0, mbus: tuple[int, int] = (29_392, 3)) -> bytes:
    """Return the captured status with other counts and another state (mV, mA) of the bus."""
    text = captured("status_reply").decode()
    for before, after in (
        ('"main_meter_total":5', f'"main_meter_total":{cabinets}'),
        ('"copy_meter_total":96', f'"copy_meter_total":{valves}'),
        ('"MBUS_mV":29392', f'"MBUS_mV":{mbus[0]}'),
        ('"MBUS_mA":3', f'"MBUS_mA":{mbus[1]}'),
    ):
        assert before in text
        text = text.replace(before, after)
    return text.encode()


class Building:
    """What a test lets happen behind one gateway; valves and cabinets by their numbers."""

    def __init__(
        self,
        hass: HomeAssistant,
        link: FakeLink,
        entry: MockConfigEntry,
        freezer: FrozenDateTimeFactory,
    ) -> None:
        self.hass, self.link, self.entry, self.freezer = hass, link, entry, freezer
        self.cabinets = self.valves = 0
        self.mbus = (29_392, 3)

    def status(self) -> bytes:
        """Return what the gateway says of itself."""
        return status(self.cabinets, self.valves, self.mbus)

    @property
    def gateway(self) -> GatewayCoordinator:
        gateway: GatewayCoordinator = self.entry.runtime_data.gateway
        return gateway

    async def set_up(self) -> None:
        """Set the gateway up, and let it tell its season and intervals."""
        await set_up(self.hass, self.entry)
        await self.answer()

    async def answer(self) -> None:
        """Let the gateway answer what it was asked."""
        settings, read_now = captured("settings_reply"), captured("read_now_ack")
        replies = {1: self.status(), 2: settings, 18: read_now}
        for _ in range(20):  # polls run in the background
            for row in self.link.sent():
                if row["gw"]["msg_id"] in replies:
                    self.link.deliver(replies[row["gw"]["msg_id"]])
            await asyncio.sleep(0)
        await self.hass.async_block_till_done()

    async def report(self, *numbers: str, counts: int = 4_532_312) -> None:
        """Let valves (23…) and cabinets (27…) report, a second after what was before."""
        self.freezer.tick(1)
        for number in numbers:
            if number.startswith("27"):
                found = cabinet_frame({"heat_energy_kwh": counts}, number=number)
                self.link.deliver(report(f"{number}203400", found.raw.hex().upper()))
            else:
                raw = valve_frame(number, dt_util.now()).raw.hex().upper()
                self.link.deliver(report(f"{number}200800", raw))
        await self.hass.async_block_till_done()
        await self.judge()

    async def judge(self) -> None:
        """Let silence be judged now, as happens every minute."""
        self.gateway._judge()
        await self.hass.async_block_till_done()

    async def pass_hours(self, hours: float, *reporting: str) -> None:
        """Let time pass in steps of ten minutes, in which some meters go on to report."""
        for _ in range(round(hours * 6)):
            self.freezer.tick(600)
            await self.hass.async_block_till_done()
            await self.answer()
            if reporting:
                await self.report(*reporting)
        await self.judge()
