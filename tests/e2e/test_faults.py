"""Real faults, each of which is seen and each of which heals without help.

The run prints a table at its end; docs/RELIABILITY.md keeps the one of the long version.
"""

import asyncio
from collections.abc import AsyncIterator
import json
from pathlib import Path
import re

from aiomqtt import Client, ProtocolVersion
from hass_api import wait_for
import pytest
import pytest_asyncio

from custom_components.hy_heating.hyheat.envelope import command_topic
from simulator.faults import Fault, FaultKind
from tests.links.certificates import Authority

from .conftest import ARTIFACTS
from .figures import LONG, Figures, only_long
from .ledger import (
    GATEWAY,
    REPORT_EVERY_S,
    Account,
    Stopwatch,
    WatchedSimulator,
    access,
    busy_building,
)
from .mosquitto import USERNAME, Mosquitto
from .stage import LOGGED, Stage, is_on, is_unavailable, staged

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

TABLE = "Fault"
RESTARTS = 20 if LONG else 3
STANDS_S = 11
"""A connection that stood for 10 s counts as good: the next loss is followed by a quick try."""
FREEZE_S = 60 if LONG else 15
HASS_FREEZE_S = 60 if LONG else 25
CUT_S = 60 if LONG else 32
SHORT_CUT_S = 20
KEPT_WITHIN_S = 30
NEW_PASSWORD = "newer horse"
TLS_GATEWAY = "02345678905"
TAKEOVERS = 5
"""As many as it takes at a broker that does not say what happened; this one does not."""
CLEAR_S = 300
AWAY_S = 600

