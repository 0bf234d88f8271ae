"""Explain frames and messages of the gateways on the command line."""

from importlib import import_module
import sys

import _hyheat


def main() -> int:
    """Hand the arguments to the library's command line."""
    _hyheat.load()
    status = import_module("hyheat.cli").main(sys.argv[1:])
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
