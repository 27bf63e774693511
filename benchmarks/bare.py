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
from pathlib import Path
from typing import Any

import msgspec
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, PartitionContext

from benchmarks import load
from benchmarks.processes import peak_bytes

PREFETCH = 1_000  # as the service has it
Kept = dict[str, list[Any]]
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


async def hub(connection: str, name: str, partitions: int, events: int) -> tuple[Kept, Moment]:
    """Receive events, parse their bodies and keep them by sensor; tell when the last was kept."""
    kept: Kept = {}
    count, done = 0, asyncio.Event()

    async def keep(_: PartitionContext, received: list[EventData]) -> None:
        nonlocal count
        for event in received:
            sensor = event.properties[b"sensor"].decode()
            kept.setdefault(sensor, []).append(msgspec.json.decode(body_of(event)))
        count += len(received)
        if count >= events:
            done.set()

    return kept, await receive(connection, name, partitions, keep, done)


def body_of(event: EventData) -> bytes:
    """Give the bytes of an event's body, which comes in parts."""
    parts: Any = event.body
    return b"".join(parts)


async def receive(
    connection: str, name: str, partitions: int, handler: Callable[..., Any], done: asyncio.Event
) -> Moment:
    """Receive every partition from its beginning until `done` is set; tell when that was."""
    clients = [
        EventHubConsumerClient.from_connection_string(connection, "$Default", eventhub_name=name)
        for _ in range(partitions)
    ]
    tasks = [
        asyncio.create_task(
            client.receive_batch(
                handler,
                partition_id=str(partition),
                starting_position="-1",
                prefetch=PREFETCH,
                max_batch_size=PREFETCH,
            )
        )
        for partition, client in enumerate(clients)
    ]
    await done.wait()
    ended = now()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for client in clients:
        await client.close()
    return ended


def main() -> None:
    """Run one loop and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loop", choices=("memory", "hub"))
    parser.add_argument("--bodies", type=Path, help="for memory: what was sent")
    parser.add_argument("--hub", help="for hub: its name; the connection string is in HUB")
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--events", type=int)
    wish = parser.parse_args()
    events = load.read(wish.bodies) if wish.loop == "memory" else []
    began = now()
    if wish.loop == "memory":
        kept, ended = memory(events), now()
    else:
        kept, ended = asyncio.run(hub(os.environ["HUB"], wish.hub, wish.partitions, wish.events))
    cost = {
        "seconds": ended[0] - began[0],
        "cpu_seconds": ended[1] - began[1],
        "peak_bytes": peak_bytes(os.getpid()),
        "events": sum(map(len, kept.values())),
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
