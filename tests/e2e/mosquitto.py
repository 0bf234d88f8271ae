"""Debian's broker as a process of ours: user name and password on, everything logged.

Two settings are as docs/RELIABILITY.md advises: by default mosquitto keeps no more than 1000
messages for a client that is away, and writes its sessions down every half hour.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
import getpass
import os
from pathlib import Path
import shutil
import subprocess

from aiomqtt import Client
from processes import LeashedProcess, free_port, port_answers

USERNAME = "heat"
PASSWORD = "right horse"

_CONFIGURATION = """\
listener {port} 127.0.0.1
allow_anonymous false
password_file {folder}/passwords
persistence true
persistence_location {folder}/
max_queued_messages 100000
autosave_interval 5
sys_interval 1
log_dest stderr
{log_types}
user {user}
{options}
"""
EVERYTHING = ("all",)
_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # where Debian keeps it


class Mosquitto:
    """A broker on a free port of the loopback interface, which can be stopped and started."""

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        log_types: Sequence[str] = EVERYTHING,
        *,
        username: str = USERNAME,
        password: str = PASSWORD,
    ) -> None:
        """Prepare its folder; `options` are further lines of its configuration."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.username = username
        self.port = free_port()
        self._process: LeashedProcess | None = None
        configuration = _CONFIGURATION.format(
            port=self.port,
            folder=folder,
            user=getpass.getuser(),
            log_types="\n".join(f"log_type {each}" for each in log_types),
            options="\n".join(options),
        )
        (folder / "mosquitto.conf").write_text(configuration, encoding="utf-8")
        self.set_password(password)

    def set_password(self, password: str) -> None:
        """Change the password of the user; it counts from the next start on."""
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", self.folder / "passwords", self.username, password],
            check=True,
            capture_output=True,
        )
        self.password = password

    @property
    def log(self) -> str:
        """All that it ever said."""
        return (self.folder / "output.log").read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Start it and wait until it listens."""
        program = shutil.which("mosquitto", path=_PATH)
        assert program, "mosquitto is not installed; scripts/e2e does that"
        self._process = LeashedProcess(
            [program, "-c", self.folder / "mosquitto.conf"],
            folder=self.folder,
            output=self.folder / "output.log",
            environment=os.environ,
        )
        async with asyncio.timeout(10):
            while not await port_answers(self.port):
                assert self._process.ended is None, self.log
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it in an orderly way: it keeps the persistent sessions."""
        if self._process:
            await self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it at once, as a power failure would: what it had not written down is gone."""
        if self._process:
            self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stand, and nobody answers."""
        assert self._process
        self._process.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process
        self._process.thaw()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Connect as somebody who may publish and hear everything."""
        async with Client(
            "127.0.0.1", self.port, username=self.username, password=self.password
        ) as client:
            yield client

    async def publish(self, topic: str, payload: str | bytes, *, qos: int = 1) -> None:
        """Publish one message."""
        async with self.client() as client:
            await client.publish(topic, payload, qos=qos)

    async def count(self, what: str) -> int:
        """Return a figure of the broker itself, at most a second old, ourselves included.

        `what` is the end of a topic below $SYS/broker, such as clients/total.
        """
        async with self.client() as client, asyncio.timeout(5):
            # The first is what was kept, so from before; the broker tells only what changed,
            # so wait for the interval of one second and take the last.
            await asyncio.sleep(2.2)
            await client.subscribe(f"$SYS/broker/{what}")
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                return int(message.payload)
        raise AssertionError("unreachable")
