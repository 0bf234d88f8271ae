"""The listening window of the config flow."""

import asyncio

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import pytest

from custom_components.hy_heating import flow_listen
from custom_components.hy_heating.flow_listen import Window
from tests.links.brokers import AmqttBroker, ForbiddenTopics, until

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    add_entry,
    begin,
    broker_input,
    choose,
    defaults,
    finish,
    go_on,
    heard,
    message,
    options_of,
    placeholders,
    report,
    status,
    subscribed,
    to_gateways,
)

pytestmark = pytest.mark.usefixtures("set_up")


async def test_window_shows_what_it_heard_so_far(hass: HomeAssistant, broker: AmqttBroker) -> None:
    add_entry(hass, GATEWAY_B, port=1)
    choice = await begin(hass)
    form = await go_on(hass, choice, {"broker": "new"})
    menu = await go_on(hass, form, broker_input(broker.port))
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_B, "27100583203400"))
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    again = window
    while placeholders(again)["count"] == "0":
        await asyncio.sleep(0.01)
        again = await go_on(hass, window)
    assert again["type"] is FlowResultType.SHOW_PROGRESS
    assert placeholders(again) == {
        "topic": "hy/gw/set/+",
        "gateways": GATEWAY_A,
        "count": "1",
        "registered": "1",
        "ignored": "0",
    }
    form = await finish(hass, window)
    assert options_of(form, "gateways").keys() == {GATEWAY_A}
    assert defaults(form) == {"gateways": [GATEWAY_A]}, "a single one is chosen already"


async def test_window_tells_the_frontend_when_it_heard_another_one_and_how_far_it_is(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    changes: list[str] = []
    progress: list[float] = []
    hass.bus.async_listen(
        "data_entry_flow_progressed", lambda event: changes.append(event.data["flow_id"])
    )
    hass.bus.async_listen(
        "data_entry_flow_progress_update", lambda event: progress.append(event.data["progress"])
    )
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await until(lambda: len(progress) > 3)
    assert not changes
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    await until(lambda: changes)
    assert set(changes) == {window["flow_id"]}
    await finish(hass, window)
    assert all(0 <= fraction <= 1 for fraction in progress)
    assert progress[-1] > 0.9


async def test_window_ends_soon_after_the_last_new_gateway(
    hass: HomeAssistant, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_listen, "LISTEN_LIMIT_S", 10.0)
    monkeypatch.setattr(flow_listen, "LISTEN_QUIET_S", 0.4)
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(3):  # the same gateway again does not keep it open
        await asyncio.sleep(0.1)
        await heard(broker, report(GATEWAY_A, "23227310200800"))
    form = await finish(hass, window)
    assert form["step_id"] == "heard"
    assert 0.35 < loop.time() - begun < 3.0


async def test_window_ends_at_its_limit_whatever_is_heard(
    hass: HomeAssistant, broker: AmqttBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_listen, "LISTEN_LIMIT_S", 1.5)
    monkeypatch.setattr(flow_listen, "LISTEN_QUIET_S", 5.0)
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await until(lambda: subscribed(broker))
    loop = asyncio.get_running_loop()
    begun = loop.time()

    number = 0
    while loop.time() - begun < 1.2:  # and then still within the quiet time of the last one
        gateway_id = f"{number:011}"
        await broker.publish(f"hy/gw/set/{gateway_id}", report(gateway_id, "27100583203400"))
        await asyncio.sleep(0.05)
        number += 1
    form = await finish(hass, window)
    assert 1.4 < loop.time() - begun < 3.0
    assert len(options_of(form, "gateways")) > 12
    shown = placeholders(form)["gateways"].split(", ")
    assert (len(shown), shown[0], shown[-1]) == (13, "00000000000", "…")


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        (f"hy/gw/set/{GATEWAY_A}", b"no JSON"),
        (f"hy/gw/set/{GATEWAY_A}", b"\xff\x00"),
        (f"hy/gw/set/{GATEWAY_A}", report(GATEWAY_B, "27100583203400")),
        (f"hy/gw/set/{GATEWAY_A}", message(GATEWAY_A, 99)),
        ("hy/gw/set/1234", report("1234", "27100583203400")),
    ],
    ids=["json", "bytes", "other gateway", "unknown message", "no id"],
)
async def test_garbage_is_no_gateway(
    hass: HomeAssistant, broker: AmqttBroker, topic: str, payload: bytes
) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await heard(broker, payload, topic)
    menu = await finish(hass, window)
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "nothing_heard")
    assert placeholders(menu)["ignored"] == "1"
    assert menu["menu_options"] == ["listen", "gateway_id"]
    assert (await go_on(hass, menu))["step_id"] == "nothing_heard"
    await until(lambda: not broker.subscriptions)  # amqtt may skip a new one beside an old one
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    form = await finish(hass, window)
    assert options_of(form, "gateways").keys() == {GATEWAY_A}


