"""The hub through the unmodified SDK: its facts, and one receiving task per partition.

The client gets no checkpoint store and no owner level: which partitions to read is the
balancer's word, where to begin is the partition's. Its only way out of a partition is an
error; then the task ends here and its caller opens it again.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubConsumerClient, PartitionContext
from azure.eventhub.amqp import AmqpMessageBodyType
from azure.eventhub.exceptions import EventHubError

from batching.retry import heed_cancellation
from ingest.event import Event
from ingest.hub_facts import (
    ANSWER_SECONDS,
    HubAddress,
    HubFacts,
    PartitionFacts,
    SourceUnavailable,
)
from ingest.hurry import Hurry

OPEN_EVENTS = 2_000_000  # the SDK keeps 80 bytes for each event that a link has ever received
CLOSE_SECONDS = 3.0
GATHER_EVENTS, GATHER_SECONDS = 200, 0.02  # one append costs as much as fifty events in it
_WHY = "Description: "
Handler = Callable[[Sequence[Event]], Awaitable[None]]


def client_of(address: HubAddress, *, retries: int = 2) -> EventHubConsumerClient:
    """Make a client; it connects at its first call."""
    options: dict[str, Any] = {"retry_total": retries, "load_balancing_interval": 2}
    if address.connection_string is not None:
        return EventHubConsumerClient.from_connection_string(
            address.connection_string,
            address.consumer_group,
            eventhub_name=address.hub,
            **options,
        )
    if address.namespace is None or address.credential is None:
        raise ValueError("a hub needs a connection string, or a namespace and a credential")
    return EventHubConsumerClient(
        address.namespace, address.hub, address.consumer_group, address.credential, **options
    )


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (EventHubError, OSError, TimeoutError) as error:
        raise SourceUnavailable(f"{what}: {said(error)}") from error


@contextlib.asynccontextmanager
async def _answering(what: str) -> AsyncIterator[None]:
    """Bound a question: a host that takes connections and says nothing holds the SDK for hours."""
    with _translated(what):
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                with Hurry():
                    yield
        except TimeoutError:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
        finally:
            heed_cancellation()


def said(error: BaseException) -> str:
    """Give what an error of the SDK says in its first line, and what the hub said of it."""
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    why = next((line for line in lines[1:] if line.startswith(_WHY)), "").removeprefix(_WHY)
    return f"{lines[0]} {why}" if why else lines[0]


class Source:
    """One hub and consumer group."""

    def __init__(self, address: HubAddress, *, prefetch: int = 1_000, batch: int = 1_000) -> None:
        self._address, self._prefetch, self._batch = address, prefetch, batch
        self._client = client_of(address)

    async def facts(self) -> HubFacts:
        """Ask the hub.

        Raises:
            SourceUnavailable: it did not answer, or refused.

        """
        async with _answering(f"source: hub {self._address.hub}"):
            found = await self._client.get_eventhub_properties()
        created_ms = round(found["created_at"].timestamp() * 1_000)
        return HubFacts(created_ms, tuple(found["partition_ids"]))

    async def partition(self, partition: str) -> PartitionFacts:
        """Ask about one partition.

        Raises:
            SourceUnavailable: the hub did not answer, or refused.

        """
        async with _answering(f"source: partition {partition} of hub {self._address.hub}"):
            found = await self._client.get_partition_properties(partition)
        return PartitionFacts(
            int(found["beginning_sequence_number"]),
            int(found["last_enqueued_sequence_number"]),
            bool(found["is_empty"]),
        )

    async def receive(
        self,
        partition: str,
        after: Callable[[], int],
        handler: Handler,
        *,
        at_most: int | None = None,
    ) -> None:
        """Receive events after a sequence number, opening the link anew after every error.

        Args:
            partition: its id.
            after: the number after which to begin, asked again at each opening.
            handler: is awaited with each list of events, in plain values; while it works,
                nothing more comes.
            at_most: events that may be here and not through the handler, at least 2; bounds
                what is fetched ahead and handed over at once below what was set.

        Raises:
            SourceUnavailable: the link broke; open it again.
            Exception: whatever the handler raised.

        """
        feed = _Feed(partition, handler)
        half = (at_most or 2 * max(self._prefetch, self._batch)) // 2
        # without repetitions: the SDK would open a broken link again by itself, at an offset that
        # means nothing in a hub that was created anew meanwhile, and nobody would ask
        async with client_of(self._address, retries=0) as client:
            with feed.hurry:
                task = asyncio.create_task(self._open(client, partition, after(), feed, half))
            try:
                await asyncio.wait({task, feed.trouble}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    with _translated(f"partition {partition}"):
                        task.result()
            finally:
                await _end(task)
        heed_cancellation()
        if feed.trouble.done():
            feed.trouble.result()

    async def _open(
        self, client: EventHubConsumerClient, partition: str, after: int, feed: "_Feed", half: int
    ) -> None:
        await client.receive_batch(
            feed.on_batch,
            partition_id=partition,
            # 0 is taken for "none" by 5.15.1, so the first number wanted, inclusive; never 0
            starting_position="-1" if after < 0 else after + 1,
            starting_position_inclusive=after >= 0,
            prefetch=min(half, self._prefetch),
            max_batch_size=min(half, self._batch),
            on_error=feed.on_error,
        )

    async def renew(self) -> None:
        """Ask through a new client from now on; each opening of a link has its own anyway."""
        old, self._client = self._client, client_of(self._address)
        await old.close()

    async def close(self) -> None:
        """Let go of the connection."""
        await self._client.close()


class _Feed:
    """Carries events to the handler, and the first trouble out of the SDK's callbacks."""

    def __init__(self, partition: str, handler: Handler) -> None:
        self._partition, self._handler, self._left = partition, handler, OPEN_EVENTS
        self.trouble: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.hurry = Hurry()

    async def on_batch(self, _: PartitionContext, events: list[EventData]) -> None:
        self.hurry.over()
        if not self.trouble.done():
            try:
                await self._handler([event_of(self._partition, event) for event in events])
            except Exception as error:  # noqa: BLE001 `receive` raises it; the SDK only logs it
                self._tell(error)
        self._left -= len(events)
        if self._left < 0 and not self.trouble.done():
            self.trouble.set_result(None)
        if self.trouble.done():  # hold the SDK still: it is about to be cancelled
            await asyncio.Event().wait()
        if len(events) < GATHER_EVENTS:  # the SDK goes on receiving, and would call for each one
            await asyncio.sleep(GATHER_SECONDS)
        else:
            self.hurry.flows()

    async def on_error(self, _: PartitionContext | None, error: Exception) -> None:
        self._tell(SourceUnavailable(f"the link to the hub broke: {said(error)}"))

    def _tell(self, error: Exception) -> None:
        if not self.trouble.done():
            self.trouble.set_exception(error)


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel the SDK's task; its own way out sleeps and may hang on a dead link."""
    for _ in range(2):
        task.cancel()
        await asyncio.wait({task}, timeout=CLOSE_SECONDS)
        if task.done():
            break
    if task.done() and not task.cancelled():
        task.exception()


