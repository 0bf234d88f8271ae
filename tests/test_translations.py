"""Every key in both languages, every text of the tables present, nothing left over."""

from functools import partial
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.entity import EntityDescription
import pytest

from custom_components.hy_heating.binary_sensor import GATEWAY_BINARY_SENSORS
from custom_components.hy_heating.button import GATEWAY_BUTTONS
from custom_components.hy_heating.commands import CommandReport, Verdict
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.event import COMMAND
from custom_components.hy_heating.hyheat.devices import DEVICES
from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.meter import Silence
from custom_components.hy_heating.sensor import (
    CABINET_SENSORS,
    GATEWAY_SENSORS,
    LAST_REPORT,
    METER_SENSORS,
    VALVE_SENSORS,
)
from custom_components.hy_heating.valve import VALVES

from .translations import LANGUAGES, USED, complaint, missing, named, unused

ROOT = Path(__file__).parent.parent / "custom_components" / "hy_heating"

TABLES: dict[str, list[tuple[EntityDescription, ...]]] = {
    "sensor": [GATEWAY_SENSORS, (*CABINET_SENSORS, LAST_REPORT), (*VALVE_SENSORS, LAST_REPORT)],
    "binary_sensor": [GATEWAY_BINARY_SENSORS],
    "button": [GATEWAY_BUTTONS],
    "event": [(COMMAND,)],
    "valve": [(row,) for row in VALVES.values()],
}


def texts(language: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "translations" / f"{language}.json").read_text())
    return loaded


def flat(tree: dict[str, Any], path: str = "") -> dict[str, str]:
    leaves: dict[str, str] = {}
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        leaves |= flat(value, where) if isinstance(value, dict) else {where: value}
    return leaves


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_missing_and_none_is_left_over(language: str) -> None:
    assert list(missing(texts(language))) == []
    assert list(unused(texts(language))) == []


def test_calls_are_seen() -> None:
    seen = {(keyword, key) for keyword, key, _ in named()}
    assert {
        ("translation_key", "broker_refused_credentials"),
        ("translation_key", "heat_energy"),
        ("translation_key", "valve_disobeys"),
        ("reason", "not_loaded"),
        ("step_id", "init"),
    } <= seen


@pytest.mark.parametrize("path", USED, ids=".".join)
def test_a_text_too_many_is_found_wherever_it_stands(path: tuple[str, ...]) -> None:
    where = ["some" if key == "?" else key for key in path[:-1]]
    tree: Any = {"nobody_asks": "x"}
    for key in reversed(where):
        tree = {key: tree}
    assert ".".join([*where, "nobody_asks"]) in set(unused(tree))


def test_a_text_too_few_is_found() -> None:
    tree = json.loads(json.dumps(texts("en")))
    for key, where in (
        ("invalid_request", ("exceptions",)),
        ("valve_disobeys", ("issues",)),
        ("heat_energy", ("entity", "sensor")),
        ("init", ("options", "step")),
    ):
        part = tree
        for name in where:
            part = part[name]
        del part[key]
    found = {complaint.partition(": ")[2] for complaint in missing(tree)}
    assert found == {
        "translation_key invalid_request",
        "translation_key valve_disobeys",
        "translation_key heat_energy",
        "step_id init",
    }


@pytest.mark.parametrize(
    ("section", "key", "given", "wrong"),
    [
        ("exceptions", "opening_missing", None, None),
        ("exceptions", "nothing", None, "en: exceptions.nothing is missing"),
        (
            "exceptions",
            "invalid_request",
            {"target": "x"},
            "exceptions.invalid_request lacks detail",
        ),
        ("exceptions", "invalid_request", {"target": "x", "detail": "y"}, None),
        ("issues", "store_damaged", None, "en: issues.store_damaged lacks path"),
    ],
)
def test_what_is_raised_without_a_text_is_found(
    section: str, key: str, given: dict[str, str] | None, wrong: str | None
) -> None:
    found = complaint(section, key, given)
    assert (found is None) if wrong is None else (found is not None and wrong in found)


async def test_what_has_no_text_is_noted_when_it_happens(
    hass: HomeAssistant, untranslated: list[str]
) -> None:
    HomeAssistantError(translation_domain="other", translation_key="nothing")
    HomeAssistantError(translation_domain=DOMAIN, translation_key="nothing")
    ir.async_create_issue(
        hass,
        DOMAIN,
        "some",
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key="store_damaged",
    )
    assert untranslated == [
        "en: exceptions.nothing is missing",
        "en: issues.store_damaged lacks path",
    ]
    untranslated.clear()


