"""The library is loaded without Home Assistant, and there is only one of it."""

from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(code: str) -> str:
    """Run some code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_the_simulator_does_not_import_home_assistant() -> None:
    code = (
        "import sys, simulator.__main__\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'homeassistant'],"
        " 'custom_components.hy_heating' in sys.modules,"
        " 'custom_components.hy_heating.hyheat.frame' in sys.modules)"
    )
    assert run(code) == "[] False True"


SIMULATOR = "import simulator.gateway as ours\n"
PRODUCT = "import custom_components.hy_heating\n"


@pytest.mark.parametrize("order", [SIMULATOR + PRODUCT, PRODUCT + SIMULATOR])
def test_simulator_and_integration_share_one_library(order: str) -> None:
    code = (
        order + "from custom_components.hy_heating.hyheat import envelope, session\n"
        "print(ours.StatusReply is envelope.StatusReply is session.StatusReply)"
    )
    assert run(code) == "True"
