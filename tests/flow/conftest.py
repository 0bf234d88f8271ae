"""Fixtures of the flow tests: a broker, entries that need no set-up, and the check of all texts."""

import asyncio
from collections.abc import AsyncIterator, Iterator
import os
from typing import Any, override
from unittest.mock import patch

from aiomqtt import ProtocolVersion
from homeassistant.components import file_upload
from homeassistant.config_entries import ConfigEntry, ConfigEntryState, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowManager
import pytest

from custom_components.hy_heating import flow_listen
from custom_components.hy_heating.hyheat.session import Timing
from custom_components.hy_heating.links import connect
from tests.links.brokers import AmqttBroker, until

from .helpers import begin, connections
from .texts import missing_texts


class _OnlyVersion311(dict[Any, ProtocolVersion]):
    """Knows of every broker that it speaks MQTT 3.1.1, as amqtt does.

    How that is found out is tested with the links; it would leave half-open connections at amqtt.
    """

    @override
    def get(self, key: Any, default: object = None) -> ProtocolVersion:
        return ProtocolVersion.V311


@pytest.fixture(autouse=True)
def _impatient(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every duration."""
    hass.data[connect._VERSIONS] = _OnlyVersion311()
    # Each process of a parallel run has uploads of its own.
    monkeypatch.setattr(file_upload, "TEMP_DIR_NAME", f"hy_heating-uploads-{os.getpid()}")
    monkeypatch.setattr(flow_listen, "LISTEN_LIMIT_S", 1.2)
    monkeypatch.setattr(flow_listen, "LISTEN_QUIET_S", 0.5)
    monkeypatch.setattr(flow_listen, "LISTEN_TICK_S", 0.02)
    monkeypatch.setattr(flow_listen, "PROBE_TIMING", Timing(ack_s=5.0, refused_pause_s=0.05))


@pytest.fixture
def impatient_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call a gateway silent that does not answer at once."""
    monkeypatch.setattr(flow_listen, "PROBE_TIMING", Timing(ack_s=0.4))


@pytest.fixture
async def broker(hass: HomeAssistant, socket_enabled: None) -> AsyncIterator[AmqttBroker]:
    """Bring up a broker that knows the password `right`; nobody may stay connected to it."""
    broker = AmqttBroker()
    await broker.start()
    yield broker
    for flow in hass.config_entries.flow.async_progress(include_uninitialized=True):
        hass.config_entries.flow.async_abort(flow["flow_id"])
    for entry in hass.config_entries.async_entries("hy_heating"):
        if entry.state is ConfigEntryState.LOADED:
            await hass.config_entries.async_unload(entry.entry_id)
    async with asyncio.timeout(5):
        await hass.async_block_till_done(wait_background_tasks=True)
    await until(lambda: not connections(broker.port))
    if broker._broker:
        # amqtt leaves what it has not yet dealt with behind, and waits 5 s for each message that
        # nobody is there to acknowledge any more.
        server = broker._broker._servers["default"]
        await until(lambda: not server.conn_count, timeout_s=30)
    await broker.stop()


@pytest.fixture
def set_up() -> Iterator[list[str]]:
    """Set entries up without anything behind them; the list has the gateway ids in order."""
    done: list[str] = []

    async def set_up_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        done.append(str(entry.unique_id))
        return True

    async def unload_entry(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        return True

    with (
        patch("custom_components.hy_heating.async_setup_entry", set_up_entry),
        patch("custom_components.hy_heating.async_unload_entry", unload_entry),
    ):
        yield done


@pytest.fixture(autouse=True)
def _texts(hass: HomeAssistant) -> Iterator[None]:
    """Check that whatever a flow shows is translated, in every test."""
    missing: list[str] = []
    handle_step = FlowManager._async_handle_step

    async def spy(self, flow, *args):  # type: ignore[no-untyped-def] # passed on as it came  # noqa: ANN001, ANN002, ANN202 - whatever Home Assistant passes
        result = await handle_step(self, flow, *args)
        section = "options" if self is hass.config_entries.options else "config"
        missing.extend(missing_texts(section, flow, result))
        return result

    with patch.object(FlowManager, "_async_handle_step", spy):
        yield
    assert not missing


@pytest.fixture
async def form(hass: HomeAssistant, socket_enabled: None) -> ConfigFlowResult:
    """Begin the flow, which asks for a broker."""
    return await begin(hass)
