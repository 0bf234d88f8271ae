"""The last frames of each meter, both ways, are kept for diagnostics; what came is counted."""

import pytest

from custom_components.hy_heating.hyheat.envelope import TransparentReply
from custom_components.hy_heating.hyheat.errors import LinkError, ReplyError
from custom_components.hy_heating.hyheat.frame import parse
from custom_components.hy_heating.hyheat.session import SendFrame, Timing
from tests.hyheat.fake_link import in_virtual_time
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .scene import COMMANDS, VALVE, VALVE_REPORT, Scene, report, scene

NUMBER = VALVE.meter_number


def raw(name: str) -> bytes:
    """Return a captured frame without preamble."""
    return parse(frame_bytes(name)).raw


def kept(played: Scene, number: str = NUMBER) -> list[bytes]:
    return [frame for _, frame in played.client.frames.of(number)]


@in_virtual_time
async def test_a_command_its_reply_and_the_report() -> None:
    async with scene() as played:
        pending = played.client.set_opening(VALVE, 50)
        await played.sent()
        played.hears(message("valve_set_50_reply_braced"))
        await pending.replied
        played.hears(report(VALVE_REPORT))
        assert kept(played) == [
            raw("valve_set_50"),
            raw("valve_set_50_reply"),
            raw("valve_report_C"),
        ]
        times = [at for at, _ in played.client.frames.of(NUMBER)]
        assert times == sorted(times)
        assert times[0] >= 1000.0, "the time of the event loop"


@in_virtual_time
async def test_another_master_s_command_is_kept_too() -> None:
    async with scene() as played:
        played.link.deliver(COMMANDS, message("valve_set_50"))
        assert played.client.frames.of(NUMBER) == ((1000.0, raw("valve_set_50")),)


@in_virtual_time
async def test_a_frame_of_a_layout_that_nobody_knows_is_kept() -> None:
    unknown = "681023227310001111810390 1F00 9516"
    async with scene() as played:
        played.hears(TransparentReply(GATEWAY_ID, 0, (unknown,)))
        assert kept(played) == [bytes.fromhex(unknown)]


@in_virtual_time
async def test_what_is_damaged_or_another_meter_s_is_not_kept_as_a_frame() -> None:
    async with scene() as played:
        played.hears(report(frame_bytes("valve_report_bad_checksum").hex()))
        played.hears(report(frame_bytes("cabinet_report").hex()))
        assert kept(played) == kept(played, "27100583") == []
        assert len(played.client.refusals.last) == 2
        played.hears(report(VALVE_REPORT))
        assert kept(played) == [raw("valve_report_C")]


@in_virtual_time
async def test_what_was_not_sent_is_not_kept() -> None:
    async with scene() as played:
        played.link.publish_error = LinkError("gone")
        await played.client.set_opening(VALVE, 50).ended
        assert kept(played) == []
        played.link.publish_error = None
        played.client.set_opening(VALVE, 50)
        await played.sent()
        assert kept(played) == [raw("valve_set_50")]


@in_virtual_time
async def test_raw_bytes_that_are_no_frame_are_sent_all_the_same() -> None:
    async with scene(timing=Timing(ack_s=1.0)) as played:
        with pytest.raises(ReplyError):
            await played.client.send_frame(SendFrame(b"\x01\x02"))
        assert [published.payload for published in played.link.published]
        assert kept(played) == []


@in_virtual_time
async def test_messages_and_refusals_are_counted() -> None:
    async with scene() as played:
        for said in (message("cabinet_report"), b"no JSON", message("status_reply")):
            played.hears(said)
        played.hears(message("status_reply"), retained=True)
        assert (played.client.messages.total, played.client.refused.total) == (4, 2)
