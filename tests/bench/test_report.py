"""Figures, their goals and how they read."""

import json
from pathlib import Path
from typing import Literal

import pytest

from bench.report import Figure, Results, Spread


@pytest.mark.parametrize(
    ("sense", "below", "equal", "above"),
    [
        ("<=", True, True, False),
        (">=", False, True, True),
        ("<", True, False, False),
        (">", False, False, True),
    ],
)
def test_a_goal_bounds_in_its_sense(
    sense: Literal["<=", ">=", "<", ">"], below: bool, equal: bool, above: bool
) -> None:
    reached = [Figure("p", "n", value, "ms", 2.0, sense).reached for value in (1.9, 2.0, 2.1)]
    assert reached == [below, equal, above]


def test_a_goal_of_zero_is_a_goal() -> None:
    assert Figure("p", "n", 0, goal=0).reached is True
    assert Figure("p", "n", 1, goal=0).reached is False
    assert Figure("p", "n", -1, goal=0, sense=">=").reached is False


def test_without_a_goal_nothing_is_reached_or_missed() -> None:
    assert Figure("p", "n", 5.0).reached is None
    assert Figure("p", "n", 5.0, excused=True).reached is None


def test_what_is_excused_counts_as_reached() -> None:
    assert Figure("p", "n", 5.0, goal=1.0, excused=True).reached is True
    assert Figure("p", "n", 0.5, goal=1.0, excused=True).reached is True


def test_no_number_reaches_no_goal() -> None:
    senses: tuple[Literal["<=", ">=", "<", ">"], ...] = ("<=", ">=", "<", ">")
    for sense in senses:
        assert Figure("p", "n", float("nan"), goal=1.0, sense=sense).reached is False
    assert Figure("p", "n", float("inf"), goal=1.0).reached is False
    assert Figure("p", "n", float("inf"), goal=1.0, sense=">").reached is True


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0.0, "0.0"),
        (0.004, "0.00"),
        (1.704, "1.70"),
        (-1.704, "-1.70"),
        (9.99, "9.99"),
        (10.0, "10.0"),
        (-10.0, "-10.0"),
        (999.94, "999.9"),
        (1000.0, "1,000"),
        (17_600.4, "17,600"),
        (1_234_567.0, "1,234,567"),
    ],
)
def test_a_value_has_the_digits_that_say_enough(value: float, told: str) -> None:
    assert Figure("p", "n", value).cells[1] == told


def test_the_cells_of_a_row() -> None:
    figure = Figure("path", "5 meters", 1.25, "ms", 1.5, "<", "± 0.1")
    assert figure.cells == ("5 meters", "1.25 ms", "< 1.5 ms", "reached", "± 0.1")
    figure = Figure("path", "5 meters", 31.5, "×", 30.0)
    assert figure.cells == ("5 meters", "31.5 ×", "<= 30 ×", "NOT REACHED", "")
    figure = Figure("rows", "states a day", 17_600)
    assert figure.cells == ("states a day", "17,600", "", "", "")
    assert Figure("p", "n", 1.0, goal=0.0, sense=">=").cells[2] == ">= 0"


def test_a_spread_is_the_middle_and_half_of_the_range() -> None:
    spread = Spread((4.0, 1.0, 2.0))
    assert spread.median == 2.0
    assert spread.half_range == 1.5
    assert spread.text(1) == "2.0 ± 1.5"
    assert Spread((1.0, 2.0, 4.0, 10.0)).median == 3.0
    assert Spread((7.0,)).text(0) == "7 ± 0"


def test_missed_are_only_those_with_a_goal_that_is_not_reached() -> None:
    results = Results()
    figures = [
        Figure("p", "free", 9.0),
        Figure("p", "reached", 1.0, goal=2.0),
        Figure("p", "missed", 3.0, goal=2.0),
        Figure("p", "excused", 3.0, goal=2.0, excused=True),
    ]
    for figure in figures:
        results.add(figure)
    assert [figure.name for figure in results.missed] == ["missed"]


def test_everything_is_saved(tmp_path: Path) -> None:
    results = Results(machine={"python": "3.14.8"})
    results.add(Figure("p", "länge", 3.0, "µs", 2.0))
    results.point("latency", "10/s", 50, 1.5)
    results.point("latency", "10/s", 99, 2.5)
    results.point("latency", "200/s", 50, 4.0)
    results.save(tmp_path / "all.json")
    told = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert told["machine"] == {"python": "3.14.8"}
    assert told["curves"] == {"latency": {"10/s": [[50, 1.5], [99, 2.5]], "200/s": [[50, 4.0]]}}
    assert told["figures"] == [
        {
            "part": "p",
            "name": "länge",
            "value": 3.0,
            "unit": "µs",
            "goal": 2.0,
            "sense": "<=",
            "note": "",
            "excused": False,
            "reached": False,
        }
    ]
