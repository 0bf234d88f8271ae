"""What the fault tests measured, in tables that the run prints at its end."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
import os

import pytest

LONG = os.environ.get("HY_HEATING_FAULTS") == "long"
"""Whether the durations are those of docs/RELIABILITY.md, as in scripts/faults."""
only_long = pytest.mark.skipif(not LONG, reason="takes too long for every change: scripts/faults")


@dataclass
class Figures:
    """Tables by title; a table has rows by name, and a row has values by column."""

    tables: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)

    def add(self, table: str, row: str, columns: Mapping[str, object]) -> None:
        """Add or complete a row."""
        rows = self.tables.setdefault(table, {})
        rows.setdefault(row, {}).update({name: _text(each) for name, each in columns.items()})

    def lines(self) -> Iterator[str]:
        """Yield the tables in Markdown."""
        for title, rows in self.tables.items():
            columns = list(dict.fromkeys(name for row in rows.values() for name in row))
            yield from ("", title, "", _line([title.lower(), *columns]))
            yield _line(["---"] * (len(columns) + 1))
            for name, row in rows.items():
                yield _line([name, *(row.get(column, "") for column in columns)])


def _text(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
