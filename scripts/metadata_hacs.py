"""What HACS checks of a repository, and Home Assistant of the images in it, without network.

Each function takes the repository's root and yields complaints. Left to HACS itself: whether the
repository has a description, topics and issues. Sources: hacs.xyz, "Include default repositories",
and the page on brand images of developers.home-assistant.io.
"""

from collections.abc import Iterator
import json
from pathlib import Path

from metadata_hassfest import INTEGRATION
from metadata_schema import Table, complaints, is_a

_TEXT = is_a(str, "a text")
_FLAG = is_a(bool, "true or false")

HACS: Table = {
    "name": _TEXT,
    "content_in_root?": _FLAG,
    "country?": is_a(str | list, "a text or a list"),  # type: ignore[arg-type] # a union is a class to isinstance
    "filename?": _TEXT,
    "hacs?": _TEXT,
    "hide_default_branch?": _FLAG,
    "homeassistant?": _TEXT,
    "persistent_directory?": _TEXT,
    "render_readme?": _FLAG,
    "zip_release?": _FLAG,
}
MANIFEST_KEYS = ("codeowners", "documentation", "domain", "issue_tracker", "name", "version")


def check_hacs(root: Path) -> Iterator[str]:
    """Yield what HACS would refuse."""
    hacs = json.loads((root / "hacs.json").read_text(encoding="utf-8"))
    yield from complaints(hacs, HACS, "hacs.json")
    if hacs.get("zip_release") and not hacs.get("filename"):
        yield "hacs.json: zip_release needs a filename"
    manifest = json.loads((root / INTEGRATION / "manifest.json").read_text(encoding="utf-8"))
    for key in MANIFEST_KEYS:
        if not manifest.get(key):
            yield f"manifest.json: HACS needs {key}"
    if not (root / "README.md").is_file():
        yield "README.md: HACS shows it, and it is missing"
    folders = [path.name for path in (root / "custom_components").iterdir() if path.is_dir()]
    if integrations := sorted({*folders} - {INTEGRATION.name, "__pycache__"}):
        yield f"custom_components: HACS takes one integration, not also {', '.join(integrations)}"


_PNG = b"\x89PNG\r\n\x1a\n"
_ICON_SIZE = 256
_SHORT_SIDE = (128, 256)
_REQUIRED_IMAGES = ("icon.png", "icon@2x.png", "logo.png", "logo@2x.png")


def check_brand(root: Path) -> Iterator[str]:
    """Yield what is wrong with the images that Home Assistant and HACS show."""
    folder = root / INTEGRATION / "brand"
    for name in _REQUIRED_IMAGES:
        if not (folder / name).is_file():
            yield f"brand: {name} is missing"
    known = {prefix + name for name in _REQUIRED_IMAGES for prefix in ("", "dark_")}
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            yield f"brand: {path.name} is none of the images that Home Assistant asks for"
            continue
        yield from _image(path)


def _image(path: Path) -> Iterator[str]:
    header = path.read_bytes()[:24]
    if header[:8] != _PNG:
        yield f"brand: {path.name} is no PNG"
        return
    width, height = int.from_bytes(header[16:20]), int.from_bytes(header[20:24])
    scale = 2 if "@2x" in path.name else 1
    if "icon" in path.name:
        wanted = _ICON_SIZE * scale
        if (width, height) != (wanted, wanted):
            yield f"brand: {path.name} is {width} x {height}, not {wanted} x {wanted}"
        return
    low, high = (side * scale for side in _SHORT_SIDE)
    if width < height or not low <= min(width, height) <= high:
        yield (
            f"brand: {path.name} is {width} x {height}; a logo lies, and its short side has "
            f"{low} to {high}"
        )
