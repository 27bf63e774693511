"""Schedules by hand for guards that random ones hardly need: with it holds, without it breaks."""

from contextlib import suppress

import pytest

from tests.protocol.by_hand import (
    SENSOR,
    Hand,
    P,
    committed,
    done,
    keys,
    parks,
    run,
    trimmed,
    world,
)
from tests.protocol.calls import Reattach
from tests.protocol.scenarios import Scenario, name


def overdue() -> None:
    """A roll-back brings an older buffer back; when it is gone, Redis has none for the piece."""
    made = parks(world(4))
    a = Hand(made).attach()
    a.append(2)
    before = keys(made, a)
    made.now = 20
    a.sweep()
    a.drain()
    a.append(4)
    a.maintain()  # parks 2 and 3
    made.redis.keys[a.owner.t] = before
    a.recover()
    assert done(made) == 4, f"never sealed: {a.owner.view.in_use()}"


def learn() -> None:
    """Another owner parks and dies before it moves the position, and no event comes any more."""
    made = parks(world(2))
    a, other = Hand(made).attach(), Hand(made).attach()
    other.append(2)
    run(other.committer.maintain(), stop_before="replace")
    a.maintain()
    for made.now in range(100, 2000, 100):
        a.everything()
    assert done(made) == 2, "never sealed, and the owner does not know it"


def open_counted() -> None:
    """A roll-back undoes a seal and nothing else, and no event comes any more."""
    made = world(2)
    a = Hand(made).attach()
    a.append(2)
    before = keys(made, a)
    made.now = 20
    a.sweep()
    made.redis.keys[a.owner.t] = before
    for made.now in range(100, 2000, 100):
        a.everything()
    assert done(made) == 2, "open for ever, and the owner does not know it"


def held_off() -> None:
    """After an attach one task begins to read the states, and the other appends.

    What it knows is of before the attach; Redis has as many items, but other ones.
    """
    made = world(4)
    a = Hand(made).attach()
    a.append(1)
    a.append(2)  # 0, 1
    made.redis.lose()
    other = Hand(made).attach()
    other.append(2)
    other.append(3)  # 0 and 1, 2
    a.attach()
    sweep = run(a.committer.sweep(), stop_before="opened")
    made.visible[P] = 4
    append = run(a.owner.alone(a.owner.append(made.hub[P][3:4])), stop_before="wait")
    run(sweep)
    if append is not None:
        run(append)
    found = made.redis.opened(a.owner.t)
    assert [buffer.total for buffer in found.values()] == [4]


def read_check() -> None:
    """A slow reader meets a manifest that a zombie created under a deleted number."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 4))
    zombie, reader = Hand(made).attach(), Hand(made)
    reading = run(reader.owner.attach(), stop_before="get", count=5)  # has manifests 0 to 2
    trimmed(a, 10)
    a.append(11)  # sealed, not committed
    with suppress(Reattach):
        zombie.drain()  # creates number 3 once more
    run(reading)
    reader.drain()
    a.drain()
    a.maintain()


def number_check() -> None:
    """A zombie creates a deleted number and believes that it has committed."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 4))
    zombie = Hand(made).attach()
    trimmed(a, 10)
    a.append(11)
    with suppress(Reattach):
        zombie.drain()
    a.drain()
    a.maintain()


