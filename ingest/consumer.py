"""One owned partition from hub to log: attach, receive from w+1, append; again after a Reattach.

Two things go on beside receiving: buffers are sealed when they are due, and sealed ones are
committed. Whichever finds that the owner's memory no longer holds ends all three, and they
begin anew. A broken link is only opened again, without leaving the partition.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from batching.errors import CorruptBuffer, Leaving, Reattach
from batching.failpoints import reached
from batching.limits.governor import Governor
from batching.model import Element
from batching.partition import Partition
from batching.structured import structlog
from ingest.classify import Classified, Classifier
from ingest.decode.spec import StopRule
from ingest.event import Event
from ingest.feed import Feed, Ground
from ingest.hub_facts import SourceUnavailable
from ingest.metrics import IngestMetrics
from ingest.stop_above import IntakeStopped, Stop, StopAbove
from ingest.tally import Tally
from ingest.watchdog import Watchdog

SLICE_BYTES = 2**18  # one append: so that one partition fills a call while Redis works on others
GIVE_WAY_EVENTS = 64  # decoded without a break: some milliseconds in which nothing else goes on
LAG_SECONDS = 5.0
DRAIN_SECONDS = 0.1
MANY_SILENCES = 3
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a consumer is built of; `build` makes a new owner of its partition."""

    source: Feed
    standing: Ground
    classifier: Classifier
    metrics: IngestMetrics
    build: Callable[[str], Partition]
    governor: Governor
    silent_seconds: float = 60.0
    stop_rules: Mapping[str, StopRule] = field(default_factory=dict)


