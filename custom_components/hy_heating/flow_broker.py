"""The steps of the config flow around a broker: choose one, enter one, change one."""

from abc import ABC, abstractmethod
import asyncio
from collections.abc import Mapping
from typing import Any, override

from homeassistant.config_entries import (
    ConfigEntry,
    ConfigEntryState,
    ConfigFlow,
    ConfigFlowResult,
)
from homeassistant.const import CONF_NAME, CONF_USERNAME
from homeassistant.core import callback
from homeassistant.data_entry_flow import UnknownFlow
from homeassistant.helpers.typing import UNDEFINED, UndefinedType

from .const import CONF_BROKER
from .flow_broker_form import (
    CREDENTIALS_SCHEMA,
    BrokerForm,
    address_of,
    async_try,
    check_credentials,
    error_key,
    known_brokers,
    sharing_entries,
    subject_of,
    with_credentials,
)
from .flow_schemas import UNKNOWN, choose_broker_schema
from .hyheat.errors import LinkError
from .links import async_forget_session
from .links.settings import BrokerSettings

type Input = dict[str, Any] | None


class BrokerFlow(ConfigFlow, ABC):
    """What leads to a broker that accepted the connection; its gateways come after it."""

    _settings: BrokerSettings

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self._form: BrokerForm | None = None
        self._trial: asyncio.Task[LinkError | None] | None = None
        self._detail = ""

    @callback
    @override
    def async_remove(self) -> None:
        if self._trial is not None:
            self._trial.cancel()

    @abstractmethod
    async def async_step_gateways(self, _: Input = None) -> ConfigFlowResult:
        """Go on with the broker in `_settings`."""

    # --- The broker ------------------------------------------------------------------------

    @override
    async def async_step_user(self, user_input: Input = None) -> ConfigFlowResult:
        """Choose the broker of other gateways, or a new one."""
        brokers = known_brokers(self._async_current_entries(include_ignore=False))
        if not brokers or (user_input and user_input[CONF_BROKER] not in brokers):
            return await self.async_step_broker()
        errors: dict[str, str] = {}
        if user_input:
            self._settings, _ = brokers[user_input[CONF_BROKER]]
            errors = await self._try(self._settings)
            if not errors:
                return await self.async_step_gateways()
        labels = {entry_id: label for entry_id, (_, label) in brokers.items()}
        schema = self.add_suggested_values_to_schema(choose_broker_schema(labels), user_input)
        return self.async_show_form(
            step_id="user",
            data_schema=schema,
            errors=errors,
            description_placeholders={"detail": self._detail},
        )

    async def async_step_broker(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for a new broker."""
        form = self._form = self._form or BrokerForm(self.hass)
        if user_input is not None and (settings := await self._accepted(form, user_input)):
            self._settings = settings
            return await self.async_step_gateways()
        return self._show_broker("broker", form)

    def _show_broker(self, step_id: str, form: BrokerForm, **placeholders: str) -> ConfigFlowResult:
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(form.schema, form.typed),
            errors=form.errors,
            description_placeholders={
                "certificate": subject_of(form.ca_certificate),
                "detail": self._detail,
                **placeholders,
            },
        )

    async def _accepted(
        self, form: BrokerForm, user_input: dict[str, Any]
    ) -> BrokerSettings | None:
        """Return what was typed once a broker accepted it; None where the form has errors."""
        settings = await form.async_read(user_input)
        if settings is None or settings == form.before:
            return settings
        form.errors = await self._try(settings)
        return None if form.errors else settings

    async def _try(self, settings: BrokerSettings) -> dict[str, str]:
        """Return the errors of a trial connection."""
        self._trial = self.hass.async_create_background_task(
            async_try(self.hass, settings), "hy_heating trial connection"
        )
        await asyncio.wait({self._trial})
        if self._trial.cancelled():
            raise UnknownFlow  # it was removed meanwhile
        if (err := self._trial.result()) is None:
            return {}
        self._detail = str(err)
        return {"base": error_key(err)}

    # --- Changes to a broker in use --------------------------------------------------------

    async def async_step_reauth(self, _entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Begin when the broker refuses the stored credentials."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for other credentials."""
        entry = self._get_reauth_entry()
        settings = BrokerSettings.from_data(entry.data)
        typed = user_input or {CONF_USERNAME: settings.username or ""}
        errors: dict[str, str] = {}
        if user_input is not None:
            settings = with_credentials(settings, user_input)
            errors = check_credentials(user_input) or await self._try(settings)
            if not errors:
                return await self._update_sharing(entry, settings)
        return self.async_show_form(
            step_id="reauth_confirm",
            data_schema=self.add_suggested_values_to_schema(CREDENTIALS_SCHEMA, typed),
            errors=errors,
            description_placeholders={"broker": address_of(settings), "detail": self._detail},
        )

    async def async_step_reconfigure(self, user_input: Input = None) -> ConfigFlowResult:
        """Change the broker of this entry and of all that share it, and this entry's name."""
        entry = self._get_reconfigure_entry()
        form = self._form = self._form or BrokerForm(
            self.hass, BrokerSettings.from_data(entry.data), entry.title
        )
        if user_input is not None and (settings := await self._accepted(form, user_input)):
            title = user_input[CONF_NAME].strip() or entry.title
            return await self._update_sharing(entry, settings, title=title)
        others = [other.title for other in self._sharing(entry) if other is not entry]
        return self._show_broker("reconfigure", form, sharing=", ".join(others) or UNKNOWN)

    def _sharing(self, entry: ConfigEntry) -> list[ConfigEntry]:
        return sharing_entries(self._async_current_entries(include_ignore=False), entry)

    async def _update_sharing(
        self,
        entry: ConfigEntry,
        settings: BrokerSettings,
        *,
        title: str | UndefinedType = UNDEFINED,
    ) -> ConfigFlowResult:
        """Update and reload every entry that shares a broker."""
        entries, before = self.hass.config_entries, BrokerSettings.from_data(entry.data)
        sharing = self._sharing(entry)
        if settings.key != before.key:
            await self._leave(before, sharing)
        for other in sharing:
            entries.async_update_entry(other, data={**other.data, **settings.as_data()})
        for other in sharing:
            if other is not entry:
                entries.async_schedule_reload(other.entry_id)
        return self.async_update_reload_and_abort(entry, title=title)

    async def _leave(self, broker: BrokerSettings, sharing: list[ConfigEntry]) -> None:
        """Unload all users of a connection; its session at the broker would go on collecting."""
        loaded = [other for other in sharing if other.state is ConfigEntryState.LOADED]
        for other in loaded:
            await self.hass.config_entries.async_unload(other.entry_id)
        _leaving = self.hass.async_create_background_task(
            async_forget_session(self.hass, broker), "hy_heating leaves a broker"
        )
