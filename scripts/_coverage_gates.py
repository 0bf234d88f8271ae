"""Says what the tests covered, and fails where that is less than it must be."""

from dataclasses import dataclass
import json
from pathlib import Path
import subprocess
import sys
from typing import Any

ROOT = Path(__file__).parents[1]
INTEGRATION = "custom_components/hy_heating"


@dataclass(frozen=True, slots=True)
class Gate:
    """So much of the lines, and so much of the branches, of some files must be covered."""

    name: str
    percent: float
    files: tuple[str, ...]

    def verdict(self, totals: dict[str, Any]) -> str | None:
        """Return what is wrong with coverage's totals, None where they are enough."""
        shares = {
            "lines": (totals["covered_lines"], totals["num_statements"]),
            "branches": (totals["covered_branches"], totals["num_branches"]),
        }
        if not totals["num_statements"]:
            return f"{self.name}: nothing was measured"
        short = [
            f"{100 * covered / number:.2f} % of the {what}"
            for what, (covered, number) in shares.items()
            if covered * 100 < self.percent * number
        ]
        return f"{self.name}: only {' and '.join(short)}, not {self.percent:g} %" if short else None


GATES = (
    Gate("the integration", 98, (f"{INTEGRATION}/*",)),
    Gate("the flows", 100, (f"{INTEGRATION}/config_flow.py", f"{INTEGRATION}/flow_*.py")),
    Gate("the library hyheat", 100, (f"{INTEGRATION}/hyheat/*",)),
)


def _coverage(command: str, gate: Gate, *options: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "coverage", command, f"--include={','.join(gate.files)}", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return run.stdout


def main() -> int:
    """Judge what the last run of the tests has covered; return the exit status."""
    failed = False
    for gate in GATES:
        totals = json.loads(_coverage("json", gate, "--quiet", "-o", "-"))["totals"]
        wrong = gate.verdict(totals)
        if wrong is None:
            reached = f"{totals['percent_covered']:.2f} % (at least {gate.percent:g} %)"
            print(f"coverage: {gate.name}: {reached}")
            continue
        failed = True
        print(_coverage("report", gate), file=sys.stderr)
        print(
            f"coverage: failed: {wrong}; next: test the lines and branches listed above",
            file=sys.stderr,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
