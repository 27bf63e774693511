"""Frozen values that travel between rooms: chunks, entries, manifests, positions, run records.

Every JSON object carries `format`; a reader takes the current and the previous one and
refuses a newer one by name. Runs on Python 3.10 too, since flows read these objects.
"""

import json
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from batching.errors import CorruptObject, NewerFormat
from batching.names import Key

FORMAT = 1
DTYPES = ("float64", "float32", "int64", "int32", "int16")  # of samples
Document = TypeVar("Document")


class SealReason(str, Enum):
    """Why a batch was sealed; the log line, the manifest and the metric label share it."""

    MAX_SAMPLES = "max_samples"
    MAX_BYTES = "max_bytes"
    MAX_CHUNKS = "max_chunks"
    MAX_AGE = "max_age"
    DRAIN = "drain"
    PRESSURE = "pressure"  # more was held than may be: `limits` in the settings
    RESYNC = "resync"  # another owner was here: what this one believed of the buffer was wrong


class LostReason(str, Enum):
    """Why numbers were never read; the manifest and the metric label share it."""

    RETENTION = "retention"  # the hub had dropped them
    SKIPPED = "skipped"  # the hub had dropped some, and `on_lost_position: latest` passed the rest


class EntryKind(str, Enum):
    """What an entry of a manifest stands for."""

    BATCH = "batch"
    DEAD = "dead"  # a sealed buffer that could not be written as samples
    IGNORED = "ignored"
    PARKED = "parked"
    LOST = "lost"
    RULES = "rules"


@dataclass(frozen=True)
class Entry:
    """One batch, one interval of ignored events or one parked object in a manifest.

    Times are nanoseconds UTC since the epoch; `first` and `last` are sequence numbers.
    `rows` are the batch's rows in its bundle, `chunks` its rows in the bundle's table of
    chunks, both [from, to). `used` says which rows of a parked object's index were still in
    use when it was listed (`batching.parking.objects`); all of them where it is None.
    """

    kind: str
    stream: str
    sensor: str
    first: int
    last: int
    events: int
    samples: int = 0
    bytes: int = 0
    time_first_ns: "int | None" = None
    time_last_ns: "int | None" = None
    opened: "int | None" = None
    due: "int | None" = None
    sealed: "int | None" = None
    reason: "str | None" = None
    policy: "str | None" = None
    data: "str | None" = None
    rows: "tuple[int, int]" = (0, 0)
    chunks: "tuple[int, int]" = (0, 0)
    used: "str | None" = None

    @property
    def key(self) -> Key:
        """Stream and sensor."""
        return Key(self.stream, self.sensor)


@dataclass(frozen=True)
class Manifest:
    """The n-th commit of a partition. `log` is the id of the store that it belongs to."""

    log: str
    hub: str
    partition: str
    n: int
    written: int
    writer: str
    entries: "tuple[Entry, ...]"
    format: int = FORMAT


@dataclass(frozen=True)
class Store:
    """The first object of a store: which hub and group it belongs to, and where each began."""

    id: str
    namespace: str
    hub: str
    hub_id: str
    consumer_group: str
    start: "dict[str, int]"  # partition -> the first sequence number that counts
    created: int
    format: int = FORMAT


@dataclass(frozen=True)
class KeptRules:
    """By which rules events were last sorted: what differs from a default, stream by stream."""

    streams: "list[dict[str, Any]]"  # in the order that decides
    unmatched: str
    written: int
    format: int = FORMAT


@dataclass(frozen=True)
class Position:
    """Everything up to `checkpoint` is durable; manifests are read from `first` on.

    `lost` is what entries of kind lost in manifests before `first` add up to, at most.
    """

    checkpoint: int
    first: int
    lost: int = 0
    format: int = FORMAT


@dataclass(frozen=True)
class Trimmed:
    """What retention has taken of a partition's log, or is about to take.

    Manifests below `below` and their bundles; dead letters of manifests below `dead_below`.
    Numbers up to `upto` lay in them, or below. Bundles of manifests below `judged` were looked
    through for orphans.
    """

    below: int = 0
    upto: int = -1
    dead_below: int = 0
    judged: int = 0
    format: int = FORMAT


@dataclass(frozen=True)
class RunBatch:
    """One batch of a run, and the manifest that committed it."""

    partition: str
    n: int
    entry: Entry


@dataclass(frozen=True)
class RunRecord:
    """The n-th run of a job: covers manifests [start, to) of each partition.

    `start` is written as `from`. A record without batches starts nothing. Of a job with a
    schedule, `scheduled` is the last moment served so far, nanoseconds UTC, by this record if
    it has batches; `more` says that the next record goes on with that moment.
    """

    job: str
    n: int
    flow: str
    store: str
    hub: str
    written: int
    start: "dict[str, int]"
    to: "dict[str, int]"
    batches: "tuple[RunBatch, ...]"
    over: "tuple[str, ...]" = ()  # the job's streams when the record was written
    scheduled: "int | None" = None
    more: bool = False
    format: int = FORMAT


