"""Payload bytes to a reading: beside the floor, and beside a decoder of the wired M-Bus."""

from collections.abc import Callable, Sequence
import time

from homeassistant.util.json import json_loads
import meterbus  # type: ignore[import-untyped]
import orjson

from custom_components.hy_heating.hyheat.devices import CABINET, HOUSEHOLD_VALVE
from custom_components.hy_heating.hyheat.envelope import decode_from_gateway
from custom_components.hy_heating.hyheat.intake import contents_of
from custom_components.hy_heating.hyheat.model import MeterReading

from .payloads import Meter, gateway_id
from .report import Figure, Results, Spread

GATEWAY = gateway_id(1)
GOAL = 4.0
REPORTS = 500
ROUNDS = 15

# A heat meter's long frame (EN 13757-3, CI 72h) with what a cabinet reports: energy, volume, power,
# flow, both temperatures and their difference, and a time.
_HEADER = "0801728305102724232804010000" + "00"
_RECORDS = (
    "0C0645230000 0C1478563400 0C2D00000000 0C3B00000000 0A5A8702 0A5E9302 0B61000000 046D15152C35"
)
_BODY = bytes.fromhex(_HEADER + _RECORDS)
MBUS_FRAME = bytes((0x68, len(_BODY), len(_BODY), 0x68)) + _BODY + bytes((sum(_BODY) & 0xFF, 0x16))

type Decode = Callable[[bytes], object]


def floor(payload: bytes) -> bool:
    """Do the least that a report takes: parse, hex, checksum."""
    raw = bytes.fromhex(orjson.loads(payload)["data"]["meter_data"][0])
    return sum(raw[:-2]) & 0xFF == raw[-2]


def ours(payload: bytes) -> MeterReading:
    """Decode as the integration does."""
    message = decode_from_gateway(payload, GATEWAY, json_loads)
    (reading,) = contents_of(message)
    if not isinstance(reading, MeterReading):
        raise TypeError(f"no reading: {reading}")
    return reading


def mbus(frame: bytes) -> object:
    """Decode a comparable frame with pyMeterBus, all of its values."""
    telegram = meterbus.load(frame)
    return [(record.value, record.unit) for record in telegram.records]


def timed(work: Decode, payloads: Sequence[bytes]) -> float:
    """Return the processor time for each in microseconds."""
    begin = time.process_time_ns()
    for payload in payloads:
        work(payload)
    return (time.process_time_ns() - begin) / len(payloads) / 1000


def run(results: Results) -> None:
    """Measure in turns, so that all have the same machine; the least of each round counts."""
    for spec in (CABINET, HOUSEHOLD_VALVE):
        meter = Meter(GATEWAY, spec, "27100583")
        rounds: list[tuple[float, float, float]] = []
        for number in range(ROUNDS):
            # Reports that were not seen before: what is remembered of fields must earn its place.
            payloads = [meter.payload(number * REPORTS + step) for step in range(REPORTS)]
            rounds.append(
                (
                    timed(floor, payloads),
                    timed(ours, payloads),
                    timed(mbus, [MBUS_FRAME] * (REPORTS // 10)),
                )
            )
        least, mine, theirs = (Spread(column) for column in zip(*rounds, strict=True))
        add = results.add
        add(Figure("decode", f"{spec.name}: floor (orjson, hex, checksum)", least.median, "µs"))
        add(Figure("decode", f"{spec.name}: payload to MeterReading", mine.median, "µs"))
        ratio = mine.median / least.median
        add(Figure("decode", f"{spec.name}: times the floor", ratio, "", GOAL))
        note = f"pyMeterBus {theirs.text(0)} µs for {len(MBUS_FRAME)} bytes"
        faster = theirs.median / mine.median
        add(Figure("decode", f"{spec.name}: faster than pyMeterBus", faster, "×", 1, ">", note))
