"""Start, requests and stop, with captured messages where there are any."""

import asyncio
import json

import pytest

from custom_components.hy_heating.hyheat.client import (
    MessageReceived,
    ReadingReceived,
    SettingsReceived,
    StatusReceived,
)
from custom_components.hy_heating.hyheat.envelope import (
    SettingsReply,
    Stat,
    StatusReply,
    TransparentAck,
    TransparentReply,
)
from custom_components.hy_heating.hyheat.errors import (
    FailureReason,
    LinkError,
    ReplyError,
    RequestError,
    SubscriptionRefusedError,
)
from custom_components.hy_heating.hyheat.model import MeterAddress, MeterReading
from custom_components.hy_heating.hyheat.session import Timing
from tests.hyheat.fake_link import Published, VirtualTimeLoop, in_virtual_time
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .scene import (
    COMMANDS,
    REPORTS,
    UP,
    VALVE,
    VALVE_2,
    VALVE_REPORT,
    Scene,
    ended,
    report,
    scene,
    valve_report,
    wait_for,
)

# --- Start and stop -------------------------------------------------------------------------


@in_virtual_time
async def test_start_subscribes_to_the_gateway_and_to_nothing_else() -> None:
    async with scene() as played:
        assert list(played.link.subscriptions) == [REPORTS, COMMANDS]
        assert played.events == [UP]
        assert await played.sent() == []


@in_virtual_time
async def test_the_prefix_of_the_topics_is_the_site_s() -> None:
    async with scene(prefix="site/7") as played:
        assert list(played.link.subscriptions) == [
            f"site/7/set/{GATEWAY_ID}",
            f"site/7/get/{GATEWAY_ID}",
        ]
        played.client.set_opening(VALVE, 50)
        await asyncio.sleep(1)
        assert played.link.published[0].topic == f"site/7/get/{GATEWAY_ID}"


@in_virtual_time
async def test_a_start_without_connection_waits_for_it() -> None:
    async with scene(connected=False) as played:
        played.link.set_connected(False)
        assert played.events == []
        assert await ended(played.client.set_opening(VALVE, 50)) is FailureReason.LINK_DOWN
        played.link.set_connected(True)
        assert played.events == [UP]
        played.client.set_opening(VALVE, 50)
        assert await played.sent() == [message("valve_set_50")]


@in_virtual_time
async def test_a_refused_subscription_is_told_and_leaves_nothing() -> None:
    played = Scene()
    played.link.subscribe_error = SubscriptionRefusedError(REPORTS)
    with pytest.raises(SubscriptionRefusedError, match=REPORTS):
        await played.client.start()
    assert played.link.status_listeners == []
    await played.client.stop()
    played.link.subscribe_error = None
    again = Scene()
    await again.client.start()
    await again.client.stop()


@pytest.mark.parametrize("after_s", [1, 6], ids=["first", "second subscription"])
@in_virtual_time
async def test_a_cancelled_start_leaves_nothing(after_s: float) -> None:
    played = Scene()
    played.link.delay_s = 5.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s):
            await played.client.start()
    assert (played.link.status_listeners, played.link.subscriptions) == ([], {})


@in_virtual_time
async def test_stop_ends_whoever_waits_and_nothing_is_sent_any_more() -> None:
    async with scene() as played:
        client = played.client
        first, second = client.set_opening(VALVE, 50), client.set_opening(VALVE_2, 50)
        status = asyncio.create_task(client.query_status())
        await asyncio.sleep(1)
        played.link.published.clear()
    for pending in (first, second):
        assert pending.replied.result().reason is FailureReason.SHUT_DOWN
        assert pending.ended.result().reason is FailureReason.SHUT_DOWN
    with pytest.raises(ReplyError, match="shut_down"):
        await status
    assert await ended(client.set_opening(VALVE, 50)) is FailureReason.SHUT_DOWN
    await asyncio.sleep(1000)
    assert played.link.published == []
    await client.stop()


@in_virtual_time
async def test_stop_before_start_and_without_broker_is_harmless() -> None:
    played = Scene()
    await played.client.stop()
    played = Scene()
    await played.client.start()
    played.link.unsubscribe_error = LinkError("gone")
    await played.client.stop()
    assert played.link.status_listeners == []


