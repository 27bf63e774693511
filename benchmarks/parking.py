"""What many slow sensors cost: to park them, to attach without Redis, and to batch them at last.

One partition, so many sensors with an event each; all of them are older than the replay bound.
Then Redis is emptied, and a process that knows nothing attaches: it reads position, manifests
and indexes, and gets every open buffer back. In the end all are sealed and committed, and
`verify` must find every event once.
"""

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from redis.asyncio import Redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.layout import StreamFormat
from batching.model import Element
from batching.names import Key
from batching.parking.replay import ReplayBound
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.tenure import Rules
from batching.verify import verify
from benchmarks import owners, processes
from benchmarks.command import start
from benchmarks.figures import Figures
from benchmarks.place import BenchmarkFailed

QUICK = 2_000
SAMPLES, CHANNELS = 12, ("ax", "ay", "az")
MIB = 2**20
EXAMPLE = """
Examples:

  python -m benchmarks.parking                     200,000 sensors

  python -m benchmarks.parking --sensors 20000 --repeat 3

  python -m benchmarks.parking --quick             does it work? the figures mean nothing
"""


def parking(
    *,
    sensors: Annotated[int, typer.Option(min=1, help="Slow sensors of one partition.")] = 200_000,
    repeat: Annotated[int, typer.Option(min=1, help="How often all is measured.")] = 1,
    proof: Annotated[bool, typer.Option(help="Batch all in the end, and verify it.")] = True,
    quick: Annotated[bool, typer.Option("--quick", help="A few sensors, once.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure what many slow sensors cost."""
    owners.silent()
    figures, count = Figures(), QUICK if quick else sensors
    for _ in range(1 if quick else repeat):
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            asyncio.run(_measure(Path(place), count, figures, proof=proof))
    figures.show(f"{count:,} slow sensors of one partition, one event each")


async def _measure(folder: Path, sensors: int, figures: Figures, *, proof: bool) -> None:
    server = EmbeddedValkey(folder / "valkey")
    url = await server.start()
    try:
        await _park(folder, url, sensors, figures)
        for state in ("redis_intact", "redis_empty"):
            if state == "redis_empty":
                async with Redis.from_url(url) as client:
                    await client.flushall()
            seconds, cpu, grown = await asyncio.to_thread(_in_a_process, folder, url, sensors)
            figures.add(f"attach.{state}", "s", seconds)
            figures.add(f"attach.{state}.cpu", "s", cpu)
            figures.add(f"attach.{state}.memory", "MiB", grown / MIB)
        if proof:
            await _batch(folder, url, sensors, figures)
    finally:
        await server.stop()


async def _park(folder: Path, url: str, sensors: int, figures: Figures) -> None:
    async with _owner(folder, url) as owner:
        await owner.attach()
        began = time.perf_counter()
        await owners.append(owner, map(_element, range(sensors)))
        figures.add("append", "s", time.perf_counter() - began)
        began = time.perf_counter()
        await owner.drain()
        figures.add("park", "s", time.perf_counter() - began)
        if owner.view.pieces.events != sensors or owner.view.checkpoint != sensors - 1:
            raise BenchmarkFailed(f"only {owner.view.pieces.events} events are parked")
    for kind, suffix in (("content", ".chunks"), ("index", ".index.arrow")):
        figures.add(f"parked.{kind}", "MiB", _written(folder, suffix) / MIB)


def _written(folder: Path, suffix: str) -> int:
    return sum(path.stat().st_size for path in folder.glob(f"blobs/*/parked/*/*/*/*{suffix}"))


def _in_a_process(folder: Path, url: str, sensors: int) -> tuple[float, float, int]:
    """Attach in a process that knows nothing; give wall and CPU time, and what memory it took."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_attached, (folder, url, sensors))


def _attached(folder: Path, url: str, sensors: int) -> tuple[float, float, int]:
    owners.silent()

    async def attach() -> tuple[float, float, int]:
        async with _owner(folder, url) as owner:
            before = processes.peak_bytes(os.getpid())
            began, began_cpu = time.perf_counter(), time.process_time()
            await owner.attach()
            took, cpu = time.perf_counter() - began, time.process_time() - began_cpu
            after = processes.peak_bytes(os.getpid())
            if len(owner.states) != sensors or len(owner.view.pieces) != sensors:
                raise BenchmarkFailed(f"{len(owner.states)} of {sensors} buffers are open")
            return took, cpu, after - before

    return asyncio.run(attach())


async def _batch(folder: Path, url: str, sensors: int, figures: Figures) -> None:
    async with _owner(folder, url) as owner:
        await owner.attach()
        began = time.perf_counter()
        await owner.seal_all()
        await owner.drain()
        figures.add("seal_and_commit", "s", time.perf_counter() - began)
        began = time.perf_counter()
        root = FolderStore(folder / "blobs", read_only=True)
        report = await verify(root)
        await root.close()
        figures.add("verify", "s", time.perf_counter() - began)
        if report.wrong or report.open or report.batched != sensors:
            raise BenchmarkFailed(report.closing_line())


@asynccontextmanager
async def _owner(folder: Path, url: str) -> AsyncIterator[Partition]:
    rules = Rules(
        {"motion": SealPolicy(max_age_ns=86_400 * 10**9)},
        {"motion": StreamFormat(CHANNELS)},
        linger_ns=0,
        replay_bound=ReplayBound(events=1),
    )
    async with owners.opened(folder, rules, url=url) as bench:
        yield bench.owner


def _element(number: int) -> Element:
    times = time.time_ns() + np.arange(SAMPLES, dtype=np.int64)
    values = np.full((SAMPLES, len(CHANNELS)), float(number))
    key = Key("motion", f"plant-7/line-3/sensor-{number:06d}")
    return owners.element(key, number, times, values, f"message-{number:08d}")


if __name__ == "__main__":
    start(parking, EXAMPLE)
