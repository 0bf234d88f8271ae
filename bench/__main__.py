"""Runs the benchmark; scripts/bench --help says how."""

import argparse
from collections.abc import Callable
from importlib.metadata import version
import os
from pathlib import Path
import platform
import sys
import time
import traceback

from . import check, commands, decode, latency, path, rows, scale, start
from .document import write_document
from .report import Results

PARTS: dict[str, Callable[[Results], None]] = {
    "decode": decode.run,
    "path": path.run,
    "latency": latency.run,
    "commands": commands.run,
    "start": start.run,
    "rows": rows.run,
    "scale": scale.run,
}


def main() -> int:
    """Run the parts that were asked for.

    Return 1 where a part failed, or a goal was missed and that counts.
    """
    options = _options()
    results = Results(machine=_machine())
    for key, value in results.machine.items():
        print(f"{key}: {value}")
    parts = {"check": check.run} if options.check else PARTS
    failed: list[str] = []
    whole = time.monotonic()
    for name in options.parts or parts:
        begin = time.monotonic()
        print(f"\n{name}", flush=True)
        try:
            parts[name](results)
        except Exception:  # noqa: BLE001 - the other parts are worth their time all the same
            traceback.print_exc()
            failed.append(name)
        print(f"  ({time.monotonic() - begin:.0f} s)")
    if options.write:
        write_document(results)
    if options.json:
        results.save(options.json)
    print(f"\n{len(results.missed)} goals not reached, in {time.monotonic() - whole:.0f} s")
    for figure in results.missed:
        print(f"  {figure.part}: {figure.name}: {' '.join(figure.cells[1:3])}")
    for name in failed:
        print(f"  {name}: failed, see above")
    return 1 if failed or (options.check and results.missed) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--all", action="store_true", help="every part, as without any argument")
    parser.add_argument(
        "--check", action="store_true", help="count instructions only; status 1 past a bound"
    )
    parser.add_argument(
        "--write", action="store_true", help="write tables and plots of these parts into docs/"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


def _machine() -> dict[str, str]:
    names = ("homeassistant", "aiomqtt", "paho-mqtt", "orjson", "sqlalchemy", "pymeterbus")
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "machine": f"{cpu}, {os.cpu_count()} processors, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
        "load": "{:.1f} {:.1f} {:.1f}".format(*os.getloadavg()),
        "command": " ".join(("scripts/bench", *sys.argv[1:])),
    }


if __name__ == "__main__":
    sys.exit(main())
