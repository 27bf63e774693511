"""Schedules taken step by step by hand, for what random ones hardly ever meet."""

from contextlib import suppress
from random import Random
from typing import Any

from tests.protocol.calls import Call, Reattach, Steps
from tests.protocol.dispatcher import Dispatcher
from tests.protocol.identity import open_store
from tests.protocol.janitor import Janitor
from tests.protocol.objects import Key
from tests.protocol.owner import Owner
from tests.protocol.redis_model import Keys
from tests.protocol.redriver import Event
from tests.protocol.world import World

SENSOR: Key = ("a", "x")
ODD: Key = ("a", "y")
P = "0"


class Still(Random):
    """Draws nothing by chance: no free seal, the longest read."""

    def random(self) -> float:
        return 0.999

    def randint(self, a: int, b: int) -> int:
        return b


def world(events: int, *, max_events: int = 99, two_sensors: bool = False) -> World:
    """One partition with events of one sensor, or of two in turns."""
    made = World(0, events=0, parking=False)
    made.partitions = ["0", "1"]
    made.rnd = Still()
    for number in range(events):
        key = ODD if two_sensors and number % 2 else SENSOR
        made.add_event(P, Event(number, (key,)))
    made.max_events, made.carry_after, made.merging = max_events, 1000, 0
    made.has_epochs, made.on_lost_position = False, "retention"
    made.patience = lambda key: made.now + 10  # type: ignore[method-assign]
    return made


def parks(made: World) -> World:
    made.parking, made.park_distance = True, 0
    return made


class Paused:
    """Steps that stopped before one of their calls."""

    def __init__(self, steps: Steps, pending: Call | None) -> None:
        self.steps, self.pending = steps, pending


def run(steps: Steps | Paused, stop_before: str = "", count: int = 1) -> Any:
    """Take steps to their end and give what they gave; or stop before the count-th call."""
    paused = steps if isinstance(steps, Paused) else Paused(steps, None)
    try:
        pending = paused.pending or next(paused.steps)
        while True:
            function, args = pending
            count -= function.__name__ == stop_before
            if count == 0:
                return Paused(paused.steps, pending)
            pending = paused.steps.send(function(*args))
    except StopIteration as end:
        return end.value


class Hand:
    """One owner of a partition, whose tasks are called by hand."""

    def __init__(self, made: World, p: str = P) -> None:
        self.world, self.owner, self.p = made, Owner(made, p), p
        self.owner.use(run(open_store(made)))
        self.committer = self.owner.committer

    def attach(self) -> "Hand":
        run(self.owner.attach())
        return self

    def append(self, upto: int) -> None:
        """Append the events below `upto`, after another attach if need be."""
        self.world.visible[self.p] = upto
        with suppress(Reattach):
            self._append()
            return
        self.attach()
        self._append()

    def _append(self) -> None:
        owner = self.owner
        if events := self.world.receive(owner.names, self.p, owner.acked + 1, 1000):
            run(owner.append(events))

    def sweep(self) -> None:
        run(self.committer.sweep())

    def drain(self) -> None:
        run(self.committer.drain())

    def maintain(self) -> None:
        run(self.committer.maintain())

    def everything(self) -> None:
        """All that the committing task does, once."""
        self.sweep()
        self.drain()
        run(self.committer.overdue())
        self.maintain()

    def recover(self) -> None:
        """Attach, receive all there is, and let time pass until it is committed."""
        self.attach()
        for now in range(self.world.now + 100, self.world.now + 2000, 100):
            self.world.now = now
            with suppress(Reattach):
                self.append(len(self.world.hub[P]))
                self.everything()
                continue
            self.attach()


def keys(made: World, hand: Hand) -> Keys:
    return made.redis._read(hand.owner.t).copy()


def done(made: World, key: Key = SENSOR) -> int:
    assert made.truth is not None
    return made.truth.done[P][key]


def committed(hand: Hand, numbers: range) -> None:
    """Append and commit one event after another."""
    for upto in numbers:
        hand.append(upto)
        hand.drain()


def trimmed(hand: Hand, upto: int) -> None:
    """Commit on, move the position, and delete the manifests below it."""
    committed(hand, range(hand.world.visible[hand.p] + 1, upto + 1))
    hand.maintain()
    position, _ = run(hand.owner.log.position())
    for n in range(position.first):
        hand.world.blob.delete(hand.owner.names.manifest(hand.p, n))
    assert position.first > 3


class Jobs:
    """A dispatcher whose steps are taken by hand, and its first job."""

    def __init__(self, hand: Hand) -> None:
        self.world, self.dispatcher = hand.world, Dispatcher(hand.world)
        self.dispatcher.names = hand.owner.names
        self.job = hand.world.jobs["one"]

    def serve(self) -> None:
        for _ in range(20):
            run(self.dispatcher.serve(self.job))

    def all_recorded(self) -> bool:
        truth = self.world.truth
        assert truth is not None
        end = {p: len(log) for p, log in truth.log.items()}
        return not truth.batches(self.job, truth.vector("one"), end)


def janitor(hand: Hand) -> Janitor:
    made = Janitor(hand.world)
    made.names = hand.owner.names
    return made
