"""Tables and plots for docs/PERFORMANCE.md."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import cycle, groupby
from math import log10
from pathlib import Path
import sys

from .report import Results

DOCS = Path(__file__).parents[1] / "docs"
_BEGIN, _END = "<!-- {part}: written by scripts/bench --write -->", "<!-- end of {part} -->"
_COLORS = ("#d1495b", "#30638e", "#c98a12", "#00798c", "#7b3fa0", "#5a5a5a")
_WIDTH, _HEIGHT, _MARGIN = 640, 360, 60

type Points = Sequence[tuple[float, float]]

PLOTS = {
    "path-recorder-off": ("CPU for a report, recorder off", "meters", "ms", True),
    "path-recorder-on": ("CPU for a report, recorder on", "meters", "ms", True),
    "latency": ("Broker to WebSocket", "percent of the reports", "ms", False),
    "start": ("Set-up of restored entities", "entities", "s", True),
}
"""Title, names of the axes, and whether the horizontal one is logarithmic."""


def write_document(results: Results) -> None:
    """Replace the tables and plots of the parts that were measured; the rest stays."""
    path = DOCS / "PERFORMANCE.md"
    text = path.read_text(encoding="utf-8")
    for part, figures in groupby(results.figures, key=lambda figure: figure.part):
        begin, end = _BEGIN.format(part=part), _END.format(part=part)
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            print(f"bench: docs/PERFORMANCE.md has no place for {part}", file=sys.stderr)
            continue
        rows = [f"| {' | '.join(figure.cells)} |" for figure in figures]
        head = ["| | measured | goal | | |", "| --- | --- | --- | --- | --- |"]
        machine = [f"{key}: {value}  " for key, value in results.machine.items()]
        block = "\n".join((*machine, "", *head, *rows))
        text = f"{before}{begin}\n\n{block}\n\n{end}{after}"
    path.write_text(text, encoding="utf-8")
    for name, lines in results.curves.items():
        title, across, up, logarithmic = PLOTS[name]
        drawn = "\n".join(_plot(title, across, up, lines, logarithmic=logarithmic))
        (DOCS / "images" / f"bench-{name}.svg").write_text(drawn + "\n", encoding="utf-8")


def _plot(
    title: str, across: str, up: str, lines: Mapping[str, Points], *, logarithmic: bool
) -> Iterator[str]:
    """Yield a drawing with a logarithmic vertical axis."""
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points if y > 0]

    def scale(x: float) -> float:
        return log10(x) if logarithmic else x

    left, right = scale(min(xs)), scale(max(xs))
    low, high = log10(min(ys)) - 0.1, log10(max(ys)) + 0.1

    def place(x: float, y: float) -> tuple[float, float]:
        share_x = (scale(x) - left) / ((right - left) or 1)
        share_y = (log10(max(y, 10**low)) - low) / (high - low)
        inner_x, inner_y = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN
        return _MARGIN + share_x * inner_x, _HEIGHT - _MARGIN - share_y * inner_y

    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">'
    )
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>'
    middle = f'x="{_WIDTH / 2}" text-anchor="middle"'
    yield f'<text {middle} y="20" font-size="15">{escape(title)}</text>'
    yield f'<text {middle} y="{_HEIGHT - 12}">{escape(across)}</text>'
    yield f'<text x="14" y="{_MARGIN - 14}">{escape(up)}</text>'
    for x in sorted(set(xs)) if logarithmic else (0, 50, 95, 100):
        at, floor = place(x, 10**low)
        yield f'<text x="{at:.0f}" y="{floor + 18:.0f}" text-anchor="middle">{x:g}</text>'
    for exponent in range(-3, 5):
        for digit in (1, 2, 5):
            value = digit * 10.0**exponent
            if low <= log10(value) <= high:
                _, at = place(min(xs), value)
                yield (
                    f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{at:.0f}" y2="{at:.0f}" '
                    'stroke="#dddddd"/>'
                )
                yield f'<text x="{_MARGIN - 6}" y="{at + 4:.0f}" text-anchor="end">{value:g}</text>'
    for row, ((name, points), color) in enumerate(zip(lines.items(), cycle(_COLORS), strict=False)):
        places = [place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'
        yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in places)
        yield (
            f'<text x="{_MARGIN + 10}" y="{_MARGIN + 4 + 15 * row}" fill="{color}">'
            f"{escape(name)}</text>"
        )
    yield "</svg>"
