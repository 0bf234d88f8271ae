"""Connections to brokers: shared ones for the gateways, temporary ones for the config flow.

May import: hyheat.link, hyheat.errors, const, Home Assistant, aiomqtt; paho where aiomqtt needs its
types.
"""

from .broker import BrokerLink
from .pool import async_acquire_link, async_forget_session
from .settings import BrokerSettings
from .temporary import temporary_link

__all__ = [
    "BrokerLink",
    "BrokerSettings",
    "async_acquire_link",
    "async_forget_session",
    "temporary_link",
]
