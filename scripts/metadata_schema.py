"""Checks a tree of JSON or YAML against a table of the keys that it may have.

A table names keys: `key` must be there, `key?` may be, and `*` stands for any others. What stands
beside a key is a table again, or a function that yields what is wrong with the value.
"""

from collections.abc import Callable, Iterator, Mapping
import re
from typing import Any

type Check = Callable[[Any], Iterator[str]]
type Table = Mapping[str, "Table | Check"]

SLUG = re.compile(r"(?!.*[_-]{2})[a-z0-9]([a-z0-9_-]*[a-z0-9])?")
"""What keys of texts must be: no capitals, no two dashes, none at the ends."""


def complaints(node: object, wanted: Table | Check, path: str) -> Iterator[str]:
    """Yield everything about a tree that the table does not allow, each with its path."""
    if callable(wanted):
        for complaint in wanted(node):
            yield f"{path}: {complaint}"
        return
    if not isinstance(node, dict):
        yield f"{path}: must be an object"
        return
    named = {key.removesuffix("?"): table for key, table in wanted.items() if key != "*"}
    for key in wanted:
        if key != "*" and not key.endswith("?") and key not in node:
            yield f"{path}: {key} is missing"
    for key, value in node.items():
        if key in named:
            yield from complaints(value, named[key], f"{path}.{key}")
        elif "*" not in wanted:
            yield f"{path}: {key} is not known"
        elif not isinstance(key, str) or not SLUG.fullmatch(key):
            yield f"{path}: {key} is no key (a-z, 0-9, single _ or - inside)"
        else:
            yield from complaints(value, wanted["*"], f"{path}.{key}")


def is_a(kind: type, what: str) -> Check:
    """Return the check that a value is of a type; a bool is no number."""

    def check(value: object) -> Iterator[str]:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            yield f"must be {what}"

    return check


def one_of(*allowed: str) -> Check:
    """Return the check that a value is one of some words."""

    def check(value: object) -> Iterator[str]:
        if value not in allowed:
            yield f"must be one of {', '.join(allowed)}"

    return check


def list_of(check_item: Check) -> Check:
    """Return the check that a value is a list whose items pass a check."""

    def check(value: object) -> Iterator[str]:
        if not isinstance(value, list):
            yield "must be a list"
            return
        for item in value:
            for complaint in check_item(item):
                yield f"{item!r} {complaint}"

    return check
