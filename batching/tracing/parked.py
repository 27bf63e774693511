"""Parked pieces that hold an event: it is durable, and in no batch of its key yet."""

from typing import NamedTuple

import numpy as np

from batching.errors import CorruptObject
from batching.names import Key
from batching.parking.objects import Piece
from batching.parking.reads import Gone, read_pieces
from batching.states import NEVER_US
from batching.view import Log


class ParkedIn(NamedTuple):
    """A piece that holds the event, and when its batch is due, nanoseconds UTC."""

    key: Key
    first: int
    last: int
    events: int
    due_ns: int | None
    data: str


async def parked_in(record: Log, number: int) -> list[ParkedIn]:
    """Find the pieces in use that hold a number, by their index, then by what they hold.

    Raises:
        CorruptObject: a piece cannot be read; or it has just gone, and another look helps.

    """
    view, _ = await record.read()
    pieces: list[Piece] = []
    for held in view.pieces.objects:
        numbers = held.index.numbers
        inside = held.used & (numbers["first"] <= number) & (numbers["last"] >= number)
        pieces += [held.index.piece(int(row), held.name) for row in np.flatnonzero(inside)]
    try:
        fronts = await read_pieces(record.store, pieces)
    except Gone as gone:
        raise CorruptObject(f"{gone.name} is gone; if a service runs, try again") from gone
    return [
        _told(parked.piece)
        for found in fronts.values()
        for parked in found
        if number in parked.numbers()
    ]


def _told(piece: Piece) -> ParkedIn:
    due_ns = None if piece.due_us == NEVER_US else piece.due_us * 1_000
    return ParkedIn(piece.key, piece.first, piece.last, piece.events, due_ns, piece.data)
