"""Triggers and conditions in real automations; every notice in the logbook's words."""

from collections.abc import AsyncIterator
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.logbook import LOGBOOK_ENTRY_MESSAGE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import device_registry as dr, entity_registry as er, translation
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.hy_heating.commands import Verdict
from custom_components.hy_heating.condition import CONDITIONS
from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import LinkError, RefusalReason
from custom_components.hy_heating.logbook import _REFUSALS, _SENTENCES, async_describe_events
from custom_components.hy_heating.notices import Notice
from custom_components.hy_heating.trigger import TRIGGERS

from .common import COMMAND_TOPIC, VALVE, FakeLink, captured, captured_frame, make_entry, report
from .exchange import Building
from .repairs import fix, issues
from .test_commands import fail, prove
from .test_replacement_question import answer, open_question
from .test_valve import settle

CABINET, OLD, NEW = "27000001", "23000001", "23000009"
GATEWAY_ENTITY = "binary_sensor.building_3_connectivity"


@pytest.fixture
async def building(
    hass: HomeAssistant, link: FakeLink, freezer: FrozenDateTimeFactory
) -> AsyncIterator[Building]:
    """Return a building in January with a cabinet and a household valve that report."""
    translation.async_setup(hass)
    freezer.move_to("2025-01-15T12:00:10+00:00")
    building = Building(hass, link, make_entry(), freezer)
    await building.set_up()
    await building.report(CABINET, OLD)
    yield building
    await hass.config_entries.async_unload(building.entry.entry_id)


@pytest.fixture
async def known_meters(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> None:
    """Let the captured cabinet and household valve report."""
    translation.async_setup(hass)
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()


async def automate(
    hass: HomeAssistant, key: str, target: dict[str, Any] | None
) -> list[Event[dict[str, Any]]]:
    """Let an automation with one of our triggers say so; return what it says."""
    trigger: dict[str, Any] = {"trigger": f"{DOMAIN}.{key}"}
    if target is not None:
        trigger["target"] = target
    event = "{{ trigger.description }}"
    action = {
        "event": f"automation_{key}",
        "event_data": {"what": event, "meter": "{{ trigger.meter | default('') }}"},
    }
    config = {"alias": key, "triggers": [trigger], "actions": [action], "mode": "queued"}
    assert await async_setup_component(hass, "automation", {"automation": [config]})
    await hass.async_block_till_done()
    return async_capture_events(hass, f"automation_{key}")


def device_of(hass: HomeAssistant, building: Building, number: str) -> str:
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, f"{building.gateway.gateway_id}_{number}"), building.entry.entry_id
    )
    assert device is not None
    return device.id


@pytest.mark.parametrize("key", ["command_verified", "command_failed", "command_foreign"])
@pytest.mark.usefixtures("known_meters")
async def test_the_ends_of_commands(hass: HomeAssistant, link: FakeLink, key: str) -> None:
    fired = await automate(hass, key, {"entity_id": f"valve.valve_{VALVE}"})
    other = async_capture_events(hass, "automation_nothing")
    await prove(hass, link)
    await fail(hass, link)
    link.deliver(captured("valve_set_100"), COMMAND_TOPIC)
    await settle()
    await hass.async_block_till_done()
    assert len(fired) == 1
    assert fired[0].data["what"].endswith(f"Valve {VALVE}")
    assert not other


@pytest.mark.usefixtures("known_meters")
async def test_only_what_is_targeted(hass: HomeAssistant, link: FakeLink) -> None:
    fired = await automate(hass, "command_verified", {"entity_id": "valve.cabinet_27100583_valve"})
    await prove(hass, link)
    await hass.async_block_till_done()
    assert not fired


@pytest.mark.parametrize("key", ["meter_lost", "meter_back"])
async def test_a_meter_that_is_lost_and_comes_back(
    hass: HomeAssistant, building: Building, key: str
) -> None:
    fired = await automate(hass, key, {"device_id": device_of(hass, building, CABINET)})
    await building.pass_hours(1, OLD)  # 3 × 10 min for a cabinet
    assert len(fired) == (key == "meter_lost")
    await building.report(CABINET)
    await hass.async_block_till_done()
    assert [str(event.data["meter"]) for event in fired] == [CABINET]
    assert fired[0].data["what"].endswith(f"Cabinet {CABINET}")


@pytest.mark.parametrize("key", ["gateway_lost", "gateway_back"])
async def test_a_gateway_that_is_lost_and_comes_back(
    hass: HomeAssistant, link: FakeLink, building: Building, key: str
) -> None:
    fired = await automate(hass, key, {"entity_id": GATEWAY_ENTITY})
    link.set_connected(False, LinkError("gone"))
    await hass.async_block_till_done()
    assert len(fired) == (key == "gateway_lost")
    link.set_connected(True)
    await hass.async_block_till_done()
    assert len(fired) == 1
    assert fired[0].data["what"].endswith("Building 3")


async def test_a_reading_that_is_refused_is_told_once(
    hass: HomeAssistant, link: FakeLink, building: Building
) -> None:
    fired = await automate(hass, "reading_refused", None)
    damaged = captured_frame("cabinet_report")[:-4] + "0016"  # its checksum is 73
    for _ in range(3):
        link.deliver(report("27100583203400", damaged))
    await hass.async_block_till_done()
    assert [str(event.data["meter"]) for event in fired] == ["27100583"]


async def test_a_counter_that_was_reset(hass: HomeAssistant, building: Building) -> None:
    fired = await automate(hass, "counter_reset", {"device_id": device_of(hass, building, CABINET)})
    building.freezer.tick(600)
    await building.report(CABINET, counts=1_000)
    assert not fired, "one odd report is only held back"
    building.freezer.tick(600)
    await building.report(CABINET, counts=1_001)
    await hass.async_block_till_done()
    assert [str(event.data["meter"]) for event in fired] == [CABINET]
    assert (await fix(hass, issues(hass)["counter_reset_heat_energy"]))[1] is None
    building.freezer.tick(600)
    await building.report(CABINET, counts=1_002)
    await hass.async_block_till_done()
    assert len(fired) == 1, "continued, it counts on"


