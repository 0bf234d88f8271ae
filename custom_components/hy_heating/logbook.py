"""A sentence in the logbook for the end of every command."""

from collections.abc import Callable, Mapping

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ENTITY_ID,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
)
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .commands import Verdict
from .const import DOMAIN, EVENT_COMMAND

# Home Assistant translates no logbook sentences of integrations: they carry their own.
_SENTENCES: Mapping[str, Mapping[str, str]] = {
    "en": {
        Verdict.VERIFIED: "reached {wished} % (from {before} %, tries: {tries}, {duration} s)",
        Verdict.FAILED: (
            "did not prove {wished} %: {reason} (found {found} %, tries: {tries}, {duration} s)"
        ),
        Verdict.FOREIGN: "was told {wished} % by another master",
    },
    "zh-Hans": {
        Verdict.VERIFIED: "已到达 {wished} %（原 {before} %，尝试 {tries} 次，用时 {duration} 秒）",
        Verdict.FAILED: (
            "未证实到达 {wished} %：{reason}（实际 {found} %，尝试 {tries} 次，用时 {duration} 秒）"
        ),
        Verdict.FOREIGN: "被其他主站设为 {wished} %",
    },
}

_REASON = f"component.{DOMAIN}.entity.event.command.state_attributes.reason.state"


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[[str, str, Callable[[Event], dict[str, str]]], None],
) -> None:
    """Describe the end of a command."""

    @callback
    def describe(event: Event) -> dict[str, str]:
        data = event.data
        language = "zh-Hans" if hass.config.language.startswith("zh") else "en"
        shown = {key: "?" if value is None else value for key, value in data.items()}
        texts = async_get_cached_translations(hass, hass.config.language, "entity", DOMAIN)
        shown["reason"] = texts.get(f"{_REASON}.{data['reason']}", data["reason"])
        return {
            LOGBOOK_ENTRY_NAME: data["name"],
            LOGBOOK_ENTRY_MESSAGE: _SENTENCES[language][data["verdict"]].format(**shown),
            LOGBOOK_ENTRY_ENTITY_ID: data[ATTR_ENTITY_ID],
        }

    async_describe_event(DOMAIN, EVENT_COMMAND, describe)
