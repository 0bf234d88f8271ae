"""Fixtures of the end-to-end tests: real processes, real sockets, one event loop per module.

The plugin's fixtures that guard an in-process Home Assistant are replaced here: they would see
the clients and servers that a module shares as left behind by a test.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import pytest_socket

from .figures import LONG, Figures
from .house import House
from .mosquitto import Mosquitto

TEST_TIMEOUT_S = 1200 if LONG else 240
FIGURES = pytest.StashKey[Figures]()
ARTIFACTS = Path(__file__).parents[2] / "test-results" / "e2e"


def pytest_configure(config: pytest.Config) -> None:
    """Begin the table of figures."""
    config.stash[FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the figures that were measured."""
    for line in config.stash[FIGURES].lines():
        terminalreporter.write_line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let no test wait forever."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Allow sockets, which the plugin forbids before the fixtures of every test."""
    pytest_socket.enable_socket()


@pytest.fixture(autouse=True)
def verify_cleanup() -> None:
    """Do not search for tasks: each module closes what it opens."""


@pytest.fixture(autouse=True)
def configure_event_loop() -> None:
    """Leave the event loop alone."""


@pytest.fixture(autouse=True)
def enable_event_loop_debug() -> None:
    """Leave the event loop alone: it is busy with a browser."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Return a folder for the module's processes."""
    return tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2])


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Return the table that the run prints at its end."""
    return request.config.stash[FIGURES]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker(folder: Path) -> AsyncIterator[Mosquitto]:
    """Run a broker that asks for user name and password."""
    mosquitto = Mosquitto(folder / "mosquitto")
    await mosquitto.start()
    yield mosquitto
    await mosquitto.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    folder: Path, broker: Mosquitto, request: pytest.FixtureRequest
) -> AsyncIterator[House]:
    """Run an onboarded Home Assistant without entries.

    Afterwards its log must have no complaint but those that the module's EXPECTED_IN_LOG
    (regular expressions) says it caused on purpose.
    """
    house = House(folder / "homeassistant", broker)
    try:
        await house.start()
        yield house
    finally:
        await house.stop()
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        name = request.module.__name__.rpartition(".")[2]
        (ARTIFACTS / f"{name}.log").write_text(house.log, encoding="utf-8")
    expected: tuple[str, ...] = getattr(request.module, "EXPECTED_IN_LOG", ())
    assert [record.text for record in house.complaints(expected)] == []