@dataclass(frozen=True)
class Attempt:
    """The decision to try a record again, its receipt, or its end where no other follows."""

    job: str
    n: int
    attempt: int
    name: str
    written: int
    cause: "str | None" = None
    format: int = FORMAT


@dataclass(frozen=True)
class Result:
    """What an attempt made of its record; it is created once, and it alone is the effect."""

    job: str
    n: int
    attempt: int
    by: str  # "flow", or "workflow" for a flow without the mixin
    outputs: str
    written: int
    facts: "dict[str, Any]" = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class RunPosition:
    """All records of a job below `settled` have a result or have failed, but for those in `asked`.

    `asked` names records that were given up, and the attempt that somebody asked for since.
    """

    settled: int
    asked: "dict[str, int]" = field(default_factory=dict)
    format: int = FORMAT


@dataclass(frozen=True)
class Retired:
    """A job has ended for good: it holds no manifests back, and its name is used up."""

    job: str
    written: int
    format: int = FORMAT


@dataclass(frozen=True)
class Redriven:
    """One dead letter that comes back as an event of partition `redrive`, with all that it had.

    `partition` and `sequence_number` say where it was set aside, `arrived_ns` when the hub got
    it, nanoseconds UTC. Headers are text; `..._types` names the types of those that were not.
    """

    partition: str
    sequence_number: int
    arrived_ns: int
    body: str  # base64
    message_id: str = ""
    partition_key: str = ""
    content_type: str = ""
    content_encoding: str = ""
    properties: "dict[str, str]" = field(default_factory=dict)
    property_types: "dict[str, str]" = field(default_factory=dict)
    annotations: "dict[str, str]" = field(default_factory=dict)
    annotation_types: "dict[str, str]" = field(default_factory=dict)


@dataclass(frozen=True)
class Redrive:
    """Events number first, first + 1, ... of partition `redrive`; the next object follows them.

    Creating it puts them there: who does has read all objects before it, so each dead letter
    comes back once. `written` is their enqueued time.
    """

    store: str
    hub: str
    first: int
    written: int
    writer: str
    letters: "tuple[Redriven, ...]"
    format: int = FORMAT

    @property
    def end(self) -> int:
        """Give the number after its last event's: where the next object begins."""
        return self.first + len(self.letters)


class Chunk(NamedTuple):
    """Samples that one event brought to one sensor.

    `times_ns` is int64 of shape (n,), nanoseconds UTC; `values` has shape (n, channels).
    """

    sequence_number: int
    enqueued_ns: int
    message_id: str
    times_ns: Any
    values: Any


class Element(NamedTuple):
    """What one event gives to one key, encoded for the buffer by `batching.chunk`."""

    key: Key
    sequence_number: int
    enqueued_ns: int
    samples: int
    body: bytes


_NESTED = {"entries": Entry, "batches": RunBatch, "entry": Entry, "letters": Redriven}
_RENAMED = {"start": "from"}


def dump(document: Any) -> bytes:
    """Write one object of the store as JSON, `start` of a run record as `from`."""
    plain = vars(document)
    if isinstance(document, RunRecord):
        plain = {_RENAMED.get(name, name): value for name, value in plain.items()}
    # `vars` of what lies inside: `asdict` copies each value, for seconds where a run has thousands
    return json.dumps(plain, separators=(",", ":"), ensure_ascii=False, default=vars).encode()


def load(kind: "type[Document]", name: str, raw: bytes) -> Document:
    """Read one object of the store.

    Raises:
        NewerFormat: it was written by a newer version.
        CorruptObject: it is no JSON object, or a field is missing.

    """
    try:
        plain = json.loads(raw)
        written = int(plain["format"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CorruptObject(f"{name} is no object of a Headrace store") from error
    if written > FORMAT:
        raise NewerFormat(f"{name} has format {written}, this Headrace reads up to {FORMAT}")
    try:
        return _build(kind, plain)
    except (TypeError, KeyError, AttributeError) as error:
        raise CorruptObject(f"{name} lacks a field of {kind.__name__}: {error}") from error


def _build(kind: "type[Document]", plain: "dict[str, Any]") -> Document:
    if kind is RunRecord and "from" in plain:
        plain["start"] = plain.pop("from")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    values = {name: _value(name, value) for name, value in plain.items() if name in known}
    return kind(**values)


def _value(name: str, value: Any) -> Any:
    nested = _NESTED.get(name)
    if nested is None:
        return tuple(value) if name in ("rows", "chunks", "over") else value
    if name == "entry":
        return _build(nested, value)
    return tuple(_build(nested, item) for item in value)
