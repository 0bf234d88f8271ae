"""An own certificate authority, uploaded in a flow."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from homeassistant.components.file_upload import process_uploaded_file
from homeassistant.core import HomeAssistant

from .flow_schemas import UNKNOWN

MAX_CERTIFICATE_SIZE = 256 * 1024  # bytes; a whole bundle of authorities fits


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
