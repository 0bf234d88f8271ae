"""Both READMEs say the same, name what is on the screen, and lead nowhere in vain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
import json
from pathlib import Path
import re
from typing import Any

from homeassistant.core import HomeAssistant
import pytest
import yaml

from .common import CABINET, FakeLink, captured, make_entry, set_up
from .test_quality import anchors
from .test_valve import settle

ROOT = Path(__file__).parent.parent
ENGLISH = (ROOT / "README.md").read_text()
CHINESE = (ROOT / "README.zh-Hans.md").read_text()
ON_SCREEN = ROOT / "custom_components/hy_heating/translations/zh-Hans.json"
NAMED = ("services", "triggers", "conditions")
WORDING = {"alias", "message"}
"""Keys of an automation whose values are for people; the templates in them are not."""

_HEADING = re.compile(r"(#+) (.+)")
_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_CODE = re.compile(r"`([^`]+)`")
_PICTURE = re.compile(r'!\[[^\]]+\]\(([^)]+)\)|(?:src|srcset)="([^"]+)"')
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)]+)\)")
_ENTITY_ID = re.compile(r"\b(sensor|valve)\.([a-z_]+)_(\d{8}|…)(?:_([a-z_]+))?")


@dataclass
class Section:
    """A heading with what stands below it, up to the next one; level 0 is before the first."""

    level: int
    heading: str
    lines: list[str] = field(default_factory=list)
    blocks: list[tuple[str, str]] = field(default_factory=list)
    """Language and content of each code block."""

    @property
    def prose(self) -> str:
        return "\n".join(self.lines)


def sections(text: str) -> list[Section]:
    """Return the sections of a page, code blocks apart from the prose."""
    found = [Section(0, "the beginning")]
    language, block = None, ""
    for line in text.splitlines():
        if line.startswith("```"):
            if language is None:
                language, block = line.removeprefix("```"), ""
            else:
                found[-1].blocks.append((language, block))
                language = None
        elif language is not None:
            block += line + "\n"
        elif heading := _HEADING.fullmatch(line):
            found.append(Section(len(heading[1]), heading[2]))
        else:
            found[-1].lines.append(line)
    assert language is None, "a code block has no end"
    return found


def pictures(text: str) -> list[str]:
    return [shown or source for shown, source in _PICTURE.findall(text)]


def links(text: str) -> list[str]:
    return _LINK.findall(text)


def table(section: Section) -> list[int]:
    """Return the number of cells in each row."""
    return [line.count("|") for line in section.lines if line.startswith("|")]


def code(section: Section) -> list[str]:
    """Return what is written as code; ids of entities and blanks to fill in are not the same."""
    found = [re.sub("<[^>]+>", "<>", words) for words in _CODE.findall(section.prose)]
    return sorted(_ENTITY_ID.sub(r"\1.\4", words) for words in found)


def figures(section: Section) -> list[str]:
    """Return the numbers in the prose."""
    return sorted(re.findall(r"\d+", _LINK.sub("", _CODE.sub("", section.prose))))


def leaves(tree: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield each place of an automation with its value, as far as it is in no language.

    Of the id of an entity that is its domain, the figures in it, and its last word.
    """
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}.{index}")
    elif path.rpartition(".")[2] in WORDING:
        yield path, _TEMPLATE.findall(str(tree))
    elif path.endswith(".entity_id"):
        yield path, re.findall(r"^\w+|\d+|[a-z]+$", str(tree))
    else:
        yield path, tree


def blocks(section: Section) -> list[object]:
    """Return the code blocks, those in YAML by their leaves."""
    return [
        (language, list(leaves(yaml.safe_load(text))) if language == "yaml" else text)
        for language, text in section.blocks
    ]


ASPECTS: dict[str, Callable[[Section], object]] = {
    "level of the heading": lambda section: section.level,
    "code blocks": blocks,
    "pictures": lambda section: [it.replace("-zh.", ".") for it in pictures(section.prose)],
    "table": table,
    "code": code,
    "figures": figures,
    "links": lambda section: sorted(
        re.sub(r"^README.*|#.*", "", link) for link in links(section.prose)
    ),
}


def differences(one: str, other: str) -> list[str]:
    """Return in which aspects of which sections a page says something else than another."""
    ours, theirs = sections(one), sections(other)
    if len(ours) != len(theirs):
        return [f"{len(ours)} sections, not {len(theirs)}"]
    return [
        f"{left.heading}: {aspect}"
        for left, right in zip(ours, theirs, strict=True)
        for aspect, what in ASPECTS.items()
        if what(left) != what(right)
    ]


