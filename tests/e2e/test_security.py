"""Secrets stay where they belong, and nothing that is typed becomes a wildcard.

A whole life, with debug logging on: a wrong password, reports, commands that are proved and that
fail, garbage, a broker that is away, a reload and the removal. Then everything that was written is
searched for what is nobody's business.
"""

from collections.abc import AsyncIterator
import json
from pathlib import Path
import re
from typing import Any

from hass_api import ApiError, wait_for
import pytest
import pytest_asyncio

from custom_components.hy_heating.hyheat.envelope import report_topic
from simulator.faults import Fault, FaultKind
from simulator.mqtt import Broker, Simulator
from simulator.scenario import captured

from .house import House, position
from .mosquitto import EVERYTHING, Mosquitto
from .stage import is_unavailable
from .vectors import CABINET, GATEWAY, MESSAGES, VALVE, payload

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

USERNAME = "user-6f1c20b7"
PASSWORD = "pass-93e0d8a4"
WRONG_PASSWORD = "pass-wrong-51cc"
ICCID = str(MESSAGES["status_reply"]["decoded"]["iccid"])
LOGGERS = ("custom_components.hy_heating", "homeassistant.components.mqtt", "aiomqtt", "paho")
NOT_OURS = {"auth", "auth_provider.homeassistant", "onboarding"}
"""Home Assistant's own secrets; and entry data is where credentials have to stand."""
ENTRY_DATA = "core.config_entries"

EARLIER = ("all is well", "the broker is away", "credentials are asked for")

