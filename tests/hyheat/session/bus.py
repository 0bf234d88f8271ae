"""A gateway's session whose clock, messages and meters are moved by hand.

Given a `Bus`, when something is asked of it, said to it, or time passes, then `sent`, `outcome`
and `result` tell what came of it. Every action is checked on its way for what must always hold.
"""

from collections.abc import Sequence

from custom_components.hy_heating.hyheat.devices import interpret
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    MeterId,
    ReadNow,
    ReadNowAck,
    Report,
    SettingsQuery,
    SettingsReply,
    Stat,
    StatusQuery,
    StatusReply,
    ToGateway,
    TransparentAck,
    TransparentCommand,
    TransparentReply,
)
from custom_components.hy_heating.hyheat.frame import parse
from custom_components.hy_heating.hyheat.model import (
    ErrorReply,
    FrameContent,
    MeterAddress,
    MeterReading,
    ReadFrame,
    SetOpeningFrame,
    SetOpeningReply,
    UnknownReading,
)
from custom_components.hy_heating.hyheat.session import (
    Action,
    Ended,
    ReadMeter,
    Replied,
    Request,
    Result,
    Send,
    Session,
    SetOpening,
    Timing,
)

GATEWAY = "02345678903"
VALVE = MeterAddress("valve", bytes.fromhex("23227310001111"))
VALVE_2 = MeterAddress("valve", bytes.fromhex("23227311001111"))
VALVE_3 = MeterAddress("valve", bytes.fromhex("23227312001111"))
CABINET = MeterAddress("cabinet", bytes.fromhex("27100583001111"))

# How an opening is written and read (PROTOCOL 6): control of the reply, data identifier, SER.
_SET_REPLY = {"cabinet": (0x96, 0x902F, 1), "valve": (0x84, 0xA019, 0)}
_PROTOCOL_CODE = {"cabinet": "2034", "valve": "2008"}

NO_PAUSE = Timing(move_pause_s=0.0)
"""So that what is not about the pause between two moves need not wait for it."""

PENDING = "pending"
REPLIED = "replied"
DONE = "done"

STATUS = StatusQuery(GATEWAY)
SETTINGS = SettingsQuery(GATEWAY)
CABINETS = ReadNow(GATEWAY, cabinets=True, valves=False)
VALVES = ReadNow(GATEWAY, cabinets=False, valves=True)

type What = FrameContent | ToGateway


def move(meter: MeterAddress, opening_pct: float) -> SetOpeningFrame:
    """Return what is sent to move a valve."""
    return SetOpeningFrame(meter.device, meter.address, opening_pct)


def read(meter: MeterAddress) -> ReadFrame:
    """Return what is sent to read one meter directly."""
    return ReadFrame(meter.device, meter.address)


def reading(meter: MeterAddress, *openings: float | None) -> MeterReading:
    """Return a reading that shows an opening: one of a valve, both of a cabinet."""
    keys = {"valve": ["opening_pct"], "cabinet": ["commanded_opening_pct", "actual_opening_pct"]}
    values = dict(zip(keys[meter.device], openings, strict=True))
    return MeterReading(meter.device, meter.address, 0x81, 0x901F, 0, values, b"")


