"""What the flow tests share: forms filled in, gateways played, certificates made."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
import json
import socket
import ssl
import threading
from typing import Any

from aiohttp import FormData
from aiomqtt import Client, ProtocolVersion
from homeassistant.config_entries import SOURCE_USER, ConfigEntry, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
import psutil
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.links.settings import (
    BrokerSettings,
    HomeAssistantSettings,
    LinkSettings,
    settings_from_data,
)
from tests.links.brokers import AmqttBroker, settings_of, until

GATEWAY_A = "02345678903"
GATEWAY_B = "02345678911"
GATEWAY_C = "02345678920"


# --- Forms ---------------------------------------------------------------------------------


def broker_input(port: int, **changes: Any) -> dict[str, Any]:
    """Return the broker form as a person fills it in; `prefix` and `ca_certificate` also fit."""
    advanced = {key: changes.pop(key) for key in ("prefix", "ca_certificate") if key in changes}
    form = {
        "host": "127.0.0.1",
        "port": port,
        "username": "heat",
        "password": "right",
        "encryption": "none",
        "discovery": False,
        "advanced": {"prefix": "hy/gw", **advanced},
    }
    return form | changes


async def begin(hass: HomeAssistant) -> ConfigFlowResult:
    """Start the flow as a person does."""
    return await hass.config_entries.flow.async_init(DOMAIN, context={"source": SOURCE_USER})


async def go_on(
    hass: HomeAssistant, result: ConfigFlowResult, user_input: dict[str, Any] | None = None
) -> ConfigFlowResult:
    """Submit a step, or look at it again where nothing is submitted."""
    return await hass.config_entries.flow.async_configure(result["flow_id"], user_input)


async def choose(hass: HomeAssistant, result: ConfigFlowResult, option: str) -> ConfigFlowResult:
    """Choose from a menu."""
    assert result["type"] is FlowResultType.MENU
    return await go_on(hass, result, {"next_step_id": option})


async def to_gateways(hass: HomeAssistant, broker: AmqttBroker) -> ConfigFlowResult:
    """Go through the flow to the menu of ways to find gateways."""
    form = await begin(hass)
    assert form["step_id"] == "broker"
    menu = await go_on(hass, form, broker_input(broker.port))
    assert menu["step_id"] == "gateways"
    return menu


async def finish(hass: HomeAssistant, result: ConfigFlowResult) -> ConfigFlowResult:
    """Wait for the end of the work that a step shows, as the frontend does."""
    assert result["type"] is FlowResultType.SHOW_PROGRESS
    async with asyncio.timeout(10):
        while True:
            await asyncio.sleep(0.01)
            after = await go_on(hass, result)
            if after["type"] is not FlowResultType.SHOW_PROGRESS:
                return after


def suggested(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what a form shows in its fields, sections flattened."""
    shown: dict[str, Any] = {}
    assert result["data_schema"]
    fields = list(result["data_schema"].schema.items())
    while fields:
        key, value = fields.pop()
        if hasattr(value, "schema") and hasattr(value, "options"):
            fields += value.schema.schema.items()
        elif key.description:
            shown[str(key)] = key.description["suggested_value"]
    return shown


def placeholders(result: ConfigFlowResult) -> dict[str, str]:
    """Return what fills the gaps in a step's texts."""
    return dict(result["description_placeholders"] or {})


def defaults(result: ConfigFlowResult) -> dict[str, Any]:
    """Return what a form says when nothing is filled in."""
    assert result["data_schema"]
    filled: dict[str, Any] = result["data_schema"]({})
    return filled


def options_of(result: ConfigFlowResult, field: str) -> dict[str, str]:
    """Return the labels of a selection by value."""
    assert result["type"] is FlowResultType.FORM, placeholders(result) | {"step": result["step_id"]}
    assert result["data_schema"]
    return {
        option["value"]: option["label"]
        for option in result["data_schema"].schema[field].config["options"]
    }


