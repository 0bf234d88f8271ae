"""What a Home Assistant log complains about, beyond what it always says here."""

from collections.abc import Iterator
from dataclasses import dataclass
import re

_RECORD = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ (?P<level>[A-Z]+) \([^)]*\) \[(?P<logger>[^]]+)\] "
)
_COMPLAINTS = {"WARNING", "ERROR", "CRITICAL"}

_ALWAYS_SAID = tuple(
    re.compile(pattern)
    for pattern in (
        # Home Assistant's standing notice about custom integrations.
        r"\[homeassistant\.loader\] We found a custom integration hy_\w+ which has not",
        # We start it so, because everything is installed and pinned already.
        r"\[homeassistant\.bootstrap\] Skipping pip installation of required modules",
        # Optional accelerators that are not installed.
        r"\[aiohttp_fast_zlib\] zlib_ng and isal are not available",
    )
)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One entry of a log, with its traceback or other further lines."""

    level: str
    logger: str
    text: str


def records(log: str) -> Iterator[LogRecord]:
    """Yield the entries of a log; lines before the first one are one of level RAW."""
    level, logger, lines = "RAW", "", list[str]()
    for line in log.splitlines():
        if match := _RECORD.match(line):
            if lines:
                yield LogRecord(level, logger, "\n".join(lines))
            level, logger, lines = match["level"], match["logger"], []
        lines.append(line)
    if lines:
        yield LogRecord(level, logger, "\n".join(lines))


def complaints(log: str, expected: tuple[str, ...] = ()) -> list[LogRecord]:
    """Return the warnings and errors of a log but the standing ones.

    `expected` are regular expressions of what a test caused on purpose.
    """
    known = (*_ALWAYS_SAID, *(re.compile(pattern) for pattern in expected))
    return [
        record
        for record in records(log)
        if record.level in _COMPLAINTS and not any(pattern.search(record.text) for pattern in known)
    ]
