"""What a person sees and does in the real frontend: add gateways, look, move a valve."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from demo_flow import point_out
from hass_api import wait_for
from playwright.async_api import Locator, Page, expect
import pytest
import pytest_asyncio

from simulator import FaultKind
from simulator.mqtt import Broker, Simulator
from simulator.scenario import JAMMED_VALVE, demo

from .browser import logged_in, take_picture
from .conftest import ARTIFACTS
from .house import House, position
from .mosquitto import PASSWORD, USERNAME, Mosquitto
from .vectors import CABINET, GATEWAY, VALVE

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTED_IN_LOG = (
    # What the valve that is jammed on purpose makes of three commands.
    r"Valve 23301007 of gateway 02345678904: command for \d+ % failed: not_reached",
    # What its web server says when the browser leaves a page that still loads.
    r"Error doing job: ClientConnectionResetError",
    # What Home Assistant says of every loaded platform when its language is changed.
    r"\[homeassistant\.helpers\.translation\] Failed to load integration for translation: Invalid",
)
PICTURES = ARTIFACTS / "pictures"
OTHER_GATEWAY = "02345678904"
OTHER_CABINET = "27200100"
SHANGHAI = ZoneInfo("Asia/Shanghai")
HEAT_KWH = [46, 47, 48, 49, 50, 50, 47, 43, 38, 34, 31, 29, 28, 28, 29, 31, 34, 37, 40, 42]
HEAT_KWH += [43, 44, 45, 46]
"""What a cabinet may count in each hour of a winter's day, 959 kWh in all."""


class Street:
    """Two buildings, whose gateways report as soon as a test powers them up."""

    simulator: Simulator

    def __init__(self, broker_port: int) -> None:
        self.stack = AsyncExitStack()
        self._broker = Broker(port=broker_port, username=USERNAME, password=PASSWORD)
        self._scenario = demo().with_plans(
            baud=0, turnaround_s=0.0, reports_per_interval=120.0, valve_travel_s=8.0
        )

    async def power_up(self) -> None:
        simulator = Simulator(self._scenario, self._broker)
        self.simulator = await self.stack.enter_async_context(simulator)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(house: House) -> AsyncIterator[Page]:
    """Return a page of a browser that is logged in."""
    async with logged_in(house.hass.url) as page:
        yield page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def street(broker: Mosquitto) -> AsyncIterator[Street]:
    """Return two buildings without power."""
    street = Street(broker.port)
    yield street
    await street.stack.aclose()


async def fill_broker_form(dialog: Locator, port: int, password: str) -> None:
    await dialog.locator("input[name=host]").fill("127.0.0.1")
    await dialog.locator("input[type=number]").fill(str(port))
    await dialog.locator("input[name=username]").fill(USERNAME)
    await dialog.locator("input[name=password]").fill(password)


async def open_device(page: Page, house: House, serial_number: str) -> None:
    async def devices() -> dict[str, str]:
        return {device["serial_number"]: device["id"] for device in await house.api.devices()}

    ids = await wait_for(devices, lambda ids: serial_number in ids)
    await page.goto(f"{house.hass.url}/config/devices/device/{ids[serial_number]}")


def row(page: Page, name: str) -> Locator:
    """Return the row of a device page that shows an entity, with its state."""
    named = page.get_by_text(name, exact=True)
    return page.locator("ha-device-entities-card hui-generic-entity-row").filter(has=named)


