"""One job's path through the log: catch up with its records, look ahead, hand out, drive.

PROTOCOL, steps G1-G4. Record n covers exactly the manifests from the vector of n-1 to its
own, and its creation decides, so any number of processes may do this on one store.
"""

from collections.abc import Sequence

import structlog

from batching import names
from batching.errors import LogTrimmed
from batching.failpoints import reached
from batching.model import RunBatch, RunRecord, Store
from batching.ports import Clock
from batching.runs.backlog import Backlog, Share, Waiting
from batching.runs.driver import Drive, Driver
from batching.runs.jobs import NOW, Job
from batching.runs.manifests import Manifests
from batching.runs.metrics import DispatchMetrics
from batching.runs.records import RunLog
from batching.view import partitions_of

SCAN_AHEAD = 10_000  # manifests of one partition that a job looks ahead
SCAN_STEP = 200  # of them in one step
SETTLE_NS = 10 * 10**9

log = structlog.get_logger()


class JobLine:
    """What a dispatcher knows of one job. Every call raises Transient when a server is silent.

    `drives` are the records with batches that have not ended, so their number is never less
    than what is in flight in the store.
    """

    def __init__(
        self,
        job: Job,
        identity: Store,
        partitions: Sequence[str],
        *,
        runs: RunLog,
        manifests: Manifests,
        driver: Driver,
        clock: Clock,
        metrics: DispatchMetrics,
    ) -> None:
        self.job, self.drives = job, dict[int, Drive]()
        self.backlog = Backlog(partitions)
        self._identity, self._partitions = identity, tuple(partitions)
        self._runs, self._manifests, self._driver = runs, manifests, driver
        self._clock, self._metrics = clock, metrics
        self._next: int | None = None  # number of the next record; None: not attached yet
        self._begun = False  # a record has said where the job begins
        self._opening = False  # the newest record says where the job begins
        self._settled = 0
        self._version: str | None = None
        self._settled_ns = 0

    def know(self, partitions: Sequence[str]) -> None:
        """Take note of partitions that were added: a job gets all that they have ever had."""
        self._partitions = tuple(partitions)
        self.backlog.know(partitions)

    async def catch_up(self) -> None:
        """Read run records until one is missing, and begin the job where there is none."""
        await self._read_records()
        if not self._begun:
            await self._begin()
        if self._opening:
            await self._begin_above_what_was_trimmed()

    async def is_idle(self) -> bool:
        """Read everything, create nothing: are all batches in records that have ended?"""
        await self._read_records()
        for drive in self.drives.values():
            if not await self._driver.has_ended(drive):
                return False
        while self._begun and not self.backlog.batches and await self.look_ahead():
            pass
        return self._begun and self.backlog.manifests < SCAN_AHEAD and not self.backlog.batches

    async def _read_records(self) -> None:
        if self._next is None:
            await self._attach()
        while (record := await self._runs.record(self._number)) is not None:
            self._take(record)

    @property
    def _number(self) -> int:
        assert self._next is not None, "catch_up comes first"  # noqa: S101
        return self._next

    async def _attach(self) -> None:
        settled, version = await self._runs.settled()
        vector = await self._runs.vector(settled)
        if vector is None:
            settled = 0
        else:
            self._follow(vector)
        self._settled, self._version, self._next = settled, version, settled

    def _follow(self, to: dict[str, int]) -> None:
        self.backlog.move(to)
        self._begun = self._begun or bool(to)

    def _take(self, record: RunRecord) -> None:
        self._follow(record.to)
        if record.batches:
            self.drives[record.n] = Drive(record)
        self._opening = bool(record.to) and record.start == record.to  # the last one read
        self._next = record.n + 1

    async def _begin(self) -> None:
        """Create the record without batches with which a job begins."""
        place = self._manifests.end if self.job.start == NOW else self._manifests.oldest
        # from the store: where a partition was added that this process does not know yet, a
        # janitor may have been at work already
        partitions = await partitions_of(self._runs.store, self._identity, self._partitions)
        vector = {partition: await place(partition) for partition in partitions}
        if await self._create(vector, vector, ()):
            log.info("job begins", job=self.job.name, at=self.job.start, manifests=vector)
        else:
            await self.catch_up()

    async def _begin_above_what_was_trimmed(self) -> None:
        """Begin once more where retention was faster: it did not see this job when it chose."""
        vector = dict(self.backlog.vector)
        to = {p: max(n, await self._manifests.trimmed(p)) for p, n in vector.items()}
        if to == vector:
            self._opening = False  # the janitor sees the job by now
        elif not await self._create(vector, to, ()):
            await self.catch_up()

    async def look_ahead(self) -> bool:
        """Read manifests that were committed since; True if there may be more at once."""
        more = False
        for partition in self._partitions:
            more |= await self._scan(partition)
        return more

    async def _scan(self, partition: str) -> bool:
        for _ in range(SCAN_STEP):
            if self.backlog.length(partition) >= SCAN_AHEAD:
                return False
            n = self.backlog.next(partition)
            found = await self._manifests.get(partition, n)
            if found is None:
                await self._manifests.check_trimmed(partition, n, self.job.name)
                return False
            mine = [entry for entry in found.entries if entry.stream in self.job.over]
            size_bytes = sum(entry.bytes for entry in mine)
            since = min(found.written_ns, self._clock.now_ns())  # a clock may be ahead
            self.backlog.add(partition, Waiting(n, len(mine), size_bytes, since))
        return True

    async def hand_out(self, *, room: bool, quiet_manifests: int) -> bool:
        """Create the next record where its run may start now; True if one was created.

        A record without batches starts nothing; it moves the vector of a job whose streams
        are quiet, and waits for no room.
        """
        share = self.backlog.take(self.job.at_most_batches, self.job.at_most_bytes)
        if not share.batches:
            quiet = self.backlog.manifests >= quiet_manifests
            return quiet and await self._create(dict(self.backlog.vector), share.to, ())
        if not room or len(self.drives) >= self.job.in_flight or not self._waited(share):
            return False
        batches = await self._batches(share.to)
        if not await self._create(dict(self.backlog.vector), share.to, batches):
            return False
        self._metrics.records.labels(self.job.name).inc()
        return True

    def _waited(self, share: Share) -> bool:
        since = self.backlog.since_ns
        if share.full or since is None:
            return share.full
        waited_ns = self._clock.now_ns() - since
        return waited_ns >= self.job.after_ns or waited_ns < 0  # the clock went back: long ago

    async def _batches(self, to: dict[str, int]) -> tuple[RunBatch, ...]:
        batches: list[RunBatch] = []
        for partition, end in to.items():
            for n in range(self.backlog.vector[partition], end):
                found = await self._manifests.get(partition, n)
                if found is None:
                    raise LogTrimmed(
                        f"log trimmed under job {self.job.name}: manifest {n} of partition"
                        f" {partition} was read before and is gone, though no run covers it"
                    )
                mine = (entry for entry in found.entries if entry.stream in self.job.over)
                batches += [RunBatch(partition, n, entry) for entry in mine]
        return tuple(batches)

    async def _create(
        self, start: dict[str, int], to: dict[str, int], batches: tuple[RunBatch, ...]
    ) -> bool:
        record = RunRecord(
            job=self.job.name,
            n=self._number,
            flow=self.job.flow,
            store=self._identity.id,
            hub=self._identity.hub_id,
            written=self._clock.now_ns(),
            start=start,
            to=to,
            batches=batches,
            over=self.job.over,
        )
        await reached("record.before")
        created = await self._runs.create(names.run(self.job.name, record.n), record)
        await reached("record.after")
        if not created:
            return False  # somebody's, or our own whose answer was lost: catch up reads it
        self._take(record)
        return True

    async def drive(self, n: int) -> None:
        """Bring one record nearer to its end."""
        if await self._driver.step(self.drives[n]):
            del self.drives[n]

    async def settle(self) -> None:
        """Raise the number below which all records have ended, now and then: economy."""
        settled, now = min(self.drives, default=self._number), self._clock.now_ns()
        if settled <= self._settled or abs(now - self._settled_ns) < SETTLE_NS:
            return
        await reached("settled.before")
        version = await self._runs.settle(settled, self._version)
        await reached("settled.after")
        if version is None:
            self._settled, self._version = await self._runs.settled()
        else:
            self._settled, self._version, self._settled_ns = settled, version, now
