"""A connection for a moment: to try settings, to look for gateways, to ask one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from homeassistant.core import HomeAssistant

from ..hyheat.link import Link
from .base import ClientLink
from .client import MqttClient
from .connect import CONNECT_TIMEOUT_S, async_connect
from .pool import async_open_link, passing_client_id
from .settings import BrokerSettings, HomeAssistantSettings, LinkSettings


class TemporaryLink(ClientLink):
    """A link that ends with its connection."""

    def __init__(self, hass: HomeAssistant, settings: BrokerSettings, client: MqttClient) -> None:
        """Take over a client that is connected."""
        super().__init__(hass, settings)
        self._client = client
        client.deliver_to(self._receive)
        client.on_end(lambda: self._tell(up=False))


@asynccontextmanager
async def temporary_link(hass: HomeAssistant, settings: LinkSettings) -> AsyncIterator[Link]:
    """Connect for a moment, under a random client id with a clean session where it is our own.

    Raises LinkAuthError, LinkTlsError, LinkTimeoutError or LinkError on entering.
    """
    if isinstance(settings, HomeAssistantSettings):
        link = await async_open_link(hass, settings)
        try:
            await link.async_wait_connected(CONNECT_TIMEOUT_S)
            yield link
        finally:
            await link.async_release()
        return
    client = await async_connect(hass, settings, passing_client_id(), persistent=False)
    try:
        yield TemporaryLink(hass, settings, client)
    finally:
        await client.close()
