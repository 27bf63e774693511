"""Parking: what waits for long moves from Redis to the store, so that the checkpoint can move on.

PROTOCOL, E2. Open buffers that hold the checkpoint back are written as one object of pieces and
listed by a manifest; only then does Redis let go of their events. The buffers stay open, with
what is counted of them, and are sealed when they are due; the batch then begins with the pieces.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from batching import names
from batching.chunk import read
from batching.commit import Committer
from batching.failpoints import reached
from batching.fresh import Held, fresh
from batching.layout import Plan
from batching.names import Key
from batching.parking.objects import Piece, Writer, Written
from batching.parking.pieces import ParkedObject
from batching.parking.reads import Fronts, Gone, read_pieces
from batching.ports import Parkable, Shell
from batching.retry import answered
from batching.structured import structlog
from batching.tenure import Tenure
from batching.view import View

PARK_BYTES, PARK_BUFFERS = 16 * 2**20, 5_000
CALL_KEYS, OVERDUE_KEYS = 1_000, 5_000
SMALL_BYTES = 4 * 2**20  # objects with less in use are merged once there are MERGE_OBJECTS
MERGE_OBJECTS, MERGE_BYTES = 16, 64 * 2**20
log = structlog.get_logger()


class Parker:
    """Parks, restores and merges for one owner's view of the log."""

    def __init__(self, tenure: Tenure, committer: Committer) -> None:
        self._tenure, self._committer = tenure, committer
        self._log, self._buffer = tenure.log, tenure.buffer
        self._turn = 0  # where the next look at overdue keys begins

    async def oldest(self) -> tuple[int, int] | None:
        """Give number and enqueued time of the event that holds the checkpoint back.

        None if there is none, or it is sealed and will soon be committed.
        """
        low = await answered(self._buffer.low)
        lo = low.lo
        if lo is None:
            return None
        for held in await answered(lambda: self._buffer.parkable(lo, 1, 1)):
            for begin, raw in held.elements:
                for chunk in read(memoryview(raw)[begin:]):
                    if chunk.sequence_number >= lo:
                        return chunk.sequence_number, chunk.enqueued_ns
        return None

    async def park(self, view: View, upto: int) -> bool:
        """Park open buffers with events up to a number; False if there is none in front.

        Raises:
            Reattach: the view no longer holds.
            CorruptBuffer: a chunk in the buffer cannot be read.

        """
        ask = (upto, PARK_BYTES, PARK_BUFFERS)
        found = await answered(lambda: self._buffer.parkable(*ask))
        if not found:
            return False
        await reached("park.before")
        learned = False
        while True:
            written = await asyncio.to_thread(self._lay_out, view, found)
            if written is not None:
                learned = True
                await self._create(view, written)
            elif learned or not await self._committer.learn(view):
                break
            else:
                learned = True
        await self._release(view, [held.open.key for held in found])
        return True

    def _lay_out(self, view: View, found: Sequence[Parkable]) -> Written | None:
        """Write what is not durable yet; None if all of it is."""
        writer = Writer()
        new = fresh([Held(held.open.key, held.elements) for held in found], view.mark)
        for i, totals, content in zip(new.which, new.totals(), new.raw(), strict=True):
            buffer = found[i].open
            piece = Piece(
                key=buffer.key,
                first=totals["first"],
                last=totals["last"],
                events=totals["events"],
                samples=totals["samples"],
                due_us=buffer.due_us,
                state=buffer.state,
                data="",
                offset=0,
                length=sum(map(len, content)),
            )
            writer.add(piece, content)
        return self._written(view, writer)

    def _written(self, view: View, writer: Writer) -> Written | None:
        if not len(writer):
            return None
        nonce = secrets.token_hex(4)
        return writer.write(names.parked(self._log.hub, self._log.partition, view.next, nonce))

    async def _create(self, view: View, written: Written) -> bool:
        name = written.entry.data or ""
        data = ((name, [written.content]), (names.parked_index(name), [written.encoded_index]))
        plan = Plan((written.entry,), data, {name: written.index})
        created = await self._committer.create(view, plan)
        if created:
            log.info("parked", pieces=len(written.index), size_bytes=len(written.content))
        return created

    async def _release(self, view: View, keys: Sequence[Key]) -> None:
        for some in _paged(keys):
            durable = [(key, view.mark(key)) for key in some]
            async with self._tenure.appending:
                await reached("release.before")
                call = partial(self._buffer.release, durable, view.next - 1)
                self._tenure.states.released((await answered(call)).left)
                await reached("release.after")

    async def restore(self, view: View, keys: Sequence[Key]) -> list[Shell]:
        """Open buffers for keys with pieces in use that have none; give those."""
        opened: list[Shell] = []
        for some in _paged(keys):
            shells = {key: view.pieces.shell(key) for key in some if view.pieces.has(key)}
            await reached("restore")
            made = await answered(partial(self._buffer.restore, tuple(shells.values())))
            opened += [shells[key] for key in made]
        return opened

    def overdue(self, view: View, now_us: int) -> list[Key]:
        """Give keys with pieces that were due by a time, 5,000 a turn: most have their buffers."""
        keys = view.pieces.overdue(now_us)
        begin = self._turn if self._turn < len(keys) else 0
        self._turn = begin + OVERDUE_KEYS
        return keys[begin : self._turn]

    # --- merging

    async def merge(self, view: View) -> bool:
        """Write the pieces of many small objects into one, and join those of a key.

        Raises:
            Reattach: the view no longer holds.

        """
        chosen = mergeable(view)
        if not chosen:
            return False
        await reached("merge")
        pieces = [each.index.piece(row, each.name) for each in chosen for row in each.rows()]
        try:
            fronts = await read_pieces(self._log.store, pieces)
        except Gone:  # superseded meanwhile by another owner, who is learned sooner or later
            await self._committer.learn(view)
            return False
        written = await asyncio.to_thread(self._lay_out_merged, view, fronts)
        return written is not None and await self._create(view, written)

    def _lay_out_merged(self, view: View, fronts: Fronts) -> Written | None:
        writer = Writer()
        for key, held in fronts.items():
            contents = {(each.piece.data, each.piece.offset): each.content for each in held}
            for run in _runs(view.pieces.of(key), contents):
                writer.add(_joined(run), [contents[each.data, each.offset] for each in run])
        return self._written(view, writer)


def mergeable(view: View) -> list[ParkedObject]:
    """Choose objects to merge: small ones, once there are many of them."""
    small = [each for each in view.pieces.objects if each.bytes_used < SMALL_BYTES]
    if len(small) < MERGE_OBJECTS:
        return []
    chosen, size = [], 0
    for each in sorted(small, key=lambda each: each.bytes_used):
        size += each.bytes_used
        if size > MERGE_BYTES:
            break
        chosen.append(each)
    return chosen


def _runs(
    pieces: Sequence[Piece], contents: Mapping[tuple[str, int], memoryview]
) -> Iterator[list[Piece]]:
    """Give the pieces whose content is at hand, those together that follow on each other."""
    run: list[Piece] = []
    for piece in pieces:
        if (piece.data, piece.offset) in contents:
            run.append(piece)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _joined(run: Sequence[Piece]) -> Piece:
    """Make one piece of some that follow on each other; the last state counts all of them."""
    return run[-1]._replace(
        first=run[0].first,
        events=sum(piece.events for piece in run),
        samples=sum(piece.samples for piece in run),
        due_us=min(piece.due_us for piece in run),
        length=sum(piece.length for piece in run),
    )


def _paged(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for at in range(0, len(keys), CALL_KEYS):
        yield keys[at : at + CALL_KEYS]
