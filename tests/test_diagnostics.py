"""Downloads: what a helper needs to know, and none of what is nobody's business."""

import json
from typing import Any

from homeassistant.config_entries import ConfigEntryState
from homeassistant.core import HomeAssistant
from homeassistant.helpers import device_registry as dr, issue_registry as ir
from homeassistant.setup import async_setup_component
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator

from custom_components.hy_heating.const import DOMAIN
from custom_components.hy_heating.hyheat.errors import LinkError
from custom_components.hy_heating.hyheat.frame import parse

from .common import (
    BROKER,
    CABINET,
    GATEWAY_ID,
    VALVE,
    FakeLink,
    captured,
    captured_frame,
    report,
    set_up,
)
from .test_commands import fail, prove
from .test_valve import VALVE_REPORT_C

ICCID = "89860025102250386087"
ROOM_UNIT = "12227310"
CERTIFICATE = "-----BEGIN CERTIFICATE----- of-the-test"
SECRETS = {
    "host": "broker.of-the-test.example",
    "username": "user-of-the-test",
    "password": "secret-of-the-test",
    "ca_certificate": CERTIFICATE,
}
KEY = "00112233445566778899aabbccddeeff"


def swapped_pairs(number: str) -> str:
    """Return a number as frames carry it least-significant byte first."""
    return bytes.fromhex(number)[::-1].hex().upper()


def unknown_frame() -> str:
    """Return a report of a device type that nobody described, with its own number in its data.

    68 30 00000042001111 81 09 901F00 23227310 10732223 16 without the checksum, which is the sum.
    """
    body = bytes.fromhex("6830232273100011118109901F00" + VALVE[2:] + "FF" + "10732223")
    body = body[:10] + bytes((len(body) - 11,)) + body[11:]
    return (body + bytes((sum(body) & 0xFF, 0x16))).hex().upper()


async def loaded_entry(hass: HomeAssistant, **options: object) -> MockConfigEntry:
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Garden Road 3",
        unique_id=GATEWAY_ID,
        data={**BROKER, **SECRETS, "gateway_id": GATEWAY_ID, "area_id": "garden_road"},
        options={"move_pause_s": 0, **options},
    )
    await set_up(hass, entry)
    return entry


class View:
    """Home Assistant's own download, as the browser gets it."""

    def __init__(self, hass: HomeAssistant, client: ClientSessionGenerator) -> None:
        self._hass = hass
        self._client = client

    async def text(self, entry: MockConfigEntry, serial_number: str | None = None) -> str:
        path = f"/api/diagnostics/config_entry/{entry.entry_id}"
        if serial_number:
            devices = dr.async_entries_for_config_entry(dr.async_get(self._hass), entry.entry_id)
            (device,) = (each for each in devices if each.serial_number == serial_number)
            path += f"/device/{device.id}"
        response = await (await self._client()).get(path)
        assert response.status == 200
        return await response.text()

    async def data(
        self, entry: MockConfigEntry, serial_number: str | None = None
    ) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(await self.text(entry, serial_number))["data"]
        return data


@pytest.fixture
async def view(hass: HomeAssistant, link: FakeLink, hass_client: ClientSessionGenerator) -> View:
    assert await async_setup_component(hass, "diagnostics", {})
    return View(hass, hass_client)


async def a_day_at_the_site(hass: HomeAssistant, link: FakeLink) -> None:
    """Let all that happens happen: replies, reports, commands, and what has to be refused."""
    link.deliver(captured("status_reply"))
    link.deliver(captured("settings_reply"))
    link.deliver(captured("cabinet_report"))
    link.deliver(captured("valve_report"))
    await hass.async_block_till_done()
    await prove(hass, link)
    for _ in range(3):
        await fail(hass, link)
    # A status that is no JSON, with the SIM card's number in it, and one that breaks off there.
    link.deliver(captured("status_reply").replace(b'"CSQ"', b'"CSQ'))
    link.deliver(captured("status_reply").partition(b"6087")[0])
    link.deliver(captured("status_reply").replace(b'"CCID"', b'"SIM' + b"x" * 10))
    link.deliver(report(f"{VALVE}200800", captured_frame("valve_report_bad_checksum")))
    link.deliver(report("99887766200800", captured_frame("valve_report_A")))
    link.deliver(captured("status_reply").replace(b"02345678903", b"02345678999"))
    await hass.async_block_till_done()


# --- What is in it -------------------------------------------------------------------------------


