"""Many seeds, on all processors; `scripts/simulate --seeds N` starts it."""

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
import multiprocessing
import os
import sys
import time

from .world import Outcome, run_seed

_SHOWN_FAILURES = 5
_CHUNK = 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        usage="scripts/simulate --seeds N [--start S] [--jobs J] [--trace]",
        description="Plays seeds: clients, link and virtual gateways on a virtual clock, with "
        "messages lost, duplicated, delayed, reordered and corrupted, and both sides restarted. "
        "docs/RELIABILITY.md says what must hold.",
        epilog="exit status: 0 if all seeds passed, 1 if one failed, 2 for options that make no "
        "sense. The last line is 'N passed, N failed'.",
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", type=_positive, required=True, metavar="N", help="how many")
    parser.add_argument("--start", type=int, default=0, metavar="S", help="the first one (0)")
    parser.add_argument(
        "--jobs", type=_positive, default=os.cpu_count() or 1, metavar="J", help="processes (all)"
    )
    parser.add_argument("--trace", action="store_true", help="print everything that happens")
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


@contextmanager
def _outcomes(options: argparse.Namespace) -> Iterator[Iterator[Outcome]]:
    """Return the outcomes as they come, in order of their seeds."""
    seeds = range(options.start, options.start + options.seeds)
    play = partial(run_seed, keep_trace=options.trace)
    if min(options.jobs, options.seeds) == 1:
        yield map(play, seeds)
        return
    with multiprocessing.get_context("forkserver").Pool(options.jobs) as pool:
        yield pool.imap(play, seeds, chunksize=_CHUNK)


def report(outcome: Outcome) -> str:
    """Return a failed seed with its trace and the command that repeats it."""
    lines = [f"seed {outcome.seed} failed:"]
    lines += [f"  {violation}" for violation in outcome.violations]
    lines += ["the last events until then (seconds, what, where):", *outcome.trace]
    lines += [f"again: scripts/simulate --seeds 1 --start {outcome.seed} --trace", ""]
    return "\n".join(lines)


def main() -> int:
    """Run the command line and return the exit status."""
    options = _parser().parse_args()
    begun, failed = time.monotonic(), 0
    figures: Counter[str] = Counter()
    with _outcomes(options) as outcomes:
        for outcome in outcomes:
            figures += outcome.figures
            if outcome.violations:
                failed += 1
                if failed <= _SHOWN_FAILURES:
                    _say(report(outcome))
                else:
                    _say(f"seed {outcome.seed} failed: {outcome.violations[0]}")
            elif options.trace:
                _say("\n".join(outcome.trace))
    took_s = time.monotonic() - begun
    for what, number in sorted(figures.items()):
        _say(f"{number:>12}  {what}")
    _say(f"{took_s:.0f} s, {options.seeds / took_s:.1f} seeds a second")
    _say(f"{options.seeds - failed} passed, {failed} failed")
    return 1 if failed else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
