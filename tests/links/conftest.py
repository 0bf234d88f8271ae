"""Fixtures of the link tests."""

from collections.abc import AsyncIterator

import pytest

from custom_components.hy_heating.links import connect

from .brokers import AmqttBroker


@pytest.fixture
async def broker(
    socket_enabled: None, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AmqttBroker]:
    """Bring up a broker of MQTT 3.1.1 that knows the password `right`."""
    # It is silent when addressed in MQTT 5: ask at once about it, instead of after half a second.
    monkeypatch.setattr(connect, "SILENCE_S", 0.0)
    broker = AmqttBroker()
    await broker.start()
    yield broker
    await broker.stop()
