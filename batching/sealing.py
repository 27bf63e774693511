"""Open buffers are sealed: when they are due by age, when too much is held, or all at a drain.

PROTOCOL, step C. What an event fills is sealed by the append itself (`batching.states`). Age is
judged by the hub's clock, and only up to where the partition is known to be complete.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from batching.failpoints import reached
from batching.model import SealReason
from batching.names import Key
from batching.retry import answered
from batching.structured import structlog
from batching.tenure import Tenure

SWEEP_LIMIT = 500
ASK_SECONDS = 0.25
ANSWER_SECONDS = 5.0
log = structlog.get_logger()


class Sealing:
    """Seals one partition's open buffers, and believes so."""

    def __init__(self, tenure: Tenure) -> None:
        self._tenure = tenure
        self._buffer, self._clock, self._hooks = tenure.buffer, tenure.clock, tenure.hooks
        self._states, self._holding = tenure.states, tenure.holding

    async def sweep_forever(self) -> None:
        """Seal what is due by age, on time; ask the hub when silence leaves it open."""
        while True:
            due = self._states.next_due_ns()
            now = self._tenure.hub_now_ns()
            if due is None or now < due:
                wait = ASK_SECONDS if due is None else min(ASK_SECONDS, (due - now) / 1e9)
                await self._clock.sleep(wait)
            elif self._tenure.horizon.at(now) >= due or await self._ask_hub(due):
                await self._sweep()
            else:
                await self._clock.sleep(ASK_SECONDS)

    async def _ask_hub(self, due_ns: int) -> bool:
        """Learn whether everything enqueued by now has been appended."""
        tenure = self._tenure
        asked = tenure.hub_now_ns()
        tenure.horizon.asked(asked)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                last = await self._hooks.last_enqueued()
        except Exception as error:  # noqa: BLE001 the horizon counts how long the hub is silent
            log.debug("the hub does not say its last number", why=str(error))
        else:
            tenure.horizon.answered(asked, last, tenure.acked)
        return tenure.horizon.at(tenure.hub_now_ns()) >= due_ns

    async def _sweep(self) -> None:
        async with self._tenure.appending:
            now = self._tenure.hub_now_ns()
            due = self._states.take_due(self._tenure.horizon.at(now), SWEEP_LIMIT)
            keys = [key for key, _ in due]
            await reached("seal.before")
            await answered(partial(self._buffer.seal_keys, SealReason.MAX_AGE, keys))
            await reached("seal.after")
            self._dropped(keys)
        self.late(now, (due_ns for _, due_ns in due))

    def late(self, now_ns: int, due_ns: Iterable[int]) -> None:
        """Tell how long after their due times buffers were sealed, if the partition is caught up.

        Args:
            now_ns: the hub's time of the seal.
            due_ns: the due times.

        """
        if self._tenure.horizon.live(now_ns):
            for each in due_ns:
                self._tenure.metrics.lateness.observe(max(0, now_ns - each) / 1e9)

    def _dropped(self, keys: Sequence[Key]) -> None:
        before = self._holding.believed()
        self._states.drop(keys)
        self._holding.sealed(before, before.batches - len(self._states))
        if keys:
            self._hooks.sealing.set()

    async def seal_pressed_forever(self) -> None:
        """Seal what the governor chose, because the process holds too much."""
        while True:
            keys = await self._holding.pressed(SWEEP_LIMIT)
            async with self._tenure.appending:
                await reached("pressure.before")
                await answered(partial(self._buffer.seal_keys, SealReason.PRESSURE, keys))
                await reached("pressure.after")
                self._dropped(keys)

    async def seal_all(self) -> int:
        """Seal every open buffer, as `drain`; give how many there were."""
        total = 0
        await reached("drain.before")
        while True:
            async with self._tenure.appending:
                keys = await answered(lambda: self._buffer.seal_open(SealReason.DRAIN, SWEEP_LIMIT))
                await reached("drain.after")
                self._dropped(keys)
            total += len(keys)
            if not keys:
                return total
