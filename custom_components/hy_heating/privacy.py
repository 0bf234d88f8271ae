"""What others must not learn from a download: secrets never, ids and places where asked for."""

from collections.abc import Iterable, Mapping
import hashlib
import hmac
import re
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_HOST, CONF_PASSWORD, CONF_USERNAME

from .const import CONF_AREA_ID, CONF_CA_CERTIFICATE, CONF_HASH_KEY, CONF_PREFIX
from .hyheat.frame import END, HEADER_SIZE, TRAILER_SIZE, checksum

REDACTED = "**REDACTED**"
"""As Home Assistant's own diagnostics write it; that module is no dependency of this one."""

_SECRETS = {CONF_PASSWORD, CONF_USERNAME, CONF_CA_CERTIFICATE, CONF_HASH_KEY, "iccid"}
_PLACES = {CONF_HOST, CONF_PREFIX, CONF_AREA_ID, "title"}
_NOT_IDS = {"firmware", "versions"}
_ICCID = re.compile(r"(?<=CCID)(\W{0,8})\w+|(?<!\d)89\d{17,18}(?!\d)", re.IGNORECASE)
"""The SIM card's number in a message that may be no JSON: by its key, or as ITU-T E.118 has it."""
_LONG_NUMBER = r"\d{8,}"
"""A meter number has 8 digits, a gateway id 11: ids of others stand in what was refused."""
_ADDRESS = slice(2, 6)


class Disguise:
    """Takes secrets out of what is shown, and with a key every id and place too.

    An id becomes a number of as many digits, always the same one for the same id and key, so that
    meters can still be told apart. Without the key nobody can find out which one it was.
    """

    def __init__(self, entry: ConfigEntry, ids: Iterable[str] = ()) -> None:
        """Hide `ids` and every other long number where the entry has a key for it."""
        key: str | None = entry.options.get(CONF_HASH_KEY)
        self._key = key.encode() if key else None
        self._host: str = entry.data.get(CONF_HOST, "")  # none with Home Assistant's MQTT
        known = map(re.escape, sorted(ids, key=len, reverse=True))
        self._an_id = re.compile("|".join([*known, _LONG_NUMBER]))

    @property
    def hides_ids(self) -> bool:
        """Whether ids and places are hidden."""
        return self._key is not None

    def digits(self, known: str) -> str:
        """Return what stands in for an id."""
        if self._key is None:
            return known
        digest = hmac.digest(self._key, known.encode(), hashlib.sha256)
        return f"{int.from_bytes(digest) % 10 ** len(known):0{len(known)}d}"

    def mapping(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is in a mapping, and in what it holds, without what is to be hidden."""
        return {self.text(key): self._item(key, value) for key, value in data.items()}

    def text(self, text: str) -> str:
        """Return a text without what is to be hidden."""
        text = _ICCID.sub(lambda found: f"{found[1] or ''}{REDACTED}", text)
        if self._key is None:
            return text
        # What went wrong may name the broker.
        if self._host:
            text = text.replace(self._host, REDACTED)
        return self._an_id.sub(lambda found: self.digits(found[0]), text)

    def frame(self, raw: bytes, numbers: Iterable[str]) -> bytes:
        """Return a frame without the 8-digit `numbers`, and with the checksum that it then has.

        They are replaced in its address, and in its data wherever their bytes stand, in either
        order.
        """
        if self._key is None:
            return raw
        address, data = raw[_ADDRESS], raw[HEADER_SIZE:-TRAILER_SIZE]
        for number in numbers:
            old, new = bytes.fromhex(number), bytes.fromhex(self.digits(number))
            address = address.replace(old, new)
            if any(old):  # zeros stand everywhere, and are nobody's number
                data = data.replace(old, new).replace(old[::-1], new[::-1])
        body = raw[: _ADDRESS.start] + address + raw[_ADDRESS.stop : HEADER_SIZE] + data
        return body + bytes((checksum(body), END))

    def payload(self, text: str) -> str:
        """Return what was refused; where ids are hidden, nobody knows where they stand in it."""
        return f"{len(text)} characters, hidden" if self._key else self.text(text)

    def _item(self, key: str, value: object) -> object:
        if key in _NOT_IDS:
            return value
        if value and (key in _SECRETS or (self._key and key in _PLACES)):
            return REDACTED
        return self._value(value)

    def _value(self, value: object) -> object:
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return self.mapping(value)
            case list() | tuple():
                return [self._value(item) for item in value]
            case _:
                return value
