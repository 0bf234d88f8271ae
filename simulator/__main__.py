"""Runs virtual gateways; --help is the manual."""

import argparse
import asyncio
from contextlib import suppress
import logging
import signal
import sys

from .control import Control, ready_event, write_event
from .errors import ScenarioError
from .gateway import Event, EventListener
from .mqtt import Broker, Simulator
from .options import broker_of, parser, scenario_of
from .scenario import Scenario, to_json

_LOGGER = logging.getLogger("simulator")
_USAGE_ERROR = 2


def main() -> int:
    """Run the command line and return the exit status."""
    options = parser().parse_args()
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s %(message)s",
        stream=sys.stderr,
    )
    try:
        scenario = scenario_of(options)
        if options.print_scenario:
            print(to_json(scenario))
            return 0
        with suppress(KeyboardInterrupt):
            asyncio.run(_run(scenario, broker_of(options), options))
    except ScenarioError as err:
        print(f"simulator: {err}; next: see python -m simulator --help", file=sys.stderr)
        return _USAGE_ERROR
    return 0


async def _run(scenario: Scenario, broker: Broker, options: argparse.Namespace) -> None:
    """Simulate until told to stop; raises ScenarioError for a bad CA file."""
    listener: EventListener = write_event if options.control else _log_event
    async with Simulator(scenario, broker, listener) as simulator:
        control = Control(simulator)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, control.stopped.set)
        if options.control:
            write_event(ready_event(simulator))
            control.listen(sys.stdin)
        else:
            _introduce(simulator)
        failed = asyncio.ensure_future(simulator.wait_stopped())
        stopped = asyncio.ensure_future(control.stopped.wait())
        await asyncio.wait((failed, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if failed.done():
            failed.result()


def _introduce(simulator: Simulator) -> None:
    broker, gateways = simulator.broker, simulator.fleet.gateways
    meters = sum(len(gateway.meters) for gateway in gateways.values())
    print(
        f"{len(gateways)} gateways with {meters} meters on {broker.host}:{broker.port},"
        f" topics {broker.prefix}/get/<id> and {broker.prefix}/set/<id>; end with Ctrl-C",
        flush=True,
    )
    for gateway_id in list(gateways)[:5]:
        print(f"  {gateway_id}", flush=True)


def _log_event(event: Event) -> None:
    _LOGGER.info("%s", dict(event))


if __name__ == "__main__":
    sys.exit(main())
