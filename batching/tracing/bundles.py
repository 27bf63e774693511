"""What a bundle says of its events, read without its samples.

The table of chunks lies in the schema, which begins the file, so one ranged read gives it, or two
where it is long.
"""

from typing import Any, NamedTuple

import numpy as np

from batching.arrow import pa
from batching.bundle import chunks_in
from batching.errors import CorruptObject
from batching.model import Entry
from batching.ports import BlobStore

HEAD_BYTES = 2**16
_MAGIC = b"ARROW1"
_BEGIN, _PREFIX = 8, 8  # magic and padding; then a mark and a length, 4 bytes each


class Told(NamedTuple):
    """What a bundle says of one event of a batch. `rows`: its own, [from, to)."""

    enqueued_ns: int
    message_id: str
    rows: tuple[int, int]


async def read_chunks(store: BlobStore, name: str) -> Any | None:
    """Read a bundle's table of chunks; None if the bundle is gone.

    Raises:
        CorruptObject: it is no bundle.

    """
    head = await store.get_range(name, 0, HEAD_BYTES)
    if head is None:
        return None
    end = _BEGIN + _PREFIX + int.from_bytes(head[_BEGIN + 4 : _BEGIN + _PREFIX], "little")
    if len(head) == HEAD_BYTES < end:
        head = await store.get_range(name, 0, end) or b""
    if not head.startswith(_MAGIC) or len(head) < end:
        raise CorruptObject(f"{name} is no Arrow file")
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(head[_BEGIN:end]))
        return chunks_in(schema)
    except (pa.ArrowInvalid, OSError, KeyError, TypeError) as error:
        raise CorruptObject(f"{name} is no bundle: {error}") from error


def told(chunks: Any, entry: Entry, number: int) -> Told | None:
    """Find an event in a batch's rows of the table of chunks; None if it is not among them."""
    rows = chunks.slice(entry.chunks[0], entry.chunks[1] - entry.chunks[0])
    found = np.flatnonzero(rows["sequence_number"].to_numpy() == number)
    if not len(found):
        return None
    row = rows.slice(int(found[0]), 1).to_pylist()[0]
    first = row["first_row"]
    return Told(row["enqueued_ns"], row["message_id"] or "", (first, first + row["rows"]))
