"""Links, gateways and listeners that fail, and what follows."""

import asyncio
import json

import pytest

from custom_components.hy_heating.hyheat.client import (
    AvailabilityChanged,
    Event,
    MessageReceived,
    ReadingReceived,
)
from custom_components.hy_heating.hyheat.envelope import (
    TransparentReply,
)
from custom_components.hy_heating.hyheat.errors import (
    FailureReason,
    LinkError,
    ReplyError,
)
from tests.hyheat.fake_link import in_virtual_time
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .scene import (
    DOWN,
    SILENT,
    UP,
    VALVE,
    VALVE_2,
    VALVE_REPORT,
    ended,
    report,
    scene,
    valve_report,
)

# --- A link that fails ----------------------------------------------------------------------


@in_virtual_time
async def test_what_cannot_be_published_fails_at_once() -> None:
    async with scene() as played:
        played.link.publish_error = LinkError("not now")
        pending = played.client.set_opening(VALVE, 50)
        assert await ended(pending) is FailureReason.LINK_DOWN
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
        await asyncio.sleep(9.8)
        played.link.delay_s = 0.0  # a second try would get through
        assert await ended(pending) is FailureReason.LINK_DOWN
        # A moment before the acknowledgement is overdue, which would call for a second try.
        assert pending.ended.result().duration_s == pytest.approx(9.9)
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
        assert await ended(second) is FailureReason.LINK_DOWN
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
        assert await ended(played.client.set_opening(VALVE, 50)) is FailureReason.GATEWAY_SILENT
        played.link.set_connected(False)
        assert played.take_events() == [AvailabilityChanged(link_up=False, gateway_silent=True)]
        played.link.set_connected(True)
        assert played.take_events() == [SILENT]
        played.hears(message("transparent_ack"))
        assert played.take_events() == [UP, MessageReceived()]


# --- A listener -----------------------------------------------------------------------------


@in_virtual_time
async def test_a_listener_that_fails_is_logged_and_costs_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as played:
        pending = played.client.set_opening(VALVE, 50)
        await played.sent()

        def fail(event: Event) -> None:
            played.heard(event)
            raise KeyError(event)

        played.take_events()
        played.client._listener = fail
        played.hears(message("valve_set_50_reply_braced"))
        played.hears(report(valve_report(50)))
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
        await played.sent()
        asked = []

        def move_again(event: Event) -> None:
            if isinstance(event, ReadingReceived):
                asked.append(played.client.set_opening(VALVE, 0))

        played.client._listener = move_again
        reply = frame_bytes("valve_set_50_reply").hex()
        played.hears(TransparentReply(GATEWAY_ID, 0, (reply, VALVE_REPORT)))
        assert (await first.replied).reason is None
        assert await ended(first) is FailureReason.SUPERSEDED
        await asyncio.sleep(30)  # the pause between two moves
        await played.sent()
        played.client._listener = played.heard
        played.hears(message("valve_set_0_reply"))
        assert (await asked[0].replied).reason is None


@in_virtual_time
async def test_messages_but_plain_reports_are_parsed_by_the_parser_that_was_handed_in() -> None:
    parsed = []

    def loads(text: str) -> object:
        parsed.append(text)
        return json.loads(text)

    async with scene(loads=loads) as played:
        played.hears(message("valve_report"))  # by its bytes: nothing to parse
        assert parsed == []
        played.hears(spaced := message("valve_report").replace(b",", b", "))
        played.hears(message("settings_reply"))
        assert parsed == [spaced.decode(), message("settings_reply").decode()]
