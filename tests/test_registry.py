"""What entities are called, and that those nobody wants cost nothing."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, entity_registry as er
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.entity import HyEntity
from custom_components.hy_heating.sensor import HyGatewaySensor, HyMeterSensor

from .common import CABINET, VALVE, FakeLink, captured, make_entry, set_up


async def test_names_follow_the_language_and_entity_ids_stay_ascii(
    hass: HomeAssistant, link: FakeLink
) -> None:
    await hass.config.async_update(language="zh-Hans")
    entry = make_entry()
    await set_up(hass, entry)
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    registry = er.async_get(hass)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    assert len(entities) > 50
    for entity in entities:
        assert entity.entity_id.isascii(), entity.entity_id
    by_unique_id = {entity.unique_id.partition("_")[2]: entity for entity in entities}
    supply = by_unique_id[f"{CABINET}_supply_temperature"]
    assert supply.original_name == "供水温度"
    assert supply.entity_id.endswith("_supply_temperature")
    names = {
        device.serial_number: device.name
        for device in dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    }
    assert (names[CABINET], names[VALVE]) == (f"楼宇柜 {CABINET}", f"户用阀 {VALVE}")
    before = {entity.unique_id: entity.entity_id for entity in entities}

    await hass.config.async_update(language="en")
    await hass.config_entries.async_reload(entry.entry_id)
    entities = er.async_entries_for_config_entry(registry, entry.entry_id)
    assert {entity.unique_id: entity.entity_id for entity in entities} == before
    renamed = registry.async_get(supply.entity_id)
    assert renamed is not None
    assert renamed.original_name == "Supply temperature"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_disabled_entities_compute_nothing_and_listen_to_nothing(
    hass: HomeAssistant, link: FakeLink
) -> None:
    computed: list[str] = []

    def spy(cls: type[HyEntity[Any]]) -> AbstractContextManager[object]:
        refresh = cls._refresh

        def counted(self: HyEntity[Any]) -> tuple[Any, ...]:
            computed.append(str(self.unique_id))
            return refresh(self)

        return patch.object(cls, "_refresh", counted)

    entry = make_entry()
    with spy(HyMeterSensor), spy(HyGatewaySensor):
        await set_up(hass, entry)
        for message in ("cabinet_report", "valve_report", "status_reply", "settings_reply"):
            link.deliver(captured(message))
            await hass.async_block_till_done()
        await asyncio.sleep(0)
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    disabled = {entity.unique_id for entity in entities if entity.disabled}
    assert len(disabled) > 20
    assert computed
    assert not disabled & set(computed)

    gateway = entry.runtime_data.gateway
    for coordinator, part in (
        (gateway.meters[CABINET], f"_{CABINET}_"),
        (gateway.meters[VALVE], f"_{VALVE}_"),
    ):
        enabled = [
            entity for entity in entities if part in entity.unique_id and not entity.disabled
        ]
        assert len(coordinator._listeners) == len(enabled)
    await hass.config_entries.async_unload(entry.entry_id)


async def test_meters_appear_without_a_reload(
    hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry
) -> None:
    runtime = entry.runtime_data
    for message, number in (("cabinet_report", CABINET), ("valve_report", VALVE)):
        assert not any(number in state.entity_id for state in hass.states.async_all())
        link.deliver(captured(message))
        await hass.async_block_till_done()
        assert any(number in state.entity_id for state in hass.states.async_all())
    assert entry.runtime_data is runtime
