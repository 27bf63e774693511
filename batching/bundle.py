"""One Arrow IPC file (Feather v2) per bundle: batches of one stream, row range by row range.

Columns: `time` (timestamp[ns, UTC]), one per channel, `sensor` (dictionary). The schema's
metadata holds a second small Arrow file, the table of chunks, so that every event stays
known: sequence_number, first row, rows, enqueued_ns, message_id.
Reading runs on Python 3.10 and numpy 1.23 too, since flows do it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batching.arrow import column, dictionary, pa
from batching.errors import CorruptObject

CHUNKS = b"headrace.chunks"
CHUNKS_SCHEMA = pa.schema(
    [
        ("sequence_number", pa.int64()),
        ("first_row", pa.int64()),
        ("rows", pa.int64()),
        ("enqueued_ns", pa.int64()),
        ("message_id", pa.string()),
    ]
)
_TEXT = pa.string()
_HEADERS = pa.map_(_TEXT, _TEXT)
DEAD_COLUMNS = {
    "reason": _TEXT,
    "detail": _TEXT,
    "body": pa.binary(),
    "body_bytes": pa.int64(),
    "content_type": _TEXT,
    "properties": _HEADERS,
    "annotations": _HEADERS,
    "content_encoding": _TEXT,  # from here on absent in older bundles
    "partition_key": _TEXT,
    "property_types": _HEADERS,
    "annotation_types": _HEADERS,
    "stream": _TEXT,
    "arrived_ns": pa.int64(),
}


PART_BYTES = 64 * 2**10  # smaller pieces of a file are put together, larger ones never copied


def samples_file(
    times_ns: Any,
    values: Any,
    sensors: "list[tuple[str, int]]",
    chunks: Any,
    *,
    channels: "Sequence[str]",
    compression: "str | None" = None,
) -> "list[Any]":
    """Lay out a bundle of samples.

    Args:
        times_ns: int64 of shape (n,), nanoseconds UTC.
        values: of shape (n, channels), of one of `model.DTYPES`; the columns are of its dtype.
        sensors: whose the rows are: name and rows, batch by batch.
        chunks: a pyarrow Table of CHUNKS_SCHEMA.
        channels: names of the columns.
        compression: of Arrow's buffers: None, lz4 or zstd.

    Returns:
        The file in parts, large arrays as they are.

    """
    columns = [column(times_ns, pa.timestamp("ns", tz="UTC"))]
    columns += [column(values[:, i]) for i in range(values.shape[1])]
    columns.append(dictionary((name for name, _ in sensors), [rows for _, rows in sensors]))
    table = pa.table(columns, names=["time", *channels, "sensor"])
    return _file(table, chunks, compression)


def chunk_table(sequence_numbers: Any, rows: Any, enqueued_ns: Any, message_ids: Any) -> Any:
    """Give the table of chunks whose rows lie one after another.

    Args:
        sequence_numbers: int64 of shape (chunks,), as `rows` and `enqueued_ns`.
        rows: how many each has.
        enqueued_ns: nanoseconds UTC.
        message_ids: a pyarrow array of strings.

    """
    numbers = sequence_numbers, np.cumsum(rows) - rows, rows, enqueued_ns
    return pa.table([*map(column, numbers), message_ids], schema=CHUNKS_SCHEMA)


@dataclass
class Builder:
    """Collects the batches of one bundle, chunk by chunk; it is written at once."""

    channels: "list[str]"
    times: "list[Any]" = field(default_factory=list)
    values: "list[Any]" = field(default_factory=list)
    sensors: "list[tuple[str, int]]" = field(default_factory=list)
    chunks: "list[tuple[int, int, int, int, str]]" = field(default_factory=list)
    rows: int = 0

    def add_chunk(
        self, times_ns: Any, values: Any, *, sequence_number: int, enqueued_ns: int, message_id: str
    ) -> None:
        """Add one chunk: times int64 of shape (n,), values of shape (n, channels)."""
        self.chunks.append((sequence_number, self.rows, len(times_ns), enqueued_ns, message_id))
        self.times.append(times_ns)
        self.values.append(values)
        self.rows += len(times_ns)

    def end_batch(self, sensor: str, first_row: int) -> None:
        """Say that all rows since `first_row` belong to `sensor`."""
        self.sensors.append((sensor, self.rows - first_row))

    def write(self, compression: "str | None" = None) -> "list[Any]":
        """Give the file in parts."""
        times = np.concatenate(self.times) if self.times else np.empty(0, np.int64)
        values = np.concatenate(self.values) if self.values else np.empty((0, len(self.channels)))
        return samples_file(
            times,
            values,
            self.sensors,
            _chunk_table(self.chunks),
            channels=self.channels,
            compression=compression,
        )


@dataclass
class DeadLetters:
    """Collects dead letters of one bundle: one row an event."""

    rows_of: "list[dict[str, Any]]" = field(default_factory=list)
    chunks: "list[tuple[int, int, int, int, str]]" = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return len(self.rows_of)

    def add(
        self, letter: "dict[str, Any]", *, sequence_number: int, enqueued_ns: int, message_id: str
    ) -> None:
        """Add one event with the columns of DEAD_COLUMNS."""
        self.chunks.append((sequence_number, self.rows, 1, enqueued_ns, message_id))
        self.rows_of.append({"time": enqueued_ns, **letter})

    def write(self, compression: "str | None" = None) -> "list[Any]":
        """Give the file in parts."""
        schema = pa.schema([("time", pa.timestamp("ns", tz="UTC")), *DEAD_COLUMNS.items()])
        table = pa.Table.from_pylist(self.rows_of, schema)
        return _file(table, _chunk_table(self.chunks), compression)


def _chunk_table(chunks: "list[tuple[int, int, int, int, str]]") -> Any:
    columns = list(zip(*chunks, strict=True)) or [()] * len(CHUNKS_SCHEMA)
    arrays = [pa.array(c, f.type) for c, f in zip(columns, CHUNKS_SCHEMA, strict=True)]
    return pa.table(arrays, schema=CHUNKS_SCHEMA)


def _file(table: Any, chunks: Any, compression: "str | None") -> "list[Any]":
    small = b"".join(_ipc(chunks, None))
    return _ipc(table.replace_schema_metadata({CHUNKS: small}), compression)


def _ipc(table: Any, compression: "str | None") -> "list[Any]":
    sink = _Parts()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.parts()


class _Parts:
    """A file to write to that keeps large buffers as they come, and puts small ones together."""

    closed = False

    def __init__(self) -> None:
        self._parts: "list[Any]" = []
        self._small: "list[Any]" = []

    def write(self, part: Any) -> int:
        """Take what Arrow writes: its own buffers, which it does not change any more, or bytes."""
        if len(part) < PART_BYTES:
            self._small.append(part)
        else:
            self._join()
            self._parts.append(pa.py_buffer(part))
        return len(part)

    def _join(self) -> None:
        if self._small:
            self._parts.append(pa.py_buffer(b"".join(self._small)))
            self._small = []

    def flush(self) -> None:
        """Do nothing: there is nothing behind it."""

    def parts(self) -> "list[Any]":
        """Give all of it, as pyarrow buffers."""
        self._join()
        return self._parts


def open_bundle(raw: Any, name: str = "bundle") -> Any:
    """Open a bundle as a pyarrow Table without copying its columns.

    Raises:
        CorruptObject: the bytes are no Arrow file.

    """
    try:
        return pa.ipc.open_file(pa.py_buffer(raw)).read_all()
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptObject(f"{name} is no Arrow file: {error}") from error


def chunks_of(table: Any) -> Any:
    """Give the table of chunks that a bundle carries in its metadata."""
    return chunks_in(table.schema)


def chunks_in(schema: Any) -> Any:
    """Give the table of chunks that the schema of a bundle carries."""
    return pa.ipc.open_file(pa.py_buffer(schema.metadata[CHUNKS])).read_all()
