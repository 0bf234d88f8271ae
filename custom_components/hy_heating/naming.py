"""Names and areas of meters: from a table that a person has, and from a pattern of theirs.

Pure text: no registries in here.
"""

from collections.abc import Mapping, Sequence
import csv
from dataclasses import dataclass
import io
import re

MAX_NAME = 255
"""Longer names are a table in the wrong columns."""
_DELIMITERS = (",", ";", "\t")
_COLUMNS: Mapping[str, Sequence[str]] = {
    "number": ("meter number", "meter", "number", "serial number", "表号", "仪表表号", "仪表"),
    "name": ("name", "名称"),
    "area": ("area", "区域"),
}
"""What a column may be called, in any case, with underscores or blanks."""
_NUMBER = re.compile(r"[0-9A-F]{8}")
_FIELD = re.compile(r"\{(\w*)\}")


class TableError(Exception):
    """A table that cannot be read at all; `key` names the reason, `detail` says more."""

    def __init__(self, key: str, detail: str = "") -> None:
        """Keep both."""
        super().__init__(key, detail)
        self.key = key
        self.detail = detail


@dataclass(frozen=True, slots=True)
class NameRow:
    """A line of the table: what is blank is "", `number` is as typed where it is no number."""

    line: int
    number: str
    name: str
    area: str

    @property
    def problem(self) -> str | None:
        """Why it is no line to follow, None where it is."""
        if not _NUMBER.fullmatch(self.number):
            return "no_meter_number"
        if not self.name and not self.area:
            return "nothing_to_set"
        return "too_long" if max(len(self.name), len(self.area)) > MAX_NAME else None


def read_table(text: str) -> list[NameRow]:
    """Return the lines of a table with a header; columns apart by comma, semicolon or tab.

    Raises TableError where it has no column of meter numbers, or where quotes do not close.
    """
    text = text.removeprefix("\ufeff")
    begin = next((index for index, line in enumerate(text.splitlines()) if line.strip()), 0)
    lines = text.splitlines(keepends=True)[begin:]
    found = [(delimiter, _header(lines, delimiter)) for delimiter in _DELIMITERS]
    delimiter, header = max(found, key=lambda each: len(each[1]))
    if "number" not in header:
        raise TableError("table_without_numbers")
    reader = csv.reader(io.StringIO("".join(lines), newline=""), delimiter=delimiter, strict=True)
    rows: list[NameRow] = []
    last = begin
    try:
        for cells in reader:
            # A quoted cell may hold line breaks: a row is at the line where it begins.
            line, last = last + 1, begin + reader.line_num
            if line > begin + 1 and any(cell.strip() for cell in cells):
                rows.append(_row(line, cells, header))
    except csv.Error as err:
        raise TableError("table_unreadable", f"{begin + reader.line_num}: {err}") from err
    return rows


def _header(lines: Sequence[str], delimiter: str) -> dict[str, int]:
    """Return where the columns are, as far as they are known."""
    cells = next(csv.reader(lines[:1], delimiter=delimiter), [])
    named = [" ".join(cell.replace("_", " ").casefold().split()) for cell in cells]
    columns: dict[str, int] = {}
    for column, names in _COLUMNS.items():
        for name in names:
            if name in named:
                columns.setdefault(column, named.index(name))
    return columns


def _row(line: int, cells: Sequence[str], header: Mapping[str, int]) -> NameRow:
    def cell(column: str) -> str:
        index = header.get(column, len(cells))
        return " ".join(cells[index].split()) if index < len(cells) else ""

    return NameRow(line, cell("number").upper(), cell("name"), cell("area"))


class NamePattern:
    """How a site names its meters, and what area follows from a name.

    `{building}-{unit}-{flat}` with the area `{building}, {unit}` puts 3-2-501 into "3, 2".
    """

    def __init__(self, pattern: str, area: str) -> None:
        """Take both; raises ValueError with the faulty one of `pattern` and `area`."""
        fields = _FIELD.findall(pattern)
        literals = _FIELD.split(pattern)[2:-1:2]
        if (
            not fields
            or len(set(fields)) != len(fields)
            or not all(field.isidentifier() for field in fields)
            or not all(literals)
            or set("{}") & set(_FIELD.sub("", pattern))
        ):
            raise ValueError("pattern")
        wanted = _FIELD.findall(area)
        if not wanted or not set(wanted) <= set(fields) or set("{}") & set(_FIELD.sub("", area)):
            raise ValueError("area")
        parts = _FIELD.split(pattern)
        self._regex = re.compile(
            "".join(
                f"(?P<{part}>.+?)" if index % 2 else re.escape(part)
                for index, part in enumerate(parts)
            )
        )
        self._area = area

    def area(self, name: str) -> str | None:
        """Return the area of a meter by its name, None where the name does not fit."""
        found = self._regex.fullmatch(name)
        return self._area.format(**found.groupdict()) if found else None
