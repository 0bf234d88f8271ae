"""The manual that --help prints around the options."""

import textwrap

from .faults import FAULTS, FaultRow

DESCRIPTION = """\
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


def epilog() -> str:
    """Return what is printed behind the options, with every fault."""
    faults = "\n".join(
        textwrap.fill(
            f"{kind:<17} {row.text}{_takes(row)}",
            98,
            initial_indent="  ",
            subsequent_indent=" " * 20,
        )
        for kind, row in FAULTS.items()
    )
    return _EPILOG.format(faults=faults)


def _takes(row: FaultRow) -> str:
    return f" ({', '.join(sorted(row.keys))})" if row.keys else ""
