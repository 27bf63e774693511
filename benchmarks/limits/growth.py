"""What an event costs on the durable path as more of something is there: does it stay the same?

Open sensors, partitions of one process, bytes of a chunk, events that open buffers hold already.
Each point has a Valkey and a store of its own, and what it finds there is not in its time. Where
sensors grow, two things that look at all that are open: an attach, and the choice of what to seal.
"""

import asyncio
import gc
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from batching.layout import StreamFormat
from batching.limits.holding import Holding
from batching.limits.pressure import Amount, Bounds, chosen
from batching.model import Element
from batching.names import Key
from batching.parking.replay import ReplayBound
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.tenure import Rules
from benchmarks.figures import Figures
from benchmarks.limits.command import Full, Place, Quick, Repeat, start
from benchmarks.owners import Bench, append, committing, element, opened
from benchmarks.place import BenchmarkFailed
from benchmarks.workloads import SAMPLE_BYTES

MICRO, MILLI = 1e6, 1e3
EVENTS, QUICK_EVENTS = 40_000, 2_000  # of a point
CHUNK_BYTES = 120  # where the size is not what grows
BUSY, FULL_CHUNKS = 500, 10  # sensors whose batches are filled, and by how many events
DEEP = 20  # sensors with deep buffers
SENSORS = (1_000, 10_000, 100_000, 1_000_000)
PARTITIONS = (1, 2, 4, 8, 16, 32)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000)
DEPTHS = (0, 100, 1_000, 10_000)
SIZED_BYTES, SIZED_EVENTS = 64 * 2**20, 64  # of a point with large chunks: at most, at least
NEVER = 10**9  # of events, sensors, bytes: parking and pressure have programs of their own
EXAMPLE = """
Examples:

  python -m benchmarks.limits.growth                    all four, three times

  python -m benchmarks.limits.growth --full             a million open sensors, too

  python -m benchmarks.limits.growth --full --only sensors --repeat 1

  python -m benchmarks.limits.growth --quick            does it work? the figures mean nothing
"""


