"""What `headrace trace` is asked for, found in the store: an event, batches, a bundle or a run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import time_ns

from batching.errors import SettingError
from batching.letters import is_dead
from batching.model import Entry, EntryKind, Manifest, RunBatch, Store
from batching.names import REDRIVE
from batching.ports import BlobStore
from batching.redrive import RedriveLog
from batching.runs.finding import find_run
from batching.runs.records import RunLog
from batching.runs.reports import RunReport, RunStatus, list_runs, read_run
from batching.tracing.fate import EventTrace, trace_event
from batching.tracing.handed import Handed, Handing, Standing
from batching.tracing.sensors import batches_of
from batching.view import Log, partitions_of
from ingest.config import Settings
from ingest.opening import last_enqueued

_EVENT = re.compile(rf"(\d+|{REDRIVE})/(\d{{1,18}})")
_BATCH = re.compile(rf"(\d+|{REDRIVE}):(\d{{1,12}})(?::(\d{{1,18}}))?")
_BUNDLE = re.compile(
    r"data/[a-z_][a-z0-9_]*/[^/]+/(?P<partition>[^/]+)/\d+/(?P<n>\d{12})-[^/]+\.arrow$"
)
AT_LENGTH = 3  # batches that are told in full
_WITH_DATA = (EntryKind.BATCH, EntryKind.DEAD)


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store, and the settings of the service that writes it."""

    settings: Settings
    root: BlobStore
    store: BlobStore  # what lies under the store's id
    identity: Store
    jobs: Sequence[str]  # that have records

    def log(self, partition: str) -> Log:
        """Give a partition's log."""
        return Log(self.root, self.store, self.identity, partition)


@dataclass(frozen=True, slots=True)
class Step:
    """A batch, when it was committed, nanoseconds UTC, and how it stands to each job."""

    batch: RunBatch
    committed_ns: int
    handed: Sequence[Handed]


@dataclass(slots=True)
class Traced:
    """What was asked for, and all that belongs to it.

    `event` is there if one was asked for, `note` where something is not as one expects, and
    `waits` says why a job has not been handed a batch yet. Of `many` batches each is told in a
    line.
    """

    title: str
    steps: list[Step] = field(default_factory=list)
    event: EventTrace | None = None
    others: list[Entry] = field(default_factory=list)  # of a manifest, without data
    note: str | None = None
    waits: dict[str, str] = field(default_factory=dict)
    many: bool = False

    @property
    def runs(self) -> list[RunReport]:
        """The runs that hold its batches, each once."""
        found = (each.run for step in self.steps for each in step.handed)
        return list({run.place: run for run in found if run is not None}.values())

    @property
    def standings(self) -> dict[str, Standing]:
        """How jobs stand that have no run of the newest batches."""
        found: dict[str, Standing] = {}
        for step in self.steps:
            for each in step.handed:
                found.pop(each.job, None)
                if each.run is None:
                    found[each.job] = each.standing
        return found


async def trace(shelf: Shelf, what: str) -> Traced | RunReport:
    """Find what somebody asks for.

    Raises:
        SettingError: there is no such thing; the message says what there is.

    """
    if event := _EVENT.fullmatch(what):
        traced = await _event(shelf, event[1], int(event[2]))
    elif batch := _BATCH.fullmatch(what):
        first = None if batch[3] is None else int(batch[3])
        traced = await _manifest(shelf, batch[1], int(batch[2]), first, what)
    elif bundle := _BUNDLE.search(what):
        traced = await _bundle(shelf, bundle[0], bundle["partition"], int(bundle["n"]))
    else:
        log, n = await find_run(shelf.store, shelf.identity.id, shelf.jobs, what)
        found = await read_run(log, n)
        if found is None:
            raise SettingError(f"there is no run {what}")
        return found
    return await _with_waits(shelf, traced)


async def _with_waits(shelf: Shelf, traced: Traced) -> Traced:
    waiting = {
        each.job for step in traced.steps for each in step.handed if each.standing is Standing.WAITS
    }
    for job in sorted(waiting):
        traced.waits[job] = await _why_it_waits(shelf, job)
    return traced


async def trace_sensor(shelf: Shelf, sensor: str, since_ns: int, most: int) -> Traced:
    """Find a sensor's newest batches, the newest last, in whatever partitions it is.

    Raises:
        SettingError: there is none since then.

    """
    found: list[tuple[int, RunBatch]] = []
    for partition in await _partitions(shelf):
        log = shelf.log(partition)
        found += await batches_of(log, sensor, since_ns=since_ns, most=most)
    if not found:
        raise SettingError(
            f"no batch of sensor {sensor} was committed since then: look with another --since; for"
            f" what was set aside, headrace dead-letters list --sensor {sensor}"
        )
    found.sort(key=lambda each: (each[0], each[1].n, each[1].entry.first))
    steps = await _steps(shelf, found[-most:])
    return await _with_waits(shelf, Traced(f"sensor {sensor}", steps, many=True))


