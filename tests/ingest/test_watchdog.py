"""A link is silent when the hub has more and nothing comes, and not for any other reason."""

from ingest.watchdog import Watchdog


def test_a_link_is_silent_once_the_hub_has_had_more_for_long_enough() -> None:
    dog = Watchdog(60)
    assert [dog.silent(5, now) for now in (0, 30, 59, 60)] == [False, False, False, True]
    assert dog.times == 1


def test_a_quiet_partition_is_not_silent() -> None:
    dog = Watchdog(60)
    assert not dog.silent(5, 0)
    assert not dog.silent(0, 50)
    assert not dog.silent(5, 100)
    assert dog.silent(5, 160)


def test_events_begin_the_time_anew_and_end_the_count() -> None:
    dog = Watchdog(60)
    assert not dog.silent(5, 0)
    assert dog.silent(5, 60)
    with dog.working():
        assert not dog.silent(5, 1_000), "slow work is no silence"
    assert not dog.silent(5, 1_001)
    assert dog.times == 0
    assert dog.silent(5, 1_061)


def test_a_link_that_was_opened_again_gets_its_time() -> None:
    dog = Watchdog(60)
    assert not dog.silent(5, 0)
    dog.opened()
    assert not dog.silent(5, 70)
    assert dog.silent(5, 130)
    assert not dog.silent(5, 131)
    assert dog.silent(5, 191)
    assert dog.times == 2
