"""What a gateway's reports are worth: order at the site, plausibility, resets and their issues."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
import logging
from typing import TYPE_CHECKING, Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.util import dt as dt_util

from . import issues
from .const import CONF_FLOW_SCALE, CONF_SWAPPED_METERS
from .continuation import COUNTER_SENSORS, StatisticsCorrections
from .hyheat import frame
from .hyheat.devices import to_reading
from .hyheat.evidence import FlowScaleEvidence, ReversalEvidence
from .hyheat.model import MeterReading, UnknownReading, Value
from .hyheat.plausibility import Continued, MeterMemory
from .notices import Notice, async_tell

if TYPE_CHECKING:
    from .coordinator import GatewayCoordinator
    from .meter import MeterData

_LOGGER = logging.getLogger(__name__)


class GatewayReadings:
    """Judges the reports of a gateway's meters, and remembers what that takes."""

    def __init__(self, gateway: GatewayCoordinator, entry: ConfigEntry) -> None:
        """Take the options that say how this site reads its meters."""
        self.hass = gateway.hass
        self.entry = entry
        self.late = 0
        self.memories: dict[str, MeterMemory] = {}
        self.corrections = StatisticsCorrections(gateway.hass, gateway.gateway_id)
        self._gateway = gateway
        self._scale: float = entry.options.get(CONF_FLOW_SCALE, 1.0)
        self._swapped = frozenset(entry.options.get(CONF_SWAPPED_METERS, ()))
        self._continued: dict[str, list[Continued]] = {}
        self._told: dict[str, tuple[object, ...]] = {}
        self._reset_told: dict[str, frozenset[str]] = {}
        self._doubted: set[tuple[str, str]] = set()

    # --- Reports ----------------------------------------------------------------------------

    @callback
    def async_judge(
        self, reading: MeterReading | UnknownReading, received: datetime, *, direct: bool
    ) -> MeterReading | UnknownReading | None:
        """Return a received reading as it may be shown, None for one that came too late."""
        if isinstance(reading, UnknownReading):
            return reading
        reading = self._as_at_the_site(reading)
        number = reading.meter_number
        if (memory := self.memories.get(number)) is None:
            memory = self.memories[number] = MeterMemory()
        judged = memory.judge(reading, received.timestamp(), direct=direct)
        if judged.values is not reading.values:
            self._log_doubts(number, memory)
        if judged.late:
            self.late += 1
            _LOGGER.debug("Meter %s: a late report is not applied", number)
            return None
        if judged.continued:
            self._continued[number] = list(judged.continued)
        if judged.values is reading.values:
            return reading
        return reading._replace(values=judged.values)

    def was_late(self, number: str) -> bool:
        """Whether the last report of a meter had waited somewhere."""
        return number in self.memories and self.memories[number].delivered_late

    @callback
    def async_published(self, number: str) -> None:
        """Follow up what a report brought, when the entities of its meter show it."""
        for continued in self._continued.pop(number, ()):
            old, new = float(continued.old.value), float(continued.new.value)
            self.corrections.async_begin(number, continued.key, old, new)
        if number in self.memories:
            self._tell(number)

    @callback
    def async_continue(self, number: str, key: str) -> bool:
        """Continue a counter from its new register; return whether it had been reset."""
        memory, meter = self.memories.get(number), self._gateway.meters.get(number)
        now_s = dt_util.utcnow().timestamp()
        continued = memory.continue_counter(key, now_s) if memory and meter else None
        if continued is None or meter is None:
            return False
        reading = meter.data.reading
        shown = self._shown(to_reading(frame.parse(reading.frame), meter.data.protocol_code))
        meter.async_set_updated_data(replace(meter.data, reading=shown))
        self._continued[number] = [continued]
        self.async_published(number)
        self._gateway.async_to_be_kept()
        return True

    def continuation(self, old: str, new: str) -> list[Continued]:
        """Return how the counters of a meter go on when another one takes its place."""
        before, after = self.memories.get(old), self.memories.get(new)
        return after.continues(before) if before and after else []

    @callback
    def async_forget(self, number: str) -> None:
        """Forget a meter that was removed."""
        self.corrections.async_forget(number)
        if self.memories.pop(number, None):
            self._told.pop(number, None)
            self._tell_flow_scale()

    # --- Across restarts --------------------------------------------------------------------

    @callback
    def async_restore(
        self, data: Mapping[str, MeterData], kept: Mapping[str, Any]
    ) -> dict[str, MeterData]:
        """Take back what was kept; return the readings as they may be shown."""
        self.corrections.restore(kept.get("corrections"))
        memories = kept.get("meters")
        for number, meter in data.items():
            stored = memories.get(number) if isinstance(memories, Mapping) else None
            if isinstance(meter.reading, MeterReading):
                self._restore(number, meter, stored)
        shown: dict[str, MeterData] = {}
        for number, meter in data.items():
            reading = self._shown(meter.reading)
            shown[number] = replace(meter, reading=reading, delivered_late=self.was_late(number))
        return shown

    def _restore(self, number: str, meter: MeterData, stored: object) -> None:
        try:
            if not isinstance(stored, Mapping):
                raise ValueError("nothing")  # noqa: TRY004, TRY301 - as for any other garbage
            memory = MeterMemory.from_dict(stored)
        except ValueError as err:
            _LOGGER.warning("Nothing is remembered of meter %s: %s", number, err)
            memory = MeterMemory()
        if not memory.counters and isinstance(meter.reading, MeterReading):
            # Its last reading is the best there is to judge the next one by.
            memory.judge(meter.reading, meter.received.timestamp())
        if not isinstance(stored, Mapping) or stored.get("site") != self._site(number):
            # The options have changed: what was found under the old ones says nothing now.
            memory.flow_scale, memory.reversal = FlowScaleEvidence(), ReversalEvidence()
        self.memories[number] = memory
        self._reset_told[number] = frozenset(memory.resets)

    @callback
    def async_start(self) -> CALLBACK_TYPE:
        """Raise again what a restart has cleared, correct statistics; return how to stop that."""
        for number in self.memories:
            self._tell_meter(number)
        self._tell_flow_scale()  # once, for it looks at all of them
        return self.corrections.async_start()

    def to_keep(self) -> dict[str, Any]:
        """Return what outlives a restart."""
        return {
            "corrections": self.corrections.to_keep(),
            "meters": {
                number: {**memory.as_dict(), "site": self._site(number)}
                for number, memory in self.memories.items()
            },
        }

    def _site(self, number: str) -> list[float | bool]:
        return [self._scale, number in self._swapped]

    # --- Parts ------------------------------------------------------------------------------

    def _as_at_the_site(self, reading: MeterReading) -> MeterReading:
        """Exchange supply and return, and scale the flow, where the site said so."""
        changed: dict[str, Value] = {}
        if self._swapped and reading.meter_number in self._swapped:
            changed["supply_temperature_c"] = reading.values["return_temperature_c"]
            changed["return_temperature_c"] = reading.values["supply_temperature_c"]
        flow_l_h = reading.number("flow_l_h") if self._scale != 1 else None
        if flow_l_h is not None:
            changed["flow_l_h"] = flow_l_h * self._scale
        return reading._replace(values={**reading.values, **changed}) if changed else reading

    def _shown(self, reading: MeterReading | UnknownReading) -> MeterReading | UnknownReading:
        if isinstance(reading, UnknownReading):
            return reading
        at_site = self._as_at_the_site(reading)
        memory = self.memories.get(reading.meter_number)
        return at_site if memory is None else at_site._replace(values=memory.shown(at_site))

    def _log_doubts(self, number: str, memory: MeterMemory) -> None:
        """Log the first time that a counter of a meter is doubted; some meters do it all day."""
        for key, counter in memory.counters.items():
            if counter.suspect is None or (number, key) in self._doubted:
                continue
            self._doubted.add((number, key))
            _LOGGER.warning(
                "Meter %s of gateway %s: %s went from %s to %s, held back for now; "
                "further ones are only judged",
                number,
                self._gateway.gateway_id,
                key,
                counter.accepted.value,
                counter.suspect.value,
            )

    def _tell(self, number: str) -> None:
        """Raise or clear the issues that a report may have changed."""
        if self._tell_meter(number):
            self._tell_flow_scale()

    def _tell_meter(self, number: str) -> bool:
        """Raise or clear the issues of a meter; return whether something has changed."""
        memory = self.memories[number]
        resets = memory.resets
        found = (resets, memory.reversal.found, memory.flow_scale.factor)
        if self._told.get(number) == found:
            return False
        self._told[number] = found
        for key in resets.keys() - self._reset_told.get(number, frozenset()):
            async_tell(
                self._gateway, Notice.COUNTER_RESET, number, counter=COUNTER_SENSORS[key].key
            )
        self._reset_told[number] = frozenset(resets)
        for key in COUNTER_SENSORS:
            issues.async_tell_counter(self, number, key, resets.get(key))
        issues.async_tell_reversal(self, number, memory.reversal.found)
        return True

    def _tell_flow_scale(self) -> None:
        found = {
            number: memory.flow_scale.factor
            for number, memory in self.memories.items()
            if memory.flow_scale.factor != 1
        }
        number = min(found, default=None)
        factor = self._scale * found[number] if number is not None else 1.0
        issues.async_tell_flow_scale(self, number, factor)
