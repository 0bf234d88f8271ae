"""Gateways in the config flow: heard, typed in, named, registered."""

import asyncio
from unittest.mock import patch

from homeassistant.config_entries import SOURCE_IMPORT, ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow
import pytest

from custom_components.hy_heating import flow_listen
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.flow_listen import Window
from tests.links.brokers import AmqttBroker, ForbiddenTopics, settings_of, until

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
    begin,
    broker_input,
    choose,
    connections,
    defaults,
    finish,
    gateways,
    go_on,
    heard,
    message,
    options_of,
    placeholders,
    report,
    silence,
    status,
    subscribed,
    suggested,
    to_gateways,
)

pytestmark = pytest.mark.usefixtures("set_up")


async def test_gateways_are_heard_chosen_named_and_registered(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    menu = await to_gateways(hass, broker)
    assert not subscribed(broker), "nothing is subscribed before the window"
    window = await choose(hass, menu, "listen")
    assert (window["step_id"], window["progress_action"]) == ("listen", "listen")
    assert placeholders(window)["gateways"] == "–"
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    assert subscribed(broker) == {"hy/gw/set/+"}
    await heard(broker, report(GATEWAY_A, "23227310200800"))
    await heard(broker, report(GATEWAY_B, "23227310200800"))
    await heard(broker, report(GATEWAY_C, "23227310200800"))
    form = await finish(hass, window)
    assert form["step_id"] == "heard"
    await until(lambda: not connections(broker.port))
    assert options_of(form, "gateways") == {
        GATEWAY_A: f"{GATEWAY_A} · messages 2 · cabinets 1 · household valves 1",
        GATEWAY_B: f"{GATEWAY_B} · messages 1 · cabinets 0 · household valves 1",
        GATEWAY_C: f"{GATEWAY_C} · messages 1 · cabinets 0 · household valves 1",
    }
    assert placeholders(form)["topic"] == "hy/gw/set/+"

    first = await go_on(hass, form, {"gateways": [GATEWAY_C, GATEWAY_A]})
    assert first["step_id"] == "building"
    assert first["last_step"] is False
    assert placeholders(first) == {
        "gateway_id": GATEWAY_C,
        "number": "1",
        "total": "2",
    }
    second = await go_on(hass, first, {"name": " Building 7 ", "area_id": "cellar"})
    assert second["step_id"] == "building"
    assert second["last_step"] is True
    assert placeholders(second)["gateway_id"] == GATEWAY_A
    created = await go_on(hass, second, {})
    await hass.async_block_till_done()

    connection = settings_of(broker.port).as_data()
    assert created["type"] is FlowResultType.CREATE_ENTRY
    entry = created["result"]
    assert (entry.title, entry.unique_id, entry.source) == ("Building 7", GATEWAY_C, "user")
    assert entry.data == {**connection, "gateway_id": GATEWAY_C, "area_id": "cellar"}
    _, other = hass.config_entries.async_entries(DOMAIN)
    assert (other.title, other.unique_id, other.source) == (GATEWAY_A, GATEWAY_A, "import")
    assert other.data == {**connection, "gateway_id": GATEWAY_A}
    assert set_up == [GATEWAY_C, GATEWAY_A]


# --- The window ----------------------------------------------------------------------------


async def test_window_shows_what_it_heard_so_far(hass: HomeAssistant, broker: AmqttBroker) -> None:
    add_entry(hass, GATEWAY_B, port=1)
    choice = await begin(hass)
    form = await go_on(hass, choice, {"broker": "new"})
    menu = await go_on(hass, form, broker_input(broker.port))
    window = await choose(hass, menu, "listen")
    await heard(broker, report(GATEWAY_B, "27100583203400"))
    await heard(broker, report(GATEWAY_A, "27100583203400"))
    await asyncio.sleep(0.1)
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
    monkeypatch.setattr(flow_listen, "LISTEN_QUIET_S", 1.0)
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    await until(lambda: subscribed(broker))
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def talk() -> None:
        for number in range(100):
            await broker.publish(
                f"hy/gw/set/{number:011}", report(f"{number:011}", "27100583203400")
            )
            await asyncio.sleep(0.08)

    talking = asyncio.create_task(talk())
    form = await finish(hass, window)
    talking.cancel()
    # A new gateway every 0.08 s or so would keep it open for 8 s.
    assert 1.3 < loop.time() - begun < 4.0
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
    await until(lambda: not subscribed(broker))
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


# --- One gateway ---------------------------------------------------------------------------


async def test_typed_gateway_is_probed_shown_and_registered(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    assert form["step_id"] == "gateway_id"
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}) as commands:
        probe = await go_on(hass, form, {"gateway_id": f" {GATEWAY_A} "})
        assert (probe["step_id"], probe["progress_action"]) == ("probe", "probe")
        await until(lambda: f"hy/gw/set/{GATEWAY_A}" in subscribed(broker))
        assert subscribed(broker) == {"hy/gw/get/+", f"hy/gw/set/{GATEWAY_A}"}
        form = await finish(hass, probe)
    assert [(to, sent["gw"]["msg_id"]) for to, sent in commands] == [(GATEWAY_A, 1)]
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


