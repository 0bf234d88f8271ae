"""Check the JSON files and the versions that are named in more than one place."""

from collections.abc import Iterator
from importlib.metadata import version
import json
from pathlib import Path
import re
import sys
import tomllib
from typing import Any

ROOT = Path(__file__).parents[1]
SKIPPED = {"__pycache__", "node_modules"}
HACS_KEYS = {
    "content_in_root",
    "country",
    "filename",
    "hacs",
    "hide_default_branch",
    "homeassistant",
    "name",
    "persistent_directory",
    "render_readme",
    "zip_release",
}


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


def check_json() -> Iterator[str]:
    """Yield a complaint for each JSON file that cannot be read."""
    for path in json_files(ROOT):
        try:
            parse(path)
        except ValueError as err:
            yield f"{path.relative_to(ROOT)}: {err}"


def check_manifest(manifest: dict[str, Any], project: dict[str, Any]) -> Iterator[str]:
    """Yield complaints about the manifest."""
    keys = list(manifest)
    wanted = ["domain", "name", *sorted(set(keys) - {"domain", "name"})]
    if keys != wanted:
        yield f"manifest.json: keys must come as {', '.join(wanted)}"
    if manifest["version"] != project["project"]["version"]:
        yield "manifest.json: its version is not the one in pyproject.toml"


def check_pins(manifest: dict[str, Any], project: dict[str, Any]) -> Iterator[str]:
    """Yield complaints about pins that do not agree."""
    groups = project["dependency-groups"]
    direct = {
        pin.partition(";")[0].strip()
        for group in groups.values()
        for pin in group
        if isinstance(pin, str)
    }
    for pin in sorted(direct):
        if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9.]*", pin):
            yield f"pyproject.toml: {pin} is not an exact pin in lower case"
    lines = (ROOT / "scripts/lib/requirements.txt").read_text(encoding="utf-8").splitlines()
    locked = {line.partition(";")[0].strip() for line in lines}
    for pin in sorted(direct - locked):
        yield f"scripts/lib/requirements.txt: no {pin}; next: run scripts/lock"
    for pin in sorted(set(manifest["requirements"]) - direct):
        yield f"pyproject.toml: no {pin}, which manifest.json requires"


def check_hacs(hacs: dict[str, Any]) -> Iterator[str]:
    """Yield complaints about hacs.json."""
    for key in sorted(set(hacs) - HACS_KEYS):
        yield f"hacs.json: HACS does not know {key}"
    if hacs["homeassistant"] != version("homeassistant"):
        yield f"hacs.json: the tests run on Home Assistant {version('homeassistant')}"


def main() -> int:
    """Print all complaints and return the exit status."""
    complaints = list(check_json())
    if not complaints:
        manifest = parse(ROOT / "custom_components/hy_heating/manifest.json")
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        complaints += check_manifest(manifest, project)
        complaints += check_pins(manifest, project)
        complaints += check_hacs(parse(ROOT / "hacs.json"))
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
