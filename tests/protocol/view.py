"""What the log of one partition says, as far as it was read: two marks per key."""

from collections.abc import Mapping, Sequence

from tests.protocol.blob_model import Blob
from tests.protocol.calls import Gone, Steps, WrongStore, call
from tests.protocol.guards import guard
from tests.protocol.objects import STORE, Entry, Key, Names, Piece, Position, index_of, number_in

Indexes = Mapping[str, Sequence[Piece]]


class View:
    """`last` is in a batch, `mark` in a batch or parked; the pieces between are in use."""

    def __init__(self, checkpoint: int, first: int) -> None:
        self.checkpoint, self.first, self.next = checkpoint, first, first
        self.manifests: dict[int, tuple[Entry, ...]] = {}
        self.last: dict[Key, int] = {}
        self.pieces: dict[Key, list[Piece]] = {}  # in use, rising
        self.objects: dict[str, Sequence[Piece]] = {}  # parked objects, all their pieces
        self.listed: dict[str, int] = {}  # their newest listing

    def apply(self, entries: tuple[Entry, ...], indexes: Indexes) -> None:
        """Take in manifest `next`."""
        for entry in entries:
            if entry.kind == "batch":
                self._batch(entry)
            elif entry.kind == "parked":
                self.listed[entry.data] = self.next
                self.objects[entry.data] = index = indexes[entry.data]
                for piece in [index[row] for row in entry.used] or index:
                    self._piece(piece)
        self.manifests[self.next] = entries
        self.next += 1

    def _batch(self, entry: Entry) -> None:
        key = entry.key
        self.last[key] = max(entry.last, self.last.get(key, -1))
        if key in self.pieces:
            self.pieces[key] = [x for x in self.pieces[key] if x.last > entry.last]

    def _piece(self, piece: Piece) -> None:
        """Put a listed piece in the place of those that its span contains."""
        if piece.last > self.last.get(piece.key, -1):
            others = [
                x
                for x in self.pieces.get(piece.key, ())
                if not piece.first <= x.first <= x.last <= piece.last
            ]
            self.pieces[piece.key] = sorted([*others, piece], key=lambda x: x.first)

    def parked(self, key: Key) -> list[Piece]:
        """Give the pieces in use of a key, rising."""
        return self.pieces.get(key, [])

    def mark(self, key: Key) -> int:
        """Every event of `key` up to here is in a batch or in a parked piece."""
        mark = max(self.checkpoint, self.last.get(key, -1))
        if not guard("mark with c"):
            mark = self.last.get(key, -1)
        pieces = self.pieces.get(key)
        return max(mark, pieces[-1].last) if pieces else mark

    def in_use(self) -> dict[str, set[Piece]]:
        """Give the pieces in use of each parked object that has any."""
        found: dict[str, set[Piece]] = {}
        for pieces in self.pieces.values():
            for piece in pieces:
                found.setdefault(piece.data, set()).add(piece)
        return found

    def overdue(self, now: int) -> list[Key]:
        return [key for key in self.pieces if any(x.due <= now for x in self.pieces[key])]

    def first_needed(self, checkpoint: int) -> int:
        """From which manifest a newcomer that knows `checkpoint` must read."""
        first = next((n for n in self._numbers() if self._reaches(n, checkpoint)), self.next)
        if guard("trim parked"):
            first = min([first, *(self.listed[data] for data in self.in_use())])
        return max(self.first, first)

    def _numbers(self) -> range:
        return range(self.first, self.next)

    def _reaches(self, n: int, checkpoint: int) -> bool:
        return any(
            e.last > checkpoint
            for e in self.manifests[n]
            if (e.kind == "batch" and guard("trim batches"))
            or (e.kind == "lost" and guard("trim lost"))
        )


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

    def indexes(self, entries: tuple[Entry, ...]) -> Steps:
        """Read the indexes of parked objects."""
        found: dict[str, Sequence[Piece]] = {}
        for entry in entries:
            if entry.kind == "parked":
                index = yield from call(self.blob.get, index_of(entry.data))
                if index is None:
                    raise Gone
                found[entry.data] = index
        return found

    def unexplained(self) -> Steps:
        """A parked object is gone and the log does not say why: so is the whole store."""
        found = yield from call(self.blob.get, STORE)
        assert found is None or found.store != self.names.store, (
            "PARKED: gone, and nothing says why"
        )
        raise WrongStore

    def position(self) -> Steps:
        """Read position and version; one that belongs to another store counts as none."""
        found = yield from call(self.blob.get_versioned, self.names.position(self.p))
        value, version = found or (None, None)
        if value is None or (value.store != self.names.store and guard("position id")):
            value = Position(self.names.store, -1, 0)
        return value, version

    def trimmed(self) -> Steps:
        """Read below which number manifests are deleted or will be, and the version of that."""
        found = yield from call(self.blob.get_versioned, self.names.trimmed(self.p))
        return found or (0, None)

    def oldest(self) -> Steps:
        """Give the oldest manifest that is there and stays there."""
        prefix = self.names.manifest(self.p, 0).removesuffix(f"{0:012d}")
        names = yield from call(self.blob.names, prefix)
        position, _ = yield from self.position()
        below, _ = yield from self.trimmed()
        oldest = number_in(names[0]) if names else position.first
        return max(below, min(oldest, position.first))

    def read(self) -> Steps:
        """Read the position, the manifests behind it, and the position again.

        A number that was deleted may have been created once more by a process that slept.
        """
        while True:
            position, version = yield from self.position()
            view, gone = View(position.checkpoint, position.first), False
            try:
                while (entries := (yield from self.entries(view.next))) is not None:
                    view.apply(entries, (yield from self.indexes(entries)))
            except Gone:  # an index, since `first` has moved beyond what lists it
                gone = True
            again, _ = yield from self.position()
            if again.first <= view.first or not guard("read check"):
                if gone:
                    yield from self.unexplained()
                return view, version
