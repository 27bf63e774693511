"""Where the time of an event goes: each layer of its path alone, one after another.

Receive by the SDK, decode, encode, plan, append, peek, layout of bundles, the writes of a commit,
dispatch. Each layer takes what the one before it gave. Beside them stand the whole durable path
and three bounds of the same run: to copy the same bytes, to echo them over a unix socket, and to
push the same elements into the same Valkey by a pipeline.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from azure.eventhub import EventData

from batching.adapters.folder import FolderStore
from batching.model import Element, SealReason
from batching.names import Key
from batching.ports import Group
from batching.states import States, by_key
from benchmarks import bare, durable, load, owners, place, processes
from benchmarks.figures import Figures
from benchmarks.limits import bodies, bounds
from benchmarks.limits.command import Place, Quick, Repeat, start
from benchmarks.limits.commits import committed, dispatched
from benchmarks.limits.meter import Meter
from benchmarks.limits.watched import Watched
from benchmarks.owners import Bench
from benchmarks.workloads import WORKLOADS, Workload, arrays, name_of, records
from ingest.classify import Classifier
from ingest.decode.formats import Reader
from ingest.source import event_of

QUICK_SHARE = 0.015  # some 3,000 events: more than the SDK hands over at first
SERVED = {"append", "peek", "ack", "durable_path", "bound.rpush"}  # by Valkey
Append = tuple[int, int, Sequence[Group]]  # behind which number, up to which, what
EXAMPLE = """
Examples:

  python -m benchmarks.limits.layers                    a twentieth of both workloads, five times

  python -m benchmarks.limits.layers --workload W2 --share 0.2

  python -m benchmarks.limits.layers --quick            does it work? the figures mean nothing
"""


def layers(
    *,
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="How much of a workload.")] = 0.05,
    workload: Annotated[str | None, typer.Option(help="Only W1 or W2.")] = None,
    repeat: Repeat = 5,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Measure what each layer of an event's path costs alone."""
    wanted = [each for each in WORKLOADS.values() if workload in (None, each.name)]
    if not wanted:
        raise typer.BadParameter("take W1 or W2", param_hint="--workload")
    share = QUICK_SHARE if quick else share
    sources = [Source(each, int(share * each.full_events)) for each in wanted]
    with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place_:
        figures = asyncio.run(_measure(Path(place_), sources, 1 if quick else repeat))
    sizes = ", ".join(f"{each.events:,} events of {each.workload.name}" for each in sources)
    figures.show(f"{sizes}, microseconds an event")


@dataclass(frozen=True, slots=True)
class Source:
    """So many events of a workload; its name is that of their hub, too."""

    workload: Workload
    events: int

    @property
    def name(self) -> str:
        """Give the workload's name."""
        return self.workload.name


async def _measure(folder: Path, sources: Sequence[Source], repeat: int) -> Figures:
    figures = Figures()
    hub = place.Hub(folder, [source.name for source in sources], 1)
    try:
        connection = hub.connection()
        for source in sources:
            path = folder / source.name
            source.workload.write(path, source.events)
            await load.send(connection, source.name, "0", list(bodies.sent(path, "json")))
        for run in range(repeat):
            for source in sources:
                out = folder / f"{source.name}-{run}"
                meter = await _walk(source, folder / source.name, out, connection)
                meter.show(figures, source.name, source.events, served=SERVED)
    finally:
        processes.end(hub.process)
    return figures


async def _walk(source: Source, path: Path, out: Path, connection: str) -> Meter:
    """Take the events of one workload through all layers, and along the bounds."""
    rules = durable.rules(source.workload.threshold)
    store = Watched(FolderStore(out / "blobs"))
    async with owners.opened(out, rules, root=store) as bench:
        meter = Meter((await bench.valkey()).pid)
        await _received(source, connection, meter)
        _decoded(path, meter)
        elements = _encoded(path, meter)
        await bench.owner.attach()
        with meter.part("plan"):
            appends = _planned(States(rules.policy), elements)
        with meter.part("append"):
            for prev, last, groups in appends:
                await bench.buffers[0].append(prev, last, groups)
        await bench.buffers[0].seal_open(SealReason.DRAIN, source.events)
        await committed(rules.formats, source.events, bench, store, meter)
        with meter.part("dispatch"):
            await dispatched(bench, store)
        await _bounded(out, bench, elements, [groups for _, _, groups in appends], meter)
    async with owners.opened(out / "whole", rules, partitions=durable.PARTITIONS) as bench:
        whole = Meter((await bench.valkey()).pid)
        for owner in bench.owners:
            await owner.attach()
        with whole.part("durable_path"):
            await durable.through(bench.owners, path)
        meter.take(whole)
    return meter


async def _received(source: Source, connection: str, meter: Meter) -> None:
    """Receive by the SDK, make plain values, classify and decode as the service does."""
    raws: list[EventData] = []
    found = await bare.receive(connection, source.name, 1, source.events, raws.extend)
    spent = (later - earlier for later, earlier in zip(found.ended, found.began, strict=True))
    # what came in the first hand-over is not in the time, so scale to all of them
    scale = source.events / max(1, found.events)
    meter.add("receive", *(scale * each for each in spent))
    with meter.part("plain_values"):
        events = [event_of("0", raw) for raw in raws]
    classifier = Classifier([bodies.rules("json")], unmatched="dead_letter", iot_hub=False)
    with meter.part("classify"):
        elements = [each for event in events for each in classifier.classify(event).elements]
    if len(elements) != source.events or any(e.key.stream != durable.STREAM for e in elements):
        raise place.BenchmarkFailed(f"{len(elements)} of {source.events} events were decoded")


def _decoded(path: Path, meter: Meter) -> None:
    """Decode all bodies in each format."""
    samples = set()
    for form in bodies.FORMATS:
        reader, sent = Reader(bodies.rules(form).decode), list(bodies.sent(path, form))
        count = 0
        with meter.part(f"decode.{form}"):
            for _, body in sent:
                count += len(reader.read(body, "", "", 0).parts[0].times_ns)
        samples.add(count)
    if len(samples) > 1:
        raise place.BenchmarkFailed(f"formats gave {samples} samples of the same events")


def _encoded(path: Path, meter: Meter) -> list[Element]:
    decoded = [(name_of(sensor), *arrays(body)) for sensor, body in records(path)]
    with meter.part("encode"):
        return [
            owners.element(Key(durable.STREAM, name), number, times, values.reshape(-1, 1))
            for number, (name, times, values) in enumerate(decoded)
        ]


def _planned(states: States, elements: Sequence[Element]) -> list[Append]:
    """Plan slice by slice, as if each was taken."""
    appends: list[Append] = []
    prev = -1
    for several in owners.slices(elements):
        planned = states.plan(by_key(several))
        states.keep(planned, ())
        appends.append((prev, several[-1].sequence_number, planned.groups))
        prev = several[-1].sequence_number
    return appends


async def _bounded(
    out: Path,
    bench: Bench,
    elements: Sequence[Element],
    appends: Sequence[Sequence[Group]],
    meter: Meter,
) -> None:
    """Walk along the bounds, with the bytes that were appended, slice by slice."""
    joined = [b"".join(each.body for each in several) for several in owners.slices(elements)]
    with meter.part("bound.copy"):
        bounds.copy([each.body for each in elements])
    async with bounds.echo(out) as echo:
        with meter.part("bound.echo"):
            for body in joined:
                await echo.send(body)
    with meter.part("bound.rpush"):
        await bounds.push(bench.client, appends)


if __name__ == "__main__":
    start(layers, EXAMPLE)
