"""What tests say to a hub through the unmodified azure-eventhub SDK."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from azure.eventhub import EventData, EventHubConsumerClient
from azure.eventhub.aio import EventHubConsumerClient as AioConsumer
from azure.eventhub.aio import EventHubProducerClient as AioProducer

T = TypeVar("T")
SECONDS = 20.0
QUICK: dict[str, Any] = {"retry_total": 0}  # a refusal is told at once


_runner = asyncio.Runner()
_closing: set[asyncio.Task[None]] = set()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on a loop that outlives the test, since the SDK takes a second to close a consumer."""
    return _runner.run(work)


def finish() -> None:
    """Wait for the consumers that are still closing."""

    async def all_closed() -> None:
        await asyncio.gather(*_closing)

    run(all_closed())
    _runner.close()


@asynccontextmanager
async def consuming(
    consumer: AioConsumer, receiving: Coroutine[Any, Any, None]
) -> AsyncIterator[None]:
    """Receive while the body runs, for some seconds at most; closing goes on in the background."""
    task = asyncio.create_task(receiving)
    try:
        async with asyncio.timeout(SECONDS):
            yield
    finally:
        closing = asyncio.create_task(_close(consumer, task))
        _closing.add(closing)
        closing.add_done_callback(_closing.discard)


async def _close(consumer: AioConsumer, receiving: asyncio.Task[None]) -> None:
    await consumer.close()
    receiving.cancel()  # it would sleep out its balancing interval
    await asyncio.gather(receiving, return_exceptions=True)


async def send(connection: str, bodies: Iterable[str | bytes], **where: Any) -> None:
    """Send bodies as one batch."""
    async with AioProducer.from_connection_string(connection, **QUICK) as producer:
        batch = await producer.create_batch(**where)
        for body in bodies:
            batch.add(EventData(body))
        await producer.send_batch(batch)


async def receive(
    connection: str, count: int, *, group: str = "$Default", **options: Any
) -> list[EventData]:
    """Receive until there are `count` events."""
    got = await receive_with_partition(connection, count, group, **options)
    return [event for _, event in got]


async def receive_with_partition(
    connection: str, count: int, group: str = "$Default", **options: Any
) -> list[tuple[str, EventData]]:
    """Receive until there are `count` events; each with its partition's id."""
    got: list[tuple[str, EventData]] = []
    enough = asyncio.Event()

    async def take(context: Any, events: list[EventData]) -> None:
        got.extend((context.partition_id, event) for event in events)
        if len(got) >= count:
            enough.set()

    consumer = AioConsumer.from_connection_string(connection, group, **QUICK)
    async with consuming(consumer, consumer.receive_batch(take, **_from_start(options))):
        await enough.wait()
    return got


async def failure(connection: str, *, group: str = "$Default", **options: Any) -> Exception:
    """Give the first error that a consumer's `on_error` is told."""
    told: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def take(_context: Any, _events: list[EventData]) -> None: ...

    async def note(_context: Any, error: Exception) -> None:
        if not told.done():
            told.set_result(error)

    consumer = AioConsumer.from_connection_string(connection, group, **QUICK)
    receiving = consumer.receive_batch(take, on_error=note, **_from_start(options))
    async with consuming(consumer, receiving):
        return await told


def receive_blocking(connection: str, count: int, **options: Any) -> list[EventData]:
    """Receive with the SDK's blocking client."""
    got: list[EventData] = []
    consumer = EventHubConsumerClient.from_connection_string(connection, "$Default", **QUICK)

    def take(_context: Any, event: EventData) -> None:
        got.append(event)
        if len(got) >= count:
            consumer.close()

    with consumer:
        consumer.receive(take, **_from_start(options))
    return got


def _from_start(options: dict[str, Any]) -> dict[str, Any]:
    return {"starting_position": "-1"} | options


def bodies(events: Iterable[EventData]) -> list[str]:
    return [event.body_as_str() for event in events]


async def counts(connection: str) -> list[int]:
    """Ask how many events each partition holds."""
    async with AioConsumer.from_connection_string(connection, "$Default", **QUICK) as consumer:
        partitions = await consumer.get_partition_ids()
        told = await asyncio.gather(*(consumer.get_partition_properties(p) for p in partitions))
    return [p["last_enqueued_sequence_number"] + 1 - p["beginning_sequence_number"] for p in told]
