"""Run mutmut on the library hyheat, keep its result by function, and check samples of it.

The library is copied into a folder of its own, with its fast tests and an empty package in the
integration's place: so each mutant costs milliseconds instead of Home Assistant's start.
"""

import argparse
import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import difflib
import fcntl
import importlib.metadata
import json
import os
from pathlib import Path
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import Any, NoReturn

from mutation import (
    RESULT,
    SURVIVORS,
    WANTED_PERCENT,
    Function,
    Functions,
    Result,
    complaints,
    read_reasons,
    read_result,
)
from mutmut.mutation.file_mutation import compute_function_hashes

ROOT = Path(__file__).parents[1]
WORK = ROOT / ".cache" / "mutate"
LIBRARY = Path("custom_components/hy_heating/hyheat")
COPIED = (
    LIBRARY,
    Path("docs/PROTOCOL.md"),
    Path("scripts/_decode.py"),
    Path("scripts/_hyheat.py"),
    Path("tests/__init__.py"),
    Path("tests/cabinets.py"),
    Path("tests/fuzzing/__init__.py"),
    Path("tests/fuzzing/oracle.py"),
    Path("tests/hyheat"),
    Path("tests/vectors"),
)
# No plugin is loaded by itself: Home Assistant's alone would cost seconds, and pytest's own for
# what is raised unseen collects garbage five times, half the cost of a mutant. The fuzz tests are
# left out, they take longer than all others together.
SETTINGS = """\
[tool.mutmut]
source_paths = ["custom_components"]
only_mutate = {files}
also_copy = ["scripts", "docs"]
pytest_add_cli_args_test_selection = ["tests/hyheat"]
pytest_add_cli_args = ["-p", "pytest_asyncio.plugin", "-p", "_hypothesis_pytestplugin",
  "-p", "no:unraisableexception", "-p", "no:threadexception", "-p", "no:cacheprovider",
  "--ignore=tests/hyheat/test_fuzz.py"]
use_git_change_detection = false

[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
filterwarnings = ["error"]
pythonpath = ["."]
"""
TOOL = f"mutmut {importlib.metadata.version('mutmut')}"
KILLED, SURVIVED, TIMED_OUT = 1, 0, 36
# mutmut's exit codes of a mutant's run; all others (an interrupt, a crash) decide nothing.
_KILLED = {1, 3}
_SURVIVED = {0, 5, 33}  # 5 and 33: there is no test at all
_TIMED_OUT = {-24, -9, 24, 36, 152, 255}
_STOP_S = 20.0
_INTERRUPTED = 130
_CONTROL = "0"  # mutmut counts from 1, and runs the code as it is for any other number
_NAME = re.compile(r"\bdef \w+\(")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def fail(text: str) -> NoReturn:
    """End with a message and status 1."""
    sys.stderr.write(f"mutate: failed: {text}\n")
    sys.exit(1)


# --- Names ------------------------------------------------------------------------------------


def files_of(root: Path) -> list[str]:
    """Return the library's files, relative to it."""
    library = root / LIBRARY
    return sorted(path.relative_to(library).as_posix() for path in library.rglob("*.py"))


def file_of(module: str) -> str:
    """Return the file of a module; raises ValueError for one that does not exist."""
    stem = module.removesuffix(".py").replace(".", "/")
    for file in (f"{stem}.py", f"{stem}/__init__.py"):
        if (ROOT / LIBRARY / file).is_file():
            return file
    raise ValueError(f"hyheat has no module {module}")


def plain(mangled: str) -> str:
    """Return `name` or `Class.name` for mutmut's name of a function."""
    return mangled.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")


def mutant_key(file: str, name: str, number: int) -> str:
    """Return mutmut's name of a mutant."""
    module = f"{LIBRARY.as_posix()}/{file}".removesuffix(".py").removesuffix("/__init__")
    class_name, _, function = name.rpartition(".")
    mangled = f"xǁ{class_name}ǁ{function}" if class_name else f"x_{function}"
    return f"{module.replace('/', '.')}.{mangled}__mutmut_{number}"


