"""What the log of one partition says, as far as it was read: two marks per key."""

from tests.protocol.blob_model import Blob
from tests.protocol.calls import Steps, call
from tests.protocol.guards import guard
from tests.protocol.objects import Entry, Key, Names, Position


class View:
    """`last` is in a batch, `mark` in a batch or parked; the pieces between are in use."""

    def __init__(self, checkpoint: int, first: int) -> None:
        self.checkpoint, self.first, self.next = checkpoint, first, first
        self.manifests: dict[int, tuple[Entry, ...]] = {}
        self.last: dict[Key, int] = {}
        self.pieces: dict[Key, list[Entry]] = {}

    def apply(self, entries: tuple[Entry, ...]) -> None:
        """Take in manifest `next`."""
        for entry in entries:
            key, pieces = entry.key, self.pieces.setdefault(entry.key, [])
            if entry.kind == "batch":
                self.last[key] = max(entry.last, self.last.get(key, -1))
                self.pieces[key] = [x for x in pieces if x.last > entry.last]
            elif entry.last > self.last.get(key, -1) and entry not in pieces:
                pieces.append(entry)
        self.manifests[self.next] = entries
        self.next += 1

    def parked(self, key: Key) -> list[Entry]:
        return sorted(self.pieces.get(key, ()), key=lambda x: x.first)

    def mark(self, key: Key) -> int:
        """Every event of `key` up to here is in a batch or in a parked piece."""
        durable = self.checkpoint if guard("mark with c") else -1
        parked = (x.last for x in self.pieces.get(key, ()))
        return max(durable, self.last.get(key, -1), *parked)

    def all_pieces(self) -> list[Entry]:
        return [x for pieces in self.pieces.values() for x in pieces]

    def overdue(self, now: int) -> list[Key]:
        return [key for key in self.pieces if any(x.due <= now for x in self.pieces[key])]

    def first_needed(self, checkpoint: int) -> int:
        """From which manifest a newcomer that knows `checkpoint` must read."""
        first = self.next
        if guard("trim batches"):
            first = next((n for n in self._numbers() if self._reaches(n, checkpoint)), first)
        if guard("trim parked"):
            newest = [
                max(n for n in self.manifests if x in self.manifests[n]) for x in self.all_pieces()
            ]
            first = min([first, *newest])
        return max(self.first, first)

    def _numbers(self) -> range:
        return range(self.first, self.next)

    def _reaches(self, n: int, checkpoint: int) -> bool:
        return any(e.kind == "batch" and e.last > checkpoint for e in self.manifests[n])


class Log:
    """Where manifests and position of one partition lie."""

    def __init__(self, blob: Blob, names: Names, p: str) -> None:
        self.blob, self.names, self.p = blob, names, p

    def entries(self, n: int) -> Steps:
        """Read manifest n; one that belongs to another store counts as empty."""
        found = yield from call(self.blob.get, self.names.manifest(self.p, n))
        if found is None:
            return None
        return found.entries if found.log == self.names.store or not guard("log id") else ()

    def position(self) -> Steps:
        """Read position and version; one that belongs to another store counts as none."""
        found = yield from call(self.blob.get_versioned, self.names.position(self.p))
        value, version = found or (None, None)
        if value is None or (value.store != self.names.store and guard("position id")):
            value = Position(self.names.store, -1, 0)
        return value, version

    def read(self) -> Steps:
        """Read the position, the manifests behind it, and the position again.

        A number that was deleted may have been created once more by a process that slept.
        """
        while True:
            position, version = yield from self.position()
            view = View(position.checkpoint, position.first)
            while (entries := (yield from self.entries(view.next))) is not None:
                view.apply(entries)
            again, _ = yield from self.position()
            if again.first <= view.first or not guard("read check"):
                return view, version
