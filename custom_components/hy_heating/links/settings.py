"""What a link needs to know: of a broker, or only that Home Assistant's MQTT leads to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from homeassistant.const import CONF_HOST, CONF_PASSWORD, CONF_PORT, CONF_USERNAME

from ..const import (
    CONF_CA_CERTIFICATE,
    CONF_DISCOVERY,
    CONF_LINK,
    CONF_PREFIX,
    CONF_TLS,
    CONF_TLS_VERIFY,
    LINK_HOME_ASSISTANT,
    LINK_OWN,
)

type LinkSettings = BrokerSettings | HomeAssistantSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How to reach a broker, and the prefix of its topics.

    `ca_certificate` is the PEM text of an own certificate authority, None where the system's count.
    With `discovery`, gateways that are heard there and not registered are offered.
    """

    host: str
    port: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: bool
    tls_verify: bool
    ca_certificate: str | None
    prefix: str
    discovery: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the settings that an entry's data holds; raises KeyError where one is missing."""
        return cls(
            host=data[CONF_HOST],
            port=data[CONF_PORT],
            username=data.get(CONF_USERNAME) or None,
            password=data.get(CONF_PASSWORD),
            tls=data[CONF_TLS],
            tls_verify=data[CONF_TLS_VERIFY],
            ca_certificate=data.get(CONF_CA_CERTIFICATE) or None,
            prefix=data[CONF_PREFIX],
            discovery=data.get(CONF_DISCOVERY, False),
        )

    def as_data(self) -> dict[str, Any]:
        """Return the settings as an entry's data."""
        return {
            CONF_LINK: LINK_OWN,
            CONF_HOST: self.host,
            CONF_PORT: self.port,
            CONF_USERNAME: self.username,
            CONF_PASSWORD: self.password,
            CONF_TLS: self.tls,
            CONF_TLS_VERIFY: self.tls_verify,
            CONF_CA_CERTIFICATE: self.ca_certificate,
            CONF_PREFIX: self.prefix,
            CONF_DISCOVERY: self.discovery,
        }

    @property
    def key(self) -> tuple[str, int, str | None, bool, bool, str | None, str]:
        """What makes two entries share one connection; the id of its session follows from it."""
        return (
            self.host,
            self.port,
            self.username,
            self.tls,
            self.tls_verify,
            self.ca_certificate,
            self.prefix,
        )

    @property
    def address(self) -> str:
        """The broker's host and port, for people."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeAssistantSettings:
    """The prefix of the topics behind Home Assistant's own MQTT integration.

    `discovery` as with a broker.
    """

    prefix: str
    discovery: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the settings that an entry's data holds; raises KeyError where one is missing."""
        return cls(prefix=data[CONF_PREFIX], discovery=data.get(CONF_DISCOVERY, False))

    def as_data(self) -> dict[str, Any]:
        """Return the settings as an entry's data."""
        return {
            CONF_LINK: LINK_HOME_ASSISTANT,
            CONF_PREFIX: self.prefix,
            CONF_DISCOVERY: self.discovery,
        }

    @property
    def key(self) -> tuple[str, str]:
        """What makes two entries share one link."""
        return (LINK_HOME_ASSISTANT, self.prefix)

    @property
    def address(self) -> str:
        """Whose connection it is, for people."""
        return "MQTT"


_LINK_KEYS = {
    CONF_LINK,
    CONF_HOST,
    CONF_PORT,
    CONF_USERNAME,
    CONF_PASSWORD,
    CONF_TLS,
    CONF_TLS_VERIFY,
    CONF_CA_CERTIFICATE,
    CONF_PREFIX,
    CONF_DISCOVERY,
}


def settings_from_data(data: Mapping[str, Any]) -> LinkSettings:
    """Return how an entry reaches its gateway; raises KeyError where something is missing."""
    if data.get(CONF_LINK) == LINK_HOME_ASSISTANT:
        return HomeAssistantSettings.from_data(data)
    return BrokerSettings.from_data(data)


def with_settings(data: Mapping[str, Any], settings: LinkSettings) -> dict[str, Any]:
    """Return an entry's data with another link, and nothing left of the one before."""
    others = {key: value for key, value in data.items() if key not in _LINK_KEYS}
    return {**settings.as_data(), **others}
