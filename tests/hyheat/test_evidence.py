"""A site that reads its meters wrongly: flow by powers of ten, exchanged temperatures."""

from typing import Any

import pytest

from custom_components.hy_heating.hyheat.evidence import FlowScaleEvidence, ReversalEvidence
from custom_components.hy_heating.hyheat.model import MeterReading, Register
from tests.cabinets import cabinet

HOUR = 3600.0
TEN_MINUTES = 600.0


class Flow:
    """Feeds a cabinet through which 6 m³/h flow: 100 counts of 10 L in ten minutes."""

    def __init__(self) -> None:
        self.evidence = FlowScaleEvidence()
        self.now_s, self.counts = 1_000.0, 0

    def report(
        self, flow_l_h: float | None, counts: int = 100, after_s: float = TEN_MINUTES
    ) -> float:
        self.now_s += after_s
        self.counts += counts
        values = {"flow_l_h": flow_l_h}
        reading = MeterReading("cabinet", b"", 0x81, 0x901F, 0, values, b"")
        self.evidence.see(reading, Register(self.counts, 1, 100), self.now_s)
        return self.evidence.factor


@pytest.fixture
def flow() -> Flow:
    return Flow()


@pytest.mark.parametrize(
    ("shown_l_h", "factor"),
    [(600, 10.0), (60, 100.0), (60_000, 0.1), (600_000, 0.01), (6_000, 1.0)],
)
def test_six_comparisons_in_a_row_tell_the_factor(
    flow: Flow, shown_l_h: float, factor: float
) -> None:
    found = [flow.report(shown_l_h) for _ in range(7)]  # seven reports are six pairs
    assert found == [1.0] * 6 + [factor]


def test_a_factor_goes_when_the_flow_is_right_again(flow: Flow) -> None:
    for _ in range(7):
        flow.report(600)
    # The pair in between, from 600 to 6000 L/h, has a mean of 3300: a factor 1.8, that is nothing.
    found = [flow.report(6_000) for _ in range(7)]
    assert found == [10.0] * 6 + [1.0]


@pytest.mark.parametrize(
    "shown_l_h",
    [
        pytest.param(2_000, id="a factor 3 is no power of ten"),
        pytest.param(6, id="neither is a thousand a known one"),
        pytest.param(0, id="no flow says nothing"),
        pytest.param(None, id="nor does an unknown one"),
    ],
)
def test_what_is_no_evidence(flow: Flow, shown_l_h: float | None) -> None:
    assert {flow.report(shown_l_h) for _ in range(20)} == {1.0}


def test_one_comparison_that_disagrees_begins_anew(flow: Flow) -> None:
    for _ in range(6):
        flow.report(600)
    flow.report(600, counts=30)  # a factor 3
    for _ in range(5):
        assert flow.report(600) == 1.0
    assert flow.report(600) == 10.0


def test_a_little_volume_is_waited_for(flow: Flow) -> None:
    """One count of 10 L says nothing: ten of them make a comparison, so 60 reports six."""
    found = [flow.report(6, counts=1) for _ in range(60)]
    assert set(found) == {1.0}
    assert flow.report(6, counts=1) == 10.0  # 10 L in ten minutes are 60 L/h


@pytest.mark.parametrize(
    ("times_off", "factor"),
    [
        pytest.param(15.845, 10.0, id="1.5845 more than ten"),
        pytest.param(15.86, 1.0, id="1.586 more than ten"),
        pytest.param(6.311, 10.0, id="1.5845 less than ten"),
        pytest.param(6.305, 1.0, id="1.586 less than ten"),
    ],
)
def test_a_factor_of_1_6_either_way_is_granted(flow: Flow, times_off: float, factor: float) -> None:
    # 10 to the power 0.2 is 1.58489.
    assert [flow.report(6_000 / times_off) for _ in range(7)] == [1.0] * 6 + [factor]


def test_comparisons_must_agree_with_each_other(flow: Flow) -> None:
    # 1 m³ and 10 m³ by turns, where 600 L/h make 0.1 m³: a factor 10, and 100.
    assert {flow.report(600, counts=100 if turn % 2 else 1_000) for turn in range(20)} == {1.0}


@pytest.mark.parametrize("after_s", [60.0, 3 * HOUR])
def test_a_minute_and_three_hours_are_just_right(flow: Flow, after_s: float) -> None:
    shown_l_h = 1_000 / (after_s / HOUR) / 10  # a tenth of 1 m³ in that time
    assert [flow.report(shown_l_h, after_s=after_s) for _ in range(7)] == [1.0] * 6 + [10.0]