class Consumer:
    """Works on one partition until it is told to stop."""

    def __init__(self, partition: str, parts: Parts) -> None:
        self.partition, self._parts = partition, parts
        self._tally = Tally(parts.metrics, partition)
        self._owner: Partition | None = None
        self._watchdog = Watchdog(parts.silent_seconds)
        self._silence: asyncio.Timeout | None = None  # of the link that is open
        self._taking = asyncio.Lock()  # held while events are decoded and appended
        self._stop = asyncio.Event()
        self._seal = False  # what is open when it is time to stop
        self._judge = StopAbove(parts.stop_rules)
        self.stopped: Stop | None = None  # until a restart: settings do not change before
        self.attached = asyncio.Event()

    @property
    def standing(self) -> Ground:
        """Where the hub stands."""
        return self._parts.standing

    @property
    def watchdog(self) -> Watchdog:
        """What watches the link."""
        return self._watchdog

    @property
    def owner(self) -> Partition | None:
        """The partition's owner as long as it is attached."""
        return self._owner if self.attached.is_set() else None

    def stop(self, *, sealed: bool = False) -> None:
        """Ask to finish: what was received is appended, what is sealed committed.

        Args:
            sealed: seal what is open first, so that nothing is left in Redis.

        """
        self._seal = sealed
        self._stop.set()

    async def drain(self) -> int:
        """Append what the hub has by now, seal every open batch, commit; give how many.

        Raises:
            SourceUnavailable: the hub does not say how far it is.

        """
        last = (await self._parts.source.partition(self.partition)).last
        while not self._stop.is_set():
            owner = self.owner
            if owner is not None and (owner.acked >= last or self.stopped is not None):
                sealed = await owner.seal_all()
                await owner.settled()
                return sealed
            await asyncio.sleep(DRAIN_SECONDS)
        return 0

    async def run(self) -> None:
        """Own the partition until `stop`.

        Raises:
            WrongStore: the store was deleted or replaced.
            WrongHub: the hub was created anew, or its numbers began anew.
            PositionLost: the hub no longer has what comes next, and that is to stop.

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
                    self._owner.left()
            log.info("partition left")

    async def _own(self, owner: Partition) -> None:
        await self._unless_stopped(asyncio.create_task(owner.attach()))
        if self._stop.is_set():
            return
        async with asyncio.TaskGroup() as group:
            judging = group.create_task(self._reconcile(owner), name="reconcile")
            receiving = group.create_task(self._receive(owner, judging), name="receive")
            await self._unless_stopped(judging)
            if not judging.done():
                receiving.cancel()
                return
            self.attached.set()
            tasks = [
                receiving,
                group.create_task(owner.sweep_forever(), name="sweep"),
                group.create_task(owner.seal_pressed_forever(), name="pressure"),
                group.create_task(owner.janitor.tidy_forever(), name="tidy"),
                group.create_task(self._watch_lag(owner), name="lag"),
            ]
            group.create_task(owner.commit_forever(), name="commit")  # ends by itself
            await self._stop.wait()
            owner.leave()
            async with self._taking:
                for task in tasks:
                    task.cancel()
        if self._seal:
            await owner.seal_all()
        await owner.drain()

    async def _unless_stopped(self, task: asyncio.Task[Any]) -> None:
        """Wait for a task, or cancel it when it is time to stop."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            stopping.cancel()
            task.cancel()

    async def _reconcile(self, owner: Partition) -> None:
        try:
            await self._parts.standing.reconcile(self.partition, owner)
        except SourceUnavailable as error:  # asked again with the first events
            log.warning("hub does not answer", why=str(error))

    async def _receive(self, owner: Partition, judging: asyncio.Task[None]) -> None:
        """Receive for ever; the first link is opened while it is judged whether it may be used."""
        wait, again = FIRST_WAIT_SECONDS, False
        if self.standing.skips:  # what the hub has: it would all be received before
            await asyncio.wait({judging})
        while self.stopped is None:
            began = asyncio.get_running_loop().time()
            try:
                await self._open(owner, judging, again=again)
            except IntakeStopped as error:
                self._note_stopped(error.stop)
            except SourceUnavailable as error:
                await asyncio.wait({judging})
                self._parts.metrics.reopened.inc()
                log.warning("link to the hub broke, opening it again", why=str(error))
                if asyncio.get_running_loop().time() - began > LONGEST_WAIT_SECONDS:
                    wait = FIRST_WAIT_SECONDS
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            again = True

    async def _open(self, owner: Partition, judging: asyncio.Task[None], *, again: bool) -> None:
        """Open the link and take what comes, until it breaks or falls silent."""
        if again:
            await self._parts.standing.check(self.partition, owner.acked)
        self._watchdog.opened()
        try:
            async with asyncio.timeout(None) as self._silence:
                await self._parts.source.receive(
                    self.partition,
                    lambda: owner.acked,
                    _Link(self, owner, judging).arrived,
                    at_most=self._parts.governor.link_events,
                )
        except TimeoutError:
            if self._silence is None or not self._silence.expired():
                raise
            if self._watchdog.times >= MANY_SILENCES:
                await self._parts.source.renew()
                why = f"the link fell silent {self._watchdog.times} times in a row"
                raise Reattach(why) from None
        finally:
            self._silence = None

    def _note_stopped(self, stop: Stop) -> None:
        """Say why nothing more is taken in; sealing and committing go on."""
        self.stopped = stop
        self._tally.drop()
        self._parts.metrics.stop(self.partition, stop.stream, stop.reason, stop.share)
        log.error("intake stopped", stream=stop.stream, why=stop.told())

    async def take(self, owner: Partition, events: Sequence[Event]) -> None:
        """Append events, once there is room for them; hold them for ever if we leave before."""
        try:
            async with self._taking, self._parts.governor.handling(len(events), self._stop):
                await self._append(owner, events)
        except Leaving:
            # Not appended, so nothing that comes after may be: wait here to be cancelled.
            await asyncio.Event().wait()

    async def _append(self, owner: Partition, events: Sequence[Event]) -> None:
        """Decode events and append them, a few megabytes a call."""
        await reached("receive")
        most = min(SLICE_BYTES, self._parts.governor.slice_bytes)
        slice_ = _Slice(owner, self._tally)
        for number, event in enumerate(events, 1):
            if number % GIVE_WAY_EVENTS == 0:
                await asyncio.sleep(0)
            if event.sequence_number <= slice_.upto:
                continue  # a link that was opened again may repeat its last event
            if event.sequence_number > slice_.upto + 1:  # numbers have no gaps, unless
                await slice_.append()  # retention passed while nothing was received
                await self._parts.standing.check(self.partition, owner.acked)
            found = self._parts.classifier.classify(event)
            self._judge.look(event.sequence_number, found)
            slice_.add(event, found)
            if slice_.size > most:
                await slice_.append()
        await slice_.append()

    async def _watch_lag(self, owner: Partition) -> None:
        """Measure how far the hub is ahead; open the link anew if it is, and nothing comes."""
        while True:
            try:
                facts = await self._parts.source.partition(self.partition)
            except SourceUnavailable as error:
                log.debug("hub does not answer", why=str(error))
            else:
                behind = max(0, facts.last - owner.acked)
                self._parts.metrics.lag.labels(self.partition).set(behind)
                self._look_for_silence(behind)
            await asyncio.sleep(min(LAG_SECONDS, self._parts.silent_seconds / 3))

    def _look_for_silence(self, behind: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._silence is None or not self._watchdog.silent(behind, now):
            return
        self._parts.metrics.silent.inc()
        log.warning("link is silent, opening it anew", behind=behind, times=self._watchdog.times)
        self._silence.reschedule(now)


class _Link:
    """One opening of the link to the hub."""

    def __init__(self, consumer: Consumer, owner: Partition, judging: asyncio.Task[None]) -> None:
        self._consumer, self._owner, self._judging = consumer, owner, judging
        self._checked = False

    async def arrived(self, events: Sequence[Event]) -> None:
        """Take events; the first ones only once the hub has said that it is still the same."""
        with self._consumer.watchdog.working():
            if not self._checked:
                await asyncio.wait({self._judging})
                self._judging.result()  # raises what was found
                await self._consumer.standing.same_hub()
                self._checked = True
            await self._consumer.take(self._owner, events)


class _Slice:
    """Events that go to the buffer in one append."""

    def __init__(self, owner: Partition, tally: Tally) -> None:
        self._owner, self._tally = owner, tally
        self.upto, self.size, self._enqueued_ns = owner.acked, 0, 0
        self._elements: list[Element] = []

    def add(self, event: Event, found: Classified) -> None:
        """Add what one event gave."""
        self._elements += found.elements
        for element in found.elements:
            self.size += len(element.body)
        self.upto, self._enqueued_ns = event.sequence_number, event.enqueued_ns
        self._tally.add(found)

    async def append(self) -> None:
        """Append what was added since the last call."""
        self._tally.tell()
        if self.upto > self._owner.acked:
            await self._owner.append(self._elements, self.upto, self._enqueued_ns)
        self._elements, self.size = [], 0
