"""A real mosquitto in a process of its own, and a line to it that can be cut."""

import asyncio
from asyncio.subprocess import Process
import base64
import contextlib
from dataclasses import dataclass, field
import hashlib
import json
import os
from pathlib import Path
import pwd
import shutil
import signal
import socket

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from .brokers import free_port

DYNAMIC_SECURITY = "mosquitto_dynamic_security.so"
START_TIMEOUT_S = 10.0


def find_plugin() -> Path | None:
    """Return where the distribution keeps mosquitto's dynamic-security plugin."""
    return next(Path("/usr/lib").glob(f"**/{DYNAMIC_SECURITY}"), None)


@dataclass
class Mosquitto:
    """mosquitto on one port: user `heat`, password `right`."""

    folder: Path
    options: list[str] = field(default_factory=list)
    allowed_topics: list[str] | None = None
    """The topics that may be subscribed to, by the plugin; None: no plugin, all topics."""
    port: int = field(default_factory=free_port)
    _process: Process | None = None

    async def start(self) -> None:
        """Start, with the sessions of before where persistence is among the options."""
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous false", *self.options]
        if os.geteuid() == 0:
            # Else it would change to a user who may not write to the test's folder.
            lines.append(f"user {pwd.getpwuid(0).pw_name}")
        if self.allowed_topics is None:
            lines.append(f"password_file {await self._password_file()}")
        else:
            plugin = find_plugin()
            assert plugin, "mosquitto's dynamic-security plugin is not installed"
            lines += [f"plugin {plugin}", f"plugin_opt_config_file {self._security_file()}"]
        configuration = self.folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                _program("mosquitto"), "-v", "-c", configuration, stdout=log, stderr=log
            )
        async with asyncio.timeout(START_TIMEOUT_S):
            while not await _listens(self.port):
                assert self._process.returncode is None, self.log
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it, as the system does at shutdown."""
        if self._process:
            self.thaw()
            self._process.terminate()
            await self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stand, and nobody answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)

    @property
    def log(self) -> str:
        """What it logged so far."""
        return (self.folder / "mosquitto.log").read_text()

    def client(self, identifier: str | None = None, *, clean: bool = True) -> aiomqtt.Client:
        """Return a client of MQTT 5: a gateway, or an observer."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho leaves it so
        properties.SessionExpiryInterval = 0 if clean else 600
        return aiomqtt.Client(
            "127.0.0.1",
            self.port,
            username="heat",
            password="right",
            protocol=aiomqtt.ProtocolVersion.V5,
            identifier=identifier,
            clean_start=clean,
            properties=properties,
        )

    async def publish(self, topic: str, *payloads: bytes) -> None:
        """Send messages with QoS 1, as a gateway does."""
        async with self.client() as client:
            for payload in payloads:
                await client.publish(topic, payload, qos=1)

    async def _password_file(self) -> Path:
        path = self.folder / "passwords"
        process = await asyncio.create_subprocess_exec(
            _program("mosquitto_passwd"), "-b", "-c", path, "heat", "right"
        )
        assert await process.wait() == 0
        path.chmod(0o600)
        return path

    def _security_file(self) -> Path:
        salt = b"a salt of 12"
        rules = [
            {"acltype": kind, "topic": topic, "allow": True}
            for kind, topics in {
                "subscribeLiteral": self.allowed_topics or [],
                "publishClientSend": ["#"],
                "publishClientReceive": ["#"],
                "unsubscribePattern": ["#"],
            }.items()
            for topic in topics
        ]
        hashed = hashlib.pbkdf2_hmac("sha512", b"right", salt, 101)
        content = {
            "clients": [
                {
                    "username": "heat",
                    "password": base64.b64encode(hashed).decode(),
                    "salt": base64.b64encode(salt).decode(),
                    "iterations": 101,
                    "roles": [{"rolename": "site"}],
                }
            ],
            "roles": [{"rolename": "site", "acls": rules}],
            "defaultACLAccess": {"subscribe": False},
        }
        path = self.folder / "dynamic-security.json"
        path.write_text(json.dumps(content))
        return path


class Line:
    """A line to a port that can be cut, so that a broker lives on without its client."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Let connections through, on the same port each time."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """End every connection, and take no new ones."""
        if self._server:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._server.wait_closed()
            await asyncio.sleep(0)  # for the sockets to close
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        connecting = asyncio.ensure_future(asyncio.open_connection("127.0.0.1", self._target_port))
        try:
            there_reader, there_writer = await asyncio.shield(connecting)
        except BaseException:  # cut meanwhile: neither end may stay open
            writer.transport.abort()
            with contextlib.suppress(OSError):
                (await connecting)[1].transport.abort()
            self._tasks.discard(task)
            raise
        copies = [
            asyncio.ensure_future(_copy(reader, there_writer)),
            asyncio.ensure_future(_copy(there_reader, writer)),
        ]
        try:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before anything is waited for: it may be cut just when one end has gone.
            for each in (writer, there_writer):
                each.transport.abort()
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
            self._tasks.discard(task)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _listens(port: int) -> bool:
    with contextlib.suppress(ConnectionError), socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        return True
    return False


def _program(name: str) -> str:
    """Return the path of a program, which may lie where only root looks."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    assert path, f"{name} is not installed"
    return path
