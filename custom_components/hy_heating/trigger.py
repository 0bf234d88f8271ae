"""Triggers of automations: ends of commands, losses and returns, and what readings bring."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast, override

from homeassistant.const import ATTR_DEVICE_ID, CONF_OPTIONS, CONF_TARGET
from homeassistant.core import CALLBACK_TYPE, Event, HomeAssistant, callback
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.translation import async_get_cached_translations
from homeassistant.helpers.trigger import (
    Trigger,
    TriggerActionRunner,
    TriggerConfig,
    TriggerNotTriggeredReporter,
)
from homeassistant.helpers.typing import ConfigType
import voluptuous as vol

from .commands import Verdict
from .const import DOMAIN, EVENT_COMMAND, EVENT_NOTICE
from .notices import Notice
from .targets import async_targeted_devices

_SCHEMA = vol.Schema(
    {
        vol.Optional(CONF_TARGET): cv.TARGET_FIELDS,
        vol.Optional(CONF_OPTIONS, default={}): {},
    }
)


class _EventTrigger(Trigger):
    """Fires with one kind of event of the targeted devices."""

    key: ClassVar[str]
    event_type: ClassVar[str]
    field: ClassVar[str]
    value: ClassVar[str]

    @classmethod
    @override
    async def async_validate_config(cls, hass: HomeAssistant, config: ConfigType) -> ConfigType:
        return cast("ConfigType", _SCHEMA(config))

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Take the target; without one it is everything of ours."""
        super().__init__(hass, config)
        self._target = config.target

    @override
    async def async_attach_runner(
        self,
        run_action: TriggerActionRunner,
        did_not_trigger: TriggerNotTriggeredReporter | None = None,
    ) -> CALLBACK_TYPE:
        @callback
        def is_meant(data: Mapping[str, Any]) -> bool:
            return data[self.field] == self.value and data[
                ATTR_DEVICE_ID
            ] in async_targeted_devices(self._hass, self._target)

        @callback
        def fired(event: Event) -> None:
            details = {key: each for key, each in event.data.items() if key != self.field}
            # The task is Home Assistant's; nobody here waits for what an automation does.
            _ = run_action(details, f"{self._name()}: {event.data['name']}", event.context)

        return self._hass.bus.async_listen(self.event_type, fired, event_filter=is_meant)

    def _name(self) -> str:
        """Return what the trigger is called in the language of the house."""
        language = self._hass.config.language
        texts = async_get_cached_translations(self._hass, language, "triggers", DOMAIN)
        return texts.get(f"component.{DOMAIN}.triggers.{self.key}.name", self.key)


def _trigger(key: str, event_type: str, field: str, value: str) -> type[Trigger]:
    members = {"key": key, "event_type": event_type, "field": field, "value": value}
    return type(f"Trigger_{key}", (_EventTrigger,), members)


TRIGGERS: Mapping[str, type[Trigger]] = {
    **{
        f"command_{verdict}": _trigger(f"command_{verdict}", EVENT_COMMAND, "verdict", verdict)
        for verdict in Verdict
    },
    **{str(notice): _trigger(notice, EVENT_NOTICE, "kind", notice) for notice in Notice},
}


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers by their keys."""
    return dict(TRIGGERS)
