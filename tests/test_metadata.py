"""What several files say, they say alike."""

from collections.abc import Callable
from functools import reduce
import json
from operator import getitem
from pathlib import Path
import re
import shutil
import tomllib
from typing import Any

from _check_metadata import all_complaints
from homeassistant.components import diagnostics
from homeassistant.const import __version__ as home_assistant_version
from metadata_hassfest import RULES
import pytest
import yaml

from custom_components.hy_heating import privacy

ROOT = Path(__file__).parent.parent
MANIFEST = json.loads((ROOT / "custom_components/hy_heating/manifest.json").read_text())
HACS = json.loads((ROOT / "hacs.json").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ADDRESS = re.compile(r"github\.com/hy-heating/|@hy-heating")
TEXT = {".py", ".json", ".md", ".toml", ".yml", ".yaml", ".svg", ""}


def test_the_only_requirement_is_the_pinned_one() -> None:
    assert MANIFEST["requirements"] == ["aiomqtt==2.5.1"]
    assert "aiomqtt==2.5.1" in PROJECT["dependency-groups"]["run"]


def test_what_is_hidden_looks_as_home_assistant_hides_it() -> None:
    assert privacy.REDACTED == diagnostics.REDACTED


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


# --- What hassfest and HACS check --------------------------------------------------------------

type Change = Callable[[Any], object]
type Fault = tuple[str, Change, str]

INTEGRATION = "custom_components/hy_heating"
EN, ZH = (f"{INTEGRATION}/translations/{language}.json" for language in ("en", "zh-Hans"))
ICONS = f"{INTEGRATION}/icons.json"
SERVICES = f"{INTEGRATION}/services.yaml"


def put(value: object, *path: str) -> Change:
    """Return the change that puts a value somewhere."""

    def change(tree: dict[str, Any]) -> None:
        reduce(getitem, path[:-1], tree)[path[-1]] = value

    return change


def drop(*path: str) -> Change:
    """Return the change that takes a key away."""

    def change(tree: dict[str, Any]) -> None:
        del reduce(getitem, path[:-1], tree)[path[-1]]

    return change


def reorder(tree: dict[str, Any]) -> None:
    tree["domain"] = tree.pop("domain")


USER = ("config", "step", "user")
OPENING = ("set_openings", "fields", "opening")
FAULTS: list[Fault] = [
    (f"{INTEGRATION}/manifest.json", reorder, "keys must come as domain, name"),
    (f"{INTEGRATION}/manifest.json", drop("iot_class"), "iot_class is missing"),
    (f"{INTEGRATION}/manifest.json", put("cloudy", "iot_class"), "iot_class: must be one of"),
    (f"{INTEGRATION}/manifest.json", put("thing", "integration_type"), "must be one of device"),
    (f"{INTEGRATION}/manifest.json", put("yes", "config_flow"), "config_flow: must be true"),
    (f"{INTEGRATION}/manifest.json", put(1, "unheard"), "unheard is not known"),
    (f"{INTEGRATION}/manifest.json", put("heat", "domain"), "domain: must be one of hy_heating"),
    (f"{INTEGRATION}/manifest.json", put("x.y.z", "version"), "'x.y.z' is no version"),
    (f"{INTEGRATION}/manifest.json", put(["me"], "codeowners"), "'me' must begin with @"),
    (f"{INTEGRATION}/manifest.json", put("http://a.b", "documentation"), "must be an https"),
    (f"{INTEGRATION}/manifest.json", put(["aiomqtt"], "requirements"), "must be pinned exactly"),
    (f"{INTEGRATION}/manifest.json", put(["nobody"], "dependencies"), "is no integration of"),
    (f"{INTEGRATION}/manifest.json", put([], "after_dependencies"), "uses recorder, which is no"),
    (f"{INTEGRATION}/manifest.json", put("9.9.9", "version"), "not the one in pyproject.toml"),
    (f"{INTEGRATION}/manifest.json", put("", "issue_tracker"), "HACS needs issue_tracker"),
    (EN, put(1, *USER, "title"), "user.title: must be a text"),
    (EN, put("", *USER, "title"), "user.title: must be a text"),
    (EN, put(" a", *USER, "title"), "user.title: has blanks"),
    (EN, put("a <b>b</b>", *USER, "title"), "user.title: holds HTML"),
    (EN, put("see https://a.b", *USER, "title"), "user.title: holds an address"),
    (EN, put("see www.a.b", *USER, "title"), "user.title: holds an address"),
    (EN, put("'{name}'", *USER, "title"), "user.title: has a placeholder in single quotes"),
    (EN, put("{a b}", *USER, "title"), "user.title: {a b} is no placeholder"),
    (EN, put("{a", *USER, "title"), "user.title: cannot be filled in"),
    (EN, put("[%key:common::x%]", *USER, "title"), "user.title: refers to another text"),
    (EN, put("x", *USER, "heading"), "user: heading is not known"),
    (EN, put("x", *USER, "data_description", "x"), "user: data_description.x is not in data"),
    (EN, put("x", "sentences"), "en.json: sentences is not known"),
    (EN, put({"a": "x"}, "config_flow"), "en.json: config_flow is not known"),
    (EN, put({}, "config"), "config: step is missing"),
    (EN, put("x", "exceptions", "failed_expired"), "failed_expired: must be an object"),
    (EN, put({"message": "x"}, "exceptions", "Failed"), "Failed is no key"),
    (EN, drop("issues", "store_damaged", "title"), "store_damaged: title is missing"),
    (EN, drop("issues", "store_damaged", "description"), "either a description or a fix_flow"),
    (
        EN,
        put("{x}", "entity", "event", "command", "state_attributes", "reason", "name"),
        "reason.name: must not have placeholders",
    ),
    (EN, drop("services", "read_now", "name"), "read_now: name is missing"),
    (EN, drop("services", "read_now"), "read_now is in services.yaml, not in translations"),
    (EN, drop("services", "read_now", "fields", "cabinets"), "text of fields.cabinets is missing"),
    (
        EN,
        put({"name": "x", "description": "x"}, "services", "read_now", "fields", "extra"),
        "text of fields.extra is left over",
    ),
    (
        EN,
        put({"name": "x", "description": "x"}, "services", "extra"),
        "extra is in translations, not in services.yaml",
    ),
    (ZH, drop(*USER, "title"), "zh-Hans.json: config.step.user.title is missing"),
    (ZH, put("x", *USER, "submit"), "en.json: config.step.user.submit is missing"),
    (ZH, put("{x}", *USER, "title"), "user.title: has other placeholders than en"),
    (ICONS, put("valve", "entity", "sensor", "csq", "default"), "csq.default: must be an icon"),
    (
        ICONS,
        put("mdi:radiator", "entity", "binary_sensor", "heating_season", "default"),
        "heating_season.state.on: is the default icon",
    ),
    (ICONS, put({}, "services", "read_now"), "read_now: service is missing"),
    (ICONS, drop("services", "read_now"), "services.read_now is missing"),
    (ICONS, put({"service": "mdi:valve"}, "services", "extra"), "services.extra is left over"),
    (ICONS, put({}, "buttons"), "icons.json: buttons is not known"),
    (SERVICES, put({"dial": {}}, *OPENING, "selector"), "opening.selector: is no selector"),
    (SERVICES, put(None, *OPENING, "default"), "opening.default: must not be empty"),
    (SERVICES, put("yes", *OPENING, "required"), "opening.required: must be true or false"),
    (SERVICES, put("Opening", *OPENING, "name"), "opening: name is not known"),
    (SERVICES, put({}, "read_now", "fields", "cabinets", "filter"), "filter is not known"),
    (
        SERVICES,
        put({"fields": {"wait": {}}}, "set_openings", "fields", "more"),
        "fields: wait stands twice",
    ),
    (
        SERVICES,
        put({"fields": {"late": {}}}, "set_openings", "fields", "more"),
        "the text of sections.more is missing",
    ),
    (
        SERVICES,
        put({"select": {"options": ["a"], "translation_key": "nothing"}}, *OPENING, "selector"),
        "no texts of selector.nothing",
    ),
    (
        SERVICES,
        put({"device": {"integration": "hy_heating"}}, "set_openings", "target"),
        "filters devices",
    ),
    (SERVICES, put({"flat": {}}, "set_openings", "target"), "is no target"),
    ("hacs.json", put(True, "shiny"), "hacs.json: shiny is not known"),
    ("hacs.json", put("yes", "render_readme"), "render_readme: must be true or false"),
    ("hacs.json", put(True, "zip_release"), "zip_release needs a filename"),
    ("hacs.json", drop("name"), "hacs.json: name is missing"),
    ("hacs.json", put("2020.1.0", "homeassistant"), "the tests run on Home Assistant"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a copy of what is checked, in which all is well."""
    for name in ("hacs.json", "README.md", "pyproject.toml", "scripts/lib/requirements.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / INTEGRATION, tmp_path / INTEGRATION, ignore=ignored)
    assert all_complaints(tmp_path) == []
    return tmp_path


def rewrite(path: Path, change: Change) -> None:
    text = path.read_text()
    tree = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    change(tree)
    written = json.dumps(tree) + "\n" if path.suffix == ".json" else yaml.safe_dump(tree)
    path.write_text(written)


@pytest.mark.parametrize(("file", "change", "named"), FAULTS, ids=[row[2] for row in FAULTS])
def test_each_fault_is_named(copy: Path, file: str, change: Change, named: str) -> None:
    rewrite(copy / file, change)
    assert [complaint for complaint in all_complaints(copy) if named in complaint]


SCALE = f"{INTEGRATION}/quality_scale.yaml"


@pytest.mark.parametrize(
    ("rules", "named"),
    [
        ({}, None),
        ({"brands": None}, "rules: brands is missing"),
        ({"brands": "perhaps"}, "brands: must be one of done, todo"),
        ({"brands": {"status": "exempt"}}, "brands: is exempt without a reason"),
        ({"brands": {"status": "exempt", "comment": "so"}}, None),
        ({"brands": {"status": "done", "reason": "so"}}, "reason is not known"),
        ({"brands": {"status": "perhaps"}}, "must be one of done, todo, exempt"),
        ({"extra": "done"}, "rules: extra is not known"),
    ],
)
def test_the_quality_scale_is_checked(copy: Path, rules: dict[str, Any], named: str | None) -> None:
    all_rules = dict.fromkeys(RULES, "done") | rules
    given = {rule: status for rule, status in all_rules.items() if status is not None}
    (copy / SCALE).write_text(yaml.safe_dump({"rules": given}))
    found = all_complaints(copy)
    if named is None:
        assert found == []
    else:
        assert len(found) == 1
        assert named in found[0]


def damage(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


BRAND = f"{INTEGRATION}/brand"


def wide(size: int) -> Callable[[bytes], bytes]:
    return lambda png: png[:16] + size.to_bytes(4) + png[20:]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda root: (root / BRAND / "icon.png").unlink(), "brand: icon.png is missing"),
        (lambda root: (root / BRAND / "big.png").touch(), "big.png is none of the images"),
        (lambda root: damage(root / BRAND / "icon.png", wide(257)), "is 257 x 256, not 256 x 256"),
        (lambda root: damage(root / BRAND / "dark_icon@2x.png", wide(1)), "not 512 x 512"),
        (lambda root: damage(root / BRAND / "logo.png", wide(64)), "a logo lies"),
        (lambda root: damage(root / BRAND / "logo.png", lambda _: b"GIF8"), "is no PNG"),
        (lambda root: (root / "README.md").unlink(), "README.md"),
        (lambda root: (root / "custom_components/b").mkdir(), "one integration, not also b"),
        (lambda root: damage(root / EN, lambda text: text[:-2]), "translations/en.json"),
        (lambda root: damage(root / EN, lambda text: text + b"\n{"), "translations/en.json"),
        (lambda root: (root / ICONS).write_text('{"a": 1, "a": 2}\n'), "twice in one object: a"),
        (lambda root: (root / ICONS).write_text("{}"), "no newline at the end"),
        (lambda root: (root / SERVICES).write_text("a: [\n"), "services.yaml"),
        (
            lambda root: damage(root / "pyproject.toml", lambda t: t.replace(b"ruff==", b"ruff>=")),
            "ruff>=",
        ),
        (
            lambda root: damage(
                root / "scripts/lib/requirements.txt", lambda t: t.replace(b"ruff==", b"rough==")
            ),
            "no ruff==",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_damaged_file_is_named(
    copy: Path, spoil: Callable[[Path], object], named: str
) -> None:
    spoil(copy)
    assert [complaint for complaint in all_complaints(copy) if named in complaint]


def test_a_use_of_another_integration_is_seen(copy: Path) -> None:
    (copy / INTEGRATION / "more.py").write_text("from homeassistant.components import history\n")
    (copy / INTEGRATION / "logbook.py").write_text("import homeassistant.components.logbook\n")
    assert all_complaints(copy) == [
        f"manifest.json: {INTEGRATION}/more.py uses history, which is no dependency"
    ]
