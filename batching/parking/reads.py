"""Parked pieces read back: few ranged reads of their objects, however scattered they lie."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from batching.chunk import read
from batching.errors import CorruptBuffer, CorruptObject
from batching.names import Key
from batching.parking.objects import Piece
from batching.ports import BlobStore
from batching.retry import answered

GAP_BYTES = 64 * 2**10  # read over a gap of this size rather than ask twice
READ_BYTES = 8 * 2**20  # of one read, but for a piece that is larger
AT_ONCE = 8


class Gone(Exception):
    """An object with pieces in use is not there."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class Parked:
    """A piece and its encoded chunks."""

    piece: Piece
    content: memoryview

    def numbers(self) -> list[int]:
        """Read the sequence numbers of its chunks, all of them.

        Raises:
            CorruptObject: the content is not what the index says.

        """
        try:
            found = [chunk.sequence_number for chunk in read(self.content)]
        except CorruptBuffer as error:
            raise CorruptObject(f"{self._where}: {error}") from error
        self.check(found)
        return found

    def check(self, numbers: Sequence[int]) -> None:
        """Compare the numbers of its chunks with those that the index tells of.

        Raises:
            CorruptObject: they are others.

        """
        first, last, events = self.piece.first, self.piece.last, self.piece.events
        if (len(numbers), *numbers[:1], *numbers[-1:]) != (events, first, last):
            raise CorruptObject(
                f"{self._where}: the index says {events} events {first} to {last},"
                f" it holds {len(numbers)}"
            )

    @property
    def _where(self) -> str:
        return f"{self.piece.data}, at byte {self.piece.offset}"


Fronts = Mapping[Key, list[Parked]]


class Span(NamedTuple):
    """Bytes of one object that are read together, and the pieces that lie in them."""

    name: str
    offset: int
    end: int
    pieces: list[Piece]


def spans(pieces: Iterable[Piece]) -> list[Span]:
    """Lay reads out: pieces of one object that lie close together are read at once."""
    found: list[Span] = []
    for piece in sorted(pieces, key=lambda piece: (piece.data, piece.offset)):
        end = piece.offset + piece.length
        before = found[-1] if found else None
        if (
            before is not None
            and before.name == piece.data
            and piece.offset - before.end <= GAP_BYTES
            and end - before.offset <= READ_BYTES
        ):
            before.pieces.append(piece)
            found[-1] = before._replace(end=max(end, before.end))
        else:
            found.append(Span(piece.data, piece.offset, end, [piece]))
    return found


async def read_pieces(store: BlobStore, pieces: Sequence[Piece]) -> Fronts:
    """Read pieces; give those of each key, in the order in which they came.

    Raises:
        Gone: one of their objects is not there.
        CorruptObject: one of them ends too early.

    """
    content: dict[tuple[str, int], memoryview] = {}
    free = asyncio.Semaphore(AT_ONCE)

    async def read(span: Span) -> None:
        async with free:
            raw = await _range(store, span)
        for piece in span.pieces:
            begin = piece.offset - span.offset
            content[piece.data, piece.offset] = memoryview(raw)[begin : begin + piece.length]

    # no task group: one that fails leaves its own task marked as cancelled in Python 3.11
    for failed in await asyncio.gather(*map(read, spans(pieces)), return_exceptions=True):
        if failed is not None:
            raise failed
    fronts: dict[Key, list[Parked]] = {}
    for piece in pieces:
        fronts.setdefault(piece.key, []).append(Parked(piece, content[piece.data, piece.offset]))
    return fronts


async def _range(store: BlobStore, span: Span) -> bytes:
    length = span.end - span.offset
    raw = await answered(lambda: store.get_range(span.name, span.offset, length))
    if raw is None:
        raise Gone(span.name)
    if len(raw) < length:
        raise CorruptObject(f"{span.name} ends before byte {span.end}, where a piece lies")
    return raw
