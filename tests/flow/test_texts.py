"""The texts of the flows: none left over, and none missing goes unnoticed."""

from pathlib import Path
import re
from typing import Any

from homeassistant.data_entry_flow import FlowHandler, FlowResultType, section
from homeassistant.helpers.selector import (
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    TextSelector,
)
import pytest
import voluptuous as vol

from custom_components.hy_heating.config_flow import HyConfigFlow
from custom_components.hy_heating.flow_options import HyOptionsFlow

from .texts import LANGUAGES, TRANSLATIONS, missing_texts, texts

SOURCE = "".join(path.read_text() for path in TRANSLATIONS.parent.glob("*flow*.py"))


def steps_of(flow: type[FlowHandler[Any, Any, Any]]) -> set[str]:
    return {name.removeprefix("async_step_") for name in dir(flow) if "async_step_" in name}


@pytest.mark.parametrize("kind", ["error", "abort", "progress"])
def test_no_text_is_left_over(kind: str) -> None:
    for key in texts("en")["config"][kind]:
        assert f'"{key}"' in SOURCE, key


def test_no_step_is_left_over() -> None:
    assert texts("en")["config"]["step"].keys() <= steps_of(HyConfigFlow)
    assert texts("en")["options"]["step"].keys() <= steps_of(HyOptionsFlow)


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_hold_nothing_that_home_assistant_refuses(language: str) -> None:
    """Its own check of English texts (hassfest), as far as it concerns single texts."""

    def check(node: dict[str, Any], path: str) -> None:
        for key, value in node.items():
            where = f"{path}.{key}"
            if isinstance(value, dict):
                check(value, where)
                continue
            assert not re.search(r"://|www\.|<[a-z/]|'\{\w+\}'|\[%", value), where
            assert value == value.strip() != "", where

    for part in ("config", "options", "selector", "common"):
        check(texts(language)[part], part)


def test_every_described_field_has_a_name() -> None:
    for language in LANGUAGES:
        for flow in ("config", "options"):
            for step in texts(language)[flow]["step"].values():
                for form in (step, *step.get("sections", {}).values()):
                    assert form.get("data_description", {}).keys() == form.get("data", {}).keys()


class _Flow(FlowHandler[Any, Any, Any]):
    async def async_step_listen(self, _: None = None) -> None: ...


def form(**changes: Any) -> dict[str, Any]:
    """Return a form whose texts are all there."""
    shown: dict[str, Any] = {
        "type": FlowResultType.FORM,
        "step_id": "gateway_id",
        "errors": None,
        "data_schema": vol.Schema({vol.Required("gateway_id"): TextSelector()}),
    }
    return shown | changes


def choice(key: str, *options: SelectOptionDict) -> vol.Schema:
    config = SelectSelectorConfig(options=list(options), translation_key=key)
    return vol.Schema({vol.Required("gateway_id"): SelectSelector(config)})


@pytest.mark.parametrize(
    ("result", "missing"),
    [
        (form(), None),
        (form(step_id="nowhere"), "config.step.nowhere.title"),
        (form(errors={"base": "nothing"}), "config.error.nothing"),
        (form(data_schema=vol.Schema({"x": str})), "config.step.gateway_id.data.x"),
        (
            form(data_schema=vol.Schema({"a": section(vol.Schema({"x": str}))})),
            "config.step.gateway_id.sections.a.data_description.x",
        ),
        (form(data_schema=choice("broker", {"value": "new", "label": "new"})), None),
        (form(data_schema=choice("broker", {"value": "1", "label": "Building 7"})), None),
        (
            form(data_schema=choice("broker", {"value": "old", "label": "old"})),
            "selector.broker.options.old",
        ),
        ({"type": FlowResultType.ABORT, "reason": "nothing"}, "config.abort.nothing"),
        (
            {"type": FlowResultType.ABORT, "reason": "x", "translation_domain": "homeassistant"},
            None,
        ),
        (
            {"type": FlowResultType.SHOW_PROGRESS, "progress_action": "nothing"},
            "config.progress.nothing",
        ),
        (
            {"type": FlowResultType.SHOW_PROGRESS, "progress_action": "probe"},
            "config.progress.probe lacks ['gateway_id']",
        ),
        (
            {"type": FlowResultType.MENU, "step_id": "gateways", "menu_options": ["listen"]},
            None,
        ),
        (
            {"type": FlowResultType.MENU, "step_id": "gateways", "menu_options": ["nothing"]},
            "config.step.gateways.menu_options.nothing",
        ),
        (
            {"type": FlowResultType.MENU, "step_id": "gateways", "menu_options": ["gateway_id"]},
            "no step gateway_id",
        ),
    ],
)
def test_missing_texts_are_found(result: dict[str, Any], missing: str | None) -> None:
    found = list(missing_texts("config", _Flow(), result))
    if missing is None:
        assert not found
    elif missing.startswith("no step"):
        assert found == [missing]
    else:
        assert {f"{language}: {missing}" for language in LANGUAGES} <= set(found)


def test_translations_are_where_they_are_looked_for() -> None:
    assert {path.stem for path in Path(TRANSLATIONS).glob("*.json")} == set(LANGUAGES)