def digests(root: Path, file: str) -> dict[str, str]:
    """Return the digest of each function of a file."""
    source = (root / LIBRARY / file).read_text(encoding="utf-8")
    return {plain(name): digest for name, digest in compute_function_hashes(source).items()}


# --- mutmut's files ---------------------------------------------------------------------------


def prepare(folder: Path, files: Sequence[str], known: Functions) -> None:
    """Set up a folder for mutmut in which the known outcomes of unchanged functions stand."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in COPIED:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / path).is_dir():
            shutil.copytree(ROOT / path, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / path, target)
    (folder / LIBRARY).with_name("__init__.py").touch()
    only = [f"{LIBRARY.as_posix()}/{file}" for file in files]
    (folder / "pyproject.toml").write_text(SETTINGS.format(files=json.dumps(only)))
    for file in files:
        current = digests(folder, file)
        unchanged = {
            name: function
            for name, function in known.get(file, {}).items()
            if current.get(name) == function.digest
        }
        meta = folder / "mutants" / LIBRARY / f"{file}.meta"
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_text(json.dumps(_as_meta(file, unchanged)))


def _as_meta(file: str, functions: dict[str, Function]) -> dict[str, Any]:
    """Return outcomes in the shape of mutmut's own file."""
    codes: dict[str, int | None] = {}
    hashes: dict[str, str] = {}
    for name, function in functions.items():
        for number in range(1, function.mutants + 1):
            code: int | None = KILLED
            if number in function.survived:
                code = SURVIVED
            elif number in function.timed_out:
                code = TIMED_OUT
            elif number in function.unchecked:
                code = None
            codes[mutant_key(file, name, number)] = code
        mangled = mutant_key(file, name, 0).rpartition(".")[2].removesuffix("__mutmut_0")
        hashes[mangled] = function.digest
    return {
        "exit_code_by_key": codes,
        "hash_by_function_name": hashes,
        "durations_by_key": {},
        "estimated_durations_by_key": {},
    }


def harvest(folder: Path) -> Functions:
    """Return what mutmut has left in a folder, for each file that it has mutated."""
    found: Functions = {}
    for file in files_of(folder):
        mutated = folder / "mutants" / LIBRARY / file
        meta = mutated.with_name(f"{mutated.name}.meta")
        if not meta.is_file():
            continue
        try:
            data = json.loads(meta.read_text(encoding="utf-8"))
        except ValueError:  # ended while it was written
            continue
        if not data["exit_code_by_key"]:
            found[file] = {}
            continue
        sources = _sources(mutated)
        outcomes: dict[str, dict[int, int | None]] = {}
        for key, code in data["exit_code_by_key"].items():
            mangled, _, number = key.rpartition(".")[2].partition("__mutmut_")
            if number != _CONTROL:
                outcomes.setdefault(mangled, {})[int(number)] = code
        found[file] = {
            plain(mangled): _function(
                data["hash_by_function_name"][mangled], mangled, codes, sources
            )
            for mangled, codes in outcomes.items()
        }
    return found


def _function(
    digest: str, mangled: str, codes: dict[int, int | None], sources: dict[str, list[str]]
) -> Function:
    original = sources.get(f"{mangled}__mutmut_orig", [])
    survived = {
        number: change(original, mutant)
        for number, code in codes.items()
        if code in _SURVIVED and (mutant := sources.get(f"{mangled}__mutmut_{number}"))
    }
    timed_out = frozenset(number for number, code in codes.items() if code in _TIMED_OUT)
    killed = frozenset(number for number, code in codes.items() if code in _KILLED)
    unchecked = codes.keys() - survived.keys() - timed_out - killed
    return Function(digest, len(codes), survived, timed_out, frozenset(unchecked))


