"""The corpus is taken without a finding, and each fuzzer finds the fault that is planted."""

import logging
from pathlib import Path

import pytest

from custom_components.hy_heating.coordinator import GatewayCoordinator
from tests.common import captured

from .faults import FAULTS, planted
from .house import open_house
from .run import CORPUS, PLANT, main, seeded
from .script import mended, steps
from .targets import TARGETS

# So many inputs at most until a planted fault is found; each took less than a third of it.
RUNS_TO_FIND = {"house": 2_000, "client": 10_000}


@pytest.mark.timeout(600)  # hundreds of lives of a whole Home Assistant, and that under coverage
@pytest.mark.parametrize("name", TARGETS)
def test_what_was_ever_of_interest_is_taken(name: str) -> None:
    target = TARGETS[name]
    inputs = [*target.seeds, *(file.read_bytes() for file in sorted((CORPUS / name).iterdir()))]
    assert len(inputs) > len(target.seeds)
    with target.prepared() as take:
        for data in inputs:
            take(data)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", TARGETS)
def test_a_planted_fault_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("atheris")
    target = TARGETS[name]
    with target.prepared() as take, planted(name):
        for seed in target.seeds:
            take(seed)  # nothing to be seen yet

    monkeypatch.setenv(PLANT, "1")
    runs = RUNS_TO_FIND.get(name, 40_000)
    assert main([name, "--runs", str(runs), "--seed", "1", "--folder", str(tmp_path)]) == 1
    finding = next(tmp_path.glob(f"{name}-crash-*"))
    assert f"again: scripts/fuzz --repeat {finding}" in capsys.readouterr().out

    with target.prepared() as take:
        with planted(name), pytest.raises(Exception):  # noqa: B017, PT011 - each is another one
            take(finding.read_bytes())
        take(finding.read_bytes())  # without the fault all is well


def test_every_target_has_a_fault_to_find() -> None:
    assert FAULTS.keys() == TARGETS.keys()


def test_a_finding_is_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = mended(bytes(range(9)))
    finding = tmp_path / "frame-crash-1"
    finding.write_bytes(right[:-2] + bytes(((right[-2] + 1) % 256, 0x16)))
    assert main(["--repeat", str(finding)]) == 0
    assert "frame: nothing found" in capsys.readouterr().out
    monkeypatch.setenv(PLANT, "1")
    with pytest.raises(AssertionError):
        main(["--repeat", str(finding)])


def test_a_file_that_does_not_tell_its_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "something"
    file.write_bytes(captured("status_reply"))
    assert main(["--repeat", str(file)]) == 2
    assert "does not tell its target" in capsys.readouterr().out
    assert main(["envelope", "--repeat", str(file)]) == 0


def test_new_inputs_are_kept(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    target = TARGETS["frame"]
    seeded(target, tmp_path / "seeds")
    assert main(["frame", "--runs", "2000", "--seed", "1", "--folder", str(tmp_path)]) == 0
    assert len(list((tmp_path / "frame").iterdir())) > len(list((tmp_path / "seeds").iterdir()))


def test_a_script_is_what_it_says() -> None:
    script = b"C\nVff\nF00\nT00\n{}\nG{}\nK{}\nW9\nM50\nQ\nD\nU\nX\n\xff"
    assert [step.kind for step in steps(script)] == [
        *["message"] * 5,
        "command",
        "retained",
        "wait",
        "move",
        "read",
        "down",
        "up",
        "restart",
        "message",
    ]
    assert [step.number for step in steps(b"W99999\nW100000\nWx\nM30")] == [99_999, 0, 0, 30]


@pytest.mark.parametrize(
    ("logger", "level", "times"),
    [
        ("homeassistant", logging.ERROR, 1),
        ("custom_components.hy_heating", logging.ERROR, 1),
        ("custom_components.hy_heating", logging.WARNING, 2),
    ],
    ids=["an error anywhere", "an error of ours", "a warning again and again"],
)
def test_what_is_logged_is_looked_at(logger: str, level: int, times: int) -> None:
    def heard(_: GatewayCoordinator) -> None:
        for _time in range(times):
            logging.getLogger(logger).log(level, "odd")

    with open_house() as take:
        take(b"C")
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(GatewayCoordinator, "_heard", heard)
            with pytest.raises(AssertionError, match="odd"):
                take(b"C")
        take(b"C")
