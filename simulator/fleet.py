"""Many gateways as one, sans-IO: built from a scenario, driven by whoever has the clock."""

import heapq

from .devices import VirtualMeter
from .errors import ScenarioError
from .gateway import EventListener, VirtualGateway
from .scenario import Scenario
from .site import Site


class Fleet:
    """All gateways of a scenario.

    Feed it by `receive` and fetch what the gateways send by `due` no later than `next_due`;
    times are simulated seconds since 1970 UTC.
    """

    def __init__(
        self, scenario: Scenario, now: float, listener: EventListener | None = None
    ) -> None:
        """Power up every gateway; raises ScenarioError for a fault of a meter that is not there."""
        self.gateways: dict[str, VirtualGateway] = {}
        self._heap: list[tuple[float, str]] = []
        self._in_heap: set[tuple[float, str]] = set()
        for index, plan in enumerate(scenario.gateways):
            gateway = Site(scenario, plan, scenario.block_of(index), now).gateway()
            gateway.listener = listener
            self.gateways[plan.gateway_id] = gateway
            self._note(gateway)
        self._check_faults()

    @property
    def next_due(self) -> float | None:
        """When `due` is to be called next, None where nothing is planned."""
        return self._heap[0][0] if self._heap else None

    def meter(self, gateway_id: str, meter_number: str) -> VirtualMeter:
        """Return one meter; raises KeyError."""
        return self.gateways[gateway_id].meters[meter_number]

    def receive(self, gateway_id: str, payload: bytes, now: float) -> None:
        """Take what came on a gateway's command topic; a gateway not here hears nothing."""
        if gateway := self.gateways.get(gateway_id):
            gateway.receive(payload, now)
            self._note(gateway)

    def move(self, gateway_id: str, meter_number: str, target_pct: float, now: float) -> None:
        """Turn a valve by hand; raises KeyError for one that is not here."""
        gateway = self.gateways[gateway_id]
        gateway.move(meter_number, target_pct, now)
        self._note(gateway)

    def due(self, now: float) -> list[tuple[float, str, bytes]]:
        """Live up to a time; return time, gateway id and payload of what was sent, in order."""
        sent: list[tuple[float, str, bytes]] = []
        while self._heap and self._heap[0][0] <= now:
            looked_at = heapq.heappop(self._heap)
            self._in_heap.discard(looked_at)
            gateway = self.gateways[looked_at[1]]
            if out := gateway.due(now):
                sent += ((at, gateway.gateway_id, payload) for at, payload in out)
            self._note(gateway)
        if len(sent) > 1:
            sent.sort(key=lambda item: item[0])
        return sent

    def _check_faults(self) -> None:
        known = {number for gateway in self.gateways.values() for number in gateway.meters}
        for gateway in self.gateways.values():
            for fault in gateway.faults:
                if fault.meter not in known | {None}:
                    raise ScenarioError(f"a fault names meter {fault.meter}, which is not there")

    def _note(self, gateway: VirtualGateway) -> None:
        """Plan when a gateway is looked at next; what is in the heap already stays there."""
        if (at := gateway.next_due) is None:
            return
        look = (at, gateway.gateway_id)
        if look not in self._in_heap:
            self._in_heap.add(look)
            heapq.heappush(self._heap, look)
