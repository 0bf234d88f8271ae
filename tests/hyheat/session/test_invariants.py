"""Whatever is asked, said and lost in whatever order: what must always hold, holds.

The machine knows of the session only what goes in and what comes out. That a request ends once,
and is replied to once and before its end, is checked by the `Bus` on every action.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import override

from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    ReadNow,
    ReadNowAck,
    SettingsQuery,
    Stat,
    StatusQuery,
    ToGateway,
    TransparentAck,
    TransparentReply,
)
from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.model import (
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
    SetOpening,
    Timing,
)

from .bus import (
    CABINET,
    CABINETS,
    GATEWAY,
    PENDING,
    REPLIED,
    SETTINGS,
    STATUS,
    VALVE,
    VALVE_2,
    VALVE_3,
    VALVES,
    Bus,
    What,
    _what,
)

T = Timing()
METERS = (VALVE, VALVE_2, VALVE_3, CABINET)
BY_ADDRESS = {meter.address: meter for meter in METERS}

meters = st.sampled_from(METERS)
stats = st.sampled_from(Stat)
openings = st.integers(0, 100)
# Around every figure of the timing, and far beyond all of them.
durations = st.sampled_from([0.0, 0.5, 2.0, 5.0, 8.0, 10.0, 15.0, 30.0, 60.0, 91.0, 121.0, 400.0])


@dataclass
class _Asked:
    """A request as the machine saw it go in, and when things came of it."""

    request: Request
    at: float
    sends: int = 0
    replied: float | None = None


class _WatchedBus(Bus):
    """A bus that judges every action by what led to it."""

    def __init__(self) -> None:
        self.asked: dict[int, _Asked] = {}
        self.closed = False
        self.link_was_lost = False
        self._asking: Request | None = None
        self._heard: Sequence[FrameContent | UnknownReading] = ()
        self._failed_job: int | None = None
        self._on_bus: tuple[int, What] | None = None
        self._on_bus_until = 0.0
        self._read_now_heard = 0.0
        self._reading_until = 0.0
        super().__init__()

    # --- What goes in -----------------------------------------------------------------------

    @override
    def ask(self, request: Request) -> int:
        self._asking = request
        self.asked[self._tickets + 1] = _Asked(request, self.now)
        ticket = super().ask(request)
        self._asking = None
        return ticket

    @override
    def hear(self, message: FromGateway, *contents: FrameContent | UnknownReading) -> None:
        self._heard = contents
        match message:
            case ReadNowAck(stat=Stat.SUCCEEDED):
                if self._on_bus and isinstance(self._on_bus[1], ReadNow):
                    self._on_bus = None
                # Not where one that began before, prolonged by its reports, may still go on.
                if self.now >= self._read_now_heard + T.read_limit_s:
                    self._reading_until = self.now + T.read_quiet_s
                self._read_now_heard = self.now
            case TransparentAck() | ReadNowAck() if self._on_bus:
                # A refusal is the quickest way for a try to be over, an acknowledgement none.
                pause = T.refused_pause_s if message.stat is Stat.FAILED else 0
                if pause:
                    self._on_bus_until = min(self._on_bus_until, self.now + pause)
            case TransparentReply() if self._on_bus:
                on_bus = self._on_bus[1]
                assert not isinstance(on_bus, StatusQuery | SettingsQuery)
                address = getattr(on_bus, "address", None)
                if any(content.address == address for content in contents):
                    self._on_bus = None
        super().hear(message, *contents)
        self._heard = ()

    @override
    def publish_fails(self, job: int | None = None) -> None:
        failed = job or self.last_job()
        if self._on_bus and self._on_bus[0] == failed:
            self._on_bus = None
        self._failed_job = failed
        super().publish_fails(job)
        self._failed_job = None

    @override
    def link(self, *, up: bool) -> None:
        self.link_was_lost = self.link_was_lost or not up
        super().link(up=up)

    @override
    def close(self) -> None:
        self.closed = True
        super().close()

    # --- What comes out ---------------------------------------------------------------------

    @override
    def _take(self, actions: Sequence[Action]) -> None:
        super()._take(actions)
        # Ends go first: what a request brought about is judged by those still under way.
        for action in actions:
            match action:
                case Replied(ticket=ticket):
                    self._judge_reply(self.asked[ticket])
                case Ended(ticket=ticket, result=result):
                    self._judge_end(self.asked[ticket], result)
                case Send(message=message, job=job):
                    self._judge_send(message, job)

    def _judge_reply(self, asked: _Asked) -> None:
        asked.replied = self.now
        assert isinstance(asked.request, SetOpening)
        meter, opening_pct = asked.request.meter, asked.request.opening_pct
        assert any(
            isinstance(content, SetOpeningReply)
            and (content.device, content.address) == (meter.device, meter.address)
            and content.opening_pct in {None, opening_pct}
            for content in self._heard
        ), "replied without a reply"

    def _judge_end(self, asked: _Asked, result: Result) -> None:
        reason, request = result.reason, asked.request
        if reason is FailureReason.SUPERSEDED:
            assert isinstance(request, SetOpening)
            assert isinstance(self._asking, SetOpening)
            assert self._asking.meter == request.meter
        if reason is FailureReason.SHUT_DOWN:
            assert self.closed
        if reason is FailureReason.LINK_DOWN:
            assert self.link_was_lost or self._failed_job
        if isinstance(request, SetOpening):
            shown = [_deviation(content, request) for content in self._heard]
            told = [deviation for deviation in shown if deviation is not None]
            if reason is None:
                assert asked.replied is not None, "proven before the reply"
                assert min(told) <= T.tolerance_pct, "proven without a report"
            if reason is FailureReason.NOT_REACHED:
                assert asked.replied is not None
                assert self.now >= asked.replied + T.travel_s
                assert max(told) > T.tolerance_pct

    def _judge_send(self, message: ToGateway, job: int) -> None:
        assert not self.closed
        assert self.session.link_up
        what = _what(message)
        if isinstance(what, StatusQuery | SettingsQuery):
            assert any(self._under_way(what)), "a query that nobody waits for"
            return
        assert not self.session.gateway_silent
        assert self.now >= self._reading_until, "sent while reports come in"
        if self._on_bus and self._on_bus[0] != job:
            assert self.now >= self._on_bus_until, "two jobs on the bus"
        self._on_bus = (job, what)
        self._on_bus_until = self.now + T.ack_s
        if isinstance(what, SetOpeningFrame):
            self._judge_opening(what)
        else:
            self._judge_read(what)

    def _judge_opening(self, what: SetOpeningFrame) -> None:
        meter = BY_ADDRESS[what.address]
        assert what.opening_pct is not None
        request = SetOpening(meter, int(what.opening_pct))
        (asked,) = self._under_way(request)
        assert asked.replied is None, "sent after its reply"
        asked.sends += 1
        if asked.sends == 1:
            assert self.now < asked.at + T.queue_expiry_s, "sent after its expiry"
        assert asked.sends <= T.tries
        assert self.now < asked.at + T.queue_expiry_s + T.tries * (T.ack_s + T.reply_s)

    def _judge_read(self, what: What) -> None:
        if isinstance(what, ReadFrame):
            request: Request = ReadMeter(BY_ADDRESS[what.address])
            concerned = {what.address}
        else:
            assert isinstance(what, ReadNow)
            request = what
            kinds = ["cabinet"] * what.cabinets + ["valve"] * what.valves
            concerned = {meter.address for meter in METERS if meter.device in kinds}
        proofs = [address for address in concerned if self.session.proving(address) is not None]
        assert proofs or self._under_way(request), "a read that nobody waits for"

    def _under_way(self, request: Request) -> list[_Asked]:
        return [
            asked
            for ticket, asked in self.asked.items()
            if asked.request == request and self.outcome(ticket) in {PENDING, REPLIED}
        ]


def _deviation(content: FrameContent | UnknownReading, request: SetOpening) -> float | None:
    """Return how far a reading is from an opening, None for anything else."""
    if not isinstance(content, MeterReading) or content.address != request.meter.address:
        return None
    shown = [value for value in content.values.values() if isinstance(value, int | float)]
    return max(abs(value - request.opening_pct) for value in shown)


class Conversations(RuleBasedStateMachine):
    """Random conversations with a gateway of four meters."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = _WatchedBus()
        self.drains = False
        self._opening = 0

    @initialize(drains=st.booleans())
    def how_it_ends(self, drains: bool) -> None:
        self.drains = drains

    # --- Somebody asks ----------------------------------------------------------------------

    @rule(meter=meters)
    def move(self, meter: MeterAddress) -> None:
        self._opening += 1  # each its own, so that what is sent tells whose it is
        self.bus.move(meter, self._opening % 101)

    @rule(meter=meters)
    def read(self, meter: MeterAddress) -> None:
        self.bus.read(meter)

    @rule(
        request=st.sampled_from(
            [CABINETS, VALVES, ReadNow(GATEWAY, cabinets=True, valves=True), STATUS, SETTINGS]
        )
    )
    def ask(self, request: Request) -> None:
        self.bus.ask(request)

    # --- The gateway does what is asked of it -----------------------------------------------

    @rule(acknowledged=st.booleans(), shown=st.sampled_from([None, 0, 2, 3, 60]))
    def comply(self, acknowledged: bool, shown: int | None) -> None:
        """Answer what is on the bus; a read shows what was told, or something else."""
        match self.bus.session.in_flight:
            case SetOpening(meter=meter, opening_pct=opening_pct):
                if acknowledged:
                    self.bus.ack()
                self.bus.reply(meter, opening_pct)
            case ReadMeter(meter=meter):
                if acknowledged:
                    self.bus.ack()
                self._show(meter, shown, self.bus.answer)
            case ReadNow():
                self.bus.read_ack()
            case _:  # no raw frames here
                for meter in METERS:
                    self._show(meter, shown, self.bus.report)

    def _show(self, meter: MeterAddress, off: int | None, say: object) -> None:
        told = self.bus.session.proving(meter.address) or 0
        opening_pct = told if off is None else (told + off) % 101
        assert callable(say)
        say(meter, *[opening_pct] * (2 if meter.device == "cabinet" else 1))

    # --- Or anything else -------------------------------------------------------------------

    @rule(stat=stats)
    def acknowledge(self, stat: Stat) -> None:
        self.bus.ack(stat)

    @rule(stat=stats)
    def acknowledge_read_now(self, stat: Stat) -> None:
        self.bus.read_ack(stat)

    @rule(meter=meters, opening_pct=openings)
    def reply_of_somebody(self, meter: MeterAddress, opening_pct: int) -> None:
        self.bus.reply(meter, opening_pct)

    @rule(meter=meters, control=st.sampled_from([0xC1, 0xC4, 0xD6]))
    def refuse(self, meter: MeterAddress, control: int) -> None:
        self.bus.refuse(meter, control)

    @rule(meter=meters, opening_pct=openings, direct=st.booleans())
    def show(self, meter: MeterAddress, opening_pct: int, direct: bool) -> None:
        say = self.bus.answer if direct else self.bus.report
        say(meter, *[opening_pct] * (2 if meter.device == "cabinet" else 1))

    @rule(stat=stats)
    def tell_status(self, stat: Stat) -> None:
        self.bus.status(stat)

    @rule(stat=stats)
    def tell_settings(self, stat: Stat) -> None:
        self.bus.settings(stat)

    @rule(seconds=durations)
    def wait(self, seconds: float) -> None:
        self.bus.wait(seconds)

    @rule(seconds=durations)
    def be_held_up(self, seconds: float) -> None:
        self.bus.sleep(seconds)

    @rule(up=st.booleans())
    def change_link(self, up: bool) -> None:
        self.bus.link(up=up)

    @rule(back=st.integers(0, 3))
    def fail_to_publish(self, back: int) -> None:
        self.bus.publish_fails(max(1, self.bus.last_job() - back))

    # --- What must hold ---------------------------------------------------------------------

    @invariant()
    def something_is_waited_for_while_somebody_waits(self) -> None:
        waiting = [
            ticket for ticket in self.bus.asked if self.bus.outcome(ticket) in {PENDING, REPLIED}
        ]
        assert not waiting or self.bus.session.next_deadline() is not None
        assert self.bus.session.queued <= len(waiting)

    @override
    def teardown(self) -> None:
        bus = self.bus
        if self.drains:
            # 180 s of travel; then for each of 4 meters 3 x 40 s for a job in front of it, as
            # much for its last read-back, and a read-now of 3 x 10 s or 90 s: below 2 hours.
            bus.wait(7200)
            self._all_ended()
            assert bus.session.next_deadline() is None
        bus.close()
        self._all_ended()
        assert bus.session.next_deadline() is None
        self.comply(acknowledged=True, shown=None)
        bus.link(up=True)
        bus.wait(1000)  # `_WatchedBus` fails if anything is sent now

    def _all_ended(self) -> None:
        assert set(self.bus.results) == set(self.bus.asked)


Conversations.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestConversations = Conversations.TestCase
