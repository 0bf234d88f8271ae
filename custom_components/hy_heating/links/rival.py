"""Another client under our id at the broker, such as a restored backup of this Home Assistant.

Each one's connection ends the other's, and each gets a part of the reports. Some brokers of MQTT 5
say so. At others (mosquitto 2.0.11, MQTT 3.1.1) it shows in connections that end soon after they
began, one after another, while every try to connect succeeds: a broker or a line that is bad lets
some fail.
"""

from collections import deque
from datetime import datetime
import logging

from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.event import async_call_later

from ..const import DOMAIN
from ..hyheat.errors import LinkError
from .errors import SessionTakenOverError

_LOGGER = logging.getLogger(__name__)

TAKEOVERS = 3
WITHIN_S = 600.0
"""Once may be a restart that the broker had not noticed; three times in 10 minutes is somebody."""
CLEAR_S = 300.0
"""A connection that stood so long has no rival."""
BRIEF_S = 90.0
"""Two that reconnect meet within the longest delay between two tries, 75 s."""
BRIEF_CONNECTIONS = 5
"""So many in a row that ended without a reason are no chance."""
KEY = "session_taken_over"


class RivalWatch:
    """Counts how a connection ends, and tells people about a rival."""

    def __init__(self, hass: HomeAssistant, address: str, client_id: str) -> None:
        """Watch the connections of one client id to a broker."""
        self._hass = hass
        self._address = address
        self._client_id = client_id
        self._issue_id = f"{KEY}_{client_id}"
        self._takeovers: deque[float] = deque(maxlen=TAKEOVERS)
        self._brief = 0
        self._told = False
        self._cancel_clearing: CALLBACK_TYPE | None = None

    @callback
    def async_came(self) -> None:
        """Take note of a new connection: if it stands, the rival is gone."""
        if self._told:
            self._cancel_clearing = async_call_later(self._hass, CLEAR_S, self._clear)

    @callback
    def async_lost(self, err: LinkError, stood_s: float) -> None:
        """Take note of why a connection ended, and how long it had stood."""
        self._keep_issue()
        now_s = self._hass.loop.time()
        if isinstance(err, SessionTakenOverError):
            self._takeovers.append(now_s)
            recent = len(self._takeovers) == TAKEOVERS and now_s - self._takeovers[0] <= WITHIN_S
        else:
            self._brief = self._brief + 1 if 0 < stood_s < BRIEF_S else 0
            recent = self._brief >= BRIEF_CONNECTIONS
        if recent and not self._told:
            self._tell()

    @callback
    def async_close(self) -> None:
        """Forget it all."""
        self._keep_issue()
        if self._told:
            ir.async_delete_issue(self._hass, DOMAIN, self._issue_id)
            self._told = False

    def _keep_issue(self) -> None:
        cancel, self._cancel_clearing = self._cancel_clearing, None
        if cancel:
            cancel()

    def _tell(self) -> None:
        self._told = True
        _LOGGER.warning(
            "Broker %s ends our connection again and again, as for another client that uses our id "
            "(%s): a second Home Assistant, such as a restored backup, gets a part of the reports",
            self._address,
            self._client_id,
        )
        ir.async_create_issue(
            self._hass,
            DOMAIN,
            self._issue_id,
            is_fixable=False,
            severity=ir.IssueSeverity.ERROR,
            translation_key=KEY,
            translation_placeholders={"broker": self._address, "client_id": self._client_id},
        )

    @callback
    def _clear(self, _now: datetime) -> None:
        self._cancel_clearing = None
        self._takeovers.clear()
        self._brief = 0
        self._told = False
        ir.async_delete_issue(self._hass, DOMAIN, self._issue_id)
        _LOGGER.info("Nobody takes over our session at broker %s any more", self._address)