EXPECTED_IN_LOG = (
    r"No connection to broker",  # said once, while the broker is away
    r"could not validate that the sqlite3 database|Ended unfinished session",  # after the kill
    r"command for \d+ % failed: (link_down|gateway_silent)",
    rf"Gateway {GATEWAY} is silent",
    r"ends our connection again and again",
    r"certificate has expired",
    # Home Assistant about the truncated store, twice.
    r"Could not parse JSON content|Unrecoverable error decoding storage hy_heating",
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Set everything up once: what a fault leaves behind, the next one finds."""
    async with staged(folder) as stage:
        yield stage
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    (ARTIFACTS / "test_faults.log").write_text(stage.house.log, encoding="utf-8")
    (ARTIFACTS / "test_faults_broker.log").write_text(stage.broker.log, encoding="utf-8")
    assert [record.text for record in stage.house.complaints(EXPECTED_IN_LOG)] == []


async def test_broker_killed_and_restarted_under_load(stage: Stage, figures: Figures) -> None:
    account, commander = stage.account(), stage.commander()
    recoveries = []
    async with commander.giving(every_s=2.0):
        for _ in range(RESTARTS):
            stage.broker.kill()
            await stage.lost()
            await asyncio.sleep(2)  # time for a command that must fail
            await stage.broker.start()
            recoveries.append(await stage.recovered())
            await asyncio.sleep(STANDS_S)
    reports = await account.close()
    await stage.shows_the_truth()
    columns = {**reports, **commander.columns, "recovery, s": max(recoveries)}
    figures.add(TABLE, f"broker killed and restarted {RESTARTS} times", columns)
    assert commander.outcomes["link_down"] > 0
    assert commander.outcomes["verified"] > RESTARTS
    assert reports["lost"] <= RESTARTS, "no more than what a killed broker had not passed on"
    assert max(recoveries) < 5


async def test_broker_stopped(stage: Stage, figures: Figures) -> None:
    account, commander = stage.account(), stage.commander()
    moves, watch = stage.simulator.moves(), Stopwatch()
    stage.broker.freeze()
    await asyncio.sleep(6)  # a broker that was heard within 5 s counts as there
    assert await commander.give() == "link_down"
    if FREEZE_S > 30 + STANDS_S:
        await stage.lost()
    await asyncio.sleep(FREEZE_S - watch.passed_s)
    stage.broker.thaw()
    recovery_s = await stage.recovered()
    await asyncio.sleep(5)
    assert stage.simulator.moves() == moves, "what failed is never sent"
    assert await commander.give() == "verified"
    reports = await account.close()
    columns = {**reports, **commander.columns, "recovery, s": recovery_s}
    figures.add(TABLE, f"broker stopped for {FREEZE_S} s", columns)
    assert reports["lost"] == 0


async def test_home_assistant_stopped(stage: Stage, figures: Figures) -> None:
    account, commander = stage.account(), stage.commander()
    stage.house.hass.freeze()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(HASS_FREEZE_S):
            await stage.house.api.states()
    stage.house.hass.thaw()
    recovery_s = await stage.recovered()
    assert await commander.give() == "verified"
    reports = await account.close()
    columns = {**reports, **commander.columns, "recovery, s": recovery_s}
    figures.add(TABLE, f"Home Assistant stopped for {HASS_FREEZE_S} s", columns)
    assert reports["lost"] == 0
    assert reports["taken"] > 50 * HASS_FREEZE_S / REPORT_EVERY_S


async def test_network_cut(stage: Stage, figures: Figures) -> None:
    account, commander = stage.account(), stage.commander()
    moves, watch = stage.simulator.moves(), Stopwatch()
    async with stage.line.cut():
        # The broker was heard just now, so this is written; it fills a buffer.
        assert await commander.give() in {"link_down", "gateway_silent"}
        await stage.lost()
        await asyncio.sleep(max(0, CUT_S - watch.passed_s))
    recovery_s = await stage.recovered()
    reports = await account.close()
    assert stage.simulator.moves() == moves, "what was on its way when the line was cut is gone"
    assert await commander.give() == "verified"
    columns = {**reports, **commander.columns, "recovery, s": recovery_s}
    figures.add(TABLE, f"network cut for {CUT_S} s", columns)
    assert reports["lost"] == 0


@only_long
async def test_a_short_cut_lets_no_command_through_late(stage: Stage, figures: Figures) -> None:
    commander, moves = stage.commander(), stage.simulator.moves()
    async with stage.line.cut():
        begun = Stopwatch()
        assert await commander.give() in {"link_down", "gateway_silent"}
        # Less than it takes to see that nobody answers a ping: the connection could go on.
        await asyncio.sleep(SHORT_CUT_S - begun.passed_s)
    recovery_s = await stage.recovered()
    await asyncio.sleep(5)
    assert stage.simulator.moves() == moves
    assert await commander.give() == "verified"
    columns = {**commander.columns, "recovery, s": recovery_s}
    figures.add(TABLE, f"network cut for {SHORT_CUT_S} s", columns)


async def test_credentials_changed_at_the_broker(stage: Stage, figures: Figures) -> None:
    account, commander, api = stage.account(), stage.commander(), stage.house.api

    async def questions() -> list[dict[str, str]]:
        flows = await api.command("config_entries/flow/progress")
        return [flow for flow in flows if flow["handler"] == "hy_heating"]

    stage.broker.set_password(NEW_PASSWORD)
    stage.simulator.broker = access(stage.broker)
    stage.broker.kill()
    await stage.broker.start()
    (question,) = await wait_for(questions, bool)
    assert question["step_id"] == "reauth_confirm"
    await stage.lost()
    assert await commander.give() == "link_down"
    step = await api.answer_flow(question, {"username": "heat", "password": "wrong horse"})
    assert step["errors"] == {"base": "invalid_auth"}
    step = await api.answer_flow(question, {"username": "heat", "password": NEW_PASSWORD})
    assert (step["type"], step["reason"]) == ("abort", "reauth_successful")
    recovery_s = await stage.recovered()
    assert await questions() == []
    assert await commander.give() == "verified"
    reports = await account.close()
    columns = {**reports, **commander.columns, "recovery, s": recovery_s}
    figures.add(TABLE, "password changed at the broker", columns)


async def test_home_assistant_killed_in_the_middle_of_a_command(
    stage: Stage, figures: Figures
) -> None:
    account, simulator = stage.account(), stage.simulator
    gateway = simulator.fleet.gateways[GATEWAY]
    moves = simulator.moves()
    giving = asyncio.create_task(stage.commander().give())

    async def moved() -> bool:
        return simulator.moves() > moves

    await wait_for(moved, bool, pause_s=0.01)
    await stage.house.kill()  # the device obeys; its reply finds nobody
    killed_at = simulator.clock.now()
    silence = Fault(kind=FaultKind.SILENT_GATEWAY)
    gateway.faults.add(silence)
    assert await giving == "not given"
    commands = gateway.counts["msg_40"]

    await stage.house.start()
    watch = Stopwatch()
    await stage.house.wait_state(stage.valve, lambda state: state["state"] != "unavailable")
    # Nobody reports: what is shown was kept.
    kept = await stage.last_reports()
    oldest_s = killed_at - min(kept.values()).timestamp()
    gateway.faults.clear(FaultKind.SILENT_GATEWAY)
    recovery_s = watch.passed_s
    await stage.shows_the_truth()
    await asyncio.sleep(5)
    assert simulator.moves() == moves + 1, "nothing is sent twice"
    assert gateway.counts["msg_40"] == commands
    reports = await account.close()
    commander = stage.commander()
    assert await commander.give() == "verified"
    columns = {**reports, **commander.columns, "recovery, s": recovery_s}
    figures.add(TABLE, "Home Assistant killed in the middle of a command", columns)
    figures.add("Kept", "oldest reading after a kill, s", {"measured": oldest_s})
    assert oldest_s < KEPT_WITHIN_S + REPORT_EVERY_S
    assert reports["lost"] == 0


async def test_a_restart_with_all_gateways_silent_shows_every_last_value(
    stage: Stage, figures: Figures
) -> None:
    faults = stage.simulator.fleet.gateways[GATEWAY].faults
    faults.add(Fault(kind=FaultKind.SILENT_GATEWAY))
    await asyncio.sleep(2)  # what is on its way

    async def values() -> dict[str, str]:
        registered = {entity["entity_id"] for entity in await stage.house.api.entities()}
        states = await stage.house.api.states()
        return {
            entity_id: states[entity_id]["state"]
            for entity_id in registered & states.keys()
            if not entity_id.startswith(("button.", "event."))
        }

    before, reported = await values(), await stage.last_reports()
    await stage.house.stop()
    await stage.house.start()
    await stage.house.wait_state(stage.valve, lambda state: state["state"] != "unavailable")
    after = await values()
    # The time of the last message is written down as it was, but shown once a minute only.
    del before["sensor.struck_last_seen"]
    changed = {each for each in before if before[each] != after.get(each)}
    figures.add(
        "Kept",
        "states that a restart brings back while all gateways are silent",
        {"measured": f"{len(before) - len(changed)} of {len(before)}"},
    )
    assert await stage.last_reports() == reported
    assert changed == set()
    faults.clear(FaultKind.SILENT_GATEWAY)
    await stage.shows_the_truth()


async def test_a_truncated_store_is_set_aside_and_built_anew(
    stage: Stage, figures: Figures
) -> None:
    account = stage.account()
    (entry,) = await stage.house.api.entries()
    storage = stage.house.hass.folder / ".storage"
    path = storage / f"hy_heating.{entry['entry_id']}"
    await stage.house.stop()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    await stage.house.start()
    watch = Stopwatch()
    issues = (await stage.house.api.command("repairs/list_issues"))["issues"]
    assert [issue for issue in issues if "corrupt" in issue["translation_key"]]
    assert len(list(storage.glob(f"{path.name}.corrupt.*"))) == 1
    await stage.shows_the_truth()
    recovery_s = watch.passed_s
    reports = await account.close()
    figures.add(TABLE, "store truncated", {**reports, "recovery, s": recovery_s})
    assert reports["lost"] == 0

    async def kept() -> int:
        if not path.exists():
            return 0
        return len(json.loads(path.read_text(encoding="utf-8"))["data"]["meters"])

    full = len(stage.simulator.fleet.gateways[GATEWAY].meters)
    await wait_for(kept, lambda meters: meters == full, KEPT_WITHIN_S)


async def test_certificate_expired(stage: Stage, folder: Path, figures: Figures) -> None:
    """A second broker, with TLS and a site's own authority, and a gateway of its own."""
    house, authority, home = stage.house, Authority("The site's own"), folder / "tls"
    files = {name: home / f"server.{name}" for name in ("ca", "crt", "key")}
    options = [f"cafile {files['ca']}", f"certfile {files['crt']}", f"keyfile {files['key']}"]
    broker = Mosquitto(home, options, LOGGED)

    def renew(*, expired: bool) -> None:
        issued = authority.issue(expired=expired)
        files["ca"].write_text(authority.pem, encoding="ascii")
        files["crt"].write_bytes(issued.certificate)
        files["key"].write_bytes(issued.key)

    renew(expired=False)
    await broker.start()
    way = access(broker, tls=True, ca_file=files["ca"])
    scenario = busy_building(TLS_GATEWAY, 1, 2)
    async with WatchedSimulator(scenario, way) as simulator:
        async with asyncio.timeout(10):
            await simulator.wait_connected()
        upload = await house.api.upload("ca.pem", authority.pem.encode())
        entry_id = await house.add_answering_gateway(
            TLS_GATEWAY,
            "Protected",
            port=broker.port,
            password=broker.password,
            encryption="own_ca",
            advanced={"prefix": "hy/gw", "ca_certificate": upload},
        )
        valve = f"{TLS_GATEWAY}_{simulator.valves(TLS_GATEWAY)[0]}_valve"
        await house.wait_state(valve, lambda state: not is_unavailable(state))
    renew(expired=True)
    broker.kill()
    await broker.start()
    await house.wait_state(valve, is_unavailable)

    async def log() -> str:
        return house.hass.log

    await wait_for(log, lambda log: "certificate has expired" in log)
    renew(expired=False)
    broker.kill()
    await broker.start()
    watch = Stopwatch()
    await house.wait_state(f"{TLS_GATEWAY}_connectivity", is_on, 60)
    recovery_s = watch.passed_s
    async with WatchedSimulator(scenario, way) as simulator:
        account = Account(simulator, house)
        await asyncio.sleep(REPORT_EVERY_S)
        reports = await account.close()
        await house.wait_state(valve, lambda state: not is_unavailable(state))
    figures.add(TABLE, "certificate expired", {**reports, "recovery, s": recovery_s})
    assert reports["lost"] == 0
    assert reports["taken"] >= 3
    await house.api.remove_entry(entry_id)
    await broker.stop()


@only_long
async def test_another_client_takes_over_our_session(stage: Stage, figures: Figures) -> None:
    api, account = stage.house.api, stage.account()
    (client_id,) = set(re.findall(r"as (hy-heating-\w+) \(p5, c0", stage.broker.log))

    async def told() -> bool:
        issues = (await api.command("repairs/list_issues"))["issues"]
        return any(issue["translation_key"] == "session_taken_over" for issue in issues)

    for _ in range(TAKEOVERS):
        assert not await told()
        connections = stage.broker.log.count(f" as {client_id} (")
        async with Client(
            "127.0.0.1",
            stage.broker.port,
            username=USERNAME,
            password=stage.broker.password,
            identifier=client_id,
            protocol=ProtocolVersion.V5,
            clean_start=False,
        ):
            await stage.lost()

        async def back(connections: int = connections) -> bool:
            return stage.broker.log.count(f" as {client_id} (") >= connections + 2

        await wait_for(back, bool)
        await stage.recovered()
    assert await told()
    assert "ends our connection again and again" in stage.house.hass.log
    assert await stage.commander().give() == "verified"
    reports = await account.close()
    figures.add(TABLE, f"session taken over {TAKEOVERS} times", reports)

    async def gone() -> bool:
        return not await told()

    await wait_for(gone, bool, CLEAR_S + 30, 5)


@only_long
async def test_a_gateway_that_comes_back_gets_no_stale_command(stage: Stage) -> None:
    """This broker queues even QoS 0; the gateway has a session there, and is away."""
    gateway = Client(
        "127.0.0.1",
        stage.broker.port,
        username=USERNAME,
        password=stage.broker.password,
        identifier="a-gateway-with-a-session",
        clean_session=False,
    )
    async with gateway:
        await gateway.subscribe(command_topic(GATEWAY), qos=1)
    faults = stage.simulator.fleet.gateways[GATEWAY].faults
    faults.add(Fault(kind=FaultKind.SILENT_GATEWAY))
    assert await stage.commander().give() == "gateway_silent"
    await asyncio.sleep(AWAY_S)
    await stage.broker.publish(command_topic(GATEWAY), b"never expires", qos=0)
    async with gateway, asyncio.timeout(5):
        message = await anext(gateway.messages)
    faults.clear(FaultKind.SILENT_GATEWAY)
    # What never expires proves that this broker queues; no command came before it.
    assert message.payload == b"never expires"
    await stage.recovered()
    assert await stage.commander().give() == "verified"
