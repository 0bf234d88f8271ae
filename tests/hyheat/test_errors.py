"""The errors: one root, and each says what it knows."""

import pytest

from custom_components.hy_heating.hyheat.errors import (
    EnvelopeError,
    FailureReason,
    FrameError,
    FrameErrorKind,
    HyHeatError,
    LinkAuthError,
    LinkError,
    LinkTimeoutError,
    LinkTlsError,
    RefusalReason,
    ReplyError,
    RequestError,
    SubscriptionRefusedError,
)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            FrameError(FrameErrorKind.END, 7, "16", "17"),
            "end at offset 7: expected 16, found 17",
        ),
        (EnvelopeError(RefusalReason.SHAPE, "gw is missing"), "shape: gw is missing"),
        (RequestError("no such opening"), "no such opening"),
        (
            SubscriptionRefusedError("hy/gw/set/1"),
            "the broker refused the subscription to hy/gw/set/1",
        ),
        (ReplyError(FailureReason.METER_SILENT), "meter_silent"),
    ],
)
def test_text(error: HyHeatError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, HyHeatError)


def test_what_they_carry() -> None:
    frame_error = FrameError(FrameErrorKind.CHECKSUM, 3, "91", "8B")
    assert (frame_error.kind, frame_error.offset) == ("checksum", 3)
    assert (frame_error.expected, frame_error.found) == ("91", "8B")
    assert EnvelopeError(RefusalReason.JSON, "not JSON", 5).offset == 5
    assert SubscriptionRefusedError("a/b").topic == "a/b"
    assert ReplyError(FailureReason.EXPIRED).reason is FailureReason.EXPIRED


@pytest.mark.parametrize(
    "kind", [LinkAuthError, LinkTlsError, LinkTimeoutError, SubscriptionRefusedError]
)
def test_every_trouble_with_the_link_is_a_link_error(kind: type[LinkError]) -> None:
    assert issubclass(kind, LinkError)


def test_every_kind_of_frame_error_can_be_counted() -> None:
    assert [RefusalReason(f"frame_{kind}").value for kind in FrameErrorKind] == [
        "frame_hex",
        "frame_start",
        "frame_length",
        "frame_end",
        "frame_checksum",
        "frame_layout",
    ]
