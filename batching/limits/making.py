"""Bounds what a process reads from Redis at once to make manifests of it.

A manifest in the making takes some four times what was read: the answer, the same in one piece,
and its columns. Small ones are made beside each other, large ones in turn. While it is written,
only its columns are left, so that others may begin.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

PEEK_BYTES, SMALL_BYTES = 5 * 2**18, 2**18  # of one manifest: at most; and counted at least
_WRITTEN = 2  # what is being written counts as this part of what was read
MAKING_BYTES = PEEK_BYTES + PEEK_BYTES // _WRITTEN  # one is laid out while another is written


class Room:
    """What one manifest may take; given back at the end, some of it before."""

    def __init__(self, size: int, give_back: Callable[[int], None]) -> None:
        self.size, self._give_back = size, give_back  # bytes that may be read

    def laid_out(self) -> None:
        """Say that what was read is columns now, and nothing else is kept of it."""
        less = self.size - self.size // _WRITTEN
        self.size -= less
        self._give_back(less)


class Making:
    """Room for manifests in the making, given in the order of asking."""

    def __init__(self, bound: int = MAKING_BYTES) -> None:
        self._bound, self._taken = bound, 0
        self._first, self._freed = asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def room(self, wanted: Callable[[], int]) -> AsyncIterator[Room]:
        """Wait for room; nothing is too large alone.

        Args:
            wanted: what there is to be read; it is asked again as others are done.

        """
        async with self._first:
            while self._taken and self._taken + _size(wanted()) > self._bound:
                self._freed.clear()
                await self._freed.wait()
            room = Room(_size(wanted()), self._give_back)
            self._taken += room.size
        try:
            yield room
        finally:
            self._give_back(room.size)

    def _give_back(self, size: int) -> None:
        self._taken -= size
        self._freed.set()


def _size(wanted: int) -> int:
    return min(PEEK_BYTES, max(SMALL_BYTES, wanted))