async def _event(shelf: Shelf, partition: str, number: int) -> Traced:
    log = await _known(shelf, partition)

    async def last() -> int | None:
        return (await last_enqueued(shelf.settings) or {}).get(partition)

    event = await trace_event(log, number, last)
    batches = [
        (hit.committed_ns, RunBatch(partition, hit.n, hit.entry)) for hit in event.found.hits
    ]
    return Traced(f"event {partition}/{number}", await _steps(shelf, batches), event)


async def _manifest(shelf: Shelf, partition: str, n: int, first: int | None, what: str) -> Traced:
    log = await _known(shelf, partition)
    manifest = await log.manifest(n)
    if manifest is None:
        raise SettingError(await _no_manifest(log, n))
    with_data = [e for e in manifest.entries if e.kind in _WITH_DATA]
    if first is None:
        others = [e for e in manifest.entries if e.kind not in _WITH_DATA]
        return await _of(shelf, f"manifest {what}", manifest, with_data, others)
    chosen = [e for e in with_data if e.first == first]
    if not chosen:
        raise SettingError(
            f"{what}: no batch of manifest {n} begins with number {first}:"
            f" headrace trace {partition}:{n} shows all of them"
        )
    return await _of(shelf, f"batch {what}", manifest, chosen)


async def _bundle(shelf: Shelf, name: str, partition: str, n: int) -> Traced:
    log = await _known(shelf, partition)
    if await shelf.store.get_range(name, 0, 1) is None:
        trimmed, _ = await log.trimmed()
        gone = ": retention has taken it" if n < trimmed.below else ""
        raise SettingError(f"there is no bundle {name} in this store{gone}")
    manifest = await log.manifest(n)
    if manifest is None:
        note = (
            f"no manifest {n} names it: it is being committed just now, or whoever wrote it died"
            " and its events came again into another one"
        )
        return Traced(f"bundle {name}", note=note)
    entries = [e for e in manifest.entries if e.data == name]
    traced = await _of(shelf, f"bundle {name}", manifest, entries)
    if not entries:
        traced.note = (
            f"manifest {n} does not name it: another owner was first, and nothing in it counts; the"
            " janitor deletes it"
        )
    return traced


async def _of(
    shelf: Shelf,
    title: str,
    manifest: Manifest,
    entries: Sequence[Entry],
    others: Sequence[Entry] = (),
) -> Traced:
    batches = [(manifest.written, RunBatch(manifest.partition, manifest.n, e)) for e in entries]
    steps = await _steps(shelf, batches)
    return Traced(title, steps, others=list(others), many=len(steps) > AT_LENGTH)


async def _steps(shelf: Shelf, batches: Sequence[tuple[int, RunBatch]]) -> list[Step]:
    handing = Handing(shelf.store, shelf.identity.id, shelf.jobs)
    steps = []
    for committed_ns, batch in batches:
        found = (
            [] if is_dead(batch.entry) else await handing.of(batch.partition, batch.n, batch.entry)
        )
        steps.append(Step(batch, committed_ns, found))
    return steps


async def _partitions(shelf: Shelf) -> list[str]:
    end = await RedriveLog(shelf.store, shelf.identity).end()
    return await partitions_of(shelf.store, shelf.identity, (REDRIVE,) if end else ())


async def _known(shelf: Shelf, partition: str) -> Log:
    known = await _partitions(shelf)
    if partition not in known:
        raise SettingError(
            f"partition {partition} is not in this store; known are {', '.join(known)}"
        )
    return shelf.log(partition)


async def _no_manifest(log: Log, n: int) -> str:
    trimmed, _ = await log.trimmed()
    if n < trimmed.below:
        return f"manifest {n} of partition {log.partition} is gone: retention has taken it"
    view, _ = await log.read()
    return f"there is no manifest {n} of partition {log.partition}; the next one is {view.next}"


async def _why_it_waits(shelf: Shelf, job: str) -> str:
    """Say what a job waits for, as the file and the store have it."""
    known = {each.name: each for each in shelf.settings.every_job()}
    if job not in known:
        return "waits, but the job is not in the file: nothing hands it over"
    if (table := known[job].timetable()) is not None:
        moment = table.schedule.after(time_ns())
        when = "no moment" if moment is None else table.schedule.text(moment)
        return f"waits for {when}, the next moment of its schedule"
    runs = RunLog(shelf.store, shelf.identity.id, job)
    start = (await runs.position()).settled
    open_states = (RunStatus.WAITING, RunStatus.RUNNING)
    going = 0
    async for run in list_runs(shelf.store, shelf.identity.id, job, start=start):
        going += run.status in open_states
    if going >= known[job].in_flight:
        return f"waits: {going} of its runs go on, and in_flight is {known[job].in_flight}"
    return (
        f"waits for the service, which hands it over {known[job].after_ns / 1e9:g} s after it came"
    )
