"""Opens connections, with the newest version of MQTT that the broker speaks."""

import asyncio
from collections.abc import Callable
from functools import partial
import ssl
from typing import override

from aiomqtt import ProtocolVersion
from homeassistant.core import HomeAssistant
from homeassistant.util.hass_dict import HassKey
from homeassistant.util.ssl import create_client_context

from ..const import DOMAIN
from ..hyheat.errors import LinkError, LinkTimeoutError, LinkTlsError
from .client import MqttClient, NoAnswerError, VersionRefusedError
from .errors import SessionRefusedError
from .settings import BrokerSettings

CONNECT_TIMEOUT_S = 10.0
"""For everything from the name look-up to the broker's answer: a person may be waiting."""
HANDSHAKE_TIMEOUT_S = 8.0
"""Less than the whole, so that a thread does not outlive who waits for it by much."""
SILENCE_S = 0.5
"""A broker that did not answer to MQTT 5 by then is asked whether it speaks it at all."""
FAREWELL_S = 1.0
"""For the broker's answer to a CONNECT that it learns is already complete."""

type _Address = tuple[str, int, bool]
type _MakeClient = Callable[[ProtocolVersion], MqttClient]
_VERSIONS: HassKey[dict[_Address, ProtocolVersion]] = HassKey(f"{DOMAIN}_mqtt_versions")


async def async_connect(
    hass: HomeAssistant, settings: BrokerSettings, client_id: str, *, persistent: bool
) -> MqttClient:
    """Return an open connection; without a session where the broker wants to keep none.

    Raises LinkAuthError, LinkTlsError, LinkTimeoutError, and LinkError for everything else.
    """
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            context = None
            if settings.tls:
                context = await hass.async_add_executor_job(_tls_context, settings)
            make = partial(MqttClient, settings, context, client_id=client_id)
            versions = hass.data.setdefault(_VERSIONS, {})
            address = (settings.host, settings.port, settings.tls)
            anonymous = partial(MqttClient, settings, context)
            try:
                return await _open_newest(
                    versions, address, partial(make, persistent=persistent), anonymous
                )
            except SessionRefusedError:
                return await _open_newest(versions, address, make, anonymous)
    except TimeoutError:
        raise LinkTimeoutError("the broker did not answer in time") from None


async def _open_newest(
    versions: dict[_Address, ProtocolVersion],
    address: _Address,
    make: _MakeClient,
    make_anonymous: _MakeClient,
) -> MqttClient:
    """Try MQTT 5, then 3.1.1 where it looks like the broker does not speak 5.

    Only what the broker said itself is remembered.
    """
    known = versions.get(address)
    if known is not ProtocolVersion.V311:
        try:
            client = make(ProtocolVersion.V5)
            if known:
                await client.open()
            else:
                await _open_or_ask(client, make_anonymous(ProtocolVersion.V5))
        except VersionRefusedError:
            versions[address] = ProtocolVersion.V311
        except NoAnswerError:
            if known:
                raise
        else:
            versions[address] = ProtocolVersion.V5
            return client
    client = make(ProtocolVersion.V311)
    try:
        await client.open()
    except NoAnswerError, VersionRefusedError:
        versions.pop(address, None)
        raise
    return client


async def _open_or_ask(client: MqttClient, anonymous: MqttClient) -> None:
    """Open with MQTT 5, unless the broker stays silent and, asked anonymously, refuses it.

    A broker of MQTT 3.1.1 may take what is new in a CONNECT for the length of a client id, and
    wait for the rest of it forever (amqtt does); an anonymous CONNECT looks alike in both versions.
    """
    opening = asyncio.ensure_future(client.open())
    asking = asyncio.ensure_future(_refuses_version(client, anonymous))
    try:
        try:
            await asyncio.wait({opening, asking}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done() and asking.result():
                client.end_sending()
                await asyncio.wait([opening], timeout=FAREWELL_S)
                raise VersionRefusedError("the broker does not speak MQTT 5")
            await opening
        finally:
            opening.cancel()
            asking.cancel()
            await asyncio.gather(opening, asking, return_exceptions=True)
    except BaseException:
        client.abort()
        raise


async def _refuses_version(client: MqttClient, anonymous: MqttClient) -> bool:
    await client.asked.wait()
    await asyncio.sleep(SILENCE_S)
    try:
        await anonymous.open()
    except LinkError as err:
        return isinstance(err, VersionRefusedError)
    await anonymous.close()
    return False


class _Socket(ssl.SSLSocket):
    """A socket whose handshake has an end: paho waits a whole keepalive, and leaves it open."""

    @override
    def do_handshake(self, block: bool = False) -> None:
        self.settimeout(HANDSHAKE_TIMEOUT_S)
        try:
            super().do_handshake(block)
        except ConnectionError as err:
            self.close()
            raise ssl.SSLError(err.errno, "the broker ended the handshake") from err
        except OSError:
            self.close()
            raise


def _tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Return a TLS context, in an executor: it reads files. Raises LinkTlsError."""
    try:
        if settings.ca_certificate is None:
            # The authorities that Home Assistant brings, and those of the system.
            context = create_client_context()
            context.load_default_certs()
        else:
            context = ssl.create_default_context(cadata=settings.ca_certificate)
            # Certificates made at home often lack what the newer rules ask for beyond trust.
            context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    except ssl.SSLError as err:
        raise LinkTlsError(f"not a usable certificate: {err.strerror}") from err
    if not settings.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _Socket
    return context