def growth(
    *,
    repeat: Repeat = 3,
    only: Annotated[str | None, typer.Option(help="Only what grows: one of the four.")] = None,
    full: Full = False,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Measure whether an event's cost grows with what is there."""
    points = [point for point in _points(quick=quick, full=full) if only in (None, point.kind)]
    if not points:
        raise typer.BadParameter("take sensors, partitions, bytes or depth", param_hint="--only")
    figures = Figures()
    for _ in range(1 if quick else repeat):
        for point in points:
            with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
                asyncio.run(point.measure(Path(place), figures))
    figures.show(f"{QUICK_EVENTS if quick else EVENTS:,} events a point")


def _points(*, quick: bool, full: bool) -> Iterator["_Point"]:
    events, most = (QUICK_EVENTS, 2) if quick else (EVENTS, 100)
    for sensors in SENSORS[: most if full else min(most, 3)]:
        yield _Sensors(sensors, events)
    for partitions in PARTITIONS[:most]:
        yield _Partitions(partitions, events)
    for size in SIZES[:most]:
        yield _Sizes(size, events)
    for depth in DEPTHS[:most]:
        yield _Depths(depth, events)


class _Point:
    """One thing that grows, at one size."""

    kind = ""

    def __init__(self, size: int, events: int) -> None:
        self.size, self.events = size, events

    async def measure(self, folder: Path, figures: Figures) -> None:
        raise NotImplementedError

    def note(self, figures: Figures, costs: Sequence[float], kind: str = "") -> None:
        """Note microseconds an event: wall clock, this process, Valkey."""
        for what, value in zip(("wall", "cpu", "valkey"), costs, strict=True):
            figures.add(f"{kind or self.kind}.{self.size}.{what}", "us/event", value)


class _Sensors(_Point):
    """Half of the events fill batches, the others are spread over all sensors, which stay open."""

    kind = "sensors"

    async def measure(self, folder: Path, figures: Figures) -> None:
        async with _opened(folder) as bench:
            await bench.owner.attach()
            await append(bench.owner, (_event("open", n, n) for n in range(self.size)))
            self.note(figures, await _cost(bench, [list(self._events())]))
            attach, longest = await _attach_anew(bench.owner)
            figures.add(f"{self.kind}.{self.size}.attach", "us/sensor", MICRO * attach / self.size)
            figures.add(f"{self.kind}.{self.size}.longest", "ms", MILLI * longest)
            choice = _choose(bench.owner, self.size)
            figures.add(f"{self.kind}.{self.size}.choice", "us/sensor", MICRO * choice / self.size)

    def _events(self) -> Iterator[Element]:
        rng = np.random.default_rng(self.size)
        for number in range(self.size, self.size + self.events):
            stream, among = ("busy", BUSY) if number % 2 else ("open", self.size)
            yield _event(stream, int(rng.integers(among)), number)


async def _attach_anew(owner: Partition) -> tuple[float, float]:
    """Give the seconds of an attach, and the longest that others on the loop waited meanwhile."""
    longest = 0.0

    async def beat() -> None:
        nonlocal longest
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    owner.left()
    gc.collect()
    beating, began = asyncio.create_task(beat()), time.perf_counter()
    await owner.attach()
    took = time.perf_counter() - began
    beating.cancel()
    return took, longest


def _choose(owner: Partition, sensors: int) -> float:
    """Give the seconds of the choice of what to seal, where as many are open as may be."""
    holding = Holding("0", owner.states, lambda: owner.view.pieces)
    began = time.perf_counter()
    if not chosen(holding.open_batches(), Amount(), Bounds(NEVER, sensors, NEVER, NEVER)):
        raise BenchmarkFailed("nothing is chosen where as many are open as may be")
    return time.perf_counter() - began


class _Partitions(_Point):
    """The same events and sensors, divided."""

    kind = "partitions"

    async def measure(self, folder: Path, figures: Figures) -> None:
        each, sensors = self.events // self.size, max(1, BUSY // self.size)
        parts = [[_event("busy", n % sensors, n) for n in range(each)] for _ in range(self.size)]
        async with _opened(folder, self.size) as bench:
            for owner in bench.owners:
                await owner.attach()
            self.note(figures, await _cost(bench, parts, to_the_end=True))


class _Sizes(_Point):
    """Chunks of so many bytes."""

    kind = "bytes"

    async def measure(self, folder: Path, figures: Figures) -> None:
        events = min(self.events, max(SIZED_EVENTS, SIZED_BYTES // self.size))
        sensors = max(1, min(BUSY, events // FULL_CHUNKS))
        all_ = [_event("busy", n % sensors, n, self.size) for n in range(events)]
        async with _opened(folder) as bench:
            await bench.owner.attach()
            self.note(figures, await _cost(bench, [all_], to_the_end=True))


class _Depths(_Point):
    """A few sensors, whose open buffers hold so many events each; then all of it is committed."""

    kind = "depth"

    async def measure(self, folder: Path, figures: Figures) -> None:
        before = self.size * DEEP
        both = before + self.events
        async with _opened(folder) as bench:
            await bench.owner.attach()
            await append(bench.owner, (_event("open", n % DEEP, n) for n in range(before)))
            more = [_event("open", n % DEEP, n) for n in range(before, both)]
            self.note(figures, await _cost(bench, [more], commit=False))
            costs = await _cost(bench, [[]], to_the_end=True, events=both)
            self.note(figures, costs, "depth_commit")


def _opened(folder: Path, partitions: int = 1) -> AbstractAsyncContextManager[Bench]:
    never = SealPolicy(max_samples=None, max_age_ns=None)
    full = SealPolicy(max_samples=None, max_age_ns=None, max_chunks=FULL_CHUNKS)
    form = StreamFormat(("value",))
    rules = Rules(
        {"open": never, "busy": full},
        {"open": form, "busy": form},
        replay_bound=ReplayBound(NEVER, NEVER * 10**9),
    )
    bounds = Bounds(NEVER, NEVER, NEVER, NEVER)
    return opened(folder, rules, partitions=partitions, bounds=bounds)


def _event(stream: str, sensor: int, number: int, size_bytes: int = CHUNK_BYTES) -> Element:
    samples = max(1, size_bytes // SAMPLE_BYTES)
    times = time.time_ns() + np.arange(samples)
    values = np.full((samples, 1), number, np.float32)
    return element(Key(stream, f"sensor-{sensor:07d}"), number, times, values)


async def _cost(
    bench: Bench,
    parts: Sequence[Sequence[Element]],
    *,
    commit: bool = True,
    to_the_end: bool = False,
    events: int = 0,
) -> list[float]:
    """Give what it costs to append events to each owner, and to commit what is sealed.

    Args:
        bench: its owners are attached.
        parts: events of each owner.
        commit: let owners commit meanwhile, and wait until nothing sealed is left.
        to_the_end: seal what is open in the end.
        events: how many to divide by; all that are appended, where it is 0.

    """
    gc.collect()
    server = (await bench.valkey()).cpu_seconds
    wall, cpu = time.perf_counter(), time.process_time()
    async with committing(bench.owners) if commit else nullcontext():
        async with asyncio.TaskGroup() as tasks:
            for owner, part in zip(bench.owners, parts, strict=True):
                tasks.create_task(append(owner, part))
        for owner in bench.owners if to_the_end else ():
            await owner.seal_all()
    spent = time.perf_counter() - wall, time.process_time() - cpu
    served = (await bench.valkey()).cpu_seconds - server
    return [MICRO * each / (events or sum(map(len, parts))) for each in (*spent, served)]


if __name__ == "__main__":
    start(growth, EXAMPLE)
