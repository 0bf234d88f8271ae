"""The command line: options, and the manual that --help prints."""

import argparse
from dataclasses import replace
import os
from pathlib import Path
import textwrap

from .errors import ScenarioError
from .faults import FAULTS, Fault, FaultRow
from .mqtt import Broker
from .plan import GatewayPlan
from .scenario import PRESETS, Scenario, building, fault_from, fleet, from_json

PASSWORD_VARIABLE = "HY_SIMULATOR_PASSWORD"  # noqa: S105 - the name of a variable

_DESCRIPTION = """\
Virtual HY gateways that speak the real wire on a real MQTT broker: status, settings, periodic
reports, read-now, transparent reads and commands, valves that travel for a time, and faults on
request. Everything is drawn from a seed: the same scenario is the same building every time.
"""

_EPILOG = """\
presets:
  captured   the captured gateway 02345678903 with cabinet 27100583 and household valve
             23227310: at rest, its captured frames byte for byte in turn and then the last one
             for good; only the openings change, when a valve is told to move. Its status counts
             5 cabinets and 96 valves, as captured.
  building   one living building, gateway 02345678904: supply temperature by outdoor
             temperature, flow by opening, registers that add up what flow and temperatures say,
             flats with different temperatures and device clocks that drift.
  demo       both of these, reporting 20 times as often as their settings tell, valves that
             travel fast, and a cold climate with a season of 12 months, so that it is alive
             whatever the date.
  fleet      --gateways N buildings with ids in a row on buses that take no time, for
             measurements; starts on a winter morning.

time:
  --speed 60 lets simulated time run 60 times as fast as real time: intervals, travel, bus,
  weather, registers and device clocks, so that all of them go on agreeing with each other (and a
  receiver that compares registers with its own clock sees 60 times the flow). To see reports
  more often in real time use --reports-per-interval instead: it changes nothing but how often
  meters are read. All times below are simulated.

bus:
  A frame takes bytes x 11 bits / baud, a meter --turnaround seconds to answer, one exchange at
  a time: transparent commands first, then read-now, then periodic reads. Reading 96 valves at
  2400 baud takes about 44 s. --baud 0 is a bus that takes no time.

what the wire looks like:
  CSQ is sent as the bare pair 99,99, and the reply of a household valve to a command above 0 %
  in braces without the final brace: no JSON, but what real gateways were captured sending
  (--wellformed-replies sends the latter as JSON). Queries and commands are answered after
  --latency seconds each way. A transparent command is acknowledged first; the meter's reply
  follows. What is no command is counted and not answered; retained commands are ignored; frames
  that no meter feels addressed by are acknowledged and never answered. A port other than 0, a
  frame that is no hex, and more than 32 commands in line get stat 1. Reports of household
  valves come every --out-of-season-interval minutes outside the season; cabinets keep theirs.

faults:
{faults}

  --fault KIND[,KEY=VALUE...] puts one in force at every gateway from the start, for example
  --fault silent_meter,meter=23227310   --fault stat_1,msg_id=40,count=1
  --fault delayed,seconds=20,share=0.1  --fault drop_downlinks,count=3
  Keys narrow it: to a meter (8 digits; messages that are about it), a kind of message (msg_id 1,
  2, 18, 20 or 40), the next so many occasions (count), or a part of them (share, 0 to 1). The
  first two go with the faults that name them above, like the seconds (30) that a message is
  held. Without keys a fault concerns everything, until it is lifted.

control (--control):
  One JSON object a line. Standard output first tells {{"event": "ready", "gateways": [...]}},
  then "connected", "disconnected" (reason), "moving" (gateway, meter, opening_pct, target_pct),
  "arrived" (gateway, meter, opening_pct) and "refused" (gateway, detail), each with "at", the
  simulated time. Requests on standard input are answered by "done" or "error" (detail), with
  the request's "id" if it had one; "gateway" may be left out where there is only one:
    {{"do": "state", "gateway": "02345678903", "meter": "23227310"}}   true positions (all
                                                    meters without "meter"), and what happened
    {{"do": "move", "gateway": "...", "meter": "...", "opening_pct": 40}}   turned by hand
    {{"do": "fault", "gateway": "...", "kind": "silent_meter", "meter": "..."}}   keys as above
    {{"do": "clear", "gateway": "...", "kind": "silent_meter"}}   kind and meter may be left out
    {{"do": "stop"}}                                    so does the end of standard input

scenario files (--scenario FILE):
  JSON; --print-scenario prints the chosen preset and options as such a file, with every key.
  {{"seed": 1, "start": "2026-01-15T06:00", "speed": 60, "utc_offset_h": 8,
   "climate": {{"mean_c": 10, "yearly_swing_c": 16}},
   "gateways": [{{"gateway_id": "02345678904", "cabinets": 5, "valves": 96,
                 "faults": [{{"kind": "silent_meter", "meter": "23300001"}}]}}]}}

examples:
  python -m simulator --preset demo --username demo
  python -m simulator --preset captured --control
  python -m simulator --preset building --valves 20 --speed 60 --start 2026-01-15T06:00
  python -m simulator --preset fleet --gateways 100 --reports-per-interval 5
  python -m simulator --tls --port 8883 --ca-file ca.pem --scenario site.json

exit status: 0 after Ctrl-C or a stop request, 2 for options or a scenario that make no sense.
A broker that is away or refuses is tried again for ever, as gateways do, and said on standard
error.
"""

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
    faults = "\n".join(
        textwrap.fill(
            f"{kind:<17} {row.text}{_takes(row)}",
            98,
            initial_indent="  ",
            subsequent_indent=" " * 20,
        )
        for kind, row in FAULTS.items()
    )
    result = argparse.ArgumentParser(
        prog="python -m simulator",
        usage="python -m simulator [OPTION...]",
        description=_DESCRIPTION,
        epilog=_EPILOG.format(faults=faults),
        formatter_class=_Formatter,
    )
    _add_broker_options(result.add_argument_group("broker"))
    _add_scenario_options(result.add_argument_group("scenario"))
    defaults = {name: field.default for name, field in GatewayPlan.__dataclass_fields__.items()}
    plans = result.add_argument_group("every gateway (instead of what preset or file say)")
    for option, name, kind, metavar, text in _PLAN_OPTIONS:
        text = f"{text} (ordinarily {defaults[name]})"
        plans.add_argument(option, dest=name, type=kind, metavar=metavar, help=text)
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


def _takes(row: FaultRow) -> str:
    return f" ({', '.join(sorted(row.keys))})" if row.keys else ""


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
