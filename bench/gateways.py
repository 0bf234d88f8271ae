"""Gateways that answer how they are: without it they would be taken to be silent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiomqtt import Client

from custom_components.hy_heating.hyheat.envelope import (
    MonthDay,
    SettingsQuery,
    SettingsReply,
    Stat,
    StatusQuery,
    StatusReply,
    command_topic,
    decode_to_gateway,
    encode,
    report_topic,
)
from tests.e2e.mosquitto import Mosquitto

from .payloads import CABINETS, VALVES


async def site(stack: AsyncExitStack) -> tuple[Path, Mosquitto]:
    """Return a folder, and a broker in it at which gateways answer; both go with the stack."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="hy_bench_")))
    broker = Mosquitto(folder / "broker", log_types=("error",))
    await broker.start()
    stack.push_async_callback(broker.stop)
    await stack.enter_async_context(answering(broker))
    return folder, broker


@asynccontextmanager
async def answering(broker: Mosquitto) -> AsyncIterator[None]:
    """Answer for every gateway at a broker, and do nothing else that it is told."""
    async with broker.client() as client:
        await client.subscribe(command_topic("+"))
        task = asyncio.create_task(_answer(client))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _answer(client: Client) -> None:
    async for message in client.messages:
        query = decode_to_gateway(bytes(message.payload))
        gateway_id = query.gateway_id
        match query:
            case StatusQuery():
                reply = encode(
                    StatusReply(
                        gateway_id=gateway_id,
                        stat=Stat.SUCCEEDED,
                        csq=(20, 0),
                        rssi_dbm=-73,
                        cabinets=CABINETS,
                        valves=VALVES,
                    )
                )
            case SettingsQuery():
                reply = encode(
                    SettingsReply(
                        gateway_id=gateway_id,
                        stat=Stat.SUCCEEDED,
                        interval_out_of_season_min=1440,
                        season_start=MonthDay(1, 1),
                        season_end=MonthDay(12, 31),
                        cabinet_interval_min=10,
                        valve_interval_min=60,
                    )
                )
            case _:
                continue
        await client.publish(report_topic(gateway_id), reply)


def client_command(program: str, broker: Mosquitto) -> tuple[str, ...]:
    """Return the beginning of a command line for one of mosquitto's own clients."""
    login = ("-u", broker.username, "-P", broker.password)
    return (program, "-h", "127.0.0.1", "-p", str(broker.port), *login)
