"""Control by JSON lines: requests on standard input, answers and events on standard output."""

import asyncio
from collections.abc import Callable, Mapping
import json
import sys
import threading
from typing import Any, TextIO

from custom_components.hy_heating.hyheat.devices import CABINET

from .errors import ScenarioError
from .faults import FaultKind
from .gateway import Event, VirtualGateway
from .mqtt import Simulator
from .scenario import fault_from

type Request = Mapping[str, Any]


def write_event(event: Event, to: TextIO | None = None) -> None:
    """Print an event as one line of JSON, at once."""
    print(json.dumps(event), file=to or sys.stdout, flush=True)


def ready_event(simulator: Simulator) -> Event:
    """Return the event that lists the gateways and their meters."""
    return {
        "event": "ready",
        "gateways": [
            {
                "id": gateway.gateway_id,
                "cabinets": [m.number for m in gateway.meters.values() if m.spec is CABINET],
                "valves": [m.number for m in gateway.meters.values() if m.spec is not CABINET],
            }
            for gateway in simulator.fleet.gateways.values()
        ],
    }


class Control:
    """What requests do; every request has exactly one answer, with its `id` if it had one."""

    def __init__(self, simulator: Simulator) -> None:
        """Control a running simulator."""
        self.stopped = asyncio.Event()
        self._simulator = simulator
        self._actions: Mapping[str, Callable[[Request], dict[str, object]]] = {
            "state": self._state,
            "move": self._move,
            "fault": self._fault,
            "clear": self._clear,
            "stop": self._stop,
        }

    def answer(self, line: str) -> Event:
        """Do what one line asks for and return the answer."""
        request: object = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise ScenarioError("a request must be an object")  # noqa: TRY301 - one way out
            action = self._actions.get(str(request.get("do")))
            if action is None:
                raise ScenarioError(f"do must be one of {', '.join(self._actions)}")  # noqa: TRY301 - one way out
            answer = {"event": "done", **action(request)}
        except (ScenarioError, ValueError) as err:
            answer = {"event": "error", "detail": str(err)}
        if isinstance(request, dict) and "id" in request:
            answer["id"] = request["id"]
        return answer

    def listen(self, lines: TextIO) -> None:
        """Answer requests until the input ends, which stops the simulator.

        Reads in a thread of its own: that works for pipes, terminals and files alike.
        """
        loop = asyncio.get_running_loop()

        def read() -> None:
            for line in lines:
                if line.strip():
                    loop.call_soon_threadsafe(self._answer_on_stdout, line)
            loop.call_soon_threadsafe(self.stopped.set)

        threading.Thread(target=read, name="simulator control", daemon=True).start()

    def _answer_on_stdout(self, line: str) -> None:
        write_event(self.answer(line))

    def _gateway(self, request: Request) -> VirtualGateway:
        gateways = self._simulator.fleet.gateways
        gateway_id = request.get("gateway", next(iter(gateways)) if len(gateways) == 1 else None)
        gateway = gateways.get(str(gateway_id))
        if gateway is None:
            raise ScenarioError(f"gateway must be one of {', '.join(gateways)}")
        return gateway

    def _state(self, request: Request) -> dict[str, object]:
        """Return the true positions of one meter or all meters of a gateway."""
        gateway, now = self._gateway(request), self._simulator.clock.now()
        meter = request.get("meter")
        chosen = [each for each in gateway.meters.values() if meter in (None, each.number)]
        if not chosen:
            raise ScenarioError(f"no meter {meter}")
        return {
            "at": now,
            "gateway": gateway.gateway_id,
            "meters": {
                each.number: {
                    "device": each.spec.key,
                    "opening_pct": round(each.opening_pct(now), 1),
                    "target_pct": each.motion.target_pct,
                    "moving": each.motion.is_moving(now),
                }
                for each in chosen
            },
            "counts": dict(gateway.counts),
        }

    def _move(self, request: Request) -> dict[str, object]:
        """Turn a valve by hand."""
        gateway, target = self._gateway(request), request.get("opening_pct")
        if not isinstance(target, int | float) or isinstance(target, bool):
            raise ScenarioError("opening_pct must be a number")
        if not 0 <= target <= 100:  # noqa: PLR2004 - percent
            raise ScenarioError("opening_pct must be 0 to 100")
        if (number := str(request.get("meter"))) not in gateway.meters:
            raise ScenarioError(f"no meter {number}")
        self._simulator.move(gateway.gateway_id, number, float(target))
        return {}

    def _fault(self, request: Request) -> dict[str, object]:
        """Put a fault in force."""
        narrowed = {key: each for key, each in request.items() if key not in _ENVELOPE_KEYS}
        gateway, fault = self._gateway(request), fault_from(narrowed)
        if fault.meter is not None and fault.meter not in gateway.meters:
            raise ScenarioError(f"no meter {fault.meter}")
        gateway.faults.add(fault)
        return {"kind": fault.kind}

    def _clear(self, request: Request) -> dict[str, object]:
        """Lift faults."""
        kind = request.get("kind")
        wanted = None if kind is None else FaultKind(kind)
        return {"lifted": self._gateway(request).faults.clear(wanted, request.get("meter"))}

    def _stop(self, _: Request) -> dict[str, object]:
        """Stop the simulator."""
        self.stopped.set()
        return {}


_ENVELOPE_KEYS = frozenset({"do", "gateway", "id"})
