"""Runs a command that must not outlive whoever started this: it ends when standard input closes.

Started as `python leash.py SECONDS COMMAND...`; the command is asked to end (SIGTERM) and, if it
is still there after so many seconds, made to (SIGKILL). Needs only the standard library.
"""

import os
import signal
import subprocess
import sys
import threading
from types import FrameType


def main() -> int:
    """Run the command; return its exit status."""
    grace_s, command = float(sys.argv[1]), sys.argv[2:]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end(_number: int, _frame: FrameType | None) -> None:
        child.terminate()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    threading.Thread(target=_end_with_input, args=(child, grace_s), daemon=True).start()
    return child.wait()


def _end_with_input(child: subprocess.Popen[bytes], grace_s: float) -> None:
    while os.read(0, 1024):
        pass
    child.terminate()
    try:
        child.wait(grace_s)
    except subprocess.TimeoutExpired:
        child.kill()


if __name__ == "__main__":
    sys.exit(main())
