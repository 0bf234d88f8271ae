"""Who may import whom (docs/ARCHITECTURE.md): walked over every module of the integration.

A module that no row names counts as a wire module inside the library and as a coordinator
outside of it, so that a new one cannot escape.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
import sys

from homeassistant.const import Platform
import pytest

PACKAGE = "custom_components.hy_heating"
ROOT = Path(__file__).parents[1] / "custom_components" / "hy_heating"

PLATFORMS = tuple(platform.value for platform in Platform)
BASE = ("hyheat.errors", "hyheat.model")
WIRE = (
    "hyheat.frame",
    "hyheat.fields",
    "hyheat.devices",
    "hyheat.envelope",
    "hyheat.evidence",
    "hyheat.explain",
    "hyheat.plausibility",
    "hyheat.season",
    "hyheat.water",
)
SESSION = (
    "hyheat.session",
    "hyheat.exchange",
    "hyheat.intake",
    "hyheat.job",
    "hyheat.proof",
    "hyheat.queries",
    "hyheat.recent",
)
TOOLS = ("actions", "diagnostics", "privacy", "repairs", "system_health")
OF_A_PLATFORM = (
    "commands",
    "const",
    "coordinator",
    "entity",
    "errors",
    "identity",
    "meter",
    "runtime",
    "hyheat.model",
    "hyheat.water",
)
HOME_ASSISTANT = ("homeassistant", "voluptuous")


@dataclass(frozen=True)
class Row:
    """What some modules may import: of the integration, and besides the standard library.

    An empty name stands for everything; `not_inside` and `not_outside` are taken from that.
    """

    modules: tuple[str, ...]
    inside: tuple[str, ...]
    outside: tuple[str, ...] = ()
    not_inside: tuple[str, ...] = ()
    not_outside: tuple[str, ...] = ()


ROWS = (
    Row(("hyheat.cli",), (*BASE, *WIRE), not_outside=("asyncio", "importlib", "logging", "time")),
    Row(
        SESSION,
        (*BASE, *WIRE, *SESSION),
        not_outside=("asyncio", "datetime", "importlib", "logging", "time"),
    ),
    Row(
        ("hyheat.client",),
        (*BASE, *WIRE, *SESSION, "hyheat.link"),
        not_outside=("importlib", "time"),
    ),
    Row(("hyheat.link",), ("hyheat.errors",), not_outside=("importlib", "time")),
    Row(("hyheat",), (*BASE, *WIRE), not_outside=("asyncio", "importlib", "logging", "time")),
    Row(
        ("links",),
        ("const", "links", "hyheat.errors", "hyheat.link"),
        ("homeassistant", "aiomqtt", "paho", "certifi"),
    ),
    Row(PLATFORMS, OF_A_PLATFORM, HOME_ASSISTANT),
    Row(TOOLS, (*OF_A_PLATFORM, *BASE, *WIRE, "hyheat.exchange", "privacy"), HOME_ASSISTANT),
    Row(("entity",), OF_A_PLATFORM, HOME_ASSISTANT),
    Row(("__init__",), ("",), (*HOME_ASSISTANT, "cryptography"), PLATFORMS),
    Row(("",), ("",), (*HOME_ASSISTANT, "cryptography"), (*PLATFORMS, "entity")),
)


def within(name: str, places: tuple[str, ...]) -> bool:
    """Whether a module is one of some places or inside of one; "" contains everything."""
    return any(not place or name == place or name.startswith(f"{place}.") for place in places)


def row_of(module: str) -> Row:
    return next(row for row in ROWS if within(module, row.modules))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
MODULES = {f"{PACKAGE}.{name}" for name in (*FILES, *PLATFORMS, *WIRE, *SESSION, *TOOLS)}
PACKAGES = {name for name, path in FILES.items() if path.name == "__init__.py"}


def imported(module: str, source: str) -> Iterator[str]:
    """Yield what a module imports, anywhere in it, by absolute name."""
    here = f"{PACKAGE}.{module}".removesuffix(".__init__").split(".")
    package = here if module in PACKAGES else here[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{origin}.{alias.name}"
                yield name if name in MODULES else origin


def violations(module: str, source: str) -> list[str]:
    """Return what a module imports against its row."""
    return [name for name in imported(module, source) if not allowed(name, row_of(module))]


def allowed(name: str, row: Row) -> bool:
    if within(name, (PACKAGE,)):
        inside = name.removeprefix(PACKAGE).removeprefix(".") or "__init__"
        if inside == "hyheat":
            return True  # it is empty
        return within(inside, row.inside) and not within(inside, row.not_inside)
    root = name.partition(".")[0]
    if root in sys.stdlib_module_names:
        return not within(name, row.not_outside)
    return root in row.outside


def relative_only(source: str) -> bool:
    """Whether a module names its own package only from its own place."""
    return PACKAGE.partition(".")[0] not in {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    }


def clock_readings(source: str) -> list[str]:
    """Return the calls that ask a clock for the time."""
    return [
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"now", "utcnow", "today", "monotonic", "perf_counter"}
    ]


@pytest.mark.parametrize("module", FILES)
def test_every_module_keeps_to_its_row(module: str) -> None:
    assert violations(module, FILES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", [name for name in FILES if within(name, ("hyheat",))])
def test_the_library_is_pure(module: str) -> None:
    source = FILES[module].read_text(encoding="utf-8")
    assert relative_only(source)
    assert clock_readings(source) == []


def test_the_walk_covers_the_tree() -> None:
    assert FILES.keys() >= {"__init__", "hyheat", "hyheat.frame", "hyheat.devices.cabinet", "links"}
    assert {"__init__", "hyheat", "hyheat.devices", "links"} <= PACKAGES
    assert len(FILES) == sum(1 for _ in ROOT.rglob("*.py"))


@pytest.mark.parametrize(
    ("module", "source", "wrong"),
    [
        ("hyheat.frame", "import asyncio", "asyncio"),
        ("hyheat.frame", "def f():\n    import asyncio", "asyncio"),
        ("hyheat.frame", "if TYPE_CHECKING:\n    from .session import Session", "hyheat.session"),
        ("hyheat.fields", "from time import monotonic", "time"),
        ("hyheat.envelope", "import logging.handlers", "logging.handlers"),
        ("hyheat.envelope", "from . import session", "hyheat.session"),
        ("hyheat.envelope", "from .client import GatewayClient", "hyheat.client"),
        ("hyheat.explain", "import importlib", "importlib"),
        ("hyheat.devices", "from ..session import Session", "hyheat.session"),
        ("hyheat.devices.cabinet", "from ..session import Session", "hyheat.session"),
        ("hyheat.devices.new", "from .. import queries", "hyheat.queries"),
        ("hyheat.model", "import homeassistant.core", "homeassistant.core"),
        ("hyheat.model", "from .. import const", "const"),
        ("hyheat.unheard_of", "import asyncio", "asyncio"),
        ("hyheat.session", "import asyncio", "asyncio"),
        ("hyheat.session", "from datetime import datetime", "datetime"),
        ("hyheat.session", "from .link import Link", "hyheat.link"),
        ("hyheat.client", "import aiomqtt", "aiomqtt"),
        ("hyheat.client", "from paho.mqtt import client", "paho.mqtt"),
        ("hyheat.client", "from homeassistant.core import callback", "homeassistant.core"),
        ("hyheat.client", "from ..const import DOMAIN", "const"),
        ("hyheat.link", "from .frame import Frame", "hyheat.frame"),
        ("links.broker", "from ..coordinator import GatewayCoordinator", "coordinator"),
        ("links.broker", "from ..hyheat.frame import parse", "hyheat.frame"),
        ("links.broker", "from ..hyheat import frame", "hyheat.frame"),
        ("links", "from ..hyheat.client import GatewayClient", "hyheat.client"),
        ("coordinator", "from .sensor import SENSORS", "sensor"),
        ("coordinator", "from . import valve", "valve"),
        ("coordinator", f"import {PACKAGE}.sensor as s", "sensor"),
        ("coordinator", f"from {PACKAGE} import sensor", "sensor"),
        ("coordinator", "from .entity import HyMeterEntity", "entity"),
        ("coordinator", "import aiomqtt", "aiomqtt"),
        ("store", "from .event import EVENTS", "event"),
        ("config_flow", "from .button import BUTTONS", "button"),
        ("unheard_of", "from .sensor import SENSORS", "sensor"),
        ("__init__", "from .sensor import SENSORS", "sensor"),
        ("sensor", "from .hyheat.frame import parse", "hyheat.frame"),
        ("sensor", "from .hyheat.session import Session", "hyheat.session"),
        ("sensor", "from .links import BrokerLink", "links"),
        ("sensor", "from .valve import HyValve", "valve"),
        ("entity", "from .hyheat.envelope import StatusReply", "hyheat.envelope"),
        ("actions", "from .hyheat.session import Session", "hyheat.session"),
        ("diagnostics", "from .links import BrokerLink", "links"),
        ("system_health", "import paho", "paho"),
    ],
)
def test_a_planted_violation_is_seen(module: str, source: str, wrong: str) -> None:
    found = [name.removeprefix(f"{PACKAGE}.") for name in violations(module, source)]
    assert found == [wrong]
    assert violations(module, "import dataclasses\nfrom typing import Any") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hyheat.devices", "from ..errors import FrameError\nfrom .cabinet import CABINET"),
        ("hyheat.devices.cabinet", "from ..fields import bcd\nfrom .spec import Sample"),
        ("hyheat.session", "from .envelope import Report\nfrom .job import Job"),
        (
            "hyheat.client",
            "import asyncio, logging\nfrom . import envelope\nfrom .link import Link",
        ),
        ("links.broker", "import aiomqtt\nfrom ..hyheat.link import Link\nfrom ..const import A"),
        ("coordinator", "from .hyheat.client import GatewayClient\nfrom .links import BrokerLink"),
        ("__init__", "from .entity import gateway_identifier\nfrom .coordinator import A"),
        ("sensor", "from .entity import A\nfrom .hyheat.model import MeterReading"),
        ("diagnostics", "from .hyheat.explain import explain\nfrom .runtime import A"),
    ],
)
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_planted_impurities_are_seen() -> None:
    assert not relative_only(f"from {PACKAGE}.hyheat.errors import FrameError")
    assert not relative_only(f"import {PACKAGE}.hyheat")
    assert relative_only("from .errors import FrameError\nimport json")
    assert clock_readings("datetime.now()\nself._now()\ndate.today()") == ["now", "today"]
