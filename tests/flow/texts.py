"""Finds what a flow shows without a text in English or Chinese."""

from collections.abc import Iterator
from functools import cache
import json
from pathlib import Path
from string import Formatter
from typing import Any

from homeassistant.data_entry_flow import FlowHandler, FlowResultType, section
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.selector import SelectSelector
import probatio

TRANSLATIONS = (
    Path(__file__).parent.parent.parent / "custom_components" / "hy_heating" / "translations"
)
LANGUAGES = ("en", "zh-Hans")
OWN_TEXTS = "hy_heating"


@cache
def texts(language: str) -> dict[str, Any]:
    """Return all texts of a language."""
    loaded: dict[str, Any] = json.loads((TRANSLATIONS / f"{language}.json").read_text())
    return loaded


def missing_texts(
    kind: str, flow: FlowHandler[Any, Any, Any], result: dict[str, Any]
) -> Iterator[str]:
    """Name each text that a result of a flow (`config` or `options`) needs and does not have."""
    if result.get("translation_domain", OWN_TEXTS) != OWN_TEXTS:
        return
    given = set(result.get("description_placeholders") or ())
    for needed in _needed(result):
        path = needed if needed.startswith("selector.") else f"{kind}.{needed}"
        for language in LANGUAGES:
            text = _text(language, path)
            if text is None:
                yield f"{language}: {path}"
            elif lacking := {name for _, name, *_ in Formatter().parse(text) if name} - given:
                yield f"{language}: {path} lacks {sorted(lacking)}"
    for option in result.get("menu_options") or ():
        if not hasattr(flow, f"async_step_{option}"):
            yield f"no step {option}"
    if schema := result.get("data_schema"):
        # What cannot be sent to the frontend raises here.
        json.dumps(probatio.to_field_list(schema, custom_serializer=cv.custom_serializer))


def _text(language: str, path: str) -> str | None:
    node: Any = texts(language)
    for key in path.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, str) else None


def _needed(result: dict[str, Any]) -> Iterator[str]:
    kind, step = result["type"], f"step.{result.get('step_id')}"
    if kind is FlowResultType.ABORT:
        yield f"abort.{result['reason']}"
    elif kind is FlowResultType.SHOW_PROGRESS:
        yield f"progress.{result['progress_action']}"
    elif kind is FlowResultType.MENU:
        yield f"{step}.title"
        yield f"{step}.description"
        yield from (f"{step}.menu_options.{option}" for option in result["menu_options"])
    elif kind is FlowResultType.FORM:
        yield f"{step}.title"
        yield from (f"error.{error}" for error in (result["errors"] or {}).values())
        yield from _fields(step, result["data_schema"])


def _fields(step: str, schema: probatio.Schema) -> Iterator[str]:
    for key, value in schema.schema.items():
        if isinstance(value, section):
            yield f"{step}.sections.{key}.name"
            yield from _fields(f"{step}.sections.{key}", value.schema)
            continue
        yield f"{step}.data.{key}"
        yield f"{step}.data_description.{key}"
        if isinstance(value, SelectSelector) and (name := value.config.get("translation_key")):
            # Options with a label of their own, like the brokers in use, need no text.
            for option in value.config["options"]:
                if isinstance(option, str) or option["label"] == option["value"]:
                    chosen = option if isinstance(option, str) else option["value"]
                    yield f"selector.{name}.options.{chosen}"
