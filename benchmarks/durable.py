"""The durable path without the SDK, as a process of its own: from decoded event to manifest.

The owner of a partition is the service's: append to Valkey (append-only file, fsync every
second), seal, bundle, commit. Decoders and the consumer's own loop are left out.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.chunk import encode_samples
from batching.clock import SystemClock
from batching.commit import StreamFormat
from batching.identity import open_store
from batching.metrics import BatchingMetrics
from batching.model import Chunk, Element
from batching.names import Key
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.scope import Scoped
from batching.tenure import Hooks, Rules
from batching.view import Log
from benchmarks import processes
from benchmarks.reference import Cost, arguments
from benchmarks.workloads import Record, arrays, name_of, records

SLICE = 1_000  # events an append, as many as the service's prefetch


async def durable(path: Path, out: Path, threshold: int) -> dict[str, float]:
    """Take all events through the owner of one partition; give what it cost."""
    root, clock = FolderStore(out / "blobs"), SystemClock()
    facts: dict[str, Any] = {"namespace": "ns", "created_ms": 1, "consumer_group": "$Default"}
    identity = await open_store(root, clock, hub="hub", start=_from_zero, **facts)
    log = Log(root, Scoped(root, identity.id), identity, "0")
    policy = SealPolicy(max_samples=threshold, max_age_ns=86_400 * 10**9)
    rules = Rules({"bench": policy}, {"bench": StreamFormat(("value",))})
    server = EmbeddedValkey(out / "valkey")
    try:
        async with Redis.from_url(await server.start(), protocol=2) as client:
            buffer = RedisBuffer(client, prefix(identity.id, identity.hub_id, "0"))
            metrics = BatchingMetrics(CollectorRegistry())
            owner = Partition(
                log, buffer, clock, metrics, rules=rules, writer="bench", hooks=Hooks(_nothing)
            )
            await owner.attach()
            pid = int((await client.info("server"))["process_id"])
            before = processes.cpu_seconds(pid, ended=True)
            cost = Cost()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(owner.commit_forever())
                for elements in _elements(path):
                    await owner.append(elements, elements[-1].sequence_number, time.time_ns())
                await owner.seal_all()
                await owner.settled()
                owner.leave()
            return cost.spent(processes.cpu_seconds(pid, ended=True) - before)
    finally:
        await server.stop()
        await root.close()


def _elements(path: Path) -> Iterator[list[Element]]:
    numbered = enumerate(records(path))
    while several := list(islice(numbered, SLICE)):
        now = time.time_ns()
        yield [_element(number, record, now) for number, record in several]


def _element(number: int, record: Record, now_ns: int) -> Element:
    sensor, body = record
    times, values = arrays(body)
    chunk = Chunk(number, now_ns, "", times, values.reshape(-1, 1))
    key = Key("bench", name_of(sensor))
    return Element(key, number, now_ns, len(times), encode_samples(chunk))


async def _from_zero() -> dict[str, int]:
    return {"0": 0}


async def _nothing() -> int:
    return -1


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    print(json.dumps(asyncio.run(durable(wish.events, wish.out, wish.threshold))))


if __name__ == "__main__":
    main()
