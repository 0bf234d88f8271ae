"""Keeps the long-term sum of a counter whole where its register goes on from another number.

The recorder decides by itself how a new register counts. So the correction is worked out from the
rows that it has written, and is nothing where they are right: a crash in between does no harm.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
import logging
from typing import Any, Literal, NamedTuple

from homeassistant.const import UnitOfEnergy, UnitOfVolume
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers import entity_registry as er
from homeassistant.util import dt as dt_util

from .const import DOMAIN
from .identity import meter_unique_id

_LOGGER = logging.getLogger(__name__)

_RECORDER = "recorder"
_GENERATED = "recorder_5min_statistics_generated"
_LOOK_BACK = timedelta(days=10)
"""How long the recorder keeps its rows of five minutes by default."""
_LONG_LOOK_BACK = timedelta(days=400)
_NEGLIGIBLE = 1e-6
"""Of a kilowatt-hour or cubic meter: what sums of binary fractions are off anyway."""


class CounterSensor(NamedTuple):
    """The entity that shows a counter: its key, its unit, and the recorder's class of units."""

    key: str
    unit: str
    unit_class: str


COUNTER_SENSORS = {
    "heat_energy_kwh": CounterSensor("heat_energy", UnitOfEnergy.KILO_WATT_HOUR, "energy"),
    "volume_m3": CounterSensor("volume", UnitOfVolume.CUBIC_METERS, "volume"),
    "second_energy_kwh": CounterSensor("second_energy", UnitOfEnergy.KILO_WATT_HOUR, "energy"),
    "second_volume_m3": CounterSensor("second_volume", UnitOfVolume.CUBIC_METERS, "volume"),
}


@dataclass(frozen=True, slots=True)
class Correction:
    """A register that stood at `old`, and from `since` on goes on from `new`."""

    number: str
    field: str
    old: float
    new: float
    since: datetime


class StatisticsCorrections:
    """The corrections of a gateway's counters that wait for the recorder's next rows."""

    def __init__(self, hass: HomeAssistant, gateway_id: str) -> None:
        """Begin with none."""
        self.hass = hass
        self.gateway_id = gateway_id
        self.pending: list[Correction] = []

    @callback
    def async_start(self) -> CALLBACK_TYPE:
        """Correct after each run of the recorder's statistics; return how to stop that."""
        return self.hass.bus.async_listen(_GENERATED, self._generated)

    @callback
    def async_begin(self, number: str, field: str, old: float, new: float) -> None:
        """Plan the correction of a counter whose entity shows the new register already."""
        entity_id = self._entity_id(number, field)
        state = self.hass.states.get(entity_id) if entity_id else None
        if state is None or _RECORDER not in self.hass.config.components:
            return
        self.pending.append(Correction(number, field, old, new, state.last_updated))

    @callback
    def async_forget(self, number: str) -> None:
        """Give up what was planned for a meter that was removed."""
        self.pending = [row for row in self.pending if row.number != number]

    @callback
    def async_move(self, old: str, new: str) -> None:
        """Let a meter have the corrections of another one, whose entities it takes over."""
        self.pending = [
            replace(row, number=new) if row.number == old else row
            for row in self.pending
            if row.number != new
        ]

    def to_keep(self) -> list[list[Any]]:
        """Return what outlives a restart."""
        return [
            [row.number, row.field, row.old, row.new, row.since.isoformat()] for row in self.pending
        ]

    def restore(self, stored: object) -> None:
        """Take back what was kept; what is damaged is left out and logged."""
        for row in stored if isinstance(stored, list) else ():
            try:
                number, field, old, new, since = row
                COUNTER_SENSORS[field]
                self.pending.append(
                    Correction(
                        str(number),
                        field,
                        float(old),
                        float(new),
                        dt_util.as_utc(datetime.fromisoformat(since)),
                    )
                )
            except (KeyError, TypeError, ValueError) as err:
                _LOGGER.warning("A kept correction of statistics is unreadable: %r", err)

    async def _generated(self, _event: Event) -> None:
        """Correct what the recorder has rows for now."""
        from homeassistant.components.recorder import get_instance  # noqa: PLC0415 - see async_begin
        from homeassistant.components.recorder.tasks import SynchronizeTask  # noqa: PLC0415 - same

        if not self.pending:
            return
        # The event comes out of the middle of a transaction: wait until its rows are there.
        written = self.hass.loop.create_future()
        get_instance(self.hass).queue_task(SynchronizeTask(written))
        await written
        seen: list[Correction] = []
        while correction := next((row for row in self.pending if row not in seen), None):
            seen.append(correction)
            if await self._is_done(correction) and correction in self.pending:
                self.pending.remove(correction)

    async def _is_done(self, correction: Correction) -> bool:
        from homeassistant.components.recorder import get_instance  # noqa: PLC0415 - see async_begin

        entity_id = self._entity_id(correction.number, correction.field)
        if entity_id is None:
            return True
        recorder = get_instance(self.hass)
        found = await recorder.async_add_executor_job(_adjustment, self.hass, entity_id, correction)
        if found is None:
            return False
        start, adjustment = found
        if self._went_on_before(start, correction):
            return True
        if abs(adjustment) > _NEGLIGIBLE:
            _LOGGER.info("The sum of %s is corrected by %s", entity_id, adjustment)
            unit = COUNTER_SENSORS[correction.field].unit
            recorder.async_adjust_statistics(entity_id, start, adjustment, unit)
        return True

    def _went_on_before(self, start: datetime, correction: Correction) -> bool:
        """Let the next correction of a counter stand for both, if no row lies between them."""
        later = next(
            (
                row
                for row in self.pending
                if (row.number, row.field) == (correction.number, correction.field)
                and row.since > correction.since
                and _begin_of_row(row.since) <= start
            ),
            None,
        )
        if later is None:
            return False
        old = correction.old + (later.old - correction.new)
        both = replace(later, old=old, since=correction.since)
        self.pending[self.pending.index(later)] = both
        return True

    def _entity_id(self, number: str, field: str) -> str | None:
        unique_id = meter_unique_id(self.gateway_id, number, COUNTER_SENSORS[field].key)
        return er.async_get(self.hass).async_get_entity_id("sensor", DOMAIN, unique_id)


