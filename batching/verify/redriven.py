"""Which dead letters came back, from the objects of partition `redrive`: each of them once."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from batching.errors import CorruptObject
from batching.redrive import Places, RedriveLog
from batching.verify.report import Report


class RedriveCheck:
    """Reads the objects, and tells partitions which of their dead letters came back.

    It is read before the partitions' logs: a letter is there before it comes back.
    """

    def __init__(self, record: RedriveLog, report: Report) -> None:
        self._log, self._report = record, report
        self._back, self._followed = Places(), Places()
        self._origins, self._found = Counter[str](), Counter[str]()
        self.end = 0  # the number of the next event

    async def read(self, *, followed_from: int | None) -> None:
        """Walk the objects; each begins where the one before it ends.

        Args:
            followed_from: events of partition `redrive` from this number on are judged there;
                None: none are.

        """
        async for name in self._log.store.names(f"redrive/{self._log.identity.hub_id}/"):
            first = int(name.rpartition("/")[2].removesuffix(".json"))
            if first != self.end:
                self._report.damaged.add(
                    f"{name} does not follow: re-driven events end at {self.end}"
                )
            self.end = max(self.end, first)
            try:
                found = await self._log.begin_at(first)
            except CorruptObject as error:
                self._report.damaged.add(str(error))
                continue
            for number, letter in enumerate(found.letters if found else (), first):
                followed = followed_from is not None and number >= followed_from
                self._take(letter.partition, letter.sequence_number, followed=followed)
            self.end = first if found is None else found.end

    def _take(self, partition: str, number: int, *, followed: bool) -> None:
        if not self._back.add(partition, number):
            self._report.twice.add(f"dead letter {partition}/{number} was re-driven twice")
            return
        self._origins[partition] += 1
        if followed:
            self._followed.add(partition, number)

    def left(self, partition: str, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Take note of dead letters; tell which of them are to be found here and nowhere else."""
        back = [self._back.has(partition, n) for n in numbers.tolist()]
        followed = np.array([self._followed.has(partition, n) for n in numbers.tolist()], np.bool_)
        self._count(partition, sum(back), int(followed.sum()))
        return ~followed

    def gone(self, partition: str, first: int, last: int) -> None:
        """Take note of dead letters between two numbers that retention took."""
        back, followed = (each.count(partition, first, last) for each in self._both)
        self._count(partition, back, followed)

    @property
    def _both(self) -> tuple[Places, Places]:
        return self._back, self._followed

    def _count(self, partition: str, back: int, followed: int) -> None:
        self._found[partition] += back
        self._report.re_driven += back
        self._report.followed += followed
        self._report.events -= followed  # such an event is counted once, where it went

    def judge(self, partition: str) -> None:
        """Say what came back that was never set aside in a partition, all of which was read."""
        if more := max(0, self._origins[partition] - self._found[partition]):
            self._report.damaged.add(
                f"partition {partition}: {more} re-driven events were no dead letters there"
            )
