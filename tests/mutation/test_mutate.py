"""scripts/mutate on a library of two functions: what it finds, keeps, refuses and goes on with."""

from collections.abc import Iterator
from contextlib import contextmanager
import json
from pathlib import Path
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import _mutate
import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = "custom_components/hy_heating/hyheat"
TOOL = "mutation.py", "_mutate.py"
NEEDED = (
    "docs/PROTOCOL.md",
    "scripts/_decode.py",
    "scripts/_hyheat.py",
    "tests/__init__.py",
    "tests/cabinets.py",
    "tests/fuzzing/__init__.py",
    "tests/fuzzing/oracle.py",
    "tests/vectors/__init__.py",
)
CODE = """\
def double(number: int) -> int:
    return number * 2


def larger(one: int, other: int) -> int:
    return one if one > other else other
"""
TESTS = """\
from custom_components.hy_heating.hyheat.maths import double, larger


def test_double() -> None:
    assert double(3) == 6


def test_larger() -> None:
    assert larger(1, 2) == larger(2, 1) == 2
"""
SLOW = "import time\n" + TESTS.replace("    assert", "    time.sleep(1)\n    assert")
# Where both are equal it does not matter which is returned.
SURVIVOR = "return one if one > other else other → return one if one >= other else other"


class Project:
    """A checkout with a library of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.result = root / "tests/mutation/result.json"
        for path in (*NEEDED, f"{LIBRARY}/__init__.py"):
            self.write(path, "")
        self.write(f"{LIBRARY}/maths.py", CODE)
        self.write("tests/hyheat/test_maths.py", TESTS)
        for name in TOOL:
            shutil.copy(ROOT / "scripts" / name, root / "scripts" / name)

    def write(self, path: str, text: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")

    @contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, self.root / "scripts/_mutate.py", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.terminate()

    def run(self, *arguments: str) -> tuple[int, str]:
        with self.started(*arguments) as process:
            output, _ = process.communicate(timeout=100)
            return process.returncode, output

    def functions(self) -> dict[str, dict[str, Any]]:
        functions = json.loads(self.result.read_text(encoding="utf-8"))["files"]["maths.py"]
        return {
            name: {key: value for key, value in function.items() if key != "digest"}
            for name, function in functions.items()
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_from_the_first_run_to_a_test_that_got_worse(project: Project) -> None:
    # * 2 becomes / 2 and * 3; > becomes >=, and the condition is made false, and true.
    status, output = project.run()
    assert status == 1, output
    assert "all                                 5        4         1     80.00" in output
    assert f"mutate: survived without a reason: maths.py larger: {SURVIVOR}" in output
    assert project.functions() == {
        "double": {"mutants": 2, "killed": 2},
        "larger": {"mutants": 3, "killed": 2, "survived": {"3": SURVIVOR}},
    }

    status, output = project.run("--sample", "9", "--seed", "1")
    assert (status, "all 4 were killed again" in output) == (0, True), output

    project.write("tests/hyheat/test_maths.py", TESTS.replace("== 6", "> 5"))
    status, output = project.run("--sample", "9")
    assert status == 1
    assert "alive now: maths.py double 2: return number * 2 → return number * 3" in output
    assert "1 of 4 are not killed any more" in output


def test_only_what_changed_is_run_again(project: Project) -> None:
    assert project.run()[0] == 1
    # A result that says otherwise shows what was not run again.
    text = project.result.read_text(encoding="utf-8")
    lie = f'"killed": 2, "survived": {{"3": "{SURVIVOR}"}}'
    assert lie in text
    project.result.write_text(text.replace(lie, '"killed": 3'), encoding="utf-8")
    project.write(f"{LIBRARY}/maths.py", CODE.replace("* 2", "* 2 + 0"))
    for arguments in (["--sample", "1"], ["--report"]):
        status, output = project.run(*arguments)
        assert status == 1
        assert "stale: maths.py double" in output
        assert "maths.py larger" not in output

    status, output = project.run("--module", "maths")
    functions = project.functions()
    assert functions["larger"] == {"mutants": 3, "killed": 3}
    assert functions["double"]["mutants"] == 4
    survived = {"1": "return number * 2 + 0 → return number * 2 - 0"}
    assert functions["double"]["survived"] == survived

    better = TESTS.replace("double(3) == 6", 'str(double(3)) == "6"')
    project.write("tests/hyheat/test_maths.py", better)
    project.run()
    assert project.functions()["double"]["survived"] == survived, "it stands until asked for"


def test_tests_that_fail_by_themselves_kill_nothing(project: Project) -> None:
    """For instance one that can be run only twice in a process."""
    once = "\nruns = []\n\n\ndef test_again() -> None:\n    runs.append(double(1))\n"
    project.write("tests/hyheat/test_maths.py", f"{TESTS}{once}    assert len(runs) <= 2\n")
    status, output = project.run()
    assert status == 1
    assert "fail (1) on code that nothing was changed in" in output
    assert not project.result.exists()
    project.write("tests/hyheat/test_maths.py", TESTS)
    project.run()
    assert project.functions()["double"] == {"mutants": 2, "killed": 2}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_ended_goes_on(project: Project, end: signal.Signals) -> None:
    project.write("tests/hyheat/test_maths.py", SLOW)
    with project.started("--jobs", "1") as process:
        wait_for_an_outcome(project)
        process.send_signal(end)
        process.communicate(timeout=60)
        assert process.returncode == (130 if end is signal.SIGINT else -signal.SIGKILL)
    assert not project.result.exists(), "nothing is told before the controls have passed"
    # Where we were killed, mutmut goes on alone, and nobody disturbs it.
    limit_s = time.monotonic() + 60
    while "another scripts/mutate is running" in (output := project.run("--sample", "1")[1]):
        assert end is signal.SIGKILL
        assert time.monotonic() < limit_s
        time.sleep(0.5)
    assert "there is no result of mutmut" in output
    # Now nothing fails any more: what is called killed afterwards was found out before.
    project.write("tests/hyheat/test_maths.py", TESTS.replace("==", ">= 0 or 0 <="))
    status, output = project.run()
    assert (status, "controls passed" in output) == (1, True), output
    functions = project.functions()
    assert sum(function["killed"] for function in functions.values()) > 0
    assert not any("unchecked" in function for function in functions.values())


@pytest.mark.parametrize("written", [None, "", "def x_double__mutmut_orig(num"])
def test_where_it_was_ended_while_it_wrote_the_mutants_it_keeps_what_was_killed(
    project: Project, written: str | None
) -> None:
    mutated = f".cache/mutate/run/mutants/{LIBRARY}/maths.py"
    if written is not None:
        project.write(mutated, written)
    project.write(f".cache/mutate/run/{LIBRARY}/maths.py", CODE)
    key = "custom_components.hy_heating.hyheat.maths.x_double__mutmut_"
    meta = {
        "exit_code_by_key": {f"{key}1": 1, f"{key}2": 0, f"{key}3": 36, f"{key}4": None},
        "hash_by_function_name": {"x_double": "abc"},
    }
    project.write(f"{mutated}.meta", json.dumps(meta))
    found = _mutate.harvest(project.root / ".cache/mutate/run")
    (function,) = found["maths.py"].values()
    assert function.killed == [1, 3]
    assert function.timed_out == {3}
    assert function.unchecked == {2, 4}, "what survived is not known by its text"


def wait_for_an_outcome(project: Project) -> None:
    meta = project.root / f".cache/mutate/run/mutants/{LIBRARY}/maths.py.meta"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        time.sleep(0.05)
        try:
            codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].values()
        except FileNotFoundError, ValueError:  # not yet there, or just being written
            continue
        if any(code is not None for code in codes):
            return
    raise AssertionError("no mutant was run within a minute")


@pytest.mark.parametrize("arguments", [["--sample", "0"], ["--module", "nothing"], ["--sampel"]])
def test_wrong_usage(project: Project, arguments: list[str]) -> None:
    assert project.run(*arguments)[0] == 2


def test_a_sample_needs_a_result(project: Project) -> None:
    status, output = project.run("--sample", "1")
    assert status == 1
    assert "there is no result of mutmut" in output
