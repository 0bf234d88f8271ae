"""Config flow: a broker, then the gateways behind it, listened for or typed in."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, override

from homeassistant.config_entries import (
    SOURCE_IGNORE,
    SOURCE_IMPORT,
    SOURCE_RECONFIGURE,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
    OptionsFlow,
)
from homeassistant.const import CONF_NAME
from homeassistant.core import callback
from homeassistant.data_entry_flow import AbortFlow
from homeassistant.helpers.typing import DiscoveryInfoType
import voluptuous as vol

from .const import CONF_GATEWAY_ID, CONF_GATEWAYS, CONF_NEW_METER, CONF_OLD_METER, DOMAIN
from .discovery import KEY_GATEWAY, KEY_LINK
from .flow_broker import BrokerFlow, Input
from .flow_links import address_of, known_links, sharing_entries
from .flow_listen import HeardGateway, Window, async_listen, async_probe
from .flow_options import HyOptionsFlow
from .flow_schemas import (
    BUILDING_SCHEMA,
    GATEWAY_ID_SCHEMA,
    async_discovered_label,
    async_heard_schema,
    meter_labels,
    replace_meter_schema,
    status_placeholders,
    window_placeholders,
)
from .hyheat.envelope import StatusReply, is_gateway_id
from .hyheat.errors import FailureReason, LinkError, ReplyError, SubscriptionRefusedError
from .issues import async_clear
from .links.settings import settings_from_data
from .moves import with_gateway
from .runtime import HyConfigEntry


class HyConfigFlow(BrokerFlow, domain=DOMAIN):
    """Registers gateways, one entry for each; or lets another one take the place of one."""

    VERSION = 2
    MINOR_VERSION = 1

    _window: Window
    _status: StatusReply
    _discovered: HeardGateway
    _link_key: Hashable

    def __init__(self) -> None:
        """Begin with nothing under way."""
        super().__init__()
        self._work: asyncio.Task[str] | None = None
        self._retry = ""
        self._refused_topic = ""
        self._chosen: list[str] = []
        self._named: list[dict[str, Any]] = []
        self._others: list[dict[str, Any]] = []

    @staticmethod
    @callback
    @override
    def async_get_options_flow(config_entry: ConfigEntry) -> OptionsFlow:
        return HyOptionsFlow()

    # --- A gateway that was heard on an own broker -------------------------------------------

    @override
    async def async_step_integration_discovery(
        self, discovery_info: DiscoveryInfoType
    ) -> ConfigFlowResult:
        """Begin with a gateway that has no entry."""
        self._link_key = discovery_info[KEY_LINK]
        self._discovered = discovery_info[KEY_GATEWAY]
        gateway_id = self._discovered.gateway_id
        await self.async_set_unique_id(gateway_id)
        self._abort_if_unique_id_configured()
        label = await async_discovered_label(self.hass, self._discovered)
        self.context["title_placeholders"] = {CONF_NAME: label}
        self._choose([gateway_id])
        return await self.async_step_discovered()

    async def async_step_discovered(self, user_input: Input = None) -> ConfigFlowResult:
        """Show what is known of the gateway, and ask for its building."""
        for settings, _ in known_links(self._entries).values():
            if settings.key == self._link_key and settings.discovery:
                self._settings = settings  # as it is now: the password may have changed
                break
        else:
            return self.async_abort(reason="no_longer_discovered")
        shown = {
            "broker": address_of(settings),
            "messages": str(self._discovered.messages),
            **status_placeholders(self._discovered.status),
        }
        return await self._show_building("discovered", user_input, shown)

    # --- Which gateways --------------------------------------------------------------------

    @property
    def _registered(self) -> set[str]:
        """The ids that have an entry."""
        return {entry.unique_id for entry in self._entries if entry.unique_id}

    @override
    async def async_step_gateways(self, _: Input = None) -> ConfigFlowResult:
        """Listen for gateways, or type an id."""
        return self.async_show_menu(step_id="gateways", menu_options=["listen", "gateway_id"])

    async def async_step_listen(self, _: Input = None) -> ConfigFlowResult:
        """Hold the listening window open."""
        if self._work is None:
            self._window = Window(self._registered)
        return self._show_work("listen", self._listen, self._window_placeholders)

    async def _listen(self) -> str:
        window, shown = self._window, 0

        def tick() -> None:
            nonlocal shown
            self.async_update_progress(window.progress)
            if window.count != shown:
                shown = window.count
                self.async_notify_flow_changed()

        await async_listen(self.hass, self._settings, window, tick)
        if not window.gateways:
            return "nothing_heard"
        return "heard_new" if self._replaces else "heard"

    @property
    def _window_placeholders(self) -> dict[str, str]:
        return window_placeholders(self._window, self._settings.prefix)

    async def async_step_nothing_heard(self, _: Input = None) -> ConfigFlowResult:
        """Tell that no new gateway was heard."""
        return self.async_show_menu(
            step_id="nothing_heard",
            menu_options=["listen", "gateway_id"],
            description_placeholders=self._window_placeholders,
        )

    async def async_step_heard(self, user_input: Input = None) -> ConfigFlowResult:
        """Choose among the gateways that were heard."""
        errors: dict[str, str] = {}
        if user_input is not None:
            if chosen := list(dict.fromkeys(user_input[CONF_GATEWAYS])):
                self._choose(chosen)
                return await self.async_step_building()
            errors[CONF_GATEWAYS] = "no_gateway_chosen"
        return self.async_show_form(
            step_id="heard",
            data_schema=await async_heard_schema(self.hass, self._window.gateways.values()),
            errors=errors,
            description_placeholders=self._window_placeholders,
        )

    async def async_step_gateway_id(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for the id of a gateway."""
        errors: dict[str, str] = {}
        if user_input is not None:
            gateway_id = user_input[CONF_GATEWAY_ID].strip()
            if gateway_id in self._registered:
                raise AbortFlow("already_configured")
            if is_gateway_id(gateway_id):
                self._choose([gateway_id])
                return await self.async_step_probe()
            errors[CONF_GATEWAY_ID] = "invalid_gateway_id"
        schema = self.add_suggested_values_to_schema(GATEWAY_ID_SCHEMA, user_input)
        return self.async_show_form(step_id="gateway_id", data_schema=schema, errors=errors)

    async def async_step_probe(self, _: Input = None) -> ConfigFlowResult:
        """Ask the gateway for its status."""
        return self._show_work("probe", self._probe, {CONF_GATEWAY_ID: self._chosen[0]})

    async def _probe(self) -> str:
        try:
            self._status = await async_probe(self.hass, self._settings, self._chosen[0])
        except ReplyError as err:
            refused = err.reason is FailureReason.GATEWAY_REFUSED
            return "gateway_refused" if refused else "silent"
        return "replace" if self._replaces else "probed"

    async def async_step_silent(self, _: Input = None) -> ConfigFlowResult:
        """Tell that the gateway did not answer; it can be added all the same."""
        return self._show_unproved("silent")

    async def async_step_gateway_refused(self, _: Input = None) -> ConfigFlowResult:
        """Tell that the gateway answered with a failure; it can be added all the same."""
        return self._show_unproved("gateway_refused")

    def _show_unproved(self, step_id: str) -> ConfigFlowResult:
        return self.async_show_menu(
            step_id=step_id,
            menu_options=["probe", "gateway_id", "replace" if self._replaces else "building"],
            description_placeholders={CONF_GATEWAY_ID: self._chosen[0]},
        )

    # --- Work that takes a while -----------------------------------------------------------

    def _show_work(
        self, step_id: str, work: Callable[[], Awaitable[str]], placeholders: dict[str, str]
    ) -> ConfigFlowResult:
        """Show the progress of work that returns the step after it; begin it where needed."""
        if self._work is None:
            # Not eager: work that ended at once would let Home Assistant hand this step's
            # input to the next one.
            self._work = self.hass.async_create_background_task(
                self._step_after(step_id, work), f"hy_heating {step_id}", eager_start=False
            )
        if not self._work.done():
            return self.async_show_progress(
                step_id=step_id,
                progress_action=step_id,
                progress_task=self._work,
                description_placeholders=placeholders,
            )
        work_done, self._work = self._work, None
        return self.async_show_progress_done(next_step_id=work_done.result())

    async def _step_after(self, step_id: str, work: Callable[[], Awaitable[str]]) -> str:
        self._retry = step_id
        try:
            return await work()
        except SubscriptionRefusedError as err:
            self._refused_topic = err.topic
            return "subscription_refused"
        except LinkError as err:
            self._detail = str(err)
            return "connection_lost"

    async def async_step_subscription_refused(self, _: Input = None) -> ConfigFlowResult:
        """Name the topic that the broker does not allow."""
        return self.async_show_menu(
            step_id="subscription_refused",
            menu_options=[self._retry, "gateway_id"],
            description_placeholders={"topic": self._refused_topic},
        )

    async def async_step_connection_lost(self, _: Input = None) -> ConfigFlowResult:
        """Tell that the broker, which answered before, no longer does."""
        return self.async_show_menu(
            step_id="connection_lost",
            menu_options=[self._retry, "gateway_id"],
            description_placeholders={"detail": self._detail},
        )

    # --- One gateway or meter in the place of another ---------------------------------------

    @property
    def _replaces(self) -> bool:
        """Whether a gateway is looked for that takes the place of a registered one."""
        return self.source == SOURCE_RECONFIGURE

    async def async_step_replace_gateway(self, _: Input = None) -> ConfigFlowResult:
        """Look for the gateway that takes the place of this one."""
        entry = self._get_reconfigure_entry()
        self._settings = settings_from_data(entry.data)
        return self.async_show_menu(
            step_id="replace_gateway",
            menu_options=["listen", "gateway_id"],
            description_placeholders=self._replaced_placeholders,
        )

    @property
    def _replaced_placeholders(self) -> dict[str, str]:
        entry = self._get_reconfigure_entry()
        return {"building": entry.title, "old": entry.data[CONF_GATEWAY_ID]}

    async def async_step_heard_new(self, user_input: Input = None) -> ConfigFlowResult:
        """Choose the one that takes the place among the gateways that were heard."""
        if user_input is not None:
            self._choose([user_input[CONF_GATEWAY_ID]])
            return await self.async_step_replace()
        gateways = self._window.gateways.values()
        return self.async_show_form(
            step_id="heard_new",
            data_schema=await async_heard_schema(self.hass, gateways, several=False),
            description_placeholders=self._window_placeholders | self._replaced_placeholders,
        )

    async def async_step_replace(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask once more, then let the new gateway have everything of the old one."""
        (gateway_id,) = self._chosen
        if user_input is None:
            return self.async_show_form(
                step_id="replace",
                data_schema=vol.Schema({}),
                description_placeholders=self._replaced_placeholders
                | {CONF_GATEWAY_ID: gateway_id},
            )
        if gateway_id in self._registered:
            raise AbortFlow("already_configured")
        entry = self._get_reconfigure_entry()
        async_clear(self.hass, entry, entry.data[CONF_GATEWAY_ID])
        return self.async_update_reload_and_abort(
            entry,
            unique_id=gateway_id,
            title=gateway_id if entry.title == entry.unique_id else entry.title,
            data=with_gateway(entry.data, gateway_id),
            reason="gateway_replaced",
        )

    async def async_step_replace_meter(self, user_input: Input = None) -> ConfigFlowResult:
        """Say which meter took the place of which."""
        entry: HyConfigEntry = self._get_reconfigure_entry()
        if entry.state is not ConfigEntryState.LOADED:
            raise AbortFlow("not_loaded")
        gateway = entry.runtime_data.gateway
        errors: dict[str, str] = {}
        if user_input is not None:
            old, new = user_input[CONF_OLD_METER], user_input[CONF_NEW_METER]
            if gateway.replacements.async_replace(old, new):
                return self.async_abort(reason="meter_replaced")
            errors["base"] = "not_replaceable"
        if not (labels := meter_labels(self.hass, gateway)):
            raise AbortFlow("no_two_meters")
        schema = self.add_suggested_values_to_schema(replace_meter_schema(labels), user_input)
        return self.async_show_form(step_id="replace_meter", data_schema=schema, errors=errors)

    # --- Names, and the entries ------------------------------------------------------------

    def _choose(self, gateway_ids: list[str]) -> None:
        self._chosen, self._named = gateway_ids, []

    async def async_step_building(self, user_input: Input = None) -> ConfigFlowResult:
        """Ask for the building of each gateway, one after the other."""
        return await self._show_building("building", user_input, {})

    async def async_step_probed(self, user_input: Input = None) -> ConfigFlowResult:
        """Show what the gateway said of itself, and ask for its building."""
        return await self._show_building("probed", user_input, status_placeholders(self._status))

    async def _show_building(
        self, step_id: str, user_input: Input, placeholders: dict[str, str]
    ) -> ConfigFlowResult:
        total = len(self._chosen)
        # Whoever submits the last one twice sees it once more, until the first is registered.
        if user_input is not None and len(self._named) < total:
            self._named.append(user_input)
            if len(self._named) == total:
                return await self._register_all()
        number = min(len(self._named) + 1, total)
        return self.async_show_form(
            step_id=step_id,
            data_schema=BUILDING_SCHEMA,
            description_placeholders={
                CONF_GATEWAY_ID: self._chosen[number - 1],
                "number": str(number),
                "total": str(total),
                **placeholders,
            },
            last_step=number == total,
        )

    async def _register_all(self) -> ConfigFlowResult:
        """Create the first entry; the others follow it."""
        registered, connection = self._registered, self._settings.as_data()
        # Who types a broker anew says how it is for all: its password, and whether it is theirs.
        self._agree(sharing_entries(self._entries, self._settings), self._settings)
        fresh = [
            {**connection, CONF_GATEWAY_ID: gateway_id, **building}
            for gateway_id, building in zip(self._chosen, self._named, strict=True)
            if gateway_id not in registered
        ]
        if not fresh:
            raise AbortFlow("already_configured")
        first, *self._others = fresh
        return await self.async_step_import(first)

    @override
    async def async_on_create_entry(self, result: ConfigFlowResult) -> ConfigFlowResult:
        imports = [
            self.hass.config_entries.flow.async_init(
                DOMAIN, context={"source": SOURCE_IMPORT}, data=data
            )
            for data in self._others
        ]
        await asyncio.gather(*imports)
        return result

    async def async_step_import(self, import_data: dict[str, Any]) -> ConfigFlowResult:
        """Register one gateway."""
        gateway_id = import_data[CONF_GATEWAY_ID]
        # The id is claimed no earlier than here: a flow that somebody left open blocks nobody.
        existing = await self.async_set_unique_id(gateway_id, raise_on_progress=False)
        if existing and existing.source != SOURCE_IGNORE:
            raise AbortFlow("already_configured")
        data = dict(import_data)
        name = data.pop(CONF_NAME, "").strip()
        return self.async_create_entry(title=name or gateway_id, data=data)
