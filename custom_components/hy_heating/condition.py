"""Conditions of automations: heating season, valves without proof, gateways and meters lost."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Unpack, cast, override

from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_OPTIONS, CONF_TARGET
from homeassistant.core import HomeAssistant
from homeassistant.helpers import config_validation as cv, device_registry as dr
from homeassistant.helpers.condition import (
    ATTR_BEHAVIOR,
    BEHAVIOR_ALL,
    BEHAVIOR_ANY,
    Condition,
    ConditionCheckParams,
    ConditionConfig,
)
from homeassistant.helpers.typing import ConfigType
import voluptuous as vol

from .const import DOMAIN
from .coordinator import GatewayCoordinator
from .identity import gateway_identifier, meter_identifier
from .meter import MeterCoordinator, Silence
from .runtime import HyConfigEntry
from .targets import async_targeted_devices

_SCHEMA = vol.Schema(
    {
        vol.Required(CONF_TARGET): cv.TARGET_FIELDS,
        vol.Required(CONF_OPTIONS, default={}): {
            vol.Required(ATTR_BEHAVIOR, default=BEHAVIOR_ANY): vol.In([BEHAVIOR_ANY, BEHAVIOR_ALL])
        },
    }
)


class _TargetCondition(Condition):
    """Asks the coordinators of the targeted devices; false where there are none."""

    asks: ClassVar[Callable[[GatewayCoordinator, set[str]], Iterator[bool]]]

    @classmethod
    @override
    async def async_validate_config(cls, hass: HomeAssistant, config: ConfigType) -> ConfigType:
        return cast("ConfigType", _SCHEMA(config))

    def __init__(self, hass: HomeAssistant, config: ConditionConfig) -> None:
        """Take the target, and whether one of it is enough."""
        super().__init__(hass, config)
        self._target = config.target
        options: Mapping[str, Any] = config.options or {}
        self._judge = all if options.get(ATTR_BEHAVIOR) == BEHAVIOR_ALL else any

    @override
    def _async_check(self, **_: Unpack[ConditionCheckParams]) -> bool:
        devices = async_targeted_devices(self._hass, self._target)
        entries: list[HyConfigEntry] = self._hass.config_entries.async_entries(DOMAIN)
        found = [
            answer
            for entry in entries
            if entry.state is ConfigEntryState.LOADED
            for answer in type(self).asks(entry.runtime_data.gateway, devices)
        ]
        return bool(found) and self._judge(found)


def _is_meant(gateway: GatewayCoordinator, identifier: tuple[str, str], devices: set[str]) -> bool:
    registry = dr.async_get(gateway.hass)
    device = registry.async_get_device_by_identifier(identifier, gateway.config_entry.entry_id)
    return device is not None and device.id in devices


def _meters(gateway: GatewayCoordinator, devices: set[str]) -> Iterator[MeterCoordinator]:
    for number, meter in gateway.meters.items():
        if _is_meant(gateway, meter_identifier(gateway.gateway_id, number), devices):
            yield meter


def _gateway_itself(gateway: GatewayCoordinator, devices: set[str]) -> bool:
    """Whether a gateway is meant, itself or by one of its meters."""
    return _is_meant(gateway, gateway_identifier(gateway.gateway_id), devices) or any(
        _meters(gateway, devices)
    )


def _heating(gateway: GatewayCoordinator, devices: set[str]) -> Iterator[bool]:
    if _gateway_itself(gateway, devices):
        yield gateway.heating is True


def _gateway_lost(gateway: GatewayCoordinator, devices: set[str]) -> Iterator[bool]:
    if _gateway_itself(gateway, devices):
        yield not gateway.available


def _valve_unproven(gateway: GatewayCoordinator, devices: set[str]) -> Iterator[bool]:
    return (meter.commands.unproven for meter in _meters(gateway, devices) if meter.has_valve)


def _meter_lost(gateway: GatewayCoordinator, devices: set[str]) -> Iterator[bool]:
    return (meter.silence is Silence.METER for meter in _meters(gateway, devices))


def _condition(
    key: str, asks: Callable[[GatewayCoordinator, set[str]], Iterator[bool]]
) -> type[Condition]:
    return type(f"Condition_{key}", (_TargetCondition,), {"asks": staticmethod(asks)})


CONDITIONS: Mapping[str, type[Condition]] = {
    key: _condition(key, asks)
    for key, asks in {
        "is_heating_season": _heating,
        "gateway_is_lost": _gateway_lost,
        "meter_is_lost": _meter_lost,
        "valve_is_unproven": _valve_unproven,
    }.items()
}


async def async_get_conditions(hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions by their keys."""
    return dict(CONDITIONS)
