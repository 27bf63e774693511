"""Manifests that a job has not been handed yet, and how many of them its next run takes."""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """What one manifest holds for a job; `since_ns` is when it was written, or seen if earlier."""

    n: int
    batches: int
    size_bytes: int
    since_ns: int


class Backlog:
    """Per partition, the manifests from the job's vector on, as far as they were read."""

    def __init__(self, partitions: Sequence[str]) -> None:
        self.vector = dict.fromkeys(partitions, 0)
        self._lines: dict[str, deque[Waiting]] = {p: deque() for p in partitions}
        self.batches = self.size_bytes = 0

    def know(self, partitions: Sequence[str]) -> None:
        """Begin with manifest 0 of partitions that no record names yet."""
        for partition in partitions:
            self.vector.setdefault(partition, 0)
            self._lines.setdefault(partition, deque())

    def move(self, to: Mapping[str, int]) -> None:
        """Follow a run record: manifests below `to` have been handed out."""
        for partition, n in to.items():
            self.vector[partition] = n
            line = self._lines.setdefault(partition, deque())
            while line and line[0].n < n:
                gone = line.popleft()
                self.batches -= gone.batches
                self.size_bytes -= gone.size_bytes

    def next(self, partition: str) -> int:
        """Give the manifest to be read next."""
        line = self._lines[partition]
        return line[-1].n + 1 if line else self.vector[partition]

    def add(self, partition: str, waiting: Waiting) -> None:
        """Take in manifest `next(partition)`."""
        self._lines[partition].append(waiting)
        self.batches += waiting.batches
        self.size_bytes += waiting.size_bytes

    def length(self, partition: str) -> int:
        """Count the manifests of a partition that wait."""
        return len(self._lines[partition])

    @property
    def manifests(self) -> int:
        """Count the manifests that wait."""
        return sum(map(len, self._lines.values()))

    @property
    def since_ns(self) -> int | None:
        """Since when the oldest batch waits, nanoseconds UTC; None if none does."""
        lines = (next((w for w in line if w.batches), None) for line in self._lines.values())
        return min((first.since_ns for first in lines if first is not None), default=None)

    def take(self, at_most_batches: int, at_most_bytes: int) -> "Share":
        """Choose what the next run covers: whole manifests, oldest first over all partitions.

        The one with which a limit is reached is the last with batches, so that a run is over
        a limit by at most one manifest; those without batches behind it come along.
        """
        to, batches, size_bytes, full = dict(self.vector), 0, 0, False
        lines = (_in_order(partition, line) for partition, line in self._lines.items())
        for _, partition, waiting in heapq.merge(*lines):
            if full and waiting.batches:
                break
            to[partition] = waiting.n + 1
            batches += waiting.batches
            size_bytes += waiting.size_bytes
            full = batches >= at_most_batches or size_bytes >= at_most_bytes
        return Share(to, batches, size_bytes, full=full)


def _in_order(partition: str, line: deque[Waiting]) -> Iterator[tuple[int, str, Waiting]]:
    """Give times that never fall within a partition, whatever the writers' clocks said."""
    latest = 0
    for waiting in line:
        latest = max(latest, waiting.since_ns)
        yield latest, partition, waiting


class Share(NamedTuple):
    """Where the next run's manifests end, and what they hold; `full`: waiting adds nothing."""

    to: dict[str, int]
    batches: int = 0
    size_bytes: int = 0
    full: bool = False
