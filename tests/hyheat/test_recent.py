"""The last frames of each meter, and how often something happened, within bounds."""

import pytest

from custom_components.hy_heating.hyheat.recent import (
    KEPT_FRAMES,
    MAX_METERS,
    RecentCount,
    RecentFrames,
)

# A read command for valve 23227310, and one for cabinet 27100583: only the numbers matter here.
OF_THE_VALVE = bytes.fromhex("6853232273100011110103901F00F716")
OF_THE_CABINET = bytes.fromhex("6855271005830011110103901F000016")


def test_the_last_frames_of_each_meter_are_kept() -> None:
    frames = RecentFrames()
    for second in range(KEPT_FRAMES + 5):
        frames.add(OF_THE_VALVE + bytes((second,)), float(second))
    frames.add(OF_THE_CABINET, 100.0)
    kept = frames.of("23227310")
    assert len(kept) == 20
    assert kept[0] == (5.0, OF_THE_VALVE + b"\x05")
    assert kept[-1] == (24.0, OF_THE_VALVE + b"\x18")
    assert frames.of("27100583") == ((100.0, OF_THE_CABINET),)
    assert frames.of("99999999") == ()


def test_a_meter_that_was_removed_is_forgotten_and_may_return() -> None:
    frames = RecentFrames()
    frames.add(OF_THE_VALVE, 1.0)
    frames.forget("23227310")
    frames.forget("23227310")
    assert frames.of("23227310") == ()
    frames.add(OF_THE_VALVE, 2.0)
    assert frames.of("23227310") == ((2.0, OF_THE_VALVE),)


def test_invented_numbers_do_not_fill_the_memory() -> None:
    frames = RecentFrames()
    for number in range(MAX_METERS + 1):
        frames.add(b"\x68\x53" + number.to_bytes(4), 0.0)
    assert len(frames.of(f"{MAX_METERS - 1:08X}")) == 1
    assert frames.of(f"{MAX_METERS:08X}") == ()
    frames.add(b"\x68\x53" + bytes(4), 1.0)
    assert len(frames.of("00000000")) == 2, "known ones go on"
    frames.forget("00000000")
    frames.add(b"\x68\x53" + MAX_METERS.to_bytes(4), 2.0)
    assert len(frames.of(f"{MAX_METERS:08X}")) == 1, "there is room again"


def test_nothing_has_happened_yet() -> None:
    count = RecentCount()
    assert (count.total, count.per_minute(1e6)) == (0, 0.0)


def test_a_rate_since_the_first_one() -> None:
    count = RecentCount()
    for _ in range(6):
        count.add(1000.0)
    assert count.per_minute(1000.0) == 6.0, "not 6 in no time"
    assert count.per_minute(1060.0) == 6.0
    assert count.per_minute(1120.0) == 3.0, "6 in two minutes"
    assert count.total == 6


def test_the_first_minute_of_all_begins_with_nothing() -> None:
    count = RecentCount()
    count.add(0.0)
    assert count.per_minute(0.0) == 1.0


def test_a_rate_of_the_last_ten_minutes() -> None:
    # Minutes begin at multiples of 60: 30 of them with 4 each, at second 10 of each.
    count = RecentCount()
    for minute in range(30):
        for _ in range(4):
            count.add(60.0 * minute + 10.0)
    # At second 1800 the nine minutes before this one count, 36 in 9 minutes.
    assert count.per_minute(1800.0) == pytest.approx(4.0)
    # Five minutes later the last four of them are left.
    assert count.per_minute(2100.0) == pytest.approx(16 / 9)
    assert count.per_minute(2400.0) == 0.0
    count.add(2400.0)
    assert count.per_minute(2400.0) == pytest.approx(1 / 9)
    assert count.per_minute(1e9) == 0.0, "not a step for each minute of a long night"
    assert count.total == 121


def test_what_comes_after_a_long_silence_counts_alone() -> None:
    count = RecentCount()
    for _ in range(5):
        count.add(0.0)
    count.add(36_000.0)
    assert count.per_minute(36_000.0) == pytest.approx(1 / 9)