async def test_silent_gateway_can_be_asked_again(hass: HomeAssistant, broker: AmqttBroker) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert (menu["type"], menu["step_id"]) == (FlowResultType.MENU, "silent")
    assert placeholders(menu) == {"gateway_id": GATEWAY_A}
    assert menu["menu_options"] == ["probe", "gateway_id", "building"]
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await choose(hass, menu, "probe"))
    assert form["step_id"] == "probed"


async def test_silent_gateway_can_be_added_knowingly(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    form = await choose(hass, menu, "building")
    assert form["step_id"] == "building"
    created = await go_on(hass, form, {"name": "   "})
    assert created["type"] is FlowResultType.CREATE_ENTRY
    assert created["title"] == GATEWAY_A, "a blank name is none"


async def test_other_id_after_a_silent_one(hass: HomeAssistant, broker: AmqttBroker) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B)}):
        menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
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
    await broker.stop()
    menu = await finish(hass, probe)
    assert menu["step_id"] == "connection_lost"
    assert menu["menu_options"] == ["probe", "gateway_id"]
    await broker.start()
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await choose(hass, menu, "probe"))
    assert form["step_id"] == "probed"


# --- Cancelled -----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["listen", "gateway_id"])
async def test_cancelled_flow_leaves_no_connection(
    hass: HomeAssistant, broker: AmqttBroker, way: str
) -> None:
    step = await choose(hass, await to_gateways(hass, broker), way)
    if way == "gateway_id":
        step = await go_on(hass, step, {"gateway_id": GATEWAY_A})
    await until(lambda: subscribed(broker))
    hass.config_entries.flow.async_abort(step["flow_id"])
    await until(lambda: not connections(broker.port))
    with pytest.raises(UnknownFlow):
        await go_on(hass, step)


@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.03, 0.1])
async def test_flow_cancelled_while_it_connects_leaves_no_connection(
    hass: HomeAssistant, broker: AmqttBroker, delay_s: float
) -> None:
    menu = await to_gateways(hass, broker)
    await until(lambda: not connections(broker.port))
    await broker.stop()
    async with silence(broker.port) as (_, open_now):
        window = await choose(hass, menu, "listen")
        await asyncio.sleep(delay_s)
        hass.config_entries.flow.async_abort(window["flow_id"])
        await hass.async_block_till_done(wait_background_tasks=True)
        await until(lambda: not open_now)


# --- Registered once -----------------------------------------------------------------------


