"""The simulation over a few hundred seeds, and proof that it finds what is wrong."""

# ruff: noqa: ANN401, ARG005 - what stands in for private parts takes whatever they are given

from collections.abc import Callable, Iterable
import json
from random import Random
import subprocess
import sys
from typing import Any, override

import pytest

from custom_components.hy_heating.hyheat import client as client_module, frame as frame_module
from custom_components.hy_heating.hyheat.client import Event, GatewayClient, ReadingReceived
from custom_components.hy_heating.hyheat.errors import FailureReason
from custom_components.hy_heating.hyheat.exchange import Ended, Replied
from custom_components.hy_heating.hyheat.intake import Refusals
from custom_components.hy_heating.hyheat.plausibility import Judgement, MeterMemory
from custom_components.hy_heating.hyheat.proof import Proof
from custom_components.hy_heating.hyheat.queries import Queries
from custom_components.hy_heating.hyheat.session import Session

from .invariants import BusWatch, Ledger
from .network import Network
from .run import main, report
from .weather import Weather, damaged
from .world import Outcome, run_seed

SEEDS = 200
ENOUGH = 300
"""A planted fault must be found in so many seeds."""


@pytest.mark.parametrize("start", range(0, SEEDS, 25))
def test_what_must_hold_holds(start: int) -> None:
    failed = [
        outcome for seed in range(start, start + 25) if (outcome := run_seed(seed)).violations
    ]
    assert not failed, "\n".join(report(outcome) for outcome in failed)


def test_a_seed_repeats_its_run_to_the_last_event() -> None:
    first, second, other = (run_seed(seed, keep_trace=True) for seed in (7, 7, 8))
    assert len(first.trace) > 100
    assert first.trace == second.trace
    assert first.trace != other.trace


def test_everything_that_can_go_wrong_does() -> None:
    figures: dict[str, int] = {}
    for seed in range(60):
        for what, number in run_seed(seed).figures.items():
            figures[what] = figures.get(what, 0) + number
    for what in (
        "client restarts",
        "gateway restarts",
        "link drops",
        "lost up",
        "lost down",
        "duplicated up",
        "duplicated down",
        "delivered broken",
        "delivered retained",
        "commands of other masters",
        "commands expired at the broker",
        *(f"openings: {end}" for end in ("verified", "superseded", "canceled", "shut_down")),
    ):
        assert figures.get(what), what


# --- Planted faults: each one is found, by the invariant that it breaks ------------------------

type Patch = pytest.MonkeyPatch


def forget_a_superseded_end(patch: Patch) -> None:
    answer = Session._answer

    def forgetful(self: Session, job: Any, reason: Any, *rest: Any) -> None:
        if reason is not FailureReason.SUPERSEDED:
            answer(self, job, reason, *rest)

    patch.setattr(Session, "_answer", forgetful)


def end_a_canceled_one_twice(patch: Patch) -> None:
    cancel = Session.cancel

    def twice(self: Session, ticket: int, now: float) -> Any:
        actions = cancel(self, ticket, now)
        return actions + [each for each in actions if isinstance(each, Ended)]

    patch.setattr(Session, "cancel", twice)


def forget_the_replied(patch: Patch) -> None:
    run = GatewayClient._run

    def forgetful(self: GatewayClient, actions: Any) -> None:
        for each in actions:
            if isinstance(each, Ended):
                self._replies.pop(each.ticket, None)
        run(self, [each for each in actions if not isinstance(each, Replied)])

    patch.setattr(GatewayClient, "_run", forgetful)


def accept_retained_messages(patch: Patch) -> None:
    received = GatewayClient._received
    patch.setattr(
        GatewayClient,
        "_received",
        lambda self, topic, payload, retained: received(self, topic, payload, False),
    )


def send_two_jobs_at_once(patch: Patch) -> None:
    patch.setattr(
        Session,
        "_bus_is_free",
        property(lambda self: self._reading is None and (not self._current or self._wanted)),
    )


def send_while_reports_come_in(patch: Patch) -> None:
    def hurried(self: Session, job: int) -> bool:
        if self._current and self._current.number == job:
            self._current.handed_over = job
        return True

    patch.setattr(Session, "_bus_is_free", property(lambda self: self._current is None))
    patch.setattr(Session, "hand_over", hurried)


