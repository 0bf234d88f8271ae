"""The result of the mutation run, and the reasons for what survived it.

`tests/mutation/result.json` has a line for each function of the library, `survivors.toml` beside
it says why a mutant may live. Mutants are told apart by the lines that they change, so that a
reason does not pass on to another mutant when a function is edited.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
import json
from pathlib import Path
import tomllib
from typing import Any, Self

FOLDER = Path(__file__).parents[1] / "tests" / "mutation"
RESULT = FOLDER / "result.json"
SURVIVORS = FOLDER / "survivors.toml"
WANTED_PERCENT = 95
"""So many mutants must be killed."""


@dataclass(frozen=True, slots=True)
class Function:
    """What became of the mutants of one function, which are numbered from 1."""

    digest: str
    """Of its syntax tree: comments and spaces do not count."""
    mutants: int
    survived: dict[int, str] = field(default_factory=dict)
    """What each one changes, as `old → new`."""
    timed_out: frozenset[int] = frozenset()
    """Killed because the tests did not end any more."""
    unchecked: frozenset[int] = frozenset()
    """Not run yet: the run was interrupted."""

    @property
    def killed(self) -> list[int]:
        """Numbers of the mutants that a test saw, those included that never ended."""
        others = self.survived.keys() | self.unchecked
        return [number for number in range(1, self.mutants + 1) if number not in others]

    def as_json(self) -> dict[str, Any]:
        """Return it as `result.json` has it."""
        data: dict[str, Any] = {"digest": self.digest, "mutants": self.mutants}
        data["killed"] = len(self.killed)
        if self.timed_out:
            data["timed_out"] = sorted(self.timed_out)
        if self.unchecked:
            data["unchecked"] = sorted(self.unchecked)
        if self.survived:
            data["survived"] = {str(key): self.survived[key] for key in sorted(self.survived)}
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return what `result.json` has; raises ValueError where its numbers do not fit."""
        function = cls(
            data["digest"],
            data["mutants"],
            {int(key): text for key, text in data.get("survived", {}).items()},
            frozenset(data.get("timed_out", ())),
            frozenset(data.get("unchecked", ())),
        )
        if len(function.killed) != data["killed"]:
            raise ValueError("killed, survived and unchecked do not add up")
        return function


type Functions = dict[str, dict[str, Function]]
"""By file, relative to the library, and by name: `name` or `Class.name`."""


@dataclass(slots=True)
class Result:
    """What became of all mutants."""

    tool: str
    files: Functions = field(default_factory=dict)

    def functions(self) -> Iterator[tuple[str, str, Function]]:
        """Yield file, name and outcome of each function."""
        for file, functions in self.files.items():
            for name, function in functions.items():
                yield file, name, function

    @property
    def total(self) -> int:
        """Number of all mutants."""
        return sum(function.mutants for _, _, function in self.functions())

    @property
    def killed(self) -> int:
        """Number of those that a test saw."""
        return sum(len(function.killed) for _, _, function in self.functions())

    @property
    def unchecked(self) -> int:
        """Number of those that were not run yet."""
        return sum(len(function.unchecked) for _, _, function in self.functions())

    @property
    def percent(self) -> float:
        """Share of the killed among all."""
        return 100 * self.killed / self.total if self.total else 0.0

    def survivors(self) -> Iterator[str]:
        """Yield `file function: old → new` of each survivor."""
        for file, name, function in self.functions():
            for change in function.survived.values():
                yield f"{file} {name}: {change}"

    def dump(self) -> str:
        """Return the text of `result.json`: one line for each function."""
        files = []
        for file, functions in sorted(self.files.items()):
            lines = [
                f"   {json.dumps(name)}: {json.dumps(function.as_json(), ensure_ascii=False)}"
                for name, function in sorted(functions.items())
            ]
            if lines:
                files.append(f"  {json.dumps(file)}: {{\n" + ",\n".join(lines) + "\n  }")
        inner = ",\n".join(files)
        return f'{{\n "tool": {json.dumps(self.tool)},\n "files": {{\n{inner}\n }}\n}}\n'


def read_result(path: Path = RESULT) -> Result:
    """Return the committed result; raises ValueError where it does not add up."""
    data = json.loads(path.read_text(encoding="utf-8"))
    files = {
        file: {name: Function.from_json(told) for name, told in functions.items()}
        for file, functions in data["files"].items()
    }
    return Result(data["tool"], files)


def read_reasons(path: Path = SURVIVORS) -> dict[str, str]:
    """Return the reason of each survivor; raises ValueError where one has two."""
    reasons: dict[str, str] = {}
    for group in tomllib.loads(path.read_text(encoding="utf-8")).get("group", []):
        for mutant in group["mutants"]:
            if mutant in reasons:
                raise ValueError(f"two reasons for {mutant}")
            reasons[mutant] = group["reason"]
    return reasons


def complaints(result: Result, reasons: dict[str, str]) -> Iterator[str]:
    """Yield what keeps a result from being good."""
    if result.unchecked:
        yield f"{result.unchecked} mutants were not run; next: scripts/mutate"
    if result.percent < WANTED_PERCENT:
        yield f"{result.percent:.2f} % killed, at least {WANTED_PERCENT} % wanted"
    survivors = set(result.survivors())
    for survivor in sorted(survivors - reasons.keys()):
        yield f"survived without a reason: {survivor}"
    for mutant in sorted(reasons.keys() - survivors):
        yield f"has a reason but did not survive: {mutant}"
    for mutant, reason in reasons.items():
        if not reason.strip():
            yield f"its reason is empty: {mutant}"
