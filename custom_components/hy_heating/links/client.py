"""aiomqtt's client, made safe to cancel and to abandon, with this project's errors.

Beside `buffered` the only module that knows the insides of aiomqtt (pinned exactly in the manifest)
and paho.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import cache
import logging
import math
import socket
import ssl
import struct
from typing import Any, override

import aiomqtt
from paho.mqtt.client import (
    MQTT_CLEAN_START_FIRST_ONLY,
    Client as PahoClient,
    ConnectFlags,
    DisconnectFlags,
    MQTTMessage,
)
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ..hyheat.errors import LinkAuthError, LinkError, LinkTimeoutError, LinkTlsError
from ..hyheat.link import MessageListener
from .buffered import BufferedClient
from .errors import SessionRefusedError, SessionTakenOverError
from .settings import BrokerSettings

_LOGGER = logging.getLogger(__name__)
_PAHO_LOGGER = logging.getLogger(f"{__name__}.paho")

KEEPALIVE_S = 15
"""A dead broker is noticed after two of these, one of silence and one of waiting for the answer to
a ping: 30 s."""
ANSWER_TIMEOUT_S = 5.0
"""A broker that is alive answers within this, also over a slow line."""
CLOSE_TIMEOUT_S = 2.0
"""A disconnect is one packet: where it cannot be written by then, nobody is there to read it."""
SESSION_EXPIRY_S = 7 * 24 * 3600
"""How long a broker holds reports while Home Assistant is away, where it can be told (MQTT 5)."""
QOS_AT_LEAST_ONCE = 1
FIRST_FAILURE_CODE = 0x80
UNSUPPORTED_VERSION = 132
AUTH_CODES = (134, 135)
"""Bad user name or password, not authorized: paho gives these for MQTT 3.1.1 too."""
TAKEN_OVER = 142
SESSION_CODES = (128, 130, 131, 133, 151)
"""What a broker may say that does not want to keep a session: unspecified, protocol or
implementation specific error, client id not valid (also the refusal of MQTT 3.1.1), quota."""
NOBODYS_TOPIC = "hy-heating/nobody"
"""Nobody subscribes to it: to unsubscribe from it changes nothing and is answered by any broker."""


RESET = socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
"""Closing throws away what the other end did not acknowledge, and resets the connection: otherwise
the system goes on sending it behind our back, and a command acts when the network is back."""
LINGER = socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0)


class VersionRefusedError(LinkError):
    """The broker does not speak this version of MQTT."""


class NoAnswerError(LinkError):
    """The broker ended the connection instead of answering to CONNECT."""


def _for_debugging_only(record: logging.LogRecord) -> bool:
    """Let paho's own words through for debugging only: it calls an ordinary loss an error."""
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return _PAHO_LOGGER.isEnabledFor(logging.DEBUG)


_PAHO_LOGGER.addFilter(_for_debugging_only)


def _properties(packet_type: int, **values: int) -> Properties:
    properties = Properties(packet_type)  # type: ignore[no-untyped-call] # paho leaves it so
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


@cache
def _expiring(expiry_s: int) -> Properties:
    """Return the properties of a message that expires; their bytes are worked out once."""
    properties = _properties(PacketTypes.PUBLISH, MessageExpiryInterval=expiry_s)
    packed = properties.pack()  # type: ignore[no-untyped-call] # paho leaves it so
    object.__setattr__(properties, "pack", lambda: packed)  # which Properties forbids
    return properties


def _set_option(sock: object, option: tuple[int, int, bytes]) -> None:
    if isinstance(sock, socket.socket):
        with suppress(OSError):  # it is closed already
            sock.setsockopt(*option)


def _failure(cause: Exception, *, persistent: bool) -> LinkError:
    """Return what it means that a connection could not be opened."""
    match cause:
        case ssl.SSLCertVerificationError():
            return LinkTlsError(f"certificate: {cause.verify_message}")
        case ssl.SSLError():
            return LinkTlsError(f"TLS: {getattr(cause, 'reason', None) or cause.strerror}")
        case TimeoutError():
            return LinkTimeoutError("the broker did not answer in time")
        case aiomqtt.MqttCodeError(rc=ReasonCode() as code):
            return _refusal(code, persistent=persistent)
        case aiomqtt.MqttError():
            return NoAnswerError("the broker ended the connection instead of answering")
        case _:
            return LinkError(str(cause))


