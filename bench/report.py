"""Figures with their goals, as a table on the terminal and as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
import json
from pathlib import Path
import statistics
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of the same thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def half_range(self) -> float:
        """Half of the way from the least to the greatest."""
        return (max(self.values) - min(self.values)) / 2

    def over(self, other: Spread) -> Spread:
        """Return the ratios to what was measured side by side.

        Their median is worth more than the ratio of the medians: a machine that others use, too,
        may be twice as fast in one round as in another.
        """
        pairs = zip(self.values, other.values, strict=True)
        return Spread(tuple(mine / theirs for mine, theirs in pairs))

    def text(self, decimals: int) -> str:
        """Return median and spread for people."""
        return f"{self.median:.{decimals}f} ± {self.half_range:.{decimals}f}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of a table: `goal` bounds `value`, in the direction of `sense`."""

    part: str
    name: str
    value: float
    unit: str = ""
    goal: float | None = None
    sense: Literal["<=", ">=", "<", ">"] = "<="
    note: str = ""
    excused: bool = False
    """Reached by another rule, which the note has: within the spread of the floor."""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached, None where there is none."""
        if self.goal is None:
            return None
        value, goal = self.value, self.goal
        within = {"<=": value <= goal, ">=": value >= goal, "<": value < goal, ">": value > goal}
        return within[self.sense] or self.excused

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, value, goal, verdict and note."""
        goal = "" if self.goal is None else f"{self.sense} {self.goal:g} {self.unit}".strip()
        verdict = {None: "", True: "reached", False: "NOT REACHED"}[self.reached]
        return self.name, f"{_number(self.value)} {self.unit}".strip(), goal, verdict, self.note


def _number(value: float) -> str:
    if value and abs(value) < 10:  # noqa: PLR2004 - two digits behind the point say enough
        return f"{value:.2f}"
    return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"  # noqa: PLR2004 - the same


@dataclass
class Results:
    """All that a run found, and the curves that it can be drawn from."""

    machine: dict[str, Any] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    curves: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """By plot and line: points."""

    def add(self, figure: Figure) -> None:
        """Take a figure and show it."""
        self.figures.append(figure)
        name, value, goal, verdict, note = figure.cells
        print(f"  {name:<58} {value:>14}  {goal:<14} {verdict:<11} {note}".rstrip(), flush=True)

    def point(self, plot: str, line: str, x: float, y: float) -> None:
        """Take a point of a curve."""
        self.curves.setdefault(plot, {}).setdefault(line, []).append((x, y))

    @property
    def missed(self) -> Sequence[Figure]:
        """The figures whose goal is not reached."""
        return [figure for figure in self.figures if figure.reached is False]

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        figures = [asdict(figure) | {"reached": figure.reached} for figure in self.figures]
        told = {"machine": self.machine, "figures": figures, "curves": self.curves}
        path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
