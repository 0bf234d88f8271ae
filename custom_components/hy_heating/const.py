"""Keys of stored data, and every duration with its reason."""

from datetime import timedelta

DOMAIN = "hy_heating"
MANUFACTURER = "HY"

# Keys of an entry's data beside Home Assistant's own CONF_HOST, CONF_PORT, CONF_USERNAME and
# CONF_PASSWORD.
CONF_GATEWAY_ID = "gateway_id"
CONF_LINK = "link"
CONF_TLS = "tls"
CONF_TLS_VERIFY = "tls_verify"
CONF_CA_CERTIFICATE = "ca_certificate"
CONF_PREFIX = "prefix"
CONF_DISCOVERY = "discovery"
CONF_AREA_ID = "area_id"
CONF_PREVIOUS_GATEWAY_IDS = "previous_gateway_ids"

# Kinds of link, under CONF_LINK.
LINK_OWN = "own"
LINK_HOME_ASSISTANT = "home_assistant"

# Keys of the flows' forms that are not stored as such.
CONF_ADVANCED = "advanced"
CONF_BROKER = "broker"
CONF_ENCRYPTION = "encryption"
CONF_GATEWAYS = "gateways"
CONF_HASH_IDS = "hash_ids"
CONF_OLD_METER = "old_meter"
CONF_NEW_METER = "new_meter"

# Keys of an entry's options.
CONF_TRAVEL_TIME_S = "travel_time_s"
CONF_SWAPPED_METERS = "swapped_meters"
CONF_FLOW_SCALE = "flow_scale"
CONF_READ_ONLY = "read_only"
CONF_MOVE_PAUSE_S = "move_pause_s"
CONF_NAME_PATTERN = "name_pattern"
CONF_AREA_PATTERN = "area_pattern"
CONF_HASH_KEY = "hash_key"

FLOW_SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""What flows may be multiplied with: the decimals of that register were never captured."""

# Kinds of repair issues that have a fix.
ISSUE_COUNTER_RESET = "counter_reset"
ISSUE_REVERSED = "temperatures_reversed"
ISSUE_FLOW_SCALE = "flow_scale"
ISSUE_METER_APPEARED = "meter_appeared"
ISSUE_METER_GONE = "meter_gone"
ISSUE_SUBSCRIPTION_REFUSED = "subscription_refused"

DEFAULT_PORT = 1883
DEFAULT_TLS_PORT = 8883
DEFAULT_TRAVEL_TIME_S = 180
MIN_TRAVEL_TIME_S = 10
MAX_TRAVEL_TIME_S = 600

CONNECT_TIMEOUT_S = 15.0
"""How long set-up waits for the broker: a 4G site's own broker answers well within it."""
STATUS_INTERVAL = timedelta(minutes=10)
"""Status poll: 4G data volume is paid for."""
SETTINGS_INTERVAL = timedelta(hours=24)
"""Upload settings hardly ever change."""
AVAILABILITY_CHECK_INTERVAL = timedelta(minutes=1)
"""How often silence is judged: the shortest known interval is 10 minutes."""
MISSED_INTERVALS = 3
"""A meter is lost after so many of its upload intervals."""
DEFAULT_CABINET_INTERVAL = timedelta(minutes=10)
DEFAULT_VALVE_INTERVAL = timedelta(minutes=60)
DEFAULT_OUT_OF_SEASON_INTERVAL = timedelta(minutes=1440)
"""The captured upload intervals, until a gateway told its own."""
SAVE_DELAYS_S = 15.0, 25.0
"""Readings are written together: a crash loses less than the last 30 s. Each time it is another
delay between these, so that a hundred gateways do not collect theirs in the same moment."""
GONE_AFTER = timedelta(days=30)
"""A meter that was not heard for so long is offered for removal."""
GATEWAY_SILENT_IN_SEASON = timedelta(days=1)
"""Power cuts and outages of 4G end within hours; a day without heating data needs a person."""
GATEWAY_SILENT_OUT_OF_SEASON = timedelta(days=7)
"""Nobody freezes, and a plant at rest may be switched off for work."""
MBUS_MIN_MV = 12_000
"""EN 13757-2: a mark is 21 to 42 V at a device, a space at least 12 V (36 V and 24 V at most
masters). The captured 29.4 V lies between: whether it is a mark, a space or a mean is not known, so
only what no level of a working bus can be is odd (inferred)."""
MBUS_MAX_MV = 42_000
MBUS_MAX_MA = 800
"""512 unit loads of 1.5 mA are 768 mA: no segment drives more (captured: 3 mA; inferred)."""
MBUS_ODD_REPLIES = 3
"""So many status replies in a row, half an hour: a bus that is being read is measured anywhere."""
CLOCK_DRIFT_LIMIT = timedelta(days=1)
"""A valve that is a whole day off follows its own schedules on the wrong day; captured: 42 h."""
NEW_METER_DAYS = 30
"""So long a meter that appeared can be asked about: by then a missing one is no longer expected."""
MAX_METERS = 512
"""Meters behind one gateway: no M-Bus segment drives more, so more are forged or broken."""
LISTEN_LIMIT_S = 30.0
"""How long the config flow's listening window is open: a person is waiting in front of it."""
LISTEN_QUIET_S = 5.0
"""The window closes early when no new gateway was heard for so long."""
LISTEN_TICK_S = 0.5
"""How often the window looks at the clock and shows its progress."""
MAX_HEARD = 500
"""Gateways that one window offers: more do not fit a form that a person reads."""
FAILURES_TO_REPORT = 3
"""A valve that failed so often in a row does not obey: once or twice may be chance."""
MAX_CLOSING_SHARE = 0.3
"""More of a gateway's household valves are not closed at once without being sure."""
DEFAULT_MOVE_PAUSE_S = 30
MAX_MOVE_PAUSE_S = 600
EVENT_COMMAND = f"{DOMAIN}_command"
"""Fired on the bus with the end of every command; the logbook tells it."""
EVENT_NOTICE = f"{DOMAIN}_notice"
"""Fired with losses and returns, first refusals, and meters that were reset or replaced."""
