"""What is sent: events of one shape, from sensors that come and go, the same for every run."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient

CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
CHUNKS_A_BATCH = 100
SMALL_TO_LARGE = 5  # events
SENSORS_AT_ONCE = 25  # of one partition
QUICK = 3_000  # events for a smoke run: more than the SDK hands over at first
START_MS = 1_780_000_000_000
Sent = tuple[str, bytes]  # sensor and body


@dataclass(frozen=True, slots=True)
class Shape:
    """Events of about the same size, `samples` by six channels, in a hub of the shape's name."""

    name: str
    samples: int
    events: int

    def bodies(self, seed: int) -> Iterator[bytes]:
        """Give JSON bodies without end: times in ms, values with three decimals."""
        rng = np.random.default_rng(seed)
        while True:
            times = START_MS + 10 * np.arange(self.samples)
            values = np.round(rng.normal(0, 2, (len(CHANNELS), self.samples)), 3)
            body: dict[str, Any] = {"t": times.tolist()}
            body.update(zip(CHANNELS, values.tolist(), strict=True))
            yield msgspec.json.encode(body)

    def partition(self, partition: int, partitions: int) -> list[Sent]:
        """Give one partition's events.

        Some sensors send at a time, each until it has filled one batch; then another one takes
        its place. So batches are sealed all along, and none is left open at the end.
        """
        rng = random.Random(partition)
        bodies = self.bodies(partition)
        waiting = [f"sensor-{n:05d}" for n in range(partition, self.batches, partitions)][::-1]
        awake: list[list[Any]] = []
        events: list[Sent] = []
        while waiting or awake:
            while waiting and len(awake) < SENSORS_AT_ONCE:
                awake.append([waiting.pop(), CHUNKS_A_BATCH])
            chosen = rng.choice(awake)
            events.append((chosen[0], next(bodies)))
            chosen[1] -= 1
            if not chosen[1]:
                awake.remove(chosen)
        return events

    @property
    def batches(self) -> int:
        """Batches that the events fill exactly."""
        return self.events // CHUNKS_A_BATCH


def shapes(events: int) -> tuple[Shape, ...]:
    """Give the two shapes that are measured, with at least so many events, and five times as many.

    A round ends with the last commit, which may linger for a second, so it must take far longer.
    """
    whole = max(1, -(-events // CHUNKS_A_BATCH)) * CHUNKS_A_BATCH
    return Shape("large", 120, whole), Shape("small", 2, SMALL_TO_LARGE * whole)


async def fill(connection: str, shape: Shape, partitions: int) -> list[Sent]:
    """Send everything of a shape to the hub of its name, and give what was sent."""
    everything: list[Sent] = []
    for partition in range(partitions):
        events = shape.partition(partition, partitions)
        await send(connection, shape.name, str(partition), events)
        everything += events
    return everything


async def send(connection: str, hub: str, partition: str, events: Sequence[Sent]) -> None:
    """Send JSON bodies to one partition of a hub."""
    client = EventHubProducerClient.from_connection_string(connection, eventhub_name=hub)
    async with client:
        await _send(client, partition, events)


async def _send(client: EventHubProducerClient, partition: str, events: Sequence[Sent]) -> None:
    batch = await client.create_batch(partition_id=partition)
    for number, (sensor, body) in enumerate(events):
        event = EventData(body)
        event.properties = {"sensor": sensor}
        event.content_type = "application/json"
        event.message_id = f"{sensor}-{number:06d}"
        try:
            batch.add(event)
        except ValueError:  # full
            await client.send_batch(batch)
            batch = await client.create_batch(partition_id=partition)
            batch.add(event)
    await client.send_batch(batch)


def write(path: Path, events: Sequence[Sent]) -> None:
    """Keep what was sent for the bare loop."""
    path.write_bytes(msgspec.msgpack.encode(events))


def read(path: Path) -> list[Sent]:
    """Read back what `write` wrote."""
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Sent])
