"""The second half of the path, layer by layer: from sealed buffers to manifests and runs."""

from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry

from batching.clock import SystemClock
from batching.commit import Committer
from batching.layout import StreamFormat
from batching.metrics import BatchingMetrics
from batching.ports import RunRequest, RunState
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job
from batching.runs.metrics import DispatchMetrics
from batching.scope import Scoped
from benchmarks.durable import STREAM
from benchmarks.limits.meter import Meter
from benchmarks.limits.watched import Watched
from benchmarks.owners import Bench
from benchmarks.place import BenchmarkFailed


class _Metered:
    """A buffer whose part in a commit is measured."""

    def __init__(self, inner: Any, meter: Meter) -> None:
        self._inner, self._meter = inner, meter

    async def peek(self, *bounds_: Any) -> Any:
        with self._meter.part("peek", clean=False):
            return await self._inner.peek(*bounds_)

    async def ack(self, *done: Any) -> Any:
        with self._meter.part("ack", clean=False):
            return await self._inner.ack(*done)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def committed(
    formats: Mapping[str, StreamFormat], events: int, bench: Bench, store: Watched, meter: Meter
) -> None:
    """Commit all that is sealed; what is neither Valkey's nor the store's is the layout.

    Raises:
        BenchmarkFailed: not each of so many events is in a manifest.

    """
    buffer: Any = _Metered(bench.buffers[0], meter)
    metrics = BatchingMetrics(CollectorRegistry())
    committer = Committer(
        bench.logs[0], buffer, SystemClock(), metrics, formats=formats, writer="bench"
    )
    view, _ = await bench.logs[0].read()
    with meter.part("commit"):
        while await committer.commit(view):
            pass
    for part, kind in (("bundle", "data"), ("manifest", "log")):
        for call in store.created(kind):
            meter.add(part, (call.ended_ns - call.began_ns) / 1e9, call.cpu_ns / 1e9)
    meter.rest("layout", "commit", "peek", "ack", "bundle", "manifest")
    await _check(events, bench, view.next)


async def _check(events: int, bench: Bench, manifests: int) -> None:
    found = 0
    for n in range(manifests):
        found += sum(entry.events for entry in await bench.logs[0].entries(n) or ())
    if found != events:
        raise BenchmarkFailed(f"{found} of {events} events are in manifests")


class _Willing:
    """A launcher that starts nothing: what is measured comes before the process."""

    def __init__(self) -> None:
        self.slots: int | None = None
        self.problems: list[str] = []
        self.started = 0

    async def start(self, request: RunRequest) -> bool:
        self.started += len(request.covers)
        return True

    async def state(self, name: str) -> RunState:
        del name
        return RunState.RUNNING

    def where(self, name: str, flow: str) -> dict[str, str]:
        del name, flow
        return {}

    async def close(self) -> None:
        """Nothing is open."""


async def dispatched(bench: Bench, store: Watched) -> None:
    """Give every batch a run: manifests read, record and receipt written, nothing started.

    Raises:
        BenchmarkFailed: there was no run.

    """
    launcher, job = _Willing(), Job("bench", "Flow", (STREAM,), after_ns=0)
    dispatcher = Dispatcher(
        Scoped(store, bench.identity.id),
        bench.identity,
        ["0"],
        [job],
        {"bench": launcher},
        clock=SystemClock(),
        metrics=DispatchMetrics(CollectorRegistry()),
    )
    while await dispatcher.step():
        pass
    if not launcher.started:
        raise BenchmarkFailed("no run was started")
