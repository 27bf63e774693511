"""The durable path without the SDK, as a process of its own: from decoded event to manifest.

The owners of partitions are the service's: append to Valkey (append-only file, fsync every
second), seal, bundle, commit. Decoders and the consumer's own loop are left out. Sensors are
dealt out to four partitions, as many as an IoT Hub has where nobody asks for more.
"""

import asyncio
import itertools
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from batching import interpreter
from batching.layout import StreamFormat
from batching.model import Element
from batching.names import Key
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.tenure import Rules
from benchmarks.owners import (
    GIVE_WAY_EVENTS,
    SLICE_BYTES,
    SLICE_EVENTS,
    committing,
    element,
    opened,
    silent,
)
from benchmarks.reference import Cost, arguments
from benchmarks.workloads import arrays, name_of, records

STREAM = "bench"
PARTITIONS = 4


async def durable(path: Path, out: Path, threshold: int) -> dict[str, float]:
    """Take all events through the owners of some partitions; give what it cost."""
    async with opened(out, rules(threshold), partitions=PARTITIONS) as bench:
        for owner in bench.owners:
            await owner.attach()
        before = await bench.valkey()
        cost = Cost()
        await through(bench.owners, path)
        return cost.spent((await bench.valkey()).cpu_seconds - before.cpu_seconds)


async def through(owners: Sequence[Partition], path: Path) -> None:
    """Take all events to manifests, through owners that are attached."""
    async with committing(owners):
        await deal(owners, path)
        for owner in owners:
            await owner.seal_all()


async def deal(owners: Sequence[Partition], path: Path) -> None:
    """Append each event in its sensor's partition; each has one append under way."""
    numbers = [itertools.count() for _ in owners]
    gathered: list[list[Element]] = [[] for _ in owners]
    sizes = [0] * len(owners)
    tasks: list[asyncio.Task[None] | None] = [None] * len(owners)

    async def flush(p: int) -> None:
        if (task := tasks[p]) is not None:
            await task
        several, gathered[p], sizes[p] = gathered[p], [], 0
        last = several[-1]
        tasks[p] = asyncio.create_task(
            owners[p].append(several, last.sequence_number, last.enqueued_ns)
        )
        await asyncio.sleep(0)  # so that it is on its way

    partitions = len(owners)
    for number, (sensor, body) in enumerate(records(path), 1):
        if number % GIVE_WAY_EVENTS == 0:
            await asyncio.sleep(0)
        p = sensor % partitions
        times, values = arrays(body)
        each = element(key(sensor), next(numbers[p]), times, values.reshape(-1, 1))
        gathered[p].append(each)
        sizes[p] += len(each.body)
        if len(gathered[p]) == SLICE_EVENTS or sizes[p] > SLICE_BYTES:
            await flush(p)
    for p in range(len(owners)):
        if gathered[p]:
            await flush(p)
    await asyncio.gather(*(task for task in tasks if task is not None))


@cache
def key(sensor: int) -> Key:
    """Give a sensor's key."""
    return Key(STREAM, name_of(sensor))


def rules(threshold: int, linger_ns: int = 10**9) -> Rules:
    """Give the settings: a batch is full at so many samples, and never too old."""
    policy = SealPolicy(max_samples=threshold, max_age_ns=86_400 * 10**9)
    return Rules({STREAM: policy}, {STREAM: StreamFormat(("value",))}, linger_ns=linger_ns)


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    silent()
    interpreter.settle()
    print(json.dumps(asyncio.run(durable(wish.events, wish.out, wish.threshold))))


if __name__ == "__main__":
    main()
