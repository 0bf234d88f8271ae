"""Every rule of the quality scale is met or truly exempt, and each claim has its proof."""

import ast
from pathlib import Path
import re
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
SCALE = "custom_components/hy_heating/quality_scale.yaml"
RULES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / SCALE).read_text())["rules"]

TIERS = {
    "Bronze": """action-setup appropriate-polling brands common-modules config-flow
        config-flow-test-coverage dependency-transparency docs-actions docs-conditions
        docs-high-level-description docs-installation-instructions docs-removal-instructions
        docs-triggers entity-event-setup entity-unique-id has-entity-name runtime-data
        test-before-configure test-before-setup unique-config-entry""",
    "Silver": """action-exceptions config-entry-unloading docs-configuration-parameters
        docs-installation-parameters entity-unavailable integration-owner log-when-unavailable
        parallel-updates reauthentication-flow test-coverage""",
    "Gold": """devices diagnostics discovery discovery-update-info docs-data-update docs-examples
        docs-known-limitations docs-supported-devices docs-supported-functions docs-troubleshooting
        docs-use-cases dynamic-devices entity-category entity-device-class
        entity-disabled-by-default entity-translations exception-translations icon-translations
        reconfiguration-flow repair-issues stale-devices""",
    "Platinum": "async-dependency inject-websession strict-typing",
}
"""The rules as Home Assistant's hassfest lists them for 2026.10."""

_PROOF = re.compile(r"scripts/[\w-]+|[\w./@-]+\.(?:py|json|md|png|toml)(?:(?:::|#)[\w-]+)?")
_ROW = re.compile(r"^\| ([a-z-]+) \| ([a-z]+) \| (.+?) \| (.*) \|$", re.MULTILINE)


def proofs(comment: str) -> list[str]:
    """Return what a comment names as proof: the words that are paths."""
    return [word for word in comment.split() if _PROOF.fullmatch(word)]


def anchors(path: Path) -> set[str]:
    """Return the anchors that a page's headings have on its host."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def names(path: Path) -> set[str]:
    """Return the functions, classes, types and constants that a module defines."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.TypeAlias(name=ast.Name(id=name)):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                found.add(name)
            case _:
                pass
    return found


def is_there(proof: str) -> bool:
    """Return whether a proof exists."""
    place, _, name = proof.partition("::")
    place, _, anchor = place.partition("#")
    path = ROOT / place
    if not path.exists():
        return False
    return (not name or name in names(path)) and (not anchor or anchor in anchors(path))


def test_every_rule_is_there_and_no_other() -> None:
    assert list(RULES) == [rule for rules in TIERS.values() for rule in rules.split()]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_met_with_proof_or_exempt_with_a_reason(rule: str) -> None:
    claim = RULES[rule]
    assert claim.keys() == {"status", "comment"}
    assert claim["status"] in {"done", "exempt"}
    if claim["status"] == "exempt":
        assert len(claim["comment"].split()) > 3
        return
    assert proofs(claim["comment"]), f"{rule} names no proof"
    assert [proof for proof in proofs(claim["comment"]) if not is_there(proof)] == []


def test_the_page_shows_the_same() -> None:
    shown = {}
    for rule, status, how, cell in _ROW.findall((ROOT / "docs/QUALITY.md").read_text()):
        if rule != "---":
            shown[rule] = (status, " ".join([how, *re.findall(r"`([^`]+)`", cell)]))
    assert shown == {rule: (claim["status"], claim["comment"]) for rule, claim in RULES.items()}


@pytest.mark.parametrize(
    ("proof", "expected"),
    [
        ("tests/test_quality.py", True),
        ("tests/test_quality.py::test_the_page_shows_the_same", True),
        ("tests/test_quality.py::test_that_nobody_wrote", False),
        ("tests/test_nothing.py", False),
        ("tests/test_nothing.py::test_it", False),
        ("README.md#install", True),
        ("README.md#a-section-that-nobody-wrote", False),
    ],
)
def test_a_missing_proof_is_seen(proof: str, expected: bool) -> None:
    assert proofs(f"Some words. {proof}") == [proof]
    assert is_there(proof) is expected
