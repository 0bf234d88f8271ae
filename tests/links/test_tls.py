"""Connections over TLS: whom to trust, and what goes wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
import socket
import ssl
import struct
import threading

from homeassistant.core import HomeAssistant
import pytest

from custom_components.hy_heating.hyheat.errors import (
    LinkError,
    LinkTimeoutError,
    LinkTlsError,
)
from custom_components.hy_heating.links import connect, temporary_link

from .brokers import free_port, settings_of
from .certificates import Authority
from .scripted import ACCEPTED_V5, ACCEPTED_V311, DISCONNECT, V5, V311, refused_v311

pytestmark = pytest.mark.usefixtures("socket_enabled")

type Talk = Callable[[socket.socket], None]


@contextmanager
def listening(talk: Talk) -> Iterator[int]:
    """Hold a conversation with everybody who connects; yields the port.

    In threads: a refused certificate would reach asyncio's exception handler on the server's side.
    """

    def converse(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(5)
            talk(connection)

    def serve() -> None:
        while not stopped:
            threads.append(threading.Thread(target=converse, args=[server.accept()[0]]))
            threads[-1].start()

    stopped = False
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        threads = [threading.Thread(target=serve)]
        threads[0].start()
        try:
            yield port
        finally:
            stopped = True
            socket.create_connection(("127.0.0.1", port)).close()
            for thread in threads:
                thread.join()


def accepting(tls: ssl.SSLContext) -> Talk:
    """Return a conversation over TLS that accepts who connects, in MQTT 5."""

    def talk(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            secure.sendall(ACCEPTED_V5)
            while secure.recv(1000):
                pass

    return talk


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the authority that the broker's certificate comes from."""
    return Authority("The site's own")


@pytest.fixture(scope="module")
def server_tls(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """Return the broker's side of TLS, with a certificate for 127.0.0.1."""
    return authority.issue().server_context(tmp_path_factory.mktemp("tls"))


async def connects(hass: HomeAssistant, port: int, ca: str | None, *, verify: bool = True) -> None:
    """Connect once over TLS; raises LinkError."""
    settings = settings_of(port, tls=True, ca_certificate=ca, tls_verify=verify)
    async with temporary_link(hass, settings) as link:
        assert link.connected


async def test_an_own_authority_is_trusted_and_no_other(
    hass: HomeAssistant, authority: Authority, server_tls: ssl.SSLContext
) -> None:
    with listening(accepting(server_tls)) as port:
        with pytest.raises(LinkTlsError, match="certificate"):
            await connects(hass, port, ca=None)
        with pytest.raises(LinkTlsError, match="certificate"):
            await connects(hass, port, ca=Authority("Somebody else").pem)
        await connects(hass, port, ca=authority.pem)


async def test_without_verification_any_certificate_will_do(
    hass: HomeAssistant, server_tls: ssl.SSLContext
) -> None:
    with listening(accepting(server_tls)) as port:
        await connects(hass, port, ca=None, verify=False)


async def test_a_certificate_for_another_address(
    hass: HomeAssistant, authority: Authority, tmp_path: Path
) -> None:
    tls = authority.issue("192.0.2.1").server_context(tmp_path)
    with listening(accepting(tls)) as port:
        with pytest.raises(LinkTlsError, match="IP address mismatch"):
            await connects(hass, port, ca=authority.pem)
        await connects(hass, port, ca=authority.pem, verify=False)


@pytest.mark.parametrize("text", ["not a certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_what_is_no_certificate(hass: HomeAssistant, text: str) -> None:
    with pytest.raises(LinkTlsError, match="not a usable certificate"):
        await connects(hass, free_port(), ca=text)


async def test_a_broker_without_tls(hass: HomeAssistant, authority: Authority) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"what?")

    with listening(talk) as port, pytest.raises(LinkTlsError):
        await connects(hass, port, ca=authority.pem)


async def test_a_broker_that_hangs_up_during_the_handshake(
    hass: HomeAssistant, authority: Authority
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(1000)
        # Lingering for no time sends a reset instead of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with listening(talk) as port, pytest.raises(LinkTlsError, match="ended the handshake"):
        await connects(hass, port, ca=authority.pem)


async def test_a_handshake_without_an_answer(
    hass: HomeAssistant, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "HANDSHAKE_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(LinkTimeoutError):
        await connects(hass, server.getsockname()[1], ca=authority.pem)


async def test_nobody_listens(hass: HomeAssistant, authority: Authority) -> None:
    with pytest.raises(LinkError) as caught:
        await connects(hass, free_port(), ca=authority.pem)
    assert type(caught.value) is LinkError


async def test_an_end_in_one_breath_with_the_acceptance(
    hass: HomeAssistant, authority: Authority, server_tls: ssl.SSLContext
) -> None:
    goodbyes = [bytes([DISCONNECT, 0]), b""]

    def talk(connection: socket.socket) -> None:
        with server_tls.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1000)
            # One TLS record: the client reads both at once.
            secure.sendall(ACCEPTED_V5 + goodbyes.pop(0))
            while secure.recv(1000):
                pass

    with listening(talk) as port:
        with pytest.raises(LinkError, match="lost"):
            await connects(hass, port, ca=authority.pem)
        await connects(hass, port, ca=authority.pem)


async def test_a_broker_that_waits_for_the_rest_of_mqtt_5(
    hass: HomeAssistant,
    authority: Authority,
    server_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect, "SILENCE_S", 0.0)
    monkeypatch.setattr(connect, "FAREWELL_S", 0.1)
    levels: list[int] = []

    def talk(connection: socket.socket) -> None:
        with server_tls.wrap_socket(connection, server_side=True) as secure:
            said = secure.recv(1000)
            # A CONNECT of less than 128 bytes: type, length, "MQTT" with its length, level, flags.
            level, flags = said[8], said[9]
            levels.append(level)
            if level == V311:
                secure.sendall(ACCEPTED_V311)
            elif not flags & 0x80:  # no user name
                secure.sendall(refused_v311(1))
            while secure.recv(1000):
                pass

    with listening(talk) as port:
        await connects(hass, port, ca=authority.pem)
        assert levels == [V5, V5, V311]
        await connects(hass, port, ca=authority.pem)
        assert levels == [V5, V5, V311, V311]
