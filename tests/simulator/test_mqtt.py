"""The shell on a real broker: connection, round trips, and what goes wrong with brokers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
import gc
from pathlib import Path
from typing import Any

from aiomqtt import Client
import pytest

from simulator import Broker, Scenario, Simulator, building, captured, fleet
from simulator.gateway import Event
from simulator.mqtt import Clock
from tests.links.brokers import AmqttBroker, ForbiddenTopics, free_port, until
from tests.links.certificates import Authority
from tests.links.scripted import ACCEPTED_V311, V311, ScriptedBroker, scripted_broker
from tests.vectors import message

from .bench import CABINET, CAPTURED, VALVE, quiet

pytestmark = pytest.mark.usefixtures("socket_enabled")

GET, SET = f"hy/gw/get/{CAPTURED}", f"hy/gw/set/{CAPTURED}"
# 100 times as fast: the 0.3 s on the way take 3 ms, and the 60 s of travel 0.6 s.
FAST = replace(quiet(captured()), speed=100)
FAST_REPORTS = replace(captured().with_plans(reports_per_interval=600), speed=100)


class Site:
    """A broker, somebody who listens to it, and simulators that tests start."""

    def __init__(self, broker: AmqttBroker, stack: AsyncExitStack) -> None:
        self.broker = broker
        self.heard: list[tuple[str, bytes]] = []
        self.events: list[Event] = []
        self._stack = stack

    async def start(self, scenario: Scenario, **settings: Any) -> Simulator:
        """Start a simulator; it may not be connected yet."""
        way_in: dict[str, Any] = {"port": self.broker.port, "username": "heat", "password": "right"}
        broker = Broker(**(way_in | {"reconnect_s": 0.05} | settings))
        simulator = Simulator(scenario, broker, self.events.append)
        return await self._stack.enter_async_context(simulator)

    async def connected(self, scenario: Scenario, **settings: Any) -> Simulator:
        """Start a simulator and wait for its connection."""
        simulator = await self.start(scenario, **settings)
        await asyncio.wait_for(simulator.wait_connected(), 5)
        return simulator

    async def listen(self, topic: str = "hy/gw/set/#") -> None:
        """Note what simulators publish."""
        client = Client("127.0.0.1", self.broker.port, username="heat", password="right")
        await self._stack.enter_async_context(client)
        await client.subscribe(topic)

        async def listen() -> None:
            async for each in client.messages:
                assert isinstance(each.payload, bytes)
                self.heard.append((each.topic.value, each.payload))

        task = asyncio.create_task(listen())
        self._stack.callback(task.cancel)

    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.heard]


@pytest.fixture
async def site(socket_enabled: None) -> AsyncIterator[Site]:
    broker = AmqttBroker()
    await broker.start()
    async with AsyncExitStack() as stack:
        yield Site(broker, stack)
    await broker.stop()


async def test_a_round_trip_over_a_real_broker(site: Site) -> None:
    await site.listen()
    simulator = await site.connected(FAST)
    assert site.broker.subscriptions == {GET, "hy/gw/set/#"}
    await site.broker.publish(GET, message("status_query"))
    await until(lambda: site.heard == [(SET, message("status_reply"))])
    await site.broker.publish(GET, message("valve_set_50"))
    await until(lambda: len(site.heard) == 3)
    assert site.payloads()[1:] == [
        message("transparent_ack"),
        message("valve_set_50_reply_malformed"),
    ]
    assert 50 < simulator.opening_pct(CAPTURED, VALVE) <= 100
    await until(lambda: simulator.opening_pct(CAPTURED, VALVE) == 50)
    assert simulator.opening_pct(CAPTURED, CABINET) == 100
    await until(lambda: site.events[-1]["event"] == "arrived")
    assert simulator.published == 3


async def test_reports_come_by_themselves_from_all_gateways(site: Site) -> None:
    await site.listen()
    # A report every 10 min, 600 times as fast: every second.
    simulator = await site.connected(replace(fleet(3, cabinets=1, valves=0), speed=600))
    await until(lambda: len({topic for topic, _ in site.heard}) == 3)
    assert all(payload.startswith(b'{"gw":{"msg_id":20') for payload in site.payloads())
    assert simulator.lost == 0


async def test_a_valve_is_turned_by_hand(site: Site) -> None:
    simulator = await site.connected(FAST)
    simulator.move(CAPTURED, VALVE, 30)
    await until(lambda: simulator.opening_pct(CAPTURED, VALVE) == 30)


async def test_retained_commands_are_ignored(site: Site) -> None:
    await site.broker.retain(GET, message("valve_set_0"))
    await site.listen()
    simulator = await site.connected(FAST)
    await site.broker.publish(GET, message("status_query"))
    await until(lambda: message("status_reply") in site.payloads())
    assert simulator.opening_pct(CAPTURED, VALVE) == 100
    await site.broker.publish(GET, message("valve_set_0"))
    await until(lambda: simulator.opening_pct(CAPTURED, VALVE) == 0)


async def test_it_comes_back_after_the_broker_was_away(site: Site) -> None:
    simulator = await site.connected(building(valves=1).with_plans(reports_per_interval=6000))
    await site.broker.stop()
    await until(lambda: not simulator.connected)
    lost = simulator.lost
    await until(lambda: simulator.lost > lost)  # its meters go on, and nobody hears them
    await site.broker.start()
    await asyncio.wait_for(simulator.wait_connected(), 5)
    published = simulator.published
    await until(lambda: simulator.published > published)
    kinds = [event["event"] for event in site.events]
    assert kinds[0] == kinds[-1] == "connected"
    assert "disconnected" in kinds


async def test_a_refused_password_is_told_and_tried_again(site: Site) -> None:
    wrong = await site.start(FAST, password="wrong")
    await until(lambda: site.events)
    assert site.events[0]["event"] == "disconnected"
    assert "authorized" in str(site.events[0]["reason"])
    assert not wrong.connected
    right = await site.connected(FAST)
    assert right.connected


async def test_a_refused_subscription_is_told_and_tried_again(site: Site) -> None:
    ForbiddenTopics.forbidden.add(GET)
    simulator = await site.start(FAST)
    await until(lambda: site.events)
    assert GET in str(site.events[0]["reason"])
    assert not simulator.connected
    ForbiddenTopics.forbidden.clear()
    await asyncio.wait_for(simulator.wait_connected(), 5)


async def test_a_broker_that_is_not_there_is_told(site: Site) -> None:
    simulator = await site.start(FAST, port=free_port())
    await until(lambda: site.events)
    assert "refused" in str(site.events[0]["reason"])
    assert not simulator.connected


async def test_it_ends_while_it_connects(site: Site) -> None:
    for _ in range(20):
        simulator = await site.start(FAST)
        await asyncio.sleep(0)
        await simulator.__aexit__(None, None, None)
        assert not simulator.connected
    await until(lambda: not site.broker.connected_ids)


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
async def test_tls_with_an_own_authority(tmp_path: Path, site: Site) -> None:
    authority, stranger = Authority("ours"), Authority("theirs")
    issued = authority.issue()
    files = tmp_path / "server.crt", tmp_path / "server.key"
    for path, content in zip(files, (issued.certificate, issued.key), strict=True):
        path.write_bytes(content)
    for name, each in (("ours.pem", authority), ("theirs.pem", stranger)):
        (tmp_path / name).write_text(each.pem, encoding="utf-8")
    secure = AmqttBroker(tls_files=files)
    await secure.start()
    try:
        ways_in = {"port": secure.port, "tls": True}
        wary = await site.start(FAST, **ways_in, ca_file=tmp_path / "theirs.pem")
        await until(lambda: site.events)
        assert "certificate" in str(site.events[0]["reason"])
        await wary.__aexit__(None, None, None)
        async with asyncio.timeout(5):
            for trust in ({"ca_file": tmp_path / "ours.pem"}, {"verify": False}):
                simulator = await site.start(FAST, **ways_in, **trust)
                await simulator.wait_connected()
                await simulator.__aexit__(None, None, None)
    finally:
        await secure.stop()
    gc.collect()


@pytest.mark.parametrize(("qos", "first_byte"), [(0, 0x30), (1, 0x32), (2, 0x34)])
async def test_what_the_broker_is_told(site: Site, qos: int, first_byte: int) -> None:
    # MQTT 3.1.1: PUBLISH is 3 in the upper half; QoS in bits 1 and 2, retain (off) in bit 0.
    async with scripted_broker(ScriptedBroker({V311: ACCEPTED_V311})) as broker:
        simulator = await site.start(FAST_REPORTS, port=broker.port, qos=qos, client_id="virtual")
        await until(lambda: broker.published)
        assert {each.first_byte for each in broker.published} == {first_byte}
        assert {each.topic for each in broker.published} == {SET}
        assert broker.subscribed == [[GET]]
        (connect,) = broker.connects
        assert (connect.level, connect.clean, connect.client_id) == (V311, True, "virtual")
        assert (connect.username, connect.password) == ("heat", "right")
        await simulator.__aexit__(None, None, None)
        assert broker.goodbyes == 1


async def test_the_clock_runs_as_fast_as_told() -> None:
    clock = Clock(1000.0, 50.0)
    began = asyncio.get_running_loop().time()
    await asyncio.sleep(0.05)
    now, real = clock.now(), asyncio.get_running_loop().time() - began
    assert now - 1000 == pytest.approx(real * 50, abs=1)
    assert clock.real_seconds_until(clock.now() + 100) == pytest.approx(2.0, abs=0.01)
