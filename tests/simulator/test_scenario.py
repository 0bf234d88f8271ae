"""Scenarios: presets, JSON files, numbers that stay apart, chance that repeats itself."""

import json
import time

import pytest

from simulator import (
    Fault,
    FaultKind,
    Fleet,
    GatewayPlan,
    Scenario,
    ScenarioError,
    building,
    captured,
    demo,
    fleet,
    from_json,
    to_json,
)
from simulator.scenario import JAMMED_VALVE

from .bench import ALIVE, CABINET, CAPTURED, VALVE, Bench


def test_the_demo_is_the_captured_gateway_and_a_living_building() -> None:
    bench = Bench(demo())
    meters = {id_: list(gateway.meters) for id_, gateway in bench.fleet.gateways.items()}
    assert meters[CAPTURED] == [CABINET, VALVE]
    assert len(meters[ALIVE]) == 5 + 96
    assert set(meters) == {CAPTURED, ALIVE}


def test_one_valve_of_the_demo_is_jammed() -> None:
    (jammed,) = [fault for plan in demo().gateways for fault in plan.faults]
    assert (jammed.kind, jammed.meter) == ("stuck_valve", JAMMED_VALVE)
    assert JAMMED_VALVE in Bench(demo()).fleet.gateways[ALIVE].meters


@pytest.mark.parametrize("start", ["2026-01-15T12:00", "2026-07-15T12:00"])
def test_the_demo_is_alive_whatever_the_date(start: str) -> None:
    bench = Bench(demo())
    assert demo().start is None
    bench = Bench(from_json(json.dumps(json.loads(to_json(demo())) | {"start": start})))
    reports = [each for each in bench.run(600) if each.gateway_id == ALIVE]
    cabinets = [each.frame for each in reports if each.frame["device"] == "cabinet"]
    assert {each["meter_number"] for each in cabinets} == {str(27200100 + n) for n in range(5)}
    assert all(each["flow_l_h"] > 0 for each in cabinets)
    assert len({each["heat_energy_kwh"] for each in cabinets}) > 20
    assert len({each.frame["meter_number"] for each in reports}) == 101


def test_a_hundred_gateways_with_101_meters_each_start_in_5_s() -> None:
    scenario = fleet(100)
    began = time.perf_counter()
    gateways = Fleet(scenario, scenario.start_time()).gateways
    assert time.perf_counter() - began < 5
    numbers = [number for gateway in gateways.values() for number in gateway.meters]
    assert len(numbers) == 100 * 101 == len(set(numbers))
    assert all(len(number) == 8 and number.isdecimal() for number in numbers)
    assert list(gateways)[::99] == ["03000000001", "03000000100"]


def test_200_reports_a_second_cost_a_small_part_of_a_second() -> None:
    # 500 cabinets × 6/h and 9600 valves × 1/h are 3.5 reports a second; 57 times as many 200.
    bench = Bench(fleet(100).with_plans(reports_per_interval=57))
    began = time.process_time()
    reports = bench.run(30)
    took = time.process_time() - began
    assert len(reports) == pytest.approx(200 * 30, rel=0.05)
    assert took < 30 * 0.25


def test_the_same_seed_is_the_same_building_and_another_one_is_not() -> None:
    def life(seed: int) -> list[bytes]:
        scenario = Scenario(gateways=building(valves=6).gateways, seed=seed)
        bench = Bench(scenario)
        bench.ask(1)
        return [each.payload for each in bench.run(7200)]

    assert life(1) == life(1) != life(2)


def test_it_does_not_matter_in_which_steps_time_is_given() -> None:
    steps, jump = Bench(building(valves=6)), Bench(building(valves=6))
    whole = jump.run(7200)
    parts = []
    while (due := steps.fleet.next_due) is not None and due <= steps.start + 7200:
        parts += steps.run(due - steps.now)
    assert [each.payload for each in parts] == [each.payload for each in whole]
    assert len(whole) > 5 * 12


def test_messages_of_all_gateways_come_in_the_order_of_time() -> None:
    sent = Bench(fleet(3, cabinets=2, valves=5)).run(7200)
    assert [each.at for each in sent] == sorted(each.at for each in sent)
    assert len({each.gateway_id for each in sent[:9]}) == 3


def test_every_preset_survives_json() -> None:
    for scenario in (captured(), building(), demo(), fleet(3)):
        assert from_json(to_json(scenario)) == scenario
    faulty = captured().with_plans(
        faults=(Fault(kind=FaultKind.DELAYED, seconds=5.0, meter=VALVE),)
    )
    assert from_json(to_json(faulty)) == faulty


def test_a_short_file_is_enough() -> None:
    scenario = from_json('{"gateways": [{"gateway_id": "12345678901", "latency_s": 1}]}')
    assert scenario == Scenario(gateways=(GatewayPlan(gateway_id="12345678901", latency_s=1.0),))


def test_start_is_local_time_unless_it_has_a_zone() -> None:
    # 2026-01-15T00:00 UTC is 1768435200.
    plans = captured().gateways
    assert Scenario(gateways=plans, start="2026-01-15T08:00").start_time() == 1768435200
    assert Scenario(gateways=plans, start="2026-01-15T01:00+01:00").start_time() == 1768435200
    assert Scenario(gateways=plans).start_time() == pytest.approx(time.time(), abs=5)


ONE = {"gateway_id": "12345678901"}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "scenario must be an object"),
        ({}, "gateways"),
        ({"gateways": []}, "needs a gateway"),
        ({"gateways": {}}, "scenario.gateways must be a list"),
        ({"gateways": [3]}, r"scenario.gateways\[0\] must be an object"),
        ({"gateways": [ONE], "sped": 2}, "unknown key 'sped'"),
        ({"gateways": [ONE], "speed": 0}, "speed must be"),
        ({"gateways": [ONE], "speed": "2"}, "scenario.speed must be of type float"),
        ({"gateways": [ONE], "start": "soon"}, "ISO 8601"),
        ({"gateways": [ONE], "utc_offset_h": 30}, "utc_offset_h"),
        ({"gateways": [ONE | {"baud": -1}]}, r"gateways\[0\]: baud must be"),
        ({"gateways": [ONE | {"baud": True}]}, r"gateways\[0\].baud must be of type int"),
        ({"gateways": [ONE | {"baud": None}]}, r"gateways\[0\].baud must be of type int"),
        ({"gateways": [ONE | {"season_end": "13-01"}]}, "MM-DD"),
        ({"gateways": [ONE | {"season_end": "02-30"}]}, "MM-DD"),
        ({"gateways": [ONE | {"faults": [{"kind": "x"}]}]}, "must be one of"),
        ({"gateways": [ONE | {"faults": [{}]}]}, "kind"),
        ({"gateways": [{"gateway_id": "123"}]}, "11 digits"),
        ({"gateways": [ONE, ONE]}, "stands twice"),
        ({"gateways": [ONE, {"gateway_id": "12345678902", "block": 0}]}, "block"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_with_its_place(data: object, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        from_json(json.dumps(data))


def test_a_file_that_is_no_json_is_refused() -> None:
    with pytest.raises(ScenarioError, match="not JSON"):
        from_json("{")


def test_the_plan_of_a_fleet_does_not_grow_with_what_it_receives() -> None:
    bench = Bench(fleet(3))
    for _ in range(200):
        bench.ask(1)
        assert len(bench.run(1)) >= 1
    # One entry for each gateway; one more where a message moved a gateway's next time forward.
    assert len(bench.fleet._heap) <= 6
