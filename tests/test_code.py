"""What the code says of itself: docstrings, sources of wire facts, why a type is unchecked."""

import ast
from collections.abc import Iterator
from pathlib import Path
import re
import tokenize

import pytest

ROOT = Path(__file__).parent.parent
INTEGRATION = ROOT / "custom_components" / "hy_heating"
HYHEAT = INTEGRATION / "hyheat"
PYTHON = [
    path
    for folder in ("custom_components", "simulator", "scripts", "tests")
    for path in sorted((ROOT / folder).rglob("*.py"))
]

type Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# The modules that state facts of the wire, and the sections of docs/PROTOCOL.md they come from.
WIRE = {
    "frame.py": {3},
    "fields.py": {3, 4, 5},
    "model.py": {3},
    "envelope.py": {2},
    "explain.py": {2, 3, 6},
    "session.py": {6},
    "devices/__init__.py": {3, 4, 5, 6},
    "devices/spec.py": {3, 6},
    "devices/cabinet.py": {4},
    "devices/household_valve.py": {5},
}


# --- Docstrings --------------------------------------------------------------------------------


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Yield what of a module is public and has no docstring."""
    if not ast.get_docstring(tree):
        yield "the module"
    yield from _undocumented_in(tree, "")


def _undocumented_in(parent: ast.Module | ast.ClassDef, where: str) -> Iterator[str]:
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_") and not _is_magic(node):
            continue
        if not ast.get_docstring(node) and not _is_documented_elsewhere(node):
            yield f"{where}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented_in(node, f"{where}{node.name}.")


def _is_magic(node: Documented) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == "__post_init__"


def _is_documented_elsewhere(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it overrides what has a docstring, or is one form of a function that has."""
    marks = {
        mark.attr if isinstance(mark, ast.Attribute) else getattr(mark, "id", "")
        for mark in node.decorator_list
    }
    return bool(marks & {"override", "overload", "setter"})


@pytest.mark.parametrize(
    "path",
    sorted(INTEGRATION.rglob("*.py")),
    ids=lambda path: str(path.relative_to(INTEGRATION)),
)
def test_all_that_is_public_is_documented(path: Path) -> None:
    assert list(undocumented(ast.parse(path.read_text()))) == []


def test_what_is_not_documented_is_found() -> None:
    source = '''
class A:
    def f(self): ...
    @override
    def g(self): ...
    def _h(self): ...
    def __post_init__(self): ...
    class B:
        """Said."""
        async def i(self): ...
def _j(): ...
'''
    assert list(undocumented(ast.parse(source))) == [
        "the module",
        "A",
        "A.f",
        "A.__post_init__",
        "A.B.i",
    ]


# --- Facts of the wire -------------------------------------------------------------------------


def cited(docstring: str) -> set[int]:
    """Return the sections of docs/PROTOCOL.md that a docstring names."""
    sections: set[int] = set()
    text = " ".join(docstring.split())
    for found in re.findall(r"docs/PROTOCOL\.md, sections? ([\d, andto]+)", text):
        for begin, end in re.findall(r"(\d+)(?: to (\d+))?", found):
            sections |= set(range(int(begin), int(end or begin) + 1))
    return sections


def states_codes(path: Path) -> bool:
    """Whether a module has numbers in hex: codes and masks of the wire."""
    with path.open("rb") as file:
        return any(
            token.type == tokenize.NUMBER and token.string.lower().startswith("0x")
            for token in tokenize.tokenize(file.readline)
        )


def test_facts_of_the_wire_have_their_source() -> None:
    document = (ROOT / "docs" / "PROTOCOL.md").read_text()
    known = {int(number) for number in re.findall(r"^## (\d+)\.", document, re.MULTILINE)}
    for name, sections in WIRE.items():
        docstring = ast.get_docstring(ast.parse((HYHEAT / name).read_text())) or ""
        assert cited(docstring) == sections <= known, name


def test_no_other_module_states_codes() -> None:
    stating = {str(path.relative_to(HYHEAT)) for path in HYHEAT.rglob("*.py") if states_codes(path)}
    assert "frame.py" in stating
    assert stating <= WIRE.keys()


@pytest.mark.parametrize(
    ("docstring", "sections"),
    [
        ("Nothing.", set()),
        ("(docs/PROTOCOL.md, section 3)", {3}),
        ("docs/PROTOCOL.md,\nsections 2, 3 and 6.", {2, 3, 6}),
        ("docs/PROTOCOL.md, sections 3 to 5.", {3, 4, 5}),
    ],
)
def test_citations_are_understood(docstring: str, sections: set[int]) -> None:
    assert cited(docstring) == sections


# --- Types that are not checked ----------------------------------------------------------------

# The error's code, and a word of why: an ignore without either hides more than it says.
IGNORE = re.compile(r"# type: ignore\b(.*)")
REASONED = re.compile(r"\[[a-z-]+(?:, [a-z-]+)*\] (?:# )?\w.{3,}")

WHOLE_FILE = re.compile(r"# mypy: [a-z-]+(?:=|$)")


def unreasoned(path: Path) -> Iterator[str]:
    """Yield the lines of a file that keep mypy quiet without saying why."""
    with path.open("rb") as file:
        comments = [
            token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT
        ]
    for comment in comments:
        found = IGNORE.search(comment.string)
        if WHOLE_FILE.search(comment.string) or (
            found and not REASONED.fullmatch(found[1].strip())
        ):
            yield f"{path.name}:{comment.start[0]}"


def test_every_ignored_type_has_its_reason() -> None:
    assert [line for path in PYTHON for line in unreasoned(path)] == []


@pytest.mark.parametrize(
    ("comment", "found"),
    [
        ("# type: ignore", True),
        ("# type: ignore[arg-type]", True),
        ("# type: ignore # it is so", True),
        ("# type: ignore[arg-type] # it is so", False),
        ("# type: ignore[arg-type, misc] # it is so", False),
        ("# mypy: ignore-errors", True),
        ("# a type to ignore", False),
    ],
)
def test_an_ignored_type_without_reason_is_found(tmp_path: Path, comment: str, found: bool) -> None:
    (tmp_path / "a.py").write_text(f"x = 1  {comment}\n")
    assert list(unreasoned(tmp_path / "a.py")) == (["a.py:1"] if found else [])