def _refusal(code: ReasonCode, *, persistent: bool) -> LinkError:
    text = f"the broker refused the connection: {code}"
    if code.value == UNSUPPORTED_VERSION:
        return VersionRefusedError(text)
    if persistent and code.value in SESSION_CODES:
        return SessionRefusedError(text)
    return LinkAuthError(text) if code.value in AUTH_CODES else LinkError(text)


class MqttClient(BufferedClient):
    """One connection to a broker, from `open` to `close`; it is never used twice.

    Without a client id it is anonymous: no credentials, and a CONNECT without properties.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        tls_context: ssl.SSLContext | None,
        version: aiomqtt.ProtocolVersion,
        client_id: str | None = None,
        *,
        persistent: bool = False,
    ) -> None:
        """Prepare; nothing is sent before it connects."""
        is_v5 = version is aiomqtt.ProtocolVersion.V5
        properties = None
        if is_v5 and persistent:
            properties = _properties(PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S)
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username if client_id else None,
            password=settings.password if client_id else None,
            identifier=client_id,
            protocol=version,
            clean_session=None if is_v5 else not persistent,
            clean_start=not persistent if is_v5 else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
            tls_context=tls_context,
            keepalive=KEEPALIVE_S,
            # Whoever opens sets the limit for the whole, of which waiting for CONNACK is a part.
            timeout=math.inf,
            logger=_PAHO_LOGGER,
            socket_options=[RESET],
        )
        # Many gateways subscribe at once at start-up: nothing to warn of.
        self.pending_calls_threshold = 1_000_000
        self.version = version
        self.persistent = persistent
        self.session_expiry_s: int | None = None
        """How long the broker keeps our session, where it said that this is shorter than wished."""
        self.session_present = False
        """Whether the broker still had our session when it took the connection."""
        self.asked = asyncio.Event()
        """Set when CONNECT is under way, or could not be sent."""
        self.answered_s = -math.inf
        """Loop time at which the broker was last heard."""
        self._cause: Exception | None = None
        self._goodbye: ReasonCode | None = None
        self._asking: asyncio.Task[None] | None = None
        self._sent_s = -math.inf
        self._watching: asyncio.Task[None] | None = None
        self._early: list[tuple[str, bytes, bool]] = []
        self._receiver: MessageListener | None = None
        self._disconnected.add_done_callback(self._ended_while_opening)
        self._listen_to_goodbye()

    # --- Life -------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect; raises LinkError and its kinds, the above too. Cancel it to limit its time."""
        try:
            await self.__aenter__()
        except Exception as err:
            self.abort()
            raise _failure(self._cause or err, persistent=self.persistent) from err
        except BaseException:
            self.abort()
            raise
        if self._client.socket() is None:  # aiomqtt overlooks an end right after CONNACK
            self.abort()
            raise LinkError("the connection was lost")
        self._heard()

    async def close(self) -> None:
        """Disconnect, cleanly where the broker takes it in time, and leave nothing behind."""
        self.timeout = CLOSE_TIMEOUT_S
        try:
            if not self.ended and (sock := self._client.socket()):
                # What is not read is not acknowledged either, so that the broker keeps it.
                self._loop.remove_reader(sock)
                _set_option(sock, LINGER)  # the goodbye is to arrive
                with suppress(aiomqtt.MqttError):
                    await self.__aexit__(None, None, None)
        finally:
            self.abort()
        if self._watching:
            self._watching.cancel()
        tasks = [task for task in (self._misc_task, self._asking, self._watching) if task]
        await asyncio.gather(*tasks, return_exceptions=True)

    def abort(self) -> None:
        """Close the connection without a word; what is not yet sent is never sent."""
        self._abandoned = True
        if not self._disconnected.done():
            self._disconnected.set_result(None)
        # While the thread connects, the socket is its own; it is closed when that returns.
        if self.asked.is_set() and (sock := self._client.socket()):
            self._loop.remove_writer(sock)
            _set_option(sock, RESET)
            # Not at once: aiomqtt may have scheduled another writer.
            self._loop.call_soon(self._close_socket)

    def end_sending(self) -> None:
        """Tell the broker that nothing more will come; what it then answers is still read."""
        sock = self._client.socket()
        if type(sock) is socket.socket:  # TLS knows no such thing
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)

    @property
    def ended(self) -> bool:
        """Whether the connection is over."""
        return self._disconnected.done()

    async def wait_ended(self) -> None:
        """Wait until the connection is over."""
        await asyncio.wait([self._disconnected])

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call back once when the connection is over."""
        self._disconnected.add_done_callback(lambda _: callback())

    @property
    def loss(self) -> LinkError:
        """Why the connection is over."""
        err = None if self._disconnected.cancelled() else self._disconnected.exception()
        code = self._goodbye or (err.rc if isinstance(err, aiomqtt.MqttCodeError) else None)
        if isinstance(code, ReasonCode) and code.value == TAKEN_OVER:
            return SessionTakenOverError(f"the connection ended: {code}")
        if isinstance(code, ReasonCode) and str(code) != "Unspecified error":
            return LinkError(f"the connection ended: {code}")
        return LinkError("the connection was lost")

    def _listen_to_goodbye(self) -> None:
        """Note the reason in a DISCONNECT that has nothing more: paho overlooks it."""
        handle = self._client._handle_disconnect  # noqa: SLF001 - paho offers no other way

        def note_and_handle() -> None:
            packet = self._client._in_packet  # noqa: SLF001 - the same
            if packet["remaining_length"] in (1, 2):
                with suppress(KeyError, ValueError):  # a reason that nobody knows
                    self._goodbye = ReasonCode(
                        PacketTypes.DISCONNECT, identifier=packet["packet"][0]
                    )
            handle()

        self._client._handle_disconnect = note_and_handle  # type: ignore[method-assign] # noqa: SLF001

    def _close_socket(self) -> None:
        self._client._sock_close()  # noqa: SLF001 - paho offers no way to hang up at once

    def _ended_while_opening(self, disconnected: asyncio.Future[None]) -> None:
        """Tell `open`, which aiomqtt lets wait for an answer although there can be none."""
        if not disconnected.cancelled():
            disconnected.exception()  # else asyncio complains that nobody looked
        self._fail_opening()

    def _fail_opening(self) -> None:
        if not self._connected.done():
            self._connected.set_exception(aiomqtt.MqttError("no answer to CONNECT"))
            self._connected.exception()

    @override
    def _client_connect(self) -> None:
        """Connect, in a thread of the executor, for someone who may be gone when it is done."""
        try:
            super()._client_connect()
        except Exception as err:  # ValueError for what is no host name, for example
            self._cause = err
            raise OSError(str(err)) from err
        finally:
            with suppress(RuntimeError):  # the event loop is closed
                self._loop.call_soon_threadsafe(self._connect_returned)

    def _connect_returned(self) -> None:
        self.asked.set()
        if self._abandoned:
            self._close_socket()

    @override
    def _on_connect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: ConnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.session_present = flags.session_present
        self.session_expiry_s = getattr(properties, "SessionExpiryInterval", None)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    @override
    def _on_disconnect(
        self,
        client: PahoClient,
        userdata: Any,
        flags: DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self._fail_opening()
        if not self._connected.cancelled():  # who opened is gone, and aiomqtt asks why it failed
            super()._on_disconnect(client, userdata, flags, reason_code, properties)

    # --- Receiving --------------------------------------------------------------------------

    def deliver_to(self, receiver: MessageListener) -> None:
        """Hand every message to a receiver that raises nothing, first those that waited for it."""
        self._receiver = receiver
        early, self._early = self._early, []
        for message in early:
            receiver(*message)

    @override
    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._heard()
            _LOGGER.debug("Refused a message whose topic is not UTF-8")
            return
        self._take(topic, message.payload, message.retain)

    @override
    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        self._heard()
        if self._receiver:
            self._receiver(topic, payload, retained)
        else:
            self._early.append((topic, payload, retained))

    def _heard(self) -> None:
        self.answered_s = self._loop.time()
        # In a flood the answer to a ping is late, behind thousands of messages: they will do.
        self._client._ping_t = 0.0  # noqa: SLF001 - paho would end the connection

    # --- Asking -----------------------------------------------------------------------------

    async def subscribe_all(self, topics: Sequence[str]) -> set[str]:
        """Subscribe to topics with one packet; return those that the broker refused.

        Raises LinkError where the connection ends, LinkTimeoutError without an answer in time.
        """
        options = [(topic, QOS_AT_LEAST_ONCE) for topic in topics]
        codes = await self._answer(self.subscribe(options, timeout=math.inf))
        values = [code.value if isinstance(code, ReasonCode) else code for code in codes]
        if len(values) != len(topics):
            raise LinkError("the broker did not answer for every subscription")
        return {
            topic
            for topic, value in zip(topics, values, strict=True)
            if value >= FIRST_FAILURE_CODE
        }

    async def unsubscribe_from(self, topic: str) -> None:
        """End a subscription; raises as `subscribe_all`."""
        await self._answer(self.unsubscribe(topic, timeout=math.inf))

    def unsubscribe_soon(self, topic: str) -> None:
        """End a subscription without waiting for the answer."""
        self._client.unsubscribe(topic)

    async def make_sure(self, fresh_s: float) -> None:
        """Return if the broker was heard within `fresh_s`, else ask it; raises as the others."""
        if self._loop.time() - self.answered_s <= fresh_s:
            return
        if self._asking is None or self._asking.done():
            self._asking = self._loop.create_task(self.unsubscribe_from(NOBODYS_TOPIC))
        asking = self._asking  # one question for all who want to know
        await asyncio.wait([asking])
        asking.result()

    async def send(self, topic: str, payload: bytes, expiry_s: int) -> None:
        """Publish with QoS 0, not retained; raises as the others, and then it is never sent."""
        properties = _expiring(expiry_s) if self.version is aiomqtt.ProtocolVersion.V5 else None
        publishing = self.publish(topic, payload, properties=properties, timeout=math.inf)
        # Where it is stuck, it waits in paho's queue, and must not go out later.
        await self._answer(publishing, is_answer=False, hang_up=True)
        self._sent_s = self._loop.time()
        if self._watching is None or self._watching.done():
            self._watching = self._loop.create_task(self._hang_up_unless_heard())

    async def _hang_up_unless_heard(self) -> None:
        """Hang up where the broker is silent after a message: it may be stuck on its way.

        A broker that is there is heard by our own command, which comes back, or by its answer.
        """
        while (sent_s := self._sent_s) >= self.answered_s and not self.ended:
            await asyncio.sleep(ANSWER_TIMEOUT_S)
            if sent_s < self.answered_s:
                continue
            try:
                await self.make_sure(-math.inf)
            except LinkTimeoutError:
                self.abort()
            except LinkError:
                return

    @staticmethod
    async def _first_of(futures: list[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
        """Return what is done first, nothing after the time in which a broker answers."""
        done, _ = await asyncio.wait(
            futures, timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
        )
        return done

    async def _answer[T](
        self, asking: Coroutine[Any, Any, T], *, is_answer: bool = True, hang_up: bool = False
    ) -> T:
        """Wait for an answer or the end of the connection, but not for too long."""
        # At once: what is asked of the broker goes out before what else is to be done by now.
        task = self._loop.create_task(asking, eager_start=True)
        either: list[asyncio.Future[Any]] = [task, self._disconnected]
        try:
            done = {task} if task.done() else await self._first_of(either)
            if not done and hang_up:
                self.abort()
        except asyncio.CancelledError:
            if hang_up and not task.done():
                self.abort()
            raise
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if not done:
            raise LinkTimeoutError("the broker did not answer in time")
        if task.cancelled():
            raise self.loss
        try:
            result = task.result()
        except (aiomqtt.MqttError, ValueError) as err:  # ValueError: not a topic
            raise LinkError(str(err)) from err
        if is_answer:
            self._heard()
        return result