def add_entry(
    hass: HomeAssistant,
    gateway_id: str,
    port: int,
    title: str = "",
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> MockConfigEntry:
    """Register a gateway without the flow."""
    return _add(hass, gateway_id, title, settings_of(port, **settings), options)


def add_shared_entry(
    hass: HomeAssistant, gateway_id: str, title: str = "", *, discovery: bool = False
) -> MockConfigEntry:
    """Register a gateway behind Home Assistant's MQTT without the flow."""
    shared = HomeAssistantSettings(prefix="hy/gw", discovery=discovery)
    return _add(hass, gateway_id, title, shared, None)


def _add(
    hass: HomeAssistant,
    gateway_id: str,
    title: str,
    link: LinkSettings,
    options: dict[str, Any] | None,
) -> MockConfigEntry:
    entry = MockConfigEntry(
        domain=DOMAIN,
        title=title or gateway_id,
        unique_id=gateway_id,
        data={**link.as_data(), "gateway_id": gateway_id},
        options=options or {},
        version=2,
    )
    entry.add_to_hass(hass)
    return entry


def settings(entry: ConfigEntry) -> BrokerSettings:
    """Return how an entry reaches its broker by a connection of its own."""
    link = settings_from_data(entry.data)
    assert isinstance(link, BrokerSettings)
    return link


async def upload(hass_client: ClientSessionGenerator, content: bytes) -> str:
    """Upload a file as the frontend does; return its id."""
    client = await hass_client()
    form = FormData()
    form.add_field("file", content, filename="ca.pem")
    response = await client.post("/api/file_upload", data=form)
    assert response.status == 200
    file_id: str = (await response.json())["file_id"]
    return file_id


# --- Gateways ------------------------------------------------------------------------------


def message(gateway_id: str, msg_id: int, **data: Any) -> bytes:
    """Return a message of a gateway."""
    gw = {"msg_id": msg_id, "msg_gw_pr": 0, "gw_id": gateway_id}
    return json.dumps({"gw": gw, "data": data}).encode()


def report(gateway_id: str, meter_id: str) -> bytes:
    """Return a report of one meter; its frames do not matter here."""
    return message(gateway_id, 20, meter_id=meter_id, meter_data=[])


def status(gateway_id: str, **data: Any) -> bytes:
    """Return a status as captured (PROTOCOL section 2), with changes."""
    captured = {
        "stat": 2,
        "CSQ": [99, 99],
        "RSSI": -98,
        "SINR": 13,
        "GW_Ver": "V1.0",
        "main_meter_total": 5,
        "copy_meter_total": 96,
    }
    return message(gateway_id, 1, **(captured | data))


def connections(port: int) -> int:
    """Return how many sockets of this process lead to a port."""
    ends = [connection.raddr for connection in psutil.Process().net_connections("tcp")]
    return sum(1 for end in ends if end and end.port == port)


def subscribed(broker: AmqttBroker) -> set[str]:
    """Return what is subscribed by those who are connected now."""
    assert broker._broker
    return {
        topic
        for topic, sessions in broker._broker.subscriptions.items()
        for session, _ in sessions
        if session.transitions.state == "connected"
    }


async def heard(broker: AmqttBroker, payload: bytes, topic: str = "") -> None:
    """Let a gateway say something once somebody listens to it."""
    gateway_id = json.loads(payload)["gw"]["gw_id"] if not topic else ""
    await until(lambda: subscribed(broker))
    await broker.publish(topic or f"hy/gw/set/{gateway_id}", payload)


@asynccontextmanager
async def gateways(
    broker: AmqttBroker, answers: dict[str, bytes]
) -> AsyncIterator[list[tuple[str, Any, set[str]]]]:
    """Play gateways that answer every command.

    Yields the commands: gateway id, JSON, and what was subscribed at that moment.
    """
    commands: list[tuple[str, Any, set[str]]] = []

    async def play(client: Client) -> None:
        async for command in client.messages:
            gateway_id = command.topic.value.rpartition("/")[2]
            assert isinstance(command.payload, bytes)
            commands.append((gateway_id, json.loads(command.payload), subscribed(broker)))
            if gateway_id in answers:
                await client.publish(f"hy/gw/set/{gateway_id}", answers[gateway_id])

    async with Client(
        "127.0.0.1", broker.port, username="x", password="right", protocol=ProtocolVersion.V311
    ) as client:
        await client.subscribe("hy/gw/get/+")
        playing = asyncio.create_task(play(client))
        try:
            yield commands
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def register(
    hass: HomeAssistant, broker: AmqttBroker, menu: ConfigFlowResult
) -> ConfigFlowResult:
    """Add a gateway that answers, from the menu of ways to find one."""
    form = await choose(hass, menu, "gateway_id")
    async with gateways(broker, {GATEWAY_A: status(GATEWAY_A)}):
        form = await finish(hass, await go_on(hass, form, {"gateway_id": GATEWAY_A}))
    return await go_on(hass, form, {})


# --- TLS before a broker -------------------------------------------------------------------


@contextmanager
def tls_before(port: int, context: ssl.SSLContext) -> Iterator[int]:
    """Speak TLS for a broker that does not; yields the port.

    In threads: a refused certificate would reach asyncio's exception handler on this side.
    """

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(plain: socket.socket) -> None:
        with (
            plain,
            suppress(OSError),
            context.wrap_socket(plain, server_side=True) as client,
            socket.create_connection(("127.0.0.1", port)) as broker,
        ):
            for each in (client, broker):
                each.settimeout(10)
            back = threading.Thread(target=pump, args=[broker, client])
            back.start()
            pump(client, broker)
            back.join()

    def accept() -> None:
        while not stopped:
            threads.append(threading.Thread(target=serve, args=[server.accept()[0]]))
            threads[-1].start()

    stopped = False
    with socket.create_server(("127.0.0.1", 0)) as server:
        own_port: int = server.getsockname()[1]
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield own_port
        finally:
            stopped = True
            socket.create_connection(("127.0.0.1", own_port)).close()
            for thread in threads:
                thread.join()


# --- A broker that never answers -----------------------------------------------------------


@asynccontextmanager
async def silence(
    port: int = 0, *, hang_up: bool = False
) -> AsyncIterator[tuple[int, set[asyncio.StreamWriter]]]:
    """Accept connections and never say a word, or hang up at the other's first one.

    Yields the port and the open connections.
    """
    open_now: set[asyncio.StreamWriter] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_now.add(writer)
        with suppress(ConnectionError):
            while await reader.read(1024) and not hang_up:
                pass
        writer.close()
        open_now.discard(writer)

    server = await asyncio.start_server(listen, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1], open_now
    finally:
        server.close()
        await until(lambda: not open_now)
