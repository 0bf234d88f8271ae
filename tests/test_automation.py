"""Every trigger in both languages: of which device, by which target, and how often.

What brings each of them about, with its end, is in test_triggers.py.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
import json
from pathlib import Path
from typing import Any

from freezegun.api import FrozenDateTimeFactory
from homeassistant.components.logbook import LOGBOOK_ENTRY_ENTITY_ID, LOGBOOK_ENTRY_MESSAGE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers import (
    area_registry as ar,
    condition,
    device_registry as dr,
    entity_registry as er,
    translation,
    trigger,
)
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, async_capture_events

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.logbook import async_describe_events

from .cabinets import cabinet_frame
from .common import CABINET, COMMAND_TOPIC, GATEWAY_ID, VALVE, FakeLink, captured, report
from .test_availability import CONNECTIVITY, JANUARY, pass_minutes
from .test_commands import fail, prove
from .test_valve import HOUSEHOLD, settle

NEW_CABINET = "27100999"
CABINET_LAST = f"sensor.cabinet_{CABINET}_last_report"
VALVE_LAST = f"sensor.valve_{VALVE}_last_report"
COMMAND_EVENT = f"event.valve_{VALVE}_command"


class Site:
    """A loaded gateway with both meters, and what can happen there."""

    def __init__(
        self,
        hass: HomeAssistant,
        link: FakeLink,
        freezer: FrozenDateTimeFactory,
        entry: MockConfigEntry,
    ) -> None:
        self.hass = hass
        self.link = link
        self.freezer = freezer
        self.entry = entry

    def device(self, identifier: str) -> str:
        registry = dr.async_get(self.hass)
        found = registry.async_get_device_by_identifier((DOMAIN, identifier), self.entry.entry_id)
        assert found is not None
        return found.id

    async def prove(self) -> None:
        await prove(self.hass, self.link)

    async def fail(self) -> None:
        await fail(self.hass, self.link)

    async def foreign(self) -> None:
        self.link.deliver(captured("valve_set_100"), COMMAND_TOPIC)
        await settle()

    async def lose_broker(self) -> None:
        self.link.set_connected(False)
        await self.hass.async_block_till_done()

    async def find_broker(self) -> None:
        await self.lose_broker()
        self.link.set_connected(True)
        await self.hass.async_block_till_done()

    async def lose_cabinet(self) -> None:
        await pass_minutes(self.hass, self.freezer, self.link, 32)

    async def find_cabinet(self) -> None:
        await self.lose_cabinet()
        self.link.deliver(captured("cabinet_report"))
        await self.hass.async_block_till_done()

    async def refuse(self) -> None:
        broken = captured("cabinet_report").replace(b"3B90", b"3B91")
        assert broken != captured("cabinet_report")
        for _ in range(3):  # the first of its kind only
            self.link.deliver(broken)
        await self.hass.async_block_till_done()

    async def reset_counter(self) -> None:
        for count in (100, 101, 102):  # from 45 323.12 kWh
            self.freezer.tick(timedelta(minutes=10))
            found = cabinet_frame({"heat_energy_kwh": count})
            self.link.deliver(report(f"{CABINET}203400", found.raw.hex().upper()))
            await self.hass.async_block_till_done()

    async def replace(self) -> None:
        await self.lose_cabinet()
        found = cabinet_frame(number=NEW_CABINET)
        self.link.deliver(report(f"{NEW_CABINET}203400", found.raw.hex().upper()))
        await self.hass.async_block_till_done()
        replacements = self.entry.runtime_data.gateway.replacements
        assert replacements.async_replace(CABINET, NEW_CABINET)
        await self.hass.async_block_till_done()


@pytest.fixture
async def january(hass: HomeAssistant, freezer: FrozenDateTimeFactory) -> None:
    """Stand in the season before anything is set up."""
    await hass.config.async_set_time_zone("Asia/Shanghai")
    freezer.move_to(JANUARY)


@pytest.fixture
async def site(
    january: None,
    hass: HomeAssistant,
    link: FakeLink,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
) -> Site:
    for name in ("settings_reply", "cabinet_report", "valve_report"):
        link.deliver(captured(name))
    await hass.async_block_till_done()
    link.published.clear()
    return Site(hass, link, freezer, entry)


async def automate(
    hass: HomeAssistant, triggers: list[dict[str, Any]], **more: Any
) -> list[Event[Any]]:
    """Set up an automation that repeats what its trigger tells; return what it did."""
    told = async_capture_events(hass, "triggered")
    keys = ("device_id", "entity_id", "description", "reason", "meter", "wished")
    data = {key: f"{{{{ trigger.{key} | default(none) }}}}" for key in keys}
    action = {"event": "triggered", "event_data": data}
    automation = {"alias": "test", "triggers": triggers, "actions": [action], **more}
    assert await async_setup_component(hass, "automation", {"automation": automation})
    await hass.async_block_till_done()
    return told


ON_CABINET = (f"{GATEWAY_ID}_{CABINET}", CABINET_LAST)
ON_GATEWAY = (GATEWAY_ID, CONNECTIVITY)
ON_VALVE = (f"{GATEWAY_ID}_{VALVE}", COMMAND_EVENT)

HAPPENINGS: dict[str, tuple[Callable[[Site], Awaitable[None]], tuple[str, str], str | None]] = {
    "command_verified": (Site.prove, ON_VALVE, None),
    "command_failed": (Site.fail, ON_VALVE, "meter_refused"),
    "command_foreign": (Site.foreign, ON_VALVE, None),
    "gateway_lost": (Site.lose_broker, ON_GATEWAY, "broker_unreachable"),
    "gateway_back": (Site.find_broker, ON_GATEWAY, None),
    "meter_lost": (Site.lose_cabinet, ON_CABINET, None),
    "meter_back": (Site.find_cabinet, ON_CABINET, None),
    "reading_refused": (Site.refuse, ON_CABINET, "frame_checksum"),
    "counter_reset": (Site.reset_counter, ON_CABINET, None),
    "meter_replaced": (Site.replace, ON_CABINET, None),
}
"""What happens, of which device it is told and by which entity, and the reason."""


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
@pytest.mark.parametrize("key", HAPPENINGS)
async def test_a_trigger_fires_once_and_says_where(site: Site, key: str, language: str) -> None:
    hass = site.hass
    translation.async_setup(hass)
    await hass.config.async_update(language=language)
    happen, (identifier, entity_id), reason = HAPPENINGS[key]
    told = await automate(
        hass, [{"trigger": f"{DOMAIN}.{key}", "target": {"entity_id": entity_id}}]
    )
    device_id = site.device(identifier)
    await happen(site)
    await hass.async_block_till_done()
    (event,) = told
    assert event.data["device_id"] == device_id
    assert event.data["entity_id"] == entity_id
    assert event.data["reason"] == reason
    assert event.data["description"].startswith(f"{texts(language)['triggers'][key]['name']}: ")


@pytest.mark.parametrize("key", HAPPENINGS)
async def test_a_trigger_of_another_device_does_not_fire(site: Site, key: str) -> None:
    happen, (_, entity_id), _ = HAPPENINGS[key]
    other = VALVE_LAST if entity_id != COMMAND_EVENT else CABINET_LAST
    told = await automate(
        site.hass, [{"trigger": f"{DOMAIN}.{key}", "target": {"entity_id": other}}]
    )
    await happen(site)
    await site.hass.async_block_till_done()
    assert told == []


@pytest.mark.parametrize("of", ["device", "gateway", "area", "nothing"])
async def test_what_a_target_may_be(site: Site, of: str) -> None:
    hass = site.hass
    area = ar.async_get(hass).async_create("Boiler room")
    devices = dr.async_get(hass)
    cabinet, gateway = site.device(f"{GATEWAY_ID}_{CABINET}"), site.device(GATEWAY_ID)
    devices.async_update_device(cabinet, area_id=area.id)
    targets: dict[str, dict[str, Any]] = {
        "device": {"target": {"device_id": cabinet}},
        "gateway": {"target": {"device_id": gateway}},  # it stands for the meters behind it
        "area": {"target": {"area_id": area.id}},
        "nothing": {},
    }
    told = await automate(hass, [{"trigger": f"{DOMAIN}.meter_lost", **targets[of]}])
    await site.lose_cabinet()
    assert [event.data["device_id"] for event in told] == [cabinet]


async def test_a_loss_for_which_the_gateway_is_to_blame_is_none_of_a_meter(site: Site) -> None:
    told = await automate(site.hass, [{"trigger": f"{DOMAIN}.meter_lost"}])
    await site.lose_broker()
    assert told == []


async def test_what_was_refused_of_nobody_is_told_of_the_gateway(site: Site) -> None:
    told = await automate(site.hass, [{"trigger": f"{DOMAIN}.reading_refused"}])
    site.link.deliver(b"no JSON")
    await site.hass.async_block_till_done()
    (event,) = told
    assert event.data["device_id"] == site.device(GATEWAY_ID)
    assert event.data["reason"] == "json"


async def test_a_counter_that_was_reset_is_told_once_also_across_restarts(site: Site) -> None:
    told = await automate(site.hass, [{"trigger": f"{DOMAIN}.counter_reset"}])
    await site.reset_counter()
    assert len(told) == 1
    await site.hass.config_entries.async_reload(site.entry.entry_id)
    await site.hass.async_block_till_done()
    assert len(told) == 1


async def test_options_that_are_not_there_are_refused(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    told = await automate(
        site.hass, [{"trigger": f"{DOMAIN}.command_failed", "options": {"colour": "red"}}]
    )
    assert "colour" in caplog.text
    await site.fail()
    assert told == []


# --- Conditions --------------------------------------------------------------------------------


async def ask(site: Site, key: str, target: dict[str, Any], **options: Any) -> bool:
    """Return whether an automation with this condition runs."""
    config = {"condition": f"{DOMAIN}.{key}", "target": target, "options": options}
    config = await condition.async_validate_condition_config(site.hass, config)
    checker = await condition.async_from_config(site.hass, config)
    try:
        return bool(checker.async_check())
    finally:
        checker.async_unload()


async def test_it_is_heating_season_of_a_gateway_by_any_of_its_devices(site: Site) -> None:
    valve = {"entity_id": HOUSEHOLD}
    assert await ask(site, "is_heating_season", {"entity_id": CONNECTIVITY})
    assert await ask(site, "is_heating_season", valve)
    site.freezer.move_to("2025-07-15T12:00:00+08:00")
    site.entry.runtime_data.gateway._judge()
    assert not await ask(site, "is_heating_season", {"entity_id": CONNECTIVITY})
    assert not await ask(site, "is_heating_season", valve)


async def test_any_or_all_of_the_meters_are_lost(site: Site) -> None:
    gateway, valve = {"device_id": site.device(GATEWAY_ID)}, {"entity_id": HOUSEHOLD}
    await site.lose_cabinet()
    assert await ask(site, "meter_is_lost", gateway)
    assert await ask(site, "meter_is_lost", gateway, behavior="any")
    assert not await ask(site, "meter_is_lost", gateway, behavior="all")
    assert not await ask(site, "meter_is_lost", valve)
    await pass_minutes(site.hass, site.freezer, site.link, 152)
    assert await ask(site, "meter_is_lost", gateway, behavior="all")


async def test_of_what_is_not_there_or_not_loaded_nothing_is_so(site: Site) -> None:
    for key in ("is_heating_season", "gateway_is_lost", "meter_is_lost", "valve_is_unproven"):
        assert not await ask(site, key, {"entity_id": "sensor.of_somebody_else"}, behavior="all")
    await site.hass.config_entries.async_unload(site.entry.entry_id)
    assert not await ask(site, "is_heating_season", {"entity_id": CONNECTIVITY})


# --- Texts -------------------------------------------------------------------------------------

ROOT = Path(__file__).parent.parent / "custom_components" / "hy_heating"


def texts(language: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "translations" / f"{language}.json").read_text())
    return loaded


async def test_the_frontend_gets_every_description_with_text_and_icon(site: Site) -> None:
    icons = json.loads((ROOT / "icons.json").read_text())
    for kind, module in (("triggers", trigger), ("conditions", condition)):
        await automate(site.hass, [])
        described = await module.async_get_all_descriptions(site.hass)
        ours = {
            key.removeprefix(f"{DOMAIN}."): each for key, each in described.items() if DOMAIN in key
        }
        assert all(each and each["target"] for each in ours.values())
        assert ours.keys() == icons[kind].keys()
        for language in ("en", "zh-Hans"):
            assert ours.keys() == texts(language)[kind].keys()
    assert HAPPENINGS.keys() == icons["triggers"].keys()


@pytest.mark.parametrize(
    ("language", "key", "sentence"),
    [
        ("en", "gateway_lost", "is lost: Broker unreachable"),
        ("zh-Hans", "gateway_lost", "已失联：无法连接服务器"),
        ("en", "gateway_back", "is back"),
        ("zh-Hans", "gateway_back", "已恢复"),
        ("en", "meter_lost", "is lost: it has been silent for three of its intervals"),
        ("zh-Hans", "meter_lost", "已失联：连续三个上报周期没有消息"),
        ("en", "meter_back", "is back"),
        ("zh-Hans", "meter_back", "已恢复"),
        ("en", "reading_refused", "sent what was refused (a wrong checksum)"),
        ("zh-Hans", "reading_refused", "发来的内容被拒绝（校验和错误）"),
        (
            "en",
            "counter_reset",
            "counts from somewhere else: it was reset, or the meter was swapped",
        ),
        ("zh-Hans", "counter_reset", "从别处重新计数：被复位，或仪表被更换"),
        ("en", "meter_replaced", f"was replaced by meter {NEW_CABINET}"),
        ("zh-Hans", "meter_replaced", f"已由仪表 {NEW_CABINET} 接替"),
    ],
)
async def test_the_logbook_says_it_in_the_language_of_the_house(
    site: Site, language: str, key: str, sentence: str
) -> None:
    hass = site.hass
    translation.async_setup(hass)
    await hass.config.async_update(language=language)
    told = async_capture_events(hass, "hy_heating_notice")
    happen, (_, entity_id), _ = HAPPENINGS[key]
    await happen(site)
    await hass.async_block_till_done()
    described: dict[str, Callable[[Event[Any]], dict[str, str]]] = {}

    @callback
    def describe(domain: str, event: str, how: Callable[[Event[Any]], dict[str, str]]) -> None:
        assert domain == DOMAIN
        described[event] = how

    async_describe_events(hass, describe)
    (event,) = (each for each in told if each.data["kind"] == key)
    line = described["hy_heating_notice"](event)
    assert line[LOGBOOK_ENTRY_MESSAGE] == sentence
    assert line[LOGBOOK_ENTRY_ENTITY_ID] == entity_id


async def test_a_notice_without_its_entity_is_one_all_the_same(site: Site) -> None:
    er.async_get(site.hass).async_remove(CONNECTIVITY)
    told = async_capture_events(site.hass, "hy_heating_notice")
    await site.lose_broker()
    (event,) = told
    assert event.data["entity_id"] is None
    assert event.data["device_id"] == site.device(GATEWAY_ID)
