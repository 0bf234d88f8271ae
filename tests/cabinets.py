"""Reports of the captured cabinet with other registers in it, written byte by byte."""

from custom_components.hy_heating.hyheat import frame
from custom_components.hy_heating.hyheat.devices import report_frame, to_reading
from custom_components.hy_heating.hyheat.model import MeterAddress, MeterReading

from .vectors import frame_bytes

KWH, MWH, GJ = 0x05, 0x08, 0x11

# Where each register stands behind SER (docs/PROTOCOL.md, section 4); unit code behind it.
OFFSETS = {
    "heat_energy_kwh": 0,
    "flow_l_h": 5,
    "volume_m3": 10,
    "second_energy_kwh": 21,
    "second_volume_m3": 26,
}
_TEMPERATURES = {"supply_temperature_c": 15, "return_temperature_c": 18}


def bcd(number: int, width: int = 4) -> bytes:
    """Return the digits of a number, two in a byte, low byte first."""
    return bytes.fromhex(f"{number:0{2 * width}d}")[::-1]


def cabinet_frame(
    counts: dict[str, int | bytes] | None = None,
    units: dict[str, int] | None = None,
    temperatures_c: dict[str, float] | None = None,
    number: str = "27100583",
) -> frame.Frame:
    """Return the captured report with other counts (or raw bytes), units and temperatures."""
    payload = bytearray(frame.parse(frame_bytes("cabinet_report")).payload)
    for key, count in (counts or {}).items():
        begin = OFFSETS[key]
        payload[begin : begin + 4] = count if isinstance(count, bytes) else bcd(count)
    for key, code in (units or {}).items():
        payload[OFFSETS[key] + 4] = code
    for key, value in (temperatures_c or {}).items():
        begin = _TEMPERATURES[key]
        payload[begin : begin + 3] = bcd(round(value * 100), 3)
    return report_frame(
        MeterAddress("cabinet", bytes.fromhex(f"{number}001111")), 0, bytes(payload)
    )


def cabinet(
    counts: dict[str, int | bytes] | None = None,
    units: dict[str, int] | None = None,
    temperatures_c: dict[str, float] | None = None,
) -> MeterReading:
    """Return the reading of such a report."""
    reading = to_reading(cabinet_frame(counts, units, temperatures_c))
    assert isinstance(reading, MeterReading)
    return reading
