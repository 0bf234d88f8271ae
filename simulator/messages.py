"""Messages as real gateways write them, including the two shapes that are not JSON."""

from custom_components.hy_heating.hyheat.envelope import (
    FromGateway,
    StatusReply,
    TransparentReply,
    encode,
)


def encode_as_captured(message: FromGateway, *, braced: bool = False) -> bytes:
    """Return the payload of a message as a gateway sends it.

    CSQ is a bare pair of numbers in every captured status. With `braced`, the frame of a
    transparent reply stands in braces and the final brace is missing, as captured.
    """
    payload = encode(message)
    if isinstance(message, StatusReply) and message.csq is not None:
        rssi, ber = message.csq
        return payload.replace(f'"CSQ":[{rssi},{ber}]'.encode(), f'"CSQ":{rssi},{ber}'.encode())
    if braced and isinstance(message, TransparentReply):
        return payload.replace(b"[", b"{").replace(b"]", b"}").removesuffix(b"}")
    return payload