async def test_registered_id_is_refused(hass: HomeAssistant, broker: AmqttBroker) -> None:
    add_entry(hass, GATEWAY_A, broker.port)
    choice = await begin(hass)
    menu = await go_on(hass, choice, defaults(choice))
    form = await choose(hass, menu, "gateway_id")
    refused = await go_on(hass, form, {"gateway_id": GATEWAY_A})
    assert (refused["type"], refused["reason"]) == (FlowResultType.ABORT, "already_configured")


async def test_second_of_two_flows_at_once_is_refused(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    forms = []
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        for _ in range(2):
            form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
            form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
            forms.append(form)
    created = await go_on(hass, forms[0], {})
    assert created["type"] is FlowResultType.CREATE_ENTRY
    refused = await go_on(hass, forms[1], {})
    assert (refused["type"], refused["reason"]) == (FlowResultType.ABORT, "already_configured")
    assert len(hass.config_entries.async_entries(DOMAIN)) == 1


async def test_gateways_registered_meanwhile_are_left_out(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    window = await choose(hass, await to_gateways(hass, broker), "listen")
    for gateway_id in (GATEWAY_A, GATEWAY_B):
        await heard(broker, report(gateway_id, "27100583203400"))
    form = await finish(hass, window)
    form = await go_on(hass, form, {"gateways": [GATEWAY_A, GATEWAY_B]})
    form = await go_on(hass, form, {"name": "A"})
    add_entry(hass, GATEWAY_A, broker.port)
    created = await go_on(hass, form, {"name": "B"})
    await hass.async_block_till_done()
    assert (created["result"].unique_id, created["title"]) == (GATEWAY_B, "B")
    assert len(hass.config_entries.async_entries(DOMAIN)) == 2


async def test_import_registers_once(hass: HomeAssistant) -> None:
    data = {**settings_of(1883).as_data(), "gateway_id": GATEWAY_A, "name": "Building 7"}
    results = [
        await hass.config_entries.flow.async_init(
            DOMAIN, context={"source": SOURCE_IMPORT}, data=data
        )
        for _ in range(2)
    ]
    assert results[0]["type"] is FlowResultType.CREATE_ENTRY
    assert results[0]["title"] == "Building 7"
    assert "name" not in results[0]["data"]
    assert (results[1]["type"], results[1]["reason"]) == (
        FlowResultType.ABORT,
        "already_configured",
    )


async def test_every_step_can_be_looked_at_again(hass: HomeAssistant, broker: AmqttBroker) -> None:
    """The frontend loads a step anew when its page is: nothing may happen by that."""
    form = await go_on(hass, await begin(hass))
    assert form["step_id"] == "broker"
    menu = await go_on(hass, form, broker_input(broker.port))
    assert (await go_on(hass, menu))["step_id"] == "gateways"
    form = await choose(hass, menu, "gateway_id")
    assert (await go_on(hass, form))["step_id"] == "gateway_id"
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    assert (await go_on(hass, menu))["step_id"] == "silent"
    form = await choose(hass, menu, "building")
    again = await go_on(hass, form)
    assert (again["step_id"], placeholders(again)["number"]) == ("building", "1")
    assert not hass.config_entries.async_entries(DOMAIN)


async def test_last_form_submitted_twice_registers_once(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    form = await choose(hass, await to_gateways(hass, broker), "gateway_id")
    menu = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    form = await choose(hass, menu, "building")
    setting_up, go = asyncio.Event(), asyncio.Event()

    async def set_up_slowly(hass: HomeAssistant, entry: ConfigEntry) -> bool:
        setting_up.set()
        await go.wait()
        return True

    with patch("custom_components.hy_heating.async_setup_entry", set_up_slowly):
        first = asyncio.create_task(go_on(hass, form, {"name": "Building 7"}))
        await setting_up.wait()
        second = await go_on(hass, form, {"name": "Building 8"})
        assert second["step_id"] == "building"
        go.set()
        created = await first
    assert created["type"] is FlowResultType.CREATE_ENTRY
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert entry.title == "Building 7"
