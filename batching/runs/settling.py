"""A job's position: below which record all have ended, and what was asked for since.

Anybody may write it, replaced only if unchanged: dispatchers move it on and let go of what has
its answer, commands ask. It is written now and then, since too low a number costs reading alone.
What was asked for stays until that attempt has ended, for it holds the log. (PROTOCOL, G4 and K.)
"""

from collections.abc import Collection

from batching.failpoints import reached
from batching.ports import Clock
from batching.runs.records import RunLog, Standing

SETTLE_NS = 10 * 10**9
ASKED_NS = 5 * 10**9  # between looks at what was asked for
EVER = 10**9  # beyond every attempt


class Settling:
    """What one process knows of it. Every call raises StoreUnavailable when the store is silent."""

    def __init__(self, runs: RunLog, clock: Clock) -> None:
        self._runs, self._clock = runs, clock
        self._standing = Standing(0, {}, None)
        self._written_ns = self._read_ns = 0
        self._over: dict[int, int] = {}  # of records asked for: the last attempt that has ended

    async def begin(self) -> int:
        """Read it, and give the record from which on there may be work."""
        self._standing, self._read_ns = await self._runs.position(), self._clock.now_ns()
        return self._standing.settled

    def doubt(self) -> None:
        """Take note that no record supports what it says."""
        self._standing = self._standing._replace(settled=0)

    async def look(self) -> None:
        """Read now and then what was asked for since."""
        if abs(self._clock.now_ns() - self._read_ns) >= ASKED_NS:
            await self.begin()

    @property
    def asked(self) -> list[tuple[int, int]]:
        """Give records and the attempt that was asked for, where it has not ended; oldest first."""
        found = ((n, k) for n, k in self._standing.asked.items() if self._over.get(n, 0) < k)
        return sorted(found)

    def ended(self, n: int, attempt: int) -> None:
        """Take note that a record has ended with an attempt, EVER if it has a result."""
        if n in self._standing.asked:
            self._over[n] = max(attempt, self._over.get(n, 0))

    async def settle(self, open_records: Collection[int], end: int) -> None:
        """Move it on: `open_records` go on, `end` is the number of the next one."""
        standing, left, now = self._standing, dict(self.asked), self._clock.now_ns()
        going = (n for n in open_records if n not in standing.asked)
        settled = max(standing.settled, min(going, default=end))
        if (settled, left) == standing[:2] or abs(now - self._written_ns) < SETTLE_NS:
            return
        await reached("settled.before")
        version = await self._runs.move(settled, left, standing.version)
        await reached("settled.after")
        if version is None:
            await self.begin()
        else:
            self._standing, self._written_ns = Standing(settled, left, version), now
        self._over = {n: k for n, k in self._over.items() if n in self._standing.asked}
