"""A parked object: encoded chunks of many keys one after another, and the index to them.

Content: `parked/.../<n>-<nonce>.chunks`, chunks as they lie in an element. Index: a small Arrow
IPC file beside it, one row for each piece, in the order of the content:

    stream, sensor    the piece's key
    first, last       its sequence numbers; it holds all events of the key between them that
                      were not durable before
    events, samples, bytes    what it holds; encoded bytes, as the buffer counts them
    due_us, state     of the open buffer that it was taken from: due time (microseconds UTC),
                      the owner's policy state, which counts earlier pieces too
    offset, length    where it lies in the content

Both are created before the manifest that lists the object, and never changed.
"""

import base64
import binascii
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from batching import names
from batching.arrow import column, dictionary, pa
from batching.errors import CorruptObject
from batching.model import Entry, EntryKind
from batching.names import PARKED, Key
from batching.states import NEVER_US

NUMBERS = ("first", "last", "events", "samples", "bytes", "due_us", "offset", "length")
SCHEMA = pa.schema(
    [
        ("stream", pa.dictionary(pa.int32(), pa.string())),
        ("sensor", pa.string()),
        *((name, pa.int64()) for name in NUMBERS),
        ("state", pa.binary()),
    ]
)


class Piece(NamedTuple):
    """Events of one key that are parked together."""

    key: Key
    first: int
    last: int
    events: int
    samples: int
    due_us: int
    state: bytes
    data: str  # the object's content
    offset: int
    length: int  # encoded bytes


@dataclass(frozen=True, slots=True)
class Index:
    """The rows of one parked object, in columns of shape (rows,)."""

    keys: list[Key]
    numbers: dict[str, NDArray[np.int64]]
    states: Any  # pyarrow binary array

    def __len__(self) -> int:
        return len(self.keys)

    def piece(self, row: int, data: str) -> Piece:
        """Give one row as a plain value."""
        number = {name: int(column[row]) for name, column in self.numbers.items()}
        return Piece(
            key=self.keys[row],
            first=number["first"],
            last=number["last"],
            events=number["events"],
            samples=number["samples"],
            due_us=number["due_us"],
            state=self.states[row].as_py(),
            data=data,
            offset=number["offset"],
            length=number["length"],
        )


class Writer:
    """Lays out one parked object."""

    def __init__(self) -> None:
        self._pieces: list[tuple[Piece, Sequence[memoryview]]] = []

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, piece: Piece, content: Sequence[memoryview]) -> None:
        """Add a piece; where it lies is found by `write`."""
        self._pieces.append((piece, content))

    def write(self, name: str) -> "Written":
        """Lay the pieces out in the order in which they are due, as they will be read."""
        self._pieces.sort(key=lambda pair: pair[0].due_us)
        content = b"".join(part for _, parts in self._pieces for part in parts)
        index = _index([piece for piece, _ in self._pieces])
        return Written(_entry(name, index), index, content, _encode(index))


@dataclass(frozen=True, slots=True)
class Written:
    """One parked object, ready to be created."""

    entry: Entry
    index: Index
    content: bytes
    encoded_index: Any


def _index(pieces: list[Piece]) -> Index:
    numbers = {
        name: np.array([getattr(piece, name) for piece in pieces], np.int64)
        for name in ("first", "last", "events", "samples", "due_us", "length")
    }
    numbers["bytes"] = numbers["length"]
    numbers["offset"] = np.cumsum(numbers["length"]) - numbers["length"]
    states = pa.array([piece.state for piece in pieces], pa.binary())
    return Index([piece.key for piece in pieces], numbers, states)


def _entry(name: str, index: Index) -> Entry:
    n = index.numbers
    due_us = int(n["due_us"].min())
    return Entry(
        kind=EntryKind.PARKED.value,
        stream=PARKED.stream,
        sensor=PARKED.sensor,
        first=int(n["first"].min()),
        last=int(n["last"].max()),
        events=int(n["events"].sum()),
        samples=int(n["samples"].sum()),
        bytes=int(n["length"].sum()),
        due=None if due_us >= NEVER_US else due_us * 1_000,
        data=name,
    )


def _encode(index: Index) -> Any:
    keys = index.keys
    columns = [
        dictionary(key.stream for key in keys),
        pa.array([key.sensor for key in keys], pa.string()),
        *(column(index.numbers[name]) for name in NUMBERS),
        index.states,
    ]
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, SCHEMA, options=options) as writer:
        writer.write_batch(pa.record_batch(columns, schema=SCHEMA))
    return sink.getvalue()


def read_index(raw: bytes, name: str) -> Index:
    """Read the index of the object `name`.

    Raises:
        CorruptObject: it is no such index.

    """
    where = names.parked_index(name)
    try:
        table = pa.ipc.open_file(pa.py_buffer(raw)).read_all().combine_chunks()
        streams, sensors = table["stream"].to_pylist(), table["sensor"].to_pylist()
        numbers = {each: table[each].to_numpy() for each in NUMBERS}
        states = table["state"].combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError, OSError) as error:
        raise CorruptObject(f"{where} is no index of parked chunks: {error}") from error
    if isinstance(states, pa.ChunkedArray):  # of no chunk: it has no row
        states = pa.array([], pa.binary())
    known: dict[str, str] = {}  # one text for each stream, not one for each row
    keys = [
        Key(known.setdefault(stream, stream), sensor)
        for stream, sensor in zip(streams, sensors, strict=True)
    ]
    return Index(keys, numbers, states)


def pack_used(used: NDArray[np.bool_]) -> str | None:
    """Spell which rows are in use; None if all are."""
    if used.all():
        return None
    return base64.b85encode(zlib.compress(np.packbits(used).tobytes(), 9)).decode()


def unpack_used(entry: Entry, rows: int) -> NDArray[np.bool_]:
    """Read back which of the index's rows are in use.

    Raises:
        CorruptObject: it does not fit the index.

    """
    if entry.used is None:
        return np.ones(rows, np.bool_)
    try:
        raw = zlib.decompress(base64.b85decode(entry.used))
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=rows).astype(np.bool_)
    except (ValueError, zlib.error, binascii.Error) as error:
        raise CorruptObject(f"an entry of {entry.data} cannot be read: {error}") from error
    if len(raw) != -(-rows // 8):
        raise CorruptObject(f"an entry of {entry.data} does not fit its index of {rows} rows")
    return bits
