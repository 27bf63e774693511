"""What a job looks ahead at: manifests from its vector on, read into its backlog step by step."""

from collections.abc import Sequence

from batching.errors import LogTrimmed
from batching.model import RunBatch
from batching.ports import Clock
from batching.runs.backlog import Backlog, Waiting
from batching.runs.jobs import Job
from batching.runs.manifests import Manifests

SCAN_AHEAD = 10_000  # manifests of one partition that a job looks ahead
SCHEDULED_AHEAD = 100_000  # of all partitions together, where a run waits for its moment
SCAN_STEP = 200  # of them in one step


class Lookout:
    """Reads for one job. Every call raises Transient when the store is silent.

    `reading`: manifests that were committed may not have been read yet.
    """

    def __init__(
        self,
        job: Job,
        partitions: Sequence[str],
        *,
        manifests: Manifests,
        backlog: Backlog,
        clock: Clock,
    ) -> None:
        self._job, self._manifests, self._backlog = job, manifests, backlog
        self._clock, self.partitions = clock, tuple(partitions)
        self.reading = True

    async def read(self) -> bool:
        """Read manifests that were committed since; True if there may be more at once."""
        more = False
        for partition in self.partitions:
            more |= await self._scan(partition)
        self.reading = more
        return more

    @property
    def far(self) -> bool:
        """Tell whether a partition has more than is looked at."""
        return any(self._backlog.length(p) >= self._ahead for p in self.partitions)

    @property
    def _ahead(self) -> int:
        """Give how many manifests of a partition are looked at: a schedule waits for all."""
        if self._job.schedule is None:
            return SCAN_AHEAD
        return max(SCAN_AHEAD, SCHEDULED_AHEAD // len(self.partitions))

    async def _scan(self, partition: str) -> bool:
        for _ in range(SCAN_STEP):
            if self._backlog.length(partition) >= self._ahead:
                return False
            n = self._backlog.next(partition)
            found = await self._manifests.get(partition, n)
            if found is None:
                await self._manifests.check_trimmed(partition, n, self._job.name)
                return False
            mine = [entry for entry in found.entries if entry.stream in self._job.over]
            size_bytes = sum(entry.bytes for entry in mine)
            since = min(found.written_ns, self._clock.now_ns())  # a clock may be ahead
            self._backlog.add(partition, Waiting(n, len(mine), size_bytes, since))
        return True

    async def batches(self, to: dict[str, int]) -> tuple[RunBatch, ...]:
        """Read the batches from the vector to its next value.

        Raises:
            LogTrimmed: some of them are gone.

        """
        batches: list[RunBatch] = []
        for partition, end in to.items():
            for n in range(self._backlog.vector[partition], end):
                found = await self._manifests.get(partition, n)
                if found is None:
                    raise LogTrimmed(
                        f"log trimmed under job {self._job.name}: manifest {n} of partition"
                        f" {partition} was read before and is gone, though no run covers it"
                    )
                mine = (entry for entry in found.entries if entry.stream in self._job.over)
                batches += [RunBatch(partition, n, entry) for entry in mine]
        return tuple(batches)
