"""Both valves move when told, in the simulated device and in Home Assistant."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

from hass_api import wait_for
import pytest
import pytest_asyncio

from simulator.faults import Fault, FaultKind
from simulator.mqtt import Broker, Simulator
from simulator.scenario import captured

from .house import House, position
from .mosquitto import PASSWORD, USERNAME, Mosquitto
from .vectors import CABINET, GATEWAY, VALVE

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

EXPECTED_IN_LOG = (rf"Valve {VALVE} of gateway {GATEWAY}: command for 80 % failed: not_reached",)

PROOF_TIMEOUT_S = 60.0
"""The first direct read follows 8 s after the reply, the next one after 24 s."""
# Between two moves of a motor there is a pause of 30 s, which the later moves wait for.


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def simulator(house: House, broker: Mosquitto) -> AsyncIterator[Simulator]:
    """Run the registered captured gateway, with valves that take 4 s from end to end."""
    scenario = captured().with_plans(cabinet_travel_s=4.0, valve_travel_s=4.0)
    access = Broker(port=broker.port, username=USERNAME, password=PASSWORD)
    async with Simulator(scenario, access) as simulator:
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        await house.add_answering_gateway(GATEWAY, "Captured")
    async with Simulator(scenario, access) as simulator:  # powered up anew: it reports at once
        for meter in (CABINET, VALVE):
            await house.wait_state(f"{GATEWAY}_{meter}_valve", position(100))
        yield simulator


@pytest.mark.parametrize("percent", [0, 50, 100])
async def test_both_valves_by_set_valve_position(
    house: House, simulator: Simulator, percent: int
) -> None:
    async def move(meter: str) -> None:
        unique_id = f"{GATEWAY}_{meter}_valve"
        entity_id = await house.entity_id(unique_id)
        before = simulator.opening_pct(GATEWAY, meter)
        await house.api.act("valve.set_valve_position", entity_id, position=percent)
        # The action returns with the device's confirmation, when the valve is on its way: the
        # position stays what was reported until a report shows another one.
        moving = await house.wait_state(unique_id, lambda state: state["state"].endswith("ing"))
        assert moving["state"] == ("closing" if percent < before else "opening")
        assert moving["attributes"]["current_position"] == before
        await house.wait_state(unique_id, position(percent), PROOF_TIMEOUT_S)
        assert simulator.opening_pct(GATEWAY, meter) == percent

    await asyncio.gather(move(CABINET), move(VALVE))


async def test_a_valve_moved_by_hand_is_seen_with_the_next_report(
    house: House, simulator: Simulator
) -> None:
    simulator.move(GATEWAY, VALVE, 30)

    async def opening() -> float:
        return simulator.opening_pct(GATEWAY, VALVE)

    await wait_for(opening, lambda percent: percent == 30)
    await house.api.act("button.press", await house.entity_id(f"{GATEWAY}_read_valves"))
    await house.wait_state(f"{GATEWAY}_{VALVE}_valve", position(30))


async def test_a_jammed_valve_is_shown_as_failed(house: House, simulator: Simulator) -> None:
    (entry,) = await house.api.entries()
    options = "/api/config/config_entries/options/flow"
    step = await house.api.request("POST", options, {"handler": entry["entry_id"]})
    hasty = {"travel_time_s": 10, "move_pause_s": 0}
    await house.api.request("POST", f"{options}/{step['flow_id']}", hasty)
    valve, command = f"{GATEWAY}_{VALVE}_valve", f"{GATEWAY}_{VALVE}_command"
    before = await house.wait_state(valve, lambda state: "current_position" in state["attributes"])
    stands_at = before["attributes"]["current_position"]
    faults = simulator.fleet.gateways[GATEWAY].faults
    faults.add(Fault(kind=FaultKind.STUCK_VALVE, meter=VALVE))
    since = datetime.now(UTC)

    async def move() -> None:
        entity_id = await house.entity_id(valve)
        await house.api.act("valve.set_valve_position", entity_id, position=80)

    def ended(how: str) -> Callable[[dict[str, Any]], bool]:
        return lambda state: state["attributes"].get("event_type") == how

    await move()
    failed = (await house.wait_state(command, ended("failed"), PROOF_TIMEOUT_S))["attributes"]
    assert (failed["reason"], failed["wished"], failed["found"]) == ("not_reached", 80, stands_at)
    await house.wait_state(valve, position(stands_at))
    unproven = f"{GATEWAY}_valves_unproven"
    shown = await house.wait_state(unproven, lambda state: state["state"] == "1")
    assert shown["attributes"]["valves"] == [VALVE]

    async def sentences() -> list[str]:
        lines = await house.api.request("GET", f"/api/logbook/{since.isoformat()}")
        return [line["message"] for line in lines if line.get("domain") == "hy_heating"]

    expected = "did not prove 80 %: the opening was not reached in time"
    await wait_for(sentences, lambda told: any(line.startswith(expected) for line in told))

    faults.clear()
    await move()
    await house.wait_state(command, ended("verified"), PROOF_TIMEOUT_S)
    await house.wait_state(unproven, lambda state: state["state"] == "0")
    assert simulator.opening_pct(GATEWAY, VALVE) == 80
