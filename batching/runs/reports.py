"""How run records stand, each with every attempt at it, as far as the store alone can tell."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from batching.model import Result, RunBatch, RunRecord
from batching.names import number
from batching.ports import BlobStore
from batching.runs.jobs import run_name
from batching.runs.records import ASKED, BEHIND_A_JOB, REFUSED, RunLog, Trail

_RECORD = re.compile(r"(\d{12})(\..*)")


class RunStatus(StrEnum):
    """How a run record stands."""

    EMPTY = "empty"  # it has no batches and starts nothing
    WAITING = "waiting"  # its newest attempt has no receipt yet
    RUNNING = "running"  # started, without result; whether it still lives the launcher knows
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # its last attempt has failed


OVERTAKEN = "overtaken"  # an attempt: another one's result counts
_NO_CAUSE = {*RunStatus, OVERTAKEN} - {RunStatus.FAILED}


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """One attempt at a record. Times: nanoseconds UTC; None where nothing says so.

    `state` is a value of RunStatus, how the launcher saw it end (`failed`, `gone`), `refused`, or
    `overtaken`. `asked`: somebody asked for it. `decided_ns` is when the attempt was decided on;
    its receipt and what ended it say the other two.
    """

    attempt: int
    name: str  # the local log and the Workflow are called so
    state: str
    decided_ns: int
    started_ns: int | None = None
    ended_ns: int | None = None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run record, what was done about it and what came of it. Times: nanoseconds UTC."""

    record: RunRecord
    status: RunStatus
    attempts: tuple[AttemptReport, ...]  # none where it has no batches
    causes: tuple[str, ...]  # why attempts were not the last, and why there is no other
    result: Result | None
    asked: bool = False  # another attempt is asked for, and not decided yet

    @property
    def job(self) -> str:
        """Name of the job."""
        return self.record.job

    @property
    def n(self) -> int:
        """Number of the record."""
        return self.record.n

    @property
    def batches(self) -> tuple[RunBatch, ...]:
        """The batches that it covers."""
        return self.record.batches

    @property
    def place(self) -> str:
        """Name it as commands do."""
        return f"{self.job}/{self.n}"

    @property
    def counts(self) -> AttemptReport | None:
        """The attempt that made the result, else the newest; None if there is none."""
        k = len(self.attempts) if self.result is None else self.result.attempt
        return next((each for each in self.attempts if each.attempt == k), None)


async def list_runs(
    store: BlobStore, store_id: str, job: str, *, start: int = 0
) -> AsyncIterator[RunReport]:
    """Read the records of a job one after another, from number `start` on.

    A record whose result or end comes while this reads may be shown as it stood before.
    """
    log = RunLog(store, store_id, job)
    asked = (await log.position()).asked
    after = f"runs/{job}/{number(start - 1)}{BEHIND_A_JOB}" if start else ""
    pending: tuple[int, list[str]] = (start, [])
    async for name in store.names(f"runs/{job}/", after):
        parts = _RECORD.fullmatch(name.rpartition("/")[2])
        if parts is None:
            continue
        n = int(parts[1])
        if n != pending[0]:
            if pending[1] and (report := await _report(log, asked, *pending)):
                yield report
            pending = (n, [])
        pending[1].append(name)
    if pending[1] and (report := await _report(log, asked, *pending)):
        yield report


async def newest_runs(store: BlobStore, store_id: str, job: str) -> AsyncIterator[RunReport]:
    """Read the records of a job from the newest back, each when it is asked for."""
    log = RunLog(store, store_id, job)
    asked = (await log.position()).asked
    for n in range(await log.end() - 1, -1, -1):
        record = await log.record(n)
        if record is not None:
            yield await _judge(log, asked, record, await log.trail(n))


async def read_run(log: RunLog, n: int) -> RunReport | None:
    """Read how record n stands; None if there is none."""
    record, asked = await log.record(n), (await log.position()).asked
    return None if record is None else await _judge(log, asked, record, await log.trail(n))


async def _report(
    log: RunLog, asked: Mapping[int, int], n: int, found: list[str]
) -> RunReport | None:
    record = await log.record(n)
    return None if record is None else await _judge(log, asked, record, await log.follow(found))


async def _judge(
    log: RunLog, asked: Mapping[int, int], record: RunRecord, trail: Trail
) -> RunReport:
    result = await log.result(record.n) if record.batches else None
    again = result is None and trail.given_up and asked.get(record.n, 0) > trail.attempt
    attempts = _attempts(log.store_id, record, trail, result) if record.batches else ()
    ends = tuple(each.state for each in attempts if each.state not in _NO_CAUSE)
    status = RunStatus.WAITING if again else _status(record, trail, result)
    return RunReport(record, status, attempts, ends, result, again)


def _status(record: RunRecord, trail: Trail, result: Result | None) -> RunStatus:
    if result is not None:
        return RunStatus.SUCCEEDED
    if not record.batches:
        return RunStatus.EMPTY
    if trail.given_up:
        return RunStatus.FAILED
    return RunStatus.RUNNING if trail.attempt in trail.receipts else RunStatus.WAITING


def _attempts(
    store_id: str, record: RunRecord, trail: Trail, result: Result | None
) -> tuple[AttemptReport, ...]:
    """Tell of each attempt, from 1 on; a result may name one that no decision is left of."""
    made = max(trail.attempt, result.attempt if result else 1)
    return tuple(_attempt(store_id, record, trail, result, k) for k in range(1, made + 1))


def _attempt(
    store_id: str, record: RunRecord, trail: Trail, result: Result | None, k: int
) -> AttemptReport:
    decision, receipt = trail.decisions.get(k), trail.receipts.get(k)
    state, ended_ns = _end(trail, result, k)
    why = None if decision is None else decision.cause
    if state is None:
        state = RunStatus.WAITING if receipt is None else RunStatus.RUNNING
    return AttemptReport(
        attempt=k,
        name=run_name(store_id, record.flow, record.job, record.n, k),
        state=str(state),
        decided_ns=record.written if decision is None else decision.written,
        started_ns=None if receipt is None else receipt.written,
        ended_ns=ended_ns,
        asked=why in (ASKED, REFUSED),
    )


def _end(trail: Trail, result: Result | None, k: int) -> tuple[str | None, int | None]:
    """Tell how and when attempt k ended: by the result, its end, or the decision for another."""
    if result is not None and result.attempt == k:
        return RunStatus.SUCCEEDED, result.written
    decision = trail.decisions.get(k)
    if decision is not None and decision.cause == REFUSED:
        return REFUSED, decision.written
    if (end := trail.ends.get(k, trail.decisions.get(k + 1))) is not None:
        return end.cause or RunStatus.FAILED, end.written
    return (None, None) if result is None else (OVERTAKEN, None)
