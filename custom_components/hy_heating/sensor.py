"""Sensors of gateways, cabinets and household valves: one table and one class each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import (
    SIGNAL_STRENGTH_DECIBELS,
    SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    EntityCategory,
    UnitOfElectricCurrent,
    UnitOfElectricPotential,
    UnitOfEnergy,
    UnitOfPower,
    UnitOfRatio,
    UnitOfTemperature,
    UnitOfTime,
    UnitOfVolume,
    UnitOfVolumeFlowRate,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
from homeassistant.helpers.typing import StateType

from .commands import CommandCounters
from .coordinator import GatewayCoordinator
from .entity import HyGatewayEntity, HyMeterEntity
from .hyheat.model import MeterReading, UnknownReading
from .hyheat.water import temperature_difference_k, thermal_power_w
from .meter import CABINET_KIND, UNKNOWN_KIND, VALVE_KIND, MeterCoordinator, MeterData
from .runtime import HyConfigEntry

PARALLEL_UPDATES = 0

_DIAGNOSTIC = EntityCategory.DIAGNOSTIC
_MEASUREMENT = SensorStateClass.MEASUREMENT

type SensorValue = StateType | datetime


@dataclass(frozen=True, kw_only=True)
class MeterSensorDescription(SensorEntityDescription):
    """A value of a meter."""

    value_fn: Callable[[MeterData], SensorValue]


@dataclass(frozen=True, kw_only=True)
class GatewaySensorDescription(SensorEntityDescription):
    """A value of a gateway, and what else belongs to it."""

    value_fn: Callable[[GatewayCoordinator], SensorValue]
    attributes_fn: Callable[[GatewayCoordinator], Mapping[str, Any]] | None = None


def _value(meter: MeterData, key: str) -> SensorValue:
    return meter.reading.values.get(key) if isinstance(meter.reading, MeterReading) else None


def _field(key: str) -> partial[SensorValue]:
    """Return what takes a field of the reading from a meter's data."""
    return partial(_value, key=key)


def _difference_k(meter: MeterData) -> float | None:
    return temperature_difference_k(
        meter.number("supply_temperature_c"), meter.number("return_temperature_c")
    )


def _power_w(meter: MeterData) -> float | None:
    return thermal_power_w(
        meter.number("flow_l_h"),
        meter.number("supply_temperature_c"),
        meter.number("return_temperature_c"),
    )


def _temperature(key: str, *, decimals: int) -> MeterSensorDescription:
    return MeterSensorDescription(
        key=key,
        translation_key=key,
        value_fn=_field(f"{key}_c"),
        device_class=SensorDeviceClass.TEMPERATURE,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=UnitOfTemperature.CELSIUS,
        suggested_display_precision=decimals,
    )


def _set_point(number: int, *, field: str, is_temperature: bool) -> MeterSensorDescription:
    return MeterSensorDescription(
        key=f"set_point_{number}",
        translation_key="set_point",
        translation_placeholders={"number": str(number)},
        value_fn=_field(field),
        device_class=SensorDeviceClass.TEMPERATURE if is_temperature else None,
        native_unit_of_measurement=UnitOfTemperature.CELSIUS if is_temperature else None,
        suggested_display_precision=1,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
    )


_STATUS = MeterSensorDescription(
    key="status",
    translation_key="status",
    value_fn=_field("status"),
    entity_category=_DIAGNOSTIC,
    entity_registry_enabled_default=False,
)


def _difference(*, decimals: int, enabled: bool) -> MeterSensorDescription:
    return MeterSensorDescription(
        key="temperature_difference",
        translation_key="temperature_difference",
        device_class=SensorDeviceClass.TEMPERATURE_DELTA,
        native_unit_of_measurement=UnitOfTemperature.KELVIN,
        suggested_display_precision=decimals,
        value_fn=_difference_k,
        entity_registry_enabled_default=enabled,
    )


def _opening(field: str, *, enabled: bool) -> MeterSensorDescription:
    return MeterSensorDescription(
        key="opening",
        translation_key="opening",
        value_fn=_field(field),
        state_class=_MEASUREMENT,
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        suggested_display_precision=0,
        entity_registry_enabled_default=enabled,
    )


