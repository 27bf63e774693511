"""Manifests as dispatchers read them: each once for all jobs, batches of their streams alone."""

from collections import OrderedDict
from collections.abc import Collection
from typing import NamedTuple

from batching import names
from batching.errors import LogTrimmed
from batching.model import Entry, EntryKind, Manifest, Position, Store, load
from batching.ports import BlobStore, Clock
from batching.retention import read_trimmed
from batching.view import oldest_manifest

CACHED_ENTRIES = 20_000
LOOK_AT_POSITION_NS = 60 * 10**9


class Batches(NamedTuple):
    """The batches that a manifest commits, and when it was written, nanoseconds UTC."""

    written_ns: int
    entries: tuple[Entry, ...]


class Manifests:
    """The logs of all partitions; what was read last is kept, up to 20,000 entries.

    Every call raises StoreUnavailable when the store does not answer.
    """

    def __init__(
        self, store: BlobStore, identity: Store, streams: Collection[str], clock: Clock
    ) -> None:
        self._store, self._identity, self._clock = store, identity, clock
        self._streams = frozenset(streams)
        self._kept: OrderedDict[tuple[str, int], Batches] = OrderedDict()
        self._entries = 0
        self._missing: set[tuple[str, int]] = set()
        self._first: dict[str, tuple[int, int]] = {}  # partition: position.first, when looked at

    def refresh(self) -> None:
        """Forget which manifests were missing, so that they are looked for again."""
        self._missing.clear()

    async def get(self, partition: str, n: int) -> Batches | None:
        """Give the batches of manifest n; None if there is none yet."""
        if (partition, n) in self._kept:
            self._kept.move_to_end((partition, n))
            return self._kept[partition, n]
        if (partition, n) in self._missing:
            return None
        found = await self._read(partition, n)
        if found is None:
            self._missing.add((partition, n))
        else:
            self._keep((partition, n), found)
        return found

    async def check_trimmed(self, partition: str, n: int, job: str) -> None:
        """Make sure that a manifest is missing because it was not written yet.

        Raises:
            LogTrimmed: it was there and was deleted, though the job was not handed it.

        """
        looked = self._first.get(partition)
        now = self._clock.now_ns()
        if looked is None or abs(now - looked[1]) >= LOOK_AT_POSITION_NS:
            looked = self._first[partition] = (await self.first(partition), now)
        # written, and passed by `first`, between two calls: then it can be read by now
        if n < looked[0] and await self._read(partition, n) is None:
            raise LogTrimmed(
                f"log trimmed under job {job}: partition {partition} begins at manifest"
                f" {looked[0]}, the job needs {n}; its batches in between are in no run"
            )

    async def first(self, partition: str) -> int:
        """Give the manifest from which on the log is kept."""
        name = names.position(self._identity.hub_id, partition)
        raw = await self._store.get(name)
        return 0 if raw is None else load(Position, name, raw).first

    async def oldest(self, partition: str) -> int:
        """Give the number of the oldest manifest that is there and stays there, by listing."""
        found = await oldest_manifest(self._store, self._identity.hub_id, partition)
        oldest = await self.first(partition) if found is None else found
        return max(oldest, await self.trimmed(partition))

    async def trimmed(self, partition: str) -> int:
        """Give the manifest below which retention takes them, or has said that it will."""
        said, _ = await read_trimmed(self._store, self._identity.hub_id, partition)
        return said.below

    async def end(self, partition: str) -> int:
        """Give the number of the next manifest, by listing."""
        hub, n = self._identity.hub_id, await self.first(partition)
        after = names.manifest(hub, partition, n - 1) if n else ""
        async for name in self._store.names(f"log/{hub}/{partition}/", after):
            n = max(n, int(name.rpartition("/")[2].removesuffix(".json")) + 1)
        return n

    async def _read(self, partition: str, n: int) -> Batches | None:
        name = names.manifest(self._identity.hub_id, partition, n)
        raw = await self._store.get(name)
        if raw is None:
            return None
        manifest = load(Manifest, name, raw)
        if manifest.log != self._identity.id:  # a process of another store wrote it: empty
            return Batches(manifest.written, ())
        wanted = (e for e in manifest.entries if e.kind == EntryKind.BATCH.value)
        return Batches(manifest.written, tuple(e for e in wanted if e.stream in self._streams))

    def _keep(self, key: tuple[str, int], found: Batches) -> None:
        self._kept[key] = found
        self._entries += 1 + len(found.entries)
        while self._entries > CACHED_ENTRIES:
            _, old = self._kept.popitem(last=False)
            self._entries -= 1 + len(old.entries)
