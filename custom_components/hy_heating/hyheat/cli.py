"""The command line of `explain`: arguments, text and colors (scripts/decode).

May import: standard library, envelope, explain, fields.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
import io
import json
import os
import sys
from typing import BinaryIO, TextIO

from .envelope import Stat
from .explain import (
    MAX_LENGTH,
    Explained,
    ExplainedFrame,
    ExplainedMessage,
    Note,
    Refusal,
    explain,
)
from .fields import Grade

_HOW_TO_REPORT = """\
The frame is sound, but nothing that is known fits it. To have it understood, open an issue at
https://github.com/hy-heating/hy_heating/issues with this whole output, and say what the device
is and what it shows on its display."""

_DESCRIPTION = """\
Explain frames (CJ/T 188) and messages (JSON) of HY heating gateways: each byte with its
offset, meaning, value and grade. A damaged frame is shown with the place of the damage,
and nothing is read from it.
"""

_EPILOG = """\
A hex string may hold preamble bytes, junk around the frames and several frames; upper or
lower case, with or without white space. A message may go to or come from a gateway.

A value stands beside the first of its bytes, a ditto mark (") beside the others.

Offsets count bytes from 0: of the hex string that a frame stands in, also inside a
message. Where there are no bytes (errors hex and json) they count characters.

Grades: A shown by the vendor's note or by captured frames, B by the standard, C inferred,
D unidentified. They are explained in docs/PROTOCOL.md.

With --json there is one object a line for each frame and for each input that was refused,
and one for a message without frames:
  {"ok":true,"device":..,"meter_number":..,"control":..,"di":..,"fields":{..},"bytes":[..]}
  {"ok":true,"msg_id":..,"gateway_id":..,"fields":{..}}
  {"ok":false,"error":..,"offset":..,"expected":..,"found":..}
An unknown value is null, and so is the offset of an error whose place is not known.
Errors: hex, start, length, end, checksum, layout (a sound frame of an unknown device or
layout), json (no message of a gateway).

Exit status: 0 when everything was good, 1 when something was refused, 2 for wrong usage.

Colors are used on a terminal, unless NO_COLOR is set.

examples:
  scripts/decode 6853232273100011118404A01900321816
  scripts/decode FE FE FE FE 68 53 23 22 73 10 00 11 11 01 03 90 1F 00 58 16
  scripts/decode '{"gw":{"msg_id":18,"msg_gw_pr":0,"gw_id":"02345678903"},"data":{"stat":2}}'
  scripts/decode - < frames.txt
  mosquitto_sub -h broker -t 'hy/gw/set/02345678903' | scripts/decode --json -
"""

_RED, _BOLD = "1;31", "1"
_GRADE_COLORS = {
    Grade.SHOWN: "32",
    Grade.STANDARD: "36",
    Grade.INFERRED: "33",
    Grade.UNIDENTIFIED: "90",
}
_EXCERPT = 36
_DIGITS_OF_A_BYTE = 2

type _Paint = Callable[[str, str], str]


def main(argv: Sequence[str]) -> int:
    """Explain what the arguments hold and return the exit status.

    Raises SystemExit for --help and for wrong usage.
    """
    options = _parser().parse_args(argv)
    output = sys.stdout
    if isinstance(output, io.TextIOWrapper):
        output.reconfigure(errors="backslashreplace")  # it may have no way to write m³
    show = _print_json if options.json else _print_text
    good = True
    try:
        for text in _inputs(options.input):
            for explained in explain(text):
                good &= explained.good
                show(explained, output)
            output.flush()
    except OSError as err:
        if not isinstance(err, BrokenPipeError):  # that only means that nobody reads on
            sys.stderr.write(f"scripts/decode: {err}\n")
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/decode",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.add_argument(
        "input",
        nargs="+",
        metavar="HEX|JSON|-",
        help="frames in hex, a message in JSON, or - for one of them a line from standard input",
    )
    return parser


def _inputs(arguments: list[str]) -> Iterator[str]:
    if len(arguments) > 1 and max(map(len, arguments)) <= _DIGITS_OF_A_BYTE:
        yield " ".join(arguments)  # hex written byte by byte, without quotes
        return
    for argument in arguments:
        if argument == "-":
            yield from _lines(sys.stdin.buffer)
        else:
            yield argument


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yield each line that is not empty; of one that is too long, a little more than allowed."""
    while line := stream.readline(MAX_LENGTH + 1):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LENGTH)):
            pass
        if line.strip():
            yield line.rstrip(b"\r\n").decode(errors="surrogateescape")


