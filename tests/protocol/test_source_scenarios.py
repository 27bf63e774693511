"""Schedules by hand: the hub no longer has what was not appended; what is re-driven; partitions."""

from contextlib import suppress

import pytest

from tests.protocol.by_hand import SENSOR, Hand, Jobs, P, committed, janitor, run, trimmed, world
from tests.protocol.calls import Reattach
from tests.protocol.guards import guard
from tests.protocol.objects import DEAD, REDRIVE
from tests.protocol.redriver import Event, Redriver
from tests.protocol.scenarios import Scenario, name
from tests.protocol.world import World

# --- the hub's retention overtakes


def nothing_is_missing(made: World) -> None:
    """Let a newcomer finish: each event is in a batch, or said to be lost, and is."""
    Hand(made).recover()
    truth = made.truth
    assert truth is not None
    missing = set(range(made.visible[P])) - truth.lost[P]
    assert not missing - {n for key, n in truth.durable[P]}, f"missing: {missing}"


def half_gone() -> World:
    """Six events; the hub has the last two only, and nothing was appended."""
    made = world(6)
    made.visible[P], made.hub_first[P] = 6, 4
    return made


def gap_received() -> None:
    """Retention overtakes a receiver that is open."""
    made = world(6)
    a = Hand(made).attach()
    a.append(2)
    made.hub_first[P] = 4
    made.visible[P] = 6
    with suppress(Reattach):
        receiving = run(a.owner.receiving(), stop_before="append")
        run(receiving, stop_before="receive")
    nothing_is_missing(made)


def lost_first() -> None:
    """The owner dies between its two steps."""
    made = half_gone()
    second = "append" if guard("lost first") else "create"
    run(Hand(made).owner.attach(), stop_before=second)
    nothing_is_missing(made)


def lost_is_appended() -> None:
    """Redis goes back after the owner has said what is lost, and before w passes it."""
    made = world(6)
    a = Hand(made).attach()
    a.append(3)
    made.hub_first[P], made.visible[P] = 4, 6
    attaching = run(Hand(made).owner.attach(), stop_before="hub_range")
    attaching = run(attaching, stop_before="create", count=1)
    made.redis.lose()
    with suppress(Reattach):
        run(attaching)
    nothing_is_missing(made)


def lost_tells_n() -> None:
    """The store goes back to before it said what is lost."""
    made = world(6)
    a = Hand(made).attach()
    a.append(1)
    made.take_backup()
    made.hub_first[P], made.visible[P] = 4, 6
    run(Hand(made).owner.attach())
    made.restore_backup()
    nothing_is_missing(made)


def trim_lost() -> None:
    """A slow sensor holds the checkpoint; manifests behind it are deleted."""
    made = world(12, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 3))
    a.append(3)  # sealed, not committed: holds the checkpoint
    made.hub_first[P], made.visible[P] = 5, 5
    a.attach()
    a.maintain()
    run(janitor(a).tidy())
    a.recover()


# --- re-driven


def dead_letters(count: int) -> tuple[World, Hand]:
    """Events that cannot be decoded, in batches."""
    made = world(0)
    made.partitions.append(REDRIVE)
    for number in range(count):
        made.add_event(P, Event(number, (DEAD,)))
    hand = Hand(made).attach()
    hand.append(count)
    made.now = 50
    hand.everything()
    return made, hand


def redrive_once() -> None:
    """The command is given twice."""
    made, _ = dead_letters(3)
    for _ in range(2):
        run(Redriver(made).run(), stop_before="check_store")


def create_only_redrive() -> None:
    """Two commands write the same object."""
    made, _ = dead_letters(3)
    first = run(Redriver(made).run(), stop_before="create")
    run(Redriver(made).run())
    run(first)


# --- a partition that a dispatcher does not know


def vector_passed_on() -> None:
    """One dispatcher knows the new partition, another does not."""
    made = world(4, max_events=1)
    made.partitions.remove("1")
    a = Hand(made).attach()
    old = Jobs(a)
    committed(a, range(1, 3))
    old.serve()
    made.partitions.append("1")
    for event in made.hub[P][:2]:
        made.add_event("1", event)
    other = Hand(made, "1").attach()
    committed(other, range(1, 3))
    Jobs(a).serve()
    committed(a, range(3, 5))
    old.serve()
    Jobs(a).serve()
    assert old.all_recorded()


def partitions_listed() -> None:
    """A dispatcher that does not know a partition opens a job, after retention worked there."""
    made = world(4, max_events=1)
    made.partitions.remove("1")
    a = Hand(made).attach()
    committed(a, range(1, 3))
    unknowing = Jobs(a)
    made.partitions.append("1")
    for number in range(9):
        made.add_event("1", Event(number, (SENSOR,)))
    other = Hand(made, "1").attach()
    committed(other, range(1, 4))
    trimmed(other, 8)
    committed(other, range(9, 10))
    unknowing.serve()
    Jobs(a).serve()
    assert unknowing.all_recorded(), "manifests are gone that the job should begin with"


SCENARIOS = [
    Scenario(("gap received",), gap_received),
    Scenario(("lost first",), lost_first),
    Scenario(("lost is appended",), lost_is_appended),
    Scenario(("lost tells n",), lost_tells_n),
    Scenario(("trim lost",), trim_lost),
    Scenario(("redrive once",), redrive_once),
    Scenario(("create-only redrive",), create_only_redrive),
    Scenario(("vector passed on",), vector_passed_on),
    Scenario(("partitions listed",), partitions_listed),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_a_schedule_holds_with_its_guard_and_breaks_without(scenario: Scenario) -> None:
    scenario.check()
