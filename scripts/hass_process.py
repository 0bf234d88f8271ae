"""A real Home Assistant on the loopback interface, with the integration of this checkout."""

import asyncio
from collections.abc import Mapping, Sequence
import fcntl
import json
import os
from pathlib import Path
import sys
import time
from typing import Any

import aiohttp
from processes import LeashedProcess

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"

_GRACE_S = 30.0  # to write what is unsaved and to unload
_ONBOARDING_STEPS = {"user", "core_config", "analytics", "integration"}

_CONFIGURATION = """\
# Written by scripts/hass_process.py at every start; changes do not last.
homeassistant:
  name: {name}
  time_zone: Asia/Shanghai
  country: CN
  currency: CNY
  language: en
  unit_system: metric
  latitude: 39.9
  longitude: 116.4
  elevation: 44

frontend:
config:
recorder:
  commit_interval: 1
history:
logbook:
energy:
system_health:

logger:
  default: warning
  logs:
    # Programs and libraries that Home Assistant looks for at every start, whoever has them.
    haffmpeg: critical
    homeassistant.components.camera.img_util: critical
"""

# This step of the onboarding would add the weather and an internet radio, which need downloads.
_ONBOARDING_BEGUN = {"done": ["core_config"]}


class HassProcessError(Exception):
    """Home Assistant did not come up; the text says why and where its log is."""


class HassProcess:
    """A Home Assistant in a configuration folder of its own."""

    def __init__(  # noqa: PLR0913 - all but two are rarely given
        self,
        folder: Path,
        port: int,
        name: str = "HY Heating",
        *,
        components: Mapping[str, Path] | None = None,
        configuration: str = "",
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str | Path] = (),
    ) -> None:
        """Prepare the folder, which may have been used before.

        `components` are further integrations by name, `configuration` is added to the YAML file,
        `environment` to the variables, and `launcher` is put before the command.
        """
        self.folder = folder
        self._components = {"hy_heating": ROOT / "custom_components" / "hy_heating"} | dict(
            components or {}
        )
        self._configuration = configuration
        self._environment = environment or {}
        self._launcher = launcher
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.console = folder / "console.log"
        self._process: LeashedProcess | None = None
        self._prepare(name)

    def _prepare(self, name: str) -> None:
        (self.folder / ".storage").mkdir(parents=True, exist_ok=True)
        (self.folder / "configuration.yaml").write_text(
            _CONFIGURATION.format(name=name) + self._configuration, encoding="utf-8"
        )
        self._link_components()
        # Not in the YAML file: from there it would be on trial, until a person confirms it.
        self._store(
            "http", 2, {"stable": self._http(), "pending": None, "yaml_migration_done": True}
        )
        if not (self.folder / ".storage" / "onboarding").exists():
            self._store("onboarding", 4, _ONBOARDING_BEGUN)

    def _link_components(self) -> None:
        folder = self.folder / "custom_components"
        if folder.is_symlink():  # as earlier versions made it
            folder.unlink()
        folder.mkdir(exist_ok=True)
        for name, target in self._components.items():
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(target, target_is_directory=True)

    def _store(self, key: str, version: int, data: dict[str, Any]) -> None:
        stored = {"version": version, "minor_version": 1, "key": key, "data": data}
        path = self.folder / ".storage" / key
        path.write_text(json.dumps(stored), encoding="utf-8")

    def _http(self) -> dict[str, Any]:
        return {
            "server_host": [HOST],
            "server_port": self.port,
            "cors_allowed_origins": [],
            "login_attempts_threshold": -1,
            "ip_ban_enabled": False,
            "ssl_profile": "modern",
            "use_x_frame_options": True,
        }

    @property
    def onboarded(self) -> bool:
        """Whether all steps of the onboarding are done, as far as is on the disk."""
        stored = json.loads((self.folder / ".storage" / "onboarding").read_text(encoding="utf-8"))
        return set(stored["data"]["done"]) >= _ONBOARDING_STEPS

    @property
    def log(self) -> str:
        """All that was said since the last start."""
        return self.console.read_text(encoding="utf-8", errors="replace")

    async def start(self, timeout_s: float = 120.0) -> None:
        """Start it and wait until it can be logged in to; raises HassProcessError."""
        self.console.unlink(missing_ok=True)
        programs = Path(sys.executable).parent
        self._process = LeashedProcess(
            [
                *self._launcher,
                programs / "hass",
                "--config",
                self.folder,
                "--skip-pip",
                "--log-no-color",
            ],
            folder=self.folder,
            output=self.console,
            environment={
                key: value
                for key, value in os.environ.items()
                if key not in {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS"}
            }
            | dict(self._environment),
            grace_s=_GRACE_S,
        )
        # The first answers only while the onboarding is not done, the second only afterwards.
        path = "/auth/providers" if self.onboarded else "/api/onboarding"
        deadline = time.monotonic() + timeout_s
        async with aiohttp.ClientSession() as session:
            while not await _answers(session, self.url + path):
                if (status := self._process.ended) is not None:
                    raise HassProcessError(
                        f"Home Assistant ended with status {status}; its log: {self.console}"
                    )
                if time.monotonic() > deadline:
                    self.kill()
                    raise HassProcessError(
                        f"Home Assistant was not there after {timeout_s:.0f} s; "
                        f"its log: {self.console}"
                    )
                await asyncio.sleep(0.2)

    @property
    def ended(self) -> int | None:
        """The exit status of the last run, None while it runs."""
        return self._process.ended if self._process else 0

    async def stop(self) -> int:
        """End it in an orderly way; return the exit status."""
        return await self._process.stop() if self._process else 0

    def kill(self) -> None:
        """End it at once, as a power failure would."""
        if self._process:
            self._process.kill()

    def freeze(self) -> None:
        """Stop it in its tracks: its connections stand, and nobody answers."""
        if self._process:
            self._process.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        if self._process:
            self._process.thaw()


def is_in_use(folder: Path) -> bool:
    """Whether a Home Assistant runs in a configuration folder."""
    try:
        with (folder / ".ha_run.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200  # noqa: PLR2004 - HTTP's OK
    except aiohttp.ClientError, OSError:
        return False
