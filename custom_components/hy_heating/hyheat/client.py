"""Drives one gateway's session with asyncio over a link.

May import: session, intake, link, wire modules, asyncio, logging. Everything that arrives ends in
one typed event to the listener or in a counted, once-logged refusal; nothing is raised into the
link.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
import itertools
import json
import logging
from typing import cast

from . import envelope
from .devices import interpret
from .envelope import (
    FromGateway,
    Loads,
    ReadNow,
    Report,
    SettingsQuery,
    SettingsReply,
    StatusQuery,
    StatusReply,
    TransparentCommand,
    TransparentReply,
)
from .errors import (
    EnvelopeError,
    FrameError,
    LinkError,
    RefusalReason,
    ReplyError,
    SubscriptionRefusedError,
)
from .frame import parse
from .intake import Refusals, Refused, contents_of, shortened
from .link import Link
from .model import (
    FrameContent,
    MeterAddress,
    MeterReading,
    SetOpeningFrame,
    UnknownReading,
)
from .recent import RecentCount, RecentFrames
from .session import (
    Action,
    Content,
    ReadMeter,
    Replied,
    Request,
    Result,
    Send,
    SendFrame,
    Session,
    SetOpening,
    Timing,
)

__all__ = [
    "AvailabilityChanged",
    "Event",
    "ForeignCommand",
    "GatewayClient",
    "MessageReceived",
    "PendingOpening",
    "ReadingReceived",
    "Refusals",
    "Refused",
    "SettingsReceived",
    "StatusReceived",
]

_LOGGER = logging.getLogger(__name__)

PUBLISH_MARGIN_S = 0.1
"""A publish is given up so long before its acknowledgement is, so that it is not repeated."""
OWN_REMEMBERED = 64
OWN_REMEMBERED_S = 60.0
"""What we sent comes back from the broker within its round trip, or never."""


@dataclass(frozen=True, slots=True)
class ReadingReceived:
    """A meter reported; `protocol_code` is None in a direct reply."""

    reading: MeterReading | UnknownReading
    port: int | None
    protocol_code: str | None


@dataclass(frozen=True, slots=True)
class StatusReceived:
    """The gateway told its status."""

    status: StatusReply


@dataclass(frozen=True, slots=True)
class SettingsReceived:
    """The gateway told its upload settings."""

    settings: SettingsReply


@dataclass(frozen=True, slots=True)
class AvailabilityChanged:
    """The link or the gateway behind it came or went."""

    link_up: bool
    gateway_silent: bool


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """Any valid message: a sign of life."""


@dataclass(frozen=True, slots=True)
class ForeignCommand:
    """Another master told a valve to move."""

    meter_number: str
    opening_pct: int | float


_SIGN_OF_LIFE = MessageReceived()

type Event = (
    ReadingReceived
    | StatusReceived
    | SettingsReceived
    | AvailabilityChanged
    | MessageReceived
    | ForeignCommand
)


@dataclass(frozen=True, slots=True)
class PendingOpening:
    """An opening under way.

    `replied` is done when the device confirmed it, or it failed before; `ended` when a report
    proved it, or it failed. Neither ever holds an exception: see the reason in the result.
    To cancel a task that awaits one cancels it for all: shield it where several wait.
    """

    ticket: int
    replied: asyncio.Future[Result]
    ended: asyncio.Future[Result]


class GatewayClient:
    """One gateway behind a link."""

    def __init__(  # noqa: PLR0913 - three of them are rarely given
        self,
        gateway_id: str,
        link: Link,
        listener: Callable[[Event], None],
        *,
        prefix: str = envelope.DEFAULT_PREFIX,
        timing: Timing | None = None,
        loads: Loads = json.loads,
        on_refused: Callable[[Refused], None] | None = None,
    ) -> None:
        """Prepare; nothing is sent or subscribed before `start`.

        `on_refused` is told the first refusal of each kind; further ones are only counted.
        """
        self.gateway_id = gateway_id
        self.session = Session(gateway_id, timing)
        self.refusals = Refusals()
        self.frames = RecentFrames()
        self.messages = RecentCount()
        self.refused = RecentCount()
        self._link = link
        self._listener = listener
        self._on_refused = on_refused
        self._own: dict[bytes, float] = {}  # when we sent it, the oldest first
        self._report_topic = envelope.report_topic(gateway_id, prefix)
        self._command_topic = envelope.command_topic(gateway_id, prefix)
        self._loads = loads
        self._tickets = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._replies: dict[int, asyncio.Future[Result]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._unsubscribe: list[Callable[[], Awaitable[None]]] = []
        self._remove_status_listener: Callable[[], None] | None = None
        self._silent = False

    async def start(self) -> None:
        """Subscribe to the gateway's reports, and to what other masters tell it.

        Raises LinkError, and SubscriptionRefusedError where the broker does not allow it.
        """
        self._remove_status_listener = self._link.add_status_listener(self._link_changed)
        try:
            self._unsubscribe = [await self._link.subscribe(self._report_topic, self._received)]
            await self._watch_commands()
        except BaseException:  # a cancelled start must leave nothing behind either
            await self._stop_listening()
            raise
        if self._link.connected:
            self._link_changed(True)

    async def stop(self) -> None:
        """End every waiting request and leave nothing behind; once stopped, it stays so."""
        self._run(self.session.close(self._now()))
        sending = list(self._sending)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self._stop_listening()

    async def _watch_commands(self) -> None:
        """See what other masters tell the gateway, where the broker lets us."""
        try:
            watch = await self._link.subscribe(self._command_topic, self._commanded)
        except SubscriptionRefusedError as err:
            _LOGGER.info("Commands of other masters stay unseen: %s", err)
        else:
            self._unsubscribe.append(watch)

    async def _stop_listening(self) -> None:
        remove, self._remove_status_listener = self._remove_status_listener, None
        if remove:
            remove()
        unsubscribes, self._unsubscribe = self._unsubscribe, []
        for unsubscribe in unsubscribes:
            with suppress(LinkError):
                await unsubscribe()

    # --- Requests ---------------------------------------------------------------------------

    async def query_status(self) -> StatusReply:
        """Ask for the status; raises ReplyError."""
        return cast("StatusReply", await self._request(StatusQuery(self.gateway_id)))

    async def query_settings(self) -> SettingsReply:
        """Ask for the upload settings; raises ReplyError."""
        return cast("SettingsReply", await self._request(SettingsQuery(self.gateway_id)))

    async def read_now(self, *, cabinets: bool = False, valves: bool = False) -> None:
        """Have all cabinets or household valves read; the reports follow.

        Raises ReplyError, and RequestError for neither.
        """
        await self._request(ReadNow(self.gateway_id, cabinets=cabinets, valves=valves))

    async def read_meter(self, meter: MeterAddress) -> MeterReading:
        """Read one meter directly; raises ReplyError, and RequestError for an unknown device."""
        return cast("MeterReading", await self._request(ReadMeter(meter)))

    def set_opening(self, meter: MeterAddress, opening_pct: int) -> PendingOpening:
        """Move a valve to 0-100 %; raises RequestError for any other opening or device."""
        ticket = next(self._tickets)
        actions = self.session.submit(ticket, SetOpening(meter, opening_pct), self._now())
        loop = asyncio.get_running_loop()
        pending = PendingOpening(ticket, loop.create_future(), loop.create_future())
        self._replies[ticket], self._waiting[ticket] = pending.replied, pending.ended
        self._run(actions)
        return pending

    def cancel(self, pending: PendingOpening) -> None:
        """Give up an opening that still waits for the bus; one that was sent goes on."""
        self._run(self.session.cancel(pending.ticket, self._now()))

    async def send_frame(self, request: SendFrame) -> FrameContent | UnknownReading:
        """Put raw bytes on the bus and return the answer that fits them; raises ReplyError."""
        return cast("FrameContent | UnknownReading", await self._request(request))

    async def _request(self, request: Request) -> object:
        """Return what answered a request, of the type that belongs to it; raises ReplyError."""
        ticket = next(self._tickets)
        actions = self.session.submit(ticket, request, self._now())
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._run(actions)
        result = await future
        if result.reason is not None:
            raise ReplyError(result.reason)
        return result.reply

    # --- From the link ----------------------------------------------------------------------

    def _received(self, _topic: str, payload: bytes, retained: bool) -> None:
        now = self._now()
        self.messages.add(now)
        if retained:
            self._refuse_message(RefusalReason.RETAINED, "a retained message", payload)
            return
        try:
            message = envelope.decode_from_gateway(payload, self.gateway_id, self._loads)
        except EnvelopeError as err:
            self._refuse_message(err.reason, err.detail, payload)
            return
        contents: list[Content] = []
        for content in contents_of(message, lambda raw: self.frames.add(raw, now)):
            if isinstance(content, Refused):
                self.refuse(content)
            else:
                contents.append(content)
        if isinstance(message, TransparentReply):
            self._refuse_unasked(contents)
        # First whoever waits, then the listener, which may already ask for something new.
        self._run(self.session.receive(message, contents, now))
        self._tell_all(message, contents)

    def _commanded(self, _topic: str, payload: bytes, retained: bool) -> None:
        """Take note of a command on the gateway's own topic, which is ours or another master's."""
        if retained or self._is_own(payload):
            return
        try:
            message = envelope.decode_to_gateway(payload, self.gateway_id, self._loads)
            if not isinstance(message, TransparentCommand):
                return
            self.frames.add((found := parse(message.frame)).raw, self._now())
            content = interpret(found)
        except (EnvelopeError, FrameError) as err:
            _LOGGER.debug("Gateway %s: another master's command: %s", self.gateway_id, err)
            return
        if isinstance(content, SetOpeningFrame) and content.opening_pct is not None:
            self._run(self.session.foreign_move(content.address, self._now()))
            number = content.address[:4].hex()  # BCD, as for every known device
            self._tell(ForeignCommand(number, content.opening_pct))

    def _is_own(self, payload: bytes) -> bool:
        """Whether we sent this lately: it comes back, on some links more than once."""
        sent_s = self._own.get(payload)
        return sent_s is not None and self._now() - sent_s <= OWN_REMEMBERED_S

    def _remember_own(self, payload: bytes) -> None:
        """Remember what goes out, because the broker sends it back to us."""
        self._own.pop(payload, None)
        self._own[payload] = self._now()
        if len(self._own) > OWN_REMEMBERED:
            del self._own[next(iter(self._own))]

    def _tell_all(self, message: FromGateway, contents: Sequence[Content]) -> None:
        self._tell(_SIGN_OF_LIFE)
        port = protocol_code = None
        match message:
            case StatusReply(stat=envelope.Stat.SUCCEEDED):
                self._tell(StatusReceived(message))
            case SettingsReply(stat=envelope.Stat.SUCCEEDED):
                self._tell(SettingsReceived(message))
            case Report(meter_id=meter_id):
                port, protocol_code = meter_id.port, meter_id.protocol_code
            case TransparentReply():
                port = message.port
            case _:
                pass
        for content in contents:
            if isinstance(content, MeterReading) or (
                isinstance(content, UnknownReading) and isinstance(message, Report)
            ):
                self._tell(ReadingReceived(content, port, protocol_code))

    def _tell(self, event: Event) -> None:
        try:
            self._listener(event)
        except Exception:
            # What one listener cannot take must not cost the link or the other events.
            _LOGGER.exception("Gateway %s: a listener failed on %s", self.gateway_id, event)

    def _refuse_unasked(self, contents: Iterable[Content]) -> None:
        """Count replies that nobody described, unless a raw frame may have asked for them."""
        if isinstance(self.session.in_flight, SendFrame):
            return
        for content in contents:
            if isinstance(content, UnknownReading):
                detail = "a reply of a layout that is not known"
                raw = content.frame.hex().upper()
                number = content.meter_number
                self.refuse(Refused(RefusalReason.FRAME_LAYOUT, number, detail, raw))

    def _refuse_message(self, reason: RefusalReason, detail: str, payload: bytes) -> None:
        self.refuse(Refused(reason, None, detail, shortened(payload)))

    def refuse(self, refused: Refused) -> None:
        """Count what is not taken, keep it for diagnostics, and log the first of its kind."""
        self.refused.add(self._now())
        if self.refusals.add(refused):
            _LOGGER.warning(
                "Gateway %s, meter %s: refused what was received (%s); "
                "further ones of this kind are only counted",
                self.gateway_id,
                refused.meter_number or "-",
                refused.detail,
            )
            if self._on_refused:
                self._on_refused(refused)

    def _link_changed(self, up: bool) -> None:
        if up != self.session.link_up:
            self._run(self.session.link_changed(up=up, now=self._now()))
            self._tell(AvailabilityChanged(up, self._silent))

    # --- To the link ------------------------------------------------------------------------

    def _run(self, actions: Sequence[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    task = asyncio.create_task(self._send(action))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
                case Replied(ticket=ticket):
                    # Behind what is sent by now: buses wait for that.
                    future = self._replies.pop(ticket)
                    asyncio.get_running_loop().call_soon(_resolve, future, Result())
                case _:  # Ended
                    if replied := self._replies.pop(action.ticket, None):
                        _resolve(replied, action.result)
                    _resolve(self._waiting.pop(action.ticket), action.result)
        self._plan()
        if self.session.gateway_silent != self._silent:
            self._silent = self.session.gateway_silent
            self._tell(AvailabilityChanged(self.session.link_up, self._silent))

    def _plan(self) -> None:
        """Keep one timer, at the session's next deadline."""
        deadline = self.session.next_deadline()
        if self._timer:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._run(self.session.tick(self._now()))

    async def _send(self, action: Send) -> None:
        """Publish a message, while its acknowledgement is waited for and no longer.

        So neither a slow link nor a broker that queues lets a command act after its end.
        """
        if not self.session.hand_over(action.job):
            self._plan()
            return
        ack_s = self.session.timing.ack_s
        is_poll = isinstance(action.message, StatusQuery | SettingsQuery)
        payload = envelope.encode(action.message)
        self._remember_own(payload)
        try:
            async with asyncio.timeout(ack_s - PUBLISH_MARGIN_S):
                await self._link.publish(
                    self._command_topic,
                    payload,
                    expiry_s=max(1, int(ack_s)),
                    fresh=not is_poll,
                )
        except (LinkError, TimeoutError) as err:
            _LOGGER.debug("Gateway %s: not sent: %s", self.gateway_id, err)
            self._run(self.session.send_failed(action.job, self._now()))
            return
        if isinstance(action.message, TransparentCommand):
            with suppress(FrameError):  # a raw frame may be anything
                self.frames.add(parse(action.message.frame).raw, self._now())

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _resolve(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)
