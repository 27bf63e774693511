"""Finds what a partition's log says of one sequence number, reading little of it.

Manifests commit events in about their order, but no manifest says how far all before it reach. So
a bisection finds where their numbers pass the one that is looked for, and the search goes outward
from there. It ends where the clock says that no batch can hold the event: one that was committed
before the hub had it, or after its age was over. Only what explains nothing is looked for to the
ends of the log. Above the checkpoint only manifests from `first` on can hold it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from batching.errors import CorruptObject
from batching.model import Entry, EntryKind, Manifest, Position, Trimmed
from batching.retry import answered
from batching.tracing.bisection import first
from batching.tracing.bundles import Told, read_chunks, told
from batching.view import COVERING, Log

STEP = 64  # manifests that are read at once
CLOCKS_NS = 300 * 10**9  # how far the clocks of hub and services may be apart
LATE_NS = 600 * 10**9  # how long after its age a batch may be committed and is looked for
AGE_NS = 3_600 * 10**9  # taken for the age of batches that have none
EXPLAINED = 1_000  # manifests each way, where an entry explains why no batch holds the number


@dataclass(frozen=True, slots=True)
class Hit:
    """A batch, or a bundle of dead letters, that holds the event."""

    n: int
    committed_ns: int
    entry: Entry
    told: Told


@dataclass(slots=True)
class Found:
    """What the log says of a number, and how much of it was read."""

    position: Position
    trimmed: Trimmed
    hits: list[Hit] = field(default_factory=list)
    ignored: list[tuple[int, Entry]] = field(default_factory=list)  # manifest, entry
    lost: list[tuple[int, Entry]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    read: int = 0
    manifests: int = 0  # that there are

    @property
    def explained(self) -> bool:
        """Tell whether an entry without data covers the number."""
        return bool(self.ignored or self.lost)


class Search:
    """Looks for one number in one partition's log."""

    def __init__(self, record: Log, number: int) -> None:
        self._log, self._number = record, number
        self._chunks: dict[str, Any] = {}
        self._found: Found
        self._bisected: set[int] = set()

    async def run(self) -> Found:
        """Find every batch that holds the event, as far as clocks can be trusted.

        Raises:
            NewerFormat: a newer Headrace wrote here.

        """
        position, _ = await self._log.position()
        trimmed, _ = await self._log.trimmed()
        self._found = Found(position, trimmed)
        low, end = await self._range()
        self._found.manifests = max(0, end - low)
        if self._number > position.checkpoint:
            low = max(low, position.first)
        begin = await self._bisect(low, end)
        self._found.read = len(self._bisected)
        await self._outward(low, begin, end)
        self._found.hits.sort(key=lambda hit: (hit.n, hit.entry.rows))
        return self._found

    async def _range(self) -> tuple[int, int]:
        """Give the first manifest that is there, and the number after the last."""
        low: int | None = None
        end = first = self._found.position.first
        async for name in self._log.store.names(self._log.folder):
            low = int(name.rpartition("/")[2].removesuffix(".json"))
            break
        async for name in self._log.store.names(self._log.folder, self._log.name_before(first)):
            end = int(name.rpartition("/")[2].removesuffix(".json")) + 1
        low = max(end if low is None else low, self._found.trimmed.below)
        return low, max(low, end)

    async def _bisect(self, low: int, end: int) -> int:
        """Find a manifest that reaches to the number, behind one that does not."""

        async def reaches(n: int) -> bool:
            self._bisected.add(n)
            manifest = await self._manifest(n)
            return max((e.last for e in _entries(manifest)), default=-1) >= self._number

        return await first(low, end, reaches)

    async def _outward(self, low: int, begin: int, end: int) -> None:
        up, down = begin, begin
        rising, falling = up < end, down > low
        while rising or falling:
            if rising:
                numbers = range(up, min(up + STEP, end))
                up = numbers.stop
                rising = await self._take(numbers, upward=True) and up < end
            if falling:
                numbers = range(max(down - STEP, low), down)
                down = numbers.start
                falling = await self._take(numbers, upward=False) and down > low
            if self._found.explained and not self._found.hits:
                rising &= up < begin + EXPLAINED
                falling &= down > begin - EXPLAINED

    async def _take(self, numbers: range, *, upward: bool) -> bool:
        """Look through manifests; False if none further on this way can hold the event."""
        manifests = await self._manifests(numbers)
        self._found.read += len(set(numbers) - self._bisected)
        for n, manifest in zip(numbers, manifests, strict=True):
            for entry in _entries(manifest):
                if manifest and entry.first <= self._number <= entry.last:
                    await self._weigh(n, manifest, entry)
        written = [manifest.written for manifest in manifests if manifest is not None]
        if not self._found.hits or not written:
            return True
        since = min(hit.told.enqueued_ns for hit in self._found.hits)
        if upward:
            return min(written) <= max(map(_over_ns, self._found.hits))
        return max(written) >= since - CLOCKS_NS

    async def _manifests(self, numbers: Iterable[int]) -> list[Manifest | None]:
        return list(await asyncio.gather(*map(self._manifest, numbers)))

    async def _manifest(self, n: int) -> Manifest | None:
        try:
            return await self._log.manifest(n)
        except CorruptObject as error:
            self._found.damaged.append(str(error))
            return None

    async def _weigh(self, n: int, manifest: Manifest, entry: Entry) -> None:
        """See whether an entry whose span covers the number holds it."""
        if entry.kind == EntryKind.IGNORED:
            self._found.ignored.append((n, entry))
        elif entry.kind == EntryKind.LOST:
            self._found.lost.append((n, entry))
        elif entry.kind in COVERING and entry.data is not None:
            chunks = await self._chunks_of(entry.data)
            if chunks is not None and (said := told(chunks, entry, self._number)) is not None:
                self._found.hits.append(Hit(n, manifest.written, entry, said))

    async def _chunks_of(self, name: str) -> Any:
        if name not in self._chunks:
            self._chunks[name] = None
            try:
                self._chunks[name] = await answered(lambda: read_chunks(self._log.store, name))
                if self._chunks[name] is None:
                    self._found.damaged.append(f"{name} is gone")
            except CorruptObject as error:
                self._found.damaged.append(str(error))
        return self._chunks[name]


def _entries(manifest: Manifest | None) -> tuple[Entry, ...]:
    return () if manifest is None else manifest.entries


def _over_ns(hit: Hit) -> int:
    """Give when any batch that holds the event has been committed, unless something was down."""
    opened, due = hit.entry.opened, hit.entry.due
    age_ns = AGE_NS if opened is None or due is None else due - opened
    return max(hit.told.enqueued_ns + age_ns, hit.committed_ns) + LATE_NS