def _adjustment(
    hass: HomeAssistant, entity_id: str, correction: Correction
) -> tuple[datetime, float] | None:
    """Return the first row of the new register, and by how much its sum is off.

    None while the recorder has no such row.
    """
    begin = _begin_of_row(correction.since)
    rows = _rows(hass, entity_id, correction, begin - _LOOK_BACK, "5minute")
    first = next((row for row in rows if row["start"] >= begin.timestamp()), None)
    if first is None:
        return None
    before = [row for row in rows if row["start"] < begin.timestamp()]
    if not before:
        hour = begin.replace(minute=0)
        hours = _rows(hass, entity_id, correction, begin - _LONG_LOOK_BACK, "hour")
        before = [row for row in hours if row["start"] < hour.timestamp()]
    last_sum, last_state = (before[-1]["sum"], before[-1]["state"]) if before else (0.0, None)
    if last_state is None:
        last_state = correction.old
    # What the old register still counted, and what the new one has counted since.
    right = last_sum + (correction.old - last_state) + (first["state"] - correction.new)
    return dt_util.utc_from_timestamp(first["start"]), right - first["sum"]


def _begin_of_row(at: datetime) -> datetime:
    return at.replace(minute=at.minute - at.minute % 5, second=0, microsecond=0)


def _rows(
    hass: HomeAssistant,
    entity_id: str,
    correction: Correction,
    start: datetime,
    period: Literal["5minute", "hour"],
) -> list[Mapping[str, Any]]:
    from homeassistant.components.recorder.statistics import (  # noqa: PLC0415 - see async_begin
        statistics_during_period,
    )

    sensor = COUNTER_SENSORS[correction.field]
    units = {sensor.unit_class: sensor.unit}
    found = statistics_during_period(
        hass, start, None, {entity_id}, period, units, {"state", "sum"}
    )
    return [row for row in found.get(entity_id, ()) if row.get("sum") is not None]
