"""What is written to the log, word for word: at a site it is all that there is to go by."""

import logging

import pytest

from custom_components.hy_heating.hyheat.client import Event
from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    MeterId,
    Report,
    TransparentReply,
)
from custom_components.hy_heating.hyheat.errors import LinkError
from tests.hyheat.fake_link import in_virtual_time
from tests.vectors import GATEWAY_ID, frame_bytes, message

from .scene import COMMANDS, VALVE, VALVE_REPORT, ended, report, scene

OTHER_GATEWAY = message("status_reply").replace(GATEWAY_ID.encode(), b"02345678904")
BAD_CHECKSUM = frame_bytes("valve_report_bad_checksum").hex().upper()
CABINET_REPORT = frame_bytes("cabinet_report").hex().upper()
# T=10 is no known device: 68 10 23227310001111 81 03 901F00, sum 295.
UNKNOWN = "681023227310001111810390 1F00 9516"


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what was logged at a level by the library."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name != "asyncio"
    ]


@pytest.mark.parametrize(
    ("said", "number", "detail", "raw"),
    [
        pytest.param(
            OTHER_GATEWAY,
            "-",
            "gw_id 02345678904 on the topic of 02345678903",
            OTHER_GATEWAY.decode(),
            id="a message",
        ),
        pytest.param(
            report(BAD_CHECKSUM),
            "23227310",
            "checksum at offset 56: expected 91, found 8B",
            BAD_CHECKSUM,
            id="a frame",
        ),
        pytest.param(
            report(CABINET_REPORT),
            "23227310",
            "a frame of 27100583 in a report of 23227310",
            CABINET_REPORT,
            id="another meter's",
        ),
        pytest.param(
            report(frame_bytes("valve_set_0_reply").hex()),
            "23227310",
            "layout at offset 9: expected a report, found control 84",
            frame_bytes("valve_set_0_reply").hex(),
            id="no report",
        ),
        pytest.param(
            TransparentReply(GATEWAY_ID, 0, (UNKNOWN,)),
            "23227310",
            "a reply of a layout that is not known",
            UNKNOWN.replace(" ", ""),
            id="an unknown reply",
        ),
        pytest.param(
            Report(GATEWAY_ID, MeterId("23227310", "2008", 0), (VALVE_REPORT,) * 32 + ("AB",)),
            "23227310",
            "more than 32 frames in a message",
            "AB",
            id="too many frames in a report",
        ),
        pytest.param(
            TransparentReply(GATEWAY_ID, 0, (VALVE_REPORT,) * 32 + ("AB",)),
            "-",
            "more than 32 frames in a message",
            "AB",
            id="too many frames in a reply",
        ),
    ],
)
@in_virtual_time
async def test_a_refusal_says_whose_it_was_and_what_was_wrong(
    said: bytes | FromGateway,
    number: str,
    detail: str,
    raw: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as played:
        played.hears(said)
        assert logged(caplog, logging.WARNING) == [
            (
                f"Gateway {GATEWAY_ID}, meter {number}: refused what was received ({detail}); "
                "further ones of this kind are only counted"
            )
        ]
        (kept,) = played.client.refusals.last
        assert (kept.detail, kept.raw) == (detail, raw)


@in_virtual_time
async def test_a_retained_message_is_called_so(caplog: pytest.LogCaptureFixture) -> None:
    async with scene() as played:
        played.hears(message("valve_report"), retained=True)
        (line,) = logged(caplog, logging.WARNING)
        assert "(a retained message)" in line


@in_virtual_time
async def test_half_a_character_in_a_frame_is_kept_as_it_came() -> None:
    async with scene() as played:
        payload = message("valve_report").replace(b'["68', b'["\\ud80068', 1)
        assert payload != message("valve_report")
        played.hears(payload)
        (kept,) = played.client.refusals.last
        assert kept.raw.startswith("\\ud8006853")


@in_virtual_time
async def test_a_broker_that_hides_commands_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with scene(refused={COMMANDS}):
        assert logged(caplog, logging.INFO) == [
            (
                "Commands of other masters stay unseen: "
                f"the broker refused the subscription to {COMMANDS}"
            )
        ]


@in_virtual_time
async def test_what_could_not_be_sent_is_told_to_who_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="custom_components.hy_heating")
    async with scene() as played:
        played.link.publish_error = LinkError("not now")
        await ended(played.client.set_opening(VALVE, 50))
        assert logged(caplog, logging.DEBUG) == [f"Gateway {GATEWAY_ID}: not sent: not now"]


@in_virtual_time
async def test_a_command_that_is_none_is_told_to_who_looks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="custom_components.hy_heating")
    async with scene() as played:
        played.link.deliver(COMMANDS, message("cabinet_set_0").replace(b"7916", b"7816"))
        assert logged(caplog, logging.DEBUG) == [
            (
                f"Gateway {GATEWAY_ID}: another master's command: "
                "checksum at offset 20: expected 79, found 78"
            )
        ]


@in_virtual_time
async def test_a_listener_that_fails_is_named_with_what_it_was_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with scene() as played:

        def fail(event: Event) -> None:
            raise KeyError(event)

        played.client._listener = fail
        played.hears(Report(GATEWAY_ID, MeterId("23227310", "2008", 0), ()))
        assert logged(caplog, logging.ERROR) == [
            f"Gateway {GATEWAY_ID}: a listener failed on MessageReceived()"
        ]
        played.client._listener = played.heard
        played.hears(report(VALVE_REPORT))
        assert len(played.take_events()) == 3
