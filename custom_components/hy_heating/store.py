"""Last good readings on disk, as the raw frames and messages that they were received in.

Kept raw, so that what is read after a restart goes through the same decoding as what arrives.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
import logging
from pathlib import Path
import random
from typing import Any, TypedDict

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import UnsupportedStorageVersionError
from homeassistant.helpers.storage import Store
from homeassistant.util import dt as dt_util

from .const import DOMAIN, SAVE_DELAYS_S
from .hyheat import frame
from .hyheat.devices import to_reading
from .hyheat.envelope import SettingsReply, StatusReply, decode_from_gateway, encode
from .hyheat.errors import HyHeatError
from .issues import async_tell_store
from .meter import MeterData

_LOGGER = logging.getLogger(__name__)
_VERSION = 1


class _StoredMeter(TypedDict):
    frame: str
    received: str
    port: int
    protocol_code: str | None


class _StoredGateway(TypedDict):
    status: str | None
    settings: str | None
    last_seen: str | None
    meters: dict[str, _StoredMeter]
    readings: Mapping[str, Any]
    replacements: Mapping[str, Any]
    commands: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class KeptGateway:
    """What is kept of a gateway: its last words, its meters by number, and what judges them.

    `commands` are counters and, by meter, what the last commands left behind.
    """

    status: StatusReply | None = None
    settings: SettingsReply | None = None
    last_seen: datetime | None = None
    meters: Mapping[str, MeterData] = field(default_factory=dict)
    readings: Mapping[str, Any] = field(default_factory=dict)
    replacements: Mapping[str, Any] = field(default_factory=dict)
    commands: Mapping[str, Any] = field(default_factory=dict)


def _store(hass: HomeAssistant, entry_id: str) -> Store[_StoredGateway]:
    return Store(hass, _VERSION, f"{DOMAIN}.{entry_id}", private=True, atomic_writes=True)


async def async_remove_store(hass: HomeAssistant, entry_id: str) -> None:
    """Delete what was kept for an entry."""
    await _store(hass, entry_id).async_remove()


class ReadingStore:
    """Writes a gateway's readings some seconds after they changed, many at once."""

    def __init__(
        self, hass: HomeAssistant, entry_id: str, collect: Callable[[], KeptGateway]
    ) -> None:
        """Keep the readings of an entry; `collect` is asked when it is time to write."""
        self._hass = hass
        self._entry_id = entry_id
        self._store = _store(hass, entry_id)
        self._collect = collect
        self._dirty = False
        self._loaded = False

    async def async_load(self) -> KeptGateway:
        """Return what was kept; what cannot be read any more is left out and logged.

        A file that is no JSON is set aside and reported by Home Assistant's store, one of another
        shape by this one.
        """
        stored: object = None
        try:
            stored = await self._store.async_load()
        except (KeyError, TypeError, NotImplementedError, UnsupportedStorageVersionError) as err:
            await self._set_aside(repr(err))
        self._loaded = True
        if stored is None:
            return KeptGateway()
        if not isinstance(stored, Mapping):
            await self._set_aside(f"it holds a {type(stored).__name__}")
            return KeptGateway()
        status, settings = _message(stored.get("status")), _message(stored.get("settings"))
        meters, readings = _mapping(stored.get("meters")), _mapping(stored.get("readings"))
        kept = {str(number): _meter(str(number), meter) for number, meter in meters.items()}
        return KeptGateway(
            status if isinstance(status, StatusReply) else None,
            settings if isinstance(settings, SettingsReply) else None,
            stored_time(stored.get("last_seen")),
            {number: meter for number, meter in kept.items() if meter is not None},
            readings,
            _mapping(stored.get("replacements")),
            _mapping(stored.get("commands")),
        )

    async def _set_aside(self, reason: str) -> None:
        path = Path(self._store.path)
        aside = path.with_name(f"{path.name}.corrupt.{dt_util.utcnow().isoformat()}")
        _LOGGER.error("The kept readings are unreadable (%s); set aside as %s", reason, aside)
        if await self._hass.async_add_executor_job(path.exists):
            await self._hass.async_add_executor_job(path.rename, aside)
        async_tell_store(self._hass, self._entry_id, str(aside))

    @callback
    def async_changed(self) -> None:
        """Plan a write, once: a delayed save that is asked for again is put off again."""
        if not self._dirty:
            self._dirty = True
            delay_s = random.uniform(*SAVE_DELAYS_S)  # noqa: S311 - no secret
            self._store.async_delay_save(self._to_store, delay_s)

    async def async_save(self) -> None:
        """Write now; what was never read is not written over."""
        if not self._loaded:
            return
        await self._store.async_save(self._to_store())

    def _to_store(self) -> _StoredGateway:
        self._dirty = False
        kept = self._collect()
        return _StoredGateway(
            status=encode(kept.status).decode() if kept.status else None,
            settings=encode(kept.settings).decode() if kept.settings else None,
            last_seen=kept.last_seen.isoformat() if kept.last_seen else None,
            meters={
                number: _StoredMeter(
                    frame=meter.reading.frame.hex().upper(),
                    received=meter.received.isoformat(),
                    port=meter.port,
                    protocol_code=meter.protocol_code,
                )
                for number, meter in kept.meters.items()
            },
            readings=kept.readings,
            replacements=kept.replacements,
            commands=kept.commands,
        )


def _mapping(stored: object) -> Mapping[str, Any]:
    return stored if isinstance(stored, Mapping) else {}


def stored_time(text: object) -> datetime | None:
    """Return a time that was kept in ISO format, None for anything else."""
    try:
        parsed = dt_util.parse_datetime(text) if isinstance(text, str) else None
    except ValueError:  # of the right form, but of no calendar
        return None
    return None if parsed is None or parsed.tzinfo is None else dt_util.as_utc(parsed)


def _message(text: object) -> object:
    try:
        return decode_from_gateway(text.encode()) if isinstance(text, str) else None
    except HyHeatError as err:
        _LOGGER.warning("A kept message is unreadable: %s", err)
        return None


def _meter(number: str, stored: object) -> MeterData | None:
    parts = _mapping(stored)
    raw, port, code = parts.get("frame"), parts.get("port"), parts.get("protocol_code")
    received = stored_time(parts.get("received"))
    code = code if isinstance(code, str) else None
    if not isinstance(raw, str) or not isinstance(port, int) or received is None:
        _LOGGER.warning("The kept reading of meter %s is incomplete", number)
        return None
    try:
        reading = to_reading(frame.parse(raw), code)
    except HyHeatError as err:
        _LOGGER.warning("The kept reading of meter %s is unreadable: %s", number, err)
        return None
    if reading.meter_number != number:
        _LOGGER.warning("The kept reading of meter %s is not its own", number)
        return None
    return MeterData(reading, received, port, code)
