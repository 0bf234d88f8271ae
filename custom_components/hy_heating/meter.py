"""One coordinator per meter: its last reading, whether it still counts, and its commands."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
import logging
from typing import TYPE_CHECKING, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import callback
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator, UpdateFailed
from homeassistant.util import dt as dt_util

from .commands import ValveCommands
from .const import DOMAIN, MISSED_INTERVALS
from .errors import to_home_assistant, unknown_device
from .hyheat.errors import ReplyError
from .hyheat.model import MeterAddress, MeterReading, UnknownReading
from .hyheat.season import REPORTS_TO_LEARN, expected_interval_s
from .notices import Notice, async_tell

if TYPE_CHECKING:
    from .coordinator import GatewayCoordinator

_LOGGER = logging.getLogger(__name__)

UNKNOWN_KIND = "unknown"
CABINET_KIND = "cabinet"
VALVE_KIND = "valve"

OPENING_FIELDS = {CABINET_KIND: "actual_opening_pct", VALVE_KIND: "opening_pct"}
"""The field that tells where a valve stands."""


class Silence(StrEnum):
    """Why the values of a gateway or meter do not count at the moment."""

    BROKER = "broker_unreachable"
    MQTT = "mqtt_not_loaded"
    GATEWAY = "gateway_silent"
    METER = "meter_silent"


LINK_SILENCES = (Silence.BROKER, Silence.MQTT)
"""Those in which nothing can be heard at all."""


@dataclass(frozen=True, slots=True)
class MeterData:
    """The last reading of a meter and when and how it came.

    `port` and `protocol_code` are those of the last report; a direct reply carries none. One that
    was `delivered_late` waited somewhere, so it is older than its time of receipt.
    """

    reading: MeterReading | UnknownReading
    received: datetime
    port: int = 0
    protocol_code: str | None = None
    delivered_late: bool = False

    @property
    def kind(self) -> str:
        """The device type: cabinet, valve or unknown."""
        return self.reading.device if isinstance(self.reading, MeterReading) else UNKNOWN_KIND

    @property
    def clock_drift_s(self) -> int | None:
        """How far the device's clock is ahead of the time of receipt, None where it has none."""
        values = self.reading.values if isinstance(self.reading, MeterReading) else {}
        clock = values.get("device_clock")
        if not isinstance(clock, datetime):
            return None
        local = clock.replace(tzinfo=dt_util.get_default_time_zone())
        return round((local - self.received).total_seconds())

    def number(self, key: str) -> int | float | None:
        """Return a numeric value of the reading, None where unknown."""
        return self.reading.number(key) if isinstance(self.reading, MeterReading) else None


