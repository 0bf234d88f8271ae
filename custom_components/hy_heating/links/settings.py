"""What a connection to a broker needs to know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from homeassistant.const import CONF_HOST, CONF_PASSWORD, CONF_PORT, CONF_USERNAME

from ..const import CONF_CA_CERTIFICATE, CONF_PREFIX, CONF_TLS, CONF_TLS_VERIFY


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How to reach a broker, and the prefix of its topics.

    `ca_certificate` is the PEM text of an own certificate authority, None where the system's count.
    """

    host: str
    port: int
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    tls: bool
    tls_verify: bool
    ca_certificate: str | None
    prefix: str

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
        )

    def as_data(self) -> dict[str, Any]:
        """Return the settings as an entry's data."""
        return {
            CONF_HOST: self.host,
            CONF_PORT: self.port,
            CONF_USERNAME: self.username,
            CONF_PASSWORD: self.password,
            CONF_TLS: self.tls,
            CONF_TLS_VERIFY: self.tls_verify,
            CONF_CA_CERTIFICATE: self.ca_certificate,
            CONF_PREFIX: self.prefix,
        }

    @property
    def key(self) -> tuple[str, int, str | None, bool, bool, str | None, str]:
        """What makes two entries share one connection: everything but the password."""
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
