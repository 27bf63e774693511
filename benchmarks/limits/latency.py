"""How long an event, a batch and a run wait, at half of what the durable path can take.

First it takes a part of a workload as fast as it can. Then events come at half that rate. Each
is appended as soon as it can be: with the default `linger`, for the waits of appends, and with
`linger: 0`, for the wait from a trigger to the manifest. An append costs as much as fifty events
in it, so that alone keeps a core busy; so once more with what came in 20 ms in one append, as a
service has it. At last batches are sealed one at a time, and each must get a run, with `after: 0`,
from the dispatcher and the local launcher: what is measured ends when the launcher has made the
process, which a flow needs a second more to begin in.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from batching.adapters.folder import FolderStore
from batching.adapters.local_launcher import LocalLauncher
from batching.model import Element
from benchmarks.durable import PARTITIONS, key, rules, through
from benchmarks.figures import Figures
from benchmarks.limits.command import Place, Quick, Repeat, start
from benchmarks.limits.handover import from_triggers, note, run_by_run
from benchmarks.limits.pace import Waits, paced
from benchmarks.limits.watched import Watched
from benchmarks.owners import committing, element, opened
from benchmarks.workloads import WORKLOADS, Record, Workload, arrays, records
from ingest.source import GATHER_SECONDS

QUICK_SHARE, QUICK_SECONDS, QUICK_RUNS = 0.005, 1.0, 3
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


async def _loaded(
    folder: Path, workload: Workload, share: float, seconds: float, figures: Figures
) -> None:
    path, events = folder / "events", int(share * workload.full_events)
    workload.write(path, events)
    most = await _most(folder / "most", path, workload, events)
    figures.add(f"rate_{workload.name}.most", "events/s", most)
    load = partial(_half, folder, list(_sources(path)), workload, most / 2, seconds)
    name = workload.name
    waits, _ = await load("append", linger_ns=10**9)
    note(figures, f"append_call_{name}", waits.calls)
    note(figures, f"append_event_{name}", waits.events)
    _, sealed = await load("manifest", linger_ns=0)
    note(figures, f"trigger_to_manifest_at_once_{name}", sealed)
    waits, sealed = await load("gathered", linger_ns=0, rest=GATHER_SECONDS)
    note(figures, f"append_gathered_{name}", waits.calls)
    note(figures, f"trigger_to_manifest_{name}", sealed)


async def _most(folder: Path, path: Path, workload: Workload, events: int) -> float:
    """Give events a second, as fast as it goes."""
    async with opened(folder, rules(workload.threshold), partitions=PARTITIONS) as bench:
        for owner in bench.owners:
            await owner.attach()
        began = time.perf_counter()
        await through(bench.owners, path)
        return events / (time.perf_counter() - began)


async def _half(
    folder: Path,
    sources: Sequence["_Source"],
    workload: Workload,
    rate: float,
    seconds: float,
    name: str,
    *,
    linger_ns: int,
    rest: float = 0.0,
) -> tuple[Waits, list[float]]:
    """Let events come to all owners, each its share; give the waits of appends and of batches."""
    all_ = sum(len(source) for source in sources)
    shares = [rate * len(source) / all_ for source in sources]
    store = Watched(FolderStore(folder / name / "blobs"))
    settings = rules(workload.threshold, linger_ns)
    async with opened(folder / name, settings, root=store, partitions=PARTITIONS) as bench:
        for owner in bench.owners:
            await owner.attach()
        async with committing(bench.owners):
            found = await asyncio.gather(
                *(
                    paced(owner, source, share, int(share * seconds), rest)
                    for owner, source, share in zip(bench.owners, sources, shares, strict=True)
                )
            )
        sealed = await from_triggers(bench, store)
    calls = [wait for each in found for wait in each.calls]
    return Waits(calls, [wait for each in found for wait in each.events]), sealed


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
        return element(key(sensor), number, times, values.reshape(-1, 1))


async def _run_by_run(folder: Path, runs: int, figures: Figures) -> None:
    flow = folder / "flow.py"
    flow.write_text("")  # it ends at once, as a flow that has succeeded
    await run_by_run(
        folder, runs, "Flow", lambda _: LocalLauncher(folder, {"Flow": flow}), figures, goal="run"
    )


if __name__ == "__main__":
    start(latency, EXAMPLE)
