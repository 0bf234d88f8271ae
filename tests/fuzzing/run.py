"""The command line of fuzzing; `scripts/fuzz` starts it."""

import argparse
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha1
from importlib.util import find_spec
import os
from pathlib import Path
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from threading import Event
import time
from typing import override

from .targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"
PLANT = "HY_HEATING_PLANTED_FAULT"
"""Set in the environment of an engine, the target's fault is in the product."""
LAUNCHER = "HY_HEATING_FUZZ_LAUNCHER"
"""The file that starts an engine like this one again, where the fuzzer has to do that."""
SLICE_S = 60.0
"""So long a target has its turn while others wait."""
HANG_S = 30
"""One input takes milliseconds; what takes so long never ends."""
MAX_MEMORY_MB = 1024
SEED = 20240528

_FIGURES = re.compile(r"#(\d+)\s+(?:DONE|NEW|REDUCE|pulse)\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_FOUND = re.compile(r"Test unit written to (\S+)")
_SHOWN_LINES = 60


@dataclass(frozen=True, slots=True)
class Turn:
    """What one process came to: inputs, edges, features, size of its corpus; a finding's file."""

    target: str
    runs: int
    edges: int
    inputs: int
    seconds: float
    finding: Path | None
    ended: bool
    output: str

    @override
    def __str__(self) -> str:
        """Return a line of the table."""
        rate = self.runs / self.seconds if self.seconds else 0.0
        verdict = "nothing found" if self.ended else "ended before its time"
        if self.finding:
            verdict = f"FOUND {self.finding}"
        return (
            f"{self.target:<16} {self.runs:>10} inputs {rate:>8.0f} /s {self.edges:>6} edges "
            f"{self.inputs:>5} kept {self.seconds:>6.0f} s  {verdict}"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args(arguments)
    if options.repeat:
        return _repeat(options.repeat, options.target)
    if find_spec("atheris") is None:
        if options.check:
            _say("fuzz: left out, atheris has no package for this kind of machine")
            return 0
        _say("fuzz: atheris has no package for this kind of machine; next: use Linux on x86-64")
        return 2
    targets = [TARGETS[name] for name in options.target or TARGETS]
    if options.distill:
        return _distill(targets, options.folder)
    if options.check:
        return _check(targets, options.jobs)
    if options.runs:
        limits = [f"-runs={options.runs}", f"-seed={options.seed}"]
        return _fixed(targets, options.folder, limits, options.jobs)
    return _hunt(targets, options.folder, options.seconds, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz",
        description="Looks for bytes that end in anything but a value or a counted refusal: "
        "coverage-guided, until Ctrl-C. docs/RELIABILITY.md says what must hold.",
        epilog=f"targets: {', '.join(TARGETS)}. exit status: 0 if nothing was found, 1 if "
        "something was, 2 for options that make no sense.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("target", nargs="*", choices=[[], *TARGETS], metavar="TARGET", help="what to fuzz (all)")
    add("--seconds", type=float, metavar="N", help="end after N seconds")
    add("--runs", type=int, metavar="N", help="end after N inputs for each target")
    add("--seed", type=int, default=SEED, metavar="S", help="with --runs: another S, other inputs")
    add("--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="processes (all cores)")
    add(
        "--folder",
        type=Path,
        default=Path(".fuzz"),
        metavar="FOLDER",
        help="where new inputs and findings are written (.fuzz)",
    )
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--check", action="store_true", help="the fixed runs of .ci/run")
    alone.add_argument("--repeat", type=Path, metavar="FILE", help="play the input of a file again")
    alone.add_argument(
        "--distill", action="store_true", help="take new inputs that show more into the corpus"
    )
    return parser


# --- Ways to run -------------------------------------------------------------------------------


def _hunt(targets: list[Target], folder: Path, seconds: float | None, jobs: int) -> int:
    """Let all targets have their turns until the time is over, a finding, or Ctrl-C."""
    end_s = time.monotonic() + seconds if seconds else None
    stop, found = Event(), False
    rounds = 0
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while not found and (end_s is None or time.monotonic() < end_s):
                left_s = end_s - time.monotonic() if end_s else SLICE_S * len(targets)
                turn_s = max(1.0, min(SLICE_S, left_s * jobs / max(jobs, len(targets))))
                rounds += 1
                seed = int(time.time()) + rounds
                limit = [f"-max_total_time={turn_s:.0f}", f"-seed={seed}"]
                engine = partial(_engine, folder=folder, limits=limit, stop=stop)
                for turn in pool.map(engine, targets):
                    found |= _show(turn)
        except KeyboardInterrupt:
            stop.set()
            _say("stopped")
    return 1 if found else 0


def _check(targets: list[Target], jobs: int) -> int:
    """Play a fixed number of inputs, the same ones each time, and keep only what was found."""
    with tempfile.TemporaryDirectory(prefix="hy-heating-fuzz-") as scratch:
        return _fixed(targets, Path(scratch), [f"-seed={SEED}"], jobs, kept=Path(".fuzz"))


def _fixed(
    targets: list[Target], folder: Path, limits: list[str], jobs: int, kept: Path | None = None
) -> int:
    """Let all targets have a number of inputs: those of `limits`, else each its own."""
    stop, failed = Event(), 0

    def turn_of(target: Target) -> Turn:
        own = (
            [] if any(limit.startswith("-runs=") for limit in limits) else [f"-runs={target.runs}"]
        )
        return _engine(target, folder, [*limits, *own], stop)

    # The slowest first, so that all are done at about the same time.
    ordered = sorted(targets, key=lambda target: target.runs)
    with ThreadPoolExecutor(jobs) as pool:
        for turn in pool.map(turn_of, ordered):
            if turn.finding is None and turn.ended:
                _show(turn)
                continue
            failed += 1
            if kept and turn.finding:
                kept.mkdir(exist_ok=True)
                _show(replace(turn, finding=Path(shutil.copy(turn.finding, kept))))
            else:
                _show(turn)
    _say(f"{len(targets) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _repeat(file: Path, names: list[str]) -> int:
    """Play one input again, without the fuzzer, so that a debugger can be used."""
    named = [name for name in TARGETS if file.name.startswith(f"{name}-")] or [file.parent.name]
    name = names[0] if names else named[-1]
    if name not in TARGETS:
        _say(f"fuzz: {file} does not tell its target; next: name it: {', '.join(TARGETS)}")
        return 2
    with TARGETS[name].prepared() as take, _fault(name):
        take(file.read_bytes())
    _say(f"{name}: nothing found with {file}")
    return 0


@contextmanager
def _fault(name: str) -> Iterator[None]:
    from .faults import planted  # noqa: PLC0415 - hardly ever needed

    if os.environ.get(PLANT):
        with planted(name):
            yield
    else:
        yield


def _distill(targets: list[Target], folder: Path) -> int:
    """Put into the corpus what new inputs show that it does not, the smallest that does."""
    for target in targets:
        corpus, found = CORPUS / target.name, folder / target.name
        with tempfile.TemporaryDirectory(prefix="hy-heating-fuzz-") as scratch:
            merged, launcher = Path(scratch) / "merged", Path(scratch) / "engine"
            merged.mkdir()
            for here in (corpus, found):
                seeded(target, here)
            # The fuzzer starts itself again, by one word.
            launcher.write_text(f'#!/bin/sh\nexec {shlex.join(_engine_command(target))} "$@"\n')
            launcher.chmod(0o700)
            options = [f"-max_len={target.max_size}", "-merge=1", str(merged)]
            subprocess.run(
                [*_engine_command(target), *options, str(corpus), str(found)],
                check=True,
                capture_output=True,
                env=_environment() | {LAUNCHER: str(launcher)},
            )
            kept = [file.read_bytes() for file in merged.iterdir()]
            if not kept:
                raise RuntimeError(f"{target.name}: nothing is left of the corpus")
            shutil.rmtree(corpus)
            corpus.mkdir()
            for data in kept:
                if data not in target.seeds:  # those are there anyway
                    (corpus / named(data)).write_bytes(data)
        _say(f"{target.name}: {len(list(corpus.iterdir()))} inputs in the corpus")
    return 0


# --- One process -------------------------------------------------------------------------------


def _engine(target: Target, folder: Path, limits: list[str], stop: Event) -> Turn:
    """Let a process fuzz a target; new inputs go to `folder`/TARGET, findings to `folder`."""
    new, corpus = folder / target.name, CORPUS / target.name
    new.mkdir(parents=True, exist_ok=True)
    seeded(target, new)
    options = [*limits, f"-artifact_prefix={folder}/{target.name}-"]
    began_s = time.monotonic()
    with subprocess.Popen(
        _command(target, options, [new, *([corpus] if corpus.is_dir() else [])]),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=_environment(),
        start_new_session=True,  # Ctrl-C is for us; it ends when we say so
    ) as process:
        while True:
            with suppress(subprocess.TimeoutExpired):
                output, _ = process.communicate(timeout=0.5)
                break
            if stop.is_set():
                process.terminate()
    figures = _FIGURES.findall(output)
    runs, edges, _, inputs = map(int, figures[-1]) if figures else (0, 0, 0, 0)
    written = _FOUND.search(output)
    finding = Path(written[1]) if written else None
    seconds = time.monotonic() - began_s
    ended = process.returncode == 0
    return Turn(target.name, runs, edges, inputs, seconds, finding, ended, output)


def _command(target: Target, options: list[str], folders: list[Path]) -> list[str]:
    always = [
        f"-timeout={HANG_S}",
        f"-rss_limit_mb={MAX_MEMORY_MB}",
        f"-max_len={target.max_size}",
    ]
    return [*_engine_command(target), *always, *options, *map(str, folders)]


def _engine_command(target: Target) -> list[str]:
    return [sys.executable, "-P", "-m", "tests.fuzzing.engine", target.name]


def _environment() -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": root}


def seeded(target: Target, folder: Path) -> None:
    """Write what the vectors give to begin with into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (folder / named(seed)).write_bytes(seed)


def named(data: bytes) -> str:
    """Return the name of an input's file."""
    return sha1(data, usedforsecurity=False).hexdigest()[:16]


def _show(turn: Turn) -> bool:
    """Print what a process came to; return whether it did not end well."""
    _say(str(turn))
    if not turn.ended:
        _say(_end_of(turn.output))
    if turn.finding:
        _say(f"again: scripts/fuzz --repeat {turn.finding}")
    return not turn.ended


def _end_of(output: str) -> str:
    begin = output.find("=== Uncaught Python exception")
    text = output[begin:] if begin >= 0 else output
    lines = text.splitlines()
    return "\n".join(lines[:_SHOWN_LINES] if begin >= 0 else lines[-_SHOWN_LINES:])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
