"""The durable path in this process: owners of the partitions of one store, with a Valkey of theirs.

The parts are the service's own: append to Valkey (append-only file, fsync every second), seal,
bundle, commit into a folder. The consumer's loop and the decoders are left out.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.chunk import encode_samples
from batching.clock import SystemClock
from batching.identity import open_store
from batching.limits.governor import Governor
from batching.limits.pressure import Bounds
from batching.metrics import BatchingMetrics
from batching.model import Element, Store
from batching.names import Key
from batching.partition import Partition
from batching.ports import BlobStore
from batching.scope import Scoped
from batching.structured import structlog
from batching.tenure import Hooks, Rules
from batching.view import Log

SLICE_EVENTS, SLICE_BYTES = 1_000, 2**18  # of one append, as the service has it
GIVE_WAY_EVENTS = 64  # encoded without a break, as the service does it


@dataclass(frozen=True, slots=True)
class Spent:
    """What Valkey has spent, with children that ended, and what it holds."""

    cpu_seconds: float
    used_bytes: int
    pid: int


@dataclass(frozen=True, slots=True)
class Bench:
    """Owners, in order of their partitions, and what they work with."""

    owners: tuple[Partition, ...]
    buffers: tuple[RedisBuffer, ...]
    logs: tuple[Log, ...]
    identity: Store
    hooks: Hooks  # of the first owner
    client: Any

    @property
    def owner(self) -> Partition:
        """Give the first owner."""
        return self.owners[0]

    async def valkey(self) -> Spent:
        """Ask Valkey what it has spent."""
        found = await self.client.info()
        cpu = sum(
            found[f"used_cpu_{kind}{whose}"]
            for kind in ("user", "sys")
            for whose in ("", "_children")
        )
        return Spent(cpu, int(found["used_memory"]), int(found["process_id"]))


@asynccontextmanager
async def opened(
    folder: Path,
    rules: Rules,
    *,
    partitions: int = 1,
    root: BlobStore | None = None,
    bounds: Bounds | None = None,
    url: str | None = None,
) -> AsyncIterator[Bench]:
    """Open a store and its buffers, nothing attached yet.

    Args:
        folder: of the store and of Valkey.
        rules: streams and pace of all owners.
        partitions: how many there are.
        root: another store than `blobs` in the folder; closed in the end.
        bounds: other ones than the service's defaults on what is held.
        url: of a Valkey that runs already, and goes on.

    """
    server = EmbeddedValkey(folder / "valkey")
    root, clock = root or FolderStore(folder / "blobs"), SystemClock()
    try:
        facts: dict[str, Any] = {"namespace": "ns", "created_ms": 1, "consumer_group": "$Default"}
        names = [str(number) for number in range(partitions)]
        identity = await open_store(root, clock, hub="hub", start=_from_zero(names), **facts)
        async with Redis.from_url(url or await server.start(), protocol=2) as client:
            governor = Governor(bounds)
            hooks = [Hooks(_nothing, governor=governor) for _ in names]
            metrics = BatchingMetrics(CollectorRegistry())
            logs = [Log(root, Scoped(root, identity.id), identity, name) for name in names]
            buffers = [RedisBuffer(client, prefix(identity.id, name)) for name in names]
            owners = [
                Partition(log, buffer, clock, metrics, rules=rules, writer="bench", hooks=own)
                for log, buffer, own in zip(logs, buffers, hooks, strict=True)
            ]
            yield Bench(tuple(owners), tuple(buffers), tuple(logs), identity, hooks[0], client)
    finally:
        if url is None:
            await server.stop()
        await root.close()


def _from_zero(names: Iterable[str]) -> Any:
    async def start() -> dict[str, int]:
        return dict.fromkeys(names, 0)

    return start


async def _nothing() -> int:
    return -1


def element(
    key: Key, number: int, times: NDArray[np.int64], values: NDArray[Any], message_id: str = ""
) -> Element:
    """Make what the decoders give: times of shape (n,), values of shape (n, channels)."""
    now = time.time_ns()
    body = encode_samples(number, now, message_id, times, values)
    return Element(key, number, now, len(times), body)


def slices(elements: Iterable[Element]) -> Iterator[list[Element]]:
    """Cut events into appends, by number and size."""
    several: list[Element] = []
    size = 0
    for each in elements:
        several.append(each)
        size += len(each.body)
        if len(several) == SLICE_EVENTS or size > SLICE_BYTES:
            yield several
            several, size = [], 0
    if several:
        yield several


async def append(owner: Partition, elements: Iterable[Element]) -> None:
    """Append events, one slice after another."""
    for several in slices(elements):
        await owner.append(several, several[-1].sequence_number, several[-1].enqueued_ns)


@asynccontextmanager
async def committing(owners: Sequence[Partition]) -> AsyncIterator[None]:
    """Let owners commit meanwhile; in the end what is sealed is committed, and they leave."""
    async with asyncio.TaskGroup() as tasks:
        for owner in owners:
            tasks.create_task(owner.commit_forever())
        try:
            yield
            await asyncio.gather(*(owner.settled() for owner in owners))
        finally:
            for owner in owners:
                owner.leave()


def silent() -> None:
    """Let nobody write log lines."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
