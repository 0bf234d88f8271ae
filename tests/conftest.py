"""Fixtures that every Home Assistant test shares."""

from collections.abc import AsyncIterator, Iterator
from unittest.mock import PropertyMock, patch

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

# Imported here so that Home Assistant's loader finds this package and not the plugin's own
# package of the same name.
from custom_components.hy_heating.const import DOMAIN

from .common import FakeLink, every_entry_gets, make_entry, set_up
from .translations import watched

assert DOMAIN


@pytest.fixture(autouse=True)
def _custom_integrations(request: pytest.FixtureRequest) -> None:
    """Let Home Assistant load the integration in every test that uses it."""
    if "hass" in request.fixturenames:
        request.getfixturevalue("enable_custom_integrations")


@pytest.fixture(autouse=True)
def untranslated(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Check that every error and issue that a test meets has its texts, in both languages."""
    if "hass" not in request.fixturenames:
        yield []
        return
    with watched() as wrong:
        yield wrong
    assert not wrong


@pytest.fixture
def link() -> Iterator[FakeLink]:
    """Return the link that every entry gets in this test."""
    fake = FakeLink()
    with every_entry_gets(fake):
        yield fake


@pytest.fixture
async def entry(hass: HomeAssistant, link: FakeLink) -> AsyncIterator[MockConfigEntry]:
    """Return the loaded entry of the captured gateway."""
    loaded = make_entry()
    await set_up(hass, loaded)
    yield loaded
    if loaded.state is ConfigEntryState.LOADED:
        await hass.config_entries.async_unload(loaded.entry_id)


@pytest.fixture
def all_entities_enabled() -> Iterator[None]:
    """Register every entity enabled, also those that are not by default."""
    with patch(
        "homeassistant.helpers.entity.Entity.entity_registry_enabled_default",
        PropertyMock(return_value=True),
    ):
        yield
