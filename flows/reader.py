"""What a run record covers, as numpy arrays: one batch after another, each bundle read once.

Needs numpy and pyarrow alone, so it works in a notebook as well as in a flow:

    for batch in read_run("file:///.../runs/vibration/000000000007.json").batches():
        print(batch.sensor, batch.times_ns.shape, batch.values.mean(axis=0))
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batching import bundle, model, names
from batching.errors import CorruptObject, NewerFormat, SettingError
from flows.store import Store, open_store

_RECORD = re.compile(r"(?P<root>.+)/(?P<name>(?:runs|adhoc)/.+\.json)")
NOT_CHANNELS = ("time", "sensor")


@dataclass(frozen=True)
class Batch:
    """Samples of one sensor that were sealed together.

    Attributes:
        sensor: who measured, as its stream says.
        times_ns: int64 of shape (n,), nanoseconds UTC since the epoch, in order of arrival,
            which need not be the order of time; a read-only view of the bundle.
        values: float64 (or as the stream declares) of shape (n, channels), a copy of ours.
        channels: names of the columns of `values`.
        entry: what the manifest says of the batch: `stream`, `first` and `last` sequence
            number, `events`, `reason`, `sealed` and others, see `batching.model.Entry`.
        partition: where its events came from.

    """

    sensor: str
    times_ns: NDArray[np.int64]
    values: NDArray[Any]
    channels: "tuple[str, ...]"
    entry: model.Entry
    partition: str
    _chunks: Any

    def chunks(self) -> "list[model.Chunk]":
        """Take the batch apart into what each event brought; times and values are views."""
        first = self.entry.rows[0]
        columns = [self._chunks.column(name).to_pylist() for name in bundle.CHUNKS_SCHEMA.names]
        return [
            model.Chunk(
                number,
                enqueued_ns,
                message_id,
                self.times_ns[row - first : row - first + rows],
                self.values[row - first : row - first + rows],
            )
            for number, row, rows, enqueued_ns, message_id in zip(*columns, strict=True)
        ]


class Group(NamedTuple):
    """A share of a run, small enough to hand to a foreach; its data is read in the branch."""

    batches: "tuple[int, ...]"  # where they stand in the run record
    samples: int


@dataclass(frozen=True)
class Run:
    """One run: its record and the store that it lies in."""

    store: Store
    record: model.RunRecord

    def batches(self, group: "Group | None" = None) -> Iterator[Batch]:
        """Read every batch of the run, or of one group, bundle by bundle.

        Raises:
            CorruptObject: a bundle is missing or is not what the record says.
            NewerFormat: a batch is stored in a way that this version does not know.
            StoreUnavailable: the store does not answer.

        """
        picked = range(len(self.record.batches)) if group is None else group.batches
        for data, batches in _by_bundle(self.record.batches[i] for i in picked).items():
            table, chunks = self._open(data)
            for batch in batches:
                yield _batch(batch, table, chunks)

    def groups(self, width: int) -> "list[Group]":
        """Divide the run into at most `width` groups of about equal size, at least one.

        A sensor's batches stay together, so a group can be larger than others where one
        sensor sent most. A run without batches gives one empty group.

        Args:
            width: the most groups to make, above zero.

        Raises:
            SettingError: `width` is zero or below.

        Source:
            Largest first to the least loaded, at most 4/3 of the best possible: Graham,
            Bounds on multiprocessing timing anomalies, SIAM J. Appl. Math. 17(2), 1969.

        """
        if width < 1:
            raise SettingError(f"groups need a width of at least 1, got {width}")
        sensors: dict[names.Key, list[int]] = {}
        for index, batch in enumerate(self.record.batches):
            sensors.setdefault(batch.entry.key, []).append(index)
        loads = [0] * min(width, len(sensors))
        shares: list[list[int]] = [[] for _ in loads]
        for indices in sorted(sensors.values(), key=self._samples, reverse=True):
            least = loads.index(min(loads))
            loads[least] += self._samples(indices)
            shares[least] += indices
        groups = [Group(tuple(sorted(share)), self._samples(share)) for share in shares]
        return groups or [Group((), 0)]

    def _samples(self, indices: "Iterable[int]") -> int:
        return sum(self.record.batches[i].entry.samples for i in indices)

    def _open(self, data: str) -> "tuple[Any, Any]":
        raw = self.store.get(data)
        if raw is None:
            raise CorruptObject(f"{data} is missing, though a run record names it")
        table = bundle.open_bundle(raw, data)
        if bundle.CHUNKS not in (table.schema.metadata or {}):
            raise CorruptObject(f"{data} is an Arrow file without the table of its chunks")
        return table, bundle.chunks_of(table)


def split_uri(uri: str) -> "tuple[str, str]":
    """Take a run record's URI apart into the store's root and the record's name.

    Raises:
        SettingError: it is no such URI.

    """
    match = _RECORD.fullmatch(uri)
    if match is None:
        raise SettingError(f"{uri!r} is no run record: <store>/runs/<job>/<number>.json")
    return match["root"], match["name"]


def read_run(uri: str) -> Run:
    """Read a run record, such as `file:///data/runs/vibration/000000000007.json`.

    Raises:
        SettingError: the URI is none of a run record, or names nothing.
        CorruptObject: what lies there is no run record, or that of another run.
        NewerFormat: it was written by a newer Headrace.
        StoreUnavailable: the store does not answer.

    """
    root, name = split_uri(uri)
    store = open_store(root)
    record = read_record(store, name)
    if record is None:
        raise SettingError(f"there is no run record {name} in {store.uri}")
    if name.startswith("runs/") and name != names.run(record.job, record.n):
        raise CorruptObject(f"{name} says that it is {names.run(record.job, record.n)}")
    return Run(store, record)


def read_record(store: Store, name: str) -> "model.RunRecord | None":
    """Read a run record by its name; None if there is none."""
    raw = store.get(name)
    return None if raw is None else model.load(model.RunRecord, name, bytes(raw))


def _by_bundle(batches: "Iterable[model.RunBatch]") -> "dict[str, list[model.RunBatch]]":
    bundles: dict[str, list[model.RunBatch]] = {}
    for batch in batches:
        entry = batch.entry
        if entry.kind != model.EntryKind.BATCH or entry.data is None:
            raise NewerFormat(
                f"a run covers an entry of kind {entry.kind!r} for sensor {entry.sensor!r}, "
                "this Headrace reads batches alone; upgrade it"
            )
        bundles.setdefault(entry.data, []).append(batch)
    return bundles


def _batch(batch: model.RunBatch, table: Any, chunks: Any) -> Batch:
    entry = batch.entry
    (first, last), (first_chunk, last_chunk) = entry.rows, entry.chunks
    rows = table.slice(first, last - first)
    held = set(rows.column("sensor").unique().to_pylist())
    if rows.num_rows != entry.samples or not held <= {entry.sensor}:
        raise CorruptObject(
            f"{entry.data} rows {first} to {last} are not the {entry.samples} samples "
            f"of {entry.sensor!r} that the manifest says"
        )
    channels = tuple(name for name in table.column_names if name not in NOT_CHANNELS)
    return Batch(
        sensor=entry.sensor,
        times_ns=_array(rows.column("time")).view(pa.int64()).to_numpy(),
        values=_matrix([_array(rows.column(name)) for name in channels], rows.num_rows),
        channels=channels,
        entry=entry,
        partition=batch.partition,
        _chunks=chunks.slice(first_chunk, last_chunk - first_chunk),
    )


def _array(column: Any) -> Any:
    if column.num_chunks == 1:  # as Headrace writes them; others cost a copy
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.chunks else pa.array([], column.type)


def _matrix(columns: "list[Any]", rows: int) -> NDArray[Any]:
    arrays = [column.to_numpy(zero_copy_only=False) for column in columns]
    values = np.empty((rows, len(arrays)), np.result_type(*arrays) if arrays else float, "F")
    for i, array in enumerate(arrays):
        values[:, i] = array  # a channel lies in one piece, as numpy's transforms like it
    return values
