"""Random schedules: owners, dispatchers and janitors under every fault, a few hundred seeds."""

import pytest

from tests.protocol.simulate import again, simulate

SEEDS, CHUNK = 160, 20


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_event_is_lost_or_doubled_whatever_fails(first: int) -> None:
    outcome = simulate(range(first, first + CHUNK))
    assert not outcome.failures, again(outcome)


def test_the_seeds_meet_every_fault() -> None:
    faults = (
        "kills", "losses", "roll-backs", "splits", "freezes", "timeouts", "torn scripts",
        "stores replaced", "stores restored", "wipes", "resyncs", "races lost", "parked",
        "restores", "manifests deleted", "orphans deleted", "stopped: wrong store",
    )  # fmt: skip
    stat = simulate(range(CHUNK)).stat
    assert [name for name in faults if not stat[name]] == []
