"""What a key `mqtt` in the manifest would cost: a config flow for every report.

    scripts/test tests/measure_manifest_discovery.py -n0 -s

prints the time that the event loop spends on one report of a registered gateway, with Home
Assistant's own discovery and with ours. The figures are in docs/ARCHITECTURE.md.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
import sys
import time
from unittest.mock import patch

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.helpers.service_info.mqtt import MqttServiceInfo
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.config_flow import HyConfigFlow
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.discovery import GatewayWatch, _Place
from custom_components.hy_heating.hyheat.envelope import gateway_id_of_topic
from custom_components.hy_heating.links.settings import HomeAssistantSettings
from tests.common import report
from tests.links.brokers import AmqttBroker, until
from tests.mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

GATEWAYS = 100
METERS = 10_000
REPORTS = 2_000
CABINET_SHARE = 0.05
FRAME = "68" + "00" * 60 + "16"
REPORTS_PER_S = METERS * (CABINET_SHARE / 600 + (1 - CABINET_SHARE) / 3600)
"""Cabinets report every 10 minutes, household valves every hour."""


@dataclass
class Message:
    """A message as paho hands it over."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    timestamp: float = field(default_factory=time.monotonic)


@pytest.fixture
async def broker(socket_enabled: None) -> AsyncIterator[AmqttBroker]:
    """Bring up a broker; the reports do not come from it, so as not to measure it too."""
    broker = AmqttBroker()
    await broker.start()
    yield broker
    await broker.stop()


def reports() -> list[Message]:
    """Return reports of all gateways in turn, no two alike."""
    messages = []
    for number in range(REPORTS):
        gateway_id = f"{number % GATEWAYS:011}"
        payload = report(f"{number:08}200800", FRAME, gateway_id)
        messages.append(Message(f"hy/gw/set/{gateway_id}", payload))
    return messages


def add_gateways(hass: HomeAssistant) -> None:
    data = {**HomeAssistantSettings(prefix="hy/gw").as_data()}
    for number in range(GATEWAYS):
        MockConfigEntry(domain=DOMAIN, unique_id=f"{number:011}", version=2, data=data).add_to_hass(
            hass
        )


def show(what: str, seconds: float) -> None:
    """Print what one report costs."""
    each_us = seconds / REPORTS * 1e6
    share = each_us * 1e-6 * REPORTS_PER_S
    sys.stdout.write(
        f"\n{what}: {each_us:.1f} us a report; at {METERS} meters ({REPORTS_PER_S:.1f} reports/s) "
        f"{share:.3%} of the event loop, and {each_us * METERS / 1e6:.2f} s if all report at once\n"
    )


begun_flows: list[str] = []


async def async_step_mqtt(self: HyConfigFlow, info: MqttServiceInfo) -> ConfigFlowResult:
    """Do the least that such a flow must do."""
    begun_flows.append(info.topic)
    await self.async_set_unique_id(gateway_id_of_topic(info.topic))
    self._abort_if_unique_id_configured()
    return self.async_abort(reason="never here")


async def test_a_flow_for_every_report(hass: HomeAssistant, broker: AmqttBroker) -> None:
    """Home Assistant's own discovery."""
    hass.loop.set_debug(False)
    add_gateways(hass)
    assert await async_setup_component(hass, "homeassistant", {})

    async def listed(_hass: HomeAssistant) -> dict[str, set[str]]:
        return {DOMAIN: {"hy/gw/set/+"}}

    async def spent(entry: MockConfigEntry) -> float:
        await set_up_mqtt(hass, entry)
        receive: Callable[[object, None, Message], None]
        receive = hass.data["mqtt"].client._async_mqtt_on_message
        messages = reports()
        begun = time.process_time()
        for message in messages:
            receive(None, None, message)
        await until(lambda: len(begun_flows) == REPORTS, 60)
        await until(lambda: not hass.config_entries.flow.async_progress(include_uninitialized=True))
        used = time.process_time() - begun
        await unload_mqtt(hass, entry)
        return used

    with (
        impatient_mqtt(),
        patch("homeassistant.components.mqtt.discovery.async_get_mqtt", listed),
        patch.object(HyConfigFlow, "async_step_mqtt", async_step_mqtt),
    ):
        entry = mqtt_entry(broker.port, "3.1.1")
        object.__setattr__(entry, "options", {**entry.options, "discovery": True})
        used = await spent(entry)
    show("key mqtt in the manifest", used)


async def test_a_look_at_the_topic(hass: HomeAssistant) -> None:
    """Ours, on top of what Home Assistant's MQTT, or the own connection, does for each message."""
    add_gateways(hass)
    watch = GatewayWatch(hass, HomeAssistantSettings(prefix="hy/gw"), _Place())
    messages = reports()
    begun = time.process_time()
    for message in messages:
        watch._receive(message.topic, message.payload, message.retain)
    used = time.process_time() - begun
    assert watch._queue.empty(), "all of them are registered"
    show("our discovery", used)
