"""One batch after another, each with a run of its own: from the event to the launcher's answer."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from batching.adapters.folder import FolderStore
from batching.clock import SystemClock
from batching.names import Key
from batching.ports import Launcher, RunRequest, RunState
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job
from batching.runs.metrics import DispatchMetrics
from batching.scope import Scoped
from benchmarks.durable import STREAM, rules
from benchmarks.figures import Figures
from benchmarks.limits.watched import Watched
from benchmarks.owners import Bench, append, committing, element, opened
from benchmarks.place import BenchmarkFailed
from benchmarks.workloads import name_of

MILLI, NANO = 1e3, 1e9
PERCENTILES = (50, 99)
BETWEEN_SECONDS, LONGEST_SECONDS = 0.1, 30.0
JOB, MANY = "bench", 10_000


class _Timed:
    """A launcher that notes when it had started what."""

    def __init__(self, inner: Launcher) -> None:
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


async def run_by_run(
    folder: Path, runs: int, flow: str, make: Callable[[str], Launcher], figures: Figures, goal: str
) -> None:
    """Seal one batch after another; each one's run must start before the next is sealed.

    Args:
        folder: of Valkey and of the store.
        runs: how many.
        flow: the name that the launcher knows it by.
        make: makes the launcher for a store's id, in a running loop; its runs end by themselves.
        figures: gets percentiles of `trigger_to_manifest_alone`, of `manifest_to_` and
            `event_to_` what `goal` names.
        goal: what there is once the launcher has answered.

    Raises:
        BenchmarkFailed: a run was not started in time.

    """
    store = Watched(FolderStore(folder / "blobs"))
    async with opened(folder, rules(1, 0), root=store) as bench:
        launcher = _Timed(make(bench.identity.id))
        stop = asyncio.Event()
        dispatcher = _dispatcher(bench, store, flow, launcher)
        bench.hooks.committed = dispatcher.kick  # as in the service
        await bench.owner.attach()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(dispatcher.run(stop))
            async with committing(bench.owners):
                came = [await _one(bench, launcher, number) for number in range(runs)]
            stop.set()
        await launcher.close()
        manifests = [call.ended_ns for call in store.created("log")]
        note(figures, "trigger_to_manifest_alone", await from_triggers(bench, store))
        started = [launcher.started[n] for n in range(runs)]
        note(figures, f"manifest_to_{goal}", _between(manifests, started))
        note(figures, f"event_to_{goal}", _between(came, started))


def _dispatcher(bench: Bench, store: Watched, flow: str, launcher: Any) -> Dispatcher:
    return Dispatcher(
        Scoped(store, bench.identity.id),
        bench.identity,
        ["0"],
        [Job(JOB, flow, (STREAM,), after_ns=0, in_flight=MANY)],
        {JOB: launcher},
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


async def from_triggers(bench: Bench, store: Watched) -> list[float]:
    """Give the wait of each batch, in seconds, from the append that filled it to its manifest.

    Raises:
        BenchmarkFailed: no batch was filled.

    """
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


def note(figures: Figures, name: str, seconds: Sequence[float]) -> None:
    """Add percentiles in milliseconds."""
    for percentile in PERCENTILES:
        value = MILLI * float(np.percentile(seconds, percentile))
        figures.add(f"{name}.p{percentile}", "ms", value)


def _between(earlier: Iterable[int], later: Iterable[int]) -> list[float]:
    return [(b - a) / NANO for a, b in zip(earlier, later, strict=True)]
