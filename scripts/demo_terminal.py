"""How the demo talks to its user: lively on a terminal, plain lines anywhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
import os
import sys
import time

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_S = 0.1
_WORTH_TELLING_S = 1.0
_WIDTH = 62  # columns of the text before the seconds
_CLEAR = "\r\x1b[2K"


class Step:
    """One step under way; `text` may change meanwhile."""

    def __init__(self, text: str) -> None:
        """Begin now."""
        self.text = text
        self._begun = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """How long it takes so far."""
        return time.monotonic() - self._begun


class Terminal:
    """Standard output and standard error of a program that a person started."""

    def __init__(self) -> None:
        """Find out whether a person looks at it."""
        self.lively = sys.stdout.isatty() and os.environ.get("TERM") not in {None, "", "dumb"}
        self._colored = self.lively and "NO_COLOR" not in os.environ

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, flush=True)

    def fail(self, cause: str, next_step: str) -> None:
        """Say what went wrong and what to do."""
        print(f"demo: failed: {cause}\ndemo: next: {next_step}", file=sys.stderr, flush=True)

    def strong(self, text: str) -> str:
        """Return a text that stands out where it can."""
        return self._styled("1", text)

    @asynccontextmanager
    async def step(self, text: str) -> AsyncIterator[Step]:
        """Show that something is under way, then that it is done or that it failed."""
        step = Step(text)
        if not self.lively:
            self.say(f"demo: {text}")
            yield step
            if step.elapsed_s >= _WORTH_TELLING_S:
                self.say(f"demo:   done in {step.elapsed_s:.0f} s")
            return
        spinner = asyncio.create_task(self._spin(step))
        mark = self._styled("31", "✗")
        try:
            yield step
            mark = self._styled("32", "✓")
        except asyncio.CancelledError:
            mark = self._styled("2", "–")
            raise
        finally:
            spinner.cancel()
            await asyncio.gather(spinner, return_exceptions=True)
            print(f"{_CLEAR}  {mark} {self._line(step)}", flush=True)

    async def _spin(self, step: Step) -> None:
        for sign in cycle(_SPINNER):
            print(f"{_CLEAR}  {self._styled('36', sign)} {self._line(step)}", end="", flush=True)
            await asyncio.sleep(_FRAME_S)

    def _line(self, step: Step) -> str:
        if step.elapsed_s < _WORTH_TELLING_S:
            return step.text
        return f"{step.text:<{_WIDTH}} {self._styled('2', f'{step.elapsed_s:.0f} s')}"

    def _styled(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self._colored else text
