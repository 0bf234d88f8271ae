"""One coordinator per gateway: its client, what it told, its meters, and whether it is heard of."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
import logging
from typing import Any, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_track_time_interval
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util
from homeassistant.util.json import json_loads

from . import issues
from .areas import async_follow_names
from .commands import CommandCounters, CommandReport
from .conditions import SiteConditions, is_mbus_odd
from .const import (
    AVAILABILITY_CHECK_INTERVAL,
    CONF_GATEWAY_ID,
    CONF_MOVE_PAUSE_S,
    CONF_READ_ONLY,
    CONF_TRAVEL_TIME_S,
    DEFAULT_CABINET_INTERVAL,
    DEFAULT_MOVE_PAUSE_S,
    DEFAULT_OUT_OF_SEASON_INTERVAL,
    DEFAULT_TRAVEL_TIME_S,
    DEFAULT_VALVE_INTERVAL,
    DOMAIN,
    MAX_METERS,
    SETTINGS_INTERVAL,
    STATUS_INTERVAL,
)
from .errors import to_home_assistant
from .hyheat.client import (
    AvailabilityChanged,
    Event,
    ForeignCommand,
    GatewayClient,
    MessageReceived,
    ReadingReceived,
    Refused,
    SettingsReceived,
    StatusReceived,
)
from .hyheat.envelope import SettingsReply, StatusReply
from .hyheat.errors import LinkAuthError, RefusalReason, ReplyError
from .hyheat.model import MeterReading, UnknownReading
from .hyheat.season import in_season
from .hyheat.session import Timing
from .identity import meter_identifier
from .links import MqttNotLoadedError, SharedLink
from .meter import (
    CABINET_KIND,
    LINK_SILENCES,
    UNKNOWN_KIND,
    VALVE_KIND,
    MeterCoordinator,
    MeterData,
    Silence,
)
from .notices import Notice, async_tell
from .readings import GatewayReadings
from .replacements import MeterReplacements
from .store import KeptGateway, ReadingStore

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayData:
    """What a gateway told, None while it has not."""

    status: StatusReply | None = None
    settings: SettingsReply | None = None
    last_seen: datetime | None = None


class GatewayCoordinator(DataUpdateCoordinator[GatewayData]):
    """One gateway: its client, status and settings, and its meters by number."""

    config_entry: ConfigEntry

    def __init__(self, hass: HomeAssistant, entry: ConfigEntry, link: SharedLink) -> None:
        """Prepare; nothing is sent before `async_start`."""
        self.gateway_id: str = entry.data[CONF_GATEWAY_ID]
        super().__init__(hass, _LOGGER, config_entry=entry, name=self.gateway_id)
        self.data = GatewayData()
        self.device_id = ""
        self.area_name: str | None = None
        self.meters: dict[str, MeterCoordinator] = {}
        self.silence: Silence | None = None
        self.judged_from_s = self.now_s()
        self.link = link
        self._new_meter_listeners: list[Callable[[MeterCoordinator], None]] = []
        self.readings = GatewayReadings(self, entry)
        self.replacements = MeterReplacements(self, entry)
        self._catching_up: asyncio.Task[None] | None = None
        self.conditions = SiteConditions(self)
        self.odd_mbus_replies = 0
        self._settings_s: float | None = None
        self._last_heard: datetime | None = None
        self._heating: bool | None = None
        self._logged_silent = False
        self._store = ReadingStore(hass, entry.entry_id, self._to_keep)
        self.read_only: bool = entry.options.get(CONF_READ_ONLY, False)
        self.counters = CommandCounters()
        timing = Timing(
            travel_s=entry.options.get(CONF_TRAVEL_TIME_S, DEFAULT_TRAVEL_TIME_S),
            move_pause_s=entry.options.get(CONF_MOVE_PAUSE_S, DEFAULT_MOVE_PAUSE_S),
        )
        self.client = GatewayClient(
            self.gateway_id,
            link,
            self._on_event,
            prefix=link.settings.prefix,
            timing=timing,
            loads=json_loads,
            on_refused=self._on_refused,
        )

    # --- Life -------------------------------------------------------------------------------

    async def async_start(self) -> None:
        """Restore what is known, subscribe, and begin to poll.

        Raises LinkError where the broker does not let us subscribe.
        """
        await self._async_restore()
        await self.client.start()
        self._on_unload(self.readings.async_start())
        self._on_unload(self.link.add_status_listener(self._link_changed))
        if stop_following := async_follow_names(self.hass, self.config_entry, self.device_id):
            self._on_unload(stop_following)
        for action, interval in (
            (self._judge, AVAILABILITY_CHECK_INTERVAL),
            (self._async_poll, STATUS_INTERVAL),
        ):
            self._on_unload(
                async_track_time_interval(self.hass, action, interval, cancel_on_shutdown=True)
            )
        self._catch_up_soon()

    async def async_entities_added(self) -> None:
        """Go on where that takes entities that show the present values."""
        if self.replacements.async_continue():
            await self._store.async_save()
        self.conditions.async_review()

    async def async_stop(self) -> None:
        """End every request, leave the link, and keep the readings."""
        await self.client.stop()
        await asyncio.sleep(0)  # the ends of the last commands are told, and kept
        await self._store.async_save()

    def _on_unload(self, remove: CALLBACK_TYPE) -> None:
        self.config_entry.async_on_unload(remove)

    def _catch_up_soon(self) -> None:
        self._catching_up = self.config_entry.async_create_background_task(
            self.hass, self._async_catch_up(), f"{DOMAIN} catch up {self.gateway_id}"
        )

    async def _async_catch_up(self) -> None:
        """Ask how the gateway is, then have read what it should have told while nobody heard.

        Its answer comes after whatever the broker held, so what is overdue now is missing there.
        """
        if not await self._async_ask():
            return
        overdue = {meter.data.kind for meter in self.meters.values() if meter.overdue}
        cabinets, valves = CABINET_KIND in overdue, VALVE_KIND in overdue
        if not (cabinets or valves):
            return
        try:
            await self.client.read_now(cabinets=cabinets, valves=valves)
        except ReplyError as err:
            _LOGGER.debug("Gateway %s: overdue reports not read: %s", self.gateway_id, err)

    async def _async_poll(self, _now: datetime) -> None:
        await self._async_ask()

    async def _async_ask(self) -> bool:
        """Ask for the status, and once a day for the settings; return whether it answered."""
        if not self.client.session.link_up:
            return False
        answered = False
        try:
            await self.client.query_status()
            answered = True
            age = SETTINGS_INTERVAL.total_seconds()
            if self._settings_s is None or self.now_s() - self._settings_s >= age:
                await self.client.query_settings()
        except ReplyError as err:
            _LOGGER.debug("Gateway %s: poll not answered: %s", self.gateway_id, err)
        return answered

    @override
    async def _async_update_data(self) -> GatewayData:
        """Ask for the status, when somebody asks for an update of the gateway's entities."""
        try:
            await self.client.query_status()
        except ReplyError as err:
            raise UpdateFailed(str(err)) from err
        return self.data

    # --- What entities ask ------------------------------------------------------------------

    @property
    def available(self) -> bool:
        """Whether broker and gateway are heard of."""
        return self.silence is None

    @property
    def heating(self) -> bool | None:
        """Whether it is heating season today, None while its dates are not known."""
        return self._heating

    @property
    def out_of_season_interval(self) -> timedelta:
        """The upload interval outside the heating season."""
        minutes = self.data.settings and self.data.settings.interval_out_of_season_min
        return timedelta(minutes=minutes) if minutes else DEFAULT_OUT_OF_SEASON_INTERVAL

    @property
    def meters_reporting(self) -> int:
        """Number of meters whose values count."""
        return sum(meter.available for meter in self.meters.values())

    @property
    def meters_expected(self) -> int | None:
        """Number of meters that the gateway counts, None while it has not told."""
        status = self.data.status
        if status is None or status.cabinets is None or status.valves is None:
            return None
        return status.cabinets + status.valves

    @property
    def valves_unproven(self) -> list[str]:
        """Numbers of the meters whose last command ended without proof."""
        return sorted(number for number, meter in self.meters.items() if meter.commands.unproven)

    @callback
    def commands_ended(self, report: CommandReport) -> None:
        """Count the end of a command."""
        self.counters.add(report)
        self._store.async_changed()
        self.async_update_listeners()

    def interval(self, kind: str) -> timedelta:
        """Return the in-season upload interval of a kind of meter."""
        settings = self.data.settings
        if kind == CABINET_KIND:
            minutes = settings and settings.cabinet_interval_min
            return timedelta(minutes=minutes) if minutes else DEFAULT_CABINET_INTERVAL
        minutes = settings and settings.valve_interval_min
        return timedelta(minutes=minutes) if minutes else DEFAULT_VALVE_INTERVAL

    def now_s(self) -> float:
        """Return the monotonic time that intervals are measured in."""
        return self.hass.loop.time()

    @callback
    def async_add_meter_listener(
        self, listener: Callable[[MeterCoordinator], None]
    ) -> CALLBACK_TYPE:
        """Tell a listener of every meter that appears; return how to stop that."""
        self._new_meter_listeners.append(listener)
        return lambda: self._new_meter_listeners.remove(listener)

    async def async_refresh_status(self) -> None:
        """Ask for status and settings; raises HomeAssistantError."""
        try:
            await self.client.query_status()
            await self.client.query_settings()
        except ReplyError as err:
            raise to_home_assistant(err, self.gateway_id) from err

    async def async_read_now(self, *, cabinets: bool = False, valves: bool = False) -> None:
        """Have all cabinets or household valves read; raises HomeAssistantError."""
        try:
            await self.client.read_now(cabinets=cabinets, valves=valves)
        except ReplyError as err:
            raise to_home_assistant(err, self.gateway_id) from err

    @callback
    def async_remove_meter(self, number: str) -> bool:
        """Remove the device of a meter that is missing; return whether it still is."""
        if number not in self.replacements.missing:
            return False
        self.async_forget_meter(number)
        registry = dr.async_get(self.hass)
        device = registry.async_get_device_by_identifier(
            meter_identifier(self.gateway_id, number), self.config_entry.entry_id
        )
        if device is not None:
            registry.async_remove_device(device.id)
        return True

    @callback
    def async_forget_meter(self, number: str) -> None:
        """Drop a meter whose device was removed; it returns with its next report."""
        self.meters.pop(number, None)
        self.readings.async_forget(number)
        self.client.frames.forget(number)
        self.replacements.async_forget(number)
        issues.async_clear(self.hass, self.config_entry, self.gateway_id, number)
        self._store.async_changed()
        self.async_update_listeners()

    # --- What happens -----------------------------------------------------------------------

    @callback
    def _on_event(self, event: Event) -> None:
        match event:
            case MessageReceived():
                self._heard()
            case ReadingReceived():
                self._reading_received(event)
            case StatusReceived(status=status):
                self.data = replace(self.data, status=status)
                self.odd_mbus_replies = self.odd_mbus_replies + 1 if is_mbus_odd(status) else 0
                self._update_device(status)
                self._told()
            case SettingsReceived(settings=settings):
                self.data = replace(self.data, settings=settings)
                self._settings_s = self.now_s()
                self._told()
            case AvailabilityChanged():
                self._availability_changed(event)
            case ForeignCommand(meter_number=number, opening_pct=opening_pct):
                if meter := self.meters.get(number):
                    meter.commands.async_foreign(opening_pct)

    @callback
    def _on_refused(self, refused: Refused) -> None:
        async_tell(self, Notice.READING_REFUSED, refused.meter_number, reason=refused.reason)

    def _heard(self) -> None:
        """Note a sign of life; entities see it with the next judgement, not with every message."""
        self._last_heard = dt_util.utcnow()

    def _show_last_heard(self) -> None:
        self.data = replace(self.data, last_seen=self._last_heard)

    def _told(self) -> None:
        self._show_last_heard()
        self._judge_season()
        self._store.async_changed()
        self.async_set_updated_data(self.data)

    @callback
    def _link_changed(self, up: bool) -> None:
        if up:
            return
        if isinstance(self.link.failure, LinkAuthError):
            self.config_entry.async_start_reauth(self.hass)
        if self.silence in LINK_SILENCES and self.silence is not self._link_silence:
            self.silence = self._link_silence  # it is still away, but for another reason
            self._judge()

    @property
    def _link_silence(self) -> Silence:
        """What it means to the gateway that its link is down."""
        missing = isinstance(self.link.failure, MqttNotLoadedError)
        return Silence.MQTT if missing else Silence.BROKER

    def _availability_changed(self, event: AvailabilityChanged) -> None:
        was = self.silence
        if not event.link_up:
            self.silence = self._link_silence
        else:
            self.silence = Silence.GATEWAY if event.gateway_silent else None
        self._log_silence(event)
        if self.silence is was:
            return
        if was is None or self.silence is None:
            notice = Notice.GATEWAY_BACK if self.silence is None else Notice.GATEWAY_LOST
            async_tell(self, notice, reason=self.silence)
        if self.silence is None:
            # Meters could not be heard meanwhile: their silence counts from now.
            self.judged_from_s = self.now_s()
        if was in LINK_SILENCES and event.link_up:
            self._catch_up_soon()
        self._judge()

    def _log_silence(self, event: AvailabilityChanged) -> None:
        """Log a loss and a return once, also where the link is lost in between."""
        if event.gateway_silent is self._logged_silent:
            return
        self._logged_silent = event.gateway_silent
        if event.gateway_silent:
            _LOGGER.warning("Gateway %s is silent", self.gateway_id)
        else:
            _LOGGER.info("Gateway %s answers again", self.gateway_id)

    @callback
    def _judge(self, _now: datetime | None = None) -> None:
        self._show_last_heard()
        self._judge_season()
        for meter in self.meters.values():
            meter.async_judge()
        self.replacements.async_judged()
        self.conditions.async_review()
        self.async_update_listeners()

    def _judge_season(self) -> None:
        settings = self.data.settings
        if settings is None or settings.season_start is None or settings.season_end is None:
            self._heating = None
            return
        was, today = self._heating, dt_util.now().date()
        self._heating = in_season(today, settings.season_start, settings.season_end)
        if self._heating and was is False:
            # Meters begin to report more often: by that their silence is judged from now.
            self.judged_from_s = self.now_s()
        if was and not self._heating:
            for meter in self.meters.values():
                meter.async_forget_rhythm()

    def _reading_received(self, event: ReadingReceived) -> None:
        reading, number = event.reading, event.reading.meter_number
        if self.replacements.is_replaced(number):
            return  # it comes as a new one when its entities have moved
        meter = self.meters.get(number)
        known = meter.data if meter else None
        if isinstance(reading, UnknownReading) and known is not None and known.kind != UNKNOWN_KIND:
            self._refuse(reading, "a frame of another layout than this meter's")
            return
        if meter is None and len(self.meters) >= MAX_METERS:
            self._refuse(reading, f"more than {MAX_METERS} meters")
            return
        now, direct = dt_util.utcnow(), event.protocol_code is None
        if not (shown := self.readings.async_judge(reading, now, direct=direct)):
            return
        last = known or MeterData(shown, now)
        data = MeterData(
            shown,
            now,
            last.port if event.port is None else event.port,
            event.protocol_code or last.protocol_code,
            self.readings.was_late(number),
        )
        asked_for = self._was_asked_for(event)
        if meter is None:
            self._add_meter(number, data, asked_for=asked_for)
        elif data.kind != meter.data.kind:
            # What it is has become clear: its entities are built anew.
            meter.async_received(data, asked_for=asked_for)
            self.hass.config_entries.async_schedule_reload(self.config_entry.entry_id)
        else:
            meter.async_received(data, asked_for=asked_for)
        self.replacements.async_reported(number)
        self.readings.async_published(number)
        self._store.async_changed()

    def _was_asked_for(self, event: ReadingReceived) -> bool:
        """Whether a reading answers a direct read, or may come of a read-now: no rhythm shows."""
        asked_s, limit_s = self.client.session.read_now_s, self.client.session.timing.read_limit_s
        of_read_now = asked_s is not None and self.now_s() - asked_s <= limit_s
        return event.protocol_code is None or of_read_now

    def _add_meter(self, number: str, data: MeterData, *, asked_for: bool) -> None:
        if isinstance(data.reading, UnknownReading):
            _LOGGER.warning(
                "Meter %s of gateway %s has a device type or layout that is not known (type %02X); "
                "to have it supported, report this frame with a photo of the type plate: %s",
                number,
                self.gateway_id,
                data.reading.device_type,
                data.reading.frame.hex().upper(),
            )
        meter = self.meters[number] = MeterCoordinator(self, number, data)
        if not asked_for:
            meter.async_learn_rhythm()
        self.replacements.async_added(number)
        for listener in list(self._new_meter_listeners):
            listener(meter)
        self.async_update_listeners()

    def _refuse(self, reading: MeterReading | UnknownReading, detail: str) -> None:
        raw = reading.frame.hex().upper()
        number = reading.meter_number
        self.client.refuse(Refused(RefusalReason.FRAME_LAYOUT, number, detail, raw))

    def _update_device(self, status: StatusReply) -> None:
        if self.device_id and status.firmware:
            dr.async_get(self.hass).async_update_device(self.device_id, sw_version=status.firmware)

    # --- Across restarts --------------------------------------------------------------------

    @callback
    def async_to_be_kept(self) -> None:
        """Plan a write of what outlives a restart."""
        self._store.async_changed()

    def _to_keep(self) -> KeptGateway:
        return KeptGateway(
            self.data.status,
            self.data.settings,
            self._last_heard,
            {number: meter.data for number, meter in self.meters.items()},
            self.readings.to_keep(),
            self.replacements.to_keep(),
            {"counters": self.counters.to_keep(), "valves": self._valves_to_keep()},
        )

    def _valves_to_keep(self) -> dict[str, Any]:
        kept = {number: meter.commands.to_keep() for number, meter in self.meters.items()}
        return {number: remembered for number, remembered in kept.items() if remembered}

    async def _async_restore(self) -> None:
        kept = await self._store.async_load()
        told = (kept.status, kept.settings)
        if all(words is None or words.gateway_id == self.gateway_id for words in told):
            # Otherwise they are those of the gateway whose place this one has taken.
            self.data = GatewayData(kept.status, kept.settings, kept.last_seen)
            self._last_heard = kept.last_seen
        self._judge_season()
        for number, data in self.readings.async_restore(kept.meters, kept.readings).items():
            self.meters[number] = MeterCoordinator(self, number, data)
        self.replacements.async_restore(kept.replacements)
        self._restore_commands(kept.commands)

    def _restore_commands(self, kept: Mapping[str, Any]) -> None:
        if counters := kept.get("counters"):
            self.counters.restore(counters)
        valves = kept.get("valves")
        for number, remembered in valves.items() if isinstance(valves, Mapping) else ():
            if meter := self.meters.get(number):
                meter.commands.restore(remembered)
