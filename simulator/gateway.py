"""A virtual gateway, sans-IO: bytes and time go in, messages with their times come out."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random

from custom_components.hy_heating.hyheat.devices import CABINET, HOUSEHOLD_VALVE, DeviceSpec
from custom_components.hy_heating.hyheat.devices.spec import READ_CONTROL
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    MeterId,
    MsgId,
    ReadNow,
    ReadNowAck,
    Report,
    SettingsQuery,
    SettingsReply,
    Stat,
    StatusQuery,
    StatusReply,
    TransparentAck,
    TransparentCommand,
    TransparentReply,
    decode_to_gateway,
)
from custom_components.hy_heating.hyheat.errors import EnvelopeError, FrameError
from custom_components.hy_heating.hyheat.frame import Frame, from_hex, parse

from .agenda import Agenda
from .bus import Bus, BusTiming, Exchange, Origin
from .devices import VirtualMeter
from .faults import FaultKind, Faults
from .messages import encode_as_captured
from .plan import GatewayPlan
from .season import Rhythm, Season
from .uplink import Uplink, UplinkPath

MAX_COMMANDS_WAITING = 32

type Event = Mapping[str, object]
type EventListener = Callable[[Event], None]


class VirtualGateway:
    """One gateway with its bus and its meters.

    Feed it by `receive`, and fetch what it sends by `due` no later than `next_due`. Times are
    simulated seconds since 1970 UTC and never go backward. `counts` says what happened:
    downlinks by msg_id, "refused", "commands", "reports", "no_answer".
    """

    def __init__(
        self,
        plan: GatewayPlan,
        meters: Iterable[VirtualMeter],
        season: Season,
        random: Random,
        now: float,
    ) -> None:
        """Power up: with `read_at_start`, all meters are read and reported at once."""
        self.plan = plan
        self.gateway_id = plan.gateway_id
        self.season = season
        self.meters = {meter.number: meter for meter in meters}
        self.faults = Faults(random)
        self.counts: Counter[str] = Counter()
        self.listener: EventListener | None = None
        self._random = random
        self._agenda = Agenda()
        self._path = UplinkPath(self._agenda, self.faults, plan.latency_s)
        timing = BusTiming(
            baud=plan.baud, turnaround_s=plan.turnaround_s, timeout_s=plan.meter_timeout_s
        )
        self._bus = Bus(self._agenda, timing, self._answer, self._exchanged)
        self._on_bus = {
            (meter.spec.type_code, meter.address.address): meter for meter in self.meters.values()
        }
        for fault in plan.faults:
            self.faults.add(fault.copy())
        for meter in self.meters.values():
            meter.moved = self._moved
        for spec, rhythm in self._rhythms():
            self._plan_reports(spec, rhythm, now)

    @property
    def next_due(self) -> float | None:
        """When `due` is to be called next, None where nothing is planned."""
        return self._agenda.next_due

    @property
    def lost(self) -> int:
        """How many messages never left the gateway, for faults."""
        return self._path.lost

    def receive(self, payload: bytes, now: float) -> None:
        """Take what came on the gateway's command topic, whatever it is."""
        self._agenda.add(now + self.plan.latency_s, partial(self._handle, payload))

    def due(self, now: float) -> list[tuple[float, bytes]]:
        """Live up to a time and return the messages that went out, with their times."""
        self._agenda.run(now)
        if arrived := self._path.arrived:
            self._path.arrived = []
        return arrived

    def move(self, meter_number: str, target_pct: float, now: float) -> None:
        """Turn a valve by hand, past the bus; raises KeyError for a meter that is not here."""
        meter = self.meters[meter_number]
        self._agenda.add(now, partial(meter.move, target_pct))

    # --- Reports ---------------------------------------------------------------------------

    def _rhythms(self) -> Iterable[tuple[DeviceSpec, Rhythm]]:
        """Return how often each kind reports; the season changes household valves only."""
        plan, minute = self.plan, 60 / self.plan.reports_per_interval
        cabinet_s, valve_s = plan.cabinet_interval_min * minute, plan.valve_interval_min * minute
        out_of_season_s = plan.interval_out_of_season_min * minute
        yield CABINET, Rhythm(cabinet_s, cabinet_s, self.season)
        yield HOUSEHOLD_VALVE, Rhythm(valve_s, out_of_season_s, self.season)

    def _plan_reports(self, spec: DeviceSpec, rhythm: Rhythm, now: float) -> None:
        meters = [meter for meter in self.meters.values() if meter.spec is spec]
        for index, meter in enumerate(meters):
            if self.plan.read_at_start:
                self._bus.read(meter, Origin.READ_NOW, now)
            phase = index / len(meters)
            slot = rhythm.next_slot(now, phase)
            self._agenda.add(slot, partial(self._report_due, meter, rhythm, phase))

    def _report_due(self, meter: VirtualMeter, rhythm: Rhythm, phase: float, now: float) -> None:
        self._bus.read(meter, Origin.PERIODIC, now)
        slot = rhythm.next_slot(now, phase)
        self._agenda.add(slot, partial(self._report_due, meter, rhythm, phase))

    # --- Downlinks -------------------------------------------------------------------------

    def _handle(self, payload: bytes, now: float) -> None:
        if self.faults.hit(FaultKind.SILENT_GATEWAY):
            return
        try:
            message = decode_to_gateway(payload, self.gateway_id)
        except EnvelopeError as err:
            self.counts["refused"] += 1
            self._tell("refused", now, detail=str(err))
            return
        match message:
            case StatusQuery():
                self._serve(MsgId.STATUS, message, self._status, now)
            case SettingsQuery():
                self._serve(MsgId.SETTINGS, message, self._settings, now)
            case ReadNow():
                self._serve(MsgId.READ_NOW, message, self._read_now, now)
            case TransparentCommand():
                self._serve(MsgId.TRANSPARENT, message, self._transparent, now)

    def _serve[M](
        self, msg_id: MsgId, message: M, answer: Callable[[M, float], FromGateway], now: float
    ) -> None:
        if self.faults.hit(FaultKind.DROP_DOWNLINKS, msg_id=msg_id):
            return
        self.counts[f"msg_{msg_id}"] += 1
        if self.faults.hit(FaultKind.STAT_1, msg_id=msg_id):
            reply = self._failed(msg_id)
        else:
            reply = answer(message, now)
        self._path.send(Uplink(msg_id, None, encode_as_captured(reply)), now)

    def _failed(self, msg_id: MsgId) -> FromGateway:
        match msg_id:
            case MsgId.STATUS:
                return StatusReply(gateway_id=self.gateway_id, stat=Stat.FAILED)
            case MsgId.SETTINGS:
                return SettingsReply(gateway_id=self.gateway_id, stat=Stat.FAILED)
            case MsgId.READ_NOW:
                return ReadNowAck(self.gateway_id, Stat.FAILED)
            case _:
                return TransparentAck(self.gateway_id, Stat.FAILED)

    def _status(self, _: StatusQuery, now: float) -> StatusReply:
        """Return the captured status; that of a living gateway wavers a little."""
        del now
        wavers = 0 if self.plan.captured else 1
        digits = int(self.gateway_id) % 10**12
        return StatusReply(
            gateway_id=self.gateway_id,
            stat=Stat.SUCCEEDED,
            csq=(99, 99),
            rssi_dbm=-98 + wavers * self._random.randint(0, 24),
            sinr_db=13 + wavers * self._random.randint(-5, 5),
            iccid="89860025102250386087" if self.plan.captured else f"89860025{digits:012d}",
            firmware="V1.0",
            has_reset=False,
            mbus_mv=29392 + wavers * self._random.randint(-80, 80),
            mbus_ma=3,
            model=136,
            cabinets=self._counted(CABINET, self.plan.cabinets),
            valves=self._counted(HOUSEHOLD_VALVE, self.plan.valves),
        )

    def _counted(self, spec: DeviceSpec, planned: int) -> int:
        """Return the number of meters in the status; the captured gateway counts as captured."""
        if self.plan.captured:
            return planned
        return sum(meter.spec is spec for meter in self.meters.values())

    def _settings(self, _: SettingsQuery, now: float) -> SettingsReply:
        del now
        return SettingsReply(
            gateway_id=self.gateway_id,
            stat=Stat.SUCCEEDED,
            interval_out_of_season_min=self.plan.interval_out_of_season_min,
            season_start=self.season.start,
            season_end=self.season.end,
            cabinet_interval_min=self.plan.cabinet_interval_min,
            valve_interval_min=self.plan.valve_interval_min,
            in_season_statistics=True,
        )

    def _read_now(self, message: ReadNow, now: float) -> ReadNowAck:
        for meter in self.meters.values():
            if message.cabinets if meter.spec is CABINET else message.valves:
                self._bus.read(meter, Origin.READ_NOW, now)
        return ReadNowAck(self.gateway_id, Stat.SUCCEEDED)

    def _transparent(self, message: TransparentCommand, now: float) -> TransparentAck:
        """Pass a frame to the bus; refuse a port without a bus, no hex, and a full queue."""
        try:
            data = from_hex(message.frame)
        except FrameError:
            return TransparentAck(self.gateway_id, Stat.FAILED)
        if message.port != 0 or self._bus.waiting(Origin.TRANSPARENT) >= MAX_COMMANDS_WAITING:
            return TransparentAck(self.gateway_id, Stat.FAILED)
        meter, command = self._addressed(data)
        self._bus.submit(Exchange(Origin.TRANSPARENT, len(data), meter, command), now)
        return TransparentAck(self.gateway_id, Stat.SUCCEEDED)

    def _addressed(self, data: bytes) -> tuple[VirtualMeter | None, Frame | None]:
        """Return who on the bus feels addressed by some bytes, and the frame in them."""
        try:
            command = parse(data)
        except FrameError:
            return None, None
        return self._on_bus.get((command.device_type, command.address)), command

    # --- Bus -------------------------------------------------------------------------------

    def _answer(self, exchange: Exchange, now: float) -> bytes | None:
        meter, command = exchange.meter, exchange.command
        if meter is None or command is None:
            return None
        direct = exchange.origin is Origin.TRANSPARENT
        if (
            direct
            and command.control == READ_CONTROL
            and self.faults.hit(FaultKind.NO_DIRECT_READS, meter.number)
        ):
            return None
        return meter.answer(command, now, self.faults, direct=direct)

    def _exchanged(self, exchange: Exchange, reply: bytes | None, now: float) -> None:
        meter = exchange.meter
        if meter is None or reply is None:
            self.counts["no_answer"] += 1
            return
        frame = reply.hex().upper()
        if exchange.origin is not Origin.TRANSPARENT:
            self.counts["reports"] += 1
            meter_id = MeterId(meter.number, meter.spec.protocol_code, 0)
            report = Report(self.gateway_id, meter_id, (frame,))
            self._send(MsgId.REPORT, meter, encode_as_captured(report), now)
        elif not self.faults.hit(FaultKind.LOST_REPLY, meter.number):
            answer = TransparentReply(self.gateway_id, 0, (frame,))
            braced = self.plan.malformed_replies and _is_braced(meter, exchange.command)
            self._send(MsgId.TRANSPARENT, meter, encode_as_captured(answer, braced=braced), now)

    def _send(self, msg_id: MsgId, meter: VirtualMeter, payload: bytes, now: float) -> None:
        self._path.send(Uplink(msg_id, meter.number, payload), now)

    # --- Events ----------------------------------------------------------------------------

    def _moved(self, meter: VirtualMeter, now: float) -> None:
        self.counts["commands"] += 1
        self._tell("moving", now, meter, target_pct=meter.commanded_pct)
        if meter.motion.arrives_at >= now:  # else it is stuck
            self._agenda.add(meter.motion.arrives_at, partial(self._arrived, meter))

    def _arrived(self, meter: VirtualMeter, now: float) -> None:
        if meter.motion.arrives_at == now:  # else it was told to go elsewhere meanwhile
            self._tell("arrived", now, meter)

    def _tell(
        self, event: str, now: float, meter: VirtualMeter | None = None, **details: object
    ) -> None:
        if self.listener is None:
            return
        told: dict[str, object] = {"event": event, "at": now, "gateway": self.gateway_id}
        if meter is not None:
            told |= {"meter": meter.number, "opening_pct": round(meter.opening_pct(now), 1)}
        self.listener(told | details)


def _is_braced(meter: VirtualMeter, command: Frame | None) -> bool:
    """Whether a reply has the malformed shape; captured so for household valves set above 0."""
    opening = HOUSEHOLD_VALVE.opening
    return (
        meter.spec is HOUSEHOLD_VALVE
        and command is not None
        and opening is not None
        and command.control == opening.control
        and command.payload != b"\x00"
    )
