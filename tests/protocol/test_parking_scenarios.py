"""Schedules by hand: parked objects that are listed again, merged and deleted."""

from contextlib import suppress

import pytest

from tests.protocol.by_hand import ODD, SENSOR, Hand, P, done, janitor, keys, parks, run, world
from tests.protocol.calls import Reattach
from tests.protocol.scenarios import Scenario, name
from tests.protocol.world import World


def parked(made: World, hand: Hand, upto: int) -> None:
    """Append the events below `upto` and park all that is open."""
    hand.append(upto)
    hand.maintain()


def sealed(made: World, hand: Hand, *seal: tuple[str, str]) -> None:
    """Seal the open buffers of these keys, and commit them."""
    made.redis.seal(hand.owner.t, seal)
    for key in seal:
        hand.owner.policy.states.pop(key, None)
    hand.drain()


def carry_used() -> None:
    """A piece was superseded by a batch that lies below `first` when its object is read again."""
    made = parks(world(8, two_sensors=True))
    made.patience = lambda _: 1000  # type: ignore[method-assign]
    a = Hand(made).attach()
    parked(made, a, 2)  # one object with a piece of each sensor
    sealed(made, a, SENSOR)
    made.carry_after = 0
    parked(made, a, 4)  # lists the first object again, or its piece that is in use
    parked(made, a, 6)
    newcomer = Hand(made)
    made.redis.lose()
    newcomer.recover()
    assert (done(made), done(made, ODD)) == (4, 4)


def join_neighbours() -> None:
    """Two pieces of a key are merged, and another object holds what lies between."""
    made = parks(world(6))
    made.patience = lambda _: 1000  # type: ignore[method-assign]
    a = Hand(made).attach()
    for upto in (2, 4, 6):
        parked(made, a, upto)
    first, _, third = a.owner.view.in_use()
    draft = a.committer.draft()
    run(a.committer.parking.merge(draft, [first, third]))
    run(a.committer.write(draft))
    a.recover()
    assert done(made) == 6


def straddling_stays() -> None:
    """Another owner parked the first half of what lies in Redis as one element."""
    made = parks(world(4))
    a = Hand(made).attach()
    before = keys(made, a)
    a.append(2)
    parking = run(a.committer.maintain(), stop_before="release")  # parked 0 and 1
    made.redis.keys[a.owner.t] = before
    other = Hand(made)
    run(other.owner.attach(), stop_before="attach")
    other.owner.view.pieces.clear()  # it read the log before that manifest was there
    made.visible[P] = 4
    run(other.owner.append(made.receive(other.owner.names, P, 0, 4)))  # one element, 0 to 3
    with suppress(Reattach):
        run(parking)
    a.recover()
    assert done(made) == 4


def whole_pieces() -> None:
    """What was parked reaches further than the buffer that a roll-back brings back."""
    made = parks(world(4))
    a = Hand(made).attach()
    a.append(2)
    before = keys(made, a)
    a.append(4)
    a.maintain()
    made.redis.keys[a.owner.t] = before
    a.recover()
    assert done(made) == 4


def parked_listed() -> None:
    """A parked object was superseded, and a manifest that lists it is read still."""
    made = parks(world(6))
    a = Hand(made).attach()
    parked(made, a, 2)
    sealed(made, a, SENSOR)
    run(janitor(a).tidy())
    a.recover()
    assert done(made) == 6


def parked_in_flight() -> None:
    """A janitor looks at an object whose manifest is about to be created."""
    made = parks(world(2))
    a = Hand(made).attach()
    a.append(2)
    parking = run(a.committer.maintain(), stop_before="create", count=3)
    run(janitor(a).tidy())
    run(parking)
    a.recover()
    assert done(made) == 2


SCENARIOS = [
    Scenario(("carry used",), carry_used),
    Scenario(("whole pieces",), whole_pieces),
    Scenario(("join neighbours",), join_neighbours),
    Scenario(("straddling stays",), straddling_stays),
    Scenario(("parked listed",), parked_listed),
    Scenario(("parked in flight",), parked_in_flight),
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name)
def test_a_schedule_holds_with_its_guard_and_breaks_without(scenario: Scenario) -> None:
    scenario.check()