async def test_adding_two_gateways(
    page: Page, house: House, broker: Mosquitto, street: Street
) -> None:
    await page.goto(f"{house.hass.url}/config/integrations/dashboard")
    await page.get_by_role("button", name="Add integration").click()
    await page.get_by_placeholder("Search for a brand name").fill("HY Heating")
    await page.get_by_role("listitem").filter(has_text="HY Heating").click()

    dialog = page.locator("dialog-data-entry-flow")
    submit = dialog.get_by_role("button", name="Submit")
    await fill_broker_form(dialog, broker.port, PASSWORD)
    await take_picture(page, PICTURES, "flow-broker")
    await fill_broker_form(dialog, broker.port, "wrong horse")
    await submit.click()
    refused = dialog.get_by_text("The broker refused the user name or the password.")
    await expect(refused).to_be_visible()
    await take_picture(page, PICTURES, "flow-refused")
    await fill_broker_form(dialog, broker.port, PASSWORD)
    await submit.click()

    await dialog.get_by_text("Listen for gateways", exact=True).click()
    await expect(dialog.get_by_text("New gateways heard: 0")).to_be_visible()
    await street.power_up()
    await expect(dialog.get_by_text("New gateways heard: 2")).to_be_visible()
    await take_picture(page, PICTURES, "flow-listen")

    boxes = dialog.locator("ha-checkbox")
    await expect(boxes).to_have_count(2)
    for box in await boxes.all():
        await box.click()
    await take_picture(page, PICTURES, "flow-heard")
    await submit.click()

    names = {GATEWAY: "Garden Road 3", OTHER_GATEWAY: "Garden Road 5"}
    for (gateway, name), button in zip(names.items(), ("Next", "Submit"), strict=True):
        await expect(dialog.get_by_text(f"Gateway {gateway}")).to_be_visible()
        await dialog.locator("input[name=name]").fill(name)
        await take_picture(page, PICTURES, "flow-building")
        await dialog.get_by_role("button", name=button).click()
    await expect(dialog.get_by_text("Name and assign")).to_be_visible()
    await take_picture(page, PICTURES, "flow-success")
    await dialog.get_by_role("button", name="Skip and finish").click()

    entries = await house.api.entries()
    assert {entry["title"] for entry in entries} == set(names.values())


async def test_the_device_page_of_a_cabinet(page: Page, house: House, street: Street) -> None:
    await open_device(page, house, CABINET)
    for name, shown in (
        ("Heat energy", "45,323.12 kWh"),
        ("Volume", "3,456.78 m³"),
        ("Volume flow rate", "0 L/h"),
        ("Supply temperature", "28.87 °C"),
        ("Return temperature", "28.93 °C"),
        ("Temperature difference", "-0.06 K"),
        ("Thermal power", "0.0 kW"),
    ):
        await expect(row(page, name)).to_contain_text(shown)
    await take_picture(page, PICTURES, "cabinet")


async def test_a_valve_moves_by_the_slider(page: Page, house: House, street: Street) -> None:
    unique_id = f"{GATEWAY}_{VALVE}_valve"
    await open_device(page, house, VALVE)
    await house.wait_state(unique_id, position(100))
    card = page.locator("ha-device-entities-card").first
    await card.get_by_text(f"Valve {VALVE}").click()
    dialog = page.locator("ha-more-info-dialog")
    await expect(dialog.get_by_text("Open", exact=True)).to_be_visible()
    slider = dialog.locator("ha-control-slider")
    await slider.click()  # in the middle
    await expect(dialog.get_by_text("Closing", exact=True)).to_be_visible()
    await take_picture(page, PICTURES, "valve")

    await expect(dialog.get_by_text("50%", exact=True)).to_be_visible(timeout=60_000)
    await house.wait_state(unique_id, position(50))
    assert street.simulator.opening_pct(GATEWAY, VALVE) == 50


async def test_the_pages_of_a_living_building(page: Page, house: House, street: Street) -> None:
    await open_device(page, house, OTHER_CABINET)
    await expect(row(page, "Thermal power")).to_contain_text("kW")
    await take_picture(page, PICTURES, "cabinet-alive")
    await open_device(page, house, OTHER_GATEWAY)
    await expect(row(page, "Connectivity")).to_contain_text("Connected")
    await expect(row(page, "Meters reporting")).to_contain_text("101 meters")
    await take_picture(page, PICTURES, "gateway")


def failed_to(wish: int) -> Callable[[dict[str, Any]], bool]:
    """Return whether the event of a valve tells that it did not prove an opening."""
    return lambda state: (
        state["attributes"].get("event_type") == "failed" and state["attributes"]["wished"] == wish
    )


