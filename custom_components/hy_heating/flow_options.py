"""Options flow of a gateway: what its valves and meters need."""

from collections.abc import Mapping
import secrets
from typing import Any

from homeassistant.config_entries import ConfigEntry, ConfigFlowResult, OptionsFlowWithReload
from homeassistant.core import HomeAssistant
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import voluptuous as vol

from .const import (
    CONF_AREA_PATTERN,
    CONF_FLOW_SCALE,
    CONF_HASH_IDS,
    CONF_HASH_KEY,
    CONF_MOVE_PAUSE_S,
    CONF_NAME_PATTERN,
    CONF_READ_ONLY,
    CONF_SWAPPED_METERS,
    CONF_TRAVEL_TIME_S,
    DEFAULT_MOVE_PAUSE_S,
    DEFAULT_TRAVEL_TIME_S,
    FLOW_SCALES,
    MAX_MOVE_PAUSE_S,
    MAX_TRAVEL_TIME_S,
    MIN_TRAVEL_TIME_S,
)
from .identity import meter_names
from .naming import NamePattern

_TRAVEL_TIME = NumberSelector(
    NumberSelectorConfig(
        min=MIN_TRAVEL_TIME_S,
        max=MAX_TRAVEL_TIME_S,
        unit_of_measurement="s",
        mode=NumberSelectorMode.BOX,
    )
)


_MOVE_PAUSE = NumberSelector(
    NumberSelectorConfig(
        min=0, max=MAX_MOVE_PAUSE_S, unit_of_measurement="s", mode=NumberSelectorMode.BOX
    )
)

_FLOW_SCALE = SelectSelector(
    SelectSelectorConfig(
        options=[
            SelectOptionDict(value=f"{scale:g}", label=f"× {scale:g}") for scale in FLOW_SCALES
        ]
    )
)


_PATTERNS = (CONF_NAME_PATTERN, CONF_AREA_PATTERN)
_EXAMPLES = {
    "name_example": "{building}-{unit}-{flat}",
    "area_example": "{building}, {unit}",
}
"""Braces in a text would be gaps."""


class HyOptionsFlow(OptionsFlowWithReload):
    """What the valves may be told, and the meters whose two temperatures are exchanged."""

    async def async_step_init(self, user_input: dict[str, Any] | None = None) -> ConfigFlowResult:
        """Ask for all options at once."""
        options = self.config_entry.options
        errors: dict[str, str] = {}
        if user_input is not None and not (errors := _pattern_errors(user_input)):
            # What was emptied is not in the form.
            kept = {key: value for key, value in options.items() if key not in _PATTERNS}
            return self.async_create_entry(data=kept | _with_key(user_input, options))
        travel_time_s = options.get(CONF_TRAVEL_TIME_S, DEFAULT_TRAVEL_TIME_S)
        swapped: list[str] = options.get(CONF_SWAPPED_METERS, [])
        fields: dict[vol.Marker, Any] = {
            vol.Required(CONF_TRAVEL_TIME_S, default=travel_time_s): vol.All(
                _TRAVEL_TIME, vol.Coerce(int)
            ),
            vol.Required(
                CONF_MOVE_PAUSE_S, default=options.get(CONF_MOVE_PAUSE_S, DEFAULT_MOVE_PAUSE_S)
            ): vol.All(_MOVE_PAUSE, vol.Coerce(int)),
            vol.Required(
                CONF_READ_ONLY, default=options.get(CONF_READ_ONLY, False)
            ): BooleanSelector(),
            vol.Required(CONF_FLOW_SCALE, default=f"{options.get(CONF_FLOW_SCALE, 1):g}"): vol.All(
                _FLOW_SCALE, vol.Coerce(float)
            ),
            vol.Required(
                CONF_HASH_IDS, default=bool(options.get(CONF_HASH_KEY))
            ): BooleanSelector(),
        }
        if names := _names(self.config_entry, self.hass, swapped):
            fields[vol.Required(CONF_SWAPPED_METERS, default=swapped)] = _meters(names)
        fields[vol.Optional(CONF_NAME_PATTERN)] = TextSelector()
        fields[vol.Optional(CONF_AREA_PATTERN)] = TextSelector()
        schema = self.add_suggested_values_to_schema(
            vol.Schema(fields),
            user_input or {key: options[key] for key in _PATTERNS if key in options},
        )
        return self.async_show_form(
            step_id="init",
            data_schema=schema,
            errors=errors,
            description_placeholders=_EXAMPLES,
        )


def _pattern_errors(user_input: Mapping[str, Any]) -> dict[str, str]:
    pattern, area = (user_input.get(key, "") for key in _PATTERNS)
    if not pattern and not area:
        return {}
    try:
        NamePattern(pattern, area)
    except ValueError as err:
        faulty = {"pattern": CONF_NAME_PATTERN, "area": CONF_AREA_PATTERN}[str(err)]
        return {faulty: f"invalid_{faulty}"}
    return {}


def _with_key(user_input: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to store: the key that hides ids, which stays the same while it is wanted."""
    stored = dict(user_input)
    hides = stored.pop(CONF_HASH_IDS)
    key = options.get(CONF_HASH_KEY) or secrets.token_hex(16)
    return stored | {CONF_HASH_KEY: key if hides else None}


def _names(entry: ConfigEntry, hass: HomeAssistant, swapped: list[str]) -> dict[str, str]:
    """Return the names of a gateway's meters by number.

    What was chosen stays a choice when the meter is gone: it may come back.
    """
    names = meter_names(hass, entry.entry_id)
    names.pop(str(entry.unique_id), None)
    return dict(zip(swapped, swapped, strict=True)) | names


def _meters(names: dict[str, str]) -> SelectSelector:
    options = [
        SelectOptionDict(value=number, label=label)
        for number, label in sorted(names.items(), key=lambda item: item[1])
    ]
    return SelectSelector(SelectSelectorConfig(options=options, multiple=True))
