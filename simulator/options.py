"""The command line: its grammar, and the scenario and broker that options describe."""

import argparse
from dataclasses import replace
import os
from pathlib import Path

from .errors import ScenarioError
from .faults import Fault
from .manual import DESCRIPTION, epilog
from .mqtt import Broker
from .plan import GatewayPlan
from .scenario import PRESETS, Scenario, building, fault_from, fleet, from_json

PASSWORD_VARIABLE = "HY_SIMULATOR_PASSWORD"  # noqa: S105 - the name of a variable

# Option, plan field, type, placeholder, help.
_PLAN_OPTIONS: tuple[tuple[str, str, type, str, str], ...] = (
    ("--cabinet-interval", "cabinet_interval_min", int, "MIN", "between reports of a cabinet"),
    ("--valve-interval", "valve_interval_min", int, "MIN", "between reports of a valve"),
    (
        "--out-of-season-interval",
        "interval_out_of_season_min",
        int,
        "MIN",
        "between reports of a valve outside the season",
    ),
    ("--season-start", "season_start", str, "MM-DD", "first day of the heating season"),
    ("--season-end", "season_end", str, "MM-DD", "last day of the heating season"),
    ("--reports-per-interval", "reports_per_interval", float, "N", "instead of one"),
    ("--baud", "baud", int, "BAUD", "speed of the bus; 0 takes no time"),
    ("--turnaround", "turnaround_s", float, "S", "until a meter answers"),
    ("--meter-timeout", "meter_timeout_s", float, "S", "to wait for a meter"),
    ("--latency", "latency_s", float, "S", "on the way to and from the broker"),
    ("--cabinet-travel", "cabinet_travel_s", float, "S", "of a cabinet valve from 0 to 100 %%"),
    ("--valve-travel", "valve_travel_s", float, "S", "of a household valve from 0 to 100 %%"),
)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100, max_help_position=34)


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    result = argparse.ArgumentParser(
        prog="python -m simulator",
        usage="python -m simulator [OPTION...]",
        description=DESCRIPTION,
        epilog=epilog(),
        formatter_class=_Formatter,
    )
    _add_broker_options(result.add_argument_group("broker"))
    _add_scenario_options(result.add_argument_group("scenario"))
    defaults = {name: field.default for name, field in GatewayPlan.__dataclass_fields__.items()}
    plans = result.add_argument_group(
        "every gateway", "Instead of what preset or file say; MIN are minutes, S seconds."
    )
    for option, name, kind, metavar, text in _PLAN_OPTIONS:
        ordinarily = f"{text} (ordinarily {defaults[name]})"
        plans.add_argument(option, dest=name, type=kind, metavar=metavar, help=ordinarily)
    plans.add_argument(
        "--wellformed-replies", action="store_true", help="send no malformed transparent replies"
    )
    plans.add_argument(
        "--no-read-at-start", action="store_true", help="wait for each meter's first interval"
    )
    plans.add_argument(
        "--fault", action="append", default=[], metavar="KIND[,KEY=VALUE...]", help="see faults"
    )
    running = result.add_argument_group("running")
    running.add_argument("--control", action="store_true", help="speak JSON lines, see control")
    running.add_argument(
        "--print-scenario", action="store_true", help="print the scenario as JSON and end"
    )
    running.add_argument("--verbose", action="store_true", help="log every move of a valve")
    return result


def _add_broker_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host", metavar="HOST", default="127.0.0.1", help="its name or address (%(default)s)"
    )
    group.add_argument("--port", metavar="PORT", type=int, help="its port (1883, with --tls 8883)")
    group.add_argument("--username", metavar="NAME", help="user name, where the broker wants one")
    group.add_argument(
        "--password",
        metavar="SECRET",
        help=f"password; the list of processes shows it, so better set {PASSWORD_VARIABLE}",
    )
    group.add_argument("--tls", action="store_true", help="connect by TLS")
    group.add_argument("--ca-file", metavar="FILE", type=Path, help="own CA, PEM (the system's)")
    group.add_argument("--insecure", action="store_true", help="do not verify the certificate")
    group.add_argument(
        "--prefix", metavar="TOPIC", default="hy/gw", help="front of all topics (%(default)s)"
    )
    group.add_argument(
        "--qos", type=int, choices=(0, 1, 2), default=0, help="of reports and replies (%(default)s)"
    )
    group.add_argument("--client-id", metavar="ID", help="MQTT client id (a random one)")
    group.add_argument(
        "--reconnect",
        metavar="S",
        type=float,
        default=2.0,
        help="seconds between tries (%(default)s)",
    )