def event_of(partition: str, raw: EventData) -> Event:
    """Turn an SDK event into plain values; keys of annotations come as bytes."""
    message = raw.raw_amqp_message
    annotations = _plain_items(message.annotations)
    content_type = content_encoding = message_id = None
    facts = message.properties
    if facts is not None:  # asked whether it is true, it would count all its fields
        content_type, content_encoding = facts.content_type, facts.content_encoding
        message_id = facts.message_id
    return Event(
        partition=partition,
        sequence_number=annotations["x-opt-sequence-number"],
        enqueued_ns=annotations["x-opt-enqueued-time"] * 1_000_000,
        body=_body(raw),
        content_type=_text(content_type) if content_type else "",
        content_encoding=_text(content_encoding) if content_encoding else "",
        message_id="" if message_id is None else _text(message_id),
        partition_key=_text(annotations.get("x-opt-partition-key") or ""),
        properties=_plain_items(raw.properties),
        annotations=annotations,
    )


def _plain_items(items: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Give keys as text, and values too that came as bytes."""
    if not items:
        return {}
    return {  # for each of some five of every event, so without calls
        key.decode(errors="replace") if isinstance(key, bytes) else str(key): (
            value.decode(errors="replace") if isinstance(value, bytes) else value
        )
        for key, value in items.items()
    }


def _body(raw: EventData) -> bytes:
    """Give the body's bytes; a sender may also have put a single AMQP value there."""
    if raw.body_type is AmqpMessageBodyType.DATA:
        parts: Any = raw.body
        return parts if isinstance(parts, bytes) else b"".join(parts)
    value = raw.body
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    return msgspec.json.encode(_jsonable(value), enc_hook=str)


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_text(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, list | tuple) or hasattr(value, "__next__"):
        return [_jsonable(item) for item in value]
    return value


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
