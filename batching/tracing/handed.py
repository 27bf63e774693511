"""Which run of each job covers a manifest, found by bisection: vectors of records only rise."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from batching.model import Entry, RunRecord
from batching.ports import BlobStore
from batching.runs.records import RunLog
from batching.runs.reports import RunReport, read_run
from batching.runs.retired import retired
from batching.tracing.bisection import first


class Standing(StrEnum):
    """How a job stands to a batch."""

    RUN = "run"
    WAITS = "waits"  # no record reaches there yet
    BEGAN_LATER = "the job began behind it"
    OTHER_STREAMS = "the job is not over this stream"
    RETIRED = "the job was retired before it was handed over"
    LEFT_OUT = "its run does not hold it: headrace verify says more"


@dataclass(frozen=True, slots=True)
class Handed:
    """How a batch stands to one job; `run` is the one that holds it."""

    job: str
    standing: Standing
    run: RunReport | None = None


class Handing:
    """Looks for the runs of batches; records of one job are read once."""

    def __init__(self, store: BlobStore, store_id: str, jobs: Sequence[str]) -> None:
        self._store, self._jobs = store, jobs
        self._logs = {job: RunLog(store, store_id, job) for job in jobs}
        self._ends: dict[str, int] = {}
        self._records: dict[tuple[str, int], RunRecord | None] = {}
        self._covering: dict[tuple[str, str, int], int] = {}
        self._reports: dict[tuple[str, int], RunReport | None] = {}

    async def of(self, partition: str, n: int, entry: Entry) -> list[Handed]:
        """Tell how a batch of manifest n stands to each job."""
        return [await self._of(job, partition, n, entry) for job in self._jobs]

    async def _of(self, job: str, partition: str, n: int, entry: Entry) -> Handed:
        found = await self._covering_record(job, partition, n)
        if found == self._ends[job]:
            if _elsewhere(await self._record(job, found - 1), entry):
                return Handed(job, Standing.OTHER_STREAMS)
            ended = await retired(self._store, job) is not None
            return Handed(job, Standing.RETIRED if ended else Standing.WAITS)
        report = await self._report(job, found)
        batches = () if report is None else report.batches
        if any((b.partition, b.n) == (partition, n) and _same(b.entry, entry) for b in batches):
            return Handed(job, Standing.RUN, report)
        if _elsewhere(await self._record(job, found), entry):
            return Handed(job, Standing.OTHER_STREAMS)
        return Handed(job, Standing.LEFT_OUT if batches else Standing.BEGAN_LATER)

    async def _covering_record(self, job: str, partition: str, n: int) -> int:
        """Find the first record whose vector passes manifest n; the number of the next, if none."""
        key = job, partition, n
        if key not in self._covering:
            if job not in self._ends:
                self._ends[job] = await self._logs[job].end()

            async def passes(number: int) -> bool:
                return await self._passed(job, number, partition) > n

            self._covering[key] = await first(0, self._ends[job], passes)
        return self._covering[key]

    async def _passed(self, job: str, number: int, partition: str) -> int:
        """Give the manifest to which records up to this one reach."""
        for k in range(number, -1, -1):
            record = await self._record(job, k)
            if record is not None and record.to:
                return record.to.get(partition, 0)
        return 0

    async def _record(self, job: str, number: int) -> RunRecord | None:
        if (job, number) not in self._records:
            self._records[job, number] = await self._logs[job].record(number)
        return self._records[job, number]

    async def _report(self, job: str, number: int) -> RunReport | None:
        if (job, number) not in self._reports:
            self._reports[job, number] = await read_run(self._logs[job], number)
        return self._reports[job, number]


def _elsewhere(record: RunRecord | None, entry: Entry) -> bool:
    """Tell whether a record says that its job is not over the batch's stream."""
    return record is not None and bool(record.over) and entry.stream not in record.over


def _same(one: Entry, other: Entry) -> bool:
    return (one.key, one.first) == (other.key, other.first)
