"""What stays and what goes: restarts of Home Assistant and of the broker, reload and removal."""

import asyncio

from hass_api import ApiError, wait_for
import pytest
import pytest_asyncio

from .house import House, position
from .mosquitto import Mosquitto
from .vectors import (
    CABINET,
    FRAMES,
    GATEWAY,
    REPORTS,
    VALVE,
    payload,
    report,
    valve_report_an_hour_later,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTED_IN_LOG = (
    r"No connection to broker",  # said once, while the broker is away
    r"could not validate that the sqlite3 database|Ended unfinished session",  # after the kill
    rf"valve.set_valve_position: {VALVE} was not reached: the gateway does not answer",
    rf"Gateway {GATEWAY} is silent",
    rf"Valve {VALVE} of gateway {GATEWAY}: command for 50 % failed: gateway_silent",
)

OURS = 1  # the connection of the test that counts
KEPT_WITHIN_S = 30  # a power failure loses no more than that
SUPPLY = f"{GATEWAY}_{VALVE}_supply_temperature"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def entry_id(house: House, broker: Mosquitto) -> str:
    """Register the captured gateway, which is silent but for what the tests publish."""
    entry_id = await house.add_heard_gateway(GATEWAY, "Captured", payload("cabinet_report"))
    await broker.publish(REPORTS, payload("cabinet_report"))
    await broker.publish(REPORTS, payload("valve_report"))
    await house.wait_state(f"{GATEWAY}_{VALVE}_valve", position(100))
    await house.wait_state(f"{GATEWAY}_{CABINET}_valve", position(100))
    return entry_id


def supply_c(frame: str) -> str:
    return str(FRAMES[frame]["decoded"]["supply_temperature_c"])


async def test_a_reload_takes_the_place_of_what_was_before(
    house: House, broker: Mosquitto, entry_id: str
) -> None:
    connected = await broker.count("clients/connected")
    subscriptions = await broker.count("subscriptions/count")
    assert connected == OURS + 1

    for _ in range(3):
        await house.api.reload_entry(entry_id)

    assert await broker.count("clients/connected") == connected
    assert await broker.count("clients/total") == connected
    assert await broker.count("subscriptions/count") == subscriptions
    await house.wait_state(SUPPLY, lambda state: state["state"] == supply_c("valve_report_C"))


async def test_a_disabled_entry_keeps_its_session_but_no_connection(
    house: House, broker: Mosquitto, entry_id: str
) -> None:
    await house.api.command("config_entries/disable", entry_id=entry_id, disabled_by="user")
    assert await broker.count("clients/connected") == OURS
    assert await broker.count("clients/total") == OURS + 1

    await house.api.command("config_entries/disable", entry_id=entry_id, disabled_by=None)
    assert await broker.count("clients/connected") == OURS + 1
    await house.wait_state(SUPPLY, lambda state: state["state"] == supply_c("valve_report_C"))


async def test_a_restart_keeps_readings_and_misses_no_report(
    house: House, broker: Mosquitto, entry_id: str
) -> None:
    cabinet = f"{GATEWAY}_{CABINET}_heat_energy"
    before = await house.state(cabinet)
    assert before
    await house.stop()
    # While Home Assistant is away: the broker keeps it for the session that will come back.
    await broker.publish(REPORTS, report(f"{VALVE}200800", "valve_report_A"))
    await house.start()

    # Nothing was heard of the cabinet since.
    await house.wait_state(cabinet, lambda state: state["state"] == before["state"])
    await house.wait_state(f"{GATEWAY}_{CABINET}_valve", position(100))
    await house.wait_state(SUPPLY, lambda state: state["state"] == supply_c("valve_report_A"))


async def test_a_power_failure_keeps_readings(
    house: House, broker: Mosquitto, entry_id: str
) -> None:
    await broker.publish(REPORTS, valve_report_an_hour_later())
    await house.wait_state(SUPPLY, lambda state: state["state"] == "29.1")
    await asyncio.sleep(KEPT_WITHIN_S)
    await house.kill()
    await house.start()
    await house.wait_state(SUPPLY, lambda state: state["state"] == "29.1")


async def test_without_a_broker_nothing_counts_and_no_command_is_taken(
    house: House, broker: Mosquitto, entry_id: str
) -> None:
    valve = f"{GATEWAY}_{VALVE}_valve"
    entity_id = await house.entity_id(valve)
    await broker.stop()
    await house.wait_state(valve, lambda state: state["state"] == "unavailable")
    connectivity = await house.wait_state(
        f"{GATEWAY}_connectivity", lambda state: state["state"] == "off"
    )
    assert connectivity["attributes"]["problem"] == "broker_unreachable"

    await broker.start()
    await house.wait_state(valve, position(100), timeout_s=60)
    await house.wait_state(f"{GATEWAY}_connectivity", lambda state: state["state"] == "on")
    # The gateway is away: the command must fail, and say why.
    with pytest.raises(ApiError, match="500"):
        await house.api.act("valve.set_valve_position", entity_id, position=50)
    # Where two polls before it were unanswered too, the gateway counts as silent until it is heard.
    state = await house.state(valve)
    assert state
    assert state["attributes"].get("current_position") in (None, 100), "in no case is it 50"
    await broker.publish(REPORTS, payload("cabinet_report"))
    await house.wait_state(valve, position(100))


async def test_the_last_entry_takes_the_session_along(
    house: House, broker: Mosquitto, entry_id: str
) -> None:
    await house.api.remove_entry(entry_id)
    assert await broker.count("clients/total") == OURS
    assert await broker.count("subscriptions/count") == 0
    assert await house.api.devices() == []
    assert await house.api.entities() == []

    async def kept() -> list[str]:
        storage = house.hass.folder / ".storage"
        return [path.name for path in storage.iterdir() if path.name.startswith("hy_heating")]

    await wait_for(kept, lambda names: names == [])
