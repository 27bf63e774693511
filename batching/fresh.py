"""What buffers hold that is in no batch yet: each event once, in rising order.

A script that was torn may leave an element twice, and a buffer may come back with a Redis that
was rolled back, so what a buffer says of itself is not trusted: only numbers above the key's
mark in the log, and above all before them, are taken.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from batching.chunk import Encoded
from batching.chunks import Body, Chunks, distinct, read_all
from batching.errors import CorruptBuffer
from batching.names import Key
from batching.parking.reads import Parked
from batching.ports import Stored


class Held(NamedTuple):
    """What one buffer holds: parked pieces first, then elements."""

    key: Key
    elements: Sequence[Stored]
    pieces: Sequence[Parked] = ()


@dataclass(frozen=True, slots=True)
class Fresh:
    """Chunks that are in no batch, of those buffers that have some.

    `which` says which of the buffers these are, rising; the i-th of them has chunks
    [bounds[i], bounds[i + 1]), one at least.
    """

    which: Sequence[int]
    chunks: Chunks
    bounds: NDArray[np.int64]

    def only(self, chosen: Sequence[int]) -> "Fresh":
        """Give some: those at rising places of `which`."""
        if len(chosen) == len(self.which):
            return self
        sizes = np.diff(self.bounds)
        kept = np.isin(np.arange(len(sizes)), chosen)
        chunks = self.chunks.only(np.repeat(kept, sizes))
        return Fresh([self.which[i] for i in chosen], chunks, bounds(sizes[kept]))

    def of(self, i: int) -> Iterator[Encoded]:
        """Walk the chunks of the i-th."""
        return map(self.chunks.one, range(self.bounds[i], self.bounds[i + 1]))

    def raw(self) -> list[list[memoryview]]:
        """Give the encoded chunks of each, those that lie side by side in one piece."""
        if not self.which:
            return []
        at, ends, view = self.chunks.at, self.chunks.ends, memoryview(self.chunks.content)
        apart = np.flatnonzero(at[1:] != ends[:-1]) + 1
        cuts = distinct(np.concatenate((apart, self.bounds[:-1])))
        lasts = np.append(cuts[1:], len(at)) - 1
        spans = zip(at[cuts].tolist(), ends[lasts].tolist(), strict=True)
        pieces = [view[begin:end] for begin, end in spans]
        of = np.searchsorted(cuts, self.bounds).tolist()
        return [pieces[begin:end] for begin, end in pairwise(of)]

    def totals(self) -> list[dict[str, int]]:
        """Give first and last number, events, samples, decoded bytes of each, and when it began."""
        if not self.which:
            return []
        chunks, begins = self.chunks, self.bounds[:-1]
        columns = {
            "first": chunks.numbers[begins],
            "last": chunks.numbers[self.bounds[1:] - 1],
            "events": np.diff(self.bounds),
            "samples": np.add.reduceat(chunks.samples, begins),
            "bytes": np.add.reduceat(chunks.decoded_bytes, begins),
            "opened": chunks.heads["enqueued_ns"][begins],
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]


def bounds(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give where each of some begins, and where the last ends, if they lie side by side."""
    return np.concatenate(([0], np.cumsum(sizes)))


def fresh(held: Sequence[Held], mark: Callable[[Key], int]) -> Fresh:
    """Take parked pieces whole, then what elements hold above the mark, each number once.

    Args:
        held: of several buffers of one key, the earlier one stands first.
        mark: gives the number up to which every event of a key is durable.

    Raises:
        CorruptBuffer: a chunk in the buffer cannot be read.
        CorruptObject: a parked piece cannot be read, or is not what its index says.

    """
    marks = [mark(each.key) for each in held]
    bodies: list[tuple[int, Body]] = []
    begins, ends = [], []
    for each in held:
        bodies += [(0, piece.content) for piece in each.pieces]
        begins.append(len(bodies))
        bodies += each.elements
        ends.append(len(bodies))
    try:
        chunks, found = read_all([body for _, body in bodies], [begin for begin, _ in bodies])
    except CorruptBuffer:
        for piece in (piece for each in held for piece in each.pieces):
            piece.numbers()  # it names the object
        raise
    _check_pieces(held, chunks, found, begins)
    end = found[ends]
    kept = _rising(chunks.numbers, found[begins], end, [each.key for each in held], marks)
    sizes = np.diff(bounds(kept.astype(np.int64))[np.concatenate(([0], end))])
    some = np.flatnonzero(sizes)
    return Fresh(some.tolist(), chunks.only(kept), bounds(sizes[some]))


def _check_pieces(
    held: Sequence[Held], chunks: Chunks, found: NDArray[np.int64], begins: Sequence[int]
) -> None:
    numbers = chunks.numbers
    for each, begin in zip(held, begins, strict=True):
        for i, piece in enumerate(each.pieces, begin - len(each.pieces)):
            piece.check(numbers[found[i] : found[i + 1]].tolist())


def _rising(
    numbers: NDArray[np.int64],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    keys: Sequence[Key],
    marks: Sequence[int],
) -> NDArray[np.bool_]:
    """Tell which chunks are above the mark and above those before them of their key.

    Chunks [begins[i], ends[i]) are those of the elements of buffer i; others are parked, and kept.
    """
    kept = np.ones(len(numbers), np.bool_)
    stays = np.flatnonzero(numbers[1:] <= numbers[:-1]) + 1
    rise = np.searchsorted(stays, begins, "right") >= np.searchsorted(stays, ends)
    first, last = (np.append(numbers, 0)[at] for at in (begins, ends - 1))
    reached: dict[Key, int] = {}
    columns = (column.tolist() for column in (begins, ends, first, last, rise))
    for key, mark, begin, end, lowest, highest, rises in zip(keys, marks, *columns, strict=True):
        above = reached.get(key, mark)
        if begin == end:
            continue
        if rises and lowest > above:
            reached[key] = highest
            continue
        part = numbers[begin:end]
        so_far = np.maximum.accumulate(np.concatenate(([above], part)))
        kept[begin:end] = part > so_far[:-1]
        reached[key] = int(so_far[-1])
    return kept