@in_virtual_time
async def test_a_message_on_its_way_to_a_slow_link_is_not_sent_after_stop() -> None:
    async with scene() as played:
        played.link.delay_s = 5.0
        pending = played.client.set_opening(VALVE, 50)
        await asyncio.sleep(1)
    await asyncio.sleep(60)
    assert played.link.published == []
    assert pending.ended.result().reason is FailureReason.SHUT_DOWN


@in_virtual_time
async def test_stop_waits_until_a_link_has_given_up_sending() -> None:
    given_up = []

    async def publish(*_: object, **__: object) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)  # as a link that takes a message back
            given_up.append(asyncio.get_running_loop().time())

    async with scene() as played:
        played.link.publish = publish  # type: ignore[method-assign] # this one waits
        played.client.set_opening(VALVE, 50)
        await asyncio.sleep(1)
    assert len(given_up) == 1


@in_virtual_time
async def test_what_arrives_while_it_stops_is_told_and_starts_nothing() -> None:
    async with scene() as played:
        played.link.delay_s = 5.0
        stopping = asyncio.create_task(played.client.stop())
        await asyncio.sleep(1)
        played.take_events()
        played.hears(message("read_now_ack"))
        played.hears(message("valve_report"))
        assert len(played.take_events()) == 3
        await stopping
        assert played.client.session.next_deadline() is None


# --- Requests -------------------------------------------------------------------------------


@in_virtual_time
async def test_an_opening_from_wish_to_proof_in_captured_messages() -> None:
    async with scene() as played:
        pending = played.client.set_opening(VALVE, 50)
        await asyncio.sleep(1)
        # The broker drops it when the session no longer waits for its acknowledgement.
        sent = Published(COMMANDS, message("valve_set_50"), expiry_s=10, fresh=True)
        assert played.link.published == [sent]
        played.hears(message("transparent_ack"))
        played.hears(message("valve_set_50_reply_malformed"))
        assert (await pending.replied).reason is None
        assert not pending.ended.done()
        played.link.published.clear()
        await asyncio.sleep(8)
        (read_back,) = await played.sent()
        assert (
            json.loads(read_back)["data"]["transparent"] == frame_bytes("valve_read").hex().upper()
        )
        played.hears(TransparentReply(GATEWAY_ID, 0, (valve_report(50),)))
        result = await pending.ended
        assert (result.reason, result.found_pct, result.tries) == (None, (50,), 1)
        assert result.duration_s == pytest.approx(9.0, abs=0.1)


@in_virtual_time
async def test_an_opening_that_nobody_answers_fails_by_itself() -> None:
    async with scene() as played:
        pending = played.client.set_opening(VALVE, 50)
        result = await pending.replied
        assert result.reason is FailureReason.GATEWAY_SILENT
        assert result is await pending.ended
        assert await played.sent() == [message("valve_set_50")] * 3
        assert result.duration_s == pytest.approx(30.0)


@in_virtual_time
async def test_the_timing_is_the_caller_s() -> None:
    async with scene(timing=Timing(ack_s=0.5, tries=2)) as played:
        result = await played.client.set_opening(VALVE, 50).ended
        assert result.tries == 2
        assert result.duration_s == pytest.approx(1.0)
        assert {published.expiry_s for published in played.link.published} == {1}


@in_virtual_time
async def test_the_status_and_the_settings_of_the_gateway() -> None:
    async with scene() as played:
        played.take_events()
        status = asyncio.create_task(played.client.query_status())
        settings = asyncio.create_task(played.client.query_settings())
        await asyncio.sleep(1)
        # Polls are how a lost gateway is found again: they need no fresh link.
        assert [published.fresh for published in played.link.published] == [False, False]
        assert await played.sent() == [message("status_query"), message("settings_query")]
        played.hears(message("status_reply"))
        played.hears(message("settings_reply"))
        told = await status
        assert (told.firmware, told.cabinets, told.valves) == ("V1.0", 5, 96)
        assert (await settings).valve_interval_min == 60
        assert played.take_events() == [
            MessageReceived(),
            StatusReceived(told),
            MessageReceived(),
            SettingsReceived(await settings),
        ]


@in_virtual_time
async def test_a_refused_query_raises_and_is_no_status() -> None:
    async with scene() as played:
        played.take_events()
        status = asyncio.create_task(played.client.query_status())
        settings = asyncio.create_task(played.client.query_settings())
        await asyncio.sleep(1)
        played.hears(StatusReply(gateway_id=GATEWAY_ID, stat=Stat.FAILED))
        played.hears(SettingsReply(gateway_id=GATEWAY_ID, stat=Stat.FAILED))
        for query in (status, settings):
            with pytest.raises(ReplyError, match="gateway_refused") as raised:
                await query
            assert raised.value.reason is FailureReason.GATEWAY_REFUSED
        assert played.take_events() == [MessageReceived(), MessageReceived()]


