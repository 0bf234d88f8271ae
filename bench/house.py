"""A real Home Assistant in a folder of its own, ready from its first start, that answers."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
import json
from pathlib import Path
import shutil
from typing import Any

from hass_process import HassProcess
from processes import free_port

from tests.e2e.mosquitto import USERNAME, Mosquitto

from .payloads import Meter

COMPONENTS = Path(__file__).with_name("components")
_SINCE = "2026-01-01T00:00:00+00:00"
_CONFIGURATION = """\
homeassistant:
  name: Bench
  time_zone: Asia/Shanghai
  country: CN
  unit_system: metric
  latitude: 39.9
  longitude: 116.4
  elevation: 44
api:
websocket_api:
bench_probe:
logger:
  default: error
"""
_RECORDER = "history:\nrecorder:\n"
_ANSWER_BYTES = 2**26


@dataclass(frozen=True, slots=True)
class Design:
    """What stands in a Home Assistant: its entries, its YAML, and how its entities are called."""

    name: str
    prefix: str
    entity: str
    entries: tuple[dict[str, Any], ...]
    yaml: str = ""
    stores: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def commanded_opening(self, meter: Meter) -> str:
        """Return the entity of a cabinet that every report changes."""
        return f"sensor.{self.entity}_{meter.number}_commanded_opening"


def _entry(domain: str, version: int, entry_id: str, title: str, **data: object) -> dict[str, Any]:
    return {
        "created_at": _SINCE,
        "modified_at": _SINCE,
        "data": data,
        "disabled_by": None,
        "discovery_keys": {},
        "domain": domain,
        "entry_id": entry_id,
        "minor_version": 1,
        "options": {},
        "pref_disable_new_entities": False,
        "pref_disable_polling": False,
        "source": "user",
        "subentries": [],
        "title": title,
        "unique_id": entry_id,
        "version": version,
    }


def _login(broker: Mosquitto) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": broker.port,
        "username": USERNAME,
        "password": broker.password,
    }


def integration(broker: Mosquitto, meters: Iterable[Meter]) -> Design:
    """Return this integration with the gateways of some meters."""
    gateways = dict.fromkeys(meter.gateway for meter in meters)
    more = {"link": "own", "tls": False, "tls_verify": True, "ca_certificate": None}
    entries = tuple(
        _entry(
            "hy_heating",
            2,
            gateway,
            f"Building {int(gateway)}",
            gateway_id=gateway,
            prefix="hy/gw",
            **_login(broker),
            **more,
        )
        for gateway in gateways
    )
    return Design("integration", "hy/gw", "cabinet", entries)


def floor(broker: Mosquitto, meters: Iterable[Meter]) -> Design:
    """Return the floor with six sensors for each meter, an entry for each gateway."""
    by_gateway: dict[str, list[str]] = {}
    for meter in meters:
        meter_id = f"{meter.number}{meter.spec.protocol_code}00"
        by_gateway.setdefault(meter.gateway, []).append(meter_id)
    entries = tuple(
        _entry(
            "bench_floor",
            1,
            f"floor{gateway}",
            f"Floor {int(gateway)}",
            topic=f"floor/gw/set/{gateway}",
            meter_ids=meter_ids,
            **_login(broker),
        )
        for gateway, meter_ids in by_gateway.items()
    )
    return Design("floor", "floor/gw", "floor", entries)


_HEX = "value_json.data.meter_data[0]"
_TEMPLATES = {
    "heat_energy": "(h[34:36] ~ h[32:34] ~ h[30:32] ~ h[28:30]) | int / 100",
    "volume_flow_rate": "(h[44:46] ~ h[42:44] ~ h[40:42] ~ h[38:40]) | int",
    "thermal_power": "(h[44:46] ~ h[42:44] ~ h[40:42] ~ h[38:40]) | int / 1000",
    "commanded_opening": "(h[112:114] ~ h[110:112]) | int(base=16) / 10",
    "supply_temperature": "(h[62:64] ~ h[60:62] ~ h[58:60]) | int / 100",
    "return_temperature": "(h[68:70] ~ h[66:68] ~ h[64:66]) | int / 100",
}
_UNITS = {
    "heat_energy": ("energy", "total_increasing", "kWh"),
    "supply_temperature": ("temperature", "measurement", "°C"),
    "return_temperature": ("temperature", "measurement", "°C"),
    "volume_flow_rate": ("volume_flow_rate", "measurement", "L/h"),
    "thermal_power": ("power", "measurement", "kW"),
}


def core_mqtt(broker: Mosquitto, meters: Iterable[Meter]) -> Design:
    """Return Home Assistant's own MQTT with a template for each of six sensors a meter."""
    rows = [
        _sensor(meter, key, template) for meter in meters for key, template in _TEMPLATES.items()
    ]
    login = _login(broker)
    data = {"broker": login.pop("host"), **login, "discovery": False}
    entry = _entry("mqtt", 2, "mqtt", "Broker", **data)
    return Design("core mqtt", "core/gw", "core", (entry,), "mqtt:\n  sensor:\n" + "".join(rows))


