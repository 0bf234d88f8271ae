"""A connection for a moment: to try settings, to look for gateways, to ask one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import secrets

from homeassistant.core import HomeAssistant

from ..hyheat.link import Link
from .base import ClientLink
from .client import MqttClient
from .connect import async_connect
from .dispatch import HeldMessages
from .settings import BrokerSettings


class TemporaryLink(ClientLink):
    """A link that ends with its connection."""

    def __init__(self, hass: HomeAssistant, settings: BrokerSettings, client: MqttClient) -> None:
        super().__init__(hass, settings, HeldMessages())
        self._client = client
        client.deliver_to(self._receive)
        client.on_end(lambda: self._tell(up=False))


@asynccontextmanager
async def temporary_link(hass: HomeAssistant, settings: BrokerSettings) -> AsyncIterator[Link]:
    """Connect under a random client id with a clean session, and do not reconnect.

    Raises LinkAuthError, LinkTlsError, LinkTimeoutError or LinkError on entering.
    """
    client_id = f"hy-heating-{secrets.token_hex(6)}"
    client = await async_connect(hass, settings, client_id, persistent=False)
    try:
        yield TemporaryLink(hass, settings, client)
    finally:
        await client.close()
