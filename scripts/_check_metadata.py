"""Check what says what this repository is: JSON, pins, versions, and what hassfest and HACS ask."""

from collections.abc import Iterator
from importlib.metadata import version
import json
from pathlib import Path
import re
import sys
import tomllib
from typing import Any

from metadata_hacs import check_brand, check_hacs
from metadata_hassfest import (
    INTEGRATION,
    check_actions,
    check_dependencies,
    check_icons,
    check_manifest,
    check_quality_scale,
    check_translations,
)

ROOT = Path(__file__).parents[1]
SKIPPED = {"__pycache__", "node_modules"}


def json_files(folder: Path) -> Iterator[Path]:
    """Yield our JSON files: hidden folders hold tools' own files."""
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if not path.name.startswith(".") and path.name not in SKIPPED:
                yield from json_files(path)
        elif path.suffix in {".json", ".jsonl"}:
            yield path


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, refusing a key that occurs twice."""
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"twice in one object: {', '.join(twice)}")
    return result


def parse(path: Path) -> Any:  # noqa: ANN401 - JSON is any of its types
    """Return what a JSON file holds."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line, object_pairs_hook=unique) for line in text.splitlines() if line]
    if not text.endswith("\n"):
        raise ValueError("no newline at the end")
    return json.loads(text, object_pairs_hook=unique)


def check_json(root: Path) -> Iterator[str]:
    """Yield a complaint for each JSON file that cannot be read."""
    for path in json_files(root):
        try:
            parse(path)
        except ValueError as err:
            yield f"{path.relative_to(root)}: {err}"


def check_pins(root: Path) -> Iterator[str]:
    """Yield complaints about pins that do not agree."""
    groups = _project(root)["dependency-groups"]
    direct = {
        pin.partition(";")[0].strip()
        for group in groups.values()
        for pin in group
        if isinstance(pin, str)
    }
    for pin in sorted(direct):
        if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9.]*", pin):
            yield f"pyproject.toml: {pin} is not an exact pin in lower case"
    lines = (root / "scripts/lib/requirements.txt").read_text(encoding="utf-8").splitlines()
    locked = {line.partition(";")[0].strip() for line in lines}
    for pin in sorted(direct - locked):
        yield f"scripts/lib/requirements.txt: no {pin}; next: run scripts/lock"
    for pin in sorted(set(_manifest(root)["requirements"]) - direct):
        yield f"pyproject.toml: no {pin}, which manifest.json requires"


def check_versions(root: Path) -> Iterator[str]:
    """Yield complaints about versions that are named in more than one place."""
    if _manifest(root)["version"] != _project(root)["project"]["version"]:
        yield "manifest.json: its version is not the one in pyproject.toml"
    if parse(root / "hacs.json").get("homeassistant") != version("homeassistant"):
        yield f"hacs.json: the tests run on Home Assistant {version('homeassistant')}"


def _project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))


def _manifest(root: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = parse(root / INTEGRATION / "manifest.json")
    return manifest


CHECKS = (
    check_manifest,
    check_dependencies,
    check_translations,
    check_icons,
    check_actions,
    check_quality_scale,
    check_hacs,
    check_brand,
    check_pins,
    check_versions,
)


def all_complaints(root: Path) -> list[str]:
    """Return everything that is wrong with a repository; what cannot be read comes alone."""
    if unreadable := list(check_json(root)):
        return unreadable
    return [complaint for check in CHECKS for complaint in check(root)]


def main() -> int:
    """Print all complaints and return the exit status."""
    complaints = all_complaints(ROOT)
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
