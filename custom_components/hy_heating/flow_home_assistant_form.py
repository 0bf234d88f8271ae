"""The form for a link over Home Assistant's MQTT: its broker is configured there."""

from collections.abc import Mapping
from typing import Any

from homeassistant.const import CONF_NAME
from homeassistant.helpers.selector import BooleanSelector, TextSelector
import voluptuous as vol

from .const import CONF_DISCOVERY, CONF_PREFIX
from .flow_broker_form import is_prefix
from .hyheat.envelope import DEFAULT_PREFIX
from .links.settings import HomeAssistantSettings

_FIELDS: dict[vol.Marker, Any] = {
    vol.Required(CONF_PREFIX, default=DEFAULT_PREFIX): TextSelector(),
    vol.Required(CONF_DISCOVERY, default=False): BooleanSelector(),
}


class HomeAssistantForm:
    """The form between its first showing and settings that Home Assistant's MQTT can serve."""

    ca_certificate = None

    def __init__(
        self, before: HomeAssistantSettings | None = None, name: str | None = None
    ) -> None:
        """Begin with what is configured now; with a name, the building's is asked for too."""
        self.before = before
        self._with_name = name is not None
        self._typed: dict[str, Any] = {CONF_NAME: name}
        if before:
            self._typed |= {CONF_PREFIX: before.prefix, CONF_DISCOVERY: before.discovery}
        self.errors: dict[str, str] = {}

    @property
    def schema(self) -> vol.Schema:
        """The form's fields."""
        name = {vol.Required(CONF_NAME): TextSelector()} if self._with_name else {}
        return vol.Schema({**name, **_FIELDS})

    @property
    def typed(self) -> dict[str, Any]:
        """What was typed last."""
        return {key: value for key, value in self._typed.items() if value is not None}

    async def async_read(self, form: Mapping[str, Any]) -> HomeAssistantSettings | None:
        """Return what was typed as settings; None where `errors` says what is wrong."""
        self._typed = dict(form)
        prefix = form[CONF_PREFIX].strip()
        self.errors = {} if is_prefix(prefix) else {CONF_PREFIX: "invalid_prefix"}
        if self.errors:
            return None
        return HomeAssistantSettings(prefix=prefix, discovery=form[CONF_DISCOVERY])