def _add_scenario_options(group: argparse._ArgumentGroup) -> None:
    which = group.add_mutually_exclusive_group()
    which.add_argument(
        "--preset", choices=PRESETS, default="building", help="see presets (%(default)s)"
    )
    which.add_argument("--scenario", type=Path, metavar="FILE", help="see scenario files")
    group.add_argument("--gateways", metavar="N", type=int, help="gateways of the fleet (100)")
    group.add_argument(
        "--gateway-id", metavar="ID", help="id of the building, or the first one of the fleet"
    )
    group.add_argument(
        "--cabinets", metavar="N", type=int, help="cabinets of building or fleet (5)"
    )
    group.add_argument(
        "--valves", metavar="N", type=int, help="household valves of building or fleet (96)"
    )
    group.add_argument("--seed", metavar="N", type=int, help="what everything is drawn from (1)")
    group.add_argument(
        "--start", metavar="TIME", help="simulated time at the start, ISO 8601 (now)"
    )
    group.add_argument(
        "--speed", metavar="N", type=float, help="simulated seconds in a real one (1)"
    )
    group.add_argument(
        "--utc-offset", metavar="H", type=float, help="hours of local time ahead of UTC (8)"
    )


def scenario_of(options: argparse.Namespace) -> Scenario:
    """Return the scenario that the options describe; raises ScenarioError."""
    scenario = _chosen(options)
    names = (
        ("seed", "seed"),
        ("start", "start"),
        ("speed", "speed"),
        ("utc_offset", "utc_offset_h"),
    )
    top = {name: value for option, name in names if (value := getattr(options, option)) is not None}
    plan = {
        name: value
        for _, name, *_ in _PLAN_OPTIONS
        if (value := getattr(options, name)) is not None
    }
    if options.wellformed_replies:
        plan["malformed_replies"] = False
    if options.no_read_at_start:
        plan["read_at_start"] = False
    scenario = replace(scenario, **top).with_plans(**plan)
    if faults := tuple(fault_of(text) for text in options.fault):
        plans = (replace(each, faults=each.faults + faults) for each in scenario.gateways)
        scenario = replace(scenario, gateways=tuple(plans))
    return scenario


def _chosen(options: argparse.Namespace) -> Scenario:
    sizes = {
        name: value
        for name in ("gateways", "cabinets", "valves", "gateway_id")
        if (value := getattr(options, name)) is not None
    }
    if options.scenario is not None:
        _refuse(sizes, "a scenario file")
        try:
            return from_json(options.scenario.read_text(encoding="utf-8"))
        except OSError as err:
            raise ScenarioError(f"{options.scenario} cannot be read: {err.strerror}") from err
    if options.preset == "fleet":
        if "gateway_id" in sizes:
            sizes["first_gateway_id"] = sizes.pop("gateway_id")
        return fleet(**sizes)
    if options.preset == "building":
        _refuse({key: sizes[key] for key in sizes if key == "gateways"}, "the preset building")
        return building(**sizes)
    _refuse(sizes, f"the preset {options.preset}")
    return PRESETS[options.preset]()


def _refuse(sizes: dict[str, object], what: str) -> None:
    if sizes:
        option = next(iter(sizes)).replace("_", "-")
        raise ScenarioError(f"--{option} does not go with {what}")


def fault_of(text: str) -> Fault:
    """Return the fault of KIND[,KEY=VALUE...]; raises ScenarioError."""
    kind, *pairs = text.split(",")
    data: dict[str, object] = {"kind": kind}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ScenarioError(f"--fault {text}: {pair!r} is not KEY=VALUE")
        data[key] = value if key == "meter" else _number(value, text)
    return fault_from(data, f"--fault {text}")


def _number(value: str, text: str) -> float:
    try:
        return float(value) if "." in value else int(value)
    except ValueError:
        raise ScenarioError(f"--fault {text}: {value!r} is not a number") from None


def broker_of(options: argparse.Namespace) -> Broker:
    """Return the broker that the options describe."""
    return Broker(
        host=options.host,
        port=options.port or (8883 if options.tls else 1883),
        username=options.username,
        password=options.password or os.environ.get(PASSWORD_VARIABLE),
        tls=options.tls,
        ca_file=options.ca_file,
        verify=not options.insecure,
        prefix=options.prefix.strip("/"),
        qos=options.qos,
        client_id=options.client_id,
        reconnect_s=options.reconnect,
    )
