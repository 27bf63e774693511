"""Jobs as they lie in the store: each batch of a job's streams in one record, each record's end."""

import contextlib
from collections.abc import Mapping

from batching.errors import CorruptObject
from batching.model import Entry, EntryKind, RunBatch, RunRecord
from batching.names import Key
from batching.runs.records import RunLog
from batching.runs.reports import RunReport, RunStatus, list_runs
from batching.runs.retired import retired
from batching.verify.report import Report
from batching.view import Log

Item = tuple[str, int, Key, int]  # partition, manifest, key, first number


class JobCheck:
    """Walks one job's records in order and holds them against the partitions' logs."""

    def __init__(self, logs: Mapping[str, Log], job: str, report: Report) -> None:
        self._logs, self._job, self._report = logs, job, report
        self._store = next(iter(logs.values())).store
        self._identity = next(iter(logs.values())).identity
        self._below: dict[str, int] = {}  # manifests that retention took

    async def run(self) -> None:
        """Judge every record, then count what is in none yet."""
        latest: RunRecord | None = None
        for partition, log in self._logs.items():
            trimmed, _ = await log.trimmed()
            self._below[partition] = trimmed.below
        ended = await retired(self._store, self._job) is not None
        runs = RunLog(self._store, self._identity.id, self._job)
        async for run in list_runs(self._store, self._identity.id, self._job):
            record = await runs.record(run.n)
            if record is None or record.store != self._identity.id:
                continue
            await self._judge(record, latest)
            self._count(run, retired=ended)
            latest = record
        if ended:
            self._report.retired_jobs.append(self._job)
        elif latest is not None:
            await self._count_pending(latest)

    async def _judge(self, record: RunRecord, before: RunRecord | None) -> None:
        where = f"run {self._job}/{record.n}"
        if before is not None and any(
            record.start.get(partition, 0) != to for partition, to in before.to.items()
        ):
            self._report.damaged.add(f"{where} does not begin where the one before it ends")
        expected = await self._expected(record)
        held = [
            (b.partition, b.n, b.entry.key, b.entry.first)
            for b in record.batches
            if b.partition in self._logs and b.n >= self._below[b.partition]  # others: not judged
        ]
        self._differ(where, expected, held)

    async def _expected(self, record: RunRecord) -> list[Item]:
        found: list[Item] = []
        for partition, to in record.to.items():
            for n in range(max(record.start.get(partition, 0), self._below.get(partition, 0)), to):
                batches = await self._batches(partition, n, record.over)
                found += [(partition, n, b.entry.key, b.entry.first) for b in batches]
        return found

    def _differ(
        self,
        where: str,
        expected: list[Item],
        held: list[Item],
    ) -> None:
        for item in set(expected) - set(held):
            self._report.missing.add(f"{where} leaves out {_told(item)}")
        for item in set(held) - set(expected):
            self._report.damaged.add(f"{where} holds {_told(item)}, the log does not")
        if len(held) != len(set(held)):
            self._report.twice.add(f"{where} holds a batch twice", len(held) - len(set(held)))

    async def _batches(self, partition: str, n: int, over: tuple[str, ...]) -> list[RunBatch]:
        log = self._logs.get(partition)
        entries: tuple[Entry, ...] = ()
        with contextlib.suppress(CorruptObject):  # told by the partition's own check
            entries = () if log is None else (await log.entries(n)) or ()
        return [
            RunBatch(partition, n, entry)
            for entry in entries
            if entry.kind == EntryKind.BATCH and entry.stream in over
        ]

    def _count(self, run: RunReport, *, retired: bool) -> None:
        """Count how the run ended, if it is one; of a retired job nothing is waited for."""
        if run.status is RunStatus.EMPTY or (retired and run.status is not RunStatus.SUCCEEDED):
            return
        ended = run.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)
        self._report.runs[run.status.value if ended else "running"] += 1
        if run.status is RunStatus.FAILED:
            why = f": {run.causes[-1]}" if run.causes else ""
            self._report.failed_runs.append(f"run {run.job}/{run.n}{why}")

    async def _count_pending(self, latest: RunRecord) -> None:
        for partition, log in self._logs.items():
            n = max(latest.to.get(partition, 0), self._below[partition])
            with contextlib.suppress(CorruptObject):
                while await log.entries(n) is not None:
                    batches = await self._batches(partition, n, latest.over)
                    self._report.pending_batches += len(batches)
                    n += 1


def _told(item: Item) -> str:
    partition, n, key, first = item
    return (
        f"a batch of sensor {key.sensor} in stream {key.stream}, from number {first} on"
        f" (partition {partition}, manifest {n})"
    )