def test_chinese_is_chinese() -> None:
    english = flat(texts("en"))
    same = {
        key
        for key, text in flat(texts("zh-Hans")).items()
        if text == english[key] and not re.fullmatch(r"\{\w+\}", text)
    }
    assert not same, "left in English"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("platform", TABLES)
def test_every_entity_has_a_name_and_no_name_is_left_over(platform: str, language: str) -> None:
    keys = {row.translation_key for table in TABLES[platform] for row in table} - {None}
    assert texts(language)["entity"][platform].keys() == keys


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_failure_has_a_sentence(language: str) -> None:
    exceptions = texts(language)["exceptions"]
    assert {key for key in exceptions if key.startswith("failed_")} == {
        f"failed_{reason}" for reason in FailureReason
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_failure_has_a_word_for_the_event_and_the_logbook(language: str) -> None:
    command = texts(language)["entity"]["event"]["command"]["state_attributes"]
    assert command["reason"]["state"].keys() == {*map(str, FailureReason)}
    assert (
        command.keys() - {"event_type"}
        == CommandReport(verdict=Verdict.VERIFIED, wished=0).as_dict().keys()
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_silence_has_a_word(language: str) -> None:
    last_report = texts(language)["entity"]["sensor"]["last_report"]
    assert last_report["state_attributes"]["problem"]["state"].keys() == {*map(str, Silence)}


def test_icons_for_every_named_entity_without_a_device_class_icon() -> None:
    icons = json.loads((ROOT / "icons.json").read_text())["entity"]
    for platform in ("sensor", "binary_sensor", "button", "event"):
        named = {row.translation_key for table in TABLES[platform] for row in table} - {None}
        assert icons[platform].keys() <= named, "no icon is left over"
        bare = {
            row.translation_key
            for table in TABLES[platform]
            for row in table
            if row.translation_key and getattr(row, "device_class", None) is None
        }
        assert bare <= icons[platform].keys(), "no entity without an icon"


@pytest.mark.parametrize("platform", TABLES)
def test_keys_are_unique_in_each_table(platform: str) -> None:
    for table in TABLES[platform]:
        keys = [row.key for row in table]
        assert len(keys) == len(set(keys))


def test_every_sensor_shows_a_field_of_its_layout_in_its_unit() -> None:
    endings = {"_c": "°C", "_kwh": "kWh", "_m3": "m³", "_l_h": "L/h", "_pct": "%", "_min": "min"}
    for kind, table in METER_SENSORS.items():
        if kind not in DEVICES:
            continue
        fields = {row.key for row in DEVICES[kind].layout.fields if row.key}
        for row in table:
            if not isinstance(row.value_fn, partial):
                assert row.key in {"temperature_difference", "thermal_power", "clock_drift"}
                continue
            field = row.value_fn.keywords["key"]
            assert field in fields, row.key
            unit = next((u for end, u in endings.items() if field.endswith(end)), None)
            assert row.native_unit_of_measurement == unit, row.key


def test_statistics_only_with_a_unit() -> None:
    for table in TABLES["sensor"]:
        for row in table:
            if getattr(row, "state_class", None) is not None:
                assert getattr(row, "native_unit_of_measurement", None) is not None, row.key


def test_the_budget_of_enabled_entities() -> None:
    def enabled(*tables: tuple[EntityDescription, ...]) -> int:
        return sum(row.entity_registry_enabled_default for table in tables for row in table)

    assert enabled(GATEWAY_SENSORS, GATEWAY_BINARY_SENSORS, GATEWAY_BUTTONS) <= 12
    assert enabled(CABINET_SENSORS, (LAST_REPORT, COMMAND)) + 1 <= 12  # and the valve
    assert enabled(VALVE_SENSORS, (LAST_REPORT, COMMAND)) + 1 <= 5

    def with_statistics(table: tuple[Any, ...]) -> int:
        return sum(row.entity_registry_enabled_default and bool(row.state_class) for row in table)

    assert with_statistics(CABINET_SENSORS) <= 7
    assert with_statistics(VALVE_SENSORS) <= 2
