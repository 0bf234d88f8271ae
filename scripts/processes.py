"""Processes that end with whoever started them, and free ports for them."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
import os
from pathlib import Path
import signal
import socket
import subprocess
import sys

_LEASH = Path(__file__).with_name("leash.py")
_LEASH_GRACE_S = 5.0  # how much longer than its command the leash itself may take


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_port_free(port: int) -> bool:
    """Whether nobody listens on a port, on the loopback interface or on all."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


async def port_answers(port: int) -> bool:
    """Whether somebody accepts connections on a port of the loopback interface."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


class LeashedProcess:
    """A command that ends with us, however we end; Ctrl-C on a terminal does not reach it."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        output: Path,
        environment: Mapping[str, str],
        grace_s: float = 10.0,
    ) -> None:
        """Start it in a folder, with all that it says going to the end of a file.

        It has `grace_s` to end by itself once it is asked to.
        """
        self._grace_s = grace_s
        with output.open("ab") as sink:
            self._process = subprocess.Popen(
                [sys.executable, _LEASH, str(grace_s), *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def ended(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll()

    async def stop(self) -> int:
        """Ask it to end, and make it end after its time is over; return the exit status."""
        self.thaw()
        self._let_go()
        with suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, self._grace_s + _LEASH_GRACE_S)
        return self.kill()

    def kill(self) -> int:
        """End it at once, as a power failure would; return the exit status."""
        if self.ended is None:
            os.killpg(self._process.pid, signal.SIGKILL)  # the leash and what it holds
        self._let_go()
        return self._process.wait()

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stand, and nobody answers."""
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.ended is None:
            os.killpg(self._process.pid, signal.SIGCONT)

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
