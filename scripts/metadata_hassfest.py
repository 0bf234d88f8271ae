"""What hassfest checks of a custom integration, replayed from its documented rules.

hassfest itself needs Home Assistant's repository and an image; both are beyond a machine without
network. Each function takes the repository's root and yields complaints. Sources: the pages on
manifest, translations, icons, actions and the quality scale of developers.home-assistant.io.
"""

from collections.abc import Iterator, Mapping
import json
from pathlib import Path
import re
from string import Formatter
from typing import Any
from urllib.parse import urlparse

from awesomeversion import AwesomeVersion, AwesomeVersionException, AwesomeVersionStrategy
from homeassistant import components
from homeassistant.const import Platform
from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import selector
from homeassistant.util.yaml import load_yaml_dict
from metadata_schema import Table, complaints, is_a, list_of, one_of
import voluptuous as vol

INTEGRATION = Path("custom_components/hy_heating")
LANGUAGES = ("en", "zh-Hans")


def _json(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


# --- manifest.json -----------------------------------------------------------------------------

_TEXT = is_a(str, "a text")
_TEXTS = list_of(_TEXT)


def _address(value: object) -> Iterator[str]:
    if not isinstance(value, str) or urlparse(value).scheme != "https":
        yield "must be an https address"


def _version(value: object) -> Iterator[str]:
    strategies = [
        AwesomeVersionStrategy.CALVER,
        AwesomeVersionStrategy.SEMVER,
        AwesomeVersionStrategy.SIMPLEVER,
        AwesomeVersionStrategy.BUILDVER,
        AwesomeVersionStrategy.PEP440,
    ]
    try:
        AwesomeVersion(str(value), ensure_strategy=strategies)
    except AwesomeVersionException:
        yield f"{value!r} is no version"


def _pin(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not re.fullmatch(
        r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", value
    ):
        yield "must be pinned exactly"


def _owner(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value.startswith("@"):
        yield "must begin with @"


def _component(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not (_COMPONENTS / value / "manifest.json").is_file():
        yield "is no integration of Home Assistant"


_COMPONENTS = Path(components.__path__[0])

MANIFEST: Table = {
    "domain": one_of(INTEGRATION.name),
    "name": _TEXT,
    "after_dependencies?": list_of(_component),
    "codeowners": list_of(_owner),
    "config_flow": is_a(bool, "true or false"),
    "dependencies?": list_of(_component),
    "documentation": _address,
    "import_executor?": is_a(bool, "true or false"),
    "integration_type": one_of("device", "hardware", "helper", "hub", "service", "system"),
    "iot_class": one_of(
        "assumed_state",
        "calculated",
        "cloud_polling",
        "cloud_push",
        "local_polling",
        "local_push",
    ),
    "issue_tracker": _address,
    "loggers?": _TEXTS,
    "mqtt?": _TEXTS,
    "requirements?": list_of(_pin),
    "single_config_entry?": is_a(bool, "true or false"),
    "version": _version,
}


def check_manifest(root: Path) -> Iterator[str]:
    """Yield what is wrong with the manifest's keys, their values and their order."""
    manifest = _json(root / INTEGRATION / "manifest.json")
    yield from complaints(manifest, MANIFEST, "manifest.json")
    keys = list(manifest)
    wanted = sorted(keys, key=lambda key: (key != "domain", key != "name", key))
    if keys != wanted:
        yield f"manifest.json: keys must come as {', '.join(wanted)}"


# What may be used without being named in the manifest, besides platforms of one's own.
_ALWAYS_THERE = {
    *map(str, Platform),
    "automation",
    "device_automation",
    "frontend",
    "homeassistant",
    "persistent_notification",
    "script",
    "sun",
    "system_health",
    "system_log",
    "webhook",
    "websocket_api",
    "zone",
}
_IMPORT = re.compile(
    r"^\s*(?:from|import) homeassistant\.components(?:\.(\w+)| import (\w+))", re.MULTILINE
)


def check_dependencies(root: Path) -> Iterator[str]:
    """Yield each integration of Home Assistant that is used without being named."""
    manifest = _json(root / INTEGRATION / "manifest.json")
    named = {*manifest.get("dependencies", ()), *manifest.get("after_dependencies", ())}
    for path in sorted((root / INTEGRATION).rglob("*.py")):
        for parts in _IMPORT.findall(path.read_text(encoding="utf-8")):
            used = "".join(parts)
            if used not in named | _ALWAYS_THERE and path.stem != used:
                place = path.relative_to(root)
                yield f"manifest.json: {place} uses {used}, which is no dependency"


# --- translations ------------------------------------------------------------------------------

_ADDRESS = re.compile(r"(?:[a-z0-9]+://|www\.)[a-z0-9]", re.IGNORECASE)
_HTML = re.compile(r"<[a-z/!][^>]*>", re.IGNORECASE)
_QUOTED_PLACEHOLDER = re.compile(r"'\{\w+\}'")


def _sentence(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value:
        yield "must be a text"
        return
    if value != value.strip():
        yield "has blanks around it"
    if _HTML.search(value):
        yield "holds HTML"
    if _ADDRESS.search(value):
        yield "holds an address; next: use a placeholder"
    if _QUOTED_PLACEHOLDER.search(value):
        yield "has a placeholder in single quotes"
    if "[%" in value:
        yield "refers to another text, which is never resolved here"
    try:
        names = _placeholders(value)
    except ValueError as err:
        yield f"cannot be filled in: {err}"
    else:
        for name in sorted(names):
            if not name.isidentifier():
                yield f"{{{name}}} is no placeholder"


def _placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def _word(value: object) -> Iterator[str]:
    """Check a text that nothing is filled into."""
    yield from _sentence(value)
    if isinstance(value, str) and "{" in value:
        yield "must not have placeholders"


_SENTENCES: Table = {"*": _sentence}
_WORDS: Table = {"*": _word}
_FORM: Table = {
    "title?": _sentence,
    "description?": _sentence,
    "data?": _SENTENCES,
    "data_description?": _SENTENCES,
    "menu_options?": _SENTENCES,
    "menu_option_descriptions?": _SENTENCES,
    "submit?": _sentence,
    "sections?": {
        "*": {
            "name?": _sentence,
            "description?": _sentence,
            "data?": _SENTENCES,
            "data_description?": _SENTENCES,
        }
    },
}
_FLOW: Table = {
    "flow_title?": _sentence,
    "initiate_flow?": {"user": _sentence},
    "step": {"*": _FORM},
    "error?": _SENTENCES,
    "abort?": _SENTENCES,
    "progress?": _SENTENCES,
    "create_entry?": _SENTENCES,
}
_STATES: Table = {"name?": _word, "state?": _WORDS}
_DESCRIBED: Table = {"name": _sentence, "description": _sentence}
_ACTION: Table = {
    **_DESCRIBED,
    "fields?": {"*": {**_DESCRIBED, "example?": _sentence}},
    "sections?": {"*": {"name": _sentence, "description?": _sentence}},
}

TRANSLATIONS: Table = {
    "title?": _sentence,
    "common?": _SENTENCES,
    "config": _FLOW,
    "options?": _FLOW,
    "selector?": {
        "*": {
            "options?": _SENTENCES,
            "choices?": _SENTENCES,
            "unit_of_measurement?": _SENTENCES,
            "fields?": {"*": _DESCRIBED},
        }
    },
    "device_automation?": {
        "action_type?": _SENTENCES,
        "condition_type?": _SENTENCES,
        "trigger_type?": _SENTENCES,
        "trigger_subtype?": _SENTENCES,
        "extra_fields?": _SENTENCES,
        "extra_fields_descriptions?": _SENTENCES,
    },
    "system_health?": {"info?": _SENTENCES},
    "issues?": {"*": {"title": _sentence, "description?": _sentence, "fix_flow?": _FLOW}},
    "device?": {"*": {"name?": _sentence}},
    "entity?": {
        "*": {
            "*": {
                "name?": _sentence,
                "state?": _WORDS,
                "state_attributes?": {"*": _STATES},
                "unit_of_measurement?": _word,
            }
        }
    },
    "exceptions?": {"*": {"message": _sentence}},
    "services?": {"*": _ACTION},
    "triggers?": {"*": _ACTION},
    "conditions?": {"*": _ACTION},
}


def check_translations(root: Path) -> Iterator[str]:
    """Yield what is wrong with the texts, and where both languages differ in more than words."""
    flat: dict[str, dict[str, str]] = {}
    for language in LANGUAGES:
        path = f"translations/{language}.json"
        texts = _json(root / INTEGRATION / path)
        found = list(complaints(texts, TRANSLATIONS, path))
        yield from found
        if found:
            continue
        yield from _described_only(texts, path)
        for key, issue in texts.get("issues", {}).items():
            if ("description" in issue) == ("fix_flow" in issue):
                yield f"{path}.issues.{key}: needs either a description or a fix_flow"
        flat[language] = _flat(texts)
    if len(flat) == len(LANGUAGES):
        yield from _differences(flat)


def _described_only(node: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield each field that is described without having a name."""
    for key in sorted(node.get("data_description", {}).keys() - node.get("data", {}).keys()):
        yield f"{path}: data_description.{key} is not in data"
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _described_only(value, f"{path}.{key}")


def _flat(node: Mapping[str, Any], path: str = "") -> dict[str, str]:
    leaves: dict[str, str] = {}
    for key, value in node.items():
        where = f"{path}.{key}" if path else key
        leaves |= _flat(value, where) if isinstance(value, dict) else {where: value}
    return leaves


def _differences(flat: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    first, *others = LANGUAGES
    for language in others:
        for key in sorted(flat[first].keys() ^ flat[language].keys()):
            lacking = language if key in flat[first] else first
            yield f"translations/{lacking}.json: {key} is missing"
        for key in sorted(flat[first].keys() & flat[language].keys()):
            if _placeholders(flat[first][key]) != _placeholders(flat[language][key]):
                yield f"translations/{language}.json.{key}: has other placeholders than {first}"


# --- icons.json --------------------------------------------------------------------------------


def _icon(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not re.fullmatch(r"mdi:[a-z0-9-]+", value):
        yield "must be an icon like mdi:valve"


_ICONS_OF_STATES: Table = {"default?": _icon, "state?": {"*": _icon}, "range?": {"*": _icon}}
_ICONS_OF_FLOW: Table = {"step": {"*": {"sections?": {"*": _icon}}}}
ICONS: Table = {
    "entity?": {"*": {"*": {**_ICONS_OF_STATES, "state_attributes?": {"*": _ICONS_OF_STATES}}}},
    "services?": {"*": {"service": _icon, "sections?": {"*": _icon}}},
    "triggers?": {"*": {"trigger": _icon, "sections?": {"*": _icon}}},
    "conditions?": {"*": {"condition": _icon, "sections?": {"*": _icon}}},
    "config?": _ICONS_OF_FLOW,
    "options?": _ICONS_OF_FLOW,
}


def check_icons(root: Path) -> Iterator[str]:
    """Yield what is wrong with the icons."""
    icons = _json(root / INTEGRATION / "icons.json")
    found = list(complaints(icons, ICONS, "icons.json"))
    yield from found or _same_as_default(icons, "icons.json")


def _same_as_default(node: Mapping[str, Any], path: str) -> Iterator[str]:
    for state, icon in node.get("state", {}).items() if "default" in node else ():
        if icon == node["default"]:
            yield f"{path}.state.{state}: is the default icon and can go"
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _same_as_default(value, f"{path}.{key}")


# --- services.yaml, triggers.yaml, conditions.yaml ---------------------------------------------


def _present(value: object) -> Iterator[str]:
    if value is None:
        yield "must not be empty"


def _selector(value: object) -> Iterator[str]:
    try:
        selector.validate_selector(value)
    except (vol.Invalid, HomeAssistantError, TypeError) as err:
        yield f"is no selector: {err}"


def _target(value: object) -> Iterator[str]:
    if value is None:
        return
    try:
        selector.TargetSelector.CONFIG_SCHEMA(value)
    except vol.Invalid as err:
        yield f"is no target: {err}"
    if isinstance(value, dict) and "device" in value:
        yield "filters devices, which Home Assistant 2026.11 does no longer take; next: use entity"


_FIELD: Table = {
    "example?": _present,
    "default?": _present,
    "required?": is_a(bool, "true or false"),
    "advanced?": is_a(bool, "true or false"),
    "selector?": _selector,
}
_FILTERED: Table = {**_FIELD, "filter?": is_a(dict, "an object")}

DESCRIBED_IN_YAML = ("services", "triggers", "conditions")


def check_actions(root: Path) -> Iterator[str]:
    """Yield what is wrong with actions, triggers and conditions, with their texts and icons."""
    texts = _json(root / INTEGRATION / "translations/en.json")
    icons = _json(root / INTEGRATION / "icons.json")
    for kind in DESCRIBED_IN_YAML:
        name = f"{kind}.yaml"
        path = root / INTEGRATION / name
        described = texts.get(kind, {})
        try:
            given = load_yaml_dict(str(path)) if path.is_file() else {}
        except HomeAssistantError as err:
            yield f"{name}: {err}"
            continue
        given = {key: value or {} for key, value in given.items() if not key.startswith(".")}
        for key in sorted(given.keys() ^ described.keys()):
            lacking, has = ("translations", name) if key in given else (name, "translations")
            yield f"{name}: {key} is in {has}, not in {lacking}"
        for key in sorted(given.keys() - icons.get(kind, {}).keys()):
            yield f"icons.json: {kind}.{key} is missing"
        for key in sorted(icons.get(kind, {}).keys() - given.keys()):
            yield f"icons.json: {kind}.{key} is left over"
        for key in sorted(given.keys() & described.keys()):
            yield from _action(given[key], described[key], texts, f"{name}.{key}")


def _action(
    given: Mapping[str, Any], described: Mapping[str, Any], texts: Mapping[str, Any], path: str
) -> Iterator[str]:
    field = _FILTERED if "target" in given else _FIELD
    sections = [key for key, row in given.get("fields", {}).items() if row and "fields" in row]
    rows: Table = {
        "*": field,
        **{
            f"{key}?": {"collapsed?": is_a(bool, "true or false"), "fields": {"*": field}}
            for key in sections
        },
    }
    yield from complaints(given, {"target?": _target, "fields?": rows}, path)
    fields: dict[str, Any] = {}
    for key, row in given.get("fields", {}).items():
        for name, inner in row["fields"].items() if key in sections else ((key, row),):
            if name in fields:
                yield f"{path}.fields: {name} stands twice"
            fields[name] = inner or {}
    for kind, names in (("fields", set(fields)), ("sections", set(sections))):
        for name in sorted(names - described.get(kind, {}).keys()):
            yield f"{path}: the text of {kind}.{name} is missing"
        for name in sorted(described.get(kind, {}).keys() - names):
            yield f"{path}: the text of {kind}.{name} is left over"
    for name, row in fields.items():
        chosen = row.get("selector", {})
        key = (chosen.get("select") or {}).get("translation_key") if chosen else None
        if key and key not in texts.get("selector", {}):
            yield f"{path}.fields.{name}: no texts of selector.{key}"


# --- quality_scale.yaml ------------------------------------------------------------------------

RULES = [
    "action-setup",
    "appropriate-polling",
    "brands",
    "common-modules",
    "config-flow",
    "config-flow-test-coverage",
    "dependency-transparency",
    "docs-actions",
    "docs-conditions",
    "docs-high-level-description",
    "docs-installation-instructions",
    "docs-removal-instructions",
    "docs-triggers",
    "entity-event-setup",
    "entity-unique-id",
    "has-entity-name",
    "runtime-data",
    "test-before-configure",
    "test-before-setup",
    "unique-config-entry",
    "action-exceptions",
    "config-entry-unloading",
    "docs-configuration-parameters",
    "docs-installation-parameters",
    "entity-unavailable",
    "integration-owner",
    "log-when-unavailable",
    "parallel-updates",
    "reauthentication-flow",
    "test-coverage",
    "devices",
    "diagnostics",
    "discovery",
    "discovery-update-info",
    "docs-data-update",
    "docs-examples",
    "docs-known-limitations",
    "docs-supported-devices",
    "docs-supported-functions",
    "docs-troubleshooting",
    "docs-use-cases",
    "dynamic-devices",
    "entity-category",
    "entity-device-class",
    "entity-disabled-by-default",
    "entity-translations",
    "exception-translations",
    "icon-translations",
    "reconfiguration-flow",
    "repair-issues",
    "stale-devices",
    "async-dependency",
    "inject-websession",
    "strict-typing",
]


def _rule(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from one_of("done", "todo")(value)
        return
    found = list(complaints(value, {"status": _TEXT, "comment?": _TEXT}, "rule"))
    yield from found
    if not found and isinstance(value, dict):
        yield from one_of("done", "todo", "exempt")(value["status"])
        if value["status"] == "exempt" and not value.get("comment"):
            yield "is exempt without a reason"


def check_quality_scale(root: Path) -> Iterator[str]:
    """Yield what is wrong with the quality scale, where it is written down."""
    path = root / INTEGRATION / "quality_scale.yaml"
    if path.is_file():
        rules: Table = dict.fromkeys(RULES, _rule)
        yield from complaints(load_yaml_dict(str(path)), {"rules": rules}, "quality_scale.yaml")
