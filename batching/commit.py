"""Sealed buffers become durable: bundles first, then the manifest whose creation commits them.

PROTOCOL, step D. Who creates manifest n has seen all before it; who loses the race reads the
winner, drops what it covers and plans again under the next number.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from batching import names
from batching.bundle import Builder, DeadLetters
from batching.chunk import (
    DEAD_LETTER,
    IGNORED_EVENT,
    SAMPLES,
    UNWRITABLE,
    Encoded,
    dead_letter_of,
    read_both,
    samples_of,
)
from batching.durable import write_data
from batching.errors import CorruptObject, Reattach
from batching.failpoints import reached
from batching.identity import check_identity
from batching.lost import lost_entry
from batching.metrics import BatchingMetrics
from batching.model import Entry, EntryKind, LostReason, Manifest, dump
from batching.names import DEAD_STREAM, IGNORED_STREAM, Key
from batching.parking.reads import Fronts, Gone, read_pieces
from batching.policy import NEVER_NS, BatchState
from batching.ports import Buffer, Clock, SealedBuffer
from batching.retry import answered
from batching.view import NO_INDEXES, Indexes, Log, View, carried

PEEK_BYTES, PEEK_BUFFERS = 16 * 2**20, 1_000
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """How batches of a stream are written: its channels, and a short name of its rules."""

    channels: tuple[str, ...]
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one manifest would say, and the bundles that must be there before it."""

    entries: tuple[Entry, ...]
    data: tuple[tuple[str, list[Any]], ...]  # name and parts
    indexes: Indexes = field(default_factory=dict)  # of the objects that it parks


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
    ) -> None:
        self._log, self._buffer, self._clock, self._metrics = record, buffer, clock, metrics
        self._formats, self._writer, self._compression = formats, writer, compression

    async def commit(
        self, view: View, *, max_bytes: int = PEEK_BYTES, upto: int | None = None
    ) -> int:
        """Commit the oldest sealed buffers; give how many were there.

        Args:
            view: what is known of the log.
            max_bytes: of buffers in one manifest.
            upto: touch nothing that ends beyond this number: another process wrote it.

        Raises:
            Reattach: the view no longer holds, or something ends beyond `upto`.
            CorruptBuffer: a chunk in the buffer cannot be read.

        """
        sealed = await answered(lambda: self._buffer.peek(max_bytes, PEEK_BUFFERS))
        if not sealed:
            return 0
        if upto is not None and any(buffer.last > upto for buffer in sealed):
            raise Reattach(f"another process appends, beyond number {upto}")
        await reached("peek")
        learned = False
        while True:
            fronts = await self._in_front(view, sealed)
            plan = await asyncio.to_thread(self._plan, view, sealed, fronts)
            if plan.entries:
                await self.create(view, plan)
                learned = True
            elif learned or not await self.learn(view):
                break
            else:
                learned = True
        done = [(buffer.k, buffer.key, buffer.last) for buffer in sealed]
        await reached("ack.before")
        await answered(lambda: self._buffer.ack(done, view.next - 1))
        await reached("ack.after")
        return len(sealed)

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
        created = await answered(lambda: store.create(name, [dump(manifest)]))
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
        for entry in batches:
            self._metrics.batches.labels(entry.stream, entry.reason).inc()
            if entry.kind == EntryKind.BATCH and entry.stream != DEAD_STREAM:
                self._metrics.batch_samples.labels(entry.stream).observe(entry.samples)
        for _, parts in plan.data:
            self._metrics.bundle_bytes.observe(sum(len(part) for part in parts))
        log.info("manifest created", n=n, batches=len(batches), bundles=len(plan.data))

    def _plan(self, view: View, sealed: Sequence[SealedBuffer], fronts: Fronts) -> Plan:
        """Lay out what is in no batch yet: parked pieces whole, then each event once, rising."""
        writing = _Writing(self._formats, self._log, view.next)
        marks: dict[Key, int] = {}
        for buffer in sealed:
            mark = marks.get(buffer.key, view.mark(buffer.key))
            pieces = [] if buffer.key in marks else fronts.get(buffer.key, [])
            if pieces and buffer.last < pieces[0].piece.first:
                pieces = []  # a buffer from before them, back by a roll-back
            chunks = [chunk for each in pieces for chunk in each.chunks()]
            chunks += (chunk for chunk, _ in rising(buffer.elements, mark))
            if chunks:
                marks[buffer.key] = chunks[-1].sequence_number
                writing.add(buffer, chunks)
        return writing.plan(self._compression)


def rising(
    elements: Sequence[tuple[int, int, bytes | memoryview]], mark: int
) -> Iterator[tuple[Encoded, memoryview]]:
    """Give the chunks above the mark with their bytes, each number once: scripts may be torn."""
    for _, last, body in elements:
        if last <= mark:
            continue
        for chunk, raw in read_both(body):
            if chunk.sequence_number > mark:
                mark = chunk.sequence_number
                yield chunk, raw


