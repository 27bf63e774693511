"""One job's path through the log: catch up with its records, look ahead, hand out, drive.

PROTOCOL, steps G1-G4. Record n covers exactly the manifests from the vector of n-1 to its
own, and its creation decides, so any number of processes may do this on one store.
"""

from collections.abc import Sequence

from batching import names
from batching.failpoints import reached
from batching.model import RunBatch, RunRecord, Store
from batching.ports import Clock
from batching.runs.backlog import Backlog, Share
from batching.runs.driver import Drive, Driver
from batching.runs.jobs import NOW, Job
from batching.runs.lookout import Lookout
from batching.runs.manifests import Manifests
from batching.runs.metrics import DispatchMetrics
from batching.runs.pace import Pace
from batching.runs.records import RunLog
from batching.runs.schedule import Due
from batching.runs.settling import EVER, Settling
from batching.structured import structlog
from batching.view import partitions_of

LATE_NS = 60 * 10**9  # a run of a schedule that starts later is told as one

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
        self._timetable, self._pace = job.timetable(), Pace(job.starts_per_minute)
        self._lookout = Lookout(
            job, partitions, manifests=manifests, backlog=self.backlog, clock=clock
        )
        self._identity = identity
        self._runs, self._manifests, self._driver = runs, manifests, driver
        self._clock, self._metrics = clock, metrics
        self._next: int | None = None  # number of the next record; None: not attached yet
        self._begun = False  # a record has said where the job begins
        self._opening = False  # the newest record says where the job begins
        self._settling = Settling(runs, clock)

    def know(self, partitions: Sequence[str]) -> None:
        """Take note of partitions that were added: a job gets all that they have ever had."""
        self._lookout.partitions = tuple(partitions)
        self.backlog.know(partitions)

    async def catch_up(self) -> None:
        """Read run records until one is missing, and begin the job where there is none."""
        await self._read_records()
        if not self._begun:
            await self._begin()
        if self._opening:
            await self._begin_above_what_was_trimmed()
        await self._settling.look()
        await self._admit()

    async def is_idle(self) -> bool:
        """Read everything, create nothing: are all batches in records that have ended?"""
        await self._read_records()
        await self._admit(every=True)
        for drive in self.drives.values():
            if not await self._driver.has_ended(drive):
                return False
        while self._begun and not self.backlog.batches and await self.look_ahead():
            pass
        return self._begun and not self._lookout.far and not self.backlog.batches

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
        settled = await self._settling.begin()
        newest: list[RunRecord] = []
        async for record in self._runs.before(settled):
            newest.append(record)
            if not self._pace.counts(record, self._clock.now_ns()):
                break
        for record in reversed(newest):
            self._follow(record)
        if not newest:
            self._settling.doubt()
        self._next = settled if newest else 0

    def _follow(self, record: RunRecord) -> None:
        self.backlog.move(record.to)
        self._begun = self._begun or bool(record.to)
        self._pace.take(record, self._clock.now_ns())
        if self._timetable is not None:
            self._timetable.take(record)

    def _take(self, record: RunRecord) -> None:
        self._follow(record)
        if record.batches:
            self.drives[record.n] = Drive(record)
        self._opening = bool(record.to) and record.start == record.to  # the last one read
        self._next = record.n + 1

    async def _admit(self, *, every: bool = False) -> None:
        """Drive what was asked for, the oldest first, as far as there is room."""
        for n, k in self._settling.asked:
            if n in self.drives:
                self.drives[n].asked = max(k, self.drives[n].asked)
            elif every or len(self.drives) < self.job.in_flight:
                record = await self._runs.record(n)
                if record is None or not record.batches:
                    self._settling.ended(n, EVER)
                else:
                    self.drives[n] = Drive(record, asked=k)

    async def _begin(self) -> None:
        """Create the record without batches with which a job begins."""
        place = self._manifests.end if self.job.start == NOW else self._manifests.oldest
        # from the store: where a partition was added that this process does not know yet, a
        # janitor may have been at work already
        partitions = await partitions_of(self._runs.store, self._identity, self._lookout.partitions)
        vector = {partition: await place(partition) for partition in partitions}
        if await self._create(vector, vector):
            log.info("job begins", job=self.job.name, at=self.job.start, manifests=vector)
        else:
            await self.catch_up()

    async def _begin_above_what_was_trimmed(self) -> None:
        """Begin once more where retention was faster: it did not see this job when it chose."""
        vector = dict(self.backlog.vector)
        to = {p: max(n, await self._manifests.trimmed(p)) for p, n in vector.items()}
        if to == vector:
            self._opening = False  # the janitor sees the job by now
        elif not await self._create(vector, to):
            await self.catch_up()

    async def look_ahead(self) -> bool:
        """Read manifests that were committed since; True if there may be more at once."""
        return await self._lookout.read()

    async def hand_out(self, *, room: bool, quiet_manifests: int) -> bool:
        """Create the next record where its run may start now; True if one was created.

        A record without batches starts nothing; it moves the vector of a job whose streams
        are quiet, and waits for no room.
        """
        if self.backlog.batches and not (room and self._may_start()):
            return False  # before anything that grows with what waits
        if not self.backlog.batches and self.backlog.manifests < quiet_manifests:
            return False
        share = self.backlog.take(self.job.at_most_batches, self.job.at_most_bytes)
        if not share.batches:
            return await self._create(dict(self.backlog.vector), share.to)
        due = self._due(share)
        if due is None:
            return False
        batches = await self._lookout.batches(share.to)
        more = share.batches < self.backlog.batches or self._lookout.far
        if not await self._create(dict(self.backlog.vector), share.to, batches, due, more=more):
            return False
        self._metrics.records.labels(self.job.name).inc()
        self._tell(due)
        return True

    def _may_start(self) -> bool:
        now, since = self._clock.now_ns(), self.backlog.since_ns
        if self._timetable is not None and self._timetable.due(now, since) is None:
            return False
        waiting = sum(n not in self.drives for n, _ in self._settling.asked)  # these come first
        return len(self.drives) + waiting < self.job.in_flight and self._pace.free(now)

    def _due(self, share: Share) -> Due | None:
        """Tell which run may start now, as far as time decides; None if none may."""
        if self._timetable is None:
            return Due() if self._waited(share) else None
        if self._lookout.reading and not share.full:
            return None  # the moment's run is over all of it
        return self._timetable.due(self._clock.now_ns(), self.backlog.since_ns)

    def overdue_ns(self) -> int:
        """Tell for how long a run has been due and has not started, nanoseconds."""
        now, since = self._clock.now_ns(), self.backlog.since_ns
        if since is None:
            return 0
        if self._timetable is None:
            return max(0, now - since - self.job.after_ns)
        due = self._timetable.due(now, since)
        return 0 if due is None else max(0, now - due.first_ns)

    def _tell(self, due: Due) -> None:
        """Say so where a moment was missed: nobody was there, or there was no room."""
        if self._timetable is None or due.moment_ns is None:
            return
        late_ns, text = self._clock.now_ns() - due.first_ns, self._timetable.schedule.text
        facts = {"job": self.job.name, "n": self._number - 1, "moment": text(due.moment_ns)}
        if late_ns >= LATE_NS:
            since, late = text(due.first_ns), late_ns // 10**9
            log.warning("scheduled run catches up", missed_since=since, late_seconds=late, **facts)
        else:
            log.info("scheduled run", **facts)

    def _waited(self, share: Share) -> bool:
        since = self.backlog.since_ns
        if share.full or since is None:
            return share.full
        waited_ns = self._clock.now_ns() - since
        return waited_ns >= self.job.after_ns or waited_ns < 0  # the clock went back: long ago

    async def _create(
        self,
        start: dict[str, int],
        to: dict[str, int],
        batches: tuple[RunBatch, ...] = (),
        due: Due | None = None,
        *,
        more: bool = False,
    ) -> bool:
        served = None if due is None else due.moment_ns
        if due is None and self._timetable is not None:  # a record that starts nothing
            served, more = self._timetable.stand(self._clock.now_ns(), begun=self._begun)
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
            scheduled=served,
            more=more and served is not None,
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
        drive = self.drives[n]
        if await self._driver.step(drive):
            self._settling.ended(n, EVER if drive.done else drive.attempt)
            del self.drives[n]

    async def settle(self) -> None:
        """Say now and then below which record all have ended."""
        await self._settling.settle(self.drives, self._number)