WILD = ("+", "#", "hy/+", "hy/gw/#", "hy\0gw", "/hy", "hy/", "$SYS/gw", "")
NO_IDS = (
    *("+", "#", "0234567890+", "0234567890#", "023/5678903", "02345678903/", "0234567890\0"),
    *("０２３４５６７８９０３", "٠٢٣٤٥٦٧٨٩٠٣", "02345678903 #", "-2345678903", "0x345678903"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def broker(folder: Path) -> AsyncIterator[Mosquitto]:
    """Run a broker whose user and password can be searched for."""
    mosquitto = Mosquitto(
        folder / "mosquitto", (), EVERYTHING, username=USERNAME, password=PASSWORD
    )
    await mosquitto.start()
    yield mosquitto
    await mosquitto.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(folder: Path, broker: Mosquitto) -> AsyncIterator[House]:
    """Run a Home Assistant; what it complains about is looked at as a whole."""
    house = House(folder / "homeassistant", broker)
    try:
        await house.start()
        for logger in LOGGERS:
            await house.api.request("POST", "/api/services/logger/set_level", {logger: "debug"})
        yield house
    finally:
        await house.stop()


class Written:
    """Everything that Home Assistant wrote or answered, by where that was."""

    def __init__(self, house: House) -> None:
        self.texts: dict[str, str] = {}
        self._house = house

    def keep(self, name: str, answer: object) -> None:
        """Keep an answer."""
        self.texts[name] = json.dumps(answer, ensure_ascii=False)

    def keep_storage(self, when: str) -> None:
        """Keep what lies in the storage now."""
        for path in sorted((self._house.hass.folder / ".storage").iterdir()):
            if path.is_file() and path.name not in NOT_OURS:
                text = path.read_text(encoding="utf-8", errors="replace")
                self.texts[f"{path.name} {when}"] = text

    def containing(self, secret: str) -> set[str]:
        """Return where a secret stands."""
        return {name for name, text in self.texts.items() if secret in text}


async def test_wildcards_are_refused_wherever_they_are_typed(
    house: House, broker: Mosquitto
) -> None:
    api = house.api
    step = await api.start_flow()
    for prefix in WILD:
        form = house.broker_form(advanced={"prefix": prefix})
        step = await api.answer_flow(step, form)
        assert step["errors"] == {"advanced": "invalid_prefix"}, prefix
    step = await api.answer_flow(step, house.broker_form())
    step = await api.answer_flow(step, {"next_step_id": "gateway_id"})
    for gateway_id in NO_IDS:
        step = await api.answer_flow(step, {"gateway_id": gateway_id})
        assert step["errors"] == {"gateway_id": "invalid_gateway_id"}, gateway_id
    await api.request("DELETE", f"/api/config/config_entries/flow/{step['flow_id']}")
    for wild in ("+", "#", "valve.+", "02345678903/#", "０２３"):
        for action, data in (
            ("set_openings", {"entity_id": wild, "opening": 50}),
            ("set_openings", {"openings": {wild: 50}}),
            ("set_openings", {"device_id": wild, "opening": 50}),
            ("read_meter", {"device_id": wild}),
            ("read_now", {"device_id": wild}),
            ("send_frame", {"device_id": wild, "frame": "6853"}),
            ("send_frame", {"device_id": wild, "frame": wild}),
            ("decode_frame", {"frame": wild}),
        ):
            try:
                answer = await api.ask(f"hy_heating.{action}", **data)
            except ApiError:
                continue
            rows = answer.get("results", [{"result": "failed"}])
            assert all(row["result"] == "failed" for row in rows), (action, data, answer)
    assert subscriptions(broker) == set()


def subscriptions(broker: Mosquitto) -> set[str]:
    """Return the topics that were ever subscribed to, as the broker has it."""
    return set(re.findall(r"hy-heating-\w+ \d ([^\s]+)$", broker.log, re.MULTILINE))


async def test_a_whole_life_tells_no_secrets(house: House, broker: Mosquitto) -> None:
    api, written = house.api, Written(house)
    access = Broker(port=broker.port, username=USERNAME, password=PASSWORD)
    scenario = captured().with_plans(cabinet_travel_s=2.0, valve_travel_s=2.0)
    async with Simulator(scenario, access) as simulator:
        await simulator.wait_connected()
        step = await api.start_flow()
        step = await api.answer_flow(step, house.broker_form(password=WRONG_PASSWORD))
        assert step["errors"] == {"base": "invalid_auth"}
        written.keep(
            "the error of a wrong password", [step["errors"], step["description_placeholders"]]
        )
        step = await api.answer_flow(step, house.broker_form())
        step = await api.answer_flow(step, {"next_step_id": "listen"})
        await wait_for(log_of(broker), lambda log: "hy/gw/set/+ (QoS" in log)
        await broker.publish(report_topic(GATEWAY), payload("cabinet_report"))
        step = await api.wait_flow(step)
        step = await api.answer_flow(step, {"gateways": [GATEWAY]})
        step = await api.answer_flow(step, {"name": "Captured"})
        entry_id = step["result"]["entry_id"]
        written.keep("the entry that a flow made", step["result"])
    async with Simulator(scenario, access) as simulator:
        for meter in (CABINET, VALVE):
            await house.wait_state(f"{GATEWAY}_{meter}_valve", position(100))
        await house.wait_state(f"{GATEWAY}_{VALVE}_supply_temperature", bool)
        await house.enable_all_entities()
        shown = await house.wait_state(f"{GATEWAY}_iccid", lambda state: state["state"] == ICCID)
        assert shown, "the number is there to be found"

        # A command that is proved, one that fails, and garbage that carries the number.
        valve = await house.entity_id(f"{GATEWAY}_{VALVE}_valve")
        done = await api.ask("hy_heating.set_openings", entity_id=valve, opening=50)
        assert done["results"][0]["result"] == "verified"
        simulator.fleet.gateways[GATEWAY].faults.add(
            Fault(kind=FaultKind.ERROR_REPLY, meter=CABINET)
        )
        cabinet = await house.entity_id(f"{GATEWAY}_{CABINET}_valve")
        with pytest.raises(ApiError) as failed:
            await api.act("valve.set_valve_position", cabinet, position=50)
        written.keep("the error of an action", str(failed.value))
        status = payload("status_reply")
        async with broker.client() as client:
            for garbage in (
                status[: len(status) * 2 // 3],
                status.replace('"stat":2', '"stat":"x"'),
                status.replace(GATEWAY, "09999999999"),
                f'{{"iccid":"{ICCID}"}}',
            ):
                await client.publish(report_topic(GATEWAY), garbage, qos=1)
        await wait_for(log_of(house), lambda log: log.count("refused what was received") >= 4)
        await keep_answers(house, written, entry_id, "while all is well")

        await broker.stop()
        await house.wait_state(f"{GATEWAY}_{VALVE}_valve", is_unavailable)
        await api.reload_entry(entry_id)
        await keep_answers(house, written, entry_id, "while the broker is away")

        # The broker forgets the password: Home Assistant asks for another one.
        broker.set_password("pass-of-another-day")
        await broker.start()
        flows = await wait_for(questions(house), bool, 60)
        written.keep("the question for credentials", flows)
        step = await api.answer_flow(flows[0], {"username": USERNAME, "password": WRONG_PASSWORD})
        written.keep("its error", [step["errors"]])
        await keep_answers(house, written, entry_id, "while credentials are asked for")
        await api.answer_flow(flows[0], {"username": USERNAME, "password": broker.password})
        await house.wait_state(f"{GATEWAY}_connectivity", lambda state: state["state"] == "on", 60)
        await api.reload_entry(entry_id)
        await api.remove_entry(entry_id)
    await house.stop()
    written.keep_storage("in the end")
    written.texts["the log"] = house.log
    await house.start()

    assert "DEBUG" in house.log
    assert any(name.startswith("diagnostics") for name in written.texts)
    of_entries = {name for name in written.texts if name.startswith(ENTRY_DATA)}
    assert of_entries
    assert written.containing(PASSWORD) == {f"{ENTRY_DATA} while {when}" for when in EARLIER}
    assert written.containing("pass-of-another-day") <= of_entries
    assert written.containing(WRONG_PASSWORD) == set()
    assert written.containing(USERNAME) <= of_entries
    store = re.compile(r"hy_heating\.\w+ ")
    assert {name for name in written.containing(ICCID) if not store.match(name)} == set()
    assert subscriptions(broker) == {
        "hy/gw/set/+",  # the window
        f"hy/gw/set/{GATEWAY}",
        f"hy/gw/get/{GATEWAY}",
    }
    windows = set(re.findall(r"(hy-heating-\w+) \d hy/gw/set/\+$", broker.log, re.MULTILINE))
    ours = set(re.findall(rf"(hy-heating-\w+) \d hy/gw/set/{GATEWAY}$", broker.log, re.MULTILINE))
    assert not windows & ours


async def keep_answers(house: House, written: Written, entry_id: str, when: str) -> None:
    """Keep what a person can download or read at a time."""
    api = house.api
    path = f"/api/diagnostics/config_entry/{entry_id}"
    written.keep(f"diagnostics {when}", await api.request("GET", path))
    for device in await api.devices():
        there = f"{path}/device/{device['id']}"
        written.keep(f"diagnostics of {device['name']} {when}", await api.request("GET", there))
    written.keep(f"repairs {when}", await api.command("repairs/list_issues"))
    written.keep(f"notifications {when}", await api.command("persistent_notification/get"))
    written.keep(f"entries {when}", await api.entries())
    written.keep(f"devices {when}", await api.devices())
    written.keep(f"system log {when}", await api.command("system_log/list"))
    written.keep_storage(when)


def log_of(who: House | Mosquitto) -> Any:  # noqa: ANN401 - a function for `wait_for`
    """Return how to read a log."""

    async def read() -> str:
        return who.log if isinstance(who, Mosquitto) else who.hass.log

    return read


def questions(house: House) -> Any:  # noqa: ANN401 - a function for `wait_for`
    """Return how to read which credentials are asked for."""

    async def read() -> list[dict[str, Any]]:
        flows = await house.api.command("config_entries/flow/progress")
        return [flow for flow in flows if flow["handler"] == "hy_heating"]

    return read
