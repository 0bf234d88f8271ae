"""The form for an own connection: its fields, its checks, and what it says as settings."""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
import ipaddress
import re
from typing import Any

from homeassistant.const import CONF_HOST, CONF_NAME, CONF_PASSWORD, CONF_PORT, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    FileSelector,
    FileSelectorConfig,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)
import voluptuous as vol

from .const import (
    CONF_ADVANCED,
    CONF_CA_CERTIFICATE,
    CONF_DISCOVERY,
    CONF_ENCRYPTION,
    CONF_PREFIX,
    DEFAULT_PORT,
    DEFAULT_TLS_PORT,
)
from .flow_certificate import CertificateError, async_read_certificate
from .hyheat.envelope import DEFAULT_PREFIX
from .links.settings import BrokerSettings

PASSWORD_UNCHANGED = "__**password_not_changed**__"  # noqa: S105 - a marker, as Home Assistant's mqtt has it
MAX_PREFIX_LENGTH = 200  # characters; the topics of a gateway add 16, MQTT allows 65535 bytes

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE
)


class Encryption(StrEnum):
    """How a connection is protected; also the options of the form's field."""

    NONE = "none"
    SYSTEM_CA = "system_ca"
    OWN_CA = "own_ca"
    UNVERIFIED = "unverified"


# --- The form ------------------------------------------------------------------------------

_TEXT = TextSelector()
_USERNAME = TextSelector(TextSelectorConfig(autocomplete="username"))
_PASSWORD = TextSelector(
    TextSelectorConfig(type=TextSelectorType.PASSWORD, autocomplete="current-password")
)
_PORT = NumberSelector(NumberSelectorConfig(min=1, max=65535, mode=NumberSelectorMode.BOX))
_ENCRYPTION = SelectSelector(
    SelectSelectorConfig(
        options=list(Encryption),
        translation_key=CONF_ENCRYPTION,
        mode=SelectSelectorMode.DROPDOWN,
    )
)
_CERTIFICATE = FileSelector(FileSelectorConfig(accept=".pem,.crt,.cer,.der"))

_CREDENTIALS = {
    vol.Optional(CONF_USERNAME): _USERNAME,
    vol.Optional(CONF_PASSWORD): _PASSWORD,
}
CREDENTIALS_SCHEMA = vol.Schema(_CREDENTIALS)


def broker_schema(*, with_name: bool, expanded: bool) -> vol.Schema:
    """Return the broker form, on request with the building's name or its section open."""
    return vol.Schema(
        {
            **({vol.Required(CONF_NAME): _TEXT} if with_name else {}),
            vol.Required(CONF_HOST): _TEXT,
            vol.Optional(CONF_PORT): vol.All(_PORT, vol.Coerce(int)),
            **_CREDENTIALS,
            vol.Required(CONF_ENCRYPTION, default=Encryption.NONE.value): _ENCRYPTION,
            vol.Required(CONF_DISCOVERY, default=False): BooleanSelector(),
            vol.Required(CONF_ADVANCED): section(
                vol.Schema(
                    {
                        vol.Required(CONF_PREFIX, default=DEFAULT_PREFIX): _TEXT,
                        vol.Optional(CONF_CA_CERTIFICATE): _CERTIFICATE,
                    }
                ),
                {"collapsed": not expanded},
            ),
        }
    )


def to_form(settings: BrokerSettings) -> dict[str, Any]:
    """Return what the form shows for settings; the password itself is never shown."""
    return {
        CONF_HOST: settings.host,
        CONF_PORT: settings.port,
        CONF_USERNAME: settings.username,
        CONF_PASSWORD: PASSWORD_UNCHANGED if settings.password else None,
        CONF_ENCRYPTION: _encryption(settings).value,
        CONF_DISCOVERY: settings.discovery,
        CONF_ADVANCED: {CONF_PREFIX: settings.prefix},
    }


def _encryption(settings: BrokerSettings) -> Encryption:
    if not settings.tls:
        return Encryption.NONE
    if not settings.tls_verify:
        return Encryption.UNVERIFIED
    return Encryption.OWN_CA if settings.ca_certificate else Encryption.SYSTEM_CA


# --- Its checks ----------------------------------------------------------------------------


def check_credentials(form: Mapping[str, Any]) -> dict[str, str]:
    """Return the error of a password that has no user name: MQTT 3.1.1 cannot send it."""
    if form.get(CONF_PASSWORD) and not form.get(CONF_USERNAME):
        return {CONF_USERNAME: "username_required"}
    return {}