CABINET_SENSORS = (
    MeterSensorDescription(
        key="heat_energy",
        translation_key="heat_energy",
        value_fn=_field("heat_energy_kwh"),
        device_class=SensorDeviceClass.ENERGY,
        state_class=SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=2,
    ),
    MeterSensorDescription(
        key="volume",
        translation_key="volume",
        value_fn=_field("volume_m3"),
        device_class=SensorDeviceClass.VOLUME,
        state_class=SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=UnitOfVolume.CUBIC_METERS,
        suggested_display_precision=2,
    ),
    MeterSensorDescription(
        key="volume_flow_rate",
        translation_key="volume_flow_rate",
        value_fn=_field("flow_l_h"),
        device_class=SensorDeviceClass.VOLUME_FLOW_RATE,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=UnitOfVolumeFlowRate.LITERS_PER_HOUR,
        suggested_display_precision=0,
    ),
    _temperature("supply_temperature", decimals=2),
    _temperature("return_temperature", decimals=2),
    _difference(decimals=2, enabled=True),
    MeterSensorDescription(
        key="thermal_power",
        translation_key="thermal_power",
        device_class=SensorDeviceClass.POWER,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=UnitOfPower.WATT,
        suggested_unit_of_measurement=UnitOfPower.KILO_WATT,
        suggested_display_precision=1,
        value_fn=_power_w,
    ),
    _opening("actual_opening_pct", enabled=True),
    MeterSensorDescription(
        key="commanded_opening",
        translation_key="commanded_opening",
        value_fn=_field("commanded_opening_pct"),
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        suggested_display_precision=0,
    ),
    MeterSensorDescription(
        key="second_energy",
        translation_key="second_energy",
        value_fn=_field("second_energy_kwh"),
        device_class=SensorDeviceClass.ENERGY,
        state_class=SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=UnitOfEnergy.KILO_WATT_HOUR,
        suggested_display_precision=2,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    MeterSensorDescription(
        key="second_volume",
        translation_key="second_volume",
        value_fn=_field("second_volume_m3"),
        device_class=SensorDeviceClass.VOLUME,
        state_class=SensorStateClass.TOTAL_INCREASING,
        native_unit_of_measurement=UnitOfVolume.CUBIC_METERS,
        suggested_display_precision=2,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    _set_point(1, field="set_point_1", is_temperature=False),
    _set_point(2, field="set_point_2", is_temperature=False),
    _STATUS,
)

VALVE_SENSORS = (
    _temperature("supply_temperature", decimals=1),
    _temperature("return_temperature", decimals=1),
    _opening("opening_pct", enabled=False),
    _difference(decimals=1, enabled=False),
    _set_point(1, field="set_point_1_c", is_temperature=True),
    _set_point(2, field="set_point_2_c", is_temperature=True),
    MeterSensorDescription(
        key="running_time",
        translation_key="running_time",
        value_fn=_field("running_time_min"),
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.MINUTES,
        suggested_unit_of_measurement=UnitOfTime.HOURS,
        suggested_display_precision=1,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    MeterSensorDescription(
        key="clock_drift",
        translation_key="clock_drift",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_display_precision=0,
        value_fn=lambda meter: meter.clock_drift_s,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    MeterSensorDescription(
        key="room_unit",
        translation_key="room_unit",
        value_fn=_field("room_unit_number"),
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
    ),
    _STATUS,
)

LAST_REPORT = SensorEntityDescription(
    key="last_report",
    translation_key="last_report",
    device_class=SensorDeviceClass.TIMESTAMP,
    entity_category=_DIAGNOSTIC,
)

METER_SENSORS: Mapping[str, tuple[MeterSensorDescription, ...]] = {
    CABINET_KIND: CABINET_SENSORS,
    VALVE_KIND: VALVE_SENSORS,
    UNKNOWN_KIND: (),
}


def _interval(key: str, field: str) -> GatewaySensorDescription:
    return GatewaySensorDescription(
        key=key,
        translation_key=key,
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.MINUTES,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda gateway: getattr(gateway.data.settings, field, None),
    )


def _season_day(key: str) -> GatewaySensorDescription:
    def value(gateway: GatewayCoordinator) -> str | None:
        day = getattr(gateway.data.settings, key, None)
        return None if day is None else str(day)

    return GatewaySensorDescription(
        key=key,
        translation_key=key,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=value,
    )


def _status(key: str, field: str, **more: Any) -> GatewaySensorDescription:
    return GatewaySensorDescription(
        key=key,
        translation_key=key,
        entity_category=_DIAGNOSTIC,
        value_fn=lambda gateway: getattr(gateway.data.status, field, None),
        **more,
    )


def _counter(key: str, value_fn: Callable[[CommandCounters], int]) -> GatewaySensorDescription:
    return GatewaySensorDescription(
        key=key,
        translation_key=key,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda gateway: value_fn(gateway.counters),
    )


def _csq(gateway: GatewayCoordinator) -> int | None:
    """Return the modem's signal index 0-31; 99 is its word for unknown."""
    status = gateway.data.status
    if status is None or status.csq is None or status.csq[0] == 99:  # noqa: PLR2004 - said above
        return None
    return status.csq[0]


GATEWAY_SENSORS = (
    _status(
        "rssi",
        "rssi_dbm",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS_MILLIWATT,
    ),
    _status(
        "sinr",
        "sinr_db",
        device_class=SensorDeviceClass.SIGNAL_STRENGTH,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=SIGNAL_STRENGTH_DECIBELS,
    ),
    _status(
        "mbus_voltage",
        "mbus_mv",
        device_class=SensorDeviceClass.VOLTAGE,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricPotential.MILLIVOLT,
        suggested_unit_of_measurement=UnitOfElectricPotential.VOLT,
        suggested_display_precision=1,
    ),
    _status(
        "mbus_current",
        "mbus_ma",
        device_class=SensorDeviceClass.CURRENT,
        state_class=_MEASUREMENT,
        native_unit_of_measurement=UnitOfElectricCurrent.MILLIAMPERE,
    ),
    GatewaySensorDescription(
        key="last_seen",
        translation_key="last_seen",
        device_class=SensorDeviceClass.TIMESTAMP,
        entity_category=_DIAGNOSTIC,
        value_fn=lambda gateway: gateway.data.last_seen,
    ),
    GatewaySensorDescription(
        key="meters_reporting",
        translation_key="meters_reporting",
        entity_category=_DIAGNOSTIC,
        value_fn=lambda gateway: gateway.meters_reporting,
        attributes_fn=lambda gateway: {"expected": gateway.meters_expected},
    ),
    GatewaySensorDescription(
        key="valves_unproven",
        translation_key="valves_unproven",
        entity_category=_DIAGNOSTIC,
        value_fn=lambda gateway: len(gateway.valves_unproven),
        attributes_fn=lambda gateway: {"valves": gateway.valves_unproven},
    ),
    _counter("commands_sent", lambda counters: counters.sent),
    _counter("commands_verified", lambda counters: counters.verified),
    GatewaySensorDescription(
        key="commands_failed",
        translation_key="commands_failed",
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda gateway: gateway.counters.failed.total(),
        attributes_fn=lambda gateway: {
            str(reason): count for reason, count in gateway.counters.failed.items()
        },
    ),
    GatewaySensorDescription(
        key="time_to_proof",
        translation_key="time_to_proof",
        device_class=SensorDeviceClass.DURATION,
        native_unit_of_measurement=UnitOfTime.SECONDS,
        suggested_display_precision=0,
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=lambda gateway: gateway.counters.mean_time_to_proof_s,
    ),
    GatewaySensorDescription(
        key="csq",
        translation_key="csq",
        entity_category=_DIAGNOSTIC,
        entity_registry_enabled_default=False,
        value_fn=_csq,
    ),
    _status("iccid", "iccid", entity_registry_enabled_default=False),
    _status("model_mode", "model", entity_registry_enabled_default=False),
    _status("expected_cabinets", "cabinets", entity_registry_enabled_default=False),
    _status("expected_valves", "valves", entity_registry_enabled_default=False),
    _interval("cabinet_interval", "cabinet_interval_min"),
    _interval("valve_interval", "valve_interval_min"),
    _interval("out_of_season_interval", "interval_out_of_season_min"),
    _season_day("season_start"),
    _season_day("season_end"),
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: HyConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Add the sensors of a gateway and of every meter, those that come later too."""
    gateway = entry.runtime_data.gateway

    @callback
    def meter_entities(meter: MeterCoordinator) -> list[SensorEntity]:
        rows = METER_SENSORS[meter.data.kind]
        return [LastReportSensor(meter, LAST_REPORT), *(HyMeterSensor(meter, row) for row in rows)]

    async_add_entities(HyGatewaySensor(gateway, row) for row in GATEWAY_SENSORS)
    async_add_entities(
        entity for meter in gateway.meters.values() for entity in meter_entities(meter)
    )
    entry.async_on_unload(
        gateway.async_add_meter_listener(lambda meter: async_add_entities(meter_entities(meter)))
    )


class HyGatewaySensor(HyGatewayEntity, SensorEntity):
    """A sensor of a gateway; its last known values stay while the gateway is silent."""

    entity_description: GatewaySensorDescription

    @override
    def _refresh(self) -> tuple[Any, ...]:
        description = self.entity_description
        self._attr_native_value = description.value_fn(self.coordinator)
        if description.attributes_fn:
            self._attr_extra_state_attributes = dict(description.attributes_fn(self.coordinator))
        attributes = getattr(self, "_attr_extra_state_attributes", None)
        return self.available, self._attr_native_value, attributes


class HyMeterSensor(HyMeterEntity, SensorEntity):
    """A value of a meter's last reading."""

    entity_description: MeterSensorDescription
    extra_state_attributes = None  # see HyEntity
    last_reset = None
    supported_features = None

    @override
    def _refresh(self) -> tuple[Any, ...]:
        meter = self.coordinator
        value = self.entity_description.value_fn(meter.data)
        if value not in self._written[1:]:  # to set it costs several times as much
            self._attr_native_value = value
        return meter.silence is None, value


class LastReportSensor(HyMeterEntity, SensorEntity):
    """When a meter reported last; stays available to tell why the others are not."""

    last_reset = None  # see HyEntity
    supported_features = None

    @property
    @override
    def available(self) -> bool:
        return True

    @override
    def _refresh(self) -> tuple[Any, ...]:
        meter, data = self.coordinator, self.coordinator.data
        received = data.received.replace(microsecond=0)  # as its state has it
        unknown = data.reading.frame if isinstance(data.reading, UnknownReading) else None
        shown = received, meter.silence, data.delivered_late, unknown
        if shown != self._written:
            self._attr_native_value = received
            attributes: dict[str, Any] = {
                "problem": meter.silence,
                "delivered_late": data.delivered_late,
            }
            if unknown is not None:
                attributes["raw_frame"] = unknown.hex().upper()
            self._attr_extra_state_attributes = attributes
        return shown