def _sensor(meter: Meter, key: str, template: str) -> str:
    meter_id = f"{meter.number}{meter.spec.protocol_code}00"
    row: dict[str, str] = {
        "name": f"{meter.number} {key}",
        "unique_id": f"{meter.number}_{key}",
        "default_entity_id": f"sensor.core_{meter.number}_{key}",
        "state_topic": f"core/gw/set/{meter.gateway}",
        "value_template": (
            f"{{% if value_json.data.meter_id == '{meter_id}' %}}{{% set h = {_HEX} %}}"
            f"{{{{ {template} }}}}{{% else %}}{{{{ this.state }}}}{{% endif %}}"
        ),
    }
    if key in _UNITS:
        names = ("device_class", "state_class", "unit_of_measurement")
        row |= dict(zip(names, _UNITS[key], strict=True))
    else:
        row["unit_of_measurement"] = "%"
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in row.items()]
    return f"    - {lines[0]}\n" + "".join(f"      {line}\n" for line in lines[1:])


class House:
    """A Home Assistant with one design in it."""

    def __init__(
        self,
        folder: Path,
        design: Design,
        *,
        recorder: bool = False,
        database: str = "",
        storage: Path | None = None,
    ) -> None:
        """Prepare its folder, which may have been used before.

        `database` is where the recorder writes, in the words of `db_url`; `storage` is what
        another house has learned.
        """
        self.folder, self.design, self.recorder = folder, design, recorder
        components = {name: COMPONENTS / name for name in ("bench_probe", "bench_floor")}
        self.hass = HassProcess(folder, free_port(), "Bench", components=components)
        written = _RECORDER + (f"  db_url: {json.dumps(database)}\n" if database else "")
        yaml = _CONFIGURATION + (written if recorder else "") + design.yaml
        (folder / "configuration.yaml").write_text(yaml, encoding="utf-8")
        if storage:
            shutil.copytree(storage, folder / ".storage", dirs_exist_ok=True)
        done = ["user", "core_config", "analytics", "integration"]
        self._store("onboarding", 4, 1, {"done": done})
        self._store("core.config_entries", 1, 5, {"entries": list(design.entries)})
        for key, data in design.stores.items():
            self._store(key, 1, 1, data)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    def _store(self, key: str, version: int, minor: int, data: Mapping[str, Any]) -> None:
        stored = {"version": version, "minor_version": minor, "key": key, "data": data}
        path = self.folder / ".storage" / key
        if not path.exists():
            path.write_text(json.dumps(stored), encoding="utf-8")

    async def start(self) -> dict[str, float]:
        """Start it, and wait until everything is set up; return how it stood then."""
        (self.folder / "bench.sock").unlink(missing_ok=True)
        await self.hass.start(timeout_s=600)
        path = self.folder / "bench.sock"
        while self._writer is None:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                connected = await asyncio.open_unix_connection(path, limit=_ANSWER_BYTES)
                self._reader, self._writer = connected
                break
            await asyncio.sleep(0.1)
        told: dict[str, float] = await self.ask("running")
        return told

    async def ask(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - JSON is any of its types
        """Return the probe's answer to a question."""
        if self._reader is None or self._writer is None:
            raise RuntimeError("it was not started")
        self._writer.write(json.dumps([name, *arguments]).encode() + b"\n")
        if not (line := await self._reader.readline()):
            raise RuntimeError(f"Home Assistant is gone, see {self.hass.console}")
        return json.loads(line)

    async def kill(self) -> None:
        """End it at once: nobody will start it again."""
        self.hass.kill()
        await self.stop()

    async def stop(self) -> None:
        """End it in an orderly way."""
        if self._writer:
            self._writer.close()
            self._writer = None
        await self.hass.stop()

    def topic(self, meter: Meter) -> str:
        """Return where a meter's reports go."""
        return f"{self.design.prefix}/set/{meter.gateway}"
