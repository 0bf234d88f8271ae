"""aiomqtt's client with few calls of the system for each message, and few objects.

Each of those calls lets other threads have the interpreter, and the recorder, where it writes a
batch, keeps it for 5 ms: with the fifteen of aiomqtt a message, messages pile up meanwhile. However
many have, there is one reading in a turn of the event loop, and with TLS one more of what it has;
and where messages take long, others have a turn before all of them are taken.
Beside `client` the only module that knows the insides of aiomqtt and paho.
"""

import asyncio
import socket
import threading
from typing import Any, override

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.enums import MQTTErrorCode

from .publication import acknowledgment, read_publication

READ_BYTES = 4096
"""What is read at once: a dozen reports, which take some milliseconds."""
TURN_S = 0.01
"""After so long, what was read and not yet taken waits until others have had a turn."""


class BufferedClient(aiomqtt.Client):
    """Reads many packets at once, and writes at once what can be written."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what aiomqtt takes; to be made in the thread of its event loop."""
        super().__init__(*args, **options)
        self._thread_id = threading.get_ident()
        self._unread = self._acknowledgments = b""
        self._is_reading = self._may_receive = False
        self._reading_more: asyncio.Handle | None = None
        self._waits_to_write = False
        self._abandoned = False
        self._has_properties = self._client.protocol == aiomqtt.ProtocolVersion.V5.value
        paho = self._client
        self._receive_some = paho._sock_recv  # noqa: SLF001 - paho offers no other way
        paho._sock_recv = self._receive  # type: ignore[method-assign] # noqa: SLF001 - the same
        self._handle_publish = paho._handle_publish  # noqa: SLF001 - the same
        paho._handle_publish = self._published  # type: ignore[method-assign] # noqa: SLF001 - the same

    # --- Reading ----------------------------------------------------------------------------

    @override
    def _on_socket_open(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._begin, sock)  # paho connects in another thread

    def _begin(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._read)
        self._misc_task = self._loop.create_task(self._misc_loop())

    def _read(self) -> None:
        """Take what the system has received, where it is not the turn of what was left over."""
        if self._reading_more is None:
            self._read_once()

    def _read_more(self) -> None:
        self._reading_more = None
        self._read_once()

    def _read_once(self) -> None:
        """Take the packets that are received at once; what comes meanwhile has its own turn."""
        self._is_reading = self._may_receive = True
        until_s = self._loop.time() + TURN_S
        try:
            while (
                not self._abandoned and self._client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS
            ):
                if self._unread and self._loop.time() < until_s:
                    continue
                if self._unread or self._is_pending():
                    self._reading_more = self._loop.call_soon(self._read_more)
                break
        except Exception as err:  # noqa: BLE001 - whatever it is, the connection is over
            self._end(err)
        self._is_reading = False
        if self._acknowledgments and not self._abandoned:
            self._acknowledge()

    def _acknowledge(self) -> None:
        """Acknowledge what was taken: with one packet for paho, so that it is written at once."""
        packets, self._acknowledgments = self._acknowledgments, b""
        self._client._packet_queue(packets[0], packets, 0, 1)  # noqa: SLF001 - the same

    def _is_pending(self) -> bool:
        """Whether TLS has more than was asked for: the system would not tell."""
        pending = getattr(self._client.socket(), "pending", None)
        return pending is not None and pending() > 0

    def _receive(self, bufsize: int) -> bytes:
        """Return at most so many bytes; raises as paho's own."""
        if not self._unread:
            if not self._may_receive:
                raise BlockingIOError  # paho then keeps what it has of the packet
            self._may_receive = False
            self._unread = self._receive_some(max(bufsize, READ_BYTES))
        data, self._unread = self._unread[:bufsize], self._unread[bufsize:]
        return data

    def _published(self) -> MQTTErrorCode:
        """Take what was published without paho's objects, but for forms that are rare."""
        packet = self._client._in_packet  # noqa: SLF001 - paho offers no other way
        published = read_publication(
            packet["command"], packet["packet"], has_properties=self._has_properties
        )
        if published is None:
            return self._handle_publish()
        topic, payload, retained, packet_id = published
        self._take(topic, payload, retained)
        if packet_id is not None:
            self._acknowledgments += acknowledgment(packet_id)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _take(self, topic: str, payload: bytes, retained: bool) -> None:
        """Take a message; raises nothing."""
        raise NotImplementedError

    # --- Writing ----------------------------------------------------------------------------

    @override
    def _on_socket_register_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        if threading.get_ident() != self._thread_id:
            self._loop.call_soon_threadsafe(self._write)
        elif self._is_reading:  # paho's locks may be held; and there will be more
            self._loop.call_soon(self._write)
        else:
            self._write()

    def _write(self) -> None:
        """Write what the socket takes, and the rest when it takes more."""
        if self._abandoned:
            return
        try:
            self._client.loop_write()
        except Exception as err:  # noqa: BLE001 - whatever it is, the connection is over
            self._end(err)
            return
        sock = self._client.socket()
        if self._client.want_write() and not self._waits_to_write and sock and sock.fileno() >= 0:
            self._waits_to_write = True
            self._loop.add_writer(sock.fileno(), self._write)

    @override
    def _on_socket_unregister_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        if self._waits_to_write:
            self._waits_to_write = False
            super()._on_socket_unregister_write(client, userdata, sock)

    def _end(self, err: Exception) -> None:
        if not self._disconnected.done():
            self._disconnected.set_exception(err)
