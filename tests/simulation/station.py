"""One gateway and its client, as users, other masters and restarts treat it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from custom_components.hy_heating.hyheat.client import GatewayClient, PendingOpening
from custom_components.hy_heating.hyheat.devices import read_frame, set_opening_frame
from custom_components.hy_heating.hyheat.envelope import ReadNow, TransparentCommand, encode
from custom_components.hy_heating.hyheat.errors import ReplyError
from custom_components.hy_heating.hyheat.model import MeterAddress
from custom_components.hy_heating.hyheat.session import Result, SendFrame
from simulator import Fault, FaultKind, VirtualGateway

from .invariants import BusWatch, Ledger, Watch
from .network import Network

OPENINGS_PCT = (0, 5, 10, 30, 50, 75, 90, 100)
_METER_FAULTS = (
    FaultKind.SILENT_METER,
    FaultKind.CORRUPT_CHECKSUM,
    FaultKind.ERROR_REPLY,
    FaultKind.WRONG_ECHO,
    FaultKind.LOST_REPLY,
    FaultKind.STUCK_VALVE,
)
READ_CONTROL = 0x01


@dataclass(slots=True, eq=False)
class Asked:
    """One request, by whom and when, and the one end it must have."""

    client: GatewayClient
    name: str
    begun: float
    ends: int = 0


class Station:
    """One gateway, its client, and all that was asked of it."""

    def __init__(
        self, ledger: Ledger, random: Random, network: Network, gateway: VirtualGateway
    ) -> None:
        """Stand there, without a client."""
        self.gateway = gateway
        self.client: GatewayClient | None = None
        self.asked: list[Asked] = []
        self.meters = [meter.address for meter in gateway.meters.values()]
        self.watch = Watch(ledger, gateway.gateway_id, BusWatch(ledger))
        network.watches[gateway.gateway_id] = self.watch
        self._ledger = ledger
        self._random = random
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._openings: list[PendingOpening] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: list[asyncio.Task[None]] = []

    # --- Life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin with a new client."""
        client = GatewayClient(
            self.gateway.gateway_id, self._network, self.watch.heard, loads=orjson.loads
        )
        self.watch.client = client
        self.watch.bus.reset()
        await client.start()
        self.client = client

    async def stop(self) -> None:
        """End the client; what was asked of it ends with it."""
        client, self.client = self.client, None
        if client is None:
            return
        self._ledger.note("stop", self.gateway.gateway_id)
        await client.stop()
        await asyncio.sleep(0.001)  # for those who wait to be told
        for asked in self.asked:
            if asked.client is client and asked.ends != 1:
                self._ledger.violate("every command ends once", f"{asked} after the end")

    async def restart(self, pause_s: float) -> None:
        """End the client and begin with a new one."""
        self._ledger.count("client restarts")
        await self.stop()
        await asyncio.sleep(pause_s)
        await self.start()

    def set_silent(self, silent: bool) -> None:
        """Let the gateway be away: it hears and sends nothing, and forgets what was in line."""
        self._ledger.note("gateway away" if silent else "gateway back", self.gateway.gateway_id)
        if silent:
            self._ledger.count("gateway restarts")
            self.gateway.faults.add(Fault(kind=FaultKind.SILENT_GATEWAY))
            for queue in self.gateway._bus._waiting.values():
                queue.clear()
            self.gateway._bus._reads_waiting.clear()
        else:
            self.gateway.faults.clear(FaultKind.SILENT_GATEWAY)
        self._network.set_online(self.gateway.gateway_id, not silent)

    def break_something(self) -> None:
        """Put one fault of a meter or of the gateway in force."""
        if self._random.random() < 0.2:
            fault = Fault(kind=FaultKind.STAT_1, share=0.5)
        else:
            meter = self._random.choice(self.meters).meter_number
            fault = Fault(kind=self._random.choice(_METER_FAULTS), meter=meter)
        self._ledger.note("fault", self.gateway.gateway_id, fault)
        self.gateway.faults.add(fault)

    def repair(self) -> None:
        """Lift all faults but the trait that direct reads are not answered."""
        for kind in (*_METER_FAULTS, FaultKind.STAT_1):
            self.gateway.faults.clear(kind)

    # --- Requests ---------------------------------------------------------------------------

    @property
    def pending(self) -> list[Asked]:
        """What has not come to its end."""
        return [asked for asked in self.asked if not asked.ends]

    def poll(self) -> None:
        """Ask for the status, as the integration does."""
        if self.client:
            self._ask("query_status", self.client.query_status())

    def act(self) -> None:
        """Do one thing that users or other masters do."""
        if self.client is None:
            return
        kinds, weights = zip(*_ACTIONS, strict=True)
        kinds[self._random.choices(range(len(kinds)), weights)[0]](self)

    def open_valve(self, meter: MeterAddress, opening_pct: int) -> Asked:
        """Move a valve and watch for the one end of that."""
        assert self.client
        asked = Asked(self.client, f"{meter.meter_number} to {opening_pct} %", self._ledger.now())
        self._ledger.note("asked", self.gateway.gateway_id, asked.name)
        self._ledger.count("openings given")
        self.asked.append(asked)
        pending = self.client.set_opening(meter, opening_pct)
        self._openings.append(pending)

        def ended(future: asyncio.Future[Result]) -> None:
            result = future.result()
            self._ledger.note("ended", asked.name, result)
            self._ledger.count(f"openings: {result.reason or 'verified'}")
            asked.ends += 1
            if not pending.replied.done():
                self._ledger.violate("every command ends once", f"{asked}: no end of its reply")
            if result.reason is None and not self.watch.showed(
                meter.address, opening_pct, asked.begun
            ):
                self._ledger.violate("verified is what a report showed", str(asked))

        pending.ended.add_done_callback(ended)
        return asked

    def _ask(self, name: str, request: Coroutine[Any, Any, object]) -> None:
        assert self.client
        asked = Asked(self.client, name, self._ledger.now())
        self._ledger.count("other requests")
        self.asked.append(asked)
        task = self._loop.create_task(self._wait_for(asked, request))
        self._tasks.add(task)
        self._requests.append(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait_for(self, asked: Asked, request: Coroutine[Any, Any, object]) -> None:
        try:
            await request
        except ReplyError as err:
            self._ledger.note("ended", self.gateway.gateway_id, asked.name, err.reason)
        except asyncio.CancelledError:
            self._ledger.note("given up", self.gateway.gateway_id, asked.name)
        asked.ends += 1

    # --- What users and other masters do ----------------------------------------------------

    def _any_opening(self) -> None:
        self.open_valve(self._random.choice(self.meters), self._random.choice(OPENINGS_PCT))

    def _read_now(self) -> None:
        assert self.client
        both, cabinets = self._random.random() < 0.5, self._random.random() < 0.5
        self._ask(
            "read_now", self.client.read_now(cabinets=both or cabinets, valves=both or not cabinets)
        )

    def _read_meter(self) -> None:
        assert self.client
        self._ask("read_meter", self.client.read_meter(self._random.choice(self.meters)))

    def _send_frame(self) -> None:
        assert self.client
        meter = self._random.choice(self.meters)
        raw = read_frame(meter).encode()
        request = SendFrame(raw, address=meter.address, control=READ_CONTROL)
        self._ask("send_frame", self.client.send_frame(request))

    def _query_settings(self) -> None:
        assert self.client
        self._ask("query_settings", self.client.query_settings())

    def _cancel(self) -> None:
        assert self.client
        waiting = [each for each in self._openings if not each.ended.done()]
        if waiting:
            self.client.cancel(self._random.choice(waiting))

    def _give_up(self) -> None:
        waiting = [task for task in self._requests if not task.done()]
        if waiting:
            self._random.choice(waiting).cancel()

    def _foreign(self) -> None:
        """Let another master move a valve, or have meters read."""
        self._ledger.count("commands of other masters")
        gateway_id = self.gateway.gateway_id
        message: ReadNow | TransparentCommand = ReadNow(gateway_id, cabinets=True, valves=True)
        if self._random.random() < 0.7:
            meter, wish = self._random.choice(self.meters), self._random.choice(OPENINGS_PCT)
            frame = set_opening_frame(meter, wish).encode().hex().upper()
            message = TransparentCommand(gateway_id, frame)
        self._network.foreign(gateway_id, encode(message))


_ACTIONS: tuple[tuple[Callable[[Station], None], int], ...] = (
    (Station._any_opening, 10),
    (Station._read_meter, 3),
    (Station._read_now, 2),
    (Station._send_frame, 1),
    (Station._query_settings, 1),
    (Station._cancel, 2),
    (Station._give_up, 1),
    (Station._foreign, 2),
)
