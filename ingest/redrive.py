"""Partition `redrive`, read as one of the hub's is: its events are objects of the store.

It is polled by asking for the one object that would come next, so waiting costs a read each
time and no listing.
"""

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence

from batching.errors import (
    BatchError,
    CorruptBuffer,
    CorruptObject,
    NewerFormat,
    StoreUnavailable,
    WrongStore,
)
from batching.model import Redrive, Redriven
from batching.names import REDRIVE
from batching.partition import Partition
from batching.redrive import RedriveLog
from ingest.event import Event
from ingest.headers import Spelled, values_of
from ingest.hub_facts import PartitionFacts, SourceUnavailable

POLL_SECONDS = 2.0
Handler = Callable[[Sequence[Event]], Awaitable[None]]


class RedriveSource:
    """Gives re-driven events, and facts of their partition, as `ingest.source.Source` does."""

    skips = False  # nothing here is ever lost

    def __init__(self, record: RedriveLog, *, poll_seconds: float = POLL_SECONDS) -> None:
        self._log, self._poll_seconds = record, poll_seconds
        self._end = 0  # where some object ends: the next one is looked for from there
        self._wiped = False

    async def partition(self, partition: str) -> PartitionFacts:
        """Tell the numbers that there are.

        Raises:
            SourceUnavailable: the store did not answer, or an object cannot be read.

        """
        try:
            self._end = await self._log.end(self._end)
        except BatchError as error:
            raise SourceUnavailable(f"partition {partition}: {error}") from error
        return PartitionFacts(0, self._end - 1, empty=self._end == 0)

    async def receive(
        self,
        _partition: str,
        after: Callable[[], int],
        handler: Handler,
        *,
        at_most: int | None = None,  # noqa: ARG002 - what one object holds is little
    ) -> None:
        """Hand over events after a sequence number, as long as nothing is wrong.

        Raises:
            SourceUnavailable: an object cannot be read; try again.

        """
        try:
            first = await self._log.begin_before(after() + 1)
            while True:
                found = await self._log.begin_at(first)
                if found is None:
                    await asyncio.sleep(self._poll_seconds)
                    continue
                if events := [e for e in events_of(found) if e.sequence_number > after()]:
                    await handler(events)
                first = found.end
                self._end = max(self._end, first)
        except (CorruptObject, NewerFormat, StoreUnavailable) as error:
            raise SourceUnavailable(str(error)) from error

    async def renew(self) -> None:
        """Nothing is kept open between two reads."""

    async def same_hub(self) -> None:
        """Events of this partition lie in the store, whose identity its owner looks at."""

    async def check(self, partition: str, acked: int) -> None:
        """Make sure that the store has all that was read: an older one may have been brought in.

        Raises:
            CorruptBuffer: Redis has events that the store has not: drop them.
            WrongStore: so has the checkpoint.

        """
        facts = await self.partition(partition)
        if acked <= facts.last:
            self._wiped = False
            return
        if self._wiped:
            raise WrongStore(f"the store lacks re-driven events up to number {acked}")
        self._wiped, self._end = True, 0
        raise CorruptBuffer(f"Redis has re-driven events up to {acked}, the store {facts.last}")

    async def reconcile(self, partition: str, owner: Partition) -> None:
        """Bring a new owner to where reading can go on; see `check`."""
        await self.check(partition, owner.acked)


def events_of(found: Redrive) -> list[Event]:
    """Give the events that an object holds."""
    return [_event(found, n, letter) for n, letter in enumerate(found.letters, found.first)]


def _event(found: Redrive, number: int, letter: Redriven) -> Event:
    try:
        return Event(
            partition=REDRIVE,
            sequence_number=number,
            enqueued_ns=found.written,
            body=b64decode(letter.body, validate=True),
            content_type=letter.content_type,
            content_encoding=letter.content_encoding,
            message_id=letter.message_id,
            partition_key=letter.partition_key,
            properties=values_of(Spelled(letter.properties, letter.property_types)),
            annotations=values_of(Spelled(letter.annotations, letter.annotation_types)),
            first_enqueued_ns=letter.arrived_ns,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise CorruptObject(f"re-driven event {number} cannot be read: {error}") from error