def _sources(mutated: Path) -> dict[str, list[str]]:
    """Return the lines of each function that mutmut wrote into a file, without their names.

    None of a file that it was ended at: then nobody knows what survived, and it is run again.
    """
    try:
        text = mutated.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except FileNotFoundError, SyntaxError:
        return {}
    lines = [
        _NAME.sub("def (", line.partition("  # type: ignore # mutmut")[0].strip())
        for line in text.splitlines()
    ]
    return {
        node.name: lines[node.lineno - 1 : node.end_lineno]
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def change(original: Sequence[str], mutant: Sequence[str]) -> str:
    """Return what a mutant changes, as `old → new`."""
    old, new = [], []
    for line in difflib.unified_diff(original, mutant, n=0, lineterm=""):
        if line.startswith("-") and not line.startswith("---"):
            old.append(line[1:])
        elif line.startswith("+") and not line.startswith("+++"):
            new.append(line[1:])
    return f"{' '.join(old)} → {' '.join(new) or '(nothing)'}"


# --- Running it -------------------------------------------------------------------------------


@contextmanager
def only_one() -> Iterator[int]:
    """Keep a second run out of the work folder; yields the lock."""
    WORK.mkdir(parents=True, exist_ok=True)
    with (WORK / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail("another scripts/mutate is running in this checkout; next: wait for its end")
        yield lock.fileno()


@dataclass(frozen=True, slots=True)
class Mutmut:
    """How mutmut is run: with so many processes, and holding the lock of the work folder.

    Where we are killed, it goes on alone, and keeps the lock until it has ended.
    """

    jobs: int
    lock: int

    def run(self, folder: Path, names: Sequence[str] = ()) -> bool:
        """Run it; returns whether it came to its end, or was interrupted."""
        program = Path(sys.executable).with_name("mutmut")
        command = [str(program), "run", "--max-children", str(self.jobs), *names]
        shown = sys.stdout.isatty()
        with (folder / "mutmut.log").open("w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                stdout=None if shown else log,
                stderr=None if shown else subprocess.STDOUT,
                pass_fds=(self.lock,),
                process_group=0,  # Ctrl-C comes to us, and from us to all of them
            )
            try:
                status = process.wait()
            except KeyboardInterrupt:
                _stop(process)
                return False
            if status:
                log.seek(0)
                sys.stderr.write(log.read()[-3000:])
                fail("mutmut itself failed, see above; next: run scripts/test tests/hyheat")
        return True


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let mutmut write down what it has, and end it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# --- Unchanged code must pass -----------------------------------------------------------------


def controls(folder: Path) -> dict[str, Path]:
    """Return names of mutants that change nothing, which together run every test once or more.

    Where a test fails for them, because of the way in which it is run, it would have "killed"
    whatever was given to it.
    """
    stats = json.loads((folder / "mutants" / "mutmut-stats.json").read_text(encoding="utf-8"))
    tests = {name: set(told) for name, told in stats["tests_by_mangled_function_name"].items()}
    chosen: dict[str, Path] = {}
    waiting = {
        f"{name}__mutmut_{_CONTROL}": (told, meta)
        for meta in sorted((folder / "mutants" / LIBRARY).rglob("*.meta"))
        for name in _functions_in(meta)
        if (told := tests.get(name))
    }
    missing = set().union(*(told for told, _ in waiting.values()))
    while missing:
        name = max(waiting, key=lambda name: len(waiting[name][0] & missing))
        told, chosen[name] = waiting.pop(name)
        missing -= told
    return chosen


def _functions_in(meta: Path) -> list[str]:
    data = json.loads(meta.read_text(encoding="utf-8"))
    return list(dict.fromkeys(key.partition("__mutmut_")[0] for key in data["exit_code_by_key"]))


def has_run(folder: Path) -> bool:
    """Return whether any mutant was run in a folder: those known before have no duration."""
    metas = (folder / "mutants" / LIBRARY).rglob("*.meta")
    return any(json.loads(meta.read_text(encoding="utf-8"))["durations_by_key"] for meta in metas)


def check_controls(folder: Path, mutmut: Mutmut) -> bool:
    """Run the controls, which must pass; returns False if interrupted."""
    chosen = controls(folder)
    # As for the mutants, every test then has run in the process that they are forked from.
    (folder / "mutants" / "mutmut-stats.json").unlink()
    for name, meta in chosen.items():
        data = json.loads(meta.read_text(encoding="utf-8"))
        data["exit_code_by_key"][name] = None
        meta.write_text(json.dumps(data))
    if not mutmut.run(folder, list(chosen)):
        return False
    for name, meta in chosen.items():
        code = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"][name]
        if code != SURVIVED:
            shutil.rmtree(folder)  # the next run must not believe any of it
            fail(
                f"the tests of {name} fail ({code}) on code that nothing was changed in, so what "
                "they killed says nothing; next: see whether each of them passes by itself, by "
                "its full name, and twice in one process"
            )
    say(f"mutate: {len(chosen)} controls passed: the tests fail for the changes only")
    return True


# --- The result -------------------------------------------------------------------------------


def write_result(result: Result) -> None:
    """Write the result in one go."""
    RESULT.parent.mkdir(exist_ok=True)
    fresh = RESULT.with_suffix(".new")
    fresh.write_text(result.dump(), encoding="utf-8")
    fresh.replace(RESULT)


def committed() -> Result:
    """Return the committed result, an empty one where there is none of this mutmut."""
    if not RESULT.is_file():
        return Result(TOOL)
    result = read_result()
    return result if result.tool == TOOL else Result(TOOL)


def run(options: argparse.Namespace, mutmut: Mutmut) -> int:
    """Run what has no outcome yet, and write the result once the controls have passed.

    Until then all that was found stands in the work folder, where the next run finds it.
    """
    result, folder = committed(), WORK / "run"
    files = sorted({file_of(module) for module in options.module}) or files_of(ROOT)
    left = harvest(folder) if folder.is_dir() else {}
    for file, functions in left.items():
        # What a run had found out that was interrupted or killed.
        current = digests(ROOT, file)
        kept = {name: told for name, told in functions.items() if current.get(name) == told.digest}
        result.files[file] = result.files.get(file, {}) | kept
    known = result.files
    if options.again:
        known = {
            file: {name: _without_survivors(told) for name, told in functions.items()}
            for file, functions in known.items()
        }
    prepare(folder, files, known)
    if not mutmut.run(folder):
        return _INTERRUPTED
    found = harvest(folder)
    if (left or has_run(folder)) and not check_controls(folder, mutmut):
        return _INTERRUPTED
    present = set(files_of(ROOT))
    result.files = {file: told for file, told in (result.files | found).items() if file in present}
    write_result(result)
    shutil.rmtree(folder)
    return report(result)


def _without_survivors(function: Function) -> Function:
    unchecked = function.unchecked | function.survived.keys()
    return Function(function.digest, function.mutants, {}, function.timed_out, unchecked)


def report(result: Result) -> int:
    """Print the figures, and what is wrong with them; returns the exit status."""
    say(f"{'module':<28} {'mutants':>8} {'killed':>8} {'survived':>9} {'killed %':>9}")
    for file, functions in sorted(result.files.items()):
        part = Result(result.tool, {file: functions})
        if part.total:
            survived = len(list(part.survivors()))
            say(f"{file:<28} {part.total:>8} {part.killed:>8} {survived:>9} {part.percent:>9.2f}")
    survived = len(list(result.survivors()))
    say(f"{'all':<28} {result.total:>8} {result.killed:>8} {survived:>9} {result.percent:>9.2f}")
    wrong = list(complaints(result, read_reasons() if SURVIVORS.is_file() else {}))
    wrong += [f"stale: {name}" for name in stale(result)]
    for complaint in wrong:
        say(f"mutate: {complaint}")
    say(f"mutate: {'not good, see above' if wrong else 'good'}")
    return 1 if wrong else 0


# --- A sample ---------------------------------------------------------------------------------


def stale(result: Result) -> Iterator[str]:
    """Yield the functions whose code is no longer the one that was run."""
    current = {file: digests(ROOT, file) for file in files_of(ROOT)}
    for file, name, function in result.functions():
        if current.get(file, {}).get(name) != function.digest:
            yield f"{file} {name}"


def sample(options: argparse.Namespace, mutmut: Mutmut) -> int:
    """Run some of the mutants that the result calls killed once more."""
    if not RESULT.is_file() or (result := read_result()).tool != TOOL:
        fail(f"there is no result of {TOOL}; next: scripts/mutate, and commit tests/mutation")
    _refuse_stale(list(stale(result)))
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    drawn = draw(result, options.sample, seed)
    say(f"mutate: {len(drawn)} of {result.killed} killed mutants again (--seed {seed})")
    folder = WORK / "sample"
    prepare(folder, files_of(ROOT), {})
    if not mutmut.run(folder, [mutant_key(*mutant) for mutant in drawn]):
        return _INTERRUPTED
    found = harvest(folder)
    _refuse_stale(
        sorted(
            f"{file} {name}"
            for file in found.keys() | result.files.keys()
            for name in found.get(file, {}).keys() | result.files.get(file, {}).keys()
            if _extent(found, file, name) != _extent(result.files, file, name)
        )
    )
    wrong = 0
    for file, name, number in drawn:
        function = found[file][name]
        if number not in function.killed:
            wrong += 1
            now = function.survived.get(number, "not decided")
            say(f"mutate: killed in the result, alive now: {file} {name} {number}: {now}")
    if wrong:
        fail(f"{wrong} of {len(drawn)} are not killed any more; next: mend the tests")
    say(f"mutate: all {len(drawn)} were killed again")
    return 0


def draw(result: Result, count: int, seed: int) -> list[tuple[str, str, int]]:
    """Draw killed mutants by chance; those that never end would cost half a minute each."""
    killed = [
        (file, name, number)
        for file, name, function in result.functions()
        for number in function.killed
        if number not in function.timed_out
    ]
    return random.Random(seed).sample(killed, min(count, len(killed)))  # noqa: S311 - no secret


def _extent(functions: Functions, file: str, name: str) -> tuple[str, int] | None:
    function = functions.get(file, {}).get(name)
    return (function.digest, function.mutants) if function else None


def _refuse_stale(names: Sequence[str]) -> None:
    if names:
        for name in names:
            say(f"mutate: stale: {name}")
        fail(
            "these functions are not those of tests/mutation/result.json; next: scripts/mutate "
            "(runs the changed ones only), and commit the result"
        )


# --- The command line -------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/mutate",
        description="Changes the library's code in thousands of small ways, one at a time, and "
        "looks whether a test fails. Without options it runs what has no outcome yet (functions "
        "that changed, or all) and writes tests/mutation/result.json. Ctrl-C ends it; the next "
        "run goes on from there.",
        epilog=f"exit status: 0 if at least {WANTED_PERCENT} % are killed and "
        "tests/mutation/survivors.toml has a reason for each survivor, else 1; 130 if interrupted.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--module", action="append", default=[], metavar="X", help="only this module (again: more)"
    )
    parser.add_argument(
        "--again", action="store_true", help="also run the survivors again, against new tests"
    )
    parser.add_argument("--report", action="store_true", help="run nothing, print the result")
    parser.add_argument(
        "--sample", type=_positive, metavar="N", help="run N killed ones again; they must die"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="the draw of --sample (by chance)")
    parser.add_argument("--jobs", type=_positive, default=2, metavar="J", help="processes (2)")
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> int:
    """Run the command line and return the exit status."""
    parser = _parser()
    options = parser.parse_args()
    for module in options.module:
        try:
            file_of(module)
        except ValueError as err:
            parser.error(str(err))
    if options.report:
        return report(committed())
    os.nice(10)
    signal.signal(signal.SIGTERM, _interrupt)
    begun = time.monotonic()
    with only_one() as lock:
        task = sample if options.sample else run
        try:
            status = task(options, Mutmut(options.jobs, lock))
        except KeyboardInterrupt:
            status = _INTERRUPTED
    if status == _INTERRUPTED:
        say("mutate: interrupted; next: run it again, it goes on from here")
    say(f"mutate: {time.monotonic() - begun:.0f} s")
    return status


if __name__ == "__main__":
    sys.exit(main())
