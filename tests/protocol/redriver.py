"""`dead-letters redrive`: dead letters come back as events of a partition of our own.

An object holds events numbered first, first + 1, ..; the next object is named by the number that
follows, so who creates one has read all before it and leaves out what they hold.
"""

from random import Random
from typing import TYPE_CHECKING, NamedTuple

from tests.protocol.blob_model import Blob
from tests.protocol.calls import Steps, WrongStore, call
from tests.protocol.guards import guard
from tests.protocol.identity import check_store, open_store
from tests.protocol.objects import DEAD, REDRIVE, Key, Names, Redriven

if TYPE_CHECKING:
    from tests.protocol.world import World

AT_ONCE = 3  # dead letters in one object
Origin = tuple[str, int]  # partition and number of a dead letter


class Event(NamedTuple):
    number: int
    keys: tuple[Key, ...]  # streams and sensors that it belongs to


class Decoders:
    """What dead letters decode to once their decoder is mended: a function of where they lay."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def keys(self, origin: Origin) -> tuple[Key, ...]:
        partition, number = origin
        rnd = Random(f"{self.seed} {partition} {number}")
        if partition != REDRIVE and rnd.random() < 0.3:
            return (DEAD,)  # still not decodable
        sensor = rnd.choice(("s0", "s1", "s5"))
        return tuple((stream, sensor) for stream in rnd.choice(("a", "b", "ab")))


def redriven(blob: Blob, names: Names, decoders: Decoders, start: int, limit: int) -> list[Event]:
    """Give events from number `start` on; objects are never changed, so one call may read many."""
    events: list[Event] = []
    while (found := blob.get(names.redriven(len(events)))) is not None and found.origins:
        for origin in found.origins:
            events.append(Event(len(events), decoders.keys(origin)))
    return events[start : start + limit]


class Redriver:
    """One command; it ends when it finds nothing that was not re-driven."""

    def __init__(self, world: "World") -> None:
        self.world, self.blob, self.rnd = world, world.blob, world.rnd
        self.next = 0
        self.taken: set[Origin] = set()

    def run(self) -> Steps:
        self.names = yield from open_store(self.world)
        try:
            while (yield from self.redrive()):
                yield from check_store(self.world, self.names)
        except WrongStore:
            self.world.stat["stopped: wrong store"] += 1

    def redrive(self) -> Steps:
        """Write one object of dead letters that no object holds; False if there are none."""
        dead = yield from self.dead_letters()
        while True:
            yield from self.read()
            left = [x for x in dead if x not in self.taken or not guard("redrive once")]
            if not left:
                return False
            chosen = tuple(self.rnd.sample(left, min(len(left), self.rnd.randint(1, AT_ONCE))))
            name = self.names.redriven(self.next)
            if (yield from call(self.blob.create, name, Redriven(self.names.store, chosen))):
                self.world.stat["dead letters re-driven"] += len(chosen)
                return True

    def read(self) -> Steps:
        """Read objects until one is missing."""
        while True:
            found = yield from call(self.blob.get, self.names.redriven(self.next))
            if found is None:
                return
            self.taken.update(found.origins)
            self.next += len(found.origins)

    def dead_letters(self) -> Steps:
        found: list[Origin] = []
        prefix = f"{self.names.root}/log/"
        for name in (yield from call(self.blob.names, prefix)):
            manifest = yield from call(self.blob.get, name)
            for entry in manifest.entries if manifest is not None else ():
                if entry.kind == "batch" and entry.key == DEAD:
                    data = yield from call(self.blob.get, entry.data)
                    p = name[len(prefix) :].split("/")[0]
                    found += [(p, number) for number in (data or {}).get(entry, ())]
        return found
