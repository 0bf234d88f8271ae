"""Tables between their markers, and plots."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench import document
from bench.document import write_document
from bench.report import Figure, Results

_TEXT = """\
# Title

Before, with | pipes | in it.

<!-- decode: written by scripts/bench --write -->

old rows

<!-- end of decode -->

Between.

<!-- rows: written by scripts/bench --write -->
<!-- end of rows -->

After.
"""
_SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of documents of our own."""
    (tmp_path / "images").mkdir()
    (tmp_path / "PERFORMANCE.md").write_text(_TEXT, encoding="utf-8")
    monkeypatch.setattr(document, "DOCS", tmp_path)
    return tmp_path


def written(docs: Path) -> str:
    return (docs / "PERFORMANCE.md").read_text(encoding="utf-8")


def test_a_table_is_written_between_its_markers(docs: Path) -> None:
    results = Results(machine={"machine": "a small one", "load": "0.1"})
    results.add(Figure("decode", "cabinet", 4.5, "µs", 4.0, note="slow"))
    results.add(Figure("decode", "valve", 3.25, "µs"))
    write_document(results)
    block = """\
<!-- decode: written by scripts/bench --write -->

machine: a small one  \n\
load: 0.1  \n\

| | measured | goal | | |
| --- | --- | --- | --- | --- |
| cabinet | 4.50 µs | <= 4 µs | NOT REACHED | slow |
| valve | 3.25 µs |  |  |  |

<!-- end of decode -->
"""
    before, _, rest = _TEXT.partition("<!-- decode")
    after = rest.partition("<!-- end of decode -->\n")[2]
    assert written(docs) == before + block + after


def test_several_parts_have_their_own_tables_and_the_rest_stays(docs: Path) -> None:
    results = Results()
    results.add(Figure("decode", "of decode", 1.0))
    results.add(Figure("rows", "of rows", 2.0))
    write_document(results)
    text = written(docs)
    decode = text.partition("<!-- decode")[2].partition("<!-- end of decode")[0]
    rows = text.partition("<!-- rows")[2].partition("<!-- end of rows")[0]
    assert "of decode" in decode
    assert "of rows" not in decode
    assert "of rows" in rows
    assert "old rows" not in text
    for kept in ("# Title\n\nBefore, with | pipes | in it.\n", "\nBetween.\n", "\nAfter.\n"):
        assert kept in text


def test_writing_again_replaces(docs: Path) -> None:
    results = Results()
    results.add(Figure("rows", "states", 2.0))
    write_document(results)
    once = written(docs)
    write_document(results)
    assert written(docs) == once


def test_a_part_without_a_place_is_told_and_changes_nothing(
    docs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results()
    results.add(Figure("unheard", "figure", 1.0))
    write_document(results)
    assert written(docs) == _TEXT
    told = capsys.readouterr().err
    assert told == "bench: docs/PERFORMANCE.md has no place for unheard\n"


def test_nothing_measured_changes_nothing(docs: Path) -> None:
    write_document(Results())
    assert written(docs) == _TEXT
    assert not list((docs / "images").iterdir())


def drawn(docs: Path, name: str) -> ET.Element:
    text = (docs / "images" / f"bench-{name}.svg").read_text(encoding="utf-8")
    return ET.fromstring(text)  # noqa: S314 - our own drawing


def texts(svg: ET.Element) -> list[str]:
    return [each.text or "" for each in svg.iter(f"{_SVG}text")]


def test_a_plot_has_every_line_with_its_name_and_points(docs: Path) -> None:
    results = Results()
    names = ["a < b & c", 'the "floor"', "third", "fourth", "fifth"]
    for number, name in enumerate(names):
        for x in (5, 101, 1010):
            results.point("path-recorder-off", name, x, 1.0 + number)
    write_document(results)
    svg = drawn(docs, "path-recorder-off")
    assert set(names) <= set(texts(svg))
    assert "CPU for a report, recorder off" in texts(svg)
    lines = [str(each.get("points")).split() for each in svg.iter(f"{_SVG}polyline")]
    assert [len(points) for points in lines] == [3] * 5
    assert len(list(svg.iter(f"{_SVG}circle"))) == 15


def test_points_stand_where_their_logarithms_say(docs: Path) -> None:
    # 640 × 360 with a margin of 60: 520 across and 240 up. The vertical axis goes from a tenth of a
    # decade below the least to a tenth above the greatest: 1.2 decades for 1 to 10.
    results = Results()
    for x, y in ((10, 1.0), (100, 10.0), (1000, 1.0)):
        results.point("start", "integration", x, y)
    write_document(results)
    (line,) = drawn(docs, "start").iter(f"{_SVG}polyline")
    assert line.get("points") == "60.0,280.0 320.0,80.0 580.0,280.0"


def test_a_linear_axis(docs: Path) -> None:
    results = Results()
    for percent in (0, 25, 100):
        results.point("latency", "10/s", percent, 1.0)
    write_document(results)
    svg = drawn(docs, "latency")
    (line,) = svg.iter(f"{_SVG}polyline")
    assert line.get("points") == "60.0,180.0 190.0,180.0 580.0,180.0"
    assert {"0", "50", "95", "100", "10/s"} <= set(texts(svg))


def test_one_point_alone(docs: Path) -> None:
    results = Results()
    results.point("start", "integration", 101, 1.0)
    write_document(results)
    (line,) = drawn(docs, "start").iter(f"{_SVG}polyline")
    assert line.get("points") == "60.0,180.0"
