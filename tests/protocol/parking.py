"""Parking: open buffers of slow sensors move into the store, so that the checkpoint can move on."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from tests.protocol.calls import Gone, Steps, call
from tests.protocol.guards import guard
from tests.protocol.objects import PARKED, Entry, Key, Piece, index_of
from tests.protocol.redis_model import Open, Shell

if TYPE_CHECKING:
    from tests.protocol.committer import Committer

Parkable = Sequence[tuple[Key, Open]]
BUFFERS, EVENTS = 3, 8  # of one PARKABLE
CALL_KEYS = 3  # of one RESTORE


@dataclass
class Draft:
    """What manifest n is going to hold, and its objects: data by stream, one of parked pieces."""

    n: int
    nonce: str
    parked: str  # name of its parked object
    entries: list[Entry] = field(default_factory=list)
    data: dict[str, dict[Entry, tuple[int, ...]]] = field(default_factory=dict)
    pieces: dict[Piece, tuple[int, ...]] = field(default_factory=dict)

    def add_batch(self, key: Key, events: Sequence[int], name: str) -> None:
        entry = Entry("batch", key, events[0], events[-1], len(events), name)
        self.entries.append(entry)
        self.data.setdefault(name, {})[entry] = tuple(events)

    def add_piece(self, key: Key, events: Sequence[int], due: int) -> None:
        piece = Piece(key, events[0], events[-1], len(events), due, self.parked)
        self.pieces[piece] = tuple(events)

    def list_again(self, name: str, index: Sequence[Piece], used: Collection[Piece]) -> None:
        """Put the entry in front: batches of this manifest may supersede its pieces."""
        rows = tuple(row for row, piece in enumerate(index) if piece in used)
        self.entries.insert(0, listing(name, used, rows if guard("carry used") else ()))

    def close(self) -> list[tuple[str, Any]]:
        """List the new parked object, and give all objects that the manifest names."""
        objects: list[tuple[str, Any]] = list(self.data.items())
        if self.pieces:
            self.entries.append(listing(self.parked, self.pieces))
            objects += [(self.parked, self.pieces), (index_of(self.parked), tuple(self.pieces))]
        return objects


def listing(name: str, pieces: Iterable[Piece], used: tuple[int, ...] = ()) -> Entry:
    """Give the one entry of a parked object."""
    pieces = list(pieces)
    first, last = min(x.first for x in pieces), max(x.last for x in pieces)
    return Entry("parked", PARKED, first, last, sum(x.events for x in pieces), name, used)


class Parking:
    """The committer's steps that write, list and merge parked objects."""

    def __init__(self, committer: "Committer") -> None:
        self.owner, self.world = committer.owner, committer.world
        self.blob, self.t, self.commit = committer.blob, committer.t, committer.commit
        self.drain = committer.drain

    # --- E2

    def park(self, upto: int) -> Steps:
        """Park the buffers that hold the checkpoint below `upto`."""
        parkable = yield from call(self.owner.redis.parkable, self.t, upto, BUFFERS, EVENTS)
        if not parkable:  # a sealed buffer holds it: commit that first
            yield from self.drain()
            return
        if not guard("release last"):
            yield from self.release([(key, buffer.last) for key, buffer in parkable])
        yield from self.commit(parkable=parkable)
        self.world.stat["parked"] += 1
        yield from self.release([(key, self.owner.view.mark(key)) for key, _ in parkable])

    def release(self, marks: Sequence[tuple[Key, int]]) -> Steps:
        yield from self.owner.alone(self.let_go(marks))

    def let_go(self, marks: Sequence[tuple[Key, int]]) -> Steps:
        manifest = self.owner.view.next - 1
        left = yield from call(self.owner.redis.release, self.t, marks, manifest)
        self.owner.policy.released(left)

    def draft(self, draft: Draft, parkable: Parkable) -> None:
        for key, buffer in parkable:
            mark = self.owner.view.mark(key)
            if events := sorted({x for x in buffer.events() if x > mark}):
                draft.add_piece(key, events, buffer.due)

    # --- listing again, and merging

    def carry(self, draft: Draft) -> Steps:
        """List old objects once more, so that their manifests need not be read for ever.

        The entry says which rows are still in use: the batch that superseded another may lie
        below `first` when the entry is read, and its row would seem to be in use.
        """
        view, merged = self.owner.view, list[str]()
        for name, pieces in view.in_use().items():
            old = view.next - view.listed[name] > self.world.carry_after and guard("carry")
            if self.owner.rnd.random() < self.world.merging:
                merged.append(name)
            elif old:
                draft.list_again(name, view.objects[name], pieces)
                self.world.stat["parked objects listed again"] += 1
        yield from self.merge(draft, merged)

    def merge(self, draft: Draft, names: Sequence[str]) -> Steps:
        """Write the pieces in use of several objects into the new one."""
        content: dict[Piece, tuple[int, ...]] = {}
        for name in names:
            found = yield from call(self.blob.get, name)
            if found is None:
                raise Gone
            content.update(found)
        self.world.stat["parked objects merged"] += len(names)
        for key, pieces in self.owner.view.pieces.items():
            mine = [x for x in pieces if x.data in names]
            for run in self.neighbours(mine, pieces):
                events = [number for piece in run for number in content[piece]]
                draft.add_piece(key, events, min(x.due for x in run))

    def neighbours(self, mine: Sequence[Piece], pieces: Sequence[Piece]) -> list[list[Piece]]:
        """Group what may become one piece: nothing of the key lies between."""
        runs = [[x] for x in mine[:1]]
        for before, piece in pairwise(mine):
            adjacent = pieces.index(piece) == pieces.index(before) + 1
            if adjacent or not guard("join neighbours"):
                runs[-1].append(piece)
            else:
                runs.append([piece])
        return runs

    # --- A5 and F

    def restore(self, keys: Sequence[Key]) -> Steps:
        """Open buffers without content for pieces in use, so that they are sealed in time."""
        parked = [(key, self.owner.view.parked(key)) for key in keys]
        shells = [
            Shell(
                key,
                sum(x.events for x in pieces),
                pieces[0].first,
                pieces[-1].last,
                min(x.due for x in pieces),
            )
            for key, pieces in parked
            if pieces
        ]
        for at in range(0, len(shells), CALL_KEYS):
            part = shells[at : at + CALL_KEYS]
            self.world.stat["restores"] += len(part)
            yield from call(self.owner.redis.restore, self.t, part)
            self.owner.opened = False
