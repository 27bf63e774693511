"""The loops that Headrace is held against: they parse each chunk and keep it in a dict, no more.

`memory` has all bodies in memory before it begins, `hub` receives them through the SDK. Each
runs as a process of its own (`python -m benchmarks.bare`) and prints what it cost as JSON.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, PartitionContext

from benchmarks import load
from benchmarks.processes import peak_bytes

PREFETCH = 1_000  # as the service has it
Kept = dict[str, list[Any]]
Handler = Callable[[list[EventData]], None]
Moment = tuple[float, float]  # seconds on the wall and of the processor


def now() -> Moment:
    """Read both clocks."""
    return time.perf_counter(), time.process_time()


def memory(events: list[load.Sent]) -> Kept:
    """Parse bodies that are there, and keep them by sensor."""
    kept: Kept = {}
    for sensor, body in events:
        kept.setdefault(sensor, []).append(msgspec.json.decode(body))
    return kept


@dataclass(slots=True)
class Received:
    """When events came: what a client does before the first ones is not measured.

    `events` counts those that came after the first hand-over, so neither its own work nor the
    opening of the link before it makes a loop look faster or slower than it is.
    """

    began: Moment = (0.0, 0.0)
    ended: Moment = (0.0, 0.0)
    events: int = 0


async def hub(connection: str, name: str, partitions: int, events: int) -> tuple[Kept, Received]:
    """Receive events, parse their bodies and keep them by sensor."""
    kept: Kept = {}

    def keep(received: list[EventData]) -> None:
        for event in received:
            sensor = event.properties[b"sensor"].decode()
            kept.setdefault(sensor, []).append(msgspec.json.decode(body_of(event)))

    return kept, await receive(connection, name, partitions, events, keep)


def body_of(event: EventData) -> bytes:
    """Give the bytes of an event's body, which comes in parts."""
    parts: Any = event.body
    return b"".join(parts)


async def receive(
    connection: str, name: str, partitions: int, events: int, handler: Handler
) -> Received:
    """Receive so many events, every partition from its beginning; tell how long it took."""
    count, done, found = 0, asyncio.Event(), Received()

    async def take(_: PartitionContext, received: list[EventData]) -> None:
        nonlocal count
        if not count:
            found.began = now()
        else:
            found.events += len(received)
        handler(received)
        count += len(received)
        if count >= events and not done.is_set():
            found.ended = now()
            done.set()

    clients = [
        EventHubConsumerClient.from_connection_string(connection, "$Default", eventhub_name=name)
        for _ in range(partitions)
    ]
    tasks = [
        asyncio.create_task(
            client.receive_batch(
                take,
                partition_id=str(partition),
                starting_position="-1",
                prefetch=PREFETCH,
                max_batch_size=PREFETCH,
            )
        )
        for partition, client in enumerate(clients)
    ]
    await done.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        await client.close()
    return found


def main() -> None:
    """Run one loop and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loop", choices=("memory", "hub"))
    parser.add_argument("--bodies", type=Path, help="for memory: what was sent")
    parser.add_argument("--hub", help="for hub: its name; the connection string is in HUB")
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--events", type=int)
    wish = parser.parse_args()
    if wish.loop == "memory":
        events = load.read(wish.bodies)
        found = Received(began=now(), events=len(events))
        kept = memory(events)
        found.ended = now()
    else:
        kept, found = asyncio.run(hub(os.environ["HUB"], wish.hub, wish.partitions, wish.events))
    cost = {
        "seconds": found.ended[0] - found.began[0],
        "cpu_seconds": found.ended[1] - found.began[1],
        "peak_bytes": peak_bytes(os.getpid()),
        "events": found.events,
        "kept": sum(map(len, kept.values())),
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
