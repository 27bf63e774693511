"""The owner's second task: seal what is due, commit, move the position."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.protocol.calls import Gone, Reattach, Steps, call
from tests.protocol.guards import guard
from tests.protocol.identity import check_store
from tests.protocol.objects import Entry, Key, Manifest, Position
from tests.protocol.parking import Draft, Parkable, Parking
from tests.protocol.redis_model import Sealed

if TYPE_CHECKING:
    from tests.protocol.owner import Owner

Buffers = Sequence[tuple[int, Sealed]]


class Committer:
    """Steps C to F of the protocol, on what the owner knows."""

    def __init__(self, owner: "Owner") -> None:
        self.owner, self.world, self.rnd = owner, owner.world, owner.rnd
        self.blob, self.t = owner.blob, owner.t
        self.parking = Parking(self)

    def run(self) -> Steps:
        jobs = [self.drain, self.sweep, self.overdue, self.maintain]
        while True:
            chosen = jobs if self.world.quiet else self.rnd.choices(jobs, (5, 2, 1, 3))
            for job in chosen:
                yield from job()

    def sweep(self) -> Steps:
        """C. Seal what is known to be due, and under pressure what is not."""
        yield from self.owner.alone(self.seal_due())

    def seal_due(self) -> Steps:
        yield from self.owner.read_states()
        now = self.world.now + 1000 * (self.rnd.random() < 0.05)
        due = [key for key, state in self.owner.policy.states.items() if state[2] <= now][:4]
        yield from call(self.owner.redis.seal, self.t, due)
        for key in due:
            self.owner.policy.states.pop(key, None)

    # --- D. Commit

    def drain(self) -> Steps:
        sealed = yield from self.peek()
        done = [(k, buffer.key, buffer.last) for k, buffer in sealed]
        if not guard("ack last"):
            yield from call(self.owner.redis.ack, self.t, done, self.owner.view.next - 1)
        if sealed:
            yield from self.commit(sealed=sealed)
            yield from call(self.owner.redis.ack, self.t, done, self.owner.view.next - 1)

    def peek(self) -> Steps:
        if not guard("order"):
            sealed = yield from call(self.owner.redis.peek, self.t, 99)
            return self.rnd.sample(sealed, min(1, len(sealed)))
        sealed = yield from call(self.owner.redis.peek, self.t, 3)
        if guard("peek is one"):
            return sealed
        ids, sealed = [k for k, _ in sealed], []
        for k in ids:
            found = yield from call(self.owner.redis.peek, self.t, 99)
            sealed += [x for x in found if x[0] == k]
        return sealed

    def commit(
        self, sealed: Buffers = (), parkable: Parkable = (), lost: Entry | None = None
    ) -> Steps:
        """Write data, then the manifest; who loses the race learns and plans again."""
        learned = False
        while True:
            draft = self.draft()
            try:
                yield from self.draft_batches(draft, sealed)
            except Gone:
                yield from self.explain_gone()
                continue
            self.parking.draft(draft, parkable)
            if lost is not None and not self.listed(lost):
                draft.entries.append(lost)
            if not draft.entries and not draft.pieces:
                if learned or not guard("look first") or not (yield from self.learn()):
                    return
                learned = True
                continue
            try:
                yield from self.parking.carry(draft)
            except Gone:
                yield from self.explain_gone()
                continue
            yield from self.write(draft)
            learned = True

    def explain_gone(self) -> Steps:
        """Learn what superseded a parked object that the view still needs."""
        self.world.stat["parked objects gone"] += 1
        if not (yield from self.learn()):
            position, _ = yield from self.owner.log.position()
            if position.first <= self.owner.view.first:
                yield from self.owner.log.unexplained()
            raise Reattach

    def draft(self) -> Draft:
        n, nonce = self.owner.view.next, self.world.nonce()
        return Draft(n, nonce, self.owner.names.parked(self.owner.p, n, nonce))

    def listed(self, lost: Entry) -> bool:
        return any(lost in entries for entries in self.owner.view.manifests.values())

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
                draft.add_batch(key, events, name)

    def in_front(self, buffer: Sealed) -> Steps:
        """Read the parked pieces that come before a buffer's own events."""
        pieces = self.owner.view.parked(buffer.key) if guard("pieces") else []
        if pieces and buffer.last < pieces[0].first:
            return []  # a buffer from before the pieces, back by a roll-back
        events: list[int] = []
        for piece in pieces:
            part = yield from call(self.blob.get, piece.data)
            if part is None:
                raise Gone
            whole = guard("whole pieces")
            events += [x for x in part[piece] if whole or x <= buffer.last]
        return events

    def write(self, draft: Draft) -> Steps:
        owner, n, objects = self.owner, draft.n, draft.close()
        entries = tuple(draft.entries)
        if guard("data first"):
            yield from self.write_objects(objects)
        manifest = Manifest(owner.names.store, entries)
        if (yield from call(self.blob.create, owner.names.manifest(owner.p, n), manifest)):
            self.world.stat["commits"] += 1
        else:
            self.world.stat["races lost"] += 1
            entries = yield from owner.log.entries(n)
        if not guard("data first"):
            yield from self.write_objects(objects)
        yield from self.take(n, entries)

    def write_objects(self, objects: Sequence[tuple[str, object]]) -> Steps:
        for name, content in objects:
            yield from call(self.blob.create, name, content)

    def take(self, n: int, entries: tuple[Entry, ...] | None) -> Steps:
        """Take manifest n into the view, unless n was used and deleted long ago."""
        position, _ = yield from self.owner.log.position()
        if (position.first > n and guard("number check")) or entries is None:
            self.world.stat["deleted numbers met"] += 1
            raise Reattach
        try:
            indexes = yield from self.owner.log.indexes(entries)
        except Gone:
            position, _ = yield from self.owner.log.position()
            if position.first <= n:
                yield from self.owner.log.unexplained()
            raise Reattach from None
        self.owner.view.apply(entries, indexes)

    # --- E. Maintain

    def maintain(self) -> Steps:
        """Park what holds the checkpoint back for too long, then move the position."""
        yield from check_store(self.world, self.owner.names)
        w, lo, relies_on = yield from self.low()
        distance = self.world.park_distance
        while self.world.parking and lo is not None and w - lo >= distance:
            yield from self.parking.park(w - distance)
            w, lo, relies_on = yield from self.low()
        checkpoint = w if lo is None or not guard("checkpoint") else lo - 1
        if checkpoint > self.owner.view.checkpoint:
            yield from self.know(relies_on)
            yield from self.move(checkpoint)
            self.world.moved_up(self.owner.p, w - checkpoint)

    def low(self) -> Steps:
        acked = self.owner.acked  # before the call: an append may be answered meanwhile
        w, lo, relies_on, opened = yield from call(self.owner.redis.low, self.t)
        acked = acked if guard("acked before low") else self.owner.acked
        if w < acked and guard("low checks"):
            raise Reattach
        if opened != len(self.owner.policy.states) and guard("open counted"):
            self.owner.opened = False  # what is not known is not sealed when it is due
        return w, lo, relies_on

    def know(self, n: int) -> Steps:
        """Take in the manifests that a new checkpoint relies on: this owner goes on from there.

        What it leaves out because of the checkpoint, it says to rely on its last manifest.
        """
        if guard("low tells n") and self.owner.view.next <= n:
            yield from self.learn()
            if self.owner.view.next <= n:
                raise Reattach  # the store is older than Redis

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
            missing = self.owner.view.overdue(self.world.now)
            yield from self.owner.alone(self.parking.restore(missing))

    def learn(self) -> Steps:
        """Take in manifests of others; True if there were any."""
        before = self.owner.view.next
        while True:
            n = self.owner.view.next
            entries = yield from self.owner.log.entries(n)
            if entries is None:
                return n > before
            yield from self.take(n, entries)
