"""The steps of the config flow around a link: choose one, enter one, change one."""

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

from .const import CONF_BROKER, LINK_HOME_ASSISTANT
from .flow_broker_form import (
    CREDENTIALS_SCHEMA,
    BrokerForm,
    check_credentials,
    with_credentials,
)
from .flow_certificate import subject_of
from .flow_home_assistant_form import HomeAssistantForm
from .flow_links import (
    address_of,
    async_try,
    error_key,
    is_mqtt_set_up,
    known_links,
    sharing_entries,
)
from .flow_schemas import NEW_BROKER, OTHER_PREFIX, UNKNOWN, choose_broker_schema
from .hyheat.errors import LinkError
from .links import async_forget_session
from .links.settings import (
    BrokerSettings,
    HomeAssistantSettings,
    LinkSettings,
    settings_from_data,
    with_settings,
)

type Input = dict[str, Any] | None
type LinkForm = BrokerForm | HomeAssistantForm


class BrokerFlow(ConfigFlow, ABC):
    """What leads to a link that works; its gateways come after it."""

    _settings: LinkSettings

    def __init__(self) -> None:
        """Begin with nothing under way."""
        self._form: LinkForm | None = None
        self._trial: asyncio.Task[LinkError | None] | None = None
        self._detail = ""

    @callback
    @override
    def async_remove(self) -> None:
        if self._trial is not None:
            self._trial.cancel()

    @abstractmethod
    async def async_step_gateways(self, _: Input = None) -> ConfigFlowResult:
        """Go on with the link in `_settings`."""

    @property
    def _entries(self) -> list[ConfigEntry]:
        """The entries of gateways, without those that only say that one is ignored."""
        return self._async_current_entries(include_ignore=False)

    # --- The link --------------------------------------------------------------------------

    @override
    async def async_step_user(self, user_input: Input = None) -> ConfigFlowResult:
        """Choose the link of other gateways, Home Assistant's MQTT, or a new broker."""
        links = known_links(self._entries)
        others = []
        if is_mqtt_set_up(self.hass):
            used = any(isinstance(link, HomeAssistantSettings) for link, _ in links.values())
            others = [OTHER_PREFIX if used else LINK_HOME_ASSISTANT]
        chosen = user_input[CONF_BROKER] if user_input else None
        if chosen in (LINK_HOME_ASSISTANT, OTHER_PREFIX):
            return await self.async_step_home_assistant()
        if (not links and not others) or (chosen and chosen not in links):
            return await self.async_step_broker()
        errors: dict[str, str] = {}
        if chosen:
            self._settings, _ = links[chosen]
            errors = await self._try(self._settings)
            if not errors:
                return await self.async_step_gateways()
        labels = {entry_id: label for entry_id, (_, label) in links.items()}
        schema = choose_broker_schema(labels, [NEW_BROKER, *others])
        return self.async_show_form(
            step_id="user",
            data_schema=self.add_suggested_values_to_schema(schema, user_input),
            errors=errors,
            description_placeholders={"detail": self._detail},
        )

    async def async_step_broker(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for a new broker."""
        form = self._form = self._form or BrokerForm(self.hass)
        return await self._show_new("broker", form, user_input)

    async def async_step_home_assistant(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for what is to be known beside Home Assistant's MQTT."""
        form = self._form = self._form or HomeAssistantForm()
        return await self._show_new("home_assistant", form, user_input)

    async def _show_new(self, step_id: str, form: LinkForm, user_input: Input) -> ConfigFlowResult:
        if user_input is not None and (settings := await self._accepted(form, user_input)):
            self._settings = settings
            return await self.async_step_gateways()
        return self._show_form(step_id, form)

    def _show_form(self, step_id: str, form: LinkForm, **placeholders: str) -> ConfigFlowResult:
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

    async def _accepted(self, form: LinkForm, user_input: dict[str, Any]) -> LinkSettings | None:
        """Return what was typed once it was tried; None where the form has errors."""
        settings = await form.async_read(user_input)
        if settings is None or settings == form.before:
            return settings
        form.errors = await self._try(settings)
        return None if form.errors else settings

    async def _try(self, settings: LinkSettings) -> dict[str, str]:
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

    # --- Changes to a link in use ----------------------------------------------------------

    async def async_step_reauth(self, _entry_data: Mapping[str, Any]) -> ConfigFlowResult:
        """Begin when the broker refuses the stored credentials."""
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for other credentials."""
        entry = self._get_reauth_entry()
        settings = settings_from_data(entry.data)
        if isinstance(settings, HomeAssistantSettings):  # changed meanwhile
            return self.async_abort(reason="no_credentials")
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

    async def async_step_reconfigure(self, _: Input = None) -> ConfigFlowResult:
        """Change the link, of another kind where there is a choice, or say what was exchanged."""
        settings = settings_from_data(self._get_reconfigure_entry().data)
        kinds = ["reconfigure_broker"]
        if isinstance(settings, HomeAssistantSettings) or is_mqtt_set_up(self.hass):
            kinds.append("reconfigure_home_assistant")
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=[*kinds, "replace_gateway", "replace_meter"],
            description_placeholders={"broker": address_of(settings)},
        )

    async def async_step_reconfigure_broker(self, user_input: Input = None) -> ConfigFlowResult:
        """Change to, or change, an own connection."""
        if self._form is None:
            entry = self._get_reconfigure_entry()
            before = settings_from_data(entry.data)
            own = before if isinstance(before, BrokerSettings) else None
            self._form = BrokerForm(self.hass, own, entry.title)
        return await self._show_change("reconfigure_broker", self._form, user_input)

    async def async_step_reconfigure_home_assistant(
        self, user_input: Input = None
    ) -> ConfigFlowResult:
        """Change to, or change, a link over Home Assistant's MQTT."""
        if self._form is None:
            entry = self._get_reconfigure_entry()
            before = settings_from_data(entry.data)
            shared = before if isinstance(before, HomeAssistantSettings) else None
            self._form = HomeAssistantForm(shared, entry.title)
        return await self._show_change("reconfigure_home_assistant", self._form, user_input)

    async def _show_change(
        self, step_id: str, form: LinkForm, user_input: Input
    ) -> ConfigFlowResult:
        """Change the link of this entry and of all that share it, and this entry's name."""
        entry = self._get_reconfigure_entry()
        if user_input is not None and (settings := await self._accepted(form, user_input)):
            title = user_input[CONF_NAME].strip() or entry.title
            return await self._update_sharing(entry, settings, title=title)
        sharing = sharing_entries(self._entries, settings_from_data(entry.data))
        others = [other.title for other in sharing if other is not entry]
        return self._show_form(step_id, form, sharing=", ".join(others) or UNKNOWN)

    async def _update_sharing(
        self,
        entry: ConfigEntry,
        settings: LinkSettings,
        *,
        title: str | UndefinedType = UNDEFINED,
    ) -> ConfigFlowResult:
        """Update and reload every entry that shares a link, before or after the change."""
        before = settings_from_data(entry.data)
        if settings.key != before.key:
            await self._leave(before)
        sharing = sharing_entries(self._entries, before, settings)
        self._agree(sharing, settings, but=entry)
        self.hass.config_entries.async_update_entry(entry, data=with_settings(entry.data, settings))
        return self.async_update_reload_and_abort(entry, title=title)

    @callback
    def _agree(
        self, entries: list[ConfigEntry], settings: LinkSettings, but: ConfigEntry | None = None
    ) -> None:
        """Have entries use the same settings, and reload those that did not."""
        for entry in entries:
            data = with_settings(entry.data, settings)
            if entry is not but and entry.data != data:
                self.hass.config_entries.async_update_entry(entry, data=data)
                self.hass.config_entries.async_schedule_reload(entry.entry_id)

    async def _leave(self, link: LinkSettings) -> None:
        """Unload all users of a link; its session at the broker would go on collecting."""
        for user in sharing_entries(self._entries, link):
            if user.state is ConfigEntryState.LOADED:
                await self.hass.config_entries.async_unload(user.entry_id)
        _leaving = self.hass.async_create_background_task(
            async_forget_session(self.hass, link), "hy_heating leaves a broker"
        )
