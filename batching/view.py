"""What a partition's log says, as far as it was read: which events are durable, by two marks.

PROTOCOL, step A: the position, then manifests until one is missing, then the position again,
since a number that was deleted may have been created once more by a process that slept.
"""

from collections import deque
from dataclasses import dataclass

from batching import names
from batching.errors import CorruptObject, NewerFormat
from batching.lost import LostNumbers
from batching.model import Entry, EntryKind, Manifest, Position, Store, load
from batching.names import Key
from batching.ports import BlobStore
from batching.retry import answered

COVERING = {EntryKind.BATCH, EntryKind.IGNORED, EntryKind.DEAD}


class View:
    """Marks per key: every event of a key up to its mark lies in a committed batch."""

    def __init__(self, checkpoint: int, first: int, lost: int = 0) -> None:
        self.checkpoint, self.first, self.next = checkpoint, first, first
        self.lost = LostNumbers(lost)
        self._last: dict[Key, int] = {}
        self._reach: deque[tuple[int, int]] = deque()  # manifest, its highest `last`

    def mark(self, key: Key) -> int:
        """Give the number up to which every event of the key is durable."""
        return max(self.checkpoint, self._last.get(key, -1))

    def apply(self, entries: tuple[Entry, ...]) -> None:
        """Take in manifest `next`.

        Raises:
            NewerFormat: an entry is of a kind that this version cannot follow.

        """
        reach = -1
        for entry in entries:
            if entry.kind == EntryKind.LOST:  # it sets no mark, but is kept until c has passed it
                self.lost.note(self.next, entry)
                reach = max(reach, entry.last)
                continue
            if entry.kind not in COVERING:
                raise NewerFormat(f"entry of kind {entry.kind}: written by a newer Headrace")
            self._last[entry.key] = max(entry.last, self._last.get(entry.key, -1))
            reach = max(reach, entry.last)
        self._reach.append((self.next, reach))
        self.next += 1

    def covers_above(self, number: int) -> bool:
        """Tell whether a batch that was read reaches to `number` or beyond."""
        return any(last >= number for last in self._last.values())

    def first_needed(self, checkpoint: int) -> int:
        """Give the manifest from which a newcomer who knows `checkpoint` must read."""
        above = (n for n, reach in self._reach if reach > checkpoint)
        return max(self.first, next(above, self.next))

    def move(self, checkpoint: int, first: int) -> None:
        """Follow the position, and forget marks that the checkpoint has passed."""
        self.checkpoint, self.first = checkpoint, first
        self.lost.trim(first)
        self._last = {key: last for key, last in self._last.items() if last > checkpoint}
        while self._reach and self._reach[0][0] < first:
            self._reach.popleft()


async def oldest_manifest(store: BlobStore, hub: str, partition: str) -> int | None:
    """Give the number of the oldest manifest that retention has left; None if there is none."""
    async for name in store.names(f"log/{hub}/{partition}/"):
        return int(name.rpartition("/")[2].removesuffix(".json"))
    return None


@dataclass(frozen=True, slots=True)
class Log:
    """Where one partition's manifests and position lie, and whose they are."""

    root: BlobStore  # holds headrace.json
    store: BlobStore  # everything else, under the store's id
    identity: Store
    partition: str

    @property
    def hub(self) -> str:
        """Name of the hub in paths."""
        return self.identity.hub_id

    async def entries(self, n: int) -> tuple[Entry, ...] | None:
        """Read manifest n; None if there is none yet.

        One that belongs to another store counts as empty: a process that did not notice that
        the store was replaced wrote it.
        """
        name = names.manifest(self.hub, self.partition, n)
        raw = await answered(lambda: self.store.get(name))
        if raw is None:
            return None
        found = load(Manifest, name, raw)
        if found.log != self.identity.id:
            return ()
        if (found.partition, found.n) != (self.partition, n):
            raise CorruptObject(f"{name} says it is manifest {found.n} of {found.partition}")
        return found.entries

    async def position(self) -> tuple[Position, str | None]:
        """Read the position and its version; where there is none, the chosen start."""
        name = names.position(self.hub, self.partition)
        found = await answered(lambda: self.store.get_versioned(name))
        if found is None:
            return Position(self.identity.start.get(self.partition, 0) - 1, 0), None
        return load(Position, name, found[0]), found[1]

    async def read(self) -> tuple[View, str | None]:
        """Read the position and all manifests behind it; give the position's version too."""
        while True:
            position, version = await self.position()
            view = View(position.checkpoint, position.first, position.lost)
            while (entries := await self.entries(view.next)) is not None:
                view.apply(entries)
            again, _ = await self.position()
            if again.first <= view.first:
                return view, version
