"""How long an event, a batch and a run wait, at half of what the durable path can take.

First it takes a part of a workload as fast as it can. Then events come at half that rate: with
the default `linger`, for the waits of appends, and with `linger: 0`, for the wait from a trigger
to the manifest. At last batches are sealed one at a time, and each must get a run, with
`after: 0`, from the dispatcher and the local launcher: what is measured ends when the launcher
has made the process, which a flow needs a second more to begin in.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from prometheus_client import CollectorRegistry

from batching.adapters.folder import FolderStore
from batching.adapters.local_launcher import LocalLauncher
from batching.clock import SystemClock
from batching.model import Element
from batching.names import Key
from batching.ports import RunRequest, RunState
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job
from batching.runs.metrics import DispatchMetrics
from batching.scope import Scoped
from benchmarks.durable import PARTITIONS, STREAM, rules, through
from benchmarks.figures import Figures
from benchmarks.limits.command import Place, Quick, Repeat, start
from benchmarks.limits.pace import Waits, paced
from benchmarks.limits.watched import Watched
from benchmarks.owners import Bench, append, committing, element, opened
from benchmarks.place import BenchmarkFailed
from benchmarks.workloads import WORKLOADS, Record, Workload, arrays, name_of, records

MILLI, NANO = 1e3, 1e9
PERCENTILES = (50, 99)
QUICK_SHARE, QUICK_SECONDS, QUICK_RUNS = 0.005, 1.0, 3
BETWEEN_SECONDS, LONGEST_SECONDS = 0.1, 30.0
EXAMPLE = """
Examples:

  python -m benchmarks.limits.latency                   ten seconds a load, 200 runs, three times

  python -m benchmarks.limits.latency --seconds 60 --runs 1000 --repeat 1

  python -m benchmarks.limits.latency --quick           does it work? the figures mean nothing
"""


def latency(
    *,
    share: Annotated[float, typer.Option(min=1e-3, max=1, help="How much of a workload.")] = 0.1,
    seconds: Annotated[float, typer.Option(min=1, help="How long each load lasts.")] = 10.0,
    runs: Annotated[int, typer.Option(min=2, help="Runs that are started.")] = 200,
    repeat: Repeat = 3,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Measure the waits of events, batches and runs."""
    if quick:
        share, seconds, runs, repeat = QUICK_SHARE, QUICK_SECONDS, QUICK_RUNS, 1
    figures = Figures()
    for _ in range(repeat):
        for workload in WORKLOADS.values():
            with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
                asyncio.run(_loaded(Path(place), workload, share, seconds, figures))
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            asyncio.run(_run_by_run(Path(place), runs, figures))
    figures.show(f"{seconds:g} s of each load, {runs} runs")


def _note(figures: Figures, name: str, seconds: Sequence[float]) -> None:
    for percentile in PERCENTILES:
        value = MILLI * float(np.percentile(seconds, percentile))
        figures.add(f"{name}.p{percentile}", "ms", value)


# Under load


async def _loaded(
    folder: Path, workload: Workload, share: float, seconds: float, figures: Figures
) -> None:
    path, events = folder / "events", int(share * workload.full_events)
    workload.write(path, events)
    most = await _most(folder / "most", path, workload, events)
    figures.add(f"rate_{workload.name}.most", "events/s", most)
    sources = list(_sources(path))
    for name, linger_ns in (("append", 10**9), ("manifest", 0)):
        store = Watched(FolderStore(folder / name / "blobs"))
        settings = rules(workload.threshold, linger_ns)
        async with opened(folder / name, settings, root=store, partitions=PARTITIONS) as bench:
            waits = await _half(bench, sources, most / 2, seconds)
            if name == "append":
                _note(figures, f"append_call_{workload.name}", waits.calls)
                _note(figures, f"append_event_{workload.name}", waits.events)
            else:
                sealed = await _from_triggers(bench, store)
                _note(figures, f"trigger_to_manifest_{workload.name}", sealed)


async def _most(folder: Path, path: Path, workload: Workload, events: int) -> float:
    """Give events a second, as fast as it goes."""
    async with opened(folder, rules(workload.threshold), partitions=PARTITIONS) as bench:
        for owner in bench.owners:
            await owner.attach()
        began = time.perf_counter()
        await through(bench.owners, path)
        return events / (time.perf_counter() - began)


async def _half(bench: Bench, sources: Sequence["_Source"], rate: float, seconds: float) -> Waits:
    """Let events come to all owners, each its share; give the waits of all."""
    all_ = sum(len(source) for source in sources)
    shares = [rate * len(source) / all_ for source in sources]
    for owner in bench.owners:
        await owner.attach()
    async with committing(bench.owners):
        found = await asyncio.gather(
            *(
                paced(owner, source, share, int(share * seconds))
                for owner, source, share in zip(bench.owners, sources, shares, strict=True)
            )
        )
    return Waits(
        [w for each in found for w in each.calls], [w for each in found for w in each.events]
    )


