"""What is refused is counted by meter and reason, kept, and logged once; what is good counts."""

import asyncio
import logging

import pytest

from custom_components.hy_heating.hyheat.client import (
    ReadingReceived,
)
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    MeterId,
    Report,
    TransparentReply,
)
from custom_components.hy_heating.hyheat.errors import (
    RefusalReason,
)
from custom_components.hy_heating.hyheat.intake import (
    KEPT_REFUSALS,
    MAX_COUNTED,
    MAX_FRAMES,
    Refused,
)
from custom_components.hy_heating.hyheat.model import UnknownReading
from tests.hyheat.fake_link import in_virtual_time
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .scene import VALVE, VALVE_REPORT, Scene, report, scene

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
async def test_the_first_refusal_of_each_kind_is_told_to_who_wants_to_know() -> None:
    told: list[Refused] = []
    async with scene(on_refused=told.append) as played:
        for said in (b"no JSON", report(BAD_CHECKSUM), report(BAD_CHECKSUM)):
            played.hears(said)
        assert [(refused.reason, refused.meter_number) for refused in told] == [
            (RefusalReason.JSON, None),
            (RefusalReason.FRAME_CHECKSUM, "23227310"),
        ]
        assert told == list(played.client.refusals.last)[:2]


@in_virtual_time
async def test_a_retained_message_is_refused_however_good_it_is() -> None:
    async with scene() as played:
        played.take_events()
        pending = played.client.set_opening(VALVE, 50)
        await played.sent()
        played.hears(message("valve_set_50_reply_braced"), retained=True)
        assert played.take_events() == []
        await asyncio.sleep(1)
        assert not pending.replied.done()
        assert played.client.refusals.counts == {(None, RefusalReason.RETAINED): 1}
        assert played.client.refusals.last[0].raw.startswith('{"gw"')
        played.hears(message("valve_set_50_reply_braced"))
        assert (await pending.replied).reason is None


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


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param((VALVE_REPORT,) * 500, id="in many texts"),
        pytest.param((VALVE_REPORT * 500,), id="in one text"),
        pytest.param((BAD_CHECKSUM,) * 500, id="broken"),
    ],
)
@in_virtual_time
async def test_more_frames_than_a_message_has_are_refused_as_one(frames: tuple[str, ...]) -> None:
    async with scene() as played:
        played.take_events()
        played.hears(Report(GATEWAY_ID, MeterId("23227310", "2008", 0), frames))
        readings = [event for event in played.events if isinstance(event, ReadingReceived)]
        counts = played.client.refusals.counts
        assert len(readings) + counts["23227310", RefusalReason.FRAME_CHECKSUM] == MAX_FRAMES
        assert counts["23227310", RefusalReason.TOO_LARGE] == 1
        # As many as may be, none of which is refused.
        played.take_events()
        valve = MeterId("23227310", "2008", 0)
        played.hears(Report(GATEWAY_ID, valve, (VALVE_REPORT,) * MAX_FRAMES))
        readings = [event for event in played.events if isinstance(event, ReadingReceived)]
        assert len(readings) == MAX_FRAMES
        assert counts["23227310", RefusalReason.TOO_LARGE] == 1


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
        # A household valve's frame in a report of another protocol: not to be read by its layout.
        played.hears(report(VALVE_REPORT, "23227310100100"))
        received = played.events[-1]
        assert isinstance(received, ReadingReceived)
        assert isinstance(received.reading, UnknownReading)


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
