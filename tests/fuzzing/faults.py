"""Faults to plant, one per target, to see that the fuzzers can fail.

None of them shows with the inputs that a run begins with: each must be found.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from custom_components.hy_heating.hyheat import envelope, frame
from custom_components.hy_heating.hyheat.devices import DEVICES
from custom_components.hy_heating.hyheat.errors import EnvelopeError, FrameError
from custom_components.hy_heating.hyheat.model import ErrorReply, Value

_PACKAGE = "custom_components.hy_heating"


@contextmanager
def planted(target: str) -> Iterator[None]:
    """Let the product have the fault that this target must find."""
    with FAULTS[target]():
        yield


@contextmanager
def _unknown_number() -> Iterator[None]:
    """Let a msg_id that nobody knows end in an exception that nobody expects."""
    right = envelope._message

    def message[M](
        gateway_id: str,
        msg_id: int,
        data: envelope.Json,
        messages: Mapping[int, Callable[[str, envelope.Json], M]],
    ) -> M:
        if msg_id > max(messages):
            raise KeyError(msg_id)
        return right(gateway_id, msg_id, data, messages)

    with patch.object(envelope, "_message", message):
        yield


@contextmanager
def _trusted_checksum() -> Iterator[None]:
    """Take a checksum that is one too large as well."""
    right = frame._parse_at

    def parse_at(data: bytes, start: int) -> frame.Frame:
        try:
            return right(data, start)
        except FrameError:
            end = start + frame.HEADER_SIZE + (data[start + 10] if len(data) > start + 10 else 0)
            if end + 1 >= len(data) or data[end] != (sum(data[start:end]) + 1) % 256:
                raise
            mended = bytearray(data)
            mended[end] = sum(data[start:end]) % 256
            return right(bytes(mended), start)

    with patch.object(frame, "_parse_at", parse_at):
        yield


@contextmanager
def _error_of_any_length() -> Iterator[None]:
    """Let an error reply of another length than the two known ones end in an exception."""
    from custom_components.hy_heating.hyheat import devices  # noqa: PLC0415 - what is patched

    right = devices._error_reply

    def error_reply(spec: devices.DeviceSpec, found: frame.Frame) -> ErrorReply:
        if len(found.data) not in {1, 3}:
            raise IndexError(len(found.data))
        return right(spec, found)

    with patch.object(devices, "_error_reply", error_reply):
        yield


def _unlimited(device: str, key: str, offset: int, width: int) -> Callable[[], Any]:
    """Return the fault that a field of a layout has no limits any more."""

    @contextmanager
    def fault() -> Iterator[None]:
        layout = DEVICES[device].layout
        right = layout.decode

        def decode(data: bytes, begin: int) -> dict[str, Value]:
            values = right(data, begin)
            if values[key] is None:
                part = data[begin + offset : begin + offset + width]
                values[key] = int.from_bytes(part, "little") / 10
            return values

        object.__setattr__(layout, "decode", decode)  # it is frozen
        try:
            yield
        finally:
            object.__setattr__(layout, "decode", right)

    return fault


@contextmanager
def _uncounted() -> Iterator[None]:
    """Neither take nor count a message that is no UTF-8."""
    right = envelope.decode_from_gateway

    def decode(payload: bytes, *more: Any) -> envelope.FromGateway:
        try:
            return right(payload, *more)
        except EnvelopeError as err:
            if err.reason == "encoding":
                return envelope.ReadNowAck("", envelope.Stat.FAILED)
            raise

    with patch(f"{_PACKAGE}.hyheat.client.envelope.decode_from_gateway", decode):
        yield


@contextmanager
def _remembered_temperature() -> Iterator[None]:
    """Show a supply of more than 30 °C as what no report ever said."""
    from custom_components.hy_heating import sensor  # noqa: PLC0415 - what is patched

    right = sensor.HyMeterSensor._refresh

    def refresh(self: sensor.HyMeterSensor) -> tuple[Any, ...]:
        available, value = right(self)
        key = self.entity_description.key
        if key == "supply_temperature" and isinstance(value, float) and value > 30:
            self._attr_native_value = value + 1
        return available, value

    with patch.object(sensor.HyMeterSensor, "_refresh", refresh):
        yield


FAULTS: dict[str, Callable[[], Any]] = {
    "envelope": _unknown_number,
    "frame": _trusted_checksum,
    "content": _error_of_any_length,
    "layout-cabinet": _unlimited("cabinet", "actual_opening_pct", 43, 2),
    "layout-valve": _unlimited("valve", "opening_pct", 10, 1),
    "client": _uncounted,
    "house": _remembered_temperature,
}
