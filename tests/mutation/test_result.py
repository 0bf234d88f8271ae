"""The committed result: enough mutants are killed, and every survivor has its reason."""

from dataclasses import replace
from pathlib import Path

from mutation import (
    RESULT,
    WANTED_PERCENT,
    Function,
    Result,
    complaints,
    read_reasons,
    read_result,
)
import pytest

WHY = {"season.py in_season: first <= last → first < last": "it makes no difference"}


def one(function: Function) -> Result:
    return Result("mutmut 0", {"season.py": {"in_season": function}})


GOOD = one(Function("abc", 20, {3: "first <= last → first < last"}, frozenset({7})))


def test_the_committed_result_is_good() -> None:
    result = read_result()
    assert list(complaints(result, read_reasons())) == []
    assert result.percent >= WANTED_PERCENT
    assert result.unchecked == 0


def test_the_committed_result_is_written_as_it_would_be() -> None:
    assert read_result().dump() == RESULT.read_text(encoding="utf-8")


def test_every_reason_is_a_sentence() -> None:
    for reason in set(read_reasons().values()):
        assert reason == reason.strip()
        assert len(reason.split()) >= 4
        assert reason.endswith(".")


def test_what_is_counted() -> None:
    # 20 mutants: the third lives; the seventh never ended, so a test would have seen it.
    assert (GOOD.total, GOOD.killed, GOOD.unchecked, GOOD.percent) == (20, 19, 0, 95.0)
    assert list(GOOD.survivors()) == list(WHY)
    assert list(complaints(GOOD, WHY)) == []


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    interrupted = one(replace(GOOD.files["season.py"]["in_season"], unchecked=frozenset({9, 10})))
    for result in (GOOD, interrupted, Result("mutmut 0")):
        path = tmp_path / "result.json"
        path.write_text(result.dump(), encoding="utf-8")
        assert read_result(path) == result
    assert GOOD.dump().count("\n") == 8, "a line for each function, so that changes can be seen"


def test_a_result_that_was_tampered_with_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(GOOD.dump().replace('"killed": 19', '"killed": 20'), encoding="utf-8")
    with pytest.raises(ValueError, match="do not add up"):
        read_result(path)


def test_what_is_wrong_with_a_result() -> None:
    function = GOOD.files["season.py"]["in_season"]
    assert list(complaints(GOOD, {})) == [
        "survived without a reason: season.py in_season: first <= last → first < last"
    ]
    assert list(complaints(one(replace(function, survived={})), WHY)) == [
        "has a reason but did not survive: season.py in_season: first <= last → first < last"
    ]
    assert list(complaints(one(replace(function, mutants=19)), WHY)) == [
        "94.74 % killed, at least 95 % wanted"
    ]
    assert list(complaints(one(replace(function, mutants=40, unchecked=frozenset({5}))), WHY)) == [
        "1 mutants were not run; next: scripts/mutate"
    ]
    assert list(complaints(GOOD, dict.fromkeys(WHY, " "))) == [
        "its reason is empty: season.py in_season: first <= last → first < last"
    ]


def test_a_survivor_has_one_reason(tmp_path: Path) -> None:
    group = '[[group]]\nreason = "So it is."\nmutants = ["a b: c → d"]\n'
    path = tmp_path / "survivors.toml"
    path.write_text(group, encoding="utf-8")
    assert read_reasons(path) == {"a b: c → d": "So it is."}
    path.write_text(group * 2, encoding="utf-8")
    with pytest.raises(ValueError, match="two reasons for a b"):
        read_reasons(path)