class Bus:
    """A session and everything that it did."""

    def __init__(self, timing: Timing | None = None, *, up: bool = True) -> None:
        self.session = Session(GATEWAY, timing or NO_PAUSE)
        self.now = 1000.0
        self.results: dict[int, Result] = {}
        self.replied: set[int] = set()
        self.ended_order: list[int] = []
        self._sent: list[Send] = []
        self._last_job = 0
        self._tickets = 0
        self.holds = False
        """Whether what is sent waits on its way to the link, until `hand_over`."""
        if up:
            self.link(up=True)

    # --- When somebody asks -----------------------------------------------------------------

    def ask(self, request: Request) -> int:
        """Submit any request; return its ticket."""
        self._tickets += 1
        ticket = self._tickets
        self._take(self.session.submit(ticket, request, self.now))
        return ticket

    def move(self, meter: MeterAddress, opening_pct: int) -> int:
        """Ask for an opening."""
        return self.ask(SetOpening(meter, opening_pct))

    def read(self, meter: MeterAddress) -> int:
        """Ask for a direct read."""
        return self.ask(ReadMeter(meter))

    def cancel(self, ticket: int) -> None:
        """Give a request up."""
        self._take(self.session.cancel(ticket, self.now))

    # --- When the gateway or a meter says something -----------------------------------------

    def hear(self, message: FromGateway, *contents: FrameContent | UnknownReading) -> None:
        """Receive any message."""
        self._take(self.session.receive(message, contents, self.now))

    def ack(self, stat: Stat = Stat.SUCCEEDED) -> None:
        """Acknowledge a transparent command."""
        self.hear(TransparentAck(GATEWAY, stat))

    def read_ack(self, stat: Stat = Stat.SUCCEEDED) -> None:
        """Acknowledge a read-now."""
        self.hear(ReadNowAck(GATEWAY, stat))

    def reply(self, meter: MeterAddress, opening_pct: int) -> None:
        """Let a meter confirm an opening; a cabinet does not say which."""
        self.transparent(set_reply(meter, opening_pct))

    def answer(self, meter: MeterAddress, *openings: float | None) -> None:
        """Let a meter answer a direct read."""
        self.transparent(reading(meter, *openings))

    def refuse(self, meter: MeterAddress, control: int) -> None:
        """Let a meter answer with an error."""
        self.transparent(ErrorReply(meter.device, meter.address, control, 0, b"\x02\x00"))

    def transparent(self, *contents: FrameContent | UnknownReading) -> None:
        """Pass on what meters answered."""
        self.hear(TransparentReply(GATEWAY, 0, ()), *contents)

    def report(self, meter: MeterAddress, *openings: float | None) -> None:
        """Report a meter of its own accord, or after a read-now."""
        meter_id = MeterId(meter.meter_number, _PROTOCOL_CODE[meter.device], 0)
        self.hear(Report(GATEWAY, meter_id, ()), reading(meter, *openings))

    def status(
        self,
        stat: Stat = Stat.SUCCEEDED,
        cabinets: int | None = None,
        valves: int | None = None,
    ) -> None:
        """Tell the status."""
        self.hear(StatusReply(gateway_id=GATEWAY, stat=stat, cabinets=cabinets, valves=valves))

    def settings(self, stat: Stat = Stat.SUCCEEDED) -> None:
        """Tell the settings."""
        self.hear(SettingsReply(gateway_id=GATEWAY, stat=stat))

    # --- When something happens -------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let time pass, with a tick at every deadline as a driver gives them."""
        end = self.now + seconds
        while (deadline := self.session.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.tick()
            following = self.session.next_deadline()
            assert following is None or following > self.now, "a driver would spin"
        self.now = end

    def sleep(self, seconds: float) -> None:
        """Let time pass without a tick, as in a driver that is held up."""
        self.now += seconds

    def tick(self) -> None:
        """Tell the session the time."""
        self._take(self.session.tick(self.now))

    def link(self, *, up: bool) -> None:
        """Let the link come or go."""
        self._take(self.session.link_changed(up=up, now=self.now))

    def hand_over(self, job: int | None = None) -> bool:
        """Take a message, by default the last one, to the link; return whether it goes out."""
        return self.session.hand_over(job or self._last_job)

    def publish_fails(self, job: int | None = None) -> None:
        """Report that a message, by default the last one, could not be published."""
        self._take(self.session.send_failed(job or self._last_job, self.now))

    def close(self) -> None:
        """Shut down."""
        self._take(self.session.close(self.now))

    # --- Then -------------------------------------------------------------------------------

    def sent(self) -> list[What]:
        """Return what was sent since the last call, frames as what they say."""
        messages = [send.message for send in self._sent]
        self._sent.clear()
        return [_what(message) for message in messages]

    def direct_reads(self) -> bool | None:
        """Return whether the gateway is known to answer direct reads."""
        return self.session.direct_reads

    def last_job(self) -> int:
        """Return the number of the job that was sent last."""
        return self._last_job

    def outcome(self, ticket: int) -> str:
        """Return how far a request has come: pending, replied, done or the reason of failure."""
        if ticket in self.results:
            return self.results[ticket].reason or DONE
        return REPLIED if ticket in self.replied else PENDING

    def _take(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._sent.append(action)
                    self._last_job = action.job
                    if not self.holds:
                        assert self.hand_over()
                case Replied(ticket=ticket):
                    assert ticket not in self.replied, "a second reply"
                    assert ticket not in self.results, "a reply after the end"
                    self.replied.add(ticket)
                case Ended(ticket=ticket, result=result):
                    assert ticket not in self.results, "a second end"
                    self.results[ticket] = result
                    self.ended_order.append(ticket)


def set_reply(meter: MeterAddress, opening_pct: int) -> SetOpeningReply:
    """Return a meter's confirmation of an opening; a cabinet does not repeat it."""
    control, di, ser = _SET_REPLY[meter.device]
    echoed = meter.device == "valve"
    return SetOpeningReply(
        meter.device, meter.address, control, di, ser, echoed, opening_pct if echoed else None
    )


def confirmed(
    bus: Bus, meter: MeterAddress = VALVE, opening_pct: int = 50, *, asked: int | None = None
) -> int:
    """Have a meter told and confirm an opening; return the ticket, whose proof is to come."""
    ticket = bus.move(meter, opening_pct) if asked is None else asked
    bus.ack()
    bus.reply(meter, opening_pct)
    assert bus.outcome(ticket) == REPLIED
    bus.sent()
    return ticket


def _what(message: ToGateway) -> What:
    return interpret(parse(message.frame)) if isinstance(message, TransparentCommand) else message