def dead_ends(path: Path, text: str) -> list[str]:
    """Return the links and pictures of a page that lead to no file, or to no heading of it."""
    found = []
    for target in (*links(text), *pictures(text)):
        place, _, anchor = target.partition("#")
        if place.startswith("https://"):
            continue
        file = path.parent / place if place else path
        if not file.is_file() or (anchor and anchor not in anchors(file)):
            found.append(target)
    return found


def ids(text: str) -> set[str]:
    """Return the ids of entities that a page names, as those of the captured meters."""
    return {match[0].replace("…", CABINET) for match in _ENTITY_ID.finditer(text)}


def names(texts: dict[str, Any]) -> Iterator[str]:
    """Yield the names of all entities, options, actions, triggers and conditions."""
    entities = [row for rows in texts["entity"].values() for row in rows.values()]
    named = (*entities, *(row for kind in NAMED for row in texts[kind].values()))
    yield from (row["name"].removesuffix(" {number}") for row in named)
    yield from texts["options"]["step"]["init"]["data"].values()


def test_both_say_the_same() -> None:
    assert differences(ENGLISH, CHINESE) == []


@pytest.mark.parametrize("name", ["README.md", "README.zh-Hans.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    assert dead_ends(ROOT / name, (ROOT / name).read_text()) == []


@pytest.mark.parametrize(
    ("text", "language"), [(ENGLISH, "en"), (CHINESE, "zh-Hans")], ids=["en", "zh"]
)
async def test_ids_are_those_that_the_reader_has(
    hass: HomeAssistant, link: FakeLink, text: str, language: str
) -> None:
    await hass.config.async_update(language=language)
    await set_up(hass, make_entry())
    for name in ("cabinet_report", "valve_report"):
        link.deliver(captured(name))
    await settle()
    named = ids(text)
    assert {it.partition(".")[0] for it in named} == {"sensor", "valve"}
    assert named - set(hass.states.async_entity_ids()) == set()


def test_the_chinese_names_are_those_on_the_screen() -> None:
    assert [name for name in names(json.loads(ON_SCREEN.read_text())) if name not in CHINESE] == []


def test_chinese_pictures_are_shown_where_there_are_any() -> None:
    there = {f"docs/images/{path.name}" for path in ROOT.glob("docs/images/*-zh.png")}
    wanted = {it for it in there if it.replace("-zh.", ".") in ENGLISH}
    assert wanted
    assert wanted == {it for it in pictures(CHINESE) if "-zh." in it}


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ("\n### 选项", "\n选项", "sections"),
        ("\n### 选项", "\n#### 选项", "选项: level of the heading"),
        ("```yaml\nconditions", "```text\nconditions", "条件: code blocks"),
        ("opening: 20", "opening: 25", "示例: code blocks"),
        ("trigger.found", "trigger.wished", "触发条件: code blocks"),
        ("entity_id: zone.home", "entity_id: zone.work", "示例: code blocks"),
        ("valve.hu_yong_fa_23227310", "valve.hu_yong_fa_23227311", "示例: code blocks"),
        ("images/energy.png", "images/valve.png", "能源仪表盘: pictures"),
        ("| 阀门不响应 | 连续三条命令失败 | |\n", "", "修复: table"),
        ("| `hy_heating.read_now` |", "| `hy_heating.read_new` |", "动作: code"),
        ("30 % 的户用阀，必须", "20 % 的户用阀，必须", "动作: figures"),
        ("(docs/SCALE.md)", "(docs/PERFORMANCE.md)", "致开发者: links"),
    ],
)
def test_each_difference_is_named(before: str, after: str, named: str) -> None:
    spoilt = CHINESE.replace(before, after)
    assert spoilt != CHINESE
    found = differences(spoilt, ENGLISH)
    assert len(found) == 1
    assert named in found[0]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[a](docs/PROTOCOL.md) [b](#选项) [c](README.md#set-up) [d](https://a.b/#c)", []),
        ("[a](docs/NOTHING.md)", ["docs/NOTHING.md"]),
        ("[a](docs)", ["docs"]),
        ("[a](#options)", ["#options"]),
        ("[a](README.md#选项)", ["README.md#选项"]),
        ("![a](docs/images/nothing.png)", ["docs/images/nothing.png"]),
        ('<img src="nothing.png">', ["nothing.png"]),
    ],
)
def test_each_dead_end_is_seen(text: str, found: list[str]) -> None:
    assert dead_ends(ROOT / "README.zh-Hans.md", text) == found
