"""The commands of a valve: given, confirmed, proved or failed, and told to who listens."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
import logging
from typing import TYPE_CHECKING, Any

from homeassistant.core import CALLBACK_TYPE, callback
from homeassistant.helpers import issue_registry as ir

from .const import DOMAIN, FAILURES_TO_REPORT
from .contest import Contest
from .errors import to_home_assistant, unknown_device
from .hyheat.client import PendingOpening
from .hyheat.errors import FailureReason, HyHeatError, ReplyError
from .hyheat.evidence import finite
from .hyheat.model import MeterAddress, MeterReading
from .hyheat.session import Result
from .issues import issue_id

if TYPE_CHECKING:
    from .meter import MeterCoordinator

_LOGGER = logging.getLogger(__name__)

DISOBEDIENCE = frozenset(
    {
        FailureReason.METER_SILENT,
        FailureReason.METER_REFUSED,
        FailureReason.WRONG_ECHO,
        FailureReason.NOT_REACHED,
    }
)
"""Failures that speak of the valve, not of the way to it."""


class Verdict(StrEnum):
    """How a command ended, or that it was another master's."""

    VERIFIED = "verified"
    FAILED = "failed"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandReport:
    """The one end of a command; openings in percent."""

    verdict: Verdict
    wished: int | float | None
    before: int | float | None = None
    found: int | float | None = None
    reason: FailureReason | None = None
    tries: int = 0
    duration_s: float = 0.0

    def as_dict(self) -> dict[str, str | int | float | None]:
        """Return it for attributes and responses, without the verdict."""
        return {
            "reason": self.reason,
            "before": self.before,
            "wished": self.wished,
            "found": self.found,
            "tries": self.tries,
            "duration": round(self.duration_s, 1),
        }


