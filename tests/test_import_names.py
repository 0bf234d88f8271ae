"""Names and areas from a table: every result, dry and in earnest, for administrators."""

from typing import Any

from homeassistant.core import Context, HomeAssistant
from homeassistant.exceptions import ServiceValidationError, Unauthorized
from homeassistant.helpers import area_registry as ar, device_registry as dr
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry, MockUser
import voluptuous as vol

from custom_components.hy_heating.const import DOMAIN

from .common import CABINET, GATEWAY_ID, VALVE, FakeLink, captured, make_entry, set_up

OTHER_GATEWAY = "02345678904"


async def run(hass: HomeAssistant, *lines: str, **data: Any) -> dict[str, Any]:
    """Import a table with the usual header; return the answer."""
    table = "\n".join(["meter number,name,area", *lines])
    answer = await hass.services.async_call(
        DOMAIN, "import_names", {"table": table, **data}, blocking=True, return_response=True
    )
    assert answer is not None
    return answer


def device_of(hass: HomeAssistant, entry: MockConfigEntry, number: str) -> dr.DeviceEntry:
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, f"{GATEWAY_ID}_{number}"), entry.entry_id
    )
    assert device is not None
    return device


def area_of(hass: HomeAssistant, device: dr.DeviceEntry) -> str | None:
    area = ar.async_get(hass).async_get_area(device.area_id) if device.area_id else None
    return area.name if area else None


@pytest.fixture
async def meters(hass: HomeAssistant, link: FakeLink, entry: MockConfigEntry) -> MockConfigEntry:
    """Return the entry of a cabinet and a valve, and another gateway with the same valve."""
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    return entry


async def test_every_result(hass: HomeAssistant, meters: MockConfigEntry) -> None:
    ar.async_get(hass).async_create("Building 3")
    dr.async_get(hass).async_update_device(
        device_of(hass, meters, CABINET).id, name_by_user="East wing"
    )
    lines = [
        f"{VALVE},3-2-501,building 3",
        f"{CABINET},East wing,",
        "11111111,Nobody,",
        f"{GATEWAY_ID},A gateway,",
        f"{VALVE},3-2-502,",
        "22222222,,",
    ]
    keys = ("line", "meter", "result", "reason")
    expected = [
        (2, VALVE, "renamed", None),
        (3, CABINET, "unchanged", None),
        (4, "11111111", "unknown_meter", None),
        (5, GATEWAY_ID, "invalid", "no_meter_number"),
        (6, VALVE, "duplicate", None),
        (7, "22222222", "invalid", "nothing_to_set"),
    ]
    answer = await run(hass, *lines)
    assert answer["dry_run"] is True
    assert [tuple(row[key] for key in keys) for row in answer["results"]] == expected
    assert answer["results"][0] == {
        "line": 2,
        "meter": VALVE,
        "result": "renamed",
        "reason": None,
        "old_name": f"Valve {VALVE}",
        "new_name": "3-2-501",
        "old_area": None,
        "new_area": "building 3",
    }
    assert device_of(hass, meters, VALVE).name_by_user is None, "nothing has changed yet"

    answer = await run(hass, *lines, dry_run=False)
    assert [tuple(row[key] for key in keys) for row in answer["results"]] == expected
    device = device_of(hass, meters, VALVE)
    assert (device.name_by_user, area_of(hass, device)) == ("3-2-501", "Building 3")
    assert hass.states.get(f"valve.valve_{VALVE}"), "entity ids stay"

    again = await run(hass, *lines[:2], dry_run=False)
    assert [row["result"] for row in again["results"]] == ["unchanged", "unchanged"]


async def test_areas_are_created_only_where_that_is_wanted(
    hass: HomeAssistant, meters: MockConfigEntry
) -> None:
    line = f"{VALVE},,Building 9"
    (row,) = (await run(hass, line, dry_run=False))["results"]
    assert (row["result"], row["reason"]) == ("invalid", "unknown_area")
    assert (row["old_name"], row["new_name"]) == (f"Valve {VALVE}", f"Valve {VALVE}")
    (row,) = (await run(hass, line, create_areas=True))["results"]
    assert row["result"] == "renamed"
    assert ar.async_get(hass).async_get_area_by_name("Building 9") is None, "a dry run"

    lines = [line, f"{CABINET},Cellar,Building 9"]
    answer = await run(hass, *lines, create_areas=True, dry_run=False)
    assert [row["result"] for row in answer["results"]] == ["renamed", "renamed"]
    valve, cabinet = (device_of(hass, meters, number) for number in (VALVE, CABINET))
    assert area_of(hass, valve) == area_of(hass, cabinet) == "Building 9"
    assert (valve.name_by_user, cabinet.name_by_user) == (None, "Cellar")
    assert len(list(ar.async_get(hass).async_list_areas())) == 1