class MeterCoordinator(DataUpdateCoordinator[MeterData]):
    """One cabinet, household valve or unknown device."""

    config_entry: ConfigEntry

    def __init__(self, gateway: GatewayCoordinator, number: str, data: MeterData) -> None:
        """Start with a reading, received just now or restored."""
        super().__init__(
            gateway.hass,
            _LOGGER,
            config_entry=gateway.config_entry,
            name=f"{gateway.gateway_id} {number}",
        )
        self.gateway = gateway
        self.number = number
        self.device_id = ""
        self.data = data
        self.silence: Silence | None = gateway.silence
        self._received_s: list[float] = []  # the last ones; a deque takes 700 bytes more
        self._alive_s = gateway.now_s()
        self._lost_from_s: float | None = None  # what its silence counted from when it was lost
        self.commands = ValveCommands(self)

    @property
    def available(self) -> bool:
        """Whether the values count: broker, gateway and meter are all heard of."""
        return self.silence is None

    @property
    def has_valve(self) -> bool:
        """Whether it is a device with a valve."""
        return self.data.kind in OPENING_FIELDS

    @property
    def opening_pct(self) -> int | float | None:
        """Where the valve stands by its last report, None where unknown."""
        field = OPENING_FIELDS.get(self.data.kind)
        return self.data.number(field) if field else None

    @property
    def silent_for_s(self) -> float:
        """How long nothing was heard of it that could have been heard."""
        begin_s = self._lost_from_s
        if begin_s is None:
            begin_s = max(self._alive_s, self.gateway.judged_from_s)
        return self.gateway.now_s() - begin_s

    @property
    def lost_after_s(self) -> float:
        """How long it may be silent before its values no longer count."""
        return MISSED_INTERVALS * self._interval_s

    @property
    def overdue(self) -> bool:
        """Whether a report should have come since the last one, also while nobody could hear it."""
        age = dt_util.utcnow() - self.data.received
        return age.total_seconds() > self._interval_s

    @property
    def _interval_s(self) -> float:
        return expected_interval_s(
            self.gateway.heating,
            self.gateway.interval(self.data.kind).total_seconds(),
            self.gateway.out_of_season_interval.total_seconds(),
            self._received_s,
        )

    @callback
    def async_received(self, data: MeterData, *, asked_for: bool = False) -> None:
        """Take a new reading; one that was `asked_for` says nothing of the meter's rhythm."""
        self._alive_s = self.gateway.now_s()
        if not asked_for:
            self.async_learn_rhythm()
        if self._lost_from_s is not None:
            self._lost_from_s = None
            self._return("reports again")
        self.silence = self.gateway.silence
        self.commands.async_reported()
        self.async_set_updated_data(data)

    @callback
    def async_learn_rhythm(self) -> None:
        """Note a report of now, unless one came so shortly before that this is no rhythm."""
        in_season_s = self.gateway.interval(self.data.kind).total_seconds()
        if not self._received_s or self._alive_s - self._received_s[-1] >= in_season_s / 2:
            self._received_s.append(self._alive_s)
            del self._received_s[: -REPORTS_TO_LEARN - 1]

    @callback
    def async_forget_rhythm(self) -> None:
        """Begin to learn anew: the season is over, and with it the meter's rhythm."""
        self._received_s.clear()

    @callback
    def async_judge(self) -> None:
        """Decide again whether the values count; tell the entities when that changed."""
        silence = self.gateway.silence
        if silence is None:
            self._judge_loss()
            silence = None if self._lost_from_s is None else Silence.METER
        if silence is not self.silence:
            self.silence = silence
            self.async_update_listeners()

    def _judge_loss(self) -> None:
        """Note a loss: it lasts until the next report, or until an interval proves longer."""
        was_lost, is_lost = self._lost_from_s is not None, self.silent_for_s > self.lost_after_s
        if is_lost and not was_lost:
            self._lost_from_s = max(self._alive_s, self.gateway.judged_from_s)
            _LOGGER.warning(
                "Meter %s of gateway %s is silent", self.number, self.gateway.gateway_id
            )
            async_tell(self.gateway, Notice.METER_LOST, self.number)
        elif was_lost and not is_lost:
            self._lost_from_s = None
            self._return("is no longer overdue")

    def _return(self, how: str) -> None:
        _LOGGER.info("Meter %s of gateway %s %s", self.number, self.gateway.gateway_id, how)
        async_tell(self.gateway, Notice.METER_BACK, self.number)

    @override
    async def _async_update_data(self) -> MeterData:
        """Read this one meter, when somebody asks for an update of its entities."""
        if isinstance(self.data.reading, MeterReading):
            try:
                await self.async_read()
            except HomeAssistantError as err:
                raise UpdateFailed(
                    translation_domain=DOMAIN,
                    translation_key=err.translation_key,
                    translation_placeholders=err.translation_placeholders,
                ) from err
        return self.data  # the reading has come through the gateway meanwhile

    async def async_read(self) -> MeterReading:
        """Read this one meter directly; raises HomeAssistantError with the reason."""
        if not isinstance(reading := self.data.reading, MeterReading):
            raise unknown_device(self.number)
        address = MeterAddress(reading.device, reading.address, self.data.port)
        try:
            return await self.gateway.client.read_meter(address)
        except ReplyError as err:
            raise to_home_assistant(err, self.number) from err
