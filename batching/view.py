"""What a partition's log says, as far as it was read: which events are durable, by two marks.

PROTOCOL, step A: the position, then manifests until one is missing, then the position again,
since a number that was deleted may have been created once more by a process that slept.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from batching import names
from batching.errors import CorruptObject, NewerFormat
from batching.identity import check_identity
from batching.lost import LostNumbers
from batching.model import Element, Entry, EntryKind, Manifest, Position, Store, Trimmed, load
from batching.names import Key
from batching.parking.objects import Index, read_index, unpack_used
from batching.parking.pieces import Pieces
from batching.ports import BlobStore
from batching.retention import read_trimmed
from batching.retry import answered

Indexes = Mapping[str, Index]  # of parked objects, by the name of their content
NO_INDEXES: Indexes = {}
CARRY_AFTER = 100  # manifests
CARRY_BYTES, ENTRY_BYTES = 2**18, 512  # of one manifest; of one entry, about
_BEHIND_A_PARTITION = "~"  # sorts behind all that lies in a partition's folder
COVERING = {EntryKind.BATCH, EntryKind.IGNORED, EntryKind.DEAD}
KNOWN = COVERING | {EntryKind.PARKED, EntryKind.LOST}


class View:
    """Marks per key: every event of a key up to its mark lies in a batch or is parked."""

    def __init__(self, checkpoint: int, first: int, lost: int = 0) -> None:
        self.checkpoint, self.first, self.next = checkpoint, first, first
        self.lost = LostNumbers(lost)
        self.pieces = Pieces()
        self._last: dict[Key, int] = {}  # of batches, as far as the checkpoint has not passed them
        self._reach: deque[tuple[int, int]] = deque()  # manifest, its highest `last`

    def mark(self, key: Key) -> int:
        """Give the number up to which every event of the key is durable."""
        return max(self.checkpoint, self._last.get(key, -1), self.pieces.last(key))

    def fresh(
        self, brought: Mapping[Key, Sequence[Element]], above: int
    ) -> dict[Key, Sequence[Element]]:
        """Leave out elements of events up to a number, and those that are durable already.

        Args:
            brought: some of each key, in rising order of their numbers.
            above: the number.

        """
        above, last = max(above, self.checkpoint), self._last
        parked = self.pieces.last if len(self.pieces) else None  # `mark` asks, and takes longer
        found: dict[Key, Sequence[Element]] = {}
        for key, several in brought.items():
            mark = last.get(key, above)
            if mark < above:  # noqa: PLR1730 `max` takes longer
                mark = above
            if parked is not None:
                mark = max(mark, parked(key))
            if several[0][1] > mark:
                found[key] = several
            elif several[-1][1] > mark:
                found[key] = [each for each in several if each[1] > mark]
        return found

    def unknown(self, entries: Iterable[Entry]) -> list[str]:
        """Name the parked objects among entries whose index must be read first."""
        parked = (entry.data or "" for entry in entries if entry.kind == EntryKind.PARKED)
        return [name for name in parked if not self.pieces.knows(name)]

    def apply(self, entries: tuple[Entry, ...], indexes: Indexes = NO_INDEXES) -> None:
        """Take in manifest `next`, given the index of each parked object that is new.

        Raises:
            NewerFormat: an entry is of a kind that this version cannot follow.
            CorruptObject: the index of a parked object is missing, or does not fit.

        """
        self._check(entries, indexes)
        reach = -1
        for entry in entries:  # in their order: what is listed again stands before batches
            if entry.kind == EntryKind.PARKED:
                self._park(entry, indexes)
                continue
            if entry.kind == EntryKind.LOST:  # it sets no mark, but is kept until c has passed it
                self.lost.note(self.next, entry)
                reach = max(reach, entry.last)
                continue
            key = entry.key
            self._last[key] = max(entry.last, self._last.get(key, -1))
            self.pieces.supersede(key, entry.last)
            reach = max(reach, entry.last)
        self._reach.append((self.next, reach))
        self.next += 1

    def reaches(self, number: int) -> bool:
        """Tell whether a batch that was read reaches to `number` or beyond."""
        return any(last >= number for last in self._last.values())

    def _check(self, entries: tuple[Entry, ...], indexes: Indexes) -> None:
        for entry in entries:
            if entry.kind not in KNOWN:
                raise NewerFormat(f"entry of kind {entry.kind}: written by a newer Headrace")
        for name in self.unknown(entries):
            if name not in indexes:
                raise CorruptObject(
                    f"the index of {name} is gone, which manifest {self.next} lists"
                )

    def _park(self, entry: Entry, indexes: Indexes) -> None:
        name = entry.data or ""
        if self.pieces.knows(name):
            self.pieces.listed_again(name, self.next)
            return
        index = indexes[name]
        self.pieces.add(entry, index, unpack_used(entry, len(index)), self.next)

    def first_needed(self, checkpoint: int) -> int:
        """Give the manifest from which a newcomer who knows `checkpoint` must read."""
        above = (n for n, reach in self._reach if reach > checkpoint)
        first = next(above, self.next)
        listed = self.pieces.oldest_listing()
        return max(self.first, first if listed is None else min(first, listed))

    def move(self, checkpoint: int, first: int) -> None:
        """Follow the position, and forget marks that the checkpoint has passed."""
        self.checkpoint, self.first = checkpoint, first
        self.lost.trim(first)
        self._last = {key: last for key, last in self._last.items() if last > checkpoint}
        while self._reach and self._reach[0][0] < first:
            self._reach.popleft()


def carried(view: View) -> tuple[Entry, ...]:
    """Give entries for manifest `next` that list old parked objects once more.

    So the manifests that listed them before need not be read for ever. They belong in front of
    all others in their manifest, whose batches may supersede what they list.
    """
    oldest = view.pieces.oldest_listing()
    if oldest is None or view.next - oldest < CARRY_AFTER:
        return ()
    found: list[Entry] = []
    size = 0
    for entry in view.pieces.listings(view.next - CARRY_AFTER // 2):
        size += ENTRY_BYTES + len(entry.used or "")
        if found and size > CARRY_BYTES:
            break
        found.append(entry)
    return tuple(found)


async def oldest_manifest(store: BlobStore, hub: str, partition: str) -> int | None:
    """Give the number of the oldest manifest that retention has left; None if there is none."""
    async for name in store.names(f"log/{hub}/{partition}/"):
        return int(name.rpartition("/")[2].removesuffix(".json"))
    return None


async def partitions_of(store: BlobStore, identity: Store, more: Iterable[str] = ()) -> list[str]:
    """Give all partitions of a store: those of its start, and those that were added since.

    Args:
        store: the scoped store.
        identity: the content of `headrace.json`.
        more: others that the caller knows of, such as the hub's.

    """
    found = {*identity.start, *more}
    prefix, partition = f"log/{identity.hub_id}/", ""
    while True:
        after = f"{prefix}{partition}/{_BEHIND_A_PARTITION}" if partition else ""
        name = await anext(store.names(prefix, after), None)
        if name is None:
            return sorted(found, key=in_order)
        partition = name.removeprefix(prefix).partition("/")[0]
        found.add(partition)


def in_order(partition: str) -> tuple[bool, int, str]:
    """Sort partitions by number, those with a name behind them."""
    plain = partition.isdecimal()
    return not plain, int(partition) if plain else 0, partition


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

    @property
    def folder(self) -> str:
        """What the names of all manifests begin with."""
        return f"log/{self.hub}/{self.partition}/"

    def name_before(self, n: int) -> str:
        """Give a name behind which a listing begins with manifest n."""
        return names.manifest(self.hub, self.partition, n - 1) if n > 0 else ""

    async def entries(self, n: int) -> tuple[Entry, ...] | None:
        """Read manifest n; None if there is none yet.

        One that belongs to another store counts as empty: a process that did not notice that
        the store was replaced wrote it.
        """
        found = await self.manifest(n)
        return None if found is None else found.entries

    async def manifest(self, n: int) -> Manifest | None:
        """Read manifest n as `entries` does, with all that it says."""
        name = names.manifest(self.hub, self.partition, n)
        raw = await answered(lambda: self.store.get(name))
        if raw is None:
            return None
        found = load(Manifest, name, raw)
        if found.log != self.identity.id:
            return replace(found, entries=())
        if (found.partition, found.n) != (self.partition, n):
            raise CorruptObject(f"{name} says it is manifest {found.n} of {found.partition}")
        return found

    async def trimmed(self) -> tuple[Trimmed, str | None]:
        """Read what retention has taken, or says that it takes, and the version of that."""
        return await answered(lambda: read_trimmed(self.store, self.hub, self.partition))

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
            gone = await self._read_into(view)
            again, _ = await self.position()
            if again.first > view.first:
                continue
            if gone is not None:
                await answered(lambda: check_identity(self.root, self.identity))
                raise gone
            return view, version

    async def _read_into(self, view: View) -> CorruptObject | None:
        """Take in manifests until one is missing; give why it ended before that."""
        while (entries := await self.entries(view.next)) is not None:
            try:
                view.apply(entries, await self.indexes(view, entries))
            except CorruptObject as error:  # deleted meanwhile, if `first` has moved
                return error
        return None

    async def indexes(self, view: View, entries: tuple[Entry, ...]) -> dict[str, Index]:
        """Read the indexes of parked objects that a view needs; those that are gone are left out.

        Raises:
            CorruptObject: one of them is none.

        """
        found = {name: await self.index(name) for name in view.unknown(entries)}
        return {name: index for name, index in found.items() if index is not None}

    async def index(self, name: str) -> Index | None:
        """Read the index of the parked object `name`; None if it is gone.

        Raises:
            CorruptObject: it is no index.

        """
        raw = await answered(lambda: self.store.get(names.parked_index(name)))
        return None if raw is None else read_index(raw, name)
