"""Six sensors for each meter, fed by one connection, with no check but the checksum."""

from typing import Any

import aiomqtt
from homeassistant.components.sensor import SensorDeviceClass, SensorEntity, SensorStateClass
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.helpers.device_registry import DeviceInfo
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback
import orjson

_TOTAL, _NOW = SensorStateClass.TOTAL_INCREASING, SensorStateClass.MEASUREMENT
SENSORS: tuple[tuple[str, SensorDeviceClass | None, SensorStateClass | None, str], ...] = (
    ("heat_energy", SensorDeviceClass.ENERGY, _TOTAL, "kWh"),
    ("volume_flow_rate", SensorDeviceClass.VOLUME_FLOW_RATE, _NOW, "L/h"),
    ("thermal_power", SensorDeviceClass.POWER, _NOW, "kW"),
    ("commanded_opening", None, None, "%"),
    ("supply_temperature", SensorDeviceClass.TEMPERATURE, _NOW, "°C"),
    ("return_temperature", SensorDeviceClass.TEMPERATURE, _NOW, "°C"),
)


class FloorSensor(SensorEntity):
    """One value."""

    _attr_has_entity_name = True
    _attr_should_poll = False

    def __init__(
        self,
        number: str,
        key: str,
        device_class: SensorDeviceClass | None,
        state_class: SensorStateClass | None,
        unit: str,
    ) -> None:
        """Take a meter's number and a row of the table."""
        self.entity_id = f"sensor.floor_{number}_{key}"
        self._attr_name = key.replace("_", " ")
        self._attr_unique_id = f"{number}_{key}"
        self._attr_device_class = device_class
        self._attr_state_class = state_class
        self._attr_native_unit_of_measurement = unit
        self._attr_device_info = DeviceInfo(
            identifiers={("bench_floor", number)}, name=f"Floor {number}"
        )

    def show(self, value: float) -> None:
        """Write a value."""
        self._attr_native_value = value
        self.async_write_ha_state()


async def async_setup_entry(
    hass: HomeAssistant, entry: ConfigEntry, async_add_entities: AddConfigEntryEntitiesCallback
) -> None:
    """Add the sensors of all meters and listen."""
    meters = {
        meter_id: [FloorSensor(meter_id[:8], *row) for row in SENSORS]
        for meter_id in entry.data["meter_ids"]
    }
    async_add_entities(sensor for sensors in meters.values() for sensor in sensors)
    _ = entry.async_create_background_task(hass, _listen(dict(entry.data), meters), "bench_floor")


async def _listen(data: dict[str, Any], meters: dict[str, list[FloorSensor]]) -> None:
    client = aiomqtt.Client(
        data["host"], data["port"], username=data["username"], password=data["password"]
    )
    async with client:
        await client.subscribe(data["topic"], qos=1)
        async for message in client.messages:
            _take(message.payload, meters)


def _take(payload: Any, meters: dict[str, list[FloorSensor]]) -> None:  # noqa: ANN401 - aiomqtt's
    data = orjson.loads(payload)["data"]
    raw = bytes.fromhex(data["meter_data"][0])
    if sum(raw[:-2]) & 0xFF != raw[-2] or raw[1] != 0x55:  # noqa: PLR2004 - cabinets only
        return
    energy, flow, power, opening, supply, back = meters[data["meter_id"]]
    registers = raw[14:]
    energy.show(int(registers[3::-1].hex()) / 100)
    flow_l_h = int(registers[8:4:-1].hex())
    flow.show(flow_l_h)
    power.show(flow_l_h / 1000)
    opening.show(int.from_bytes(registers[41:43], "little") / 10)
    supply.show(int(registers[17:14:-1].hex()) / 100)
    back.show(int(registers[20:17:-1].hex()) / 100)
