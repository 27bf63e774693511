"""The owner's second task: seal what is due, commit, park, move the position."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.protocol.calls import Reattach, Steps, call
from tests.protocol.guards import guard
from tests.protocol.identity import check_store
from tests.protocol.objects import Entry, Key, Manifest, Position
from tests.protocol.redis_model import Open, Sealed

if TYPE_CHECKING:
    from tests.protocol.owner import Owner

Buffers = Sequence[tuple[int, Sealed]]
Parkable = Sequence[tuple[Key, Open]]


@dataclass
class Draft:
    """What manifest n is going to hold, and its data objects by name."""

    n: int
    nonce: str
    entries: list[Entry] = field(default_factory=list)
    data: dict[str, dict[Any, tuple[int, ...]]] = field(default_factory=dict)

    def add(self, kind: str, key: Key, events: Sequence[int], due: int, name: str) -> None:
        entry = Entry(kind, key, events[0], events[-1], len(events), due, name)
        self.entries.append(entry)
        self.data.setdefault(name, {})[entry if kind == "batch" else key] = tuple(events)


class Committer:
    """Steps C to F of the protocol, on what the owner knows."""

    def __init__(self, owner: "Owner") -> None:
        self.owner, self.world, self.rnd = owner, owner.world, owner.rnd
        self.redis, self.blob, self.t = owner.redis, owner.blob, owner.t

    def run(self) -> Steps:
        jobs = [self.drain, self.sweep, self.overdue, self.maintain]
        while True:
            chosen = jobs if self.world.quiet else self.rnd.choices(jobs, (5, 2, 1, 3))
            for job in chosen:
                self.redis = self.owner.redis
                yield from job()

    def sweep(self) -> Steps:
        """C. Seal what is due."""
        for key in (yield from call(self.redis.sweep, self.t, self.world.now)):
            self.owner.policy.states.pop(key, None)

    # --- D. Commit

    def drain(self) -> Steps:
        sealed = yield from self.peek()
        done = [(k, buffer.key, buffer.last) for k, buffer in sealed]
        if not guard("ack last"):
            yield from call(self.redis.ack, self.t, done, self.owner.view.next - 1)
        if sealed:
            yield from self.commit(sealed=sealed)
            yield from call(self.redis.ack, self.t, done, self.owner.view.next - 1)

    def peek(self) -> Steps:
        if not guard("order"):
            sealed = yield from call(self.redis.peek, self.t, 99)
            return self.rnd.sample(sealed, min(1, len(sealed)))
        sealed = yield from call(self.redis.peek, self.t, 3)
        if guard("peek is one"):
            return sealed
        ids, sealed = [k for k, _ in sealed], []
        for k in ids:
            found = yield from call(self.redis.peek, self.t, 99)
            sealed += [x for x in found if x[0] == k]
        return sealed

    def commit(self, sealed: Buffers = (), parkable: Parkable = ()) -> Steps:
        """Write data, then the manifest; who loses the race learns and plans again."""
        learned = False
        while True:
            draft = Draft(self.owner.view.next, self.world.nonce())
            yield from self.draft_batches(draft, sealed)
            self.draft_parked(draft, parkable)
            if not draft.entries:
                if learned or not guard("look first") or not (yield from self.learn()):
                    return
                learned = True
                continue
            self.carry(draft)
            yield from self.write(draft)
            learned = True

    def draft_batches(self, draft: Draft, sealed: Buffers) -> Steps:
        view, marks = self.owner.view, dict[Key, int]()
        for _, buffer in sealed:
            key = buffer.key
            events = [] if key in marks else (yield from self.in_front(buffer))
            mark = marks.get(key, view.mark(key) if guard("overlap") else -1)
            for number in buffer.events:  # rising, each once, even if a script was torn
                if number > mark:
                    events.append(number)
                    mark = number if guard("rising") else mark
            if events:
                marks[key] = max(mark, events[-1])
                name = self.owner.names.data(key[0], self.owner.p, draft.n, draft.nonce)
                draft.add("batch", key, events, 0, name)

    def in_front(self, buffer: Sealed) -> Steps:
        """Read the parked pieces that come before a buffer's own events."""
        pieces = self.owner.view.parked(buffer.key) if guard("pieces") else []
        if pieces and buffer.last < pieces[0].first:
            return []  # a buffer from before the pieces, back by a roll-back
        events: list[int] = []
        for piece in pieces:
            part = yield from call(self.blob.get, piece.data)
            if part is None:
                raise Reattach  # superseded meanwhile, and deleted
            whole = guard("whole pieces")
            events += [x for x in part[piece.key] if whole or x <= buffer.last]
        return events

    def draft_parked(self, draft: Draft, parkable: Parkable) -> None:
        for key, buffer in parkable:
            mark = self.owner.view.mark(key)
            if events := sorted({x for x in buffer.events if x > mark}):
                name = self.owner.names.parked(self.owner.p, draft.n, draft.nonce)
                draft.add("parked", key, events, buffer.due, name)

    def carry(self, draft: Draft) -> None:
        """List old pieces once more, so that their manifests need not be read for ever."""
        view = self.owner.view
        if view.next - view.first > self.world.carry_after and guard("carry"):
            batched = {entry.key for entry in draft.entries if entry.kind == "batch"}
            draft.entries += [x for x in view.all_pieces() if x.key not in batched]

    def write(self, draft: Draft) -> Steps:
        owner, n, entries = self.owner, draft.n, tuple(draft.entries)
        if guard("data first"):
            yield from self.write_data(draft)
        manifest = Manifest(owner.names.store, entries)
        if (yield from call(self.blob.create, owner.names.manifest(owner.p, n), manifest)):
            self.world.stat["commits"] += 1
        else:
            self.world.stat["races lost"] += 1
            entries = yield from owner.log.entries(n)
        if not guard("data first"):
            yield from self.write_data(draft)
        yield from self.take(n, entries)

    def write_data(self, draft: Draft) -> Steps:
        for name, content in draft.data.items():
            yield from call(self.blob.create, name, content)

    def take(self, n: int, entries: tuple[Entry, ...] | None) -> Steps:
        """Take manifest n into the view, unless n was used and deleted long ago."""
        position, _ = yield from self.owner.log.position()
        if (position.first > n and guard("number check")) or entries is None:
            self.world.stat["deleted numbers met"] += 1
            raise Reattach
        self.owner.view.apply(entries)

    # --- E. Maintain

    def maintain(self) -> Steps:
        """Park what holds the checkpoint back for too long, then move the position."""
        yield from check_store(self.world, self.owner.names)
        w, lo = yield from self.low()
        distance = self.world.park_distance
        while self.world.parking and lo is not None and w - lo >= distance:
            parkable = yield from call(self.redis.parkable, self.t, w - distance, 3)
            yield from self.park(parkable)
            w, lo = yield from self.low()
        checkpoint = w if lo is None or not guard("checkpoint") else lo - 1
        if checkpoint > self.owner.view.checkpoint:
            yield from self.move(checkpoint)
            self.world.moved_up(self.owner.p, w - checkpoint)

    def park(self, parkable: Parkable) -> Steps:
        if not parkable:  # a sealed buffer holds it: commit that first
            yield from self.drain()
            return
        if not guard("release last"):
            for key, buffer in parkable:
                yield from self.release(key, buffer.events[-1])
        yield from self.commit(parkable=parkable)
        self.world.stat["parked"] += 1
        for key, _ in parkable:
            yield from self.release(key, self.owner.view.mark(key))

    def release(self, key: Key, upto: int) -> Steps:
        yield from call(self.redis.release, self.t, key, upto, self.owner.view.next - 1)

    def low(self) -> Steps:
        acked = self.owner.acked  # before the call: an append may be answered meanwhile
        w, lo = yield from call(self.redis.low, self.t)
        acked = acked if guard("acked before low") else self.owner.acked
        if w < acked and guard("low checks"):
            raise Reattach
        return w, lo

    def move(self, checkpoint: int) -> Steps:
        owner, view = self.owner, self.owner.view
        first = view.first_needed(checkpoint)
        value = Position(owner.names.store, checkpoint, first)
        name = owner.names.position(owner.p)
        version = yield from call(self.blob.replace, name, value, owner.version)
        if version is not None:
            view.checkpoint, owner.version = checkpoint, version
        elif guard("lost position"):  # to another owner, or to our own write without answer
            raise Reattach
        else:
            position, owner.version = yield from owner.log.position()
            view.checkpoint = max(view.checkpoint, position.checkpoint)

    # --- F. Overdue

    def overdue(self) -> Steps:
        """Learn what others parked; a piece whose buffer is missing gets it back."""
        if guard("learn"):
            yield from self.learn()
        if guard("overdue"):
            for key in self.owner.view.overdue(self.world.now):
                yield from self.owner.restore(key)

    def learn(self) -> Steps:
        """Take in manifests of others; True if there were any."""
        before = self.owner.view.next
        while True:
            n = self.owner.view.next
            entries = yield from self.owner.log.entries(n)
            if entries is None:
                return n > before
            yield from self.take(n, entries)
