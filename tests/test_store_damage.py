"""A store file that cannot be read is set aside and told of, never fatal, and built anew."""

import json
from pathlib import Path
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.storage import STORAGE_DIR
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.hy_heating.const import DOMAIN

from .cabinets import cabinet_frame
from .common import CABINET, FakeLink, captured, captured_frame, make_entry, report, set_up
from .repairs import issues

ENERGY = f"sensor.cabinet_{CABINET}_heat_energy"
SUPPLY = f"sensor.cabinet_{CABINET}_supply_temperature"
RECEIVED = "2025-01-15T04:00:00+00:00"
METER = {
    "frame": captured_frame("cabinet_report"),
    "received": RECEIVED,
    "port": 0,
    "protocol_code": "2034",
}


def whole(**data: Any) -> dict[str, Any]:
    return {"version": 1, "minor_version": 1, "key": "", "data": data}


@pytest.fixture
def hass_storage() -> dict[str, Any]:
    """Leave Home Assistant's storage on the disk, where it belongs here."""
    return {}


@pytest.fixture
def hass_config_dir(tmp_path: Path) -> str:
    return str(tmp_path)


@pytest.fixture
def stored(hass: HomeAssistant) -> tuple[MockConfigEntry, Path]:
    """Return an entry that is not set up, and the place of its store file."""
    entry = make_entry()
    path = Path(hass.config.path(STORAGE_DIR, f"{DOMAIN}.{entry.entry_id}"))
    path.parent.mkdir(exist_ok=True)
    return entry, path


WHOLE = json.dumps(whole(status=None, settings=None, last_seen=None, meters={CABINET: METER}))


@pytest.mark.parametrize(
    ("content", "by_home_assistant"),
    [
        pytest.param(WHOLE[: len(WHOLE) // 2].encode(), True, id="truncated"),
        pytest.param(b"", True, id="empty"),
        pytest.param(b"\x00\xff" * 100, True, id="garbage"),
        pytest.param(b"null", False, id="null"),
        pytest.param(b"[]", False, id="a list"),
        pytest.param(b'"text"', False, id="a text"),
        pytest.param(b'{"version":1}', False, id="no data"),
        pytest.param(b'{"version":1,"data":[]}', False, id="data of another shape"),
        pytest.param(b'{"version":"one","data":{}}', False, id="a version in words"),
        pytest.param(b'{"version":0,"data":{}}', False, id="an older version than any"),
        pytest.param(b'{"version":99,"data":{}}', False, id="a newer version"),
    ],
)
async def test_an_unreadable_file_is_set_aside_and_built_anew(
    hass: HomeAssistant,
    link: FakeLink,
    stored: tuple[MockConfigEntry, Path],
    content: bytes,
    by_home_assistant: bool,
) -> None:
    entry, path = stored
    path.write_bytes(content)
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    aside = list(path.parent.glob(f"{path.name}.corrupt.*"))
    assert [kept.read_bytes() for kept in aside] == [content]
    told = {issue.translation_key for issue in ir.async_get(hass).issues.values()}
    assert ("storage_corruption" if by_home_assistant else "store_damaged") in told

    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done()
    assert hass.states.is_state(ENERGY, "45323.12")
    assert json.loads(path.read_bytes())["data"]["meters"].keys() == {CABINET}
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"meters": [], "readings": 5}, id="wrong containers"),
        pytest.param({"meters": {CABINET: "x"}}, id="a meter that is a text"),
        pytest.param({"meters": {CABINET: {**METER, "port": None}}}, id="no port"),
        pytest.param({"meters": {CABINET: {**METER, "frame": 5}}}, id="a frame that is a number"),
        pytest.param(
            {"meters": {CABINET: {**METER, "received": "2025-13-45T00:00:00+00:00"}}},
            id="a day that does not exist",
        ),
        pytest.param({"status": 5, "settings": [], "last_seen": 7}, id="last words that are none"),
    ],
)
async def test_a_part_of_another_shape_is_left_out(
    hass: HomeAssistant,
    link: FakeLink,
    stored: tuple[MockConfigEntry, Path],
    data: dict[str, Any],
) -> None:
    entry, path = stored
    path.write_text(json.dumps(whole(**data)))
    await set_up(hass, entry)
    assert entry.state is ConfigEntryState.LOADED
    assert hass.states.get(ENERGY) is None
    assert not issues(hass)
    link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert hass.states.is_state(ENERGY, "45323.12")
    await hass.config_entries.async_unload(entry.entry_id)


@pytest.mark.parametrize(
    "readings",
    [
        pytest.param({}, id="none, as an older version wrote it"),
        pytest.param({"meters": {CABINET: {"counters": 5}}}, id="damaged"),
        pytest.param({"corrections": [5, ["x"], ["1", "flow", 1, 2, RECEIVED]]}, id="corrections"),
        pytest.param(
            {"corrections": [[CABINET, "heat_energy_kwh", "much", 1, RECEIVED]]}, id="no number"
        ),
    ],
)
async def test_without_a_memory_the_last_reading_judges_the_next(
    hass: HomeAssistant,
    link: FakeLink,
    stored: tuple[MockConfigEntry, Path],
    readings: dict[str, Any],
) -> None:
    entry, path = stored
    path.write_text(json.dumps(whole(meters={CABINET: METER}, readings=readings)))
    await set_up(hass, entry)
    assert hass.states.is_state(ENERGY, "45323.12")
    assert not entry.runtime_data.gateway.readings.corrections.pending
    zero = cabinet_frame({"heat_energy_kwh": 0}, None, {"supply_temperature_c": 50.0})
    link.deliver(report(f"{CABINET}203400", zero.raw.hex().upper()))
    await hass.async_block_till_done()
    assert hass.states.is_state(ENERGY, "45323.12"), "held back"
    assert hass.states.is_state(SUPPLY, "50.0"), "the rest of the report counts"
    await hass.config_entries.async_unload(entry.entry_id)
