"""Counts what Python executes: the same in every run, however busy the machine is."""

from collections.abc import Callable, Collection
import sys
from types import FrameType
from typing import Any


class Opcodes:
    """Counts the instructions of the interpreter below functions of some names."""

    def __init__(self, roots: Collection[str]) -> None:
        """Begin with none."""
        self._roots = roots
        self._depth = 0
        self.count = 0
        self.entered = 0

    def begin(self) -> None:
        """Count in this thread from now on."""
        sys.settrace(self._called)

    @staticmethod
    def end() -> None:
        """Count no more."""
        sys.settrace(None)

    def _called(self, frame: FrameType, _event: str, _what: object) -> Callable[..., Any] | None:
        if self._depth == 0:
            if frame.f_code.co_name not in self._roots:
                return None
            self.entered += 1
        self._depth += 1
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._happened

    def _happened(self, _frame: FrameType, event: str, _what: object) -> Callable[..., Any]:
        if event == "opcode":
            self.count += 1
        elif event == "return":
            self._depth -= 1
        return self._happened

    @property
    def each(self) -> float:
        """Instructions for each time that a root was entered."""
        return self.count / self.entered
