"""One run record on its way to its result: started, watched, tried again, or given up.

PROTOCOL, step G4. Anybody may do any of this at any time, also twice: decisions, receipts,
results and the end are created once, and a run's name follows from its attempt.
"""

from dataclasses import dataclass

from batching import names
from batching.failpoints import reached
from batching.model import Attempt, Result, RunRecord, Store
from batching.ports import Clock, Launcher, RunRequest, RunState
from batching.runs.jobs import Job, run_name
from batching.runs.metrics import DispatchMetrics
from batching.runs.records import ASKED, REFUSED, RunLog, Trail
from batching.runs.retries import gone
from batching.structured import structlog

LOOK_AGAIN_NS = 30 * 10**9

log = structlog.get_logger()


@dataclass(slots=True)
class Drive:
    """A record with batches and, as far as this process knows, without an end."""

    record: RunRecord
    asked: int = 0  # the attempt that somebody asked for, if any
    known: bool = False  # what others did about it has been read
    attempt: int = 1
    ready_ns: int = 0  # when the attempt may start
    receipt: Attempt | None = None
    looked_ns: int = 0  # when its result was last looked for
    given_up: bool = False  # the attempt has failed, and no other follows unless it was asked for
    done: bool = False  # it has a result


class Driver:
    """Drives the records of one job. Every call raises Transient when a server is silent."""

    def __init__(
        self,
        job: Job,
        identity: Store,
        runs: RunLog,
        launcher: Launcher,
        clock: Clock,
        metrics: DispatchMetrics,
    ) -> None:
        self._job, self._identity, self._runs, self._launcher = job, identity, runs, launcher
        self._clock, self._metrics = clock, metrics

    async def step(self, drive: Drive) -> bool:
        """Bring a record nearer to its end; True once it has a result or has been given up."""
        if not drive.known and await self.has_ended(drive):
            return True
        if drive.given_up:
            await self._answer(drive)
            return False
        if drive.receipt is None:
            await self._start(drive)
            return False
        state = await self._launcher.state(self._name(drive))
        if state is RunState.RUNNING and not self._look_again(drive):
            return False
        return await self._end(drive, state)

    async def _end(self, drive: Drive, state: RunState) -> bool:
        result = await self._runs.result(drive.record.n)  # after the state, never before
        if result is not None:
            self._succeeded(drive, result)
            return True
        if state is RunState.SUCCEEDED:
            return await self._vouch(drive)
        return state is not RunState.RUNNING and await self._fail(drive, state)

    def _look_again(self, drive: Drive) -> bool:
        """Look for the result of a running run now and then: its result may have come before."""
        now = self._clock.now_ns()
        if abs(now - drive.looked_ns) < LOOK_AGAIN_NS:
            return False
        drive.looked_ns = now
        return True

    def _name(self, drive: Drive) -> str:
        record = drive.record
        return run_name(self._runs.store_id, record.flow, self._job.name, record.n, drive.attempt)

    async def has_ended(self, drive: Drive) -> bool:
        """Read how far a record is; True if it has a result or was given up.

        Not, where another attempt than its last is asked for.
        """
        n = drive.record.n
        if await self._runs.result(n) is not None:
            drive.done = True
            return True
        trail = await self._runs.trail(n)
        drive.attempt, drive.given_up = trail.attempt, trail.given_up
        drive.receipt = trail.receipts.get(trail.attempt)
        drive.ready_ns = self._ready_ns(trail)
        drive.known, drive.looked_ns = True, self._clock.now_ns()
        return trail.given_up and trail.attempt >= drive.asked

    def _ready_ns(self, trail: Trail) -> int:
        decision = trail.decisions.get(trail.attempt)
        if decision is None or decision.cause == ASKED:
            return 0
        wait_ns = self._job.backoff_ns(trail.attempt)  # whoever decided may have a clock ahead
        return min(decision.written, self._clock.now_ns()) + wait_ns

    async def _answer(self, drive: Drive) -> None:
        """Decide on the attempt that somebody asked for; refuse it where its batches are gone."""
        job, n, k = self._job.name, drive.record.n, drive.asked
        why = await gone(self._runs.store, self._identity, drive.record)
        drive.known = False  # somebody else may have decided otherwise
        created = await self._decide(drive, k, ASKED if why is None else REFUSED)
        if created and why is None:
            log.info("run is tried again, as was asked for", job=job, n=n, attempt=k)
        elif created:
            log.error("run cannot be tried again", job=job, n=n, attempt=k, why=why)

    async def _start(self, drive: Drive) -> None:
        now = self._clock.now_ns()  # it may have gone back since `ready_ns` was found
        drive.ready_ns = min(drive.ready_ns, now + self._job.backoff_ns(drive.attempt))
        if now < drive.ready_ns:
            return
        record, k, name = drive.record, drive.attempt, self._name(drive)
        uri = f"{self._runs.store.uri}/{names.run(record.job, record.n)}"
        covers = {p: (record.start.get(p, 0), to) for p, to in record.to.items()}
        covers = {p: span for p, span in covers.items() if span[0] < span[1]}
        request = RunRequest(
            name, record.job, record.n, k, record.flow, uri, covers, self._job.priority
        )
        await reached("start.before")
        started = await self._launcher.start(request)
        await reached("start.after")
        receipt = self._attempt(drive, k)
        await self._runs.create(names.receipt(record.job, record.n, k), receipt)
        await reached("receipt.after")
        drive.receipt = receipt
        if started:
            self._metrics.attempts.labels(record.job).inc()
            log.info(
                "run started",
                job=record.job,
                n=record.n,
                attempt=k,
                batches=len(record.batches),
                name=name,
                **self._launcher.where(name, record.flow),
            )

    async def _vouch(self, drive: Drive) -> bool:
        """Create the result of a flow that knows nothing of results and has succeeded."""
        n, k = drive.record.n, drive.attempt
        result = Result(
            job=self._job.name,
            n=n,
            attempt=k,
            by="workflow",
            outputs=names.outputs(self._job.name, n, k),
            written=self._clock.now_ns(),
        )
        await reached("vouch.before")
        created = await self._runs.create(names.result(self._job.name, n), result)
        await reached("vouch.after")
        if created:
            self._succeeded(drive, result)
            return True
        return False  # somebody else's result: the next step reads it

    async def _fail(self, drive: Drive, state: RunState) -> bool:
        """Decide on the next attempt, or give the record up after its last."""
        job, n, k = self._job.name, drive.record.n, drive.attempt
        drive.known = False  # whatever is decided now, by whomever: read it
        if k < self._job.attempts:
            if await self._decide(drive, k + 1, state.value):
                log.warning("run failed, trying again", job=job, n=n, attempt=k, cause=state.value)
            return False
        await reached("failed.before")
        created = await self._runs.create(
            names.failed(job, n, k), self._attempt(drive, k, state.value)
        )
        await reached("failed.after")
        if created:
            self._metrics.runs.labels(job, "failed").inc()
            name = self._name(drive)
            where = self._launcher.where(name, drive.record.flow)
            log.error("run failed for good", job=job, n=n, attempts=k, name=name, **where)
        return created and drive.asked <= k  # else the next step reads how it stands

    async def _decide(self, drive: Drive, k: int, cause: str) -> bool:
        """Create the decision about attempt k; False if there is one."""
        decision = self._attempt(drive, k, cause)
        await reached("attempt.before")
        created = await self._runs.create(
            names.attempt(self._job.name, drive.record.n, k), decision
        )
        await reached("attempt.after")
        return created

    def _attempt(self, drive: Drive, k: int, cause: str | None = None) -> Attempt:
        record = drive.record
        name = run_name(self._runs.store_id, record.flow, record.job, record.n, k)
        return Attempt(record.job, record.n, k, name, self._clock.now_ns(), cause)

    def _succeeded(self, drive: Drive, result: Result) -> None:
        job, started = self._job.name, drive.receipt
        drive.done = True
        self._metrics.runs.labels(job, "succeeded").inc()
        took = (result.written - started.written) / 1e9 if started else 0.0
        if result.attempt == drive.attempt:
            self._metrics.duration.labels(job).observe(max(took, 0.0))
        log.info(
            "run succeeded",
            job=job,
            n=drive.record.n,
            attempt=result.attempt,
            by=result.by,
            took_seconds=round(took, 3),
        )
