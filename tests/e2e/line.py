"""A line to a broker that loses what is on it without a word, as a network that is cut does.

While it is cut, nothing comes through and nobody is told: what is written fills the buffers, new
connections get no answer. Once mended, what waited comes late, as TCP repeats it, unless its
sender has reset the connection meanwhile: then it is gone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
import socket


class Line:
    """A port that leads to another one."""

    def __init__(self, target_port: int) -> None:
        """Prepare a line that is whole."""
        self.port = 0
        self._target_port = target_port
        self._whole = asyncio.Event()
        self._whole.set()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Let connections in."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End every connection, and take no new ones."""
        if self._server:
            self._server.close()
            for connection in self._connections:
                connection.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Let nothing through meanwhile."""
        self._whole.clear()
        try:
            yield
        finally:
            self._whole.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        writers = [writer]
        copies: list[asyncio.Task[None]] = []
        try:
            await self._whole.wait()
            there_reader, there_writer = await asyncio.open_connection(
                "127.0.0.1", self._target_port, limit=4096
            )
            writers.append(there_writer)
            ways = ((reader, there_writer, writer), (there_reader, writer, there_writer))
            copies = [asyncio.create_task(self._copy(*way)) for way in ways]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            for each in writers:
                each.transport.abort()
            self._connections.discard(task)

    async def _copy(
        self, reader: asyncio.StreamReader, to: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(4096):
                if not self._whole.is_set():
                    await self._whole.wait()
                    if was_reset(back):
                        return
                to.write(data)
                await to.drain()


def was_reset(writer: asyncio.StreamWriter) -> bool:
    """Whether the other end of a connection has reset it."""
    sock: socket.socket = writer.get_extra_info("socket")
    return sock.fileno() < 0 or bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