def confuse_tries(patch: Patch) -> None:
    """Take it for the failure of any try where an older one was not published."""
    failed = Session.send_failed

    def confused(self: Session, job: int, now: float) -> Any:
        return failed(self, self._current.number if self._current else job, now)

    patch.setattr(Session, "send_failed", confused)
    patch.setattr(client_module, "PUBLISH_MARGIN_S", 0.0)


def drop_some_readings(patch: Patch) -> None:
    change_readings(patch, lambda event, count: [] if count % 7 == 0 else [event])


def repeat_some_readings(patch: Patch) -> None:
    change_readings(patch, lambda event, count: [event] * (2 if count % 7 == 0 else 1))


def change_readings(patch: Patch, change: Callable[[Event, int], Iterable[Event]]) -> None:
    tell, count = GatewayClient._tell, 0

    def changed(self: GatewayClient, event: Event) -> None:
        nonlocal count
        count += isinstance(event, ReadingReceived)
        events = change(event, count) if isinstance(event, ReadingReceived) else [event]
        for each in events:
            tell(self, each)

    patch.setattr(GatewayClient, "_tell", changed)


def take_new_reports_for_old_ones(patch: Patch) -> None:
    judge, count = MeterMemory.judge, 0

    def forgetful(self: MeterMemory, *given: Any, **more: Any) -> Judgement:
        nonlocal count
        count += 1
        return Judgement(True, {}) if count % 5 == 0 else judge(self, *given, **more)

    patch.setattr(MeterMemory, "judge", forgetful)


def let_commands_live_long(patch: Patch) -> None:
    publish = Network.publish

    async def patient(self: Network, topic: str, payload: bytes, **options: Any) -> None:
        await publish(self, topic, payload, expiry_s=3600, fresh=options["fresh"])

    patch.setattr(Network, "publish", patient)


def count_no_refusals(patch: Patch) -> None:
    patch.setattr(Refusals, "add", lambda self, refused: False)


def trust_checksums(patch: Patch) -> None:
    class Right(int):
        __hash__ = int.__hash__

        @override
        def __eq__(self, other: object) -> bool:
            return True

        @override
        def __ne__(self, other: object) -> bool:
            return False

    checksum = frame_module.checksum
    patch.setattr(frame_module, "checksum", lambda body: Right(checksum(body)))


def take_a_reply_for_a_proof(patch: Patch) -> None:
    confirmed = Session._confirmed

    def hasty(self: Session, job: Any, request: Any, now: float) -> None:
        confirmed(self, job, request, now)
        if proof := self._proofs.get(request.meter.address):
            self._proofs.end(proof, None, now)

    patch.setattr(Session, "_confirmed", hasty)


def take_any_report_for_a_proof(patch: Patch) -> None:
    patch.setattr(Proof, "judge", lambda self, reading, now: True)


def take_own_commands_for_foreign(patch: Patch) -> None:
    patch.setattr(GatewayClient, "_is_own", lambda self, payload: False)


def stay_silent_for_ever(patch: Patch) -> None:
    """Never find a gateway again that was silent once."""
    receive = Session.receive

    def grim(self: Session, *given: Any) -> Any:
        misses = self._misses
        actions = receive(self, *given)
        self._misses = max(self._misses, misses if misses >= 3 else 0)
        return actions

    patch.setattr(Session, "receive", grim)


def leave_a_timer(patch: Patch) -> None:
    close = Session.close

    def careless(self: Session, now: float) -> Any:
        patch.setattr(self, "next_deadline", lambda: now + 3600)
        return close(self, now)

    patch.setattr(Session, "close", careless)


def break_the_loop(patch: Patch) -> None:
    tick, count = GatewayClient._tick, 0

    def broken(self: GatewayClient) -> None:
        nonlocal count
        count += 1
        tick(self)
        if count % 10 == 0:
            raise RuntimeError("planted")

    patch.setattr(GatewayClient, "_tick", broken)


def forget_unanswered_queries(patch: Patch) -> None:
    end = Queries._end

    def forgetful(self: Queries, pending: Any, reason: Any, *rest: Any) -> None:
        if reason is FailureReason.GATEWAY_SILENT:
            pending.tickets.clear()
        end(self, pending, reason, *rest)

    patch.setattr(Queries, "_end", forgetful)


def spin(patch: Patch) -> None:
    """Wake up again and again for what is never done."""
    tick = Session.tick
    patch.setattr(Session, "tick", lambda self, now: [] if self._reading else tick(self, now))