async def test_a_valve_that_does_not_obey_is_shown_as_failed(
    page: Page, house: House, street: Street
) -> None:
    """Walk the way that scripts/demo points out."""
    for entry in await house.api.entries():
        await house.api.set_options(entry["entry_id"], travel_time_s=10, move_pause_s=0)
    name = f"Valve {JAMMED_VALVE} (jammed)"
    jammed = await wait_for(lambda: point_out(house.api, JAMMED_VALVE, name), bool, 90.0)
    valve = f"{OTHER_GATEWAY}_{JAMMED_VALVE}"
    at = street.simulator.opening_pct(OTHER_GATEWAY, JAMMED_VALVE)
    state = await house.wait_state(f"{valve}_valve", position(round(at)))
    entity_id = state["entity_id"]

    await page.goto(f"{house.hass.url}/config/devices/device/{jammed}")
    card = page.locator("ha-device-entities-card").first
    await card.get_by_text(name).first.click()
    dialog = page.locator("ha-more-info-dialog")
    slider = dialog.locator("ha-control-slider")
    await slider.click()  # in the middle
    word = "Closing" if at > 50 else "Opening"
    await expect(dialog.get_by_text(word, exact=True)).to_be_visible()
    failed = await house.wait_state(f"{valve}_command", failed_to(50), 60.0)
    assert failed["attributes"]["reason"] == "not_reached"
    await house.wait_state(f"{valve}_valve", position(round(at)))  # what it reports, not the wish
    await page.keyboard.press("Escape")
    sentence = page.get_by_text("did not prove 50 %")
    await expect(sentence.first).to_be_visible()
    await take_picture(page, PICTURES, "valve-failed")
    await house.wait_state(
        f"{OTHER_GATEWAY}_valves_unproven",
        lambda state: (state["state"], state["attributes"]["valves"]) == ("1", [JAMMED_VALVE]),
    )

    for wish in (40, 60):
        await house.api.act("valve.set_valve_position", entity_id, position=wish)
        await house.wait_state(f"{valve}_command", failed_to(wish), 60.0)
    await page.goto(f"{house.hass.url}/config/repairs")
    await page.get_by_text(f"Valve {JAMMED_VALVE} does not obey").first.click()
    await expect(page.get_by_text("The last 3 commands for valve").first).to_be_visible()
    await take_picture(page, PICTURES, "valve-repair")

    gateway = street.simulator.fleet.gateways[OTHER_GATEWAY]
    gateway.faults.clear(FaultKind.STUCK_VALVE)  # somebody oils it
    await house.api.act("valve.set_valve_position", entity_id, position=50)
    await house.wait_state(f"{valve}_valve", position(50), 60.0)

    async def disobeying() -> list[str]:
        listed = await house.api.command("repairs/list_issues")
        keys = [issue["translation_key"] for issue in listed["issues"]]
        return [key for key in keys if key == "valve_disobeys"]

    await wait_for(disobeying, lambda issues: issues == [])
    await house.wait_state(f"{OTHER_GATEWAY}_valves_unproven", lambda state: state["state"] == "0")


async def fill_statistics(house: House, entity_id: str, unit: str, per_kwh: float) -> None:
    """Give a counter three days of long-term statistics, in the course of HEAT_KWH."""
    midnight = datetime.now(SHANGHAI).replace(hour=0, minute=0, second=0, microsecond=0)
    total, rows = 0.0, []
    for hour in range(-72, 0):
        total += HEAT_KWH[hour % 24] * per_kwh
        start = midnight + timedelta(hours=hour)
        rows.append({"start": start.isoformat(), "state": 45_000 + total, "sum": total})
    metadata = {
        "statistic_id": entity_id,
        "source": "recorder",
        "name": None,
        "has_sum": True,
        "mean_type": 0,
        "unit_class": "energy" if unit == "kWh" else "volume",
        "unit_of_measurement": unit,
    }
    await house.api.command("recorder/import_statistics", metadata=metadata, stats=rows)


