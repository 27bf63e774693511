"""Sealed buffers become durable: bundles first, then the manifest whose creation commits them.

PROTOCOL, step D. Who creates manifest n has seen all before it; who loses the race reads the
winner, drops what it covers and plans again under the next number.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from batching import names
from batching.durable import write_data
from batching.errors import CorruptObject, Reattach
from batching.failpoints import reached
from batching.identity import check_identity
from batching.layout import Plan, StreamFormat, lay_out
from batching.limits.making import PEEK_BYTES, Making
from batching.lost import lost_entry
from batching.metrics import BatchingMetrics
from batching.model import Entry, EntryKind, LostReason, Manifest
from batching.names import DEAD_STREAM, Key
from batching.parking.reads import Fronts, Gone, read_pieces
from batching.ports import Buffer, Clock, SealedBuffer
from batching.retry import answered
from batching.structured import structlog
from batching.view import NO_INDEXES, Indexes, Log, View, carried

PEEK_BUFFERS = 1_000
log = structlog.get_logger()


class Committer:
    """Commits one partition's sealed buffers, in order, for one owner's view of the log."""

    def __init__(
        self,
        record: Log,
        buffer: Buffer,
        clock: Clock,
        metrics: BatchingMetrics,
        *,
        formats: Mapping[str, StreamFormat],
        writer: str,
        compression: str | None = None,
        making: Making | None = None,
    ) -> None:
        self._making = making or Making()
        self._log, self._buffer, self._clock, self._metrics = record, buffer, clock, metrics
        self._writer = writer
        self._lay_out = partial(lay_out, record, formats=formats, compression=compression)

    async def commit(
        self,
        view: View,
        *,
        waiting: Callable[[], int] = lambda: PEEK_BYTES,
        upto: int | None = None,
    ) -> int:
        """Commit the oldest sealed buffers; give how many were there.

        Args:
            view: what is known of the log.
            waiting: gives how many bytes are sealed, about: one manifest takes no more than fit
                beside those in the making.
            upto: touch nothing that ends beyond this number: another process wrote it.

        Raises:
            Reattach: the view no longer holds, or something ends beyond `upto`.
            CorruptBuffer: a chunk in the buffer cannot be read.

        """
        while (done := await answered(lambda: self._make_durable(view, waiting, upto))) is None:
            pass
        if done:
            await reached("ack.before")
            await answered(lambda: self._buffer.ack(done, view.next - 1))
            await reached("ack.after")
        return len(done)

    async def _make_durable(
        self, view: View, waiting: Callable[[], int], upto: int | None
    ) -> list[tuple[int, Key, int]] | None:
        """Read sealed buffers and make them durable; give what is to be acknowledged.

        Who gets no answer from Redis gives its room to others meanwhile, whose Redis may be well.

        Returns:
            None if another owner's manifest was there, and is learned: call it again.

        """
        async with self._making.room(waiting) as room:
            sealed = await self._buffer.peek(room.size, PEEK_BUFFERS)
            if not sealed:
                return []
            if upto is not None and any(buffer.last > upto for buffer in sealed):
                raise Reattach(f"another process appends, beyond number {upto}")
            await reached("peek")
            done = [(buffer.k, buffer.key, buffer.last) for buffer in sealed]
            fronts = await self._in_front(view, sealed)
            plan = await asyncio.to_thread(self._lay_out, view, sealed, fronts)
            del sealed, fronts
            room.laid_out()
            if plan.entries:
                return done if await self.create(view, plan) else None
            # Of a batch of which nothing is left here, another owner may have parked all.
            return None if await self.learn(view) else done

    async def declare_lost(self, view: View, first: int, last: int, reason: LostReason) -> bool:
        """Make the log say that first..last are lost; False if it said so already.

        Raises:
            Reattach: the view no longer holds.

        """
        entry = lost_entry(first, last, reason)
        declared = False
        while not view.lost.say(first, last):
            declared = await self.create(view, Plan((entry,), ()))
        return declared

    async def _in_front(self, view: View, sealed: Sequence[SealedBuffer]) -> Fronts:
        """Read the parked pieces that come before the sealed buffers' own events."""
        while True:
            keys = dict.fromkeys(buffer.key for buffer in sealed)
            pieces = [piece for key in keys for piece in view.pieces.of(key)]
            try:
                return await read_pieces(self._log.store, pieces)
            except Gone as gone:  # a batch of another owner holds it, and the janitor came
                await self._explain(view, gone)

    async def _explain(self, view: View, gone: Gone) -> None:
        """Learn why a parked object is gone.

        Raises:
            Reattach: the manifests that say so are deleted, too.
            WrongStore: the whole store is.
            CorruptObject: nothing says so.

        """
        position, _ = await self._log.position()
        if not await self.learn(view):
            if position.first > view.first:
                raise Reattach(f"{gone.name} and the manifests that superseded it are deleted")
            await answered(lambda: check_identity(self._log.root, self._log.identity))
            raise CorruptObject(f"{gone.name} is gone, though pieces of it are in no batch")

    async def learn(self, view: View) -> bool:
        """Take in a manifest of another owner, if there is one."""
        entries = await self._log.entries(view.next)
        if entries is None:
            return False
        await self._take(view, entries)
        return True

    async def _take(
        self, view: View, entries: tuple[Entry, ...], known: Indexes = NO_INDEXES
    ) -> None:
        """Manifest `next` into the view, unless that number was used and deleted long ago."""
        indexes = known or await self._log.indexes(view, entries)
        position, _ = await self._log.position()
        if position.first > view.next:
            raise Reattach(f"manifest {view.next} was deleted long ago")
        view.apply(entries, indexes)
        await reached("take")

    async def create(self, view: View, plan: Plan) -> bool:
        """Write a plan's data and its manifest; False if another owner was first, who is learned.

        Raises:
            Reattach: the view no longer holds.

        """
        n, partition = view.next, self._log.partition
        store = self._log.store
        entries = (*carried(view), *plan.entries)
        for name, parts in plan.data:
            await reached("data.before")
            await write_data(store, name, parts)
            await reached("data.after")
        manifest = Manifest(
            log=self._log.identity.id,
            hub=self._log.hub,
            partition=partition,
            n=n,
            written=self._clock.now_ns(),
            writer=self._writer,
            entries=entries,
        )
        name = names.manifest(self._log.hub, partition, n)
        await reached("manifest.before")
        body = msgspec.json.encode(manifest)  # what `dump` gives, much faster
        created = await answered(lambda: store.create(name, [body]))
        await reached("manifest.after")
        if created:
            self._metrics.manifests.labels("created").inc()
            await self._take(view, entries, plan.indexes)
            self._observe(n, plan)
            return True
        self._metrics.manifests.labels("lost").inc()
        if not await self.learn(view):
            raise Reattach(f"manifest {n} exists and cannot be read: deleted meanwhile")
        return False

    def _observe(self, n: int, plan: Plan) -> None:
        batches = [e for e in plan.entries if e.kind not in (EntryKind.PARKED, EntryKind.LOST)]
        if not batches:
            return
        for (stream, reason), count in Counter((e.stream, e.reason) for e in batches).items():
            self._metrics.batches.labels(stream, reason).inc(count)
        sizes: dict[str, list[int]] = {}
        for entry in batches:
            if entry.kind == EntryKind.BATCH and entry.stream != DEAD_STREAM:
                sizes.setdefault(entry.stream, []).append(entry.samples)
        for stream, of_stream in sizes.items():
            observe = self._metrics.batch_samples.labels(stream).observe
            for samples in of_stream:
                observe(samples)
        for _, parts in plan.data:
            self._metrics.bundle_bytes.observe(sum(len(part) for part in parts))
        log.info("manifest created", n=n, batches=len(batches), bundles=len(plan.data))
