"""Discovery at a real mosquitto: on and off, without reports that come twice or fill a session."""

import asyncio
from collections.abc import AsyncIterator
import json
from pathlib import Path
import re

from homeassistant.config_entries import SOURCE_INTEGRATION_DISCOVERY, ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating import discovery
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.client import Event, MessageReceived
from custom_components.hy_heating.links.settings import HomeAssistantSettings, LinkSettings
from tests.links.brokers import settings_of, until
from tests.links.mosquitto import Mosquitto
from tests.mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("socket_enabled")]

GATEWAY_A = "02345678903"
GATEWAY_B = "02345678911"
NEIGHBOR = "02345678999"


def status(gateway_id: str) -> bytes:
    gw = {"msg_id": 1, "msg_gw_pr": 0, "gw_id": gateway_id}
    data = {"stat": 2, "CSQ": [99, 99], "RSSI": -98, "SINR": 13, "GW_Ver": "V1.0"}
    return json.dumps({"gw": gw, "data": data}).encode()


def report_topic(gateway_id: str) -> str:
    return f"hy/gw/set/{gateway_id}"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait long for gateways that nobody plays."""
    monkeypatch.setattr(discovery, "ASK_TIMEOUT_S", 0.3)
    monkeypatch.setattr(discovery, "ASK_PAUSE_S", 0.02)


@pytest.fixture(params=["own", "home_assistant"])
async def link(
    hass: HomeAssistant, mosquitto: Mosquitto, request: pytest.FixtureRequest
) -> AsyncIterator[LinkSettings]:
    """Return a link to the broker; whatever uses it is unloaded afterwards."""
    if request.param == "own":
        yield settings_of(mosquitto.port)
        await unload_all(hass)
        return
    with impatient_mqtt():
        mqtt = mqtt_entry(mosquitto.port)
        await set_up_mqtt(hass, mqtt)
        yield HomeAssistantSettings(prefix="hy/gw")
        await unload_all(hass)
        await unload_mqtt(hass, mqtt)


@pytest.fixture
async def mosquitto(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    """Return a running mosquitto with its options as Debian ships them."""
    mosquitto = Mosquitto(tmp_path)
    await mosquitto.start()
    yield mosquitto
    await mosquitto.stop()


async def unload_all(hass: HomeAssistant) -> None:
    for entry in hass.config_entries.async_entries(DOMAIN):
        if entry.state is ConfigEntryState.LOADED:
            await hass.config_entries.async_unload(entry.entry_id)


async def add(
    hass: HomeAssistant, link: LinkSettings, gateway_id: str, *, on: bool
) -> MockConfigEntry:
    entry = MockConfigEntry(
        domain=DOMAIN,
        title=gateway_id,
        unique_id=gateway_id,
        version=2,
        data={**link.as_data(), "gateway_id": gateway_id, "discovery": on},
    )
    entry.add_to_hass(hass)
    if not await async_setup_component(hass, DOMAIN, {}):
        raise AssertionError("not set up")
    if entry.state is ConfigEntryState.NOT_LOADED:
        await hass.config_entries.async_setup(entry.entry_id)
    await until(lambda: entry.state is ConfigEntryState.LOADED, 20)
    return entry


def cards(hass: HomeAssistant) -> set[str]:
    flows = hass.config_entries.flow.async_progress_by_handler(
        DOMAIN, match_context={"source": SOURCE_INTEGRATION_DISCOVERY}
    )
    return {str(flow["context"]["unique_id"]) for flow in flows}


async def everything_is_heard(mosquitto: Mosquitto, times: int) -> None:
    """Wait until the wildcard was subscribed so often."""
    await until(lambda: mosquitto.log.count("hy/gw/set/+ (QoS 1)") >= times, 10)


async def test_a_registered_gateway_is_heard_once_while_others_are_offered(
    hass: HomeAssistant, link: LinkSettings, mosquitto: Mosquitto
) -> None:
    entry = await add(hass, link, GATEWAY_A, on=True)
    await everything_is_heard(mosquitto, 1)
    heard: list[Event] = []
    client = entry.runtime_data.gateway.client
    real = client._listener

    def listen(event: Event) -> None:
        if isinstance(event, MessageReceived):
            heard.append(event)
        real(event)

    client._listener = listen
    await mosquitto.publish(report_topic(GATEWAY_A), status(GATEWAY_A), status(GATEWAY_A))
    await mosquitto.publish(report_topic(NEIGHBOR), status(NEIGHBOR))
    await until(lambda: cards(hass) == {NEIGHBOR})
    await asyncio.sleep(0.2)
    assert len(heard) == 2


async def test_it_is_turned_on_and_off_for_the_broker(
    hass: HomeAssistant, link: LinkSettings, mosquitto: Mosquitto
) -> None:
    entries = [await add(hass, link, gateway_id, on=False) for gateway_id in (GATEWAY_A, GATEWAY_B)]
    assert "hy/gw/set/+" not in mosquitto.log

    async def turn(*, on: bool) -> None:
        for entry in entries:
            hass.config_entries.async_update_entry(entry, data={**entry.data, "discovery": on})
            await hass.config_entries.async_reload(entry.entry_id)

    await turn(on=True)
    await everything_is_heard(mosquitto, 1)
    await mosquitto.publish(report_topic(NEIGHBOR), status(NEIGHBOR))
    await until(lambda: cards(hass) == {NEIGHBOR})
    assert mosquitto.log.count("hy/gw/set/+ (QoS 1)") == 1, "one for the broker"

    await turn(on=False)
    assert cards(hass) == set()
    await asyncio.sleep(0.3)
    await mosquitto.publish(report_topic(NEIGHBOR), status(NEIGHBOR))
    await asyncio.sleep(0.3)
    assert cards(hass) == set()

    await turn(on=True)
    await everything_is_heard(mosquitto, 2)
    await mosquitto.publish(report_topic(NEIGHBOR), status(NEIGHBOR))
    await until(lambda: cards(hass) == {NEIGHBOR})


async def test_others_reports_fill_no_session(hass: HomeAssistant, mosquitto: Mosquitto) -> None:
    """While Home Assistant is away, the broker holds reports of registered gateways only."""
    await add(hass, settings_of(mosquitto.port), GATEWAY_A, on=True)
    await everything_is_heard(mosquitto, 1)
    log = mosquitto.log
    (watch,) = re.findall(r"(\S+) 1 hy/gw/set/\+", log)
    (registered,) = re.findall(rf"(\S+) 1 {report_topic(GATEWAY_A)}", log)
    begins_anew = dict(re.findall(r"as (hy-heating-\w+) \(p5, c(\d)", log))
    assert begins_anew == {watch: "1", registered: "0"}
    await unload_all(hass)
