"""Virtual meters on the bus: what they show, and how they answer a frame."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
import math
from random import Random
from typing import Self, override

from custom_components.hy_heating.hyheat.devices import (
    CABINET,
    HOUSEHOLD_VALVE,
    DeviceSpec,
    interpret,
    read_frame,
    report_frame,
)
from custom_components.hy_heating.hyheat.errors import FrameError
from custom_components.hy_heating.hyheat.frame import (
    DI_SER_SIZE,
    ERROR_BIT,
    REPLY_BIT,
    Frame,
    build,
    parse,
)
from custom_components.hy_heating.hyheat.model import (
    MeterAddress,
    ReadFrame,
    SetOpeningFrame,
    Value,
)

from .faults import FaultKind, Faults
from .model import HeatingLoop
from .motion import Motion

ADDRESS_SUFFIX = bytes.fromhex("001111")
_ERROR_STATUS = bytes.fromhex("0200")
_RUNNING_TIME_LIMIT_MIN = 255 * 24 * 60

type MovedListener = Callable[[VirtualMeter, float], None]


def _captured_reports(spec: DeviceSpec) -> tuple[Frame, ...]:
    frames = (parse(sample.hex) for sample in spec.samples if sample.name.startswith("report"))
    return tuple(frames)


_CABINET_REPORTS = _captured_reports(CABINET)
# In the order of their device clocks, which is not the order of the note: a later report with
# an older clock would look like a message that was overtaken.
_VALVE_REPORTS = tuple(
    sorted(
        _captured_reports(HOUSEHOLD_VALVE),
        key=lambda frame: str(HOUSEHOLD_VALVE.layout.decode(frame.payload)["device_clock"]),
    )
)
CAPTURED_REPORTS = {CABINET.key: _CABINET_REPORTS, HOUSEHOLD_VALVE.key: _VALVE_REPORTS}
"""The captured reports of each device type, oldest device clock first."""


def _opening_values(spec: DeviceSpec, commanded_pct: float, actual_pct: float) -> dict[str, Value]:
    if spec is CABINET:
        return {
            "commanded_opening_pct": round(commanded_pct, 1),
            "actual_opening_pct": round(actual_pct, 1),
        }
    opening_pct = round(actual_pct)
    return {"opening_pct": opening_pct, "valve_state": "open" if opening_pct else "closed"}


class VirtualMeter(ABC):
    """One device on the bus: its address, its valve, and its answers.

    `moved` is called whenever the valve was told to move.
    """

    def __init__(self, spec: DeviceSpec, number: str, motion: Motion) -> None:
        """Stand still, as wide open as the motion says."""
        self.spec = spec
        self.number = number
        self.motion = motion
        self.commanded_pct = motion.target_pct
        self.address = MeterAddress(spec.key, bytes.fromhex(number) + ADDRESS_SUFFIX)
        self.read_command = read_frame(self.address)
        self.read_size = len(self.read_command.encode())
        self.moved: MovedListener | None = None

    @abstractmethod
    def report(self, now: float) -> Frame:
        """Return the report that the meter gives at a time."""

    def opening_pct(self, now: float) -> float:
        """Return the true opening."""
        return self.motion.opening_pct(now)

    def move(self, target_pct: float, now: float, *, stuck: bool = False) -> None:
        """Have the valve leave for an opening; a stuck one only believes that it does."""
        self.commanded_pct = target_pct
        if not stuck:
            self._travel(target_pct, now)
        if self.moved is not None:
            self.moved(self, now)

    def answer(self, command: Frame, now: float, faults: Faults, *, direct: bool) -> bytes | None:
        """Return the bytes that the meter answers a frame with, None for none.

        `direct` says that somebody's transparent command asks, not the gateway itself.
        """
        if faults.hit(FaultKind.SILENT_METER, self.number):
            return None
        if direct and faults.hit(FaultKind.ERROR_REPLY, self.number):
            return self._refusal(command).raw
        reply = self._reply(command, now, faults)
        if reply is None:
            return None
        if faults.hit(FaultKind.CORRUPT_CHECKSUM, self.number):
            return reply.raw[:-2] + bytes((reply.raw[-2] ^ 0x01, reply.raw[-1]))
        return reply.raw

    def _travel(self, target_pct: float, now: float) -> None:
        self.motion.move(target_pct, now)

    def _reply(self, command: Frame, now: float, faults: Faults) -> Frame | None:
        if command is self.read_command:  # the gateway's own reads need no second look
            return self.report(now)
        try:
            content = interpret(command)
        except FrameError:
            return self._refusal(command)
        match content:
            case ReadFrame():
                return self.report(now)
            case SetOpeningFrame(opening_pct=None):
                return self._refusal(command)
            case SetOpeningFrame(opening_pct=target_pct) if target_pct is not None:
                stuck = faults.hit(FaultKind.STUCK_VALVE, self.number) is not None
                self.move(target_pct, now, stuck=stuck)
                return self._set_reply(command, target_pct, faults)
        return None  # a reply that somebody sent to the bus is nobody's business

    def _set_reply(self, command: Frame, target_pct: float, faults: Faults) -> Frame:
        data = command.data[:DI_SER_SIZE]
        opening = self.spec.opening
        if opening and opening.echoed:
            if faults.hit(FaultKind.WRONG_ECHO, self.number):
                target_pct = target_pct - 10 if target_pct >= 10 else target_pct + 10  # noqa: PLR2004 - stays within 0 to 100
            data += opening.codec.encode(target_pct)
        return build(command.device_type, command.address, command.control | REPLY_BIT, data)

    def _refusal(self, command: Frame) -> Frame:
        control = command.control | REPLY_BIT | ERROR_BIT
        ser = command.ser or 0
        return build(command.device_type, command.address, control, bytes((ser,)) + _ERROR_STATUS)


class CapturedMeter(VirtualMeter):
    """The captured device: its captured reports in turn, then the last one for good.

    Only the openings change, when the valve is told to move.
    """

    def __init__(self, spec: DeviceSpec, full_travel_s: float) -> None:
        """Be as captured: fully open and at rest."""
        self._reports = CAPTURED_REPORTS[spec.key]
        self._shown = 0
        super().__init__(spec, self._reports[0].meter_number, Motion(100.0, full_travel_s))

    @override
    def report(self, now: float) -> Frame:
        captured = self._reports[min(self._shown, len(self._reports) - 1)]
        self._shown += 1
        values = _opening_values(self.spec, self.commanded_pct, self.opening_pct(now))
        payload = self.spec.layout.encode(values, captured.payload)
        return report_frame(self.address, captured.ser or 0, payload)


class VirtualCabinet(VirtualMeter):
    """A cabinet: the heat meter and the regulating valve of a heating loop."""

    def __init__(self, number: str, loop: HeatingLoop) -> None:
        """Meter a loop, and regulate it with the loop's valve."""
        super().__init__(CABINET, number, loop.valve)
        self.loop = loop

    @override
    def report(self, now: float) -> Frame:
        reading = self.loop.reading(now)
        values: Mapping[str, Value] = {
            "heat_energy_kwh": reading.energy_kwh,
            "flow_l_h": reading.flow_l_h,
            "volume_m3": reading.volume_m3,
            "supply_temperature_c": reading.supply_c,
            "return_temperature_c": reading.return_c,
            **_opening_values(self.spec, self.commanded_pct, self.opening_pct(now)),
        }
        captured = _CABINET_REPORTS[0]
        payload = self.spec.layout.encode(values, captured.payload)
        return report_frame(self.address, captured.ser or 0, payload)

    @override
    def _travel(self, target_pct: float, now: float) -> None:
        self.loop.move(self.motion, target_pct, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatCharacter:
    """What makes one flat differ from another.

    `clock_error_s` is the device clock's error at the start, `clock_drift_ppm` how it grows.
    """

    opening_pct: int
    room_c: float
    set_point_c: float
    pipe_loss_c: float
    transfer_units: float
    running_time_min: int
    clock_error_s: float
    clock_drift_ppm: float

    @classmethod
    def drawn(cls, random: Random) -> Self:
        """Return a likely flat; one clock in twelve was never set right, as the captured one."""
        wrong_clock = random.random() < 1 / 12
        return cls(
            opening_pct=random.choice((100, 100, 100, 100, 80, 70, 60, 50, 50, 40, 30, 0)),
            room_c=random.uniform(19.0, 23.5),
            set_point_c=random.choice((18.0, 20.0, 21.0, 22.0, 22.0, 24.0)),
            pipe_loss_c=random.uniform(0.3, 2.5),
            transfer_units=random.uniform(0.25, 0.7),
            running_time_min=random.randrange(_RUNNING_TIME_LIMIT_MIN),
            clock_error_s=-random.uniform(3_600, 172_800) if wrong_clock else random.gauss(0, 90),
            clock_drift_ppm=random.gauss(0, 25),
        )


class VirtualValve(VirtualMeter):
    """A household valve behind a heating loop, with a clock of its own."""

    _TIME_CONSTANT_S = 15 * 60.0

    def __init__(
        self,
        number: str,
        character: FlatCharacter,
        loop: HeatingLoop,
        full_travel_s: float,
        now: float,
    ) -> None:
        """Join a loop."""
        super().__init__(
            HOUSEHOLD_VALVE, number, Motion(float(character.opening_pct), full_travel_s)
        )
        self.loop = loop
        loop.flats.append(self.motion)
        self._character = character
        self._started_at = now
        self._seen_at = -math.inf  # long ago: the first reading finds everything settled
        self._supply_c = self._return_c = character.room_c
        constants: dict[str, Value] = {
            "room_unit_number": f"1222{number[4:]}",
            "set_point_1_c": character.set_point_c,
            "set_point_2_c": character.set_point_c,
        }
        captured = _VALVE_REPORTS[0]
        self._ser = captured.ser or 0
        self._base = self.spec.layout.encode(constants, captured.payload)

    @override
    def report(self, now: float) -> Frame:
        self._warm_up_or_cool_down(now)
        values: dict[str, Value] = {
            "supply_temperature_c": round(self._supply_c, 1),
            "return_temperature_c": round(self._return_c, 1),
            "running_time_min": self._running_time_min(now),
            "device_clock": self.clock(now),
            **_opening_values(self.spec, self.commanded_pct, self.opening_pct(now)),
        }
        payload = self.spec.layout.encode(values, self._base)
        return report_frame(self.address, self._ser, payload)

    def clock(self, now: float) -> Value:
        """Return the device clock, local time; full minutes, as both captured clocks show."""
        drift_s = (now - self._started_at) * self._character.clock_drift_ppm / 1e6
        local = self.loop.season.local_time(now + self._character.clock_error_s + drift_s)
        return local - timedelta(seconds=local.second, microseconds=local.microsecond)

    @override
    def _travel(self, target_pct: float, now: float) -> None:
        self.loop.move(self.motion, target_pct, now)

    def _running_time_min(self, now: float) -> int:
        grown = int((now - self._started_at) // 60)
        return (self._character.running_time_min + grown) % _RUNNING_TIME_LIMIT_MIN

    def _warm_up_or_cool_down(self, now: float) -> None:
        """Bring both temperatures on from the last reading to this one."""
        room_c = self._character.room_c
        loop = self.loop.reading(now)
        opening = self.opening_pct(now) / 100
        supply_c = return_c = room_c
        if opening > 0 and loop.flow_l_h > 0:
            supply_c = max(room_c, loop.supply_c - self._character.pipe_loss_c)
            remaining = 2 ** (-self._character.transfer_units / opening**0.5)
            return_c = room_c + (supply_c - room_c) * remaining
        approach = 1 - 2 ** (-max(0.0, now - self._seen_at) / self._TIME_CONSTANT_S)
        self._supply_c += approach * (supply_c - self._supply_c)
        self._return_c += approach * (return_c - self._return_c)
        self._seen_at = now