async def test_the_download_of_a_gateway(hass: HomeAssistant, link: FakeLink, view: View) -> None:
    entry = await loaded_entry(hass)
    await a_day_at_the_site(hass, link)
    data = await view.data(entry)
    assert data["versions"]["firmware"] == "V1.0"
    assert data["versions"]["integration"] == "0.1.0"
    assert data["state"] == "loaded"
    assert data["entry"]["options"] == {"move_pause_s": 0}
    assert data["entry"]["data"]["host"] == SECRETS["host"], "a place, hidden only where asked for"
    assert data["link"] == {"kind": "played by the test", "connected": True}
    gateway = data["gateway"]
    assert gateway["gateway_id"] == GATEWAY_ID
    assert (gateway["available"], gateway["problem"]) == (True, None)
    assert gateway["status"]["rssi_dbm"] == -98
    assert gateway["settings"]["season_start"] == "09-01"
    assert (gateway["meters_known"], gateway["meters_expected"]) == (2, 101)
    assert gateway["valves_unproven"] == [VALVE]
    assert data["session"]["link_up"] is True
    assert (data["session"]["queued"], data["session"]["commands_under_way"]) == (0, 0)
    counters = data["counters"]
    assert counters["commands_verified"] == 1
    assert counters["commands_failed"] == {"meter_refused": 3}
    assert counters["refused"] == 6
    assert counters["messages"] >= 12
    assert counters["messages_per_minute"] == counters["messages"], "all in the first minute"
    assert data["timing"]["tries"] == 3
    valve, cabinet = data["meters"]
    assert (cabinet["number"], cabinet["kind"]) == (CABINET, "cabinet")
    assert cabinet["values"]["heat_energy_kwh"] == 45323.12
    assert cabinet["judged"]["counters"]["volume_m3"] == {
        "accepted": 3456.78,
        "doubted": None,
        "reset": False,
    }
    assert (valve["port"], valve["protocol_code"]) == (0, "2008")
    assert valve["silent_for_s"] < 60 < valve["silent_is_lost_after_s"]
    assert valve["last_command_unproven"] is True


