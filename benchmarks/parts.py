"""Where the time of an event goes: each part of its path alone, one after another, in one process.

Receive by the SDK, plain values, decode and classify, plan, append to Valkey, commit of bundles
to a folder. Each part takes what the one before it gave, so the sum is the service's own work
on an event; what it waits for others stands beside it.
"""

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from azure.eventhub import EventData
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.clock import SystemClock
from batching.commit import Committer
from batching.identity import open_store
from batching.layout import StreamFormat
from batching.metrics import BatchingMetrics
from batching.model import Element, Store
from batching.scope import Scoped
from batching.states import States
from batching.view import Log
from benchmarks import bare, load, place, processes
from benchmarks.figures import Figures
from benchmarks.load import Shape
from ingest.classify import Classifier
from ingest.event import Event
from ingest.settings.service import Settings
from ingest.source import event_of

MICRO = 1e6
SLICE = 500  # events an append: what a busy link hands over at once
EXAMPLE = """
Examples:

  python -m benchmarks.parts                       5,000 events of each size, five times

  python -m benchmarks.parts --shape small --events 20000

  python -m benchmarks.parts --quick               does it work? the figures mean nothing
"""


def parts(
    *,
    events: Annotated[
        int, typer.Option(min=1, envvar="BENCH_EVENTS", help="Events of each size.")
    ] = 5_000,
    repeat: Annotated[
        int, typer.Option(min=1, envvar="BENCH_REPEAT", help="How often all is measured.")
    ] = 5,
    shape: Annotated[str | None, typer.Option(help="Only `large` or `small` events.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few events, once.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure what each part of an event's path costs alone."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    wanted = [s for s in load.shapes(load.QUICK if quick else events) if shape in (None, s.name)]
    if not wanted:
        raise typer.BadParameter("take large or small", param_hint="--shape")
    with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place_:
        figures = asyncio.run(_measure(Path(place_), tuple(wanted), 1 if quick else repeat))
    figures.show(f"{wanted[0].events:,} events of each size, 1 partition, microseconds an event")


async def _measure(folder: Path, shapes: tuple[Shape, ...], repeat: int) -> Figures:
    figures = Figures()
    hub = place.Hub(folder, shapes, 1)
    try:
        connection = hub.connection()
        for shape in shapes:
            await load.fill(connection, shape, 1)
        for run in range(repeat):
            for shape in shapes:
                stage = Stage(figures, shape)
                async with _bench(folder / f"{shape.name}-{run}", shape) as bench:
                    await _walk(stage, bench, connection)
    finally:
        processes.end(hub.process)
    return figures


@dataclass(frozen=True, slots=True)
class Stage:
    """Takes the time of one part after another."""

    figures: Figures
    shape: Shape

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Note processor time (all threads) and the wall clock of what is inside."""
        gc.collect()
        began = bare.now()
        yield
        self.note(part, began, bare.now(), self.shape.events)

    def note(self, part: str, began: bare.Moment, ended: bare.Moment, events: int) -> None:
        """Note what lies between two moments, in which so many events were worked on."""
        for name, earlier, later in zip(("wall", "cpu"), began, ended, strict=True):
            value = MICRO * (later - earlier) / max(1, events)
            self.figures.add(f"{self.shape.name}.{part}.{name}", "us/event", value)


@dataclass(frozen=True, slots=True)
class Bench:
    """What the parts need: a store, a buffer, the stream's rules."""

    classifier: Classifier
    states: States
    buffer: RedisBuffer
    log: Log
    committer: Committer


async def _from_zero() -> dict[str, int]:
    return {"0": 0}


@asynccontextmanager
async def _bench(folder: Path, shape: Shape) -> AsyncIterator[Bench]:
    settings = Settings.model_validate(place.config(folder, shape))
    root, clock = FolderStore(folder / "blobs"), SystemClock()
    facts: dict[str, Any] = {"namespace": "ns", "created_ms": 1, "consumer_group": "$Default"}
    identity = await open_store(root, clock, hub=shape.name, start=_from_zero, **facts)
    server = EmbeddedValkey(folder / "valkey")
    try:
        async with Redis.from_url(await server.start(), protocol=2) as client:
            yield _built(settings, root, identity, client)
    finally:
        await server.stop()
        await root.close()


def _built(settings: Settings, root: FolderStore, identity: Store, client: Any) -> Bench:
    buffer = RedisBuffer(client, prefix(identity.id, identity.hub_id, "0"))
    log = Log(root, Scoped(root, identity.id), identity, "0")
    policies = settings.policies()
    committer = Committer(
        log,
        buffer,
        SystemClock(),
        BatchingMetrics(CollectorRegistry()),
        formats={rule.name: StreamFormat(rule.decode.channels) for rule in settings.rules()},
        writer="bench",
    )
    classifier = Classifier(settings.rules(), unmatched="dead_letter", iot_hub=False)
    return Bench(classifier, States(lambda key: policies[key.stream]), buffer, log, committer)


async def _walk(stage: Stage, bench: Bench, connection: str) -> None:
    """Take the events of one hub through all parts."""
    raws = await _received(connection, stage)
    with stage.timed("2_plain_values"):
        events = [event_of("0", raw) for raw in raws]
    del raws
    with stage.timed("3_decode"):
        elements = [e for event in events for e in bench.classifier.classify(event).elements]
    _check(stage.shape, events, elements)
    await bench.buffer.attach(-1)
    with stage.timed("4_plan"):
        appends = _planned(bench.states, elements)
    with stage.timed("5_append"):
        for prev, last, groups in appends:
            await bench.buffer.append(prev, last, groups)
    view, _ = await bench.log.read()
    committed = 0
    with stage.timed("6_commit"):
        while taken := await bench.committer.commit(view):
            committed += taken
    if committed != stage.shape.batches:
        raise place.BenchmarkFailed(f"{committed} of {stage.shape.batches} batches committed")


async def _received(connection: str, stage: Stage) -> list[EventData]:
    """Receive all events and keep them as they come."""
    raws: list[EventData] = []
    shape = stage.shape
    found = await bare.receive(connection, shape.name, 1, shape.events, raws.extend)
    stage.note("1_sdk_receive", found.began, found.ended, found.events)
    return raws


def _check(shape: Shape, events: list[Event], elements: list[Element]) -> None:
    dead = [e for e in elements if e.key.stream != "motion"]
    if len(events) != shape.events or len(elements) != shape.events or dead:
        raise place.BenchmarkFailed(f"{len(elements)} elements, {len(dead)} of them dead letters")


def _planned(states: States, elements: list[Element]) -> list[tuple[int, int, Any]]:
    """Plan slice by slice, as if each was taken."""
    appends, prev = [], -1
    for at in range(0, len(elements), SLICE):
        several = elements[at : at + SLICE]
        planned = states.plan(several)
        states.keep(planned, ())
        appends.append((prev, several[-1].sequence_number, planned.groups))
        prev = several[-1].sequence_number
    return appends


def main() -> None:
    """Run the command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLE)(parts)
    app()


if __name__ == "__main__":
    main()
