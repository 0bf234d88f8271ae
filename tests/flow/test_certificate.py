"""An own certificate authority in the config flow."""

from collections.abc import AsyncIterator
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from uuid import uuid4

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
import pytest
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.hy_heating.flow_certificate import (
    MAX_CERTIFICATE_SIZE,
    to_pem,
)
from tests.links.brokers import AmqttBroker, until
from tests.links.certificates import Authority

from .helpers import (
    broker_input,
    connections,
    go_on,
    placeholders,
    register,
    silence,
    suggested,
    tls_before,
    upload,
)

pytestmark = pytest.mark.usefixtures("set_up")


@pytest.fixture
def authority() -> Authority:
    return Authority("Heating authority")


@pytest.fixture
async def tls_port(broker: AmqttBroker, authority: Authority, tmp_path: Path) -> AsyncIterator[int]:
    """Return the port of a broker that only speaks TLS, certified by an own authority."""
    with tls_before(broker.port, authority.issue().server_context(tmp_path)) as port:
        yield port
        await until(lambda: not connections(port))


@pytest.mark.parametrize("kind", ["pem", "der"])
async def test_own_authority_is_uploaded_and_kept(
    hass: HomeAssistant,
    form: ConfigFlowResult,
    broker: AmqttBroker,
    tls_port: int,
    authority: Authority,
    hass_client: ClientSessionGenerator,
    kind: str,
) -> None:
    form = await go_on(hass, form, broker_input(tls_port, encryption="system_ca"))
    assert form["errors"] == {"base": "tls_failed"}
    assert "certificate" in placeholders(form)["detail"]
    file_id = await upload(
        hass_client,
        authority.pem.encode() if kind == "pem" else PEM_cert_to_DER_cert(authority.pem),
    )
    typed = broker_input(tls_port, encryption="own_ca", ca_certificate=file_id)
    created = await register(hass, broker, await go_on(hass, form, typed))
    assert created["data"]["ca_certificate"] == authority.pem
    assert (created["data"]["tls"], created["data"]["tls_verify"]) == (True, True)


async def test_connection_without_check_is_possible_when_chosen(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker, tls_port: int
) -> None:
    menu = await go_on(hass, form, broker_input(tls_port, encryption="unverified"))
    created = await register(hass, broker, menu)
    assert (created["data"]["tls"], created["data"]["tls_verify"]) == (True, False)


async def test_tls_where_nobody_speaks_it(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    async with silence(hang_up=True) as (port, _):
        form = await go_on(hass, form, broker_input(port, encryption="system_ca"))
    assert form["errors"] == {"base": "tls_failed"}
    assert (await go_on(hass, form, broker_input(broker.port)))["step_id"] == "gateways"


async def test_uploaded_certificate_is_kept_over_other_errors(
    hass: HomeAssistant,
    form: ConfigFlowResult,
    broker: AmqttBroker,
    tls_port: int,
    authority: Authority,
    hass_client: ClientSessionGenerator,
) -> None:
    assert placeholders(form)["certificate"] == "–"
    file_id = await upload(hass_client, authority.pem.encode())
    typed = broker_input(tls_port, encryption="own_ca", ca_certificate=file_id, password="wrong")
    form = await go_on(hass, form, typed)
    assert form["errors"] == {"base": "invalid_auth"}
    assert placeholders(form)["certificate"] == "CN=Heating authority"
    assert "ca_certificate" not in suggested(form), "an upload can be read only once"
    menu = await go_on(hass, form, broker_input(tls_port, encryption="own_ca"))
    assert menu["step_id"] == "gateways"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no certificate",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"x" * (MAX_CERTIFICATE_SIZE + 1),
    ],
    ids=["empty", "text", "damaged", "a key", "large"],
)
async def test_upload_that_is_no_certificate(
    hass: HomeAssistant,
    form: ConfigFlowResult,
    broker: AmqttBroker,
    hass_client: ClientSessionGenerator,
    content: bytes,
) -> None:
    file_id = await upload(hass_client, content)
    typed = broker_input(broker.port, encryption="own_ca", ca_certificate=file_id)
    form = await go_on(hass, form, typed)
    assert form["errors"] == {"advanced": "invalid_certificate"}
    assert (await go_on(hass, form, broker_input(broker.port)))["step_id"] == "gateways"


async def test_upload_that_is_gone(
    hass: HomeAssistant, form: ConfigFlowResult, broker: AmqttBroker
) -> None:
    typed = broker_input(broker.port, encryption="own_ca", ca_certificate=str(uuid4()))
    form = await go_on(hass, form, typed)
    assert form["errors"] == {"advanced": "upload_lost"}
    form = await go_on(hass, form, broker_input(broker.port, encryption="own_ca"))
    assert form["errors"] == {"advanced": "certificate_required"}
    assert (await go_on(hass, form, broker_input(broker.port)))["step_id"] == "gateways"


async def test_certificate_that_would_not_be_used_is_asked_about_once(
    hass: HomeAssistant,
    form: ConfigFlowResult,
    broker: AmqttBroker,
    authority: Authority,
    hass_client: ClientSessionGenerator,
) -> None:
    typed = broker_input(
        broker.port, ca_certificate=await upload(hass_client, authority.pem.encode())
    )
    form = await go_on(hass, form, typed)
    assert form["errors"] == {"encryption": "certificate_not_used"}
    created = await register(hass, broker, await go_on(hass, form, broker_input(broker.port)))
    assert created["data"]["ca_certificate"] is None


def test_nothing_but_certificates_is_kept() -> None:
    first, second = Authority("First"), Authority("Second")
    bundle = f"Our authorities:\n{first.pem}{first.issue().key.decode()}{second.pem}"
    assert to_pem(bundle.encode()) == first.pem + second.pem