def replace_position() -> None:
    """A zombie moves `first` back to where manifests have been deleted."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 4))
    moving = run(Hand(made).attach().committer.maintain(), stop_before="replace")
    trimmed(a, 10)
    committed(a, range(11, 12))
    with suppress(Reattach):
        run(moving)
    made.max_events = 2  # other batches under the numbers that were deleted
    Hand(made).recover()
    assert done(made) == 20


def lost_position() -> None:
    """An owner that lost the position takes over its version, but not its `first`."""
    made = world(20, max_events=1)
    a = Hand(made).attach()
    committed(a, range(1, 4))
    zombie = Hand(made).attach()
    trimmed(a, 10)
    for upto in (11, 12):
        committed(a, range(upto, upto + 1))
        with suppress(Reattach):
            zombie.maintain()
            continue
        zombie.attach()
    a.append(13)
    newcomer = Hand(made).attach()
    newcomer.append(made.visible[P])
    newcomer.drain()
    newcomer.maintain()


def peek_is_one() -> None:
    """Between two reads of a committer, both seals are undone and made again by another owner."""
    made = world(4, max_events=2)
    a = Hand(made).attach()
    before = keys(made, a)
    a.append(2)
    a.append(4)
    b = Hand(made).attach()
    draining = run(b.committer.drain(), stop_before="peek", count=2)  # knows the numbers
    made.redis.keys[a.owner.t] = before
    if draining is not None:
        draining = run(draining, stop_before="peek", count=2)  # the first one is not there
    a.attach()
    a.append(2)
    a.append(4)
    if draining is not None:
        run(draining)
    a.drain()
    a.maintain()


def ack_checks() -> None:
    """A slow owner acknowledges a seal number that means other events since a loss."""
    made = world(4, max_events=2)
    a = Hand(made).attach()
    a.append(2)
    zombie = Hand(made).attach()
    acknowledging = run(zombie.committer.drain(), stop_before="ack")
    made.redis.lose()
    a.attach()
    a.append(4)  # number 1 is now 2 and 3
    a.append(4)
    with suppress(Reattach):
        run(acknowledging)
    a.drain()
    a.maintain()


def forget_checks() -> None:
    """A durable buffer comes back; one owner adds to it, another still wants to forget it."""
    made = world(4)
    a, b, c = Hand(made).attach(), Hand(made), Hand(made)
    a.append(2)
    before = keys(made, a)
    attaching = run(b.owner.attach(), stop_before="opened")  # has read an empty log
    made.now = 50
    a.sweep()
    a.drain()
    made.redis.keys[a.owner.t] = before
    forgetting = run(c.owner.attach(), stop_before="forget")
    run(attaching)
    b.append(4)
    run(forgetting)
    c.recover()
    assert done(made) == 4


def low_checks() -> None:
    """Redis is lost when all events were appended, and no event comes any more."""
    made = world(2)
    a = Hand(made).attach()
    a.append(2)
    made.redis.lose()
    for made.now in range(100, 1000, 100):
        a.append(2)
        try:
            a.everything()
        except Reattach:
            a.attach()
    assert done(made) == 2, "never committed, and the owner does not know that they are gone"


def went_back(hand: Hand) -> Hand:
    """Let Redis be lost, and another owner append 0, 1 and 2, as three items in two buffers."""
    hand.append(1)
    hand.append(3)  # items 0; 1, 2
    hand.world.redis.lose()
    other = Hand(hand.world).attach()
    other.append(1)
    hand.world.now = 20
    other.sweep()
    other.append(2)
    return other


def test_as_many_items_at_the_same_w_on_another_way_cost_a_size_only() -> None:
    made = world(5)
    a = Hand(made).attach()
    other = went_back(a)
    other.append(3)  # open: 1; 2
    a.append(4)
    buffer = made.redis.opened(a.owner.t)[SENSOR]
    assert (buffer.excused, buffer.state, buffer.total) == (True, 4, 3)
    a.recover()
    assert done(made) == 5


def test_as_many_items_are_not_excused_where_redis_did_not_go_back() -> None:
    made = world(5)
    a = Hand(made).attach()
    a.append(1)
    a.append(3)
    a.owner.policy.states[SENSOR] = (2, 2, 10)
    a.append(4)
    with pytest.raises(AssertionError, match="STATE"):
        made.redis.opened(a.owner.t)


SCENARIOS = [
    Scenario(("overdue",), overdue),
    Scenario(("low checks",), low_checks),
    Scenario(("learn", "look first", "low tells n"), learn),
    Scenario(("open counted",), open_counted),
    Scenario(("held off",), held_off),
    Scenario(("read check",), read_check),
    Scenario(("number check",), number_check),
    Scenario(("replace position",), replace_position),
    Scenario(("lost position", "low tells n"), lost_position),
    Scenario(("peek is one",), peek_is_one),
    Scenario(("ack checks",), ack_checks),
    Scenario(("forget checks",), forget_checks),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_a_schedule_holds_with_its_guard_and_breaks_without(scenario: Scenario) -> None:
    scenario.check()
