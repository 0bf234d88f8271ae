"""Drives one gateway's session with asyncio over a link.

May import: session, link, wire modules, asyncio, logging. Everything that arrives ends in one
typed event to the listener or in a counted, once-logged refusal; nothing is raised into the link.
"""

import asyncio
import itertools
import json
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from . import envelope
from .devices import interpret, to_reading
from .envelope import (
    FromGateway,
    Loads,
    ReadNow,
    Report,
    SettingsQuery,
    SettingsReply,
    StatusQuery,
    StatusReply,
    ToGateway,
    TransparentReply,
)
from .errors import (
    EnvelopeError,
    FailureReason,
    FrameError,
    LinkError,
    RefusalReason,
    ReplyError,
)
from .frame import Frame, from_hex, scan
from .link import Link
from .model import MeterAddress, MeterReading, UnknownReading
from .session import (
    Action,
    Content,
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

_LOGGER = logging.getLogger(__name__)

COMMAND_EXPIRY_S = 30
"""How long a broker may hold a command: longer than a gateway's short gaps, and the session
repeats it anyway."""
KEPT_REFUSALS = 20


@dataclass(frozen=True, slots=True)
class ReadingReceived:
    """A meter reported. `port` and `protocol_code` are None in a direct reply."""

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


type Event = (
    ReadingReceived | StatusReceived | SettingsReceived | AvailabilityChanged | MessageReceived
)


@dataclass(frozen=True, slots=True)
class Refused:
    """Something that was not taken, kept for diagnostics."""

    reason: RefusalReason
    meter_number: str | None
    detail: str
    raw: str


@dataclass(slots=True)
class Refusals:
    """What was refused, counted by meter (None: the message as a whole) and reason."""

    counts: Counter[tuple[str | None, RefusalReason]] = field(default_factory=Counter)
    last: deque[Refused] = field(default_factory=lambda: deque(maxlen=KEPT_REFUSALS))

    @property
    def total(self) -> int:
        """Number of refusals."""
        return self.counts.total()

    def add(self, refused: Refused) -> bool:
        """Count a refusal; return whether it is the first of its kind."""
        key = refused.meter_number, refused.reason
        self.counts[key] += 1
        self.last.append(refused)
        return self.counts[key] == 1


@dataclass(frozen=True, slots=True)
class PendingOpening:
    """An opening under way.

    `replied` is done when the device confirmed it, or it failed before; `ended` when a report
    proved it, or it failed. Neither ever holds an exception: see the reason in the result.
    """

    replied: asyncio.Future[Result]
    ended: asyncio.Future[Result]


class GatewayClient:
    """One gateway behind a link."""

    def __init__(
        self,
        gateway_id: str,
        link: Link,
        listener: Callable[[Event], None],
        *,
        prefix: str = envelope.DEFAULT_PREFIX,
        timing: Timing | None = None,
        loads: Loads = json.loads,
    ) -> None:
        """Prepare; nothing is sent or subscribed before `start`."""
        self.gateway_id = gateway_id
        self.session = Session(gateway_id, timing)
        self.refusals = Refusals()
        self._link = link
        self._listener = listener
        self._report_topic = envelope.report_topic(gateway_id, prefix)
        self._command_topic = envelope.command_topic(gateway_id, prefix)
        self._loads = loads
        self._tickets = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Result]] = {}
        self._replies: dict[int, asyncio.Future[Result]] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._unsubscribe: Callable[[], Awaitable[None]] | None = None
        self._remove_status_listener: Callable[[], None] | None = None
        self._silent = False

    async def start(self) -> None:
        """Subscribe to the gateway's reports.

        Raises LinkError, and SubscriptionRefusedError where the broker does not allow it.
        """
        self._remove_status_listener = self._link.add_status_listener(self._link_changed)
        try:
            self._unsubscribe = await self._link.subscribe(self._report_topic, self._received)
        except LinkError:
            self._remove_status_listener()
            raise
        if self._link.connected:
            self._link_changed(True)

    async def stop(self) -> None:
        """End every waiting request and leave nothing behind."""
        self._run(self.session.close(self._now()))
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._remove_status_listener:
            self._remove_status_listener()
        if self._unsubscribe:
            with suppress(LinkError):
                await self._unsubscribe()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)

    # --- Requests ---------------------------------------------------------------------------

    async def query_status(self) -> StatusReply:
        """Ask for the status; raises ReplyError."""
        result = await self._request(StatusQuery(self.gateway_id))
        assert isinstance(result.reply, StatusReply)
        return result.reply

    async def query_settings(self) -> SettingsReply:
        """Ask for the upload settings; raises ReplyError."""
        result = await self._request(SettingsQuery(self.gateway_id))
        assert isinstance(result.reply, SettingsReply)
        return result.reply

    async def read_now(self, *, cabinets: bool = False, valves: bool = False) -> None:
        """Have all cabinets or household valves read; the reports follow. Raises ReplyError."""
        await self._request(ReadNow(self.gateway_id, cabinets=cabinets, valves=valves))

    async def read_meter(self, meter: MeterAddress) -> MeterReading:
        """Read one meter directly; raises ReplyError."""
        result = await self._request(ReadMeter(meter))
        assert isinstance(result.reply, MeterReading)
        return result.reply

    def set_opening(self, meter: MeterAddress, opening_pct: int) -> PendingOpening:
        """Move a valve to 0-100 %; raises RequestError for any other opening."""
        ticket = next(self._tickets)
        loop = asyncio.get_running_loop()
        pending = PendingOpening(loop.create_future(), loop.create_future())
        self._replies[ticket], self._waiting[ticket] = pending.replied, pending.ended
        try:
            actions = self.session.submit(ticket, SetOpening(meter, opening_pct), self._now())
        except Exception:
            del self._replies[ticket], self._waiting[ticket]
            raise
        self._run(actions)
        return pending

    async def _request(self, request: Request) -> Result:
        ticket = next(self._tickets)
        future = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = future
        self._run(self.session.submit(ticket, request, self._now()))
        result: Result = await future
        if result.reason is not None:
            raise ReplyError(result.reason)
        return result

    # --- From the link ----------------------------------------------------------------------

    def _received(self, topic: str, payload: bytes, retained: bool) -> None:
        if retained:
            self._refuse(RefusalReason.RETAINED, "a retained message", payload)
            return
        try:
            message = envelope.decode_from_gateway(payload, self.gateway_id, self._loads)
        except EnvelopeError as err:
            self._refuse(err.reason, err.detail, payload)
            return
        received = list(self._frames_of(message))
        contents = [content for content, _ in received]
        actions = self.session.receive(message, contents, self._now())
        self._tell(message, received)
        self._run(actions)

    def _tell(
        self, message: FromGateway, received: list[tuple[Content, ReadingReceived | None]]
    ) -> None:
        self._listener(MessageReceived())
        match message:
            case StatusReply(stat=envelope.Stat.SUCCEEDED):
                self._listener(StatusReceived(message))
            case SettingsReply(stat=envelope.Stat.SUCCEEDED):
                self._listener(SettingsReceived(message))
        for _, event in received:
            if event is not None:
                self._listener(event)

    def _frames_of(
        self, message: FromGateway
    ) -> list[tuple[Content, ReadingReceived | None]]:
        """Return what the good frames of a message say; the others are refused."""
        if not isinstance(message, Report | TransparentReply):
            return []
        contents = []
        for text in message.frames:
            try:
                results = list(scan(from_hex(text)))
            except FrameError as err:
                results = [err]
            for result in results:
                try:
                    if isinstance(result, FrameError):
                        raise result
                    contents.append(self._content_of(message, result))
                except FrameError as err:
                    self._refuse_frame(message, err, text)
        return [content for content in contents if content is not None]

    def _content_of(
        self, message: Report | TransparentReply, frame: Frame
    ) -> tuple[Content, ReadingReceived | None] | None:
        if isinstance(message, TransparentReply):
            content = interpret(frame)
            if isinstance(content, MeterReading):
                return content, ReadingReceived(content, message.port, None)
            return content, None
        meter_id = message.meter_id
        if frame.meter_number != meter_id.number:
            self._refuse(
                RefusalReason.ADDRESS,
                f"a frame of {frame.meter_number} in a report of {meter_id.number}",
                frame.raw,
                meter_id.number,
            )
            return None
        reading = to_reading(frame, meter_id.protocol_code)
        return reading, ReadingReceived(reading, meter_id.port, meter_id.protocol_code)

    def _refuse_frame(
        self, message: Report | TransparentReply, err: FrameError, text: str
    ) -> None:
        number = message.meter_id.number if isinstance(message, Report) else None
        self._refuse(RefusalReason(f"frame_{err.kind}"), str(err), text.encode(), number)

    def _refuse(
        self, reason: RefusalReason, detail: str, raw: bytes, meter_number: str | None = None
    ) -> None:
        shown = raw[:512].decode(errors="backslashreplace")
        if self.refusals.add(Refused(reason, meter_number, detail, shown)):
            _LOGGER.warning(
                "Gateway %s, meter %s: refused what was received (%s); "
                "further ones of this kind are only counted",
                self.gateway_id,
                meter_number or "-",
                detail,
            )

    def _link_changed(self, up: bool) -> None:
        if up != self.session.link_up:
            self._run(self.session.link_changed(up=up, now=self._now()), force=True)

    # --- To the link ------------------------------------------------------------------------

    def _run(self, actions: list[Action], *, force: bool = False) -> None:
        for action in actions:
            match action:
                case Send():
                    task = asyncio.create_task(self._send(action))
                    self._sending.add(task)
                    task.add_done_callback(self._sending.discard)
                case Replied(ticket=ticket):
                    _resolve(self._replies.pop(ticket), Result())
                case Ended(ticket=ticket, result=result):
                    if replied := self._replies.pop(ticket, None):
                        _resolve(replied, result)
                    _resolve(self._waiting.pop(ticket), result)
        self._plan()
        silent = self.session.gateway_silent
        if force or silent != self._silent:
            self._silent = silent
            self._listener(AvailabilityChanged(self.session.link_up, silent))

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
        is_poll = isinstance(action.message, StatusQuery | SettingsQuery)
        try:
            await self._publish(action.message, fresh=not is_poll)
        except LinkError as err:
            _LOGGER.debug("Gateway %s: not sent: %s", self.gateway_id, err)
            self._run(self.session.send_failed(action.job, self._now()))

    async def _publish(self, message: ToGateway, *, fresh: bool) -> None:
        payload = envelope.encode(message)
        await self._link.publish(
            self._command_topic, payload, expiry_s=COMMAND_EXPIRY_S, fresh=fresh
        )

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _resolve(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)
