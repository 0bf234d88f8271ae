"""Links to gateways: shared ones for the entries, passing ones for the config flow.

Two kinds behind one interface: an own connection to a broker, and that of Home Assistant's MQTT.
May import: hyheat.link, hyheat.errors, const, Home Assistant, aiomqtt; paho where aiomqtt needs its
types; Home Assistant's mqtt component in home_assistant.py only.
"""

from .base import SharedLink
from .broker import BrokerLink
from .errors import MqttNotConnectedError, MqttNotLoadedError
from .pool import async_acquire_link, async_forget_session, async_open_link
from .settings import BrokerSettings, HomeAssistantSettings, LinkSettings
from .temporary import temporary_link

__all__ = [
    "BrokerLink",
    "BrokerSettings",
    "HomeAssistantSettings",
    "LinkSettings",
    "MqttNotConnectedError",
    "MqttNotLoadedError",
    "SharedLink",
    "async_acquire_link",
    "async_forget_session",
    "async_open_link",
    "temporary_link",
]
