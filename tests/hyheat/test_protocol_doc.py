"""docs/PROTOCOL.md says what the code does: its tables, frames and payloads are compared."""

from collections.abc import Iterator
from pathlib import Path
import re

import pytest

from custom_components.hy_heating.hyheat.devices import (
    CABINET,
    DEVICES,
    HOUSEHOLD_VALVE,
    DeviceSpec,
)
from custom_components.hy_heating.hyheat.envelope import decode
from custom_components.hy_heating.hyheat.explain import explain
from custom_components.hy_heating.hyheat.fields import (
    ENERGY,
    POWER,
    VOLUME,
    VOLUME_FLOW_RATE,
    quantity,
)
from custom_components.hy_heating.hyheat.frame import parse
from tests.vectors import MESSAGES, VALID_FRAMES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "PROTOCOL.md").read_text(encoding="utf-8")
SECTIONS = {
    match[1]: part
    for part in re.split(r"(?m)^(?=#{2,3} [0-9])", TEXT)
    if (match := re.match(r"#{2,3} ([0-9.]+[0-9]|[0-9])", part))
}


def cells(section: str, header: str) -> Iterator[list[str]]:
    """Yield the rows of the table with a header that begins as given, without code marks."""
    lines = SECTIONS[section].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(header))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def blocks(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", TEXT)


def values_in_hex(part: str) -> list[str]:
    """Return what stands as code and could be a whole frame."""
    return re.findall(r"`((?:FE)*68[0-9A-F]{22,})`", part)


@pytest.mark.parametrize(
    ("section", "spec", "samples"),
    [("4", CABINET, ("report",)), ("5", HOUSEHOLD_VALVE, ("report A", "report C"))],
)
def test_layout_tables(section: str, spec: DeviceSpec, samples: tuple[str, ...]) -> None:
    rows = list(cells(section, "| offset | bytes | key |"))
    assert [(int(row[0]), int(row[1]), row[2].removeprefix("–"), row[-1]) for row in rows] == [
        (row.offset, row.width, row.key, row.grade) for row in spec.layout.fields
    ]
    for column, name in enumerate(samples, 3):
        sample = next(sample for sample in spec.samples if sample.name == name)
        assert "".join(row[column] for row in rows) == parse(sample.hex).payload.hex().upper()


@pytest.mark.parametrize(("section", "spec"), [("4", CABINET), ("5", HOUSEHOLD_VALVE)])
def test_codes_of_a_report(section: str, spec: DeviceSpec) -> None:
    head = SECTIONS[section]
    length, size = spec.layout.size + 3, spec.layout.size
    assert f"T=`{spec.type_code:02X}`, C=`81`, DI=`901F`, L=`{length:02X}`: {size} bytes" in head


def test_unit_codes() -> None:
    quantities = (ENERGY, VOLUME, VOLUME_FLOW_RATE, POWER)
    written = {}
    for code, name, one, unit in cells("3.1", "| code | unit |"):
        number, _, given = one.partition(" ")
        assert given == unit
        written[int(code, 16)] = (name, unit, float(number))
    assert written == {
        code: (
            unit.name,
            of.unit,
            quantity(of, written_as=code).decode(bytes((1, 0, 0, 0, code))),
        )
        for of in quantities
        for code, unit in of.codes.items()
    }


def test_control_codes() -> None:
    rows = {row[0]: (row[1], row[2]) for row in cells("3", "| command | reply | error |")}
    moving = [spec.opening for spec in DEVICES.values() if spec.opening]
    used = {f"{command.control:02X}" for command in moving} | {"01"}
    assert rows.keys() == used
    for command, answers in rows.items():
        code = int(command, 16)
        assert answers == (f"{code | 0x80:02X}", f"{code | 0xC0:02X}")


def test_the_checksum_is_worked_out() -> None:
    lines = [line for line in SECTIONS["3"].splitlines() if re.match(r"\| (byte|sum) ", line)]
    read, sums = ([cell.strip(" `") for cell in line.split("|")[2:-1]] for line in lines)
    total = 0
    for byte, running in zip(read, sums, strict=True):
        total += int(byte, 16)
        assert running == f"{total:02X}"
    (block,) = [block for block in blocks("hex") if "51 16" in block]
    assert "".join(block.split())[:-4] == "".join(read)
    assert parse(block).raw[-2] == total % 256 == 0x51


def test_every_frame_is_a_known_one() -> None:
    written = [line.replace(" ", "") for block in blocks("hex") for line in block.splitlines()]
    for section in ("6.1", "6.2", "6.3"):
        written += values_in_hex(SECTIONS[section])
    known = {vector["hex"].lstrip("FE") for vector in VALID_FRAMES}
    missing = "685527100583001111813B901F00"  # the cabinet's second report differs in one byte
    assert {frame.lstrip("FE") for frame in written} == {
        frame for frame in known if not (frame.startswith(missing) and "EA000C" in frame)
    }
    for frame in written:
        assert all(explained.good for explained in explain(frame))


def test_every_payload_is_a_known_one() -> None:
    known = {vector["payload"] for vector in MESSAGES}
    written = [block.strip() for block in blocks("json")]
    assert set(written) <= known
    kinds = {type(decode(payload.encode())) for payload in written}
    assert kinds == {type(decode(payload.encode())) for payload in known}


def test_every_field_of_a_message_is_described() -> None:
    """Each key of each captured message has a row in the tables of section 2."""
    rows = {
        row[0]
        for section, part in SECTIONS.items()
        if section.startswith("2")
        for row in (
            [cell.strip(" `") for cell in line.strip("|").split("|")]
            for line in part.splitlines()
            if line.startswith("| `")
        )
    }
    for vector in MESSAGES:
        keys = set(re.findall(r'"([A-Za-z_]+)":', vector["payload"])) - {"gw", "data"}
        assert keys <= rows, vector["name"]


def test_every_section_that_is_cited_is_there() -> None:
    cited = {
        number
        for folder in ("custom_components", "simulator", "scripts", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for group in re.findall(
            r"PROTOCOL(?:\.md)?[, ]+(?:sections? )?((?:[0-9](?:\.[0-9])?(?:, | to | and )?)+)",
            path.read_text(encoding="utf-8"),
        )
        for number in re.findall(r"[0-9](?:\.[0-9])?", group)
    }
    assert {"2", "3", "4", "5", "6"} <= cited
    assert cited <= SECTIONS.keys()


def test_the_grades_are_explained() -> None:
    grades = [line.split()[1] for line in TEXT.splitlines() if re.match(r"\| [A-D] ", line)]
    assert grades == ["A", "B", "C", "D"]