PLANTED: dict[Callable[[Patch], None], str] = {
    forget_a_superseded_end: "every command ends once",
    end_a_canceled_one_twice: "no exception",
    forget_the_replied: "every command ends once",
    forget_unanswered_queries: "every command ends once",
    accept_retained_messages: "what must be refused is refused and counted",
    send_two_jobs_at_once: "one job on the bus",
    send_while_reports_come_in: "one job on the bus",
    confuse_tries: "one job on the bus",
    drop_some_readings: "what arrives intact is told once",
    repeat_some_readings: "what arrives intact is told once",
    take_new_reports_for_old_ones: "the last state is the true one",
    let_commands_live_long: "no command arrives late",
    count_no_refusals: "every refusal is counted once",
    trust_checksums: "no value differs from what a device sent",
    take_a_reply_for_a_proof: "verified is what a report showed",
    take_any_report_for_a_proof: "verified is what a report showed",
    take_own_commands_for_foreign: "other masters' commands are told, ours are not",
    stay_silent_for_ever: "a healed network obeys",
    leave_a_timer: "nothing is left behind",
    break_the_loop: "no exception",
    spin: "time goes on",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Callable[[Patch], None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        found = _found(PLANTED[plant])
    assert found
    assert found.trace
    assert f"--seeds 1 --start {found.seed} --trace" in report(found)
    assert run_seed(found.seed).violations == []  # it is the planted fault


def _found(invariant: str) -> Outcome | None:
    for seed in range(ENOUGH):
        outcome = run_seed(seed)
        if any(each.startswith(f"{invariant}: ") for each in outcome.violations):
            return outcome
    return None


# --- The harness itself ------------------------------------------------------------------------


def test_damage_is_one_byte_of_a_frame_or_no_json() -> None:
    frame = b"6853232273100011118404A01900644A16"  # the sum of all before 4A is 34A
    payload = (
        b'{"gw":{"msg_id":40,"msg_gw_pr":0,"gw_id":"02345678903"},"data":'
        b'{"transparent_port":0,"meter_data":["' + frame + b'"]}}'
    )
    head, tail = payload.split(frame)
    random, frames = Random(1), 0
    for _ in range(500):
        broken = damaged(payload, random)
        if len(broken) == len(payload) and broken.startswith(head) and broken.endswith(tail):
            frames += 1
            found = bytes.fromhex(broken.removeprefix(head).removesuffix(tail).decode())
            whole = bytes.fromhex(frame.decode())
            assert sum(a != b for a, b in zip(whole, found, strict=True)) == 1
        else:
            with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
                json.loads(broken)
    assert 250 < frames < 450  # 7 of 10
    wrong = payload.replace(b"4A16", b"4B16")  # as a device itself may send it
    for _ in range(100):
        with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
            json.loads(damaged(wrong, random))


@pytest.mark.parametrize(
    ("waited_s", "allowed"), [(9.9, False), (10.0, True)], ids=["in flight", "given up"]
)
def test_the_watch_over_the_bus_knows_the_time_of_a_command(waited_s: float, allowed: bool) -> None:
    now = 0.0
    ledger = Ledger(lambda: now)
    watch = BusWatch(ledger)
    command = b'{"gw":{"msg_id":40},"data":{"transparent":"FE6853232273100011110404A01900642916"}}'
    watch.published(command, object(), now)
    watch.published(command, object(), waited_s)
    assert (not ledger.violations) is allowed


def test_a_healed_network_loses_nothing() -> None:
    calm, random = Weather(), Random(1)
    assert {calm.copies(random) for _ in range(100)} == {1}
    assert {calm.touched(b"{}", random) for _ in range(100)} == {b"{}"}


def test_the_command_line_tells_how_it_went() -> None:
    command = [sys.executable, "-m", "tests.simulation.run", "--seeds", "3", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "3 passed, 0 failed"


def test_the_command_line_shows_a_failed_seed_and_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["run", "--seeds", "2", "--start", "5", "--jobs", "1"])
    with monkeypatch.context() as patch:
        drop_some_readings(patch)
        assert main() == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "seed 5 failed:"
    assert "again: scripts/simulate --seeds 1 --start 5 --trace" in told
    assert any("VIOLATED what arrives intact is told once" in line for line in told)
    assert told[-1] == "0 passed, 2 failed"
    assert main() == 0
    assert capsys.readouterr().out.splitlines()[-1] == "2 passed, 0 failed"
