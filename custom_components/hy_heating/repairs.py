"""Repairs: what a person must decide about readings, and the flows that do it."""

from collections.abc import Mapping
from typing import Any, override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
import voluptuous as vol

from .const import (
    CONF_FLOW_SCALE,
    CONF_SWAPPED_METERS,
    ISSUE_COUNTER_RESET,
    ISSUE_FLOW_SCALE,
    ISSUE_METER_APPEARED,
    ISSUE_METER_GONE,
    ISSUE_REVERSED,
)
from .identity import meter_names
from .runtime import HyConfigEntry

_REPLACES = "replaces"
_NONE = "none"

type IssueData = Mapping[str, str | int | float | None]


class _FixFlow(ConfirmRepairFlow):
    """Asks once, then does what the issue's data says; aborts where that is not possible."""

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Fix it once the user has agreed."""
        if user_input is None:
            return await super().async_step_confirm()
        entry = self._entry()
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        if not self._fix(entry, self.data or {}):
            return self.async_abort(reason="no_longer_so")
        return self.async_create_entry(data={})

    def _placeholders(self) -> dict[str, str] | None:
        issue = ir.async_get(self.hass).async_get_issue(self.handler, self.issue_id)
        return issue.translation_placeholders if issue else None

    def _entry(self) -> HyConfigEntry | None:
        return self.hass.config_entries.async_get_entry(str((self.data or {}).get("entry_id")))

    @callback
    def _fix(self, entry: HyConfigEntry, data: IssueData) -> bool:
        """Do it; return whether there was anything to do."""
        raise NotImplementedError

    @callback
    def _change_options(self, entry: HyConfigEntry, changes: Mapping[str, Any]) -> bool:
        self.hass.config_entries.async_update_entry(entry, options={**entry.options, **changes})
        self.hass.config_entries.async_schedule_reload(entry.entry_id)
        return True


class CounterResetFlow(_FixFlow):
    """Continues a counter that was reset or whose meter was changed."""

    @callback
    @override
    def _fix(self, entry: HyConfigEntry, data: IssueData) -> bool:
        readings = entry.runtime_data.gateway.readings
        return readings.async_continue(str(data["number"]), str(data["key"]))


class ReversedFlow(_FixFlow):
    """Exchanges supply and return of a meter, or exchanges them back."""

    @callback
    @override
    def _fix(self, entry: HyConfigEntry, data: IssueData) -> bool:
        swapped = set(entry.options.get(CONF_SWAPPED_METERS, ()))
        swapped ^= {str(data["number"])}
        return self._change_options(entry, {CONF_SWAPPED_METERS: sorted(swapped)})


class MeterGoneFlow(_FixFlow):
    """Removes a meter that has not reported for a month."""

    @callback
    @override
    def _fix(self, entry: HyConfigEntry, data: IssueData) -> bool:
        return entry.runtime_data.gateway.async_remove_meter(str(data["number"]))


class FlowScaleFlow(_FixFlow):
    """Sets what the flows of a gateway are multiplied with."""

    @callback
    @override
    def _fix(self, entry: HyConfigEntry, data: IssueData) -> bool:
        return self._change_options(entry, {CONF_FLOW_SCALE: data["scale"]})


class ReplacementFlow(_FixFlow):
    """Asks which missing meter a new one replaces, if any."""

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Choose among the missing meters of that kind, or none of them."""
        entry, number = self._entry(), str((self.data or {}).get("number"))
        if entry is None or entry.state is not ConfigEntryState.LOADED:
            return self.async_abort(reason="not_loaded")
        replacements = entry.runtime_data.gateway.replacements
        olds = replacements.replaceable_by(number)
        if not olds:
            return self.async_abort(reason="no_longer_so")
        if user_input is not None:
            old = user_input[_REPLACES]
            if old == _NONE:
                replacements.async_settle(number)
                return self.async_create_entry(data={})
            # One that returned meanwhile is no longer to be replaced: choose again.
            if old in olds and replacements.async_replace(old, number):
                return self.async_create_entry(data={})
        names = meter_names(self.hass, entry.entry_id)
        return self.async_show_form(
            step_id="confirm",
            data_schema=_replacement_schema({old: names.get(old, old) for old in olds}),
            description_placeholders=self._placeholders(),
        )


def _replacement_schema(names: Mapping[str, str]) -> vol.Schema:
    options = [SelectOptionDict(value=number, label=name) for number, name in names.items()]
    options.append(SelectOptionDict(value=_NONE, label=_NONE))
    selector = SelectSelector(
        SelectSelectorConfig(
            options=options, translation_key=_REPLACES, mode=SelectSelectorMode.LIST
        )
    )
    return vol.Schema({vol.Required(_REPLACES, default=options[0]["value"]): selector})


_FLOWS: dict[str, type[RepairsFlow]] = {
    ISSUE_COUNTER_RESET: CounterResetFlow,
    ISSUE_REVERSED: ReversedFlow,
    ISSUE_FLOW_SCALE: FlowScaleFlow,
    ISSUE_METER_GONE: MeterGoneFlow,
    ISSUE_METER_APPEARED: ReplacementFlow,
}


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, str | int | float | None] | None
) -> RepairsFlow:
    """Return the flow that fixes an issue."""
    flow = _FLOWS.get(str((data or {}).get("kind")))
    return flow() if flow else ConfirmRepairFlow()
