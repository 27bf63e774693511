"""Where cases happen: one hub process and one Valkey for many, a hub and a store for each."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient
from redis.asyncio import Redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from ingest.hub.certificate import self_made
from tests.crash.cases import Case

START_SECONDS = 60.0
_DUMP = """
local found = {}
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do
  found[#found + 1] = key
  found[#found + 1] = redis.call('DUMP', key)
end
return found
"""
Snapshot = list[bytes]


@dataclass(frozen=True)
class Place:
    """Servers that run."""

    folder: Path
    connection: str
    redis_url: str
    redis: "Redis[bytes]"
    certificate: Path  # one is enough, where the SDK loads some and nobody looks at them

    async def snapshot(self, store_id: str) -> Snapshot:
        """Copy all keys of one store, as they are at one moment."""
        found: Snapshot = await self.redis.eval(_DUMP, 0, _keys(store_id))  # type: ignore[misc]
        return found

    async def empty(self, store_id: str) -> None:
        """Lose all keys of one store."""
        if keys := [key async for key in self.redis.scan_iter(_keys(store_id), 1_000)]:
            await self.redis.delete(*keys)

    async def roll_back(self, store_id: str, snapshot: Snapshot) -> None:
        """Go back to what was copied."""
        await self.empty(store_id)
        async with self.redis.pipeline(transaction=True) as pipe:
            for key, value in zip(snapshot[::2], snapshot[1::2], strict=True):
                pipe.restore(key, 0, value)
            await pipe.execute()


def _keys(store_id: str) -> str:
    return f"hr:{{{store_id}/*"


@contextlib.asynccontextmanager
async def opened(folder: Path, hubs: Sequence[tuple[str, int]]) -> AsyncIterator[Place]:
    """Start the servers; stop them in the end."""
    valkey = EmbeddedValkey(folder / "valkey")
    url = await valkey.start()
    try:
        async with _hub(folder, hubs) as connection, Redis.from_url(url) as client:
            yield Place(folder, connection, url, client, self_made(folder)[0])
    finally:
        await valkey.stop()


@contextlib.asynccontextmanager
async def _hub(folder: Path, hubs: Sequence[tuple[str, int]]) -> AsyncIterator[str]:
    ready = folder / "hub.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "ingest", "hub", "--memory", "--port", "0"]
    command += ["--ready-file", str(ready)]
    for name, partitions in hubs:
        command += ["--hub", f"{name}:{partitions}"]
    with (folder / "hub.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with asyncio.timeout(START_SECONDS):
            while not ready.exists():  # noqa: ASYNC110 a file has no event
                await asyncio.sleep(0.05)
        yield json.loads(ready.read_text())["connection_string"]
    finally:
        process.terminate()
        await process.wait()


class Traffic:
    """Sends small events of a few sensors to one hub, and logs each that the hub accepted."""

    def __init__(self, connection: str, place: Place, hub: str, case: Case, log: Path) -> None:
        self._client = EventHubProducerClient.from_connection_string(
            connection, eventhub_name=hub, connection_verify=str(place.certificate)
        )
        self._partitions, self._log = case.partitions, log
        self.sent = 0
        self.by_partition = dict.fromkeys(map(str, range(case.partitions)), 0)

    async def wave(self, events: int) -> None:
        """Send so many events at once: two streams, undecodable ones, and one of no stream."""
        for partition in range(self._partitions):
            batch = await self._client.create_batch(partition_id=str(partition))
            lines = []
            for number in range(self.sent + partition, self.sent + events, self._partitions):
                event, line = _event(number, partition)
                batch.add(event)
                if line is not None:
                    lines.append(json.dumps(line) + "\n")
            self.by_partition[str(partition)] += len(batch)
            if len(batch):
                await self._client.send_batch(batch)
            with self._log.open("a") as file:
                file.writelines(lines)
        self.sent += events

    async def close(self) -> None:
        await self._client.close()


def _event(number: int, partition: int) -> tuple[EventData, dict[str, Any] | None]:
    """Make an event, and the senders' line of it; none for what is only counted."""
    kind = ("motion", "motion", "heat", "motion", "heat", "stray")[number % 6]
    samples = 1 + number * 7 % 12
    values = [float(number + i) for i in range(samples)]
    body = json.dumps({"t": [1_700_000_000_000 + number] * samples, "x": values})
    garbage = number % 13 == 5
    event = EventData("{not json" if garbage else body)
    event.message_id = f"m{number:06d}"
    event.properties = {"kind": kind, "sensor": f"{kind}-{partition}-{number % 4}"}
    if kind == "stray":
        return event, None
    line: dict[str, Any] = {"id": event.message_id, "sensor": event.properties["sensor"]}
    line |= {"samples": 0} if garbage else {"samples": samples, "sum": sum(values)}
    return event, line
