"""One gateway in the config flow: typed in, asked, shown."""

import asyncio

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.hy_heating import flow_listen
from custom_components.hy_heating.hyheat.session import Timing
from tests.common import captured
from tests.links.brokers import AmqttBroker, ForbiddenTopics, until

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    choose,
    finish,
    gateways,
    go_on,
    message,
    placeholders,
    status,
    subscribed,
    suggested,
    to_gateways,
)

pytestmark = pytest.mark.usefixtures("set_up")


async def test_typed_gateway_is_probed_shown_and_registered(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    assert form["step_id"] == "gateway_id"
    # As captured, with the CSQ that is no JSON.
    async with gateways(broker, {GATEWAY_A: captured("status_reply")}) as commands:
        probe = await go_on(hass, form, {"gateway_id": f" {GATEWAY_A} "})
        assert (probe["step_id"], probe["progress_action"]) == ("probe", "probe")
        form = await finish(hass, probe)
    ((to, sent, topics),) = commands
    assert (to, sent["gw"]["msg_id"]) == (GATEWAY_A, 1)
    own = {f"hy/gw/set/{GATEWAY_A}", f"hy/gw/get/{GATEWAY_A}"}
    assert topics == own | {"hy/gw/get/+"}, "but for the player's, its two topics and no others"
    assert form["step_id"] == "probed"
    assert form["last_step"] is True
    assert placeholders(form) == {
        "gateway_id": GATEWAY_A,
        "number": "1",
        "total": "1",
        "firmware": "V1.0",
        "rssi": "-98",
        "sinr": "13",
        "csq": "–",  # 99 means that the modem does not know
        "cabinets": "5",
        "valves": "96",
    }
    created = await go_on(hass, form, {"name": "Building 7"})
    assert created["type"] is FlowResultType.CREATE_ENTRY
    assert (created["title"], created["result"].unique_id) == ("Building 7", GATEWAY_A)
    assert set_up == [GATEWAY_A]


async def test_status_with_gaps_is_shown_with_dashes(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    async with gateways(broker, {GATEWAY_A: message(GATEWAY_A, 1, stat=2, CSQ=[21, 0])}):
        form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    shown = placeholders(form)
    assert shown["csq"] == "21"
    assert {shown[key] for key in ("firmware", "rssi", "sinr", "cabinets", "valves")} == {"–"}


@pytest.mark.parametrize("text", ["", "0234567890", "023456789033", "0234567890a", "hy/gw/set/+"])
async def test_no_gateway_id_is_an_error_that_keeps_what_was_typed(
    hass: HomeAssistant, broker: AmqttBroker, text: str
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    form = await go_on(hass, form, {"gateway_id": text})
    assert (form["step_id"], form["errors"]) == (
        "gateway_id",
        {"gateway_id": "invalid_gateway_id"},
    )
    assert suggested(form) == {"gateway_id": text}
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert form["step_id"] == "probed"


async def test_silent_gateway_can_be_asked_again(
    hass: HomeAssistant, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_listen, "PROBE_TIMING", Timing(ack_s=0.4))
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "silent")
    assert placeholders(menu) == {"gateway_id": GATEWAY_A}
    assert menu["menu_options"] == ["probe", "gateway_id", "building"]
    monkeypatch.setattr(flow_listen, "PROBE_TIMING", Timing(ack_s=5.0))
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await choose(hass, menu, "probe"))
    assert form["step_id"] == "probed"


async def test_silent_gateway_can_be_added_knowingly(
    hass: HomeAssistant, broker: AmqttBroker, impatient_probe: None
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    form = await choose(hass, menu, "building")
    assert form["step_id"] == "building"
    created = await go_on(hass, form, {"name": "   "})
    assert created["type"] is FlowResultType.CREATE_ENTRY
    assert created["title"] == GATEWAY_A, "a blank name is none"


async def test_other_id_after_a_silent_one(
    hass: HomeAssistant, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_listen, "PROBE_TIMING", Timing(ack_s=0.4))
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    monkeypatch.setattr(flow_listen, "PROBE_TIMING", Timing(ack_s=5.0))
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B)}):
        form = await choose(hass, menu, "gateway_id")
        form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_B}))
    created = await go_on(hass, form, {})
    assert created["result"].unique_id == GATEWAY_B


async def test_gateway_that_refuses_to_tell_is_not_called_silent(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    async with gateways(broker, {GATEWAY_A: message(GATEWAY_A, 1, stat=1)}):
        menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "gateway_refused")
    form = await choose(hass, menu, "building")
    assert (await go_on(hass, form, {}))["type"] is FlowResultType.CREATE_ENTRY


async def test_refused_topic_of_one_gateway_is_named(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    ForbiddenTopics.forbidden = {f"hy/gw/set/{GATEWAY_A}"}
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert menu["step_id"] == "subscription_refused"
    assert placeholders(menu) == {"topic": f"hy/gw/set/{GATEWAY_A}"}
    assert menu["menu_options"] == ["probe", "gateway_id"]
    ForbiddenTopics.forbidden.clear()
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await choose(hass, menu, "probe"))
    assert form["step_id"] == "probed"


async def test_connection_lost_while_a_gateway_is_asked(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    probe = await go_on(hass, form, {"gateway_id": GATEWAY_A})
    await until(lambda: subscribed(broker))
    await asyncio.sleep(0.05)  # the question is on its way
    await broker.stop()
    menu = await finish(hass, probe)
    assert menu["step_id"] == "connection_lost"
    assert menu["menu_options"] == ["probe", "gateway_id"]
    await broker.start()
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await choose(hass, menu, "probe"))
    assert form["step_id"] == "probed"
