"""Makes `custom_components.hy_heating.hyheat` importable without Home Assistant.

The package is loaded by its place, under its ordinary name: Python then never imports the
packages above it, which need Home Assistant. Whoever imports the integration afterwards, or has
imported it before, gets the same modules and so the same classes, and every other module of the
simulator writes ordinary imports that a type checker understands.
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys

NAME = "custom_components.hy_heating.hyheat"
_FOLDER = Path(__file__).resolve().parent.parent.joinpath(*NAME.split("."))


def load() -> None:
    """Put the library under its name, unless it is there; raises ImportError where it is not."""
    if NAME in sys.modules:
        return
    spec = spec_from_file_location(
        NAME, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no library at {_FOLDER}")
    module = module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


load()
