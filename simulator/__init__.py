"""Virtual HY gateways on the real wire; `python -m simulator --help` is the manual.

In a program, on a broker, in a running event loop:

    from simulator import Broker, Fault, FaultKind, Simulator, demo

    broker = Broker(port=1883, username="demo", password="demo")
    async with Simulator(demo(), broker) as simulator:
        await asyncio.wait_for(simulator.wait_connected(), 10)
        simulator.opening_pct("02345678903", "23227310")  # the true opening in percent
        simulator.move("02345678903", "23227310", 40)  # by hand, past the bus
        faults = simulator.fleet.gateways["02345678903"].faults
        faults.add(Fault(kind=FaultKind.SILENT_METER, meter="23227310"))
        faults.clear(FaultKind.SILENT_METER)

A third argument of Simulator is called with every event (see "control" in the manual). Without
a broker, on a clock of your own, feed a Fleet: `receive`, `due`, `next_due`. Everything below
`mqtt` is sans-IO: time is an argument (simulated seconds since 1970 UTC), chance is seeded.

    agenda, motion, season, model      time, valves on their way, calendar, weather and hydraulics
    faults, plan, scenario             declarations
    devices, bus, uplink, gateway      the wire: meters, M-Bus, way to the broker, messages
    fleet                              many gateways as one
    mqtt, control, options, manual     shell, JSON lines, command line
"""

from . import _hyheat as _hyheat  # first: it makes the library importable for all others
from .errors import ScenarioError
from .faults import FAULTS, Fault, FaultKind, Faults
from .fleet import Fleet
from .gateway import VirtualGateway
from .model import Climate
from .mqtt import Broker, Simulator
from .plan import GatewayPlan
from .scenario import Scenario, building, captured, demo, fleet, from_json, to_json

__all__ = [
    "FAULTS",
    "Broker",
    "Climate",
    "Fault",
    "FaultKind",
    "Faults",
    "Fleet",
    "GatewayPlan",
    "Scenario",
    "ScenarioError",
    "Simulator",
    "VirtualGateway",
    "building",
    "captured",
    "demo",
    "fleet",
    "from_json",
    "to_json",
]
