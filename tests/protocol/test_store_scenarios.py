"""Schedules by hand: an older back-up of the store, another store, a new job beside the janitor."""

import pytest

from tests.protocol.by_hand import (
    Hand,
    Jobs,
    P,
    committed,
    done,
    janitor,
    keys,
    parks,
    run,
    world,
)
from tests.protocol.dispatcher import Runs
from tests.protocol.scenarios import Scenario, name
from tests.protocol.world import World

# --- the store goes back to an earlier state: Redis must not rely on manifests that are gone


def nothing_is_lost(made: World) -> None:
    made.restore_backup()
    Hand(made).recover()
    assert done(made) == len(made.hub[P])


def attach_tells() -> None:
    """Redis is lost, w rises to the checkpoint, and the store goes back behind it."""
    made = world(4, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 2))
    a.maintain()
    made.take_backup()
    committed(a, range(2, 4))
    a.maintain()
    made.redis.lose()
    Hand(made).attach()
    nothing_is_lost(made)


def append_tells() -> None:
    """Events stay out of Redis because another owner, with another Redis, committed them."""
    made = world(4, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 2))
    made.take_backup()
    other = Hand(made)
    other.owner.redis = made.redis.fork()
    other.attach()
    committed(other, range(2, 4))
    run(a.committer.overdue())
    a.append(3)
    nothing_is_lost(made)


def ack_tells() -> None:
    """The last manifest is acknowledged, and nothing else happens until the store goes back."""
    made = world(4, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 3))
    made.take_backup()
    committed(a, range(3, 4))
    nothing_is_lost(made)


def forget_tells() -> None:
    """An owner forgets a durable buffer and dies before it attaches."""
    made = world(4)
    a = Hand(made).attach()
    made.take_backup()
    a.append(2)
    before = keys(made, a)
    made.now = 50
    a.sweep()
    a.drain()
    made.redis.keys[a.owner.t] = before
    run(Hand(made).owner.attach(), stop_before="attach")
    nothing_is_lost(made)


def release_tells() -> None:
    """What is parked leaves Redis, and the store goes back to before it was parked."""
    made = parks(world(4))
    a = Hand(made).attach()
    made.take_backup()
    a.append(2)
    a.maintain()
    nothing_is_lost(made)


def epoch() -> None:
    """A back-up came in, and then Redis goes back to what it said before."""
    made = world(6, max_events=1)
    made.has_epochs = True
    a = Hand(made).attach()
    committed(a, range(1, 3))
    a.maintain()
    made.take_backup()
    committed(a, range(3, 5))
    before = keys(made, a)
    made.restore_backup()
    b = Hand(made).attach()
    made.redis.keys[a.owner.t] = before
    b.append(4)
    b.append(6)
    b.drain()
    b.recover()
    assert done(made) == 6


def low_tells() -> None:
    """An owner moves the checkpoint by what another committed, and goes on from there."""
    made = world(2, max_events=1)
    a, b = Hand(made).attach(), Hand(made).attach()
    made.take_backup()
    a.append(2)
    a.drain()
    b.maintain()
    made.redis.lose()
    run(b.owner.append(made.receive(b.owner.names, P, 0, 2)))
    nothing_is_lost(made)


# --- the store is replaced; where names do not carry its id, what lies inside has to


def foreign_position() -> None:
    """An owner of the old store creates the position of the new one."""
    made = world(4, max_events=1)
    old = Hand(made).attach()
    committed(old, range(1, 4))
    moving = run(old.committer.maintain(), stop_before="replace")
    made.replace_store()
    new = Hand(made)
    run(moving)
    new.recover()
    assert done(made) == 4


def foreign_manifest() -> None:
    """An owner of the old store creates a manifest of the new one."""
    made = world(4, max_events=1)
    old = Hand(made).attach()
    old.append(2)
    committing = run(old.committer.drain(), stop_before="create", count=2)
    made.replace_store()
    new = Hand(made)
    run(committing)
    new.recover()
    assert done(made) == 4


# --- a new job


def opening() -> None:
    """A janitor that listed before the opening record deletes what the job starts from."""
    made = world(9, max_events=1)
    a = Hand(made).attach()
    jobs = Jobs(a)
    committed(a, range(1, 10))
    runs = Runs(made, a.owner.names, "one")
    starting = run(jobs.dispatcher.opened(runs), stop_before="create")  # read first = 0
    a.maintain()
    deleting = run(janitor(a).tidy(), stop_before="delete")
    run(starting)
    run(jobs.dispatcher.serve(jobs.job))
    run(deleting)
    jobs.serve()
    assert jobs.all_recorded(), "manifests are gone that the job had not read"


def jobs_again() -> None:
    """A job opens, and looks, between the janitor's listing and its word on what it deletes."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    jobs = Jobs(a)
    committed(a, range(1, 21))
    a.maintain()
    tidying = run(janitor(a).tidy(), stop_before="replace")
    for _ in range(3):
        run(jobs.dispatcher.serve(jobs.job))  # opens, looks, takes some of twenty manifests
    run(tidying)
    jobs.serve()
    assert jobs.all_recorded(), "manifests are gone that the job had not read"


def first_before_jobs() -> None:
    """A job opens between the janitor's listing and its look at the position."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    jobs = Jobs(a)
    committed(a, range(1, 21))
    tidying = run(janitor(a).tidy(), stop_before="get_versioned", count=3)
    for _ in range(3):
        run(jobs.dispatcher.serve(jobs.job))
    a.maintain()
    run(tidying)
    jobs.serve()
    assert jobs.all_recorded(), "manifests are gone that the job had not read"


def replace_trimmed() -> None:
    """A janitor that slept says less than another has said meanwhile, and is deleting."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    jobs = Jobs(a)
    committed(a, range(1, 6))
    a.maintain()
    saying = run(janitor(a).tidy(), stop_before="replace")
    committed(a, range(6, 19))
    a.maintain()
    deleting = run(janitor(a).tidy(), stop_before="delete")
    run(saying)
    for _ in range(3):
        run(jobs.dispatcher.serve(jobs.job))
    run(deleting)
    jobs.serve()
    assert jobs.all_recorded(), "manifests are gone that the job had not read"


IDS_INSIDE = ("names carry store",)
SCENARIOS = [
    Scenario(("attach tells n",), attach_tells),
    Scenario(("append tells n",), append_tells),
    Scenario(("ack tells n",), ack_tells),
    Scenario(("forget tells n",), forget_tells),
    Scenario(("release tells n",), release_tells),
    Scenario(("low tells n",), low_tells),
    Scenario(("epoch",), epoch),
    Scenario(("position id",), foreign_position, IDS_INSIDE),
    Scenario(("log id",), foreign_manifest, IDS_INSIDE),
    Scenario(("opening",), opening),
    Scenario(("said first",), opening),
    Scenario(("jobs again",), jobs_again),
    Scenario(("first before jobs", "jobs again"), first_before_jobs),
    Scenario(("replace trimmed",), replace_trimmed),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_a_schedule_holds_with_its_guard_and_breaks_without(scenario: Scenario) -> None:
    scenario.check()
