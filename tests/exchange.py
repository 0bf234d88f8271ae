"""A gateway of the captured kind with as many meters as a test wants, in season, clock frozen."""

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.coordinator import GatewayCoordinator
from custom_components.hy_heating.hyheat import frame
from custom_components.hy_heating.hyheat.devices import report_frame
from custom_components.hy_heating.hyheat.model import MeterAddress

from .cabinets import cabinet_frame
from .common import FakeLink, captured, captured_frame, report, set_up


def valve_frame(number: str) -> frame.Frame:
    """Return the captured report of a household valve with another number."""
    payload = frame.parse(captured_frame("valve_report_C")).payload
    return report_frame(MeterAddress("valve", bytes.fromhex(f"{number}001111")), 1, bytes(payload))


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
        replies = {1: "status_reply", 2: "settings_reply"}
        while asked := [row["gw"]["msg_id"] for row in self.link.sent()]:
            for msg_id in asked:
                if msg_id in replies:
                    self.link.deliver(captured(replies[msg_id]))
            await self.hass.async_block_till_done()

    async def report(self, *numbers: str, counts: int = 4_532_312) -> None:
        """Let valves (23…) and cabinets (27…) report, a second after what was before."""
        self.freezer.tick(1)
        for number in numbers:
            if number.startswith("27"):
                found = cabinet_frame({"heat_energy_kwh": counts}, number=number)
                self.link.deliver(report(f"{number}203400", found.raw.hex().upper()))
            else:
                raw = valve_frame(number).raw.hex().upper()
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
