"""Which sequence numbers of a partition are accounted for, in memory bounded by disorder.

Numbers are kept as bits in blocks; a block whose numbers have all come is only remembered as
full. Batches come nearly in order, so few blocks are open at a time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 65_536


class Coverage:
    """Numbers seen in [start, ...)."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.highest = start - 1
        self._open: dict[int, NDArray[np.bool_]] = {}
        self._full: set[int] = set()
        self._full_below = 0

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Take note of numbers, shape (n,), in any order, repeated or not."""
        inside = numbers[numbers >= self.start] - self.start
        if not len(inside):
            return
        self.highest = max(self.highest, int(inside.max()) + self.start)
        blocks = inside // BLOCK
        for block in np.unique(blocks):
            self._add_block(int(block), inside[blocks == block] % BLOCK)

    def _add_block(self, block: int, places: Any) -> None:
        if block < self._full_below or block in self._full:
            return
        bits = self._open.setdefault(block, np.zeros(BLOCK, np.bool_))
        bits[places] = True
        if bits.all():
            del self._open[block]
            self._full.add(block)
            while self._full_below in self._full:
                self._full.discard(self._full_below)
                self._full_below += 1

    def missing(self, upto: int) -> Iterator[tuple[int, int]]:
        """Give the gaps in [start, upto] as [first, last] pairs, in order."""
        open_gap: tuple[int, int] | None = None
        for first, last in self._missing_by_block(upto):
            if open_gap is not None and open_gap[1] + 1 == first:  # it goes on in the next block
                open_gap = open_gap[0], last
                continue
            if open_gap is not None:
                yield open_gap
            open_gap = first, last
        if open_gap is not None:
            yield open_gap

    def _missing_by_block(self, upto: int) -> Iterator[tuple[int, int]]:
        end = upto - self.start + 1
        for block in range(self._full_below, -(-end // BLOCK)):
            if block in self._full:
                continue
            width = min(BLOCK, end - block * BLOCK)
            bits = self._open.get(block)
            seen = np.zeros(width, np.bool_) if bits is None else bits[:width]
            for first, last in _runs(~seen):
                base = self.start + block * BLOCK
                yield base + first, base + last

    def count(self, beyond: int | None = None) -> int:
        """Count the numbers seen, all or those above `beyond`."""
        begin = 0 if beyond is None else max(0, beyond + 1 - self.start)
        total = max(0, self._full_below * BLOCK - begin)
        for block in self._full:
            total += BLOCK - min(BLOCK, max(0, begin - block * BLOCK))
        for block, bits in self._open.items():
            total += int(bits[min(BLOCK, max(0, begin - block * BLOCK)) :].sum())
        return total


def _runs(wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Give the runs of True as [first, last] pairs."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]])))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        yield int(first), int(after) - 1
