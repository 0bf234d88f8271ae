"""Fixtures of the link tests."""

from collections.abc import AsyncIterator

import pytest

from custom_components.hy_heating.links import connect

from .brokers import AmqttBroker


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at once whether a silent broker (amqtt) speaks MQTT 5, instead of after half a second."""
    monkeypatch.setattr(connect, "SILENCE_S", 0.0)


@pytest.fixture
async def broker(socket_enabled: None) -> AsyncIterator[AmqttBroker]:
    """Bring up a broker of MQTT 3.1.1 that knows the password `right`."""
    broker = AmqttBroker()
    await broker.start()
    yield broker
    await broker.stop()
