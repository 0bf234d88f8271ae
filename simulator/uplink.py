"""What becomes of a gateway's messages on their way to the broker: latency and faults."""

from dataclasses import dataclass
from functools import partial

from .agenda import Agenda
from .faults import Fault, FaultKind, Faults


@dataclass(frozen=True, slots=True)
class Uplink:
    """One message on its way, with the meter that it is about."""

    msg_id: int
    meter: str | None
    payload: bytes


class UplinkPath:
    """The way from one gateway to the broker."""

    def __init__(self, agenda: Agenda, faults: Faults, latency_s: float) -> None:
        """Start with an empty way."""
        self.arrived: list[tuple[float, bytes]] = []
        self.lost = 0
        self._agenda = agenda
        self._faults = faults
        self._latency_s = latency_s
        self._overtaken: Uplink | None = None

    def send(self, uplink: Uplink, now: float) -> None:
        """Send a message; it appears in `arrived` when it is due, or never."""
        self._agenda.add(now + self._latency_s, partial(self._pass_faults, uplink))

    def _pass_faults(self, uplink: Uplink, now: float) -> None:
        if self._hit(FaultKind.SILENT_GATEWAY, uplink) or self._hit(FaultKind.DROP_UPLINKS, uplink):
            self.lost += 1
        elif delayed := self._hit(FaultKind.DELAYED, uplink):
            self._agenda.add(now + delayed.hold_s, partial(self._pass_order, uplink))
        else:
            self._pass_order(uplink, now)

    def _pass_order(self, uplink: Uplink, now: float) -> None:
        if self._overtaken is None and (fault := self._hit(FaultKind.REORDERED, uplink)):
            self._overtaken = uplink
            self._agenda.add(now + fault.hold_s, partial(self._release, uplink))
            return
        self._arrive(uplink, now)
        if self._overtaken is not None:
            self._release(self._overtaken, now)

    def _release(self, uplink: Uplink, now: float) -> None:
        if self._overtaken is uplink:
            self._overtaken = None
            self._arrive(uplink, now)

    def _arrive(self, uplink: Uplink, now: float) -> None:
        payload = uplink.payload
        if self._hit(FaultKind.MALFORMED_JSON, uplink):
            payload = payload[: len(payload) * 2 // 3]
        copies = 2 if self._hit(FaultKind.DUPLICATE, uplink) else 1
        self.arrived += [(now, payload)] * copies

    def _hit(self, kind: FaultKind, uplink: Uplink) -> Fault | None:
        return self._faults.hit(kind, uplink.meter, uplink.msg_id)
