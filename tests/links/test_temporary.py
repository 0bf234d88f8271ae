"""Links for a moment."""

import asyncio

from homeassistant.core import HomeAssistant
import pytest

from custom_components.hy_heating.hyheat.errors import (
    LinkAuthError,
    LinkError,
    SubscriptionRefusedError,
)
from custom_components.hy_heating.links import async_acquire_link, temporary_link

from .brokers import AmqttBroker, ForbiddenTopics, free_port, settings_of, until
from .scripted import ACCEPTED_V5, V5, ScriptedBroker, scripted_broker

pytestmark = pytest.mark.usefixtures("socket_enabled")

EVERY_REPORT = "hy/gw/set/+"


async def test_a_listening_window(hass: HomeAssistant, broker: AmqttBroker) -> None:
    heard: list[tuple[str, bytes, bool]] = []
    async with temporary_link(hass, settings_of(broker.port)) as link:
        end = await link.subscribe(EVERY_REPORT, lambda *message: heard.append(message))
        await broker.publish("hy/gw/set/02345678903", b"1")
        await broker.publish("hy/gw/get/02345678903", b"2")
        await broker.publish("hy/gw/set/02345678904", b"3")
        await until(lambda: len(heard) == 2)
        await end()
        assert broker.subscriptions == set()
    assert heard == [("hy/gw/set/02345678903", b"1", False), ("hy/gw/set/02345678904", b"3", False)]


async def test_it_disturbs_no_shared_link(hass: HomeAssistant, broker: AmqttBroker) -> None:
    settings = settings_of(broker.port)
    shared = await async_acquire_link(hass, settings)
    await shared.async_wait_connected(5)
    status: list[bool] = []
    shared.add_status_listener(status.append)
    async with temporary_link(hass, settings) as one, temporary_link(hass, settings) as other:
        assert one.connected
        assert other.connected
        assert len(set(broker.connected_ids)) == 3
        assert all(len(client_id) == 23 for client_id in broker.connected_ids)
    await until(lambda: len(broker.connected_ids) == 1)
    assert not status
    await shared.async_release()


async def test_a_refused_subscription(hass: HomeAssistant, broker: AmqttBroker) -> None:
    ForbiddenTopics.forbidden.add(EVERY_REPORT)
    async with temporary_link(hass, settings_of(broker.port)) as link:
        with pytest.raises(SubscriptionRefusedError):
            await link.subscribe(EVERY_REPORT, lambda *_: None)
        await link.subscribe("hy/gw/set/02345678903", lambda *_: None)


@pytest.mark.parametrize("kind", [LinkAuthError, LinkError])
async def test_a_failure_on_entering(
    hass: HomeAssistant, broker: AmqttBroker, kind: type[LinkError]
) -> None:
    settings = (
        settings_of(broker.port, password="wrong")
        if kind is LinkAuthError
        else settings_of(free_port())
    )
    with pytest.raises(LinkError) as caught:
        async with temporary_link(hass, settings):
            pytest.fail("not reached")
    assert type(caught.value) is kind
    async with temporary_link(hass, settings_of(broker.port)) as link:
        assert link.connected


async def test_it_ends_with_its_connection(hass: HomeAssistant) -> None:
    tasks = asyncio.all_tasks()
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5})) as broker:
        status: list[bool] = []
        async with temporary_link(hass, settings_of(broker.port)) as link:
            link.add_status_listener(status.append)
            broker.hang_up()
            await until(lambda: status == [False])
            assert not link.connected
            with pytest.raises(LinkError):
                await link.publish("hy/gw/get/02345678903", b"x", expiry_s=30, fresh=False)
        assert broker.accepted == 1
        async with temporary_link(hass, settings_of(broker.port)) as link:
            await link.publish("hy/gw/get/02345678903", b"x", expiry_s=30, fresh=True)
            await until(lambda: broker.published)
        await until(lambda: not broker.open_connections)
        assert broker.goodbyes == 1
    assert asyncio.all_tasks() == tasks


async def test_it_ends_when_its_user_fails(hass: HomeAssistant) -> None:
    async with scripted_broker(ScriptedBroker({V5: ACCEPTED_V5})) as broker:
        with pytest.raises(RuntimeError, match="broken"):
            async with temporary_link(hass, settings_of(broker.port)):
                raise RuntimeError("broken")
        await until(lambda: broker.goodbyes == 1)
