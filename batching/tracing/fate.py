"""What became of one event: its batches, or why it is in none."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from batching.letters import Letter, is_dead, letters_of
from batching.names import REDRIVE
from batching.redrive import RedriveLog
from batching.tracing.parked import ParkedIn, parked_in
from batching.tracing.search import Found, Hit, Search
from batching.view import Log

AskHub = Callable[[], Awaitable[int | None]]


class Fate(StrEnum):
    """Where an event is."""

    BATCH = "in a batch"
    DEAD_LETTER = "set aside as a dead letter"
    PARKED = "parked: durable, its batch is still open"
    LOST = "lost: the hub no longer had it when it was to be read"
    IGNORED = "ignored: it belongs to no stream, and such events are only counted"
    OPEN = "in no batch yet: above the checkpoint"
    NOT_YET = "not there: the hub has no such number yet"
    BEFORE = "not ours: the store begins behind it"
    TRIMMED = "gone: retention has taken what held it, as far as its number says"
    MISSING = "missing: nothing in the log holds it"


@dataclass(slots=True)
class EventTrace:
    """One event, and all that the store says of it."""

    partition: str
    number: int
    fate: Fate
    found: Found
    parked: list[ParkedIn] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)  # where it was set aside
    origin: tuple[str, int] | None = None  # of a re-driven event: where it was set aside before
    came_back: int | None = None  # its number in partition `redrive`
    hub_last: int | None = None  # the hub's last number, if it answers

    @property
    def batches(self) -> list[Hit]:
        """Batches of samples that hold it."""
        return [hit for hit in self.found.hits if not is_dead(hit.entry)]


async def trace_event(record: Log, number: int, last_enqueued: AskHub | None = None) -> EventTrace:
    """Find what became of an event, as the log stands now.

    Args:
        record: its partition's log.
        number: its sequence number.
        last_enqueued: asks the hub for its last number, where that matters.

    Raises:
        CorruptObject: something that must be read cannot be.

    """
    found = await Search(record, number).run()
    trace = EventTrace(record.partition, number, Fate.MISSING, found)
    if number > found.position.checkpoint or not found.hits:
        trace.parked = await parked_in(record, number)
    redrives = RedriveLog(record.store, record.identity)
    for hit in found.hits:
        if is_dead(hit.entry):
            trace.letters += [x async for x in letters_of(record, hit.entry) if x.number == number]
    if trace.letters:
        trace.came_back = await redrives.number_of(record.partition, number)
    if record.partition == REDRIVE:
        trace.origin = await redrives.origin_of(number)
        trace.hub_last = await redrives.end() - 1
    elif last_enqueued is not None and number > found.position.checkpoint and not found.hits:
        trace.hub_last = await last_enqueued()
    trace.fate = _fate(record, trace)
    return trace


def _fate(record: Log, trace: EventTrace) -> Fate:
    """Name the fate: what holds the event first, then what explains that nothing does."""
    number, found = trace.number, trace.found
    for true, fate in (
        (trace.batches, Fate.BATCH),
        (trace.letters, Fate.DEAD_LETTER),
        (trace.parked, Fate.PARKED),
        (number < record.identity.start.get(record.partition, 0), Fate.BEFORE),
        (found.lost, Fate.LOST),
        (found.ignored, Fate.IGNORED),
        (number <= found.trimmed.upto, Fate.TRIMMED),
        (trace.hub_last is not None and number > trace.hub_last, Fate.NOT_YET),
        (number > found.position.checkpoint, Fate.OPEN),
    ):
        if true:
            return fate
    return Fate.MISSING
