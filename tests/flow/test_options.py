"""The options of a gateway."""

import re

from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, InvalidData
from homeassistant.helpers import device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from tests.common import FakeLink, captured

from .helpers import GATEWAY_A, GATEWAY_B, add_entry, defaults, options_of, suggested

_VALVE = "Household valve (2008)"


def add_device(
    hass: HomeAssistant, entry: MockConfigEntry, serial_number: str, model: str, name: str
) -> dr.DeviceEntry:
    """Register a device as the integration does."""
    return dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={("hy_heating", f"{entry.unique_id}_{serial_number}")},
        serial_number=serial_number,
        model=model,
        name=name,
    )


async def test_defaults_without_any_valve(hass: HomeAssistant, set_up: list[str]) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883)
    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert (form["type"], form["step_id"]) == (FlowResultType.FORM, "init")
    assert defaults(form) == {
        "travel_time_s": 180,
        "move_pause_s": 30,
        "read_only": False,
        "flow_scale": 1.0,
        "hash_ids": False,
    }


async def test_options_are_stored_and_the_entry_is_reloaded(
    hass: HomeAssistant, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883, options={"kept": True})
    other = add_entry(hass, GATEWAY_B, 1883)
    add_device(hass, entry, GATEWAY_A, "4G M-Bus gateway", "Building 7")
    add_device(hass, entry, "27100583", "Cabinet (2034)", "Cabinet 27100583")
    add_device(hass, entry, "23227311", _VALVE, "Household valve 23227311")
    renamed = add_device(hass, entry, "23227310", _VALVE, "Household valve 23227310")
    dr.async_get(hass).async_update_device(renamed.id, name_by_user="Flat 12")
    add_device(hass, other, "23227399", _VALVE, "Household valve 23227399")
    await hass.config_entries.async_setup(entry.entry_id)
    set_up.clear()

    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert list(options_of(form, "swapped_meters").items()) == [
        ("27100583", "Cabinet 27100583"),
        ("23227310", "Flat 12"),
        ("23227311", "Household valve 23227311"),
    ]
    done = await hass.config_entries.options.async_configure(
        form["flow_id"],
        {
            "travel_time_s": 240,
            "move_pause_s": 60,
            "read_only": True,
            "flow_scale": "0.1",
            "hash_ids": True,
            "swapped_meters": ["23227310"],
        },
    )
    await hass.async_block_till_done()
    assert done["type"] is FlowResultType.CREATE_ENTRY
    stored = dict(entry.options)
    assert re.fullmatch("[0-9a-f]{32}", stored.pop("hash_key"))
    assert stored == {
        "kept": True,
        "travel_time_s": 240,
        "move_pause_s": 60,
        "read_only": True,
        "flow_scale": 0.1,
        "swapped_meters": ["23227310"],
    }
    assert set_up == [GATEWAY_A]

    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert defaults(form) == {
        "travel_time_s": 240,
        "move_pause_s": 60,
        "read_only": True,
        "flow_scale": 0.1,
        "hash_ids": True,
        "swapped_meters": ["23227310"],
    }


async def test_the_key_that_hides_ids_stays_while_it_is_wanted(
    hass: HomeAssistant, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883)
    keys = []
    for wanted in (False, True, True, False, True):
        form = await hass.config_entries.options.async_init(entry.entry_id)
        changes = {"hash_ids": wanted}
        await hass.config_entries.options.async_configure(form["flow_id"], changes)
        await hass.async_block_till_done()
        keys.append(entry.options["hash_key"])
    assert (keys[0], keys[3]) == (None, None)
    assert keys[1] == keys[2]
    assert keys[4] not in (None, keys[1]), "who turned it off and on again gets a new one"


async def test_meters_that_reported_can_be_chosen(
    hass: HomeAssistant, entry: MockConfigEntry, link: FakeLink
) -> None:
    link.deliver(captured("valve_report"))
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert options_of(form, "swapped_meters") == {
        "23227310": "Valve 23227310",
        "27100583": "Cabinet 27100583",
    }


async def test_meter_that_vanished_stays_chosen_and_can_be_given_up(
    hass: HomeAssistant, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883, options={"swapped_meters": ["23227310"]})
    form = await hass.config_entries.options.async_init(entry.entry_id)
    assert options_of(form, "swapped_meters") == {"23227310": "23227310"}
    await hass.config_entries.options.async_configure(
        form["flow_id"], {"travel_time_s": 180, "swapped_meters": []}
    )
    await hass.async_block_till_done()
    assert entry.options["swapped_meters"] == []


@pytest.mark.parametrize(
    "options",
    [
        {"travel_time_s": 9},
        {"travel_time_s": 601},
        {"travel_time_s": "soon"},
        {"travel_time_s": 180, "flow_scale": "3"},
        {"travel_time_s": 180, "swapped_meters": ["27100583"]},
    ],
)
async def test_what_is_no_option(
    hass: HomeAssistant, set_up: list[str], options: dict[str, object]
) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883, options={"swapped_meters": ["23227310"]})
    form = await hass.config_entries.options.async_init(entry.entry_id)
    with pytest.raises(InvalidData):
        await hass.config_entries.options.async_configure(form["flow_id"], options)
    assert entry.options == {"swapped_meters": ["23227310"]}


PATTERNS = {"name_pattern": "{building}-{unit}-{flat}", "area_pattern": "{building}, {unit}"}


async def test_a_pattern_of_names_is_checked_kept_and_taken_back(
    hass: HomeAssistant, set_up: list[str]
) -> None:
    entry = add_entry(hass, GATEWAY_A, 1883)
    flows = hass.config_entries.options
    form = await flows.async_init(entry.entry_id)
    wrong = [
        ({"name_pattern": "{building}{unit}"}, "name_pattern"),
        ({"area_pattern": "cellar"}, "area_pattern"),
        ({"area_pattern": ""}, "area_pattern"),
    ]
    for change, field in wrong:
        typed = {key: value for key, value in (PATTERNS | change).items() if value}
        form = await flows.async_configure(form["flow_id"], {**typed, "travel_time_s": 200})
        assert form["errors"] == {field: f"invalid_{field}"}
        assert suggested(form)["name_pattern"] == typed["name_pattern"]
        assert suggested(form)["travel_time_s"] == 200, "what was typed stays"
    done = await flows.async_configure(form["flow_id"], PATTERNS)
    await hass.async_block_till_done()
    assert done["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options.items() >= PATTERNS.items()

    form = await flows.async_init(entry.entry_id)
    assert suggested(form).items() >= PATTERNS.items()
    await flows.async_configure(form["flow_id"], {})
    await hass.async_block_till_done()
    assert not entry.options.keys() & PATTERNS.keys()
