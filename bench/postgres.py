"""PostgreSQL as a process of ours: a cluster of its own in a folder, on a free loopback port."""

import asyncio
from contextlib import suppress
import os
from pathlib import Path
import pwd
import secrets
import shutil
import signal
import subprocess

from processes import LeashedProcess, free_port, port_answers
import psutil

_DEBIAN = Path("/usr/lib/postgresql")
_USER = "postgres"
_START_S = 20.0


class Postgres:
    """A server with one database, which can be stopped and started."""

    def __init__(self, folder: Path, programs: Path) -> None:
        """Make the cluster; `folder` must not lie where only we may look."""
        self._folder, self._programs = folder, programs
        self._data = folder / "data"
        self._process: LeashedProcess | None = None
        self.port = free_port()
        # It refuses to run as root.
        self._become: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam(_USER)
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._become = ["setpriv", f"--reuid={_USER}", f"--regid={user.pw_gid}"]
            self._become += ["--init-groups", "--"]
        self._password = secrets.token_hex(16)
        told = folder / "password"
        told.touch(mode=0o600)
        told.write_text(self._password, encoding="utf-8")
        shutil.chown(told, folder.stat().st_uid, folder.stat().st_gid)
        options = [
            "--auth=scram-sha-256",
            f"--pwfile={told}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ]
        subprocess.run(
            [*self._become, programs / "initdb", "-D", self._data, "-U", _USER, *options],
            check=True,
            capture_output=True,
            cwd=folder,
        )

    @property
    def url(self) -> str:
        """Where it is, in the words of the recorder's `db_url`."""
        return f"postgresql://{_USER}:{self._password}@127.0.0.1:{self.port}/{_USER}"

    @property
    def cpu_s(self) -> float:
        """The processor time of the server with all of its processes since its start."""
        server = psutil.Process(self._pid)
        own = server.cpu_times()
        total: float = own.user + own.system + own.children_user + own.children_system
        for each in server.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                times = each.cpu_times()
                total += times.user + times.system
        return total

    async def start(self) -> None:
        """Start it as Debian has it set up, and wait until it listens."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self._folder,
        }
        command: list[str | Path] = [*self._become, self._programs / "postgres", "-D", self._data]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        output = self._folder / "output.log"
        self._process = LeashedProcess(
            command, folder=self._folder, output=output, environment=os.environ
        )
        async with asyncio.timeout(_START_S):
            while not await port_answers(self.port):
                if self._process.ended is not None:
                    raise RuntimeError(output.read_text(encoding="utf-8"))
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it as a restart by the system does: connections are ended, too."""
        if self._process:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGINT)
            await self._process.stop()
            self._process = None

    @property
    def _pid(self) -> int:
        return int((self._data / "postmaster.pid").read_text(encoding="utf-8").split("\n")[0])


def programs() -> Path | None:
    """Return where PostgreSQL's programs are, None where they are not installed."""
    found = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if not found and (initdb := shutil.which("initdb")):
        found = [Path(initdb).resolve()]
    return found[-1].parent if found else None