@dataclass(slots=True)
class CommandCounters:
    """What became of the commands of a gateway, across restarts."""

    under_way: int = 0
    sent: int = 0
    verified: int = 0
    failed: Counter[FailureReason] = field(default_factory=Counter)
    proofs_s: deque[float] = field(default_factory=lambda: deque(maxlen=100))

    def add(self, report: CommandReport) -> None:
        """Count an end."""
        self.under_way -= 1
        self.sent += report.tries > 0
        if report.reason is not None:
            self.failed[report.reason] += 1
        else:
            self.verified += 1
            self.proofs_s.append(report.duration_s)

    def to_keep(self) -> dict[str, Any]:
        """Return what outlives a restart."""
        return {
            "sent": self.sent,
            "verified": self.verified,
            "failed": {str(reason): count for reason, count in self.failed.items()},
            "proofs_s": [round(proof_s, 1) for proof_s in self.proofs_s],
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Take back what was kept; what is damaged is left out and logged."""
        try:
            sent, verified = int(stored["sent"]), int(stored["verified"])
            failed = {FailureReason(key): int(count) for key, count in stored["failed"].items()}
            proofs_s = [finite(proof_s) for proof_s in stored["proofs_s"]]
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as err:
            _LOGGER.warning("The kept counters of commands are unreadable: %r", err)
            return
        self.sent, self.verified = sent, verified
        self.failed.update(failed)
        self.proofs_s.extend(proofs_s)

    @property
    def mean_time_to_proof_s(self) -> float | None:
        """Mean of the last hundred, None without any."""
        return sum(self.proofs_s) / len(self.proofs_s) if self.proofs_s else None


class Command:
    """One command under way."""

    def __init__(self, pending: PendingOpening, wished: int, before: float | None) -> None:
        """Take what was asked of the session, and where the valve stood."""
        self.pending = pending
        self.wished = wished
        self.before = before
        self.ended: asyncio.Future[CommandReport] = asyncio.get_running_loop().create_future()


class ValveCommands:
    """Gives the commands of one meter, one at a time: the newest counts."""

    def __init__(self, meter: MeterCoordinator) -> None:
        """Start with none under way."""
        self.pending_opening_pct: int | float | None = None
        """The opening that the device confirmed and has not yet shown."""
        self.contest = Contest()
        self._meter = meter
        self._latest: Command | None = None
        self._disobeyed = 0
        self._unproven = False
        self._listeners: list[Callable[[CommandReport], None]] = []

    @property
    def unproven(self) -> bool:
        """Whether the last command ended without proof."""
        return self._unproven

    @callback
    def async_listen(self, listener: Callable[[CommandReport], None]) -> CALLBACK_TYPE:
        """Tell a listener of every end; return how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def to_keep(self) -> list[bool | int] | None:
        """Return what outlives a restart, None where there is nothing to remember."""
        return [self._unproven, self._disobeyed] if self._unproven or self._disobeyed else None

    def restore(self, stored: object) -> None:
        """Take back what was kept, and raise again what a restart has cleared."""
        match stored:
            case [bool() as unproven, int() as disobeyed]:
                self._unproven, self._disobeyed = unproven, disobeyed
                self._tell_disobedience()
            case _:
                _LOGGER.warning("What is kept of a valve's commands is unreadable: %r", stored)

    async def async_set_opening(self, opening_pct: int) -> None:
        """Move the valve; return when the device has confirmed it, while the proof follows.

        Raises HomeAssistantError with the reason.
        """
        command = self.start(opening_pct)
        # Who gave the command may be gone before it ends; the command itself goes on.
        result = await asyncio.shield(command.pending.replied)
        if result.reason is not None:
            raise to_home_assistant(ReplyError(result.reason), self._meter.number)

    def start(self, opening_pct: int) -> Command:
        """Give a command; raises HomeAssistantError where it cannot even be given."""
        meter = self._meter
        if not isinstance(reading := meter.data.reading, MeterReading):
            raise unknown_device(meter.number)
        if meter.gateway.read_only:
            raise to_home_assistant(ReplyError(FailureReason.READ_ONLY), meter.number)
        address = MeterAddress(reading.device, reading.address, meter.data.port)
        try:
            pending = meter.gateway.client.set_opening(address, opening_pct)
        except HyHeatError as err:
            raise to_home_assistant(err, meter.number) from err
        command = Command(pending, opening_pct, meter.opening_pct)
        self._latest = command
        self.contest.see(opening_pct, meter.gateway.now_s(), own=True)
        meter.gateway.counters.under_way += 1
        pending.replied.add_done_callback(lambda _: self._confirmed(command))
        pending.ended.add_done_callback(lambda ended: self._ended(command, ended.result()))
        return command

    @callback
    def async_foreign(self, opening_pct: float) -> None:
        """Take note of another master's command for this valve."""
        self._latest = None
        self.pending_opening_pct = opening_pct
        self.contest.see(opening_pct, self._meter.gateway.now_s(), own=False)
        self._tell(
            CommandReport(
                verdict=Verdict.FOREIGN, wished=opening_pct, before=self._meter.opening_pct
            )
        )
        self._meter.async_update_listeners()

    @callback
    def async_reported(self) -> None:
        """Look whether a report settles a foreign command, for which no proof is sought."""
        if self._latest is None:
            self.pending_opening_pct = None

    @callback
    def _confirmed(self, command: Command) -> None:
        if self._latest is command and command.pending.replied.result().reason is None:
            self.pending_opening_pct = command.wished
            self._meter.async_update_listeners()

    @callback
    def _ended(self, command: Command, result: Result) -> None:
        report = CommandReport(
            verdict=Verdict.VERIFIED if result.reason is None else Verdict.FAILED,
            wished=command.wished,
            before=command.before,
            found=self._meter.opening_pct if result.found_pct is not None else None,
            reason=result.reason,
            tries=result.tries,
            duration_s=result.duration_s,
        )
        if self._latest is command:
            self._latest = None
            self.pending_opening_pct = None
            self._unproven = report.verdict is Verdict.FAILED
        self._judge_obedience(report)
        self._meter.gateway.commands_ended(report)
        self._tell(report)
        self._meter.async_update_listeners()
        if not command.ended.done():
            command.ended.set_result(report)
        if result.reason is not None:
            _LOGGER.warning(
                "Valve %s of gateway %s: command for %s %% failed: %s, found %s",
                self._meter.number,
                self._meter.gateway.gateway_id,
                report.wished,
                report.reason,
                report.found,
            )

    def _judge_obedience(self, report: CommandReport) -> None:
        """Raise a repair for a valve that fails again and again, until its next proof."""
        if report.verdict is Verdict.VERIFIED:
            self._disobeyed = 0
        elif report.reason in DISOBEDIENCE:
            self._disobeyed += 1
        self._tell_disobedience()

    def _tell_disobedience(self) -> None:
        meter = self._meter
        this = issue_id("valve_disobeys", meter.gateway.config_entry, meter.number)
        if self._disobeyed < FAILURES_TO_REPORT:
            ir.async_delete_issue(meter.hass, DOMAIN, this)
            return
        ir.async_create_issue(
            meter.hass,
            DOMAIN,
            this,
            is_fixable=False,
            severity=ir.IssueSeverity.WARNING,
            translation_key="valve_disobeys",
            translation_placeholders={
                "meter": meter.number,
                "gateway": meter.gateway.gateway_id,
                "failures": str(self._disobeyed),
            },
        )

    def _tell(self, report: CommandReport) -> None:
        for listener in list(self._listeners):
            listener(report)
