"""The asyncio client of one gateway, over a fake link in a loop where waiting takes no time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
import json
import logging
from typing import Any

import pytest

from custom_components.hy_heating.hyheat import envelope
from custom_components.hy_heating.hyheat.client import (
    AvailabilityChanged,
    Event,
    GatewayClient,
    MessageReceived,
    PendingOpening,
    ReadingReceived,
    SettingsReceived,
    StatusReceived,
)
from custom_components.hy_heating.hyheat.devices import report_frame
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    MeterId,
    Report,
    SettingsReply,
    Stat,
    StatusReply,
    TransparentAck,
    TransparentReply,
)
from custom_components.hy_heating.hyheat.errors import (
    FailureReason,
    LinkError,
    RefusalReason,
    ReplyError,
    RequestError,
    SubscriptionRefusedError,
)
from custom_components.hy_heating.hyheat.frame import parse
from custom_components.hy_heating.hyheat.intake import KEPT_REFUSALS, MAX_COUNTED, Refused
from custom_components.hy_heating.hyheat.model import MeterAddress, MeterReading, UnknownReading
from custom_components.hy_heating.hyheat.session import Result, Timing
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .fake_link import FakeLink, Published, VirtualTimeLoop, in_virtual_time

VALVE = MeterAddress("valve", bytes.fromhex("23227310001111"))
VALVE_2 = MeterAddress("valve", bytes.fromhex("23227311001111"))
REPORTS = f"hy/gw/set/{GATEWAY_ID}"
COMMANDS = f"hy/gw/get/{GATEWAY_ID}"
VALVE_REPORT = frame_bytes("valve_report_C").hex().upper()
UP = AvailabilityChanged(link_up=True, gateway_silent=False)
DOWN = AvailabilityChanged(link_up=False, gateway_silent=False)
SILENT = AvailabilityChanged(link_up=True, gateway_silent=True)


class Scene:
    """A client, the link that the test plays, and what the listener was told."""

    def __init__(self, *, connected: bool = True, **given: Any) -> None:
        self.link = FakeLink(connected=connected)
        self.events: list[Event] = []
        self.client = GatewayClient(GATEWAY_ID, self.link, self.heard, **given)

    def heard(self, event: Event) -> None:
        self.events.append(event)

    def hears(self, said: bytes | FromGateway, *, retained: bool = False) -> None:
        payload = said if isinstance(said, bytes) else envelope.encode(said)
        self.link.deliver(REPORTS, payload, retained=retained)

    def take_events(self) -> list[Event]:
        """Return what the listener was told since the last call."""
        events, self.events = self.events, []
        return events

    async def sent(self) -> list[bytes]:
        """Return what was published since the last call."""
        await asyncio.sleep(0.001)
        payloads = [published.payload for published in self.link.published]
        self.link.published.clear()
        return payloads


@asynccontextmanager
async def scene(*, connected: bool = True, **given: Any) -> AsyncIterator[Scene]:
    """Start a client, and stop it."""
    played = Scene(connected=connected, **given)
    await played.client.start()
    yield played
    await played.client.stop()
    assert played.link.subscriptions == {}
    assert played.link.status_listeners == []


def report(frame: str, meter_id: str = "23227310200800") -> Report:
    return Report(GATEWAY_ID, MeterId(meter_id[:8], meter_id[8:12], int(meter_id[12:])), (frame,))


# --- Start and stop -------------------------------------------------------------------------


@in_virtual_time
async def test_start_subscribes_to_the_gateway_and_to_nothing_else() -> None:
    async with scene() as played:
        assert list(played.link.subscriptions) == [REPORTS]
        assert played.events == [UP]
        assert await played.sent() == []


@in_virtual_time
async def test_the_prefix_of_the_topics_is_the_site_s() -> None:
    async with scene(prefix="site/7") as played:
        assert list(played.link.subscriptions) == [f"site/7/set/{GATEWAY_ID}"]
        played.client.set_opening(VALVE, 50)
        await asyncio.sleep(1)
        assert played.link.published[0].topic == f"site/7/get/{GATEWAY_ID}"


@in_virtual_time
async def test_a_start_without_connection_waits_for_it() -> None:
    async with scene(connected=False) as played:
        assert played.events == []
        assert await _ended(played.client.set_opening(VALVE, 50)) is FailureReason.LINK_DOWN
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


@in_virtual_time
async def test_a_cancelled_start_leaves_nothing() -> None:
    played = Scene()
    played.link.delay_s = 5.0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
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
    assert await _ended(client.set_opening(VALVE, 50)) is FailureReason.SHUT_DOWN
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
        played.hears(TransparentReply(GATEWAY_ID, 0, (_valve_report(50),)))
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
        impatient = asyncio.create_task(_wait(pending.replied))
        await asyncio.sleep(1)
        gone.cancel()
        impatient.cancel()
        await asyncio.sleep(0)
        assert pending.replied.cancelled()
        played.hears(message("status_reply"))
        assert (await stays).valves == 96
        played.hears(message("valve_set_50_reply_braced"))
        played.hears(report(_valve_report(50)))
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


# --- A link that fails ----------------------------------------------------------------------


@in_virtual_time
async def test_what_cannot_be_published_fails_at_once() -> None:
    async with scene() as played:
        played.link.publish_error = LinkError("not now")
        pending = played.client.set_opening(VALVE, 50)
        assert await _ended(pending) is FailureReason.LINK_DOWN
        with pytest.raises(ReplyError, match="link_down"):
            await played.client.query_status()
        played.link.publish_error = None
        played.client.set_opening(VALVE, 50)
        assert await played.sent() == [message("valve_set_50")]


@in_virtual_time
async def test_what_a_link_has_not_published_in_10_s_is_never_sent() -> None:
    async with scene() as played:
        played.link.delay_s = 11.0
        pending = played.client.set_opening(VALVE, 50)
        assert await _ended(pending) is FailureReason.LINK_DOWN
        assert pending.ended.result().duration_s == pytest.approx(10.0)
        await asyncio.sleep(60)
        assert played.link.published == []
        played.link.delay_s = 9.0
        pending = played.client.set_opening(VALVE, 50)
        await asyncio.sleep(9.5)
        played.hears(message("valve_set_50_reply_braced"))
        assert (await pending.replied).reason is None


@in_virtual_time
async def test_a_lost_link_is_told_once_and_comes_back() -> None:
    async with scene() as played:
        played.take_events()
        first, second = (played.client.set_opening(meter, 50) for meter in (VALVE, VALVE_2))
        for _ in range(2):
            played.link.set_connected(False)
        assert played.take_events() == [DOWN]
        assert await _ended(second) is FailureReason.LINK_DOWN
        for _ in range(2):
            played.link.set_connected(True)
        assert played.take_events() == [UP]
        await asyncio.sleep(1)
        played.hears(message("valve_set_50_reply_braced"))
        assert (await first.replied).reason is None


# --- A gateway that is silent ---------------------------------------------------------------


@in_virtual_time
async def test_a_silent_gateway_is_told_once_and_so_is_its_return() -> None:
    async with scene() as played:
        played.take_events()
        for _ in range(4):
            with pytest.raises(ReplyError, match="gateway_silent"):
                await played.client.query_status()
        assert played.take_events() == [SILENT]
        assert await _ended(played.client.set_opening(VALVE, 50)) is FailureReason.GATEWAY_SILENT
        played.link.set_connected(False)
        assert played.take_events() == [AvailabilityChanged(link_up=False, gateway_silent=True)]
        played.link.set_connected(True)
        assert played.take_events() == [SILENT]
        played.hears(message("transparent_ack"))
        assert played.take_events() == [UP, MessageReceived()]


# --- What is refused ------------------------------------------------------------------------

OTHER_GATEWAY = message("status_reply").replace(GATEWAY_ID.encode(), b"02345678904")
BAD_CHECKSUM = frame_bytes("valve_report_bad_checksum").hex().upper()
CABINET_REPORT = frame_bytes("cabinet_report").hex().upper()


@pytest.mark.parametrize(
    ("said", "reason", "number"),
    [
        pytest.param(b"no JSON", RefusalReason.JSON, None, id="no JSON"),
        pytest.param(b"\xff", RefusalReason.ENCODING, None, id="no text"),
        pytest.param(OTHER_GATEWAY, RefusalReason.GATEWAY_ID, None, id="another gateway's"),
        pytest.param(report(BAD_CHECKSUM), RefusalReason.FRAME_CHECKSUM, "23227310", id="damaged"),
        pytest.param(report("6"), RefusalReason.FRAME_HEX, "23227310", id="no hex"),
        pytest.param(report(""), RefusalReason.FRAME_START, "23227310", id="empty"),
        pytest.param(
            report(CABINET_REPORT), RefusalReason.ADDRESS, "23227310", id="another meter's"
        ),
        pytest.param(
            report(frame_bytes("valve_set_0_reply").hex()),
            RefusalReason.FRAME_LAYOUT,
            "23227310",
            id="no report",
        ),
        pytest.param(
            TransparentReply(GATEWAY_ID, 0, (BAD_CHECKSUM,)),
            RefusalReason.FRAME_CHECKSUM,
            None,
            id="damaged reply",
        ),
        pytest.param(
            # T=10 is no known device: 68 10 23227310001111 81 03 901F00, sum 295.
            TransparentReply(GATEWAY_ID, 0, ("681023227310001111810390 1F00 9516",)),
            RefusalReason.FRAME_LAYOUT,
            "23227310",
            id="unknown reply",
        ),
    ],
)
@in_virtual_time
async def test_what_is_refused_is_counted_kept_and_logged_once(
    said: bytes | FromGateway,
    reason: RefusalReason,
    number: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as played:
        played.take_events()
        for _ in range(3):
            played.hears(said)
        assert played.client.refusals.counts == {(number, reason): 3}
        assert played.client.refusals.total == 3
        (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert GATEWAY_ID in record.getMessage()
        assert not any(isinstance(event, ReadingReceived) for event in played.take_events())
        kept = played.client.refusals.last[-1]
        assert (kept.reason, kept.meter_number) == (reason, number)
        played.hears(message("valve_report"))
        assert isinstance(played.take_events()[-1], ReadingReceived)


@in_virtual_time
async def test_a_retained_message_is_refused_however_good_it_is() -> None:
    async with scene() as played:
        played.take_events()
        pending = played.client.set_opening(VALVE, 50)
        played.hears(message("valve_set_50_reply_braced"), retained=True)
        assert played.take_events() == []
        assert not pending.replied.done()
        assert played.client.refusals.counts == {(None, RefusalReason.RETAINED): 1}
        assert played.client.refusals.last[0].raw.startswith('{"gw"')
        played.hears(message("valve_set_50_reply_braced"))
        assert pending.replied.done()


@in_virtual_time
async def test_good_frames_beside_bad_ones_count() -> None:
    async with scene() as played:
        played.take_events()
        frames = (BAD_CHECKSUM, VALVE_REPORT, "zz", VALVE_REPORT + CABINET_REPORT)
        played.hears(Report(GATEWAY_ID, MeterId("23227310", "2008", 0), frames))
        readings = [event for event in played.events if isinstance(event, ReadingReceived)]
        assert [event.reading.meter_number for event in readings] == ["23227310"] * 2
        assert played.client.refusals.counts == {
            ("23227310", RefusalReason.FRAME_CHECKSUM): 1,
            ("23227310", RefusalReason.FRAME_HEX): 1,
            ("23227310", RefusalReason.ADDRESS): 1,
        }


@in_virtual_time
async def test_a_report_of_an_unknown_device_is_a_reading_of_its_own() -> None:
    async with scene() as played:
        # 68 10 23227310001111 81 03 901F00, sum 295: a water meter by its type.
        played.hears(report("681023227310001111810390 1F00 9516", "23227310100100"))
        received = played.events[-1]
        assert isinstance(received, ReadingReceived)
        assert isinstance(received.reading, UnknownReading)
        assert (received.reading.device_type, received.protocol_code) == (0x10, "1001")
        assert played.client.refusals.total == 0


def test_refusals_are_counted_by_meter_within_bounds() -> None:
    refusals = Scene().client.refusals
    for number in range(MAX_COUNTED + 100):
        refused = Refused(RefusalReason.FRAME_CHECKSUM, f"{number:08}", "", str(number))
        # Invented numbers are logged as far as they are told apart, and then once together.
        assert refusals.add(refused) is (number <= MAX_COUNTED)
    assert refusals.total == MAX_COUNTED + 100
    assert len(refusals.counts) == MAX_COUNTED + 1
    assert refusals.counts[None, RefusalReason.FRAME_CHECKSUM] == 100
    assert [refused.raw for refused in refusals.last] == [
        str(number) for number in range(MAX_COUNTED + 100 - KEPT_REFUSALS, MAX_COUNTED + 100)
    ]


# --- A listener -----------------------------------------------------------------------------


@in_virtual_time
async def test_a_listener_that_fails_is_logged_and_costs_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as played:
        pending = played.client.set_opening(VALVE, 50)

        def fail(event: Event) -> None:
            played.heard(event)
            raise KeyError(event)

        played.take_events()
        played.client._listener = fail
        played.hears(message("valve_set_50_reply_braced"))
        played.hears(report(_valve_report(50)))
        assert (await pending.ended).reason is None
        assert [type(event) for event in played.take_events()] == [
            MessageReceived,
            MessageReceived,
            ReadingReceived,
        ]
        assert "a listener failed" in caplog.text
        played.client._listener = played.heard
        played.hears(message("status_reply"))
        assert len(played.take_events()) == 2


@in_virtual_time
async def test_a_listener_may_ask_for_something_new_at_once() -> None:
    # The reply of a superseded opening and a reading in one message: the order must not matter.
    async with scene() as played:
        first = played.client.set_opening(VALVE, 50)
        asked = []

        def move_again(event: Event) -> None:
            if isinstance(event, ReadingReceived):
                asked.append(played.client.set_opening(VALVE, 0))

        played.client._listener = move_again
        reply = frame_bytes("valve_set_50_reply").hex()
        played.hears(TransparentReply(GATEWAY_ID, 0, (reply, VALVE_REPORT)))
        assert (await first.replied).reason is None
        assert await _ended(first) is FailureReason.SUPERSEDED
        await asyncio.sleep(1)
        played.client._listener = played.heard
        played.hears(message("valve_set_0_reply"))
        assert (await asked[0].replied).reason is None


@in_virtual_time
async def test_messages_are_parsed_by_the_parser_that_was_handed_in() -> None:
    parsed = []

    def loads(text: str) -> object:
        parsed.append(text)
        return json.loads(text)

    async with scene(loads=loads) as played:
        played.hears(message("valve_report"))
        assert parsed == [message("valve_report").decode()]


def _valve_report(opening_pct: int) -> str:
    """Return the captured report with another opening, the 11th byte after SER."""
    captured = parse(VALVE_REPORT)
    payload = captured.payload[:10] + bytes((opening_pct,)) + captured.payload[11:]
    return report_frame(VALVE, 1, payload).raw.hex().upper()


async def _ended(pending: PendingOpening) -> FailureReason | None:
    return (await pending.ended).reason


async def _wait(future: asyncio.Future[Result]) -> None:
    await future
