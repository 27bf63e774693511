"""Bounds what a process reads from Redis at once to make manifests of it.

A manifest in the making takes some four times what was read: the answer, the same in one piece,
and its columns. Small ones are made beside each other, large ones in turn.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

MAKING_BYTES = 4 * 2**20
PEEK_BYTES, SMALL_BYTES = 2 * 2**20, 2**18  # of one manifest: at most; and counted at least


class Making:
    """Room for manifests in the making, given in the order of asking."""

    def __init__(self, bound: int = MAKING_BYTES) -> None:
        self._bound, self._taken = bound, 0
        self._first, self._freed = asyncio.Lock(), asyncio.Event()

    @asynccontextmanager
    async def room(self, wanted: Callable[[], int]) -> AsyncIterator[int]:
        """Wait for room, and give how many bytes may be read; nothing is too large alone.

        Args:
            wanted: what there is to be read; it is asked again as others are done.

        """
        async with self._first:
            while self._taken and self._taken + _size(wanted()) > self._bound:
                self._freed.clear()
                await self._freed.wait()
            size = _size(wanted())
            self._taken += size
        try:
            yield size
        finally:
            self._taken -= size
            self._freed.set()


def _size(wanted: int) -> int:
    return min(PEEK_BYTES, max(SMALL_BYTES, wanted))
