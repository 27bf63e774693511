"""Hands the batches of committed manifests to runs, job by job, and sees each run to its end."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from batching import names
from batching.errors import (
    BatchError,
    LauncherBusy,
    LauncherRefused,
    SettingError,
    Transient,
    WrongStore,
)
from batching.model import Store
from batching.ports import BlobStore, Clock, Launcher
from batching.runs.driver import Driver
from batching.runs.job_line import JobLine
from batching.runs.jobs import Job
from batching.runs.manifests import Manifests
from batching.runs.metrics import DispatchMetrics
from batching.runs.records import RunLog
from batching.structured import structlog

QUIET_MANIFESTS = 1_000  # so many without a batch of a job get a record of their own
POLL_SECONDS = 1.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 10.0
STUCK_NS = 60 * 10**9  # a job that needs an operator is tried again so often
LARGEST_NUMBER = 10**12 - 1

log = structlog.get_logger()


def check_uris(store: BlobStore, jobs: Sequence[Job]) -> None:
    """Make sure that each run record has a URI that a flow's parameter can carry.

    Raises:
        SettingError: it has other characters or is too long.

    """
    for job in jobs:
        uri = f"{store.uri}/{names.run(job.name, LARGEST_NUMBER)}"
        if names.URI.fullmatch(uri) is None:
            raise SettingError(
                f"blobs: a run of job {job.name} would read {uri}, but a flow's parameter carries"
                " only A-Z a-z 0-9 . _ / : = @ + - and 512 of them at most: choose a shorter"
                " place, or one whose name has no spaces and no other characters"
            )


class Dispatcher:
    """Dispatches all jobs of one store.

    Args:
        store: the scoped store, whose names lie under the store's id.
        identity: the content of `headrace.json`.
        partitions: all partitions of the hub, whoever owns them.
        jobs: what is to run.
        launchers: what starts the runs of each job.
        quiet_manifests: so many without a batch of a job move its vector by an empty record.

    Raises:
        SettingError: two jobs have one name, or a run record's URI cannot be a parameter.

    """

    def __init__(
        self,
        store: BlobStore,
        identity: Store,
        partitions: Sequence[str],
        jobs: Sequence[Job],
        launchers: Mapping[str, Launcher],
        *,
        clock: Clock,
        metrics: DispatchMetrics,
        poll_seconds: float = POLL_SECONDS,
        quiet_manifests: int = QUIET_MANIFESTS,
    ) -> None:
        check_uris(store, jobs)
        if len({job.name for job in jobs}) < len(jobs):
            raise SettingError("jobs: each needs a name of its own")
        self._store, self._identity, self._jobs = store, identity, tuple(jobs)
        self._partitions, self._launchers = tuple(partitions), dict(launchers)
        self._clock, self._metrics = clock, metrics
        self._poll_seconds = poll_seconds
        self._quiet_manifests = quiet_manifests
        self._manifests, self._lines = self._read_anew()
        self._problems: dict[tuple[str, str], tuple[str, int]] = {}  # what is wrong, since when
        self._turn = 0
        self._kick = asyncio.Event()
        for job in jobs:
            metrics.begin(job.name)

    def _read_anew(self) -> tuple[Manifests, list[JobLine]]:
        streams = {stream for job in self._jobs for stream in job.over}
        manifests = Manifests(self._store, self._identity, streams, self._clock)
        return manifests, [self._line(job, manifests) for job in self._jobs]

    def _line(self, job: Job, manifests: Manifests) -> JobLine:
        runs = RunLog(self._store, self._identity.id, job.name)
        return JobLine(
            job,
            self._identity,
            self._partitions,
            runs=runs,
            manifests=manifests,
            driver=Driver(
                job, self._identity, runs, self._launchers[job.name], self._clock, self._metrics
            ),
            clock=self._clock,
            metrics=self._metrics,
        )

    @property
    def problems(self) -> dict[str, str]:
        """Tell which jobs cannot go on without an operator, and why."""
        return {job: why for (job, _), (why, _) in self._problems.items()}

    def know(self, partitions: Sequence[str]) -> None:
        """Take note of all partitions of the hub, after some were added."""
        self._partitions = tuple(partitions)
        for line in self._lines:
            line.know(partitions)

    def kick(self) -> None:
        """Say that a manifest was committed, so that `run` looks at once."""
        self._kick.set()

    async def run(self, stop: asyncio.Event, active: Callable[[], bool] = lambda: True) -> None:
        """Dispatch until `stop`; while not `active`, leave it to another process (economy).

        Servers that do not answer are asked again, at most ten seconds later.

        Raises:
            WrongStore: the store was replaced.

        """
        wait = FIRST_WAIT_SECONDS
        while not stop.is_set():
            self._kick.clear()
            try:
                again = active() and await self.step(stop.is_set)
            except Transient as error:
                log.warning("dispatch interrupted, trying again", why=str(error))
                await self._pause(stop, wait, kicked=False)
                wait = min(2 * wait, LONGEST_WAIT_SECONDS)
                continue
            wait = FIRST_WAIT_SECONDS
            if not again:
                await self._pause(stop, self._poll_seconds, kicked=True)

    async def _pause(self, stop: asyncio.Event, seconds: float, *, kicked: bool) -> None:
        events = [stop, self._kick] if kicked else [stop]
        tasks = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def step(self, halt: Callable[[], bool] = lambda: False) -> bool:
        """Do for each job what can be done now; True if there may be more to do at once.

        Raises:
            Transient: a server did not answer, for one job or more; the others were served.
            WrongStore: the store was replaced.

        """
        self._manifests.refresh()
        self._turn += 1
        lines = self._in_turn()
        silent: list[Transient] = []
        seen = [line for line in lines if await self._act(self._see_runs, line, halt, silent)]
        again = [await self._act(self._hand_out, line, halt, silent) for line in seen]
        self._show()
        if silent:
            raise silent[0]
        return any(again)

    def _in_turn(self) -> list[JobLine]:
        """Order the jobs as they get room: by priority, and by turns where that is the same."""
        ordered: list[JobLine] = []
        for priority in sorted({job.priority for job in self._jobs}, reverse=True):
            same = [line for line in self._lines if line.job.priority == priority]
            first = self._turn % len(same)
            ordered += [*same[first:], *same[:first]]
        return ordered

    def _resting(self, key: tuple[str, str]) -> bool:
        problem = self._problems.get(key)
        return problem is not None and abs(self._clock.now_ns() - problem[1]) < STUCK_NS

    async def _act(
        self,
        act: Callable[[JobLine], Awaitable[bool]],
        line: JobLine,
        halt: Callable[[], bool],
        silent: list[Transient],
    ) -> bool:
        """Do one thing for one job, and keep its trouble from the others."""
        job = line.job.name
        key = job, act.__name__
        if halt() or self._resting(key):
            return False
        try:
            done = await act(line)
        except Transient as error:
            silent.append(error)
        except WrongStore:
            raise
        except BatchError as error:
            log.error("job is stuck, an operator must look", job=job, why=str(error))
            self._problems[key] = (str(error), self._clock.now_ns())
        else:
            self._problems.pop(key, None)
            return done
        return False

    async def _see_runs(self, line: JobLine) -> bool:
        """Drive every record that is under way, so that ended ones make room."""
        await line.catch_up()
        troubles = [error for n in sorted(line.drives) if (error := await self._drive(line, n))]
        await line.settle()
        if troubles:  # what only an operator can help counts more than what may pass
            raise next((e for e in troubles if not isinstance(e, Transient)), troubles[0])
        return True

    async def _drive(self, line: JobLine, n: int) -> Transient | LauncherRefused | None:
        """Drive one record; trouble with it is no reason to leave the next one alone."""
        try:
            await line.drive(n)
        except LauncherBusy as error:
            log.debug("no run can start now", job=line.job.name, n=n, why=str(error))
        except (Transient, LauncherRefused) as error:
            return error
        return None

    async def _hand_out(self, line: JobLine) -> bool:
        """Look for new batches and give them a run; True if there may be more to do at once."""
        more = await line.look_ahead()
        before = set(line.drives)
        created = await line.hand_out(room=self._room(line), quiet_manifests=self._quiet_manifests)
        for n in line.drives.keys() - before:
            if error := await self._drive(line, n):
                raise error
        return created or more

    def _room(self, line: JobLine) -> bool:
        """Tell whether the job's launcher takes another run, of whatever job."""
        launcher = self._launchers[line.job.name]
        same = (each for each in self._lines if self._launchers[each.job.name] is launcher)
        return launcher.slots is None or sum(len(each.drives) for each in same) < launcher.slots

    def _show(self) -> None:
        now, metrics = self._clock.now_ns(), self._metrics
        for line in self._lines:
            job, since = line.job.name, line.backlog.since_ns
            metrics.in_flight.labels(job).set(len(line.drives))
            metrics.backlog.labels(job).set(line.backlog.batches)
            metrics.backlog_bytes.labels(job).set(line.backlog.size_bytes)
            metrics.overdue.labels(job).set(line.overdue_ns() / 1e9)
            metrics.backlog_age.labels(job).set(0 if since is None else max(0, now - since) / 1e9)
            metrics.stuck.labels(job).set(job in self.problems)

    async def idle(self) -> bool:
        """Tell whether every batch that lies in the store now is in a run that has ended.

        Reads the store anew and starts nothing, but begins a job that has no record yet.

        Raises:
            Transient: a server did not answer.

        """
        _, lines = self._read_anew()
        for line in lines:
            if not await line.is_idle():
                return False
        return True
