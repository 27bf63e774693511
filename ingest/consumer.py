"""One owned partition from hub to log: attach, receive from w+1, append; again after a Reattach.

Two things go on beside receiving: buffers are sealed when they are due, and sealed ones are
committed. Whichever finds that the owner's memory no longer holds ends all three, and they
begin anew. A broken link is only opened again, without leaving the partition.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from azure.eventhub import EventData

from batching.errors import CorruptBuffer, Reattach
from batching.failpoints import reached
from batching.model import Element
from batching.partition import Partition
from ingest.classify import Classifier
from ingest.metrics import IngestMetrics
from ingest.source import Source, SourceUnavailable, event_of
from ingest.tally import Tally

SLICE_BYTES = 4 * 2**20  # one append: bounds what Redis gets in one call
LAG_SECONDS = 5.0
DRAIN_SECONDS = 0.1
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a consumer is built of; `build` makes a new owner of its partition."""

    source: Source
    classifier: Classifier
    metrics: IngestMetrics
    build: Callable[[str], Partition]


class Consumer:
    """Works on one partition until it is told to stop."""

    def __init__(self, partition: str, parts: Parts) -> None:
        self.partition, self._parts = partition, parts
        self._tally = Tally(parts.metrics, partition)
        self._owner: Partition | None = None
        self._taking = asyncio.Lock()  # held while events are decoded and appended
        self._stop = asyncio.Event()
        self.attached = asyncio.Event()

    @property
    def owner(self) -> Partition | None:
        """The partition's owner as long as it is attached."""
        return self._owner if self.attached.is_set() else None

    def stop(self) -> None:
        """Ask to finish: what was received is appended, what is sealed committed."""
        self._stop.set()

    async def drain(self) -> int:
        """Append what the hub has by now, seal every open batch, commit; give how many.

        Raises:
            SourceUnavailable: the hub does not say how far it is.

        """
        last = (await self._parts.source.partition(self.partition)).last
        while not self._stop.is_set():
            owner = self.owner
            if owner is not None and owner.acked >= last:
                sealed = await owner.seal_all()
                await owner.settled()
                return sealed
            await asyncio.sleep(DRAIN_SECONDS)
        return 0

    async def run(self) -> None:
        """Own the partition until `stop`.

        Raises:
            WrongStore: the store was deleted or replaced.

        """
        with structlog.contextvars.bound_contextvars(partition=self.partition):
            while not self._stop.is_set():
                self._owner = self._parts.build(self.partition)
                try:
                    await self._own(self._owner)
                except* Reattach as group:
                    log.warning("attaching again", why=str(group.exceptions[0]))
                    self._parts.metrics.reattached.inc()
                except* CorruptBuffer as group:
                    log.error("buffer cannot be read, reading again", why=str(group.exceptions[0]))
                    await self._owner.wipe()
                finally:
                    self.attached.clear()
            log.info("partition left")

    async def _own(self, owner: Partition) -> None:
        attaching = asyncio.create_task(owner.attach())
        await self._unless_stopped(attaching)
        if self._stop.is_set():
            return
        await self._note_lost(owner)
        self.attached.set()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._receive(owner), name="receive"),
                group.create_task(owner.sweep_forever(), name="sweep"),
                group.create_task(owner.commit_forever(), name="commit"),
                group.create_task(self._watch_lag(owner), name="lag"),
            ]
            await self._stop.wait()
            async with self._taking:
                for task in tasks:
                    task.cancel()
        await owner.drain()

    async def _unless_stopped(self, task: asyncio.Task[int]) -> None:
        """Wait for a task, or cancel it when it is time to stop."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            stopping.cancel()
            task.cancel()

    async def _note_lost(self, owner: Partition) -> None:
        """Say it loudly when the hub no longer has what comes next."""
        try:
            facts = await self._parts.source.partition(self.partition)
        except SourceUnavailable as error:
            log.warning("hub does not answer", why=str(error))
            return
        missing = facts.first - (owner.acked + 1)
        if missing > 0 and facts.first > 0:
            self._parts.metrics.lost.inc(missing)
            log.error("the hub dropped events before they were read", events=missing)

    async def _receive(self, owner: Partition) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._parts.source.receive(
                    self.partition, lambda: owner.acked, lambda raw: self._take(owner, raw)
                )
            except SourceUnavailable as error:
                self._parts.metrics.reopened.inc()
                log.warning("link to the hub broke, opening it again", why=str(error))
                if asyncio.get_running_loop().time() - began > LONGEST_WAIT_SECONDS:
                    wait = FIRST_WAIT_SECONDS
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _take(self, owner: Partition, raws: Sequence[EventData]) -> None:
        """Decode events and append them, a few megabytes a call."""
        async with self._taking:
            await reached("receive")
            elements: list[Element] = []
            size, upto, enqueued_ns = 0, owner.acked, 0
            for raw in raws:
                event = event_of(self.partition, raw)
                if event.sequence_number <= upto:
                    continue  # a link that was opened again may repeat its last event
                found = self._parts.classifier.classify(event)
                elements += found.elements
                size += sum(len(element.body) for element in found.elements)
                upto, enqueued_ns = event.sequence_number, event.enqueued_ns
                self._tally.add(found)
                if size > SLICE_BYTES:
                    self._tally.tell()
                    await owner.append(elements, upto, enqueued_ns)
                    elements, size = [], 0
            self._tally.tell()
            if upto > owner.acked:
                await owner.append(elements, upto, enqueued_ns)

    async def _watch_lag(self, owner: Partition) -> None:
        while True:
            try:
                facts = await self._parts.source.partition(self.partition)
            except SourceUnavailable as error:
                log.debug("hub does not answer", why=str(error))
            else:
                behind = max(0, facts.last - owner.acked)
                self._parts.metrics.lag.labels(self.partition).set(behind)
            await asyncio.sleep(LAG_SECONDS)
