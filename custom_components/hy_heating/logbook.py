"""A sentence in the logbook for the end of every command, and for every notice."""

from collections.abc import Callable, Mapping
from functools import partial

from homeassistant.components.logbook import (
    LOGBOOK_ENTRY_ENTITY_ID,
    LOGBOOK_ENTRY_MESSAGE,
    LOGBOOK_ENTRY_NAME,
)
from homeassistant.const import ATTR_ENTITY_ID
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.translation import async_get_cached_translations

from .commands import Verdict
from .const import DOMAIN, EVENT_COMMAND, EVENT_NOTICE
from .hyheat.errors import RefusalReason
from .notices import Notice

_COMMON = f"component.{DOMAIN}.common"
_ENTITY = f"component.{DOMAIN}.entity"

_REASONS = {
    EVENT_COMMAND: f"{_ENTITY}.event.command.state_attributes.reason.state",
    EVENT_NOTICE: f"{_ENTITY}.sensor.last_report.state_attributes.problem.state",
}
"""Where the words for the reasons of an event are."""

_SENTENCES: Mapping[str, str] = {
    Verdict.VERIFIED: "logbook_verified",
    Verdict.FAILED: "logbook_failed",
    Verdict.FOREIGN: "logbook_foreign",
    Notice.GATEWAY_LOST: "logbook_gateway_lost",
    Notice.GATEWAY_BACK: "logbook_gateway_back",
    Notice.METER_LOST: "logbook_meter_lost",
    Notice.METER_BACK: "logbook_meter_back",
    Notice.READING_REFUSED: "logbook_reading_refused",
    Notice.COUNTER_RESET: "logbook_counter_reset",
    Notice.METER_REPLACED: "logbook_meter_replaced",
}

_REFUSALS: Mapping[str, str] = {
    RefusalReason.TOO_LARGE: "refused_too_large",
    RefusalReason.ENCODING: "refused_encoding",
    RefusalReason.JSON: "refused_json",
    RefusalReason.NESTING: "refused_nesting",
    RefusalReason.SHAPE: "refused_shape",
    RefusalReason.TYPE: "refused_type",
    RefusalReason.VALUE: "refused_value",
    RefusalReason.MSG_ID: "refused_msg_id",
    RefusalReason.GATEWAY_ID: "refused_gateway_id",
    RefusalReason.TOPIC: "refused_topic",
    RefusalReason.RETAINED: "refused_retained",
    RefusalReason.ADDRESS: "refused_address",
    RefusalReason.FRAME_HEX: "refused_frame_hex",
    RefusalReason.FRAME_START: "refused_frame_start",
    RefusalReason.FRAME_LENGTH: "refused_frame_length",
    RefusalReason.FRAME_END: "refused_frame_end",
    RefusalReason.FRAME_CHECKSUM: "refused_frame_checksum",
    RefusalReason.FRAME_LAYOUT: "refused_frame_layout",
}


@callback
def async_describe_events(
    hass: HomeAssistant,
    async_describe_event: Callable[[str, str, Callable[[Event], dict[str, str]]], None],
) -> None:
    """Describe ends of commands and notices, in the language of the house.

    Home Assistant asks for sentences without saying in which language they will be read.
    """

    @callback
    def describe(reasons: str, event: Event) -> dict[str, str]:
        data = event.data  # out of the database: enumerations are plain texts again
        what: str = data.get("verdict") or data["kind"]
        reason: str | None = data.get("reason")
        texts: dict[str, str] = {}
        for category in ("common", "entity"):
            texts |= async_get_cached_translations(hass, hass.config.language, category, DOMAIN)
        shown = {key: "?" if value is None else value for key, value in data.items()}
        if reason is not None:
            refused = what == Notice.READING_REFUSED
            where = f"{_COMMON}.{_REFUSALS[reason]}" if refused else f"{reasons}.{reason}"
            shown["reason"] = texts.get(where, reason)
        described = {
            LOGBOOK_ENTRY_NAME: data["name"],
            LOGBOOK_ENTRY_MESSAGE: texts[f"{_COMMON}.{_SENTENCES[what]}"].format(**shown),
        }
        if data[ATTR_ENTITY_ID]:
            described[LOGBOOK_ENTRY_ENTITY_ID] = data[ATTR_ENTITY_ID]
        return described

    for event_type, reasons in _REASONS.items():
        async_describe_event(DOMAIN, event_type, partial(describe, reasons))