async def test_the_area_follows_from_the_name(hass: HomeAssistant, link: FakeLink) -> None:
    entry = make_entry(
        name_pattern="{building}-{unit}-{flat}", area_pattern="Building {building}, unit {unit}"
    )
    await set_up(hass, entry)
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    lines = [f"{VALVE},3-2-501,", f"{CABINET},Cellar,"]
    answer = await run(hass, *lines, create_areas=True, dry_run=False)
    assert [row["new_area"] for row in answer["results"]] == ["Building 3, unit 2", None]
    device = device_of(hass, entry, VALVE)
    assert (device.name_by_user, area_of(hass, device)) == ("3-2-501", "Building 3, unit 2")
    answer = await run(hass, f"{VALVE},3-1-501,Attic", create_areas=True)
    assert answer["results"][0]["new_area"] == "Attic", "what the table says counts first"
    await hass.config_entries.async_unload(entry.entry_id)


async def test_a_meter_that_a_person_names_goes_into_the_area_of_its_name(
    hass: HomeAssistant, link: FakeLink
) -> None:
    areas = ar.async_get(hass)
    cellar, building = areas.async_create("Cellar"), areas.async_create("Building 3")
    patterns = {"name_pattern": "{building}-{unit}-{flat}", "area_pattern": "Building {building}"}
    entry = make_entry(**patterns)
    entry.add_to_hass(hass)
    hass.config_entries.async_update_entry(entry, data={**entry.data, "area_id": cellar.id})
    await hass.config_entries.async_setup(entry.entry_id)
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    devices = dr.async_get(hass)
    valve, cabinet = device_of(hass, entry, VALVE), device_of(hass, entry, CABINET)
    assert valve.area_id == cellar.id, "what is suggested for all behind the gateway"

    def name(device: dr.DeviceEntry, name: str) -> str | None:
        named = devices.async_update_device(device.id, name_by_user=name)
        assert named is not None
        found = devices.async_get(device.id)
        assert found is not None
        return found.area_id

    assert name(valve, "Flat of the Wangs") == cellar.id
    assert name(valve, "4-2-501") == cellar.id, "there is no such area"
    assert name(valve, "3-2-501") == building.id
    attic = areas.async_create("Building 5")
    assert name(valve, "5-2-501") == building.id, "it has one of its own now"
    devices.async_update_device(cabinet.id, area_id=None)
    assert name(cabinet, "5-0-1") == attic.id
    gateway = devices.async_get(entry.runtime_data.gateway.device_id)
    assert isinstance(gateway, dr.DeviceEntry)
    assert name(gateway, "3-0-0") == cellar.id, "a gateway is no meter"

    await hass.config_entries.async_unload(entry.entry_id)
    devices.async_update_device(cabinet.id, area_id=None)
    assert name(cabinet, "3-0-1") is None, "nobody follows it any more"


async def test_a_meter_behind_two_gateways_is_not_guessed(
    hass: HomeAssistant, meters: MockConfigEntry
) -> None:
    other = MockConfigEntry(domain=DOMAIN, unique_id=OTHER_GATEWAY, data={}, options={})
    other.add_to_hass(hass)
    dr.async_get(hass).async_get_or_create(
        config_entry_id=other.entry_id,
        identifiers={(DOMAIN, f"{OTHER_GATEWAY}_{VALVE}")},
        serial_number=VALVE,
    )
    answer = await run(hass, f"{VALVE},A,", f"{CABINET},B,", dry_run=False)
    assert [(row["result"], row["reason"]) for row in answer["results"]] == [
        ("invalid", "behind_several_gateways"),
        ("renamed", None),
    ]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("name,area\nA,B", "table_without_numbers"),
        ('number,name\n23227310,"A', "table_unreadable"),
    ],
)
async def test_what_is_no_table_changes_nothing(
    hass: HomeAssistant, meters: MockConfigEntry, table: str, key: str
) -> None:
    with pytest.raises(ServiceValidationError) as refused:
        await hass.services.async_call(
            DOMAIN, "import_names", {"table": table, "dry_run": False}, blocking=True
        )
    assert refused.value.translation_key == key
    await run(hass, f"{VALVE},A,", dry_run=False)
    assert device_of(hass, meters, VALVE).name_by_user == "A"


@pytest.mark.parametrize("data", [{}, {"table": ""}, {"table": "x" * 1_000_001}])
async def test_what_is_no_call(
    hass: HomeAssistant, entry: MockConfigEntry, data: dict[str, str]
) -> None:
    with pytest.raises(vol.Invalid):
        await hass.services.async_call(DOMAIN, "import_names", data, blocking=True)


async def test_only_administrators_may(
    hass: HomeAssistant, meters: MockConfigEntry, hass_read_only_user: MockUser
) -> None:
    data = {"table": f"meter,name\n{VALVE},A", "dry_run": False}
    with pytest.raises(Unauthorized):
        await hass.services.async_call(
            DOMAIN,
            "import_names",
            data,
            blocking=True,
            context=Context(user_id=hass_read_only_user.id),
        )
    assert device_of(hass, meters, VALVE).name_by_user is None
    await hass.services.async_call(DOMAIN, "import_names", data, blocking=True)
    assert device_of(hass, meters, VALVE).name_by_user == "A", "also without asking for an answer"