async def test_what_was_refused_stands_there_with_its_reason(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    entry = await loaded_entry(hass)
    await a_day_at_the_site(hass, link)
    refusals = (await view.data(entry))["refusals"]
    counts = {(row["meter"], row["reason"]): row["count"] for row in refusals["counts"]}
    assert counts == {
        (None, "json"): 3,
        (VALVE, "frame_checksum"): 1,
        ("99887766", "address"): 1,
        (None, "gateway_id"): 1,
    }
    reasons = [row["reason"] for row in refusals["last"]]
    assert reasons == [*["json"] * 3, "frame_checksum", "address", "gateway_id"]
    damaged = refusals["last"][3]
    assert damaged["raw"] == captured_frame("valve_report_bad_checksum")
    assert "checksum" in damaged["detail"]


async def test_every_byte_of_a_meter_s_last_frames(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    entry = await loaded_entry(hass)
    await a_day_at_the_site(hass, link)
    data = await view.data(entry, VALVE)
    assert "meters" not in data
    frames = data["meter"]["frames"]
    # The report, a command with its reply and the proof, and three commands that were refused.
    directions = ["from meter", *["to meter", "from meter"], "from meter"]
    directions += ["to meter", "from meter"] * 3
    assert [frame["direction"] for frame in frames] == directions
    assert frames[0]["hex"] == VALVE_REPORT_C
    assert frames[0]["time"] < frames[-1]["time"]
    assert frames[0]["fields"]["opening_pct"] == 100
    explained = frames[0]["bytes"]
    assert [byte["hex"] for byte in explained] == [
        VALVE_REPORT_C[place : place + 2] for place in range(0, len(VALVE_REPORT_C), 2)
    ]
    # Offset 10 after SER, so the 25th byte: 64 is 100 %, grade B.
    assert explained[24] == {"offset": 24, "hex": "64", "name": "opening", "value": 100} | {
        "grade": "B"
    }
    assert frames[1]["hex"] == parse(captured_frame("valve_set_50")).raw.hex().upper()


async def test_only_the_last_twenty_frames(hass: HomeAssistant, link: FakeLink, view: View) -> None:
    entry = await loaded_entry(hass)
    for _ in range(25):
        link.deliver(captured("cabinet_report"))
    await hass.async_block_till_done()
    assert len((await view.data(entry, CABINET))["meter"]["frames"]) == 20
    assert len((await view.data(entry))["meters"][0]["frames"]) == 20


async def test_the_bytes_of_a_device_that_nobody_knows(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    entry = await loaded_entry(hass)
    link.deliver(report(f"{VALVE}300000", unknown_frame()))
    await hass.async_block_till_done()
    meter = (await view.data(entry, VALVE))["meter"]
    assert (meter["kind"], meter["values"], meter["judged"]) == ("unknown", None, None)
    (frame,) = meter["frames"]
    assert frame["ok"] is False
    assert len(frame["bytes"]) == len(unknown_frame()) // 2
    assert frame["bytes"][1]["hex"] == "30"


async def test_a_gateway_s_device_has_the_download_of_its_entry(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    entry = await loaded_entry(hass)
    await a_day_at_the_site(hass, link)
    meters = (await view.data(entry, GATEWAY_ID))["meters"]
    assert [meter["number"] for meter in meters] == [VALVE, CABINET]


async def test_an_entry_that_could_not_be_set_up(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    link.wait_error = LinkError("no route")
    entry = await loaded_entry(hass)
    data = await view.data(entry)
    assert data["state"] == "setup_retry"
    assert SECRETS["host"] in data["reason"]
    assert "gateway" not in data
    assert (await view.data(entry, GATEWAY_ID))["state"] == "setup_retry"
    hass.config_entries.async_update_entry(entry, options={"hash_key": KEY})
    hidden = await view.text(entry)
    assert SECRETS["host"] not in hidden
    assert GATEWAY_ID not in hidden
    link.wait_error = None
    hass.config_entries.async_update_entry(entry, options={})
    await hass.config_entries.async_reload(entry.entry_id)
    assert entry.state is ConfigEntryState.LOADED
    assert (await view.data(entry))["gateway"]["gateway_id"] == GATEWAY_ID


# --- What is not in it ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"hash_key": KEY}], ids=["as it is", "ids hidden"])
@pytest.mark.parametrize("serial_number", [None, GATEWAY_ID, VALVE, CABINET])
async def test_no_secret_leaves_the_house(
    hass: HomeAssistant,
    link: FakeLink,
    view: View,
    options: dict[str, object],
    serial_number: str | None,
) -> None:
    entry = await loaded_entry(hass, **options)
    await a_day_at_the_site(hass, link)
    text = await view.text(entry, serial_number)
    for secret in (SECRETS["username"], SECRETS["password"], CERTIFICATE, ICCID, ICCID[:16], KEY):
        assert secret not in text, secret
    if not options:
        assert GATEWAY_ID in text, "the search would find what is there"


@pytest.mark.parametrize("serial_number", [None, GATEWAY_ID, VALVE, CABINET])
async def test_no_id_and_no_place_where_that_is_asked_for(
    hass: HomeAssistant, link: FakeLink, view: View, serial_number: str | None
) -> None:
    # What was ignored in the past, under the name of the valve, is in every download as well.
    told = f"valve_disobeys_{GATEWAY_ID}_{VALVE}"
    ir.async_create_issue(
        hass,
        DOMAIN,
        told,
        is_fixable=False,
        severity=ir.IssueSeverity.WARNING,
        translation_key="valve_disobeys",
        translation_placeholders={"meter": "East", "gateway": "Building", "failures": "3"},
    )
    entry = await loaded_entry(hass, hash_key=KEY, swapped_meters=["23227399"])
    link.deliver(report(f"{VALVE[:-2]}42300000", unknown_frame().replace(VALVE, f"{VALVE[:-2]}42")))
    await a_day_at_the_site(hass, link)
    text = await view.text(entry, serial_number)
    ids = (GATEWAY_ID, VALVE, CABINET, ROOM_UNIT, "23227399", "02345678999", "99887766")
    hidden = {*ids, *(swapped_pairs(number) for number in ids if len(number) == 8)}
    hidden |= {SECRETS["host"], "Garden Road 3", "garden_road", "hy/gw"}
    for secret in hidden:
        assert secret not in text, secret
    assert "valve_disobeys" in text, "the issue is there, under another name"


async def test_hidden_ids_can_still_be_told_apart(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    entry = await loaded_entry(hass, hash_key=KEY)
    await a_day_at_the_site(hass, link)
    data = await view.data(entry)
    meters = {meter["kind"]: meter for meter in data["meters"]}
    valve = meters["valve"]
    assert meters["cabinet"]["number"] != valve["number"]
    numbers = [meter["number"] for meter in data["meters"]]
    assert numbers == sorted(numbers), "not in the order of what they stand for"
    assert data["gateway"]["valves_unproven"] == [valve["number"]]
    assert len(valve["number"]) == 8
    again = (await view.data(entry, VALVE))["meter"]
    assert again["number"] == valve["number"]
    # The frame is one of that number, with the checksum that belongs to it, and reads the same.
    first = again["frames"][0]
    found = parse(first["hex"])
    assert found.meter_number == first["meter_number"] == valve["number"]
    assert first["fields"]["opening_pct"] == 100
    assert first["fields"]["room_unit_number"] == again["values"]["room_unit_number"] != ROOM_UNIT
    assert first["ok"]


async def test_a_valve_without_a_paired_room_unit(
    hass: HomeAssistant, link: FakeLink, view: View
) -> None:
    # 00000000 instead of 12227310 (bytes 10 73 22 12, their sum is B7): the checksum falls by as
    # much, from 94 to DD.
    frame = VALVE_REPORT_C.replace("10732212", "00000000").replace("9416", "DD16")
    entry = await loaded_entry(hass, hash_key=KEY)
    link.deliver(report(f"{VALVE}200800", frame))
    await hass.async_block_till_done()
    (shown,) = (await view.data(entry, VALVE))["meter"]["frames"]
    assert shown["ok"]
    # All but the four bytes of the number and the checksum is as it was.
    assert shown["hex"][:4] + shown["hex"][12:-4] == frame[:4] + frame[12:-4]