async def add_water_helper(house: House, volume: str) -> str:
    """Add the helper that shows a volume as water, as README says; return its entity."""
    begin = {"handler": "template"}
    step = await house.api.request("POST", "/api/config/config_entries/flow", begin)
    step = await house.api.answer_flow(step, {"next_step_id": "sensor"})
    helper = {
        "name": "Heating water",
        "state": f"{{{{ states('{volume}') }}}}",
        "unit_of_measurement": "m³",
        "device_class": "water",
        "state_class": "total_increasing",
        "additional_options": {"availability": f"{{{{ has_value('{volume}') }}}}"},
    }
    step = await house.api.answer_flow(step, helper)
    assert step["type"] == "create_entry", step
    return "sensor.heating_water"


async def test_district_heat_on_the_energy_dashboard(
    page: Page, house: House, street: Street
) -> None:
    counter = f"{OTHER_GATEWAY}_{OTHER_CABINET}"
    await house.wait_state(f"{counter}_heat_energy", lambda state: float(state["state"]) > 0)
    heat = await house.entity_id(f"{counter}_heat_energy")
    water = await add_water_helper(house, await house.entity_id(f"{counter}_volume"))
    await fill_statistics(house, heat, "kWh", 1.0)
    # 1.163 kWh/(m³ K) at 20 K are 23.26 kWh a cubic meter.
    await fill_statistics(house, water, "m³", 1 / 23.26)
    sources = [
        {"type": "gas", "stat_energy_from": heat, "name": "District heat"},
        {"type": "water", "stat_energy_from": water, "name": "Heating water"},
    ]
    await house.api.command("energy/save_prefs", energy_sources=sources, device_consumption=[])

    async def complaints() -> list[object]:
        found = await house.api.command("energy/validate")
        return [issue for kind in found.values() for row in kind for issue in row]

    await wait_for(complaints, lambda issues: issues == [])

    for source, shown in (("gas", f"{sum(HEAT_KWH)}.00 kWh"), ("water", "41.23 m³")):
        await page.goto(f"{house.hass.url}/energy/{source}")
        await page.get_by_role("button", name="Previous").click()
        totals = page.locator("hui-energy-sources-table-card")
        await expect(totals).to_contain_text(shown)
        await expect(totals).to_contain_text(str(sources[source == "water"]["name"]))
        await take_picture(page, PICTURES, "energy" if source == "gas" else "energy-water")


async def test_everything_in_chinese(page: Page, house: House, street: Street) -> None:
    # Names of entities and devices are in the language of the house, all else in the user's.
    await house.api.command("config/core/update", language="zh-Hans")
    chosen = {"language": "zh-Hans"}
    await house.api.command("frontend/set_user_data", key="language", value=chosen)
    for entry in await house.api.entries():
        if entry["title"] == "Garden Road 3":
            await house.api.reload_entry(entry["entry_id"])
    await open_device(page, house, CABINET)
    await expect(page.get_by_text(f"楼宇柜 {CABINET}").first).to_be_visible()
    for name, shown in (
        ("累计热量", "45,323.12 kWh"),
        ("累计流量", "3,456.78 m³"),
        ("瞬时流量", "0 L/h"),
        ("供水温度", "28.87 °C"),
        ("回水温度", "28.93 °C"),
        ("供回水温差", "-0.06 K"),
        ("热功率", "0.0 kW"),
    ):
        await expect(row(page, name)).to_contain_text(shown)
    await take_picture(page, PICTURES, "cabinet-zh")
    await open_device(page, house, GATEWAY)
    await expect(row(page, "供暖期")).to_be_visible()
    await take_picture(page, PICTURES, "gateway-zh")

    await page.goto(f"{house.hass.url}/config/integrations/integration/hy_heating")
    await page.get_by_role("button", name="添加中枢").click()
    dialog = page.locator("dialog-data-entry-flow")
    await expect(dialog.get_by_text("MQTT").first).to_be_visible()
    await take_picture(page, PICTURES, "flow-zh")
