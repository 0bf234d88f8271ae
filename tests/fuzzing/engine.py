"""One process that fuzzes one target: `python -m tests.fuzzing.engine TARGET [OPTION...]`.

Its options are libFuzzer's. Only the product is watched for coverage, so it is imported here, under
the fuzzer's eye, before anything else can.
"""

from contextlib import ExitStack
from importlib import import_module
import os
from pathlib import Path
import sys
import warnings

import atheris

_ROOT = Path(__file__).parents[2]
_PRODUCT = "custom_components.hy_heating"
_WHOLE_WAY = "house"


def _watch(package: str) -> None:
    """Import every module of a package so that its coverage is seen.

    All of them: what Home Assistant imports later would not be watched.
    """
    with atheris.instrument_imports(include=[package], enable_loader_override=False):
        for file in sorted((_ROOT / package.replace(".", "/")).rglob("*.py")):
            name = ".".join(file.relative_to(_ROOT).with_suffix("").parts)
            import_module(name.removesuffix(".__init__"))


def main() -> None:
    """Fuzz until the options say that it is enough, or something is found."""
    name, *options = sys.argv[1:]
    _watch(_PRODUCT if name == _WHOLE_WAY else f"{_PRODUCT}.hyheat")
    # Only now: they import the product.
    from .faults import planted  # noqa: PLC0415
    from .run import LAUNCHER, PLANT  # noqa: PLC0415
    from .targets import TARGETS  # noqa: PLC0415

    warnings.simplefilter("ignore")
    with ExitStack() as stack:
        take = stack.enter_context(TARGETS[name].prepared())
        if os.environ.get(PLANT):
            stack.enter_context(planted(name))
        atheris.Setup([os.environ.get(LAUNCHER, sys.argv[0]), *options], take)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