def _print_json(explained: Explained, output: TextIO) -> None:
    lines = (json.dumps(part, separators=(",", ":")) for part in explained.as_json())
    output.writelines(f"{line}\n" for line in lines)


def _print_text(explained: Explained, output: TextIO) -> None:
    paint = _painter(output)
    output.writelines(f"{line}\n" for line in _text(explained, paint))
    output.write("\n")


def _painter(output: TextIO) -> _Paint:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not output.isatty()
    return lambda text, color: text if plain or not color else f"\x1b[{color}m{text}\x1b[0m"


def _text(explained: Explained, paint: _Paint) -> Iterator[str]:
    match explained:
        case ExplainedFrame():
            yield paint(_title(explained), _BOLD)
            yield from _table(explained.notes, paint)
        case ExplainedMessage():
            title = f"msg_id {explained.msg_id}, {explained.name}, gateway {explained.gateway_id}"
            yield paint(title, _BOLD)
            width = max(map(len, explained.fields), default=0)
            for key, value in explained.fields.items():
                yield f"  {key:{width}}  {_value(value)}"
            for frame in explained.frames:
                yield ""
                yield from _text(frame, paint)
        case _:  # a Refusal
            yield from _refused(explained, paint)


def _title(frame: ExplainedFrame) -> str:
    codes = f"C={frame.control:02X}" + ("" if frame.di is None else f", DI={frame.di:04X}")
    return f"{frame.device} {frame.meter_number}: {frame.meaning or 'error reply'} ({codes})"


def _refused(refusal: Refusal, paint: _Paint) -> Iterator[str]:
    where = "" if refusal.offset is None else f" at offset {refusal.offset}"
    yield paint(f"refused: {refusal.error}{where}", _RED)
    damage = f"expected {refusal.expected}, found {refusal.found}"
    if refusal.notes:
        yield from _table(refusal.notes, paint, refusal.offset, damage)
    else:
        yield from _excerpt(refusal.source, refusal.offset, damage, paint)
    if refusal.error == "layout":
        yield _HOW_TO_REPORT


def _table(
    notes: Sequence[Note], paint: _Paint, offset: int | None = None, damage: str = ""
) -> Iterator[str]:
    """Yield one row a byte, and below the damaged one a mark with what is wrong."""
    names = max(len(note.name) for note in notes)
    values = max(len(_shown(note)) for note in notes)
    yield f"offset  hex  {'meaning':{names}}  {'value':{values}}  grade"
    mark = paint(f"        ^^   {damage}", _RED)
    for note in notes:
        color = _GRADE_COLORS[note.grade] if note.grade else ""
        row = f"{note.name:{names}}  {_shown(note):{values}}  {note.grade or ''}".rstrip()
        yield f"{note.offset:6}  {note.byte:02X}   {paint(row, color)}"
        if note.offset == offset:
            yield mark
    if offset is not None and offset > notes[-1].offset:
        yield mark


def _excerpt(source: str, offset: int | None, damage: str, paint: _Paint) -> Iterator[str]:
    """Yield the text around a place, with a mark below it."""
    place = offset or 0
    begin = max(0, place - _EXCERPT)
    part = source[begin : place + _EXCERPT]
    yield "  " + "".join(char if char.isprintable() else "?" for char in part)
    mark = "" if offset is None else " " * (place - begin) + "^ "
    yield "  " + paint(mark + damage, _RED)


def _shown(note: Note) -> str:
    """Return a byte's value; a ditto mark where it is that of the byte before."""
    if note.grade in {None, Grade.UNIDENTIFIED}:
        return ""
    if note.continued:
        return '"'
    return "unknown" if note.value is None else f"{note.value} {note.unit}".rstrip()


def _value(value: object) -> str:
    match value:
        case None:
            return "unknown"
        case Stat():
            return f"{value}, {value.name.lower()}"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)
