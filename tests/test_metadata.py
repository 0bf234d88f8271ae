"""What several files say, they say alike."""

import json
from pathlib import Path
import re
import tomllib

from homeassistant.const import __version__ as home_assistant_version
import pytest

ROOT = Path(__file__).parent.parent
MANIFEST = json.loads((ROOT / "custom_components/hy_heating/manifest.json").read_text())
HACS = json.loads((ROOT / "hacs.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ADDRESS = re.compile(r"github\.com/hy-heating/|@hy-heating")
TEXT = {".py", ".json", ".md", ".toml", ".yml", ".yaml", ".svg", ""}


def test_one_version() -> None:
    assert MANIFEST["version"] == PROJECT["project"]["version"]


def test_the_only_requirement_is_the_pinned_one() -> None:
    assert MANIFEST["requirements"] == ["aiomqtt==2.5.1"]
    assert "aiomqtt==2.5.1" in PROJECT["dependency-groups"]["run"]


def test_no_version_is_promised_that_the_tests_did_not_run_on() -> None:
    promised = [int(part) for part in HACS["homeassistant"].split(".")]
    running = [int(part) for part in re.findall(r"\d+", home_assistant_version)[:3]]
    assert promised <= running
    assert HACS["homeassistant"] in (ROOT / "README.md").read_text()


def test_every_place_of_the_public_address_is_listed() -> None:
    development = (ROOT / "docs/DEVELOPMENT.md").read_text()
    section = development.partition("## Releasing, and the public address")[2]
    places = set()
    for folder in ("custom_components", "docs", "scripts", "simulator", ".github"):
        places |= {path for path in (ROOT / folder).rglob("*") if path.suffix in TEXT}
    places |= {path for path in ROOT.glob("*") if path.suffix in TEXT}
    naming = {
        str(path.relative_to(ROOT))
        for path in places
        if path.is_file() and ADDRESS.search(path.read_text(errors="replace"))
    }
    assert naming == set(re.findall(r"^- `([^`]+)`", section, flags=re.MULTILINE))


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("mode", ["", "dark_"])
def test_brand_images_have_the_sizes_that_home_assistant_asks_for(mode: str, size: int) -> None:
    suffix = "@2x" if size == 2 else ""
    brand = ROOT / "custom_components/hy_heating/brand"
    assert _png_size(brand / f"{mode}icon{suffix}.png") == (256 * size, 256 * size)
    width, height = _png_size(brand / f"{mode}logo{suffix}.png")
    assert 128 * size <= min(width, height) <= 256 * size
    assert width >= height


def _png_size(path: Path) -> tuple[int, int]:
    header = path.read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(header[16:20]), int.from_bytes(header[20:24])
