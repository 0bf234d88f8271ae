"""The broker form of the flows: its fields, its checks, and what it says as settings."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
import ipaddress
import re
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from homeassistant.components.file_upload import process_uploaded_file
from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST, CONF_NAME, CONF_PASSWORD, CONF_PORT, CONF_USERNAME
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
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
    CONF_ENCRYPTION,
    CONF_PREFIX,
    DEFAULT_PORT,
    DEFAULT_TLS_PORT,
)
from .flow_schemas import UNKNOWN
from .hyheat.envelope import DEFAULT_PREFIX
from .hyheat.errors import LinkAuthError, LinkError, LinkTimeoutError, LinkTlsError
from .links import temporary_link
from .links.settings import BrokerSettings

PASSWORD_UNCHANGED = "__**password_not_changed**__"  # noqa: S105 - a marker, as Home Assistant's mqtt has it
MAX_CERTIFICATE_SIZE = 256 * 1024  # bytes; a whole bundle of authorities fits
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


# --- An own certificate authority ----------------------------------------------------------


class CertificateError(Exception):
    """An upload is no certificate; `key` is the form's error."""

    def __init__(self, key: str) -> None:
        """Take the key of the form's error."""
        super().__init__(key)
        self.key = key


async def async_read_certificate(hass: HomeAssistant, file_id: str) -> str:
    """Return the certificates of an uploaded file as PEM; raises CertificateError."""
    try:
        data = await hass.async_add_executor_job(_read_upload, hass, file_id)
    except ValueError as err:
        raise CertificateError("upload_lost") from err
    try:
        return to_pem(data)
    except ValueError as err:
        raise CertificateError("invalid_certificate") from err


def _read_upload(hass: HomeAssistant, file_id: str) -> bytes:
    """Return an uploaded file, which is deleted; raises ValueError where there is none."""
    with process_uploaded_file(hass, file_id) as path, path.open("rb") as file:
        return file.read(MAX_CERTIFICATE_SIZE + 1)


def to_pem(data: bytes) -> str:
    """Return PEM or DER certificates as PEM, without anything else that stood with them.

    Raises ValueError where there is none, or more than anybody needs.
    """
    if len(data) > MAX_CERTIFICATE_SIZE:
        raise ValueError("too large for certificates")
    if b"-----BEGIN" in data:
        certificates = x509.load_pem_x509_certificates(data)
    else:
        certificates = [x509.load_der_x509_certificate(data)]
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def subject_of(pem: str | None) -> str:
    """Return whom the first certificate of a PEM text names, a dash where nobody."""
    if pem is None:
        return UNKNOWN
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return certificate.subject.rfc4514_string() or UNKNOWN


# --- The form on its way -------------------------------------------------------------------


class BrokerForm:
    """A broker form between its first showing and settings that a broker accepted.

    It keeps what was typed, and an uploaded certificate, which can be read only once.
    """

    def __init__(
        self, hass: HomeAssistant, before: BrokerSettings | None = None, name: str | None = None
    ) -> None:
        """Begin with what is configured now; without `before` for a new broker."""
        self._hass = hass
        self.before = before
        self.ca_certificate = before.ca_certificate if before else None
        self._typed = {CONF_NAME: name, **to_form(before)} if before else {}
        self.errors: dict[str, str] = {}

    @property
    def schema(self) -> vol.Schema:
        """The form's fields; what is wrong in the section is not hidden."""
        with_name = self.before is not None
        return broker_schema(with_name=with_name, expanded=CONF_ADVANCED in self.errors)

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
        )


def with_credentials(settings: BrokerSettings, form: Mapping[str, Any]) -> BrokerSettings:
    """Return settings with the user name and password of a form."""
    return replace(
        settings,
        username=form.get(CONF_USERNAME) or None,
        password=form.get(CONF_PASSWORD) or None,
    )


# --- Brokers in use ------------------------------------------------------------------------


def known_brokers(entries: Iterable[ConfigEntry]) -> dict[str, tuple[BrokerSettings, str]]:
    """Return each distinct broker by one of its entries, with a label that names all of them."""
    sharing: dict[Hashable, list[ConfigEntry]] = {}
    for entry in entries:
        sharing.setdefault(BrokerSettings.from_data(entry.data).key, []).append(entry)
    return {first.entry_id: _with_label([first, *others]) for first, *others in sharing.values()}


def _with_label(sharing: list[ConfigEntry]) -> tuple[BrokerSettings, str]:
    settings = BrokerSettings.from_data(sharing[0].data)
    return settings, f"{address_of(settings)} ({', '.join(entry.title for entry in sharing)})"


def address_of(settings: BrokerSettings) -> str:
    """Return a broker's address and prefix as a person reads them, without the password."""
    user = f"{settings.username}@" if settings.username else ""
    return f"{user}{settings.host}:{settings.port}, {settings.prefix}"


def sharing_entries(entries: Iterable[ConfigEntry], entry: ConfigEntry) -> list[ConfigEntry]:
    """Return the entries whose connection is that of one entry, with itself."""
    key = BrokerSettings.from_data(entry.data).key
    return [other for other in entries if BrokerSettings.from_data(other.data).key == key]


# --- The trial -----------------------------------------------------------------------------

_ERROR_KEYS: dict[type[LinkError], str] = {
    LinkAuthError: "invalid_auth",
    LinkTlsError: "tls_failed",
    LinkTimeoutError: "timeout_connect",
}


async def async_try(hass: HomeAssistant, settings: BrokerSettings) -> LinkError | None:
    """Return why a connection to a broker fails, None where it stands."""
    try:
        async with temporary_link(hass, settings):
            return None
    except LinkError as err:
        return err


def error_key(err: LinkError) -> str:
    """Return the form's error for a failed connection."""
    return _ERROR_KEYS.get(type(err), "cannot_connect")
