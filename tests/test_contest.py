"""Two masters at one valve: when it is a contest, and when it is over."""

from custom_components.hy_heating.contest import Contest

MINUTE = 60.0


def test_turns_within_minutes_are_a_contest_until_the_other_one_is_quiet() -> None:
    contest = Contest()
    for minute, own in ((0, True), (3, False), (6, True)):
        contest.see(100 if own else 20, minute * MINUTE, own=own)
        assert not contest.found(minute * MINUTE)
    contest.see(20, 9 * MINUTE, own=False)
    assert contest.found(9 * MINUTE)
    contest.see(100, 60 * MINUTE, own=True)
    assert contest.found(69 * MINUTE)
    assert not contest.found(69 * MINUTE + 1), "an hour after the other's last command"
    assert not contest.found(0), "and it stays so"


def test_turns_far_apart_are_none() -> None:
    contest = Contest()
    for minute, own in ((0, True), (5, False), (10, True), (16, False)):
        contest.see(100 if own else 20, minute * MINUTE, own=own)
    assert not contest.found(16 * MINUTE)
    contest.see(100, 18 * MINUTE, own=True)
    assert contest.found(18 * MINUTE), "the last four are within 15 minutes"


def test_who_wishes_the_same_does_not_fight() -> None:
    contest = Contest()
    for minute in range(8):
        contest.see(50, minute * MINUTE, own=minute % 2 == 0)
    assert not contest.found(8 * MINUTE)


def test_one_master_alone_does_not_fight() -> None:
    contest = Contest()
    for minute in range(8):
        contest.see(minute, minute * MINUTE, own=False)
    assert not contest.found(8 * MINUTE)