@pytest.mark.parametrize("after_s", [10.0, 59.0, 3.01 * HOUR])
def test_reports_too_close_or_too_far_say_nothing(flow: Flow, after_s: float) -> None:
    shown_l_h = 1_000 / (after_s / HOUR) / 10
    assert {flow.report(shown_l_h, after_s=after_s) for _ in range(20)} == {1.0}


def test_a_doubtful_volume_or_another_unit_says_nothing(flow: Flow) -> None:
    reading = cabinet({"flow_l_h": 600})
    for step in range(20):
        unit = 100 if step % 2 else 10
        flow.evidence.see(reading, Register(step * 100, 1, unit), step * TEN_MINUTES)
        flow.evidence.see(reading, None, step * TEN_MINUTES + 300)
        flow.evidence.see(reading, Register(step * 100, 1, unit), step * TEN_MINUTES + 301)
    for step in range(20):
        unit = 100 if step % 2 else 10
        flow.evidence.see(reading, Register(step * 100, 1, unit), (30 + step) * TEN_MINUTES)
    assert flow.evidence.factor == 1.0


# --- Supply and return ----------------------------------------------------------------------


def hot(
    supply_c: float | None, return_c: float | None, flow_l_h: float | None = 6_000.0
) -> MeterReading:
    values: dict[str, Any] = {
        "supply_temperature_c": supply_c,
        "return_temperature_c": return_c,
        "flow_l_h": flow_l_h,
    }
    return MeterReading("cabinet", b"", 0x81, 0x901F, 0, values, b"")


def reversed_for(hours: int, reading: MeterReading) -> ReversalEvidence:
    evidence = ReversalEvidence()
    for hour in range(hours + 1):
        evidence.see(reading, hour * HOUR)
    return evidence


def test_two_days_of_a_hotter_return_are_enough() -> None:
    assert not reversed_for(47, hot(40, 55)).found
    assert reversed_for(48, hot(40, 55)).found


def test_it_clears_with_one_report_the_right_way_round() -> None:
    evidence = reversed_for(48, hot(40, 55))
    evidence.see(hot(55, 40), 49 * HOUR)
    assert not evidence.found
    for day in range(11):
        evidence.see(hot(40, 55), (72 + day * 24) * HOUR)
    assert not evidence.found, "and begins anew, with the first of twelve"
    evidence.see(hot(40, 55), (72 + 11 * 24) * HOUR)
    assert evidence.found


def test_water_of_30_c_is_hot() -> None:
    assert reversed_for(48, hot(20, 30)).found
    assert not reversed_for(48, hot(20, 29.99)).found


@pytest.mark.parametrize(
    "reading",
    [
        pytest.param(hot(40, 55, 0), id="no flow"),
        pytest.param(hot(40, 55, None), id="unknown flow"),
        pytest.param(hot(28.87, 28.93), id="at rest, as captured"),
        pytest.param(hot(50, 50.9), id="within what two sensors differ"),
        pytest.param(hot(50, 51), id="just what two sensors differ"),
        pytest.param(hot(50, 50), id="no difference"),
        pytest.param(hot(None, 55), id="unknown supply"),
        pytest.param(hot(40, None), id="unknown return"),
    ],
)
def test_what_says_nothing_of_supply_and_return(reading: MeterReading) -> None:
    assert not reversed_for(100, reading).found
    evidence = reversed_for(48, hot(40, 55))
    evidence.see(reading, 49 * HOUR)
    assert evidence.found, "and takes nothing back"


def test_two_reports_days_apart_are_too_few() -> None:
    evidence = ReversalEvidence()
    for day in range(11):
        evidence.see(hot(40, 55), day * 24 * HOUR)
    assert not evidence.found
    evidence.see(hot(40, 55), 11 * 24 * HOUR)
    assert evidence.found, "the twelfth"


def test_a_household_valve_counts_while_it_is_open() -> None:
    def valve(opening_pct: int) -> MeterReading:
        values: dict[str, Any] = {
            "supply_temperature_c": 40.0,
            "return_temperature_c": 45.0,
            "opening_pct": opening_pct,
        }
        return MeterReading("valve", b"", 0x81, 0x901F, 1, values, b"")

    assert not reversed_for(100, valve(0)).found
    assert reversed_for(48, valve(50)).found


def test_evidence_survives_a_restart() -> None:
    seen = reversed_for(47, hot(40, 55))
    evidence = ReversalEvidence.from_list(seen.as_list())
    assert evidence == seen
    evidence.see(hot(40, 55), 48 * HOUR)
    assert evidence.found
    flow = Flow()
    for _ in range(6):
        flow.report(600)
    flow.evidence = FlowScaleEvidence.from_list(flow.evidence.as_list())
    flow.report(600)
    assert flow.report(600) == 10.0
    again = FlowScaleEvidence.from_list(flow.evidence.as_list())
    assert again.factor == 10.0
