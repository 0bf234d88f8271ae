"""Every error of the library, under one root.

May import: nothing. Errors say what is wrong and where; raw bytes stay with the caller.
"""

from enum import StrEnum


class HyHeatError(Exception):
    """Root of all errors of this library."""


class FrameErrorKind(StrEnum):
    """What is wrong with a frame, by the first check that it failed."""

    HEX = "hex"
    START = "start"
    LENGTH = "length"
    END = "end"
    CHECKSUM = "checksum"
    LAYOUT = "layout"


class FrameError(HyHeatError):
    """The bytes are no frame, or no frame of a known device.

    `offset` counts bytes from the first byte of the input; for kind HEX, where there are no
    bytes yet, it counts characters.
    """

    def __init__(self, kind: FrameErrorKind, offset: int, expected: str, found: str) -> None:
        """Name the failed check, its place, what was due there and what stood there."""
        super().__init__(f"{kind} at offset {offset}: expected {expected}, found {found}")
        self.kind = kind
        self.offset = offset
        self.expected = expected
        self.found = found


class RefusalReason(StrEnum):
    """Why a received message or frame was refused; the key that refusals are counted by."""

    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    JSON = "json"
    NESTING = "nesting"
    SHAPE = "shape"
    TYPE = "type"
    VALUE = "value"
    MSG_ID = "msg_id"
    GATEWAY_ID = "gateway_id"
    TOPIC = "topic"
    RETAINED = "retained"
    ADDRESS = "address"
    FRAME_HEX = "frame_hex"
    FRAME_START = "frame_start"
    FRAME_LENGTH = "frame_length"
    FRAME_END = "frame_end"
    FRAME_CHECKSUM = "frame_checksum"
    FRAME_LAYOUT = "frame_layout"


class EnvelopeError(HyHeatError):
    """A payload is not one of the gateway's messages.

    `offset`, where known, counts characters from the start of the payload.
    """

    def __init__(self, reason: RefusalReason, detail: str, offset: int | None = None) -> None:
        """Name the reason, and in words what was due and what was found."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.offset = offset


class RequestError(HyHeatError):
    """The caller asked for something that the protocol does not have."""


class LinkError(HyHeatError):
    """The broker cannot be reached, or did not take what was sent."""


class LinkAuthError(LinkError):
    """The broker refused the user name and password."""


class LinkTlsError(LinkError):
    """The TLS connection to the broker could not be set up or verified."""


class LinkTimeoutError(LinkError):
    """The broker did not answer in time."""


class SubscriptionRefusedError(LinkError):
    """The broker refused a subscription."""

    def __init__(self, topic: str) -> None:
        """Name the topic that was refused."""
        super().__init__(f"the broker refused the subscription to {topic}")
        self.topic = topic


class FailureReason(StrEnum):
    """Why a request to a gateway or meter did not succeed."""

    LINK_DOWN = "link_down"
    GATEWAY_SILENT = "gateway_silent"
    GATEWAY_REFUSED = "gateway_refused"
    METER_SILENT = "meter_silent"
    METER_REFUSED = "meter_refused"
    WRONG_ECHO = "wrong_echo"
    NOT_REACHED = "not_reached"
    SUPERSEDED = "superseded"
    CANCELED = "canceled"
    READ_ONLY = "read_only"
    EXPIRED = "expired"
    SHUT_DOWN = "shut_down"


class ReplyError(HyHeatError):
    """A request was not answered, refused, or given up."""

    def __init__(self, reason: FailureReason) -> None:
        """Name the reason."""
        super().__init__(str(reason))
        self.reason = reason
