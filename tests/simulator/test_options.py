"""The command line and its manual."""

from dataclasses import fields
from pathlib import Path
import re

import pytest

from simulator import FaultKind, GatewayPlan, Scenario, ScenarioError, building, fleet, to_json
from simulator.options import PASSWORD_VARIABLE, broker_of, parser, scenario_of
from simulator.scenario import PRESETS


def scenario(*arguments: str) -> Scenario:
    return scenario_of(parser().parse_args(list(arguments)))


def test_help_names_every_option_fault_preset_and_request() -> None:
    text = parser().format_help()
    for action in parser()._actions:
        assert action.help
        assert all(option in text for option in action.option_strings)
    for kind in FaultKind:
        assert re.search(rf"^  {kind} +[A-Z]", text, re.MULTILINE), kind
    for preset in PRESETS:
        assert re.search(rf"^  {preset} ", text, re.MULTILINE), preset
    for request in ("state", "move", "fault", "clear", "stop"):
        assert f'"do": "{request}"' in text
    for event in ("ready", "connected", "disconnected", "moving", "arrived", "refused"):
        assert f'"{event}"' in text
    assert PASSWORD_VARIABLE in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_every_key_of_a_plan_can_be_set_on_the_command_line() -> None:
    dests = {action.dest for action in parser()._actions}
    # Under another name, or of one gateway only.
    elsewhere = {"captured", "block", "malformed_replies", "read_at_start", "faults"}
    assert {field.name for field in fields(GatewayPlan)} - elsewhere <= dests


def test_without_options_it_is_one_building() -> None:
    assert scenario() == building()


def test_options_change_every_gateway() -> None:
    changed = scenario(
        *("--preset", "fleet", "--gateways", "3", "--cabinets", "1", "--valves", "2"),
        *("--gateway-id", "00000000007", "--baud", "9600", "--valve-travel", "7.5"),
        *("--seed", "9", "--speed", "60", "--utc-offset", "3", "--start", "2026-02-01T00:00"),
        *("--wellformed-replies", "--no-read-at-start", "--season-start", "10-15"),
    )
    assert (changed.seed, changed.speed, changed.utc_offset_h) == (9, 60, 3)
    assert [plan.gateway_id for plan in changed.gateways] == [
        "00000000007",
        "00000000008",
        "00000000009",
    ]
    for plan in changed.gateways:
        assert (plan.cabinets, plan.valves, plan.baud, plan.valve_travel_s) == (1, 2, 9600, 7.5)
        assert (plan.malformed_replies, plan.read_at_start) == (False, False)
        assert plan.season_start == "10-15"


def test_faults_are_given_in_words() -> None:
    (plan,) = scenario(
        "--fault", "silent_meter,meter=23301000", "--fault", "delayed,seconds=2.5,count=3,share=0.5"
    ).gateways
    silent, delayed = plan.faults
    assert (silent.kind, silent.meter) == (FaultKind.SILENT_METER, "23301000")
    assert (delayed.seconds, delayed.count, delayed.share) == (2.5, 3, 0.5)


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "site.json"
    file.write_text(to_json(fleet(2)), encoding="utf-8")
    assert scenario("--scenario", str(file)) == fleet(2)
    assert scenario("--scenario", str(file), "--speed", "5").speed == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--preset", "captured", "--valves", "3"], "--valves does not go with"),
        (["--gateways", "3"], "--gateways does not go with"),
        (["--scenario", "missing.json"], "missing.json cannot be read"),
        (["--fault", "nonsense"], "must be one of"),
        (["--fault", "delayed,seconds"], "KEY=VALUE"),
        (["--fault", "delayed,seconds=long"], "not a number"),
        (["--fault", "delayed,colour=1"], "unknown key"),
        (["--baud", "-5"], "baud"),
        (["--valves", "1000"], "valves"),
        (["--gateway-id", "12"], "11 digits"),
    ],
)
def test_options_that_make_no_sense_are_refused(arguments: list[str], says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        scenario(*arguments)


def test_the_broker_of_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "from-the-environment")
    plain = broker_of(parser().parse_args(["--username", "u", "--prefix", "/site/gw/"]))
    assert (plain.port, plain.username, plain.password) == (1883, "u", "from-the-environment")
    assert plain.prefix == "site/gw"
    assert plain.tls_context() is None
    tls = broker_of(parser().parse_args(["--tls", "--password", "p", "--insecure"]))
    assert (tls.port, tls.password, tls.verify) == (8883, "p", False)
    context = tls.tls_context()
    assert context is not None
    assert not context.check_hostname


@pytest.mark.parametrize(
    "arguments",
    [["--port", "70000"], ["--host", ""], ["--prefix", "hy/#"], ["--prefix", "/"]],
)
def test_a_broker_that_makes_no_sense_is_refused(arguments: list[str]) -> None:
    with pytest.raises(ScenarioError):
        broker_of(parser().parse_args(arguments))


def test_a_bad_ca_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate", encoding="utf-8")
    for name in ("ca.pem", "missing.pem"):
        broker = broker_of(parser().parse_args(["--tls", "--ca-file", str(tmp_path / name)]))
        with pytest.raises(ScenarioError, match=name):
            broker.tls_context()