def normal_host(text: str) -> str | None:
    """Return a host name or address as it is connected to, None where it is neither."""
    host = text.strip()
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        pass
    else:
        return None if address.is_unspecified or address.is_multicast else str(address)
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        return None
    is_name = _HOST_NAME.fullmatch(ascii_host) is not None
    return host if is_name and not _is_numeric(ascii_host) else None


def _is_numeric(host: str) -> bool:
    """Whether a host has only digits and dots: a damaged address, not a name."""
    return host.replace(".", "").isdigit()


def is_prefix(prefix: str) -> bool:
    """Whether a text can stand before the topics of the gateways."""
    return (
        0 < len(prefix) <= MAX_PREFIX_LENGTH
        and prefix.isprintable()
        and not set(prefix) & set("+#")
        and not prefix.startswith(("/", "$"))
        and not prefix.endswith("/")
    )


# --- The form on its way -------------------------------------------------------------------


class BrokerForm:
    """A broker form between its first showing and settings that a broker accepted.

    It keeps what was typed, and an uploaded certificate, which can be read only once.
    """

    def __init__(
        self, hass: HomeAssistant, before: BrokerSettings | None = None, name: str | None = None
    ) -> None:
        """Begin with what is configured now; without `before` for a new broker.

        With a name, that of the building is asked for too.
        """
        self._hass = hass
        self._with_name = name is not None
        self.before = before
        self.ca_certificate = before.ca_certificate if before else None
        self._typed = {CONF_NAME: name, **(to_form(before) if before else {})}
        self.errors: dict[str, str] = {}

    @property
    def schema(self) -> vol.Schema:
        """The form's fields; what is wrong in the section is not hidden."""
        return broker_schema(with_name=self._with_name, expanded=CONF_ADVANCED in self.errors)

    @property
    def typed(self) -> dict[str, Any]:
        """What was typed last."""
        return {key: value for key, value in self._typed.items() if value is not None}

    async def async_read(self, form: Mapping[str, Any]) -> BrokerSettings | None:
        """Return what was typed as settings; None where `errors` says what is wrong."""
        advanced = dict(form[CONF_ADVANCED])
        upload = advanced.pop(CONF_CA_CERTIFICATE, None)
        self._typed = {**form, CONF_ADVANCED: advanced}
        self.errors = check_credentials(form)
        host = normal_host(form[CONF_HOST])
        if host is None:
            self.errors[CONF_HOST] = "invalid_host"
        if not is_prefix(advanced[CONF_PREFIX].strip()):
            self.errors[CONF_ADVANCED] = "invalid_prefix"
        if upload is not None:
            await self._read_upload(upload)
        self._check_encryption(form[CONF_ENCRYPTION], uploaded=upload is not None)
        return None if host is None or self.errors else self._settings(host)

    async def _read_upload(self, file_id: str) -> None:
        try:
            self.ca_certificate = await async_read_certificate(self._hass, file_id)
        except CertificateError as err:
            self.errors[CONF_ADVANCED] = err.key

    def _check_encryption(self, encryption: str, *, uploaded: bool) -> None:
        own_ca = encryption == Encryption.OWN_CA
        if uploaded and not own_ca:
            self.errors[CONF_ENCRYPTION] = "certificate_not_used"
        if own_ca and self.ca_certificate is None:
            self.errors.setdefault(CONF_ADVANCED, "certificate_required")

    def _settings(self, host: str) -> BrokerSettings:
        form = self._typed
        encryption = Encryption(form[CONF_ENCRYPTION])
        tls = encryption is not Encryption.NONE
        password = form.get(CONF_PASSWORD)
        if self.before and password == PASSWORD_UNCHANGED:
            password = self.before.password
        return BrokerSettings(
            host=host,
            port=form.get(CONF_PORT) or (DEFAULT_TLS_PORT if tls else DEFAULT_PORT),
            username=form.get(CONF_USERNAME) or None,
            password=password or None,
            tls=tls,
            tls_verify=encryption is not Encryption.UNVERIFIED,
            ca_certificate=self.ca_certificate if encryption is Encryption.OWN_CA else None,
            prefix=form[CONF_ADVANCED][CONF_PREFIX].strip(),
            discovery=form.get(CONF_DISCOVERY, False),
        )


def with_credentials(settings: BrokerSettings, form: Mapping[str, Any]) -> BrokerSettings:
    """Return settings with the user name and password of a form."""
    return replace(
        settings,
        username=form.get(CONF_USERNAME) or None,
        password=form.get(CONF_PASSWORD) or None,
    )
