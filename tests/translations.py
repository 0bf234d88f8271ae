"""Finds the texts that the code uses and has not, and those that it has and does not use."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from functools import cache
from importlib import import_module
import json
from pathlib import Path
import re
from string import Formatter
from typing import Any
from unittest.mock import patch

from homeassistant.exceptions import HomeAssistantError
from homeassistant.helpers import issue_registry as ir

from custom_components.hy_heating.const import DOMAIN

ROOT = Path(__file__).parent.parent
INTEGRATION = ROOT / "custom_components" / DOMAIN
LANGUAGES = ("en", "zh-Hans")

# Where a text stands, by the parts of its path: `?` is any key, `!` a key that the code must name,
# `step` one that may also be the name of a flow's step.
USED = (
    ("common", "!"),
    ("device", "!"),
    ("entity", "?", "!"),
    ("entity", "?", "?", "state", "!"),
    ("entity", "?", "?", "state_attributes", "!"),
    ("entity", "?", "?", "state_attributes", "?", "state", "!"),
    ("exceptions", "!"),
    ("issues", "!"),
    ("issues", "?", "fix_flow", "step", "step"),
    ("issues", "?", "fix_flow", "step", "?", "data", "!"),
    ("issues", "?", "fix_flow", "step", "?", "menu_options", "step"),
    ("issues", "?", "fix_flow", "abort", "!"),
    ("issues", "?", "fix_flow", "error", "!"),
    ("selector", "!"),
    ("selector", "?", "options", "!"),
    ("services", "!"),
    ("services", "?", "fields", "!"),
    ("triggers", "!"),
    ("triggers", "?", "fields", "!"),
    ("conditions", "!"),
    ("conditions", "?", "fields", "!"),
    ("device_automation", "?", "!"),
    ("system_health", "info", "!"),
    *(
        (flow, *path)
        for flow in ("config", "options")
        for path in (
            ("step", "step"),
            ("step", "?", "data", "!"),
            ("step", "?", "sections", "!"),
            ("step", "?", "sections", "?", "data", "!"),
            ("step", "?", "menu_options", "step"),
            ("error", "!"),
            ("abort", "!"),
            ("progress", "!"),
            ("create_entry", "!"),
        )
    ),
)

HOME_ASSISTANTS = {"event_type"}
"""Attributes that Home Assistant itself gives to our entities."""

# What a call names by a keyword or its first argument, and where that must be.
NAMED_BY_KEYWORD = {
    "translation_key": (
        ("exceptions", "!"),
        ("issues", "!"),
        ("device", "!"),
        ("selector", "!"),
        ("entity", "?", "!"),
    ),
    "reason": (
        ("config", "abort", "!"),
        ("options", "abort", "!"),
        ("issues", "?", "fix_flow", "abort", "!"),
    ),
    "step_id": (
        ("config", "step", "!"),
        ("options", "step", "!"),
        ("issues", "?", "fix_flow", "step", "!"),
    ),
    "progress_action": (("config", "progress", "!"), ("options", "progress", "!")),
}
CALLS = {
    "reason": {"async_abort", "async_update_and_abort", "async_update_reload_and_abort"},
    "step_id": {"async_show_form", "async_show_menu", "async_show_progress"},
    "progress_action": {"async_show_progress"},
}


@cache
def loaded(language: str) -> Mapping[str, Any]:
    """Return all texts of a language."""
    text = (INTEGRATION / "translations" / f"{language}.json").read_text(encoding="utf-8")
    texts: Mapping[str, Any] = json.loads(text)
    return texts


def placeholders(text: str) -> set[str]:
    """Return the names of what is filled into a text."""
    return {name for _, name, _, _ in Formatter().parse(text) if name}


# --- What the code says ------------------------------------------------------------------------


@cache
def sources() -> Mapping[Path, ast.Module]:
    """Return every module of the integration as a tree."""
    return {path: ast.parse(path.read_text()) for path in sorted(INTEGRATION.rglob("*.py"))}


@cache
def words() -> frozenset[str]:
    """Return every text that the code or a name in it stands for."""
    found: set[str] = set()
    for path, tree in sources().items():
        found |= {
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        } | {
            "".join(map(str, _parts(path, node)))
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr) and None not in _parts(path, node)
        }
        for value in _names_of(path).values():
            found |= {value} if isinstance(value, str) else _members(value)
    return frozenset(found)


def _members(value: object) -> set[str]:
    if isinstance(value, type) and issubclass(value, Enum):
        return {str(member.value) for member in value}
    return set()


@cache
def _names_of(path: Path) -> Mapping[str, Any]:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return vars(import_module(".".join(parts).removesuffix(".__init__")))


@cache
def patterns() -> tuple[re.Pattern[str], ...]:
    """Return what texts that are put together can look like, where their beginning is known."""
    found = {
        "".join(re.escape(part) if part is not None else "[a-z_]+" for part in _parts(path, node))
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr) and _parts(path, node)[0] and None in _parts(path, node)
    }
    return tuple(map(re.compile, sorted(found)))


def _parts(path: Path, node: ast.JoinedStr) -> list[str | None]:
    """Return the parts of an f-string, None for those that only running it would tell."""
    return [
        _value(path, part.value if isinstance(part, ast.FormattedValue) else part)
        for part in node.values
    ]


@cache
def steps() -> frozenset[str]:
    """Return the steps of all flows."""
    return frozenset(
        node.name.removeprefix("async_step_")
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("async_step_")
    )


@cache
def is_said(text: str) -> bool:
    """Whether the code says a text, as it stands or put together."""
    return text in words() or any(pattern.fullmatch(text) for pattern in patterns())


def is_used(key: str, where: str) -> bool:
    """Whether the code asks for a text by its key, or by its whole path."""
    return is_said(key) or f"component.{DOMAIN}.{where}" in words()


# --- Both directions ---------------------------------------------------------------------------


def keys_at(texts: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield the keys that stand where a path ends, each with its whole path."""
    yield from _keys_at(texts, path, "")


