"""The gates of the coverage hold, and fail where they must."""

from fnmatch import fnmatch
from pathlib import Path

from _coverage_gates import GATES, INTEGRATION, ROOT, Gate
import pytest

GATE = Gate("some files", 98, ("a.py",))


def totals(lines: tuple[int, int], branches: tuple[int, int]) -> dict[str, int]:
    return {
        "covered_lines": lines[0],
        "num_statements": lines[1],
        "covered_branches": branches[0],
        "num_branches": branches[1],
    }


@pytest.mark.parametrize(
    ("lines", "branches", "wrong"),
    [
        ((98, 100), (49, 50), None),
        ((100, 100), (0, 0), None),  # a file without branches
        ((97, 100), (50, 50), "some files: only 97.00 % of the lines, not 98 %"),
        ((100, 100), (979, 1000), "some files: only 97.90 % of the branches, not 98 %"),
        ((1, 2), (1, 4), "only 50.00 % of the lines and 25.00 % of the branches"),
        ((0, 0), (0, 0), "some files: nothing was measured"),
    ],
)
def test_lines_and_branches_both_count(
    lines: tuple[int, int], branches: tuple[int, int], wrong: str | None
) -> None:
    found = GATE.verdict(totals(lines, branches))
    assert (found is None) if wrong is None else (found is not None and wrong in found)


def test_every_module_is_behind_a_gate() -> None:
    modules = [str(path.relative_to(ROOT)) for path in (ROOT / INTEGRATION).rglob("*.py")]
    assert modules
    for gate in GATES:
        assert any(fnmatch(module, pattern) for module in modules for pattern in gate.files)
    whole = next(gate for gate in GATES if gate.name == "the integration")
    assert all(any(fnmatch(module, pattern) for pattern in whole.files) for module in modules)
    flows = next(gate for gate in GATES if gate.name == "the flows")
    named = {Path(m).name for m in modules if any(fnmatch(m, p) for p in flows.files)}
    assert named >= {"config_flow.py", "flow_broker.py", "flow_listen.py", "flow_options.py"}