def _sources(path: Path) -> Iterator["_Source"]:
    """Deal sensors out to the partitions."""
    all_ = list(records(path))
    for partition in range(PARTITIONS):
        yield _Source([record for record in all_ if record[0] % PARTITIONS == partition])


class _Source:
    """Events of one partition, again and again."""

    def __init__(self, source: Sequence[Record]) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __call__(self, number: int) -> Element:
        sensor, body = self._source[number % len(self._source)]
        times, values = arrays(body)
        return element(Key(STREAM, name_of(sensor)), number, times, values.reshape(-1, 1))


async def _from_triggers(bench: Bench, store: Watched) -> list[float]:
    """Give the wait of each batch from the append that filled it to its manifest."""
    waits: list[float] = []
    for log in bench.logs:
        written = (
            call for call in store.created("log") if call.name.split("/")[3] == log.partition
        )
        for n, call in enumerate(written):
            entries = await log.entries(n) or ()
            waits += [(call.ended_ns - entry.sealed) / NANO for entry in entries if entry.sealed]
    if not waits:
        raise BenchmarkFailed("no batch was filled: take more seconds")
    return waits


# One at a time


class _Timed:
    """A launcher that notes when it had started what."""

    def __init__(self, inner: LocalLauncher) -> None:
        self._inner, self.slots = inner, inner.slots
        self.started: dict[int, int] = {}  # manifest -> nanoseconds UTC
        self.more = asyncio.Event()

    @property
    def problems(self) -> list[str]:
        return self._inner.problems

    async def start(self, request: RunRequest) -> bool:
        started = await self._inner.start(request)
        if started:
            for first, to in request.covers.values():
                self.started.update(dict.fromkeys(range(first, to), time.time_ns()))
            self.more.set()
        return started

    async def state(self, name: str) -> RunState:
        return await self._inner.state(name)

    def where(self, name: str, flow: str) -> dict[str, str]:
        return self._inner.where(name, flow)

    async def close(self) -> None:
        await self._inner.close()


async def _run_by_run(folder: Path, runs: int, figures: Figures) -> None:
    """Seal one batch after another; each one's run must start before the next is sealed."""
    flow = folder / "flow.py"
    flow.write_text("")  # it ends at once, as a flow that has succeeded
    launcher = _Timed(LocalLauncher(folder, {"Flow": flow}))
    store = Watched(FolderStore(folder / "blobs"))
    async with opened(folder, rules(1, 0), root=store) as bench:
        stop = asyncio.Event()
        dispatcher = _dispatcher(bench, store, launcher)
        bench.hooks.committed = dispatcher.kick  # as in the service
        await bench.owner.attach()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(dispatcher.run(stop))
            async with committing(bench.owners):
                came = [await _one(bench, launcher, number) for number in range(runs)]
            stop.set()
        await launcher.close()
        manifests = [call.ended_ns for call in store.created("log")]
        _note(figures, "trigger_to_manifest_alone", await _from_triggers(bench, store))
        started = [launcher.started[n] for n in range(runs)]
        _note(figures, "manifest_to_run", _between(manifests, started))
        _note(figures, "event_to_run", _between(came, started))


def _dispatcher(bench: Bench, store: Watched, launcher: Any) -> Dispatcher:
    return Dispatcher(
        Scoped(store, bench.identity.id),
        bench.identity,
        ["0"],
        [Job("bench", "Flow", (STREAM,), after_ns=0)],
        {"bench": launcher},
        clock=SystemClock(),
        metrics=DispatchMetrics(CollectorRegistry()),
    )


async def _one(bench: Bench, launcher: _Timed, number: int) -> int:
    """Append an event that fills a batch, and wait for its run; give when it came."""
    await asyncio.sleep(BETWEEN_SECONDS)
    launcher.more.clear()
    came = time.time_ns()
    values = np.zeros((1, 1), np.float32)
    one = element(Key(STREAM, name_of(number % 10)), number, np.array([came]), values)
    await append(bench.owner, [one])
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            await launcher.more.wait()
    except TimeoutError:
        raise BenchmarkFailed(f"no run of event {number} in {LONGEST_SECONDS:g} s") from None
    return came


def _between(earlier: Sequence[int], later: Sequence[int]) -> list[float]:
    return [(b - a) / NANO for a, b in zip(earlier, later, strict=True)]


if __name__ == "__main__":
    start(latency, EXAMPLE)
