"""Reports that change from one to the next, and what stays the same in them.

The frames are the captured ones with other registers in them. Every cabinet's report changes six
states: energy, flow, both temperatures by the same, commanded opening, and the power that follows.
("Last report" is the seventh, once a second: its state has no smaller parts.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
import json

from custom_components.hy_heating.hyheat import frame
from custom_components.hy_heating.hyheat.devices import (
    CABINET,
    HOUSEHOLD_VALVE,
    DeviceSpec,
    report_frame,
)
from custom_components.hy_heating.hyheat.model import MeterAddress

CABINETS, VALVES = 5, 96
"""Behind the gateway of the vendor's note."""
FIRST_NUMBER = {CABINET.key: 27_100_000, HOUSEHOLD_VALVE.key: 23_200_000}

_BASE = {spec.key: frame.parse(spec.samples[0].hex).payload for spec in (CABINET, HOUSEHOLD_VALVE)}


def gateway_id(index: int) -> str:
    """Return the id of the n-th gateway."""
    return f"{index:011d}"


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter of the bench."""

    gateway: str
    spec: DeviceSpec
    number: str

    def payload(self, step: int) -> bytes:
        """Return its n-th report as it travels."""
        raw = self.frame(step).raw.hex().upper()
        gw = {"msg_id": 20, "msg_gw_pr": 0, "gw_id": self.gateway}
        meter_id = f"{self.number}{self.spec.protocol_code}00"
        data = {"meter_id": meter_id, "meter_data": [raw]}
        return json.dumps({"gw": gw, "data": data}, separators=(",", ":")).encode()

    def frame(self, step: int) -> frame.Frame:
        """Return the frame in its n-th report."""
        values = cabinet_values(step) if self.spec is CABINET else valve_values(step)
        address = bytes.fromhex(self.number + "001111")
        payload = self.spec.layout.encode(values, _BASE[self.spec.key])
        return report_frame(MeterAddress(self.spec.key, address), 0, payload)


def cabinet_values(step: int) -> dict[str, int | float]:
    """Return what a cabinet's n-th report says, beside the captured rest."""
    return {
        "heat_energy_kwh": 45_000 + step * 0.07,
        "volume_m3": 3_000,
        "flow_l_h": 1_000 + step % 50,
        "supply_temperature_c": 52.5 + step % 100 / 100,
        "return_temperature_c": 38.25 + step % 100 / 100,
        "commanded_opening_pct": commanded_pct(step),
        "actual_opening_pct": 50,
    }


def commanded_pct(step: int) -> float:
    """Return the commanded opening in a cabinet's n-th report, to wait for."""
    return round(10 + step % 800 / 10, 1)


def valve_values(step: int) -> dict[str, int | float]:
    """Return what a household valve's n-th report says, beside the captured rest."""
    return {
        "supply_temperature_c": 40 + step % 50 / 10,
        "return_temperature_c": 30 + step % 40 / 10,
        "opening_pct": 20 + step % 60,
    }


def meters(count: int) -> list[Meter]:
    """Return so many meters: 5 cabinets alone, or whole gateways with 5 cabinets and 96 valves."""
    if count < CABINETS + VALVES:
        return list(_of_gateway(1, count, 0))
    gateways = count // (CABINETS + VALVES)
    return [
        meter for index in range(1, gateways + 1) for meter in _of_gateway(index, CABINETS, VALVES)
    ]


def _of_gateway(index: int, cabinets: int, valves: int) -> Iterator[Meter]:
    for spec, count in ((CABINET, cabinets), (HOUSEHOLD_VALVE, valves)):
        first = FIRST_NUMBER[spec.key] + (index - 1) * count
        for number in range(first, first + count):
            yield Meter(gateway_id(index), spec, f"{number:08d}")
