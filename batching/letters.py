"""Dead letters as they lie in the store, read one bundle at a time."""

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from batching.arrow import pa
from batching.bundle import DEAD_COLUMNS, chunks_of, open_bundle
from batching.chunk import CUT, UNWRITABLE, DeadLetter
from batching.errors import CorruptObject
from batching.model import Entry, EntryKind
from batching.names import DEAD_STREAM
from batching.view import Log

DEVICE = "iothub-connection-device-id"
CLOCKS_NS = 300 * 10**9  # how far the hub's clock and ours may be apart
AT_ONCE = 64
_HEADERS = ("properties", "annotations", "property_types", "annotation_types")
_NOTHING: dict[Any, Any] = {pa.string(): "", pa.binary(): b"", pa.int64(): 0}
_EMPTY = {name: _NOTHING.get(kind, ()) for name, kind in DEAD_COLUMNS.items()}


@dataclass(frozen=True, slots=True)
class Letter:
    """One event that was set aside: where, when the hub got it (nanoseconds UTC), what it was.

    `stream` is the one that it was set aside from, as far as that is known.
    """

    partition: str
    number: int
    enqueued_ns: int
    message_id: str
    stream: str
    letter: DeadLetter

    @property
    def place(self) -> str:
        """Name it as commands do."""
        return f"{self.partition}/{self.number}"

    @property
    def sender(self) -> str:
        """Name who sent it, as far as headers say: the IoT Hub's device, or the partition key."""
        return self.letter.annotations.get(DEVICE) or self.letter.partition_key

    @property
    def refusal(self) -> str | None:
        """Say why it cannot be driven again; None if it can."""
        types = {**self.letter.property_types, **self.letter.annotation_types}
        if self.letter.reason == UNWRITABLE:
            return "unwritable: its samples were decoded, and the event's own body is not here"
        if self.letter.body_bytes > len(self.letter.body) or CUT in types.values():
            return "cut: it was too long to be kept whole"
        return None


async def dead_letters(
    log: Log,
    *,
    since_ns: int = 0,
    numbers: Collection[int] = (),
    damaged: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Letter]:
    """Read a partition's dead letters in the order of their commits, at most a bundle in memory.

    Args:
        log: the partition's.
        since_ns: leave out those that reached the hub before, nanoseconds UTC.
        numbers: only those of these sequence numbers; all where it is empty.
        damaged: is told what cannot be read.

    Raises:
        NewerFormat: a newer Headrace wrote here.

    """
    trimmed, _ = await log.trimmed()
    async for name in log.store.names(f"log/{log.hub}/{log.partition}/"):
        n = int(name.rpartition("/")[2].removesuffix(".json"))
        if n < max(trimmed.below, trimmed.dead_below):
            continue  # retention has taken its dead letters
        try:
            entries = await log.entries(n)
        except CorruptObject as error:
            damaged(str(error))
            continue
        for entry in entries or ():
            if not _may_hold(entry, since_ns, numbers):
                continue
            try:
                table = await _bundle(log, entry)
            except CorruptObject as error:
                damaged(str(error))
                continue
            for found in _letters(log.partition, entry, table):
                if found.enqueued_ns >= since_ns and (not numbers or found.number in numbers):
                    yield found


async def letters_of(log: Log, entry: Entry) -> AsyncIterator[Letter]:
    """Read the dead letters of one entry.

    Raises:
        CorruptObject: its bundle is gone or cannot be read.

    """
    for found in _letters(log.partition, entry, await _bundle(log, entry)):
        yield found


def is_dead(entry: Entry) -> bool:
    """Tell whether an entry holds events that were set aside."""
    return entry.stream == DEAD_STREAM or entry.kind == EntryKind.DEAD


def _may_hold(entry: Entry, since_ns: int, numbers: Collection[int]) -> bool:
    late = entry.sealed is None or entry.sealed + CLOCKS_NS >= since_ns
    inside = not numbers or any(entry.first <= number <= entry.last for number in numbers)
    return is_dead(entry) and late and inside


async def _bundle(log: Log, entry: Entry) -> Any:
    name = entry.data or "(no name)"
    raw = await log.store.get(name)
    if raw is None:
        raise CorruptObject(f"{name} is gone")
    return open_bundle(raw, name)


def _letters(partition: str, entry: Entry, table: Any) -> Iterator[Letter]:
    """Give the letters of one entry, some rows at a time: bodies may be large."""
    names = [name for name in DEAD_COLUMNS if name in table.schema.names]
    rows = table.select(names).slice(entry.rows[0], entry.rows[1] - entry.rows[0])
    chunks = chunks_of(table).slice(entry.chunks[0], entry.chunks[1] - entry.chunks[0])
    for begin in range(0, chunks.num_rows, AT_ONCE):
        part = chunks.slice(begin, AT_ONCE).to_pylist(), rows.slice(begin, AT_ONCE).to_pylist()
        for chunk, row in zip(*part, strict=True):
            letter = _letter(row)
            yield Letter(
                partition,
                chunk["sequence_number"],
                chunk["enqueued_ns"],
                chunk["message_id"] or "",
                letter.stream if entry.stream == DEAD_STREAM else entry.stream,
                letter,
            )


def _letter(row: dict[str, Any]) -> DeadLetter:
    """Read one row; what an older bundle lacks is empty."""
    values: dict[str, Any] = {
        name: empty if row.get(name) is None else row[name] for name, empty in _EMPTY.items()
    }
    return DeadLetter(**{**values, **{name: dict(values[name]) for name in _HEADERS}})