class _Writing:
    """The bundles of one manifest while they are laid out, one a stream."""

    def __init__(self, formats: Mapping[str, StreamFormat], record: Log, n: int) -> None:
        self._formats, self._log, self._n = formats, record, n
        self._nonce = secrets.token_hex(4)
        self._samples: dict[str, Builder] = {}
        self._dead = DeadLetters()
        self._entries: list[Entry] = []

    def add(self, buffer: SealedBuffer, chunks: list[Encoded]) -> None:
        """Add one batch: samples, dead letters, or a count of ignored events."""
        form = self._formats.get(buffer.key.stream)
        if buffer.key.stream == IGNORED_STREAM:
            self._entries.append(self._entry(EntryKind.IGNORED, buffer, chunks))
        elif buffer.key.stream == DEAD_STREAM:
            self._add_dead(EntryKind.BATCH, buffer, chunks, "")
        elif form is None:
            self._add_dead(EntryKind.DEAD, buffer, chunks, "the stream is no longer configured")
        elif any(c.kind != SAMPLES or c.channels != len(form.channels) for c in chunks):
            self._add_dead(EntryKind.DEAD, buffer, chunks, "the stream's channels were changed")
        else:
            self._add_samples(form, buffer, chunks)

    def _add_samples(self, form: StreamFormat, buffer: SealedBuffer, chunks: list[Encoded]) -> None:
        stream = buffer.key.stream
        builder = self._samples.setdefault(stream, Builder(list(form.channels)))
        rows, table = builder.rows, len(builder.chunks)
        first = len(builder.times)
        for chunk in chunks:
            times, values = samples_of(chunk)
            builder.add_chunk(
                times,
                values,
                sequence_number=chunk.sequence_number,
                enqueued_ns=chunk.enqueued_ns,
                message_id=chunk.message_id,
            )
        times_ns = np.concatenate(builder.times[first:])  # one look for all: most chunks are small
        builder.end_batch(buffer.key.sensor, rows)
        self._entries.append(
            self._entry(
                EntryKind.BATCH,
                buffer,
                chunks,
                data=self._name(stream),
                rows=(rows, builder.rows),
                chunks=(table, len(builder.chunks)),
                time_first_ns=int(np.min(times_ns, initial=NEVER_NS)),
                time_last_ns=int(np.max(times_ns, initial=-NEVER_NS)),
                policy=form.policy,
            )
        )

    def _add_dead(
        self, kind: EntryKind, buffer: SealedBuffer, chunks: list[Encoded], why: str
    ) -> None:
        rows = self._dead.rows
        for chunk in chunks:
            self._dead.add(
                _letter(chunk, why),
                sequence_number=chunk.sequence_number,
                enqueued_ns=chunk.enqueued_ns,
                message_id=chunk.message_id,
            )
        span = (rows, self._dead.rows)
        self._entries.append(
            self._entry(kind, buffer, chunks, data=self._name(DEAD_STREAM), rows=span, chunks=span)
        )

    def _name(self, stream: str) -> str:
        return names.data(stream, self._log.hub, self._log.partition, self._n, self._nonce)

    @staticmethod
    def _entry(
        kind: EntryKind, buffer: SealedBuffer, contents: list[Encoded], **more: Any
    ) -> Entry:
        state = BatchState.unpack(buffer.state)
        return Entry(
            kind=kind.value,
            stream=buffer.key.stream,
            sensor=buffer.key.sensor,
            first=contents[0].sequence_number,
            last=contents[-1].sequence_number,
            events=len(contents),
            samples=sum(chunk.samples for chunk in contents),
            bytes=sum(len(chunk.payload) for chunk in contents),
            opened=contents[0].enqueued_ns,
            due=None if state.due_ns == NEVER_NS else state.due_ns,
            sealed=buffer.sealed_us * 1_000,
            reason=buffer.reason.value,
            **more,
        )

    def plan(self, compression: str | None) -> Plan:
        """Write the bundles."""
        data = [
            (self._name(stream), builder.write(compression))
            for stream, builder in self._samples.items()
        ]
        if self._dead.rows:
            data.append((self._name(DEAD_STREAM), self._dead.write(compression)))
        return Plan(tuple(self._entries), tuple(data))


def _letter(chunk: Encoded, why: str) -> dict[str, Any]:
    """Give the columns of a dead letter, also for samples that can no longer be written."""
    if chunk.kind == DEAD_LETTER:
        letter = dead_letter_of(chunk)
        return {name: getattr(letter, name) for name in letter.__struct_fields__}
    kind = "ignored event" if chunk.kind == IGNORED_EVENT else "samples"
    shape = f"{chunk.samples} times int64, then {chunk.samples} x {chunk.channels} {chunk.dtype}"
    return {
        "reason": UNWRITABLE,
        "detail": f"{why}; the body is the {kind} as decoded: {shape}",
        "body": bytes(chunk.payload),
        "body_bytes": len(chunk.payload),
    }