@in_virtual_time
async def test_a_read_now_and_its_reports() -> None:
    async with scene() as played:
        played.take_events()
        reading = asyncio.create_task(played.client.read_now(valves=True))
        assert await played.sent() == [message("read_valves_now")]
        played.hears(message("read_now_ack"))
        await reading
        played.hears(message("valve_report"))
        acknowledged, alive, received = played.take_events()
        assert acknowledged == alive == MessageReceived()
        assert isinstance(received, ReadingReceived)
        assert isinstance(received.reading, MeterReading)
        assert received.reading.number("opening_pct") == 100
        assert (received.port, received.protocol_code) == (0, "2008")
        cabinets = asyncio.create_task(played.client.read_now(cabinets=True))
        await asyncio.sleep(16)
        assert await played.sent() == [message("read_cabinets_now")]
        played.hears(message("read_now_ack"))
        await cabinets


@in_virtual_time
async def test_one_meter_is_read_directly() -> None:
    async with scene() as played:
        played.take_events()
        reading = asyncio.create_task(played.client.read_meter(VALVE))
        await asyncio.sleep(1)
        played.hears(TransparentAck(GATEWAY_ID, Stat.SUCCEEDED))
        played.hears(TransparentReply(GATEWAY_ID, 3, (VALVE_REPORT,)))
        assert (await reading).number("opening_pct") == 100
        # A direct reply tells the port, but no protocol.
        assert played.take_events()[-1] == ReadingReceived(await reading, 3, None)


@in_virtual_time
async def test_what_does_not_exist_is_refused_and_leaves_nothing() -> None:
    async with scene() as played:
        with pytest.raises(RequestError):
            played.client.set_opening(VALVE, 101)
        with pytest.raises(RequestError):
            await played.client.read_now()
        with pytest.raises(RequestError):
            await played.client.read_meter(MeterAddress("boiler", VALVE.address))
        assert (played.client._waiting, played.client._replies) == ({}, {})
        assert await played.sent() == []


@in_virtual_time
async def test_a_caller_that_went_away_breaks_nothing() -> None:
    async with scene() as played:
        gone = asyncio.create_task(played.client.query_status())
        stays = asyncio.create_task(played.client.query_status())
        pending = played.client.set_opening(VALVE, 50)
        impatient = asyncio.create_task(wait_for(pending.replied))
        await asyncio.sleep(1)
        gone.cancel()
        impatient.cancel()
        await asyncio.sleep(0)
        assert pending.replied.cancelled()
        played.hears(message("status_reply"))
        assert (await stays).valves == 96
        played.hears(message("valve_set_50_reply_braced"))
        played.hears(report(valve_report(50)))
        assert (await pending.ended).reason is None
        assert (played.client._waiting, played.client._replies) == ({}, {})


@in_virtual_time
async def test_one_timer_serves_all_that_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    async with scene() as played:
        assert loop.timers() == 0
        for meter in (VALVE, VALVE_2):
            played.client.set_opening(meter, 50)
        status = asyncio.create_task(played.client.query_status())
        await asyncio.sleep(1)
        assert loop.timers() == 1
        played.hears(message("transparent_ack"))
        played.hears(message("valve_set_50_reply_braced"))
        played.hears(message("status_reply"))
        await status
        assert loop.timers() == 1


@in_virtual_time
async def test_a_duplicate_answer_does_not_bring_two_commands_on_the_bus() -> None:
    async with scene() as played:
        first = asyncio.ensure_future(played.client.read_meter(VALVE))
        second = asyncio.ensure_future(played.client.read_meter(VALVE))
        await asyncio.sleep(0)
        moving = played.client.set_opening(VALVE_2, 50)
        read, *others = await played.sent()
        assert others == []
        answer = TransparentReply(GATEWAY_ID, 0, (valve_report(30),))
        played.hears(answer)
        played.hears(answer)
        await first
        assert await played.sent() == [read]
        assert not second.done()
        played.hears(answer)
        await second
        assert len(await played.sent()) == 1
        played.client.cancel(moving)
