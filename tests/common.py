"""What Home Assistant tests share: the captured messages and a link that a test plays itself."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

from homeassistant.core import HomeAssistant
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import LinkError
from custom_components.hy_heating.hyheat.link import MessageListener, StatusListener
from custom_components.hy_heating.links.settings import BrokerSettings

GATEWAY_ID = "02345678903"
CABINET = "27100583"
VALVE = "23227310"
REPORT_TOPIC = f"hy/gw/set/{GATEWAY_ID}"
COMMAND_TOPIC = f"hy/gw/get/{GATEWAY_ID}"

BROKER = {
    "host": "127.0.0.1",
    "port": 1883,
    "username": "heat",
    "password": "secret-of-the-test",
    "tls": False,
    "tls_verify": True,
    "ca_certificate": None,
    "prefix": "hy/gw",
}

_VECTORS = json.loads((Path(__file__).parent / "vectors" / "vectors.json").read_text())


def captured(name: str) -> bytes:
    """Return the payload of a captured message by its name in the vectors."""
    payloads: dict[str, str] = {row["name"]: row["payload"] for row in _VECTORS["messages"]}
    return payloads[name].encode()


def captured_frame(name: str) -> str:
    """Return the hex of a captured frame by its name in the vectors."""
    return next(str(frame["hex"]) for frame in _VECTORS["frames"] if frame["name"] == name)


def report(meter_id: str, frame: str, gateway_id: str = GATEWAY_ID) -> bytes:
    """Return the msg_id 20 that reports one frame."""
    data = {"meter_id": meter_id, "meter_data": [frame]}
    gw = {"msg_id": 20, "msg_gw_pr": 0, "gw_id": gateway_id}
    return json.dumps({"gw": gw, "data": data}).encode()


class FakeLink:
    """A link whose broker and gateway are the test itself; nothing leaves the process."""

    def __init__(self, settings: BrokerSettings | None = None) -> None:
        self.settings = settings or BrokerSettings.from_data(BROKER)
        self.failure: LinkError | None = None
        self.connected = True
        self.wait_error: LinkError | None = None
        self.subscribe_error: LinkError | None = None
        self.refused_topics: set[str] = set()
        self.users = 0
        self.subscriptions: dict[str, MessageListener] = {}
        self.status_listeners: list[StatusListener] = []
        self.published: list[tuple[str, bytes]] = []

    @property
    def facts(self) -> Mapping[str, str | bool]:
        return {"kind": "played by the test", "connected": self.connected}

    async def async_wait_connected(self, timeout_s: float) -> None:
        assert timeout_s > 0
        if self.wait_error:
            raise self.wait_error

    async def async_release(self) -> None:
        self.users -= 1

    async def subscribe(
        self, topic: str, listener: MessageListener
    ) -> Callable[[], Awaitable[None]]:
        if self.subscribe_error:
            raise self.subscribe_error
        self.subscriptions[topic] = listener

        async def unsubscribe() -> None:
            del self.subscriptions[topic]

        return unsubscribe

    async def publish(self, topic: str, payload: bytes, *, expiry_s: int, fresh: bool) -> None:
        if not self.connected:
            raise LinkError("not connected")
        assert expiry_s > 0, "a command never waits for ever"
        is_poll = json.loads(payload)["gw"]["msg_id"] in (1, 2)
        assert fresh is not is_poll, "only polls go out unasked"
        self.published.append((topic, payload))

    def add_status_listener(self, listener: StatusListener) -> Callable[[], None]:
        self.status_listeners.append(listener)
        return lambda: self.status_listeners.remove(listener)

    def set_connected(self, connected: bool, failure: LinkError | None = None) -> None:
        """Let the connection come or go."""
        self.connected, self.failure = connected, failure
        for listener in list(self.status_listeners):
            listener(connected)

    def deliver(
        self, payload: bytes | str, topic: str = REPORT_TOPIC, *, retained: bool = False
    ) -> None:
        """Let the gateway say something."""
        raw = payload.encode() if isinstance(payload, str) else payload
        self.subscriptions[topic](topic, raw, retained)

    def sent(self) -> list[dict[str, Any]]:
        """Return what was published since the last call, in order, and forget it."""
        messages = [json.loads(payload) for _, payload in self.published]
        self.published.clear()
        return messages


@contextmanager
def every_entry_gets(link: FakeLink) -> Iterator[None]:
    """Let every entry that is set up meanwhile have this link."""

    async def acquire(_hass: HomeAssistant, settings: BrokerSettings) -> FakeLink:
        link.settings = settings
        link.users += 1
        return link

    with patch("custom_components.hy_heating.async_acquire_link", acquire):
        yield


def make_entry(**options: object) -> MockConfigEntry:
    """Return an entry of the captured gateway."""
    return MockConfigEntry(
        domain=DOMAIN,
        title="Building 3",
        unique_id=GATEWAY_ID,
        data={**BROKER, "gateway_id": GATEWAY_ID, "area_id": None},
        options={"move_pause_s": 0, **options},
    )


async def set_up(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """Add an entry and set it up."""
    entry.add_to_hass(hass)
    await hass.config_entries.async_setup(entry.entry_id)
    await hass.async_block_till_done()