async def test_a_meter_that_was_replaced(hass: HomeAssistant, building: Building) -> None:
    fired = await automate(hass, "meter_replaced", {"device_id": device_of(hass, building, OLD)})
    await building.pass_hours(4, CABINET)
    await building.report(NEW)
    await answer(hass, await open_question(hass, NEW), OLD)
    await hass.async_block_till_done()
    assert [str(event.data["meter"]) for event in fired] == [OLD]


async def ask(hass: HomeAssistant, key: str, target: dict[str, Any], behavior: str) -> bool:
    """Let an automation ask one of our conditions."""
    said = async_capture_events(hass, "yes")
    config = {
        "alias": key,
        "triggers": [{"trigger": "event", "event_type": "ask"}],
        "conditions": [
            {"condition": f"{DOMAIN}.{key}", "target": target, "options": {"behavior": behavior}}
        ],
        "actions": [{"event": "yes"}],
    }
    if "automation" not in hass.config.components:
        assert await async_setup_component(hass, "automation", {"automation": [config]})
        await hass.async_block_till_done()
    hass.bus.async_fire("ask")
    await hass.async_block_till_done()
    return bool(said)


async def test_the_heating_season(hass: HomeAssistant, building: Building) -> None:
    target = {"entity_id": GATEWAY_ENTITY}
    assert await ask(hass, "is_heating_season", target, "all")
    building.freezer.move_to("2025-07-15T12:00:00+00:00")  # the season ends on 1 May
    await building.judge()
    assert not await ask(hass, "is_heating_season", target, "all")


async def test_a_lost_gateway(hass: HomeAssistant, link: FakeLink, building: Building) -> None:
    target = {"device_id": device_of(hass, building, OLD)}  # a meter stands for its gateway
    assert not await ask(hass, "gateway_is_lost", target, "any")
    link.set_connected(False, LinkError("gone"))
    await hass.async_block_till_done()
    assert await ask(hass, "gateway_is_lost", target, "any")
    link.set_connected(True)
    await hass.async_block_till_done()
    assert not await ask(hass, "gateway_is_lost", target, "any")


@pytest.mark.parametrize(("behavior", "expected"), [("any", True), ("all", False)])
async def test_a_lost_meter(
    hass: HomeAssistant, building: Building, behavior: str, expected: bool
) -> None:
    registry = er.async_get(hass)
    ids = {
        "entity_id": [
            f"sensor.{kind}_last_report" for kind in (f"cabinet_{CABINET}", f"valve_{OLD}")
        ]
    }
    assert all(registry.async_get(entity_id) for entity_id in ids["entity_id"])
    assert not await ask(hass, "meter_is_lost", ids, behavior)
    await building.pass_hours(1, OLD)
    assert await ask(hass, "meter_is_lost", ids, behavior) is expected
    await building.report(CABINET)
    assert not await ask(hass, "meter_is_lost", ids, behavior)


@pytest.mark.usefixtures("known_meters")
async def test_a_valve_without_proof(hass: HomeAssistant, link: FakeLink) -> None:
    target = {"entity_id": f"valve.valve_{VALVE}"}
    assert not await ask(hass, "valve_is_unproven", target, "any")
    await fail(hass, link)
    assert await ask(hass, "valve_is_unproven", target, "any")
    await prove(hass, link)
    assert not await ask(hass, "valve_is_unproven", target, "any")


@pytest.mark.usefixtures("known_meters")
async def test_a_condition_without_a_target_of_ours_is_false(hass: HomeAssistant) -> None:
    assert not await ask(hass, "meter_is_lost", {"entity_id": "sensor.of_somebody"}, "all")


def test_everything_that_is_told_has_a_trigger_and_a_sentence() -> None:
    assert TRIGGERS.keys() == {f"command_{verdict}" for verdict in Verdict} | {*map(str, Notice)}
    assert _SENTENCES.keys() == {*Verdict, *Notice}
    assert _REFUSALS.keys() == {*RefusalReason}
    assert len(CONDITIONS) == 4


@pytest.mark.parametrize(
    ("language", "lost", "refused"),
    [
        ("en", "is lost: Broker unreachable", "sent what was refused (a wrong checksum)"),
        ("zh-Hans", "已失联：", "校验和错误"),
    ],
)
async def test_notices_in_the_logbook_in_both_languages(
    hass: HomeAssistant,
    link: FakeLink,
    building: Building,
    language: str,
    lost: str,
    refused: str,
) -> None:
    await hass.config.async_update(language=language)
    await hass.async_block_till_done()
    told = async_capture_events(hass, "hy_heating_notice")
    damaged = captured_frame("cabinet_report")[:-4] + "0016"
    link.deliver(report("27100583203400", damaged))
    link.set_connected(False, LinkError("gone"))
    await hass.async_block_till_done()
    link.set_connected(True)
    await hass.async_block_till_done()

    how: dict[str, Any] = {}

    @callback
    def describe(_domain: str, event_type: str, described: Any) -> None:  # noqa: ANN401 - as there
        how[event_type] = described

    async_describe_events(hass, describe)
    lines = [how["hy_heating_notice"](event)[LOGBOOK_ENTRY_MESSAGE] for event in told]
    kinds = [event.data["kind"] for event in told]
    assert kinds == ["reading_refused", "gateway_lost", "gateway_back"]
    assert refused in lines[0]
    assert lines[1].startswith(lost)
