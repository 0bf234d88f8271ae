"""Gateways that are heard on an own broker and have no entry, over both kinds of link."""

import asyncio
from collections.abc import AsyncIterator
import logging
from typing import Any

from homeassistant.config_entries import (
    SOURCE_IGNORE,
    SOURCE_INTEGRATION_DISCOVERY,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating import discovery
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.flow_broker_form import PASSWORD_UNCHANGED
from custom_components.hy_heating.flow_listen import HeardGateway
from custom_components.hy_heating.hyheat.client import Event, MessageReceived
from custom_components.hy_heating.hyheat.envelope import gateway_id_of_topic
from custom_components.hy_heating.links import broker as broker_module
from custom_components.hy_heating.links.settings import settings_from_data
from tests.links.brokers import AmqttBroker, ForbiddenTopics, settings_of, until
from tests.mqtt import impatient_mqtt, mqtt_entry, set_up_mqtt, unload_mqtt

from .helpers import (
    GATEWAY_A,
    GATEWAY_B,
    GATEWAY_C,
    add_entry,
    add_shared_entry,
    broker_input,
    choose,
    gateways,
    go_on,
    placeholders,
    report,
    status,
    subscribed,
    suggested,
)

EVERYTHING = "hy/gw/set/+"
ASKED_FOR_STATUS = 1


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask and try again soon."""
    monkeypatch.setattr(discovery, "ASK_TIMEOUT_S", 1.0)
    monkeypatch.setattr(discovery, "ASK_PAUSE_S", 0.02)
    monkeypatch.setattr(discovery, "RETRY_S", 0.05)
    monkeypatch.setattr(broker_module, "MIN_DELAY_S", 0.05)
    monkeypatch.setattr(broker_module, "MAX_DELAY_S", 0.2)


@pytest.fixture(params=["own", "home_assistant"])
async def registered(
    hass: HomeAssistant, broker: AmqttBroker, request: pytest.FixtureRequest
) -> AsyncIterator[MockConfigEntry]:
    """Return the loaded entry of gateway A, on a broker that is the user's own."""
    with impatient_mqtt():
        mqtt = mqtt_entry(broker.port, "3.1.1")
        if request.param == "own":
            entry = add_entry(hass, GATEWAY_A, broker.port, "Building 7", discovery=True)
        else:
            await set_up_mqtt(hass, mqtt)
            entry = add_shared_entry(hass, GATEWAY_A, "Building 7", discovery=True)
        assert await async_setup_component(hass, DOMAIN, {})
        await until(lambda: EVERYTHING in subscribed(broker))
        yield entry
        for each in hass.config_entries.async_entries(DOMAIN):
            if each.state is ConfigEntryState.LOADED:
                await hass.config_entries.async_unload(each.entry_id)
        await unload_mqtt(hass, mqtt)


def cards(hass: HomeAssistant) -> dict[str, ConfigFlowResult]:
    """Return what the user is shown as discovered, by gateway id."""
    flows = hass.config_entries.flow.async_progress_by_handler(
        DOMAIN, match_context={"source": SOURCE_INTEGRATION_DISCOVERY}
    )
    return {str(flow["context"]["unique_id"]): flow for flow in flows}


def text_of(card: ConfigFlowResult) -> str:
    return dict(card["context"]["title_placeholders"])["name"]


async def say(broker: AmqttBroker, gateway_id: str, payload: bytes | None = None) -> None:
    await broker.publish(f"hy/gw/set/{gateway_id}", payload or report(gateway_id, "27100583203400"))


def status_queries(commands: list[tuple[str, Any, set[str]]]) -> list[str]:
    """Return who was asked for a status, in order."""
    return [
        gateway_id
        for gateway_id, command, _ in commands
        if command["gw"]["msg_id"] == ASKED_FOR_STATUS
    ]


async def test_unknown_gateways_are_offered_once_each_and_registered_on_the_same_link(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    answers = {GATEWAY_B: status(GATEWAY_B), GATEWAY_C: status(GATEWAY_C, RSSI=-71)}
    async with gateways(broker, answers) as commands:
        for gateway_id in (GATEWAY_A, GATEWAY_B, GATEWAY_C, GATEWAY_B, GATEWAY_C):
            await say(broker, gateway_id)
        await until(lambda: len(cards(hass)) == 2)
        for gateway_id in (GATEWAY_B, GATEWAY_C):
            await say(broker, gateway_id)
        await asyncio.sleep(0.2)
        asked = status_queries(commands)
    assert asked.count(GATEWAY_B) == asked.count(GATEWAY_C) == 1, "politely"
    found = cards(hass)
    assert found.keys() == {GATEWAY_B, GATEWAY_C}
    assert text_of(found[GATEWAY_B]) == f"{GATEWAY_B} · V1.0 · -98 dBm · 5+96"
    assert "-71 dBm" in text_of(found[GATEWAY_C])

    form = await go_on(hass, found[GATEWAY_B])
    assert form["step_id"] == "discovered"
    shown = placeholders(form)
    assert (shown["gateway_id"], shown["sinr"], shown["valves"]) == (GATEWAY_B, "13", "96")
    created = await go_on(hass, form, {"name": "Building 8"})
    await hass.async_block_till_done()
    assert created["type"] is FlowResultType.CREATE_ENTRY
    entry = created["result"]
    assert (entry.title, entry.unique_id) == ("Building 8", GATEWAY_B)
    assert entry.state is ConfigEntryState.LOADED
    assert settings_from_data(entry.data) == settings_from_data(registered.data)
    assert entry.runtime_data.link is registered.runtime_data.link

    await say(broker, GATEWAY_B)
    await say(broker, GATEWAY_C)
    await asyncio.sleep(0.2)
    assert cards(hass).keys() == {GATEWAY_C}


async def test_a_registered_gateway_is_heard_once(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    heard: list[object] = []
    client = registered.runtime_data.gateway.client
    real = client._listener

    def listen(event: Event) -> None:
        if isinstance(event, MessageReceived):
            heard.append(event)
        real(event)

    client._listener = listen
    await say(broker, GATEWAY_A)
    await say(broker, GATEWAY_B)
    await until(lambda: cards(hass))
    assert len(heard) == 1


async def test_a_silent_one_is_offered_with_what_was_heard(
    hass: HomeAssistant,
    broker: AmqttBroker,
    registered: MockConfigEntry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "ASK_TIMEOUT_S", 0.3)
    await say(broker, GATEWAY_B)
    await say(broker, GATEWAY_B, report(GATEWAY_B, "23227310200800"))
    await until(lambda: cards(hass))
    assert text_of(cards(hass)[GATEWAY_B]) == f"{GATEWAY_B} · no answer · 1+1"
    form = await go_on(hass, cards(hass)[GATEWAY_B])
    assert (placeholders(form)["firmware"], placeholders(form)["messages"]) == ("–", "2")


async def test_one_that_tells_its_status_by_itself_is_not_asked(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    hass.config.language = "zh-Hans"
    async with gateways(broker, {}) as commands:
        await say(broker, GATEWAY_B, status(GATEWAY_B))
        await until(lambda: cards(hass))
        assert GATEWAY_B not in status_queries(commands)
    assert text_of(cards(hass)[GATEWAY_B]) == f"{GATEWAY_B} · V1.0 · -98 dBm · 5+96 台"


async def test_an_ignored_one_does_not_come_back_until_it_is_wanted_again(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    async with gateways(broker, {GATEWAY_B: status(GATEWAY_B)}):
        await say(broker, GATEWAY_B)
        await until(lambda: cards(hass))
        await hass.config_entries.flow.async_init(
            DOMAIN,
            context={"source": SOURCE_IGNORE},
            data={"unique_id": GATEWAY_B, "title": "Neighbor"},
        )
        assert not cards(hass)
        await say(broker, GATEWAY_B)
        await asyncio.sleep(0.2)
        assert not cards(hass)

        (ignored,) = [
            entry
            for entry in hass.config_entries.async_entries(DOMAIN)
            if entry.source == SOURCE_IGNORE
        ]
        await hass.config_entries.async_remove(ignored.entry_id)
        await say(broker, GATEWAY_B)
        await until(lambda: cards(hass))
        form = await go_on(hass, cards(hass)[GATEWAY_B])
        created = await go_on(hass, form, {})
        await hass.async_block_till_done()
        assert created["result"].state is ConfigEntryState.LOADED

        await hass.config_entries.async_remove(created["result"].entry_id)
        await say(broker, GATEWAY_B)
        await until(lambda: cards(hass))


async def test_one_that_takes_the_place_of_another_is_no_longer_offered(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    await say(broker, GATEWAY_B, status(GATEWAY_B))
    await say(broker, GATEWAY_C, status(GATEWAY_C))
    await until(lambda: len(cards(hass)) == 2)
    hass.config_entries.async_update_entry(registered, unique_id=GATEWAY_B)
    assert cards(hass).keys() == {GATEWAY_C}
    await say(broker, GATEWAY_A, status(GATEWAY_A))  # the old one, if it still lives
    await until(lambda: cards(hass).keys() == {GATEWAY_A, GATEWAY_C})


async def test_one_that_is_registered_while_it_is_asked_is_not_offered(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    async with gateways(broker, {}) as commands:
        await say(broker, GATEWAY_B)
        await until(lambda: GATEWAY_B in status_queries(commands))
        add_entry(hass, GATEWAY_B, broker.port)
        await say(broker, GATEWAY_C, status(GATEWAY_C))
        await until(lambda: cards(hass))
    assert cards(hass).keys() == {GATEWAY_C}, "whose turn came after it"


async def test_changes_of_others_change_nothing(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    await say(broker, GATEWAY_B, status(GATEWAY_B))
    await until(lambda: cards(hass))
    other = MockConfigEntry(domain="other", unique_id=GATEWAY_B)
    other.add_to_hass(hass)
    hass.config_entries.async_update_entry(other, title="Other")
    assert cards(hass).keys() == {GATEWAY_B}


async def test_settings_are_taken_over_before_there_is_a_link(hass: HomeAssistant) -> None:
    watch = discovery.GatewayWatch(hass, settings_of(1883, password="old"), discovery._Place())
    watch.async_renew(settings_of(1883))
    assert watch._settings == settings_of(1883)


async def test_garbage_and_kept_messages_offer_nothing(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    await say(broker, GATEWAY_B, b"\xff no JSON")
    await say(broker, GATEWAY_B, report(GATEWAY_C, "27100583203400"))
    await broker.publish("hy/gw/set/1234", report("1234", "27100583203400"))
    await broker.retain(f"hy/gw/set/{GATEWAY_C}", report(GATEWAY_C, "27100583203400"))
    await hass.config_entries.async_reload(registered.entry_id)
    await until(lambda: EVERYTHING in subscribed(broker))
    await asyncio.sleep(0.2)
    assert not cards(hass)
    await say(broker, GATEWAY_B, status(GATEWAY_B))
    await until(lambda: cards(hass))
    assert cards(hass).keys() == {GATEWAY_B}


async def test_invented_ids_are_bounded_and_told_once(
    hass: HomeAssistant,
    broker: AmqttBroker,
    registered: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "MAX_UNKNOWN", 3)
    arrived: list[str] = []

    def note(topic: str) -> str:
        arrived.append(topic)
        return gateway_id_of_topic(topic)

    monkeypatch.setattr(discovery, "gateway_id_of_topic", note)
    invented = [f"{number:011}" for number in range(20)]
    for gateway_id in invented[:3]:
        await say(broker, gateway_id, status(gateway_id))
    await until(lambda: len(cards(hass)) == 3)
    for gateway_id in reversed(invented):
        await say(broker, gateway_id)
    await until(lambda: len(arrived) >= 23)
    assert cards(hass).keys() == set(invented[:3])
    (place,) = hass.data[discovery._PLACES].values()
    assert len(place.heard) == 3
    assert caplog.text.count("More than 3 unknown gateways") == 1

    # There is room again once one of them is known.
    await hass.config_entries.flow.async_init(
        DOMAIN,
        context={"source": SOURCE_IGNORE},
        data={"unique_id": invented[0], "title": "Invented"},
    )
    await say(broker, GATEWAY_B, status(GATEWAY_B))
    await until(lambda: GATEWAY_B in cards(hass))


@pytest.mark.parametrize("answers", [{GATEWAY_B: status(GATEWAY_B)}, {}], ids=["answers", "silent"])
async def test_a_reload_asks_nobody_again(
    hass: HomeAssistant,
    broker: AmqttBroker,
    registered: MockConfigEntry,
    answers: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "ASK_TIMEOUT_S", 1.0 if answers else 0.3)
    async with gateways(broker, answers) as commands:
        await say(broker, GATEWAY_B)
        await until(lambda: cards(hass))
        await hass.config_entries.async_reload(registered.entry_id)
        assert not cards(hass), "nobody listens at the moment"
        await until(lambda: EVERYTHING in subscribed(broker))
        await say(broker, GATEWAY_B)
        await until(lambda: cards(hass))
        assert status_queries(commands).count(GATEWAY_B) == 1
    assert ("V1.0" in text_of(cards(hass)[GATEWAY_B])) is bool(answers)


async def test_it_goes_on_after_the_broker_was_away(
    hass: HomeAssistant,
    broker: AmqttBroker,
    registered: MockConfigEntry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await broker.stop()
    link = registered.runtime_data.link
    await until(lambda: not link.connected)
    await broker.start()
    await until(lambda: EVERYTHING in subscribed(broker))
    await say(broker, GATEWAY_B, status(GATEWAY_B))
    await until(lambda: cards(hass))
    told = [record for record in caplog.records if "No connection to" in record.getMessage()]
    assert len([record for record in told if record.levelno >= logging.WARNING]) == 1


# --- On and off -----------------------------------------------------------------------------


async def test_nothing_more_is_subscribed_unless_it_is_wanted(
    hass: HomeAssistant, broker: AmqttBroker
) -> None:
    add_entry(hass, GATEWAY_A, broker.port)
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    assert subscribed(broker) == {f"hy/gw/set/{GATEWAY_A}", f"hy/gw/get/{GATEWAY_A}"}
    await say(broker, GATEWAY_B)
    await asyncio.sleep(0.1)
    assert not cards(hass)


async def test_one_entry_turns_it_on_and_off_for_all_of_its_broker(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    """What then happens at the broker is in tests/e2e/test_discovery.py."""
    entries = [
        add_entry(hass, gateway_id, broker.port, gateway_id)
        for gateway_id in (GATEWAY_A, GATEWAY_C)
    ]
    apart = add_entry(hass, GATEWAY_B, broker.port, prefix="depot")
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done()
    for entry, on in zip(entries, (True, False), strict=True):
        set_up.clear()
        menu = await entry.start_reconfigure_flow(hass)
        form = await choose(hass, menu, "reconfigure_broker")
        assert suggested(form)["discovery"] is not on
        typed = broker_input(
            broker.port, name=entry.title, password=PASSWORD_UNCHANGED, discovery=on
        )
        done = await go_on(hass, form, typed)
        assert done["reason"] == "reconfigure_successful"
        await hass.async_block_till_done()
        assert [each.data["discovery"] for each in (*entries, apart)] == [on, on, False]
        assert sorted(set_up) == [GATEWAY_A, GATEWAY_C]


async def test_it_lasts_until_the_last_entry_is_unloaded(
    hass: HomeAssistant, broker: AmqttBroker, registered: MockConfigEntry
) -> None:
    other = MockConfigEntry(
        domain=DOMAIN,
        unique_id=GATEWAY_C,
        version=2,
        data={**registered.data, "gateway_id": GATEWAY_C},
    )
    other.add_to_hass(hass)
    await hass.config_entries.async_setup(other.entry_id)
    (place,) = hass.data[discovery._PLACES].values()
    assert place.users == 2
    await hass.config_entries.async_unload(registered.entry_id)
    assert EVERYTHING in subscribed(broker)
    await say(broker, GATEWAY_B, status(GATEWAY_B))
    await until(lambda: cards(hass))
    await hass.config_entries.async_unload(other.entry_id)
    assert place.watch is None
    assert not cards(hass)


async def test_where_the_broker_does_not_let_us_listen_all_else_works(
    hass: HomeAssistant, broker: AmqttBroker, caplog: pytest.LogCaptureFixture
) -> None:
    ForbiddenTopics.forbidden = {EVERYTHING}
    entry = add_entry(hass, GATEWAY_A, broker.port, discovery=True)
    assert await async_setup_component(hass, DOMAIN, {})
    await until(lambda: "New gateways cannot be discovered" in caplog.text)
    assert entry.state is ConfigEntryState.LOADED
    assert EVERYTHING in caplog.text
    ForbiddenTopics.forbidden.clear()
    await hass.config_entries.async_reload(entry.entry_id)
    await until(lambda: EVERYTHING in subscribed(broker))


async def test_it_listens_as_soon_as_it_can(
    hass: HomeAssistant,
    broker: AmqttBroker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "CONNECT_TIMEOUT_S", 0.0)
    caplog.set_level(logging.DEBUG, discovery.__name__)
    add_entry(hass, GATEWAY_A, broker.port, discovery=True)
    assert await async_setup_component(hass, DOMAIN, {})
    await until(lambda: EVERYTHING in subscribed(broker))
    assert "Not listening for new gateways yet" in caplog.text


async def test_a_card_of_a_link_that_is_gone_says_so(
    hass: HomeAssistant, broker: AmqttBroker, set_up: list[str]
) -> None:
    add_entry(hass, GATEWAY_C, broker.port, prefix="depot", discovery=True)
    entry = add_entry(hass, GATEWAY_A, broker.port, discovery=True)
    data = {
        discovery.KEY_LINK: settings_from_data(entry.data).key,
        discovery.KEY_GATEWAY: HeardGateway(GATEWAY_B),
    }
    context: Any = {"source": SOURCE_INTEGRATION_DISCOVERY}
    form = await hass.config_entries.flow.async_init(DOMAIN, context=context, data=data)
    assert form["step_id"] == "discovered"
    again = await hass.config_entries.flow.async_init(DOMAIN, context=context, data=data)
    assert (again["type"], again["reason"]) == (FlowResultType.ABORT, "already_in_progress")
    await hass.config_entries.async_remove(entry.entry_id)
    gone = await go_on(hass, form, {})
    assert (gone["type"], gone["reason"]) == (FlowResultType.ABORT, "no_longer_discovered")
    add_entry(hass, GATEWAY_B, broker.port, discovery=True)
    refused = await hass.config_entries.flow.async_init(DOMAIN, context=context, data=data)
    assert (refused["type"], refused["reason"]) == (FlowResultType.ABORT, "already_configured")
