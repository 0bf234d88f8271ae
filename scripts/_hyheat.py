"""Load the library hyheat without Home Assistant.

Importing it as `custom_components.hy_heating.hyheat` would run the integration's `__init__`, which
needs Home Assistant; putting the integration's folder on `sys.path` would let its `select.py` stand
in for the standard module. So the package is loaded by its place, under the name `hyheat`.
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType

PACKAGE = Path(__file__).parents[1] / "custom_components" / "hy_heating" / "hyheat"


def load() -> ModuleType:
    """Return the package; afterwards `import hyheat.frame` and the like work too."""
    if (loaded := sys.modules.get("hyheat")) is not None:
        return loaded
    spec = spec_from_file_location(
        "hyheat", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {PACKAGE}")
    module = module_from_spec(spec)
    sys.modules["hyheat"] = module
    spec.loader.exec_module(module)
    return module