async def test_retained_message_is_no_gateway(hass: HomeAssistant, broker: AmqttBroker) -> None:
    await broker.retain(f"hy/gw/set/{GATEWAY_A}", report(GATEWAY_A, "27100583203400"))
    menu = await finish(hass, await choose(hass, await to_gateways(hass, broker), "listen"))
    assert menu["step_id"] == "nothing_heard"
    assert placeholders(menu)["ignored"] == "1"


async def test_only_registered_gateways_heard_is_nothing_new(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    add_entry(hass, GATEWAY_A, broker.port)
    choice = await begin(hass)
    assert choice["step_id"] == "user"
    menu = await go_on(hass, choice, defaults(choice))
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    menu = await finish(hass, window)
    assert menu["step_id"] == "nothing_heard"
    assert placeholders(menu)["registered"] == "1"


@pytest.mark.parametrize(
    ("language", "label"),
    [
        ("en", "messages 1 · cabinets 0 · household valves 0 · firmware V1.0 imgx · -98 dBm"),
        ("zh-Hans", "消息 1 条 · 楼宇柜 0 台 · 户用阀 0 台 · 固件 V1.0 imgx · -98 dBm"),
    ],
)
async def test_labels_speak_the_language_and_show_a_status_without_markup(
    hass: HomeAssistant, broker: AmqttBroker, language: str, label: str
) -> None:
    hass.config.language = language
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await heard(broker, status(GATEWAY_A, GW_Ver="V1.0 ![img](x)"))
    form = await finish(hass, window)
    assert options_of(form, "gateways") == {GATEWAY_A: f"{GATEWAY_A} · {label}"}


async def test_failed_status_says_nothing(hass: HomeAssistant, broker: AmqttBroker) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await heard(broker, status(GATEWAY_A, stat=1))
    form = await finish(hass, window)
    assert "V1.0" not in options_of(form, "gateways")[GATEWAY_A]


async def test_window_bounds_what_it_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_listen, "MAX_HEARD", 1)
    monkeypatch.setattr(flow_listen, "MAX_METERS", 2)
    window = Window(set())
    for meter in ("11111111", "22222222", "33333333", "11111111"):
        payload = report(GATEWAY_A, f"{meter}203400")
        window.receive(f"hy/gw/set/{GATEWAY_A}", payload, False)
    window.receive(f"hy/gw/set/{GATEWAY_B}", report(GATEWAY_B, "11111111203400"), False)
    assert window.gateways.keys() == {GATEWAY_A}
    assert (window.gateways[GATEWAY_A].messages, window.gateways[GATEWAY_A].cabinets) == (4, 2)
    assert window.ignored == 1


async def test_refused_subscription_names_the_topic_and_can_be_tried_again(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    ForbiddenTopics.forbidden = {"hy/gw/set/+"}
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    menu = await finish(hass, window)
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "subscription_refused")
    assert placeholders(menu) == {"topic": "hy/gw/set/+"}
    assert menu["menu_options"] == ["listen", "gateway_id"]
    ForbiddenTopics.forbidden.clear()
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    assert (await finish(hass, window))["step_id"] == "heard"


async def test_lost_connection_ends_the_window_and_can_be_tried_again(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await until(lambda: subscribed(broker))
    await broker.stop()
    menu = await finish(hass, window)
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "connection_lost")
    assert placeholders(menu) == {"detail": "the connection was lost"}
    menu = await finish(hass, await choose(hass, menu, "listen"))
    assert menu["step_id"] == "connection_lost", "the broker is still away"
    await broker.start()
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    assert (await finish(hass, window))["step_id"] == "heard"


async def test_what_was_heard_before_the_connection_was_lost_is_offered(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    await asyncio.sleep(0.1)
    await broker.stop()
    form = await finish(hass, window)
    assert options_of(form, "gateways").keys() == {GATEWAY_A}


async def test_no_gateway_chosen_is_an_error(hass: HomeAssistant, broker: AmqttBroker) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    form = await finish(hass, window)
    form = await go_on(hass, form, {"gateways": []})
    assert (form["step_id"], form["errors"]) == ("heard", {"gateways": "no_gateway_chosen"})
    form = await go_on(hass, form, {"gateways": [GATEWAY_A, GATEWAY_A]})
    assert form["step_id"] == "building"
    assert placeholders(form)["total"] == "1", "chosen twice is chosen once"
