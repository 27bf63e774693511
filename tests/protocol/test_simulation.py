"""Random schedules: owners, dispatchers, janitors and redrivers under every fault, 5,000 seeds."""

import os

import pytest

from tests.protocol.simulate import again, simulate, simulate_apart

SEEDS, CHUNK = 160, 20  # in every run of the tests
ALL, BLOCK = 5000, 1000  # in the slow ones


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_event_is_lost_or_doubled_whatever_fails(first: int) -> None:
    outcome = simulate(range(first, first + CHUNK))
    assert not outcome.failures, again(outcome)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("first", range(0, ALL, BLOCK))
def test_no_event_is_lost_or_doubled_in_thousands_of_schedules(first: int) -> None:
    seeds = range(max(first, SEEDS), first + BLOCK)
    outcome = simulate_apart(seeds, jobs=os.cpu_count() or 1)
    assert outcome.seeds == len(seeds)
    assert not outcome.failures, again(outcome)


def test_the_seeds_meet_every_fault_and_every_step() -> None:
    met = (
        "kills", "losses", "roll-backs", "splits", "freezes", "timeouts", "torn scripts",
        "stores replaced", "stores restored", "wipes", "resyncs", "races lost", "parked",
        "restores", "manifests deleted", "orphans deleted", "stopped: wrong store",
        "parked objects listed again", "parked objects merged", "parked objects deleted",
        "retentions", "lost entries", "dead letters re-driven", "partitions added", "jobs retired",
        "rules changed", "runs given up", "retries asked for",
    )  # fmt: skip
    stat = simulate(range(2 * CHUNK)).stat
    assert [name for name in met if not stat[name]] == []
