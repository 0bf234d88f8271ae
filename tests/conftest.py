"""Fixtures that every Home Assistant test shares."""

from collections.abc import Iterator

import pytest

# Imported here so that Home Assistant's loader finds this package and not the plugin's own
# package of the same name.
from custom_components.hy_heating.const import DOMAIN

assert DOMAIN


@pytest.fixture(autouse=True)
def _custom_integrations(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let Home Assistant load the integration in every test that uses it."""
    if "hass" in request.fixturenames:
        request.getfixturevalue("enable_custom_integrations")
    yield