def _keys_at(node: object, path: tuple[str, ...], where: str) -> Iterator[tuple[str, str]]:
    if not isinstance(node, Mapping):
        return
    first, *rest = path
    for key in node if first in {"?", "!", "step"} else {first} & node.keys():
        if not rest:
            yield key, f"{where}{key}"
        else:
            yield from _keys_at(node[key], tuple(rest), f"{where}{key}.")


def unused(texts: Mapping[str, Any]) -> Iterator[str]:
    """Yield every text that nothing in the code asks for."""
    for path in USED:
        for key, where in keys_at(texts, path):
            is_step = path[-1] == "step" and key in steps()
            if key not in HOME_ASSISTANTS and not is_step and not is_used(key, where):
                yield where


def named() -> Iterator[tuple[str, str, str]]:
    """Yield each key that a call names: the keyword, the key, and the place in the code."""
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            callee = getattr(node.func, "attr", getattr(node.func, "id", ""))
            for keyword in node.keywords:
                if keyword.arg not in NAMED_BY_KEYWORD:
                    continue
                if callee not in CALLS.get(keyword.arg, {callee}):
                    continue
                key = _value(path, keyword.value)
                if key is not None:
                    yield keyword.arg, key, f"{path.name}:{node.lineno}"


def _value(path: Path, node: ast.expr) -> str | None:
    """Return the text that an expression is, None where only running it would tell."""
    value = node.value if isinstance(node, ast.Constant) else None
    if isinstance(node, ast.Name):
        value = _names_of(path).get(node.id)
    return value if isinstance(value, str) else None


def missing(texts: Mapping[str, Any]) -> Iterator[str]:
    """Yield every key that a call names and that has no text."""
    for keyword, key, place in named():
        there = {found for path in NAMED_BY_KEYWORD[keyword] for found, _ in keys_at(texts, path)}
        if key not in there:
            yield f"{place}: {keyword} {key}"


# --- While tests run ---------------------------------------------------------------------------


def complaint(section: str, key: str | None, given: Mapping[str, Any] | None) -> str | None:
    """Return what is wrong with a text that was asked for in a section, None if nothing is."""
    for language in LANGUAGES:
        entry = loaded(language)[section].get(key)
        if entry is None:
            return f"{language}: {section}.{key} is missing"
        lacking = {name for text in _texts_of(entry) for name in placeholders(text)} - set(
            given or ()
        )
        if lacking:
            return f"{language}: {section}.{key} lacks {', '.join(sorted(lacking))}"
    return None


def _texts_of(entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that are filled in at once; a fix flow brings what is in its own."""
    for key in ("message", "title", "description"):
        if key in entry:
            yield entry[key]


@contextmanager
def watched() -> Iterator[list[str]]:
    """Note what is wrong with the texts of every error that is raised and issue that is told."""
    wrong: list[str] = []
    raise_error, tell_issue = HomeAssistantError.__init__, ir.IssueRegistry.async_get_or_create

    def note(section: str, key: str | None, given: Mapping[str, Any] | None) -> None:
        if (found := complaint(section, key, given)) is not None:
            wrong.append(found)

    def error(self: HomeAssistantError, *args: object, **more: Any) -> None:
        raise_error(self, *args, **more)
        if self.translation_domain == DOMAIN:
            note("exceptions", self.translation_key, self.translation_placeholders)

    def issue(self: ir.IssueRegistry, domain: str, issue_id: str, **more: Any) -> ir.IssueEntry:
        if domain == DOMAIN:
            note("issues", more["translation_key"], more["translation_placeholders"])
        return tell_issue(self, domain, issue_id, **more)

    with (
        patch.object(HomeAssistantError, "__init__", error),
        patch.object(ir.IssueRegistry, "async_get_or_create", issue),
    ):
        yield wrong
