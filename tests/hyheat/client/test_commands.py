"""Giving up, raw frames, and the commands of other masters."""

import asyncio
from collections.abc import Sequence
import json

import pytest

from custom_components.hy_heating.hyheat.client import (
    OWN_REMEMBERED,
    OWN_REMEMBERED_S,
    ForeignCommand,
)
from custom_components.hy_heating.hyheat.envelope import TransparentReply
from custom_components.hy_heating.hyheat.errors import (
    FailureReason,
    ReplyError,
    SubscriptionRefusedError,
)
from custom_components.hy_heating.hyheat.frame import build
from custom_components.hy_heating.hyheat.model import SetOpeningReply, UnknownReading
from custom_components.hy_heating.hyheat.session import SendFrame
from tests.hyheat.fake_link import in_virtual_time
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .scene import COMMANDS, VALVE, VALVE_2, ended, scene


@in_virtual_time
async def test_what_waits_can_be_given_up() -> None:
    async with scene() as played:
        sent = played.client.set_opening(VALVE, 50)
        waiting = played.client.set_opening(VALVE_2, 50)
        played.client.cancel(waiting)
        played.client.cancel(sent)
        await played.sent()
        assert await ended(waiting) is FailureReason.CANCELED
        assert (await waiting.replied).reason is FailureReason.CANCELED
        played.hears(message("valve_set_50_reply_braced"))
        assert (await sent.replied).reason is None


@in_virtual_time
async def test_a_raw_frame_is_answered_by_what_fits() -> None:
    raw = frame_bytes("valve_set_50")
    async with scene() as played:
        request = SendFrame(raw, 0, VALVE.address, 0x04)
        asking = asyncio.ensure_future(played.client.send_frame(request))
        await asyncio.sleep(0)
        assert await played.sent() == [message("valve_set_50")]
        played.hears(message("valve_set_50_reply_braced"))
        reply = await asking
        assert isinstance(reply, SetOpeningReply)
        assert reply.opening_pct == 50

        asking = asyncio.ensure_future(played.client.send_frame(SendFrame(raw)))
        assert await played.sent() == [message("valve_set_50")]
        # T=10 is no known device: 68 10 23227310001111 81 03 901F00, sum 295.
        unknown = "6810232273100011118103901F009516"
        played.hears(TransparentReply(GATEWAY_ID, 0, (unknown,)))
        assert await asking == UnknownReading(0x10, VALVE.address, bytes.fromhex(unknown))

        asking = asyncio.ensure_future(played.client.send_frame(request))
        with pytest.raises(ReplyError) as failure:
            await asking
        assert failure.value.reason is FailureReason.GATEWAY_SILENT


@in_virtual_time
async def test_another_master_is_seen_and_ours_that_comes_back_is_not() -> None:
    async with scene() as played:
        proving = played.client.set_opening(VALVE, 50)
        await asyncio.sleep(0)
        for _ in range(2):  # some links bring it back more than once
            played.link.deliver(COMMANDS, message("valve_set_50"))
        assert foreign(played.events) == []
        played.hears(message("valve_set_50_reply_braced"))
        played.link.deliver(COMMANDS, message("valve_set_0"))
        assert foreign(played.events) == [ForeignCommand("23227310", 0)]
        assert await ended(proving) is FailureReason.SUPERSEDED, "ours can no longer be proved"

        again = played.client.set_opening(VALVE, 50)
        await asyncio.sleep(OWN_REMEMBERED_S + 60)
        played.link.deliver(COMMANDS, message("valve_set_50"))
        assert foreign(played.events)[1:] == [ForeignCommand("23227310", 50)], "too late to be ours"
        assert await ended(again) is FailureReason.GATEWAY_SILENT


@in_virtual_time
async def test_what_is_no_move_of_another_master_changes_nothing() -> None:
    no_opening = message("valve_set_0").replace(b"00006616", b"00FF6516")  # 255 %, CS one less
    async with scene() as played:
        for payload in (
            b"no JSON",
            message("valve_set_0").replace(GATEWAY_ID.encode(), b"02345678904"),
            message("status_query"),
            message("cabinet_set_0").replace(b"7916", b"7816"),
            no_opening,
        ):
            played.link.deliver(COMMANDS, payload)
        played.link.deliver(COMMANDS, message("valve_set_0"), retained=True)
        assert foreign(played.events) == []
        played.link.deliver(COMMANDS, message("valve_set_0"))
        assert foreign(played.events) == [ForeignCommand("23227310", 0)]


@in_virtual_time
async def test_commands_are_parsed_by_the_parser_that_was_handed_in() -> None:
    parsed = []

    def loads(text: str) -> object:
        parsed.append(text)
        return json.loads(text)

    async with scene(loads=loads) as played:
        played.link.deliver(COMMANDS, message("valve_set_0"))
        assert parsed == [message("valve_set_0").decode()]


@in_virtual_time
async def test_ours_is_known_for_a_minute_and_no_longer() -> None:
    async with scene() as played:
        played.client.set_opening(VALVE, 50)
        await asyncio.sleep(0)
        (sent_s,) = played.client._own.values()
        played.hears(message("valve_set_50_reply_braced"))  # so it is sent once
        loop = asyncio.get_running_loop()
        await asyncio.sleep(sent_s + OWN_REMEMBERED_S - loop.time())
        assert loop.time() - sent_s == OWN_REMEMBERED_S
        played.link.deliver(COMMANDS, message("valve_set_50"))
        assert foreign(played.events) == [], "a minute is not over yet"
        await asyncio.sleep(0.001)
        played.link.deliver(COMMANDS, message("valve_set_50"))
        assert len(foreign(played.events)) == 1


@in_virtual_time
async def test_of_what_we_sent_only_the_last_is_remembered() -> None:
    async with scene() as played:
        told = [
            build(0x53, bytes.fromhex(f"{number:08d}001111"), 0x01, b"\x90\x1f\x00").encode()
            for number in range(OWN_REMEMBERED + 1)
        ]
        for raw in told:
            with pytest.raises(ReplyError):  # nobody answers
                await played.client.send_frame(SendFrame(raw))
            played.hears(message("status_reply"))  # but the gateway is there
        remembered = [payload.decode() for payload in played.client._own]
        assert len(remembered) == OWN_REMEMBERED
        assert told[1].hex().upper() in remembered[0]
        assert told[-1].hex().upper() in remembered[-1]
        # What goes out again counts from then on.
        with pytest.raises(ReplyError):
            await played.client.send_frame(SendFrame(told[1]))
        assert told[2].hex().upper() in next(iter(played.client._own)).decode()


@in_virtual_time
async def test_without_leave_to_see_commands_everything_else_works() -> None:
    async with scene(refused={COMMANDS}) as played:
        assert COMMANDS not in played.link.subscriptions
        pending = played.client.set_opening(VALVE, 50)
        await played.sent()
        played.hears(message("valve_set_50_reply_braced"))
        assert (await pending.replied).reason is None


def foreign(events: Sequence[object]) -> list[ForeignCommand]:
    return [event for event in events if isinstance(event, ForeignCommand)]


def test_the_refusal_names_its_topic() -> None:
    assert SubscriptionRefusedError(COMMANDS).topic == COMMANDS
