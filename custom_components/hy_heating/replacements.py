"""Which meters of a gateway are new, which are missing, and which takes the place of which.

A new meter has a new number, so it shows up beside the one that it was built in for. Whether it
takes that one's place (entity ids, names, area, history, statistics) only a person knows.
"""

from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
import logging
from typing import TYPE_CHECKING, Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import callback
from homeassistant.helpers import device_registry as dr
from homeassistant.util import dt as dt_util

from . import issues
from .const import CONF_SWAPPED_METERS, NEW_METER_DAYS
from .identity import meter_identifier
from .meter import UNKNOWN_KIND, Silence
from .moves import async_move_meter
from .notices import Notice, async_tell
from .store import stored_time

if TYPE_CHECKING:
    from .coordinator import GatewayCoordinator

_LOGGER = logging.getLogger(__name__)

_REMEMBERED = timedelta(days=1)
"""How long a replacement is done again at set-up: the registries are on disk long before."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A meter that took the place of another one.

    `counters` has for each field where the old register stood, and from where the new one goes on,
    until their statistics are taken care of.
    """

    old: str
    new: str
    at: datetime
    counters: Mapping[str, tuple[float, float]] | None


class MeterReplacements:
    """Asks whether a new meter replaces a missing one, and does it."""

    def __init__(self, gateway: GatewayCoordinator, entry: ConfigEntry) -> None:
        """Begin with meters that are neither new nor missing."""
        self._gateway = gateway
        self._entry = entry
        self._new: dict[str, datetime] = {}
        self._missing: set[str] = set()
        self._is_fresh = False
        self._offered: dict[str, tuple[str, ...]] = {}
        self._done: list[Replacement] = []

    # --- What is new, what is missing -------------------------------------------------------

    @callback
    def async_added(self, number: str) -> None:
        """Note a meter that reports for the first time, unless it is only known no more."""
        identifier = meter_identifier(self._gateway.gateway_id, number)
        registry = dr.async_get(self._gateway.hass)
        if registry.async_get_device_by_identifier(identifier, self._entry.entry_id) is None:
            self._new[number] = dt_util.utcnow()
            self._is_fresh = True  # asked about at the next judgement, when it has a name

    @callback
    def async_reported(self, number: str) -> None:
        """Note that a meter is there."""
        if number in self._missing:
            self._missing.discard(number)
            self._offer()
            self._gateway.async_to_be_kept()

    @callback
    def async_judged(self) -> None:
        """Note which meters are silent by their own rules; a silent gateway changes nothing.

        A meter stays missing until it reports, also across restarts, after which silence is
        counted anew.
        """
        silent = {
            number
            for number, meter in self._gateway.meters.items()
            if meter.silence is Silence.METER
        }
        if self._is_fresh or not silent <= self._missing:
            self._is_fresh = False
            self._missing |= silent
            self._offer()
            self._gateway.async_to_be_kept()

    @callback
    def async_forget(self, number: str) -> None:
        """Forget a meter that was removed."""
        self._new.pop(number, None)
        self._missing.discard(number)
        self._offer()

    @property
    def missing(self) -> AbstractSet[str]:
        """The meters that fell silent by their own rules and have not reported since."""
        return self._missing

    # --- The question ------------------------------------------------------------------------

    def replaceable_by(self, new: str) -> list[str]:
        """Return the missing meters that a new one may have been built in for."""
        since = self._new.get(new)
        if since is None or new in self._missing:
            return []
        meters = self._gateway.meters
        return sorted(
            old
            for old in self._missing
            if self._are_alike(old, new) and meters[old].data.received < since
        )

    def may_replace(self, old: str, new: str) -> bool:
        """Whether a meter can have taken the place of another one.

        Not while the other one still reports.
        """
        if not self._are_alike(old, new):
            return False
        since = self._new.get(new)
        received = self._gateway.meters[old].data.received
        return old in self._missing or (since is not None and received < since)

    def _are_alike(self, old: str, new: str) -> bool:
        meters = self._gateway.meters
        if old == new or old not in meters or new not in meters:
            return False
        kind = meters[new].data.kind
        return kind == meters[old].data.kind and kind != UNKNOWN_KIND

    @callback
    def _offer(self) -> None:
        """Raise or clear the question for each new meter, where something has changed."""
        if self._missing:
            found = {number: tuple(self.replaceable_by(number)) for number in self._new}
        else:
            found = {}
        for number in {*found, *self._offered}:
            olds = found.get(number, ())
            if olds != self._offered.get(number, ()):
                issues.async_tell_replacement(self._gateway.hass, self._entry, number, olds)
        self._offered = {number: olds for number, olds in found.items() if olds}

    @callback
    def async_settle(self, new: str) -> bool:
        """Take note that a new meter is another one; return whether that was the question."""
        asked = new in self._offered
        self._new.pop(new, None)
        self._offer()
        self._gateway.async_to_be_kept()
        return asked

    @callback
    def async_replace(self, old: str, new: str) -> bool:
        """Let a meter take the place of another one; return whether it can.

        The registries are moved by the reload that follows.
        """
        if not self.may_replace(old, new):
            return False
        gateway = self._gateway
        readings = gateway.readings
        async_tell(gateway, Notice.METER_REPLACED, old, by=new)
        continued = readings.continuation(old, new)
        counters = {row.key: (float(row.old.value), float(row.new.value)) for row in continued}
        readings.corrections.async_move(old, new)
        gateway.async_forget_meter(old)
        self._new.pop(new, None)
        self._done.append(Replacement(old, new, dt_util.utcnow(), counters))
        self._offer()
        _LOGGER.info("Meter %s takes the place of %s of gateway %s", new, old, gateway.gateway_id)
        entries = gateway.hass.config_entries
        entries.async_update_entry(self._entry, options=_with_new_number(self._entry, old, new))
        entries.async_schedule_reload(self._entry.entry_id)
        return True

    def is_replaced(self, number: str) -> bool:
        """Whether a meter was replaced just now, and its entities are not yet moved."""
        return any(row.old == number and row.counters is not None for row in self._done)

    # --- Across restarts --------------------------------------------------------------------

    @callback
    def async_restore(self, kept: Mapping[str, Any]) -> None:
        """Take back what was kept, and do again what may not have reached the disk."""
        known = self._gateway.meters
        new, missing, done = (kept.get(key) for key in ("new", "missing", "done"))
        oldest = dt_util.utcnow() - timedelta(days=NEW_METER_DAYS)
        for number, since in new.items() if isinstance(new, Mapping) else ():
            at = stored_time(since)
            if number in known and at is not None and at >= oldest:
                self._new[number] = at
        for number in missing if isinstance(missing, list) else ():
            if number in known:
                self._missing.add(number)
        for row in done if isinstance(done, list) else ():
            replacement = _replacement(row)
            # One that reports again is a meter of its own.
            if replacement is not None and replacement.old not in known:
                self._done.append(replacement)

    @callback
    def async_move(self) -> None:
        """Move the registries; to be called before the meters have entities."""
        gateway = self._gateway
        for row in self._done:
            async_move_meter(gateway.hass, self._entry, gateway.gateway_id, row.old, row.new)
        self._offer()

    @callback
    def async_continue(self) -> bool:
        """Plan the statistics of counters whose entities show the new register by now.

        Returns whether there were any: that is to be on disk before the recorder counts.
        """
        begun = False
        for index, row in enumerate(self._done):
            if row.counters is None:
                continue
            for key, (old, new) in row.counters.items():
                self._gateway.readings.corrections.async_begin(row.new, key, old, new)
            self._done[index] = replace(row, counters=None)
            begun = True
        return begun

    def to_keep(self) -> dict[str, Any]:
        """Return what outlives a restart."""
        oldest = dt_util.utcnow() - _REMEMBERED
        return {
            "new": {number: since.isoformat() for number, since in self._new.items()},
            "missing": sorted(self._missing),
            "done": [
                [row.old, row.new, row.at.isoformat(), row.counters]
                for row in self._done
                if row.at >= oldest or row.counters is not None
            ],
        }


def _with_new_number(entry: ConfigEntry, old: str, new: str) -> dict[str, Any]:
    """Return the options with the pipes of the old meter being those of the new one."""
    options = dict(entry.options)
    swapped: list[str] = options.get(CONF_SWAPPED_METERS, [])
    if old in swapped:
        options[CONF_SWAPPED_METERS] = sorted({*swapped, new} - {old})
    return options


def _replacement(row: list[Any]) -> Replacement | None:
    try:
        old, new, at, counters = row
        done = stored_time(at)
        if done is None:
            raise ValueError("no time")  # noqa: TRY301 - as for any other garbage
        pairs = (
            None
            if counters is None
            else {
                str(key): (float(before), float(after)) for key, (before, after) in counters.items()
            }
        )
        return Replacement(str(old), str(new), done, pairs)
    except (AttributeError, TypeError, ValueError) as err:
        _LOGGER.warning("A kept replacement of a meter is unreadable: %r", err)
        return None
