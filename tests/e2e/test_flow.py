"""The config flow over REST, against real brokers: what goes wrong, and how it goes on."""

import asyncio
from collections.abc import AsyncIterator

from processes import free_port
import pytest
import pytest_asyncio

from simulator.mqtt import Broker, Simulator
from simulator.scenario import demo

from .house import House
from .mosquitto import PASSWORD, USERNAME, Mosquitto
from .vectors import GATEWAY

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OTHER_GATEWAY = "02345678904"
SILENT_GATEWAY = "02345678999"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator(broker: Mosquitto) -> AsyncIterator[Simulator]:
    """Run two buildings that report often."""
    access = Broker(port=broker.port, username=USERNAME, password=PASSWORD)
    async with Simulator(demo().with_plans(reports_per_interval=200.0), access) as simulator:
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        yield simulator


async def test_a_dead_broker_then_the_right_one(house: House) -> None:
    api = house.api
    step = await api.start_flow()
    assert step["step_id"] == "broker"  # no broker is known yet

    step = await api.answer_flow(step, house.broker_form(port=free_port()))
    assert (step["step_id"], step["errors"]) == ("broker", {"base": "cannot_connect"})

    step = await api.answer_flow(step, house.broker_form())
    assert (step["type"], step["step_id"]) == ("menu", "gateways")


async def test_a_wrong_password_then_the_right_one(house: House) -> None:
    api = house.api
    step = await api.start_flow()

    step = await api.answer_flow(step, house.broker_form(password="wrong horse"))
    assert (step["step_id"], step["errors"]) == ("broker", {"base": "invalid_auth"})
    step = await api.answer_flow(step, house.broker_form(username=None, password=None))
    assert (step["step_id"], step["errors"]) == ("broker", {"base": "invalid_auth"})

    step = await api.answer_flow(step, house.broker_form())
    assert (step["type"], step["step_id"]) == ("menu", "gateways")


async def test_tls_with_a_broker_that_has_none_then_without(house: House) -> None:
    api = house.api
    step = await api.start_flow()

    step = await api.answer_flow(step, house.broker_form(encryption="system_ca"))
    assert (step["step_id"], step["errors"]) == ("broker", {"base": "tls_failed"})

    step = await api.answer_flow(step, house.broker_form())
    assert (step["type"], step["step_id"]) == ("menu", "gateways")


async def test_nothing_heard(house: House) -> None:
    api = house.api
    form = house.broker_form(advanced={"prefix": "no/one"})
    step = await api.answer_flow(await api.start_flow(), form)
    step = await api.wait_flow(await api.answer_flow(step, {"next_step_id": "listen"}))
    assert (step["type"], step["step_id"]) == ("menu", "nothing_heard")
    assert set(step["menu_options"]) == {"listen", "gateway_id"}


async def test_two_gateways_from_the_listening_window(house: House, simulator: Simulator) -> None:
    api = house.api
    area = await api.command("config/area_registry/create", name="North")
    step = await api.answer_flow(await api.start_flow(), house.broker_form())
    step = await api.answer_flow(step, {"next_step_id": "listen"})
    assert (step["type"], step["step_id"]) == ("progress", "listen")
    step = await api.wait_flow(step)
    assert step["step_id"] == "heard"
    options = step["data_schema"][0]["selector"]["select"]["options"]
    assert [option["value"] for option in options] == [GATEWAY, OTHER_GATEWAY]

    step = await api.answer_flow(step, {"gateways": []})
    assert step["errors"] == {"gateways": "no_gateway_chosen"}
    step = await api.answer_flow(step, {"gateways": [GATEWAY]})
    assert step["description_placeholders"]["gateway_id"] == GATEWAY
    step = await api.answer_flow(step, {"name": "Building 1", "area_id": area["area_id"]})

    assert (step["type"], step["title"]) == ("create_entry", "Building 1")
    devices = await api.devices()
    assert {device["area_id"] for device in devices} == {area["area_id"]}


async def test_the_same_broker_and_a_gateway_that_answers(
    house: House, simulator: Simulator
) -> None:
    api = house.api
    step = await api.start_flow()
    assert step["step_id"] == "user"  # a broker is known now
    known = step["data_schema"][0]["default"]
    step = await api.answer_flow(step, {"broker": known})
    assert step["step_id"] == "gateways"
    step = await api.answer_flow(step, {"next_step_id": "gateway_id"})

    step = await api.answer_flow(step, {"gateway_id": "0234567890"})
    assert step["errors"] == {"gateway_id": "invalid_gateway_id"}
    step = await api.wait_flow(await api.answer_flow(step, {"gateway_id": OTHER_GATEWAY}))
    assert step["step_id"] == "probed"
    told = step["description_placeholders"]
    assert (told["firmware"], told["cabinets"], told["valves"]) == ("V1.0", "5", "96")
    step = await api.answer_flow(step, {"name": "Building 2"})
    assert (step["type"], step["title"]) == ("create_entry", "Building 2")


async def test_a_second_registration_is_refused(house: House, simulator: Simulator) -> None:
    api = house.api
    step = await api.answer_flow(await api.start_flow(), {"broker": "new"})
    step = await api.answer_flow(step, house.broker_form())
    step = await api.answer_flow(step, {"next_step_id": "gateway_id"})
    step = await api.answer_flow(step, {"gateway_id": GATEWAY})
    assert (step["type"], step["reason"]) == ("abort", "already_configured")


async def test_a_silent_gateway_can_be_added_knowingly(house: House) -> None:
    api = house.api
    step = await api.start_flow()
    step = await api.answer_flow(step, {"broker": step["data_schema"][0]["default"]})
    step = await api.answer_flow(step, {"next_step_id": "gateway_id"})
    step = await api.wait_flow(await api.answer_flow(step, {"gateway_id": SILENT_GATEWAY}))
    assert (step["type"], step["step_id"]) == ("menu", "silent")
    step = await api.answer_flow(step, {"next_step_id": "building"})
    step = await api.answer_flow(step, {})
    assert (step["type"], step["title"]) == ("create_entry", SILENT_GATEWAY)


async def test_all_entries_work_on_one_connection(
    house: House, simulator: Simulator, broker: Mosquitto
) -> None:
    entries = await house.api.entries()
    assert {entry["title"]: entry["state"] for entry in entries} == {
        "Building 1": "loaded",
        "Building 2": "loaded",
        SILENT_GATEWAY: "loaded",
    }
    # Home Assistant's only one, the simulator's, and the one that counts.
    assert await broker.count("clients/connected") == 3
