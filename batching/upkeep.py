"""What is sealed is committed, what waits for long is parked, and the checkpoint follows.

PROTOCOL, steps D to F, for one partition: rounds of commits, and every few seconds the upkeep
that bounds what a lost Redis would make the service read again.
"""

import asyncio

from batching import names
from batching.commit import Committer
from batching.errors import Reattach
from batching.failpoints import reached
from batching.identity import check_identity
from batching.limits.making import PEEK_BYTES
from batching.model import Position, dump
from batching.parking.parker import Parker
from batching.ports import Low
from batching.retry import answered
from batching.tenure import Tenure

SETTLED_SECONDS = 0.1
LINGER_STEP_NS = 10**8
FIRST_STEP = 20  # manifests
LOOK_NS = 10 * 10**9  # between looks at what is parked
GRACE_NS = 30 * 10**9  # what is due is sealed and committed within, as a rule


class Upkeep:
    """Commits one partition's sealed buffers, parks, and moves its checkpoint."""

    def __init__(self, tenure: Tenure, committer: Committer, parker: Parker) -> None:
        self._tenure, self._committer, self._parker = tenure, committer, parker
        self._log, self._buffer, self._clock = tenure.log, tenure.buffer, tenure.clock
        self._rules, self._hooks = tenure.rules, tenure.hooks
        self._maintained_ns = self._looked_ns = 0
        self._nameless = 0  # names of open buffers without a list, as far as is known

    def attached(self) -> None:
        """Take note that all that is parked was looked at just now."""
        self._looked_ns = self._clock.steady_ns()
        self._nameless = 0

    # Commits

    async def commit_forever(self) -> None:
        """Commit what is sealed, a little later so that a bundle gathers, and move on.

        Ends once the partition is left: cut off in a call, it would not know what came of it.
        """
        while not self._tenure.leaving.is_set():
            self._hooks.sealing.clear()
            low = await self._low()
            while low.sealed:
                await self._linger(low)
                await self.commit_sealed()
                low = await self._low()
                rested_ns = self._clock.steady_ns() - self._maintained_ns
                if rested_ns >= self._rules.maintain_seconds * 1e9:
                    await self.maintain(low)  # there may always be something sealed
            await self.maintain(low)
            try:
                async with asyncio.timeout(self._rules.maintain_seconds):
                    await self._hooks.sealing.wait()
            except TimeoutError:
                continue

    async def _linger(self, low: Low) -> None:
        """Wait until the oldest seal is `linger` old, unless a bundle is full or room is short."""
        if low.first_sealed_us is None:
            return
        full = min(PEEK_BYTES, self._rules.bundle_bytes)
        age_ns = max(0, self._clock.now_ns() - low.first_sealed_us * 1_000)
        wait_ns = self._rules.linger_ns - age_ns
        while wait_ns > 0 and self._waiting() < full and not self._urged():
            step = min(wait_ns, LINGER_STEP_NS)
            await self._clock.sleep(step / 1e9)
            wait_ns -= step

    def _urged(self) -> bool:
        return self._tenure.draining or self._hooks.governor.filling

    async def commit_sealed(self, *, upto: int | None = None) -> None:
        """Commit one bundle's worth.

        Args:
            upto: touch nothing that ends beyond this number.

        Raises:
            Reattach: the view no longer holds, or something ends beyond `upto`.
            CorruptBuffer: a chunk in Redis cannot be read: wipe, and attach again.

        """
        if await self._committer.commit(self._tenure.view, waiting=self._waiting, upto=upto):
            self._hooks.committed()

    def _waiting(self) -> int:
        return self._tenure.holding.waiting().size_bytes

    async def _low(self) -> Low:
        acked = self._tenure.acked  # before the call: an append may be answered meanwhile
        asked = self._tenure.holding.asked()
        low = await answered(self._buffer.low)
        self._tenure.holding.told(asked, low)
        self._hooks.governor.moved()
        if low.w < acked:
            raise Reattach(f"Redis has events up to {low.w} only, it had {acked}")
        self._gauges(low)
        return low

    def _gauges(self, low: Low) -> None:
        tenure, metrics, partition = self._tenure, self._tenure.metrics, self._log.partition
        pieces = tenure.view.pieces
        metrics.open_sensors.labels(partition).set(len(tenure.states))
        metrics.open_bytes.labels(partition).set(tenure.holding.open().size_bytes)
        metrics.sealed_waiting.labels(partition).set(low.sealed)
        metrics.checkpoint.labels(partition).set(max(0, low.w - tenure.view.checkpoint))
        metrics.checkpoint_seconds.labels(partition).set(tenure.replay.seconds(low.lo))
        metrics.parked_events.labels(partition).set(pieces.events)
        metrics.parked_bytes.labels(partition).set(pieces.bytes)
        metrics.parked_objects.labels(partition).set(len(pieces.objects))

    # The checkpoint

    async def maintain(self, low: Low) -> None:
        """Park what is too old, and move the checkpoint to where everything before is durable.

        Raises:
            Reattach: another owner moved it.
            WrongStore: the store was deleted or replaced.

        """
        self._maintained_ns = self._clock.steady_ns()
        await answered(lambda: check_identity(self._log.root, self._log.identity))
        await self._look_after_parked()
        low = await self._shorten(low)
        await self._agree(low)
        await self._know(low.manifest)
        await self._move(low.w if low.lo is None else low.lo - 1)

    async def _move(self, checkpoint: int) -> None:
        """Replace the position, if there is something to be said."""
        view = self._tenure.view
        if checkpoint < view.checkpoint:
            return
        first = view.first_needed(checkpoint)
        if checkpoint == view.checkpoint and first < view.first + FIRST_STEP:
            return  # in silence, too, what is parked is sealed, and need not be read for ever
        name = names.position(self._log.hub, self._log.partition)
        body = dump(Position(checkpoint, first, view.lost.below(first)))
        await reached("checkpoint.before")
        version = await answered(lambda: self._log.store.replace(name, body, self._tenure.version))
        await reached("checkpoint.after")
        if version is None:
            raise Reattach("another owner moved the checkpoint")
        self._tenure.version = version
        view.move(checkpoint, first)
        if self._hooks.checkpoint is not None:
            await self._hooks.checkpoint(checkpoint)

    async def _agree(self, low: Low) -> None:
        """Read again what is open, if Redis names more or fewer buffers than are believed.

        Another owner was here, or Redis went back to before a seal: what is due is sealed only
        if it is known. A name may stand without its list, after half a script.
        """
        if low.open == self._named():
            return
        tenure = self._tenure
        async with tenure.appending:
            low = await answered(self._buffer.low)
            if low.open != self._named():
                await tenure.believe(await answered(self._buffer.opened))
                self._nameless = low.open - len(tenure.states)

    def _named(self) -> int:
        return len(self._tenure.states) + self._nameless

    async def _know(self, manifest: int) -> None:
        """Take in what Redis relies on, before the position says that it is not needed.

        Else this owner, who tells Redis what it knows, would tell a Redis that lost everything
        too little: an older store brought in later would not be noticed.
        """
        while self._tenure.view.next <= manifest:
            if not await self._committer.learn(self._tenure.view):
                raise Reattach(f"Redis relies on manifest {manifest}, which is not there")

    async def _shorten(self, low: Low) -> Low:
        """Park open buffers, and commit sealed ones, until the replay is within half its bound."""
        upto = self._tenure.replay.upto(low.w, low.lo)
        while upto is not None and low.lo is not None and low.lo <= upto:
            parked = await self._parker.park(self._tenure.view, upto)
            if not parked and low.sealed:
                await self.commit_sealed()
            before, low = low, await self._low()
            if low.lo == before.lo and not parked and not before.sealed:
                break  # it was sealed, or another owner was here, just now
        return low

    async def _look_after_parked(self) -> None:
        """Learn what others parked; open buffers that are missing for pieces past their due."""
        tenure = self._tenure
        now = self._clock.steady_ns()
        if now - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now
        while await self._committer.learn(tenure.view):
            pass
        if overdue := self._parker.overdue(tenure.view, (tenure.hub_now_ns() - GRACE_NS) // 1_000):
            async with tenure.appending:
                tenure.states.believe(await self._parker.restore(tenure.view, overdue))
        await self._parker.merge(tenure.view)

    # The end

    async def settled(self) -> None:
        """Wait until the commit task has nothing left that is sealed, without its linger."""
        self._tenure.draining = True
        try:
            while (await answered(self._buffer.low)).sealed:
                self._hooks.sealing.set()
                await self._clock.sleep(SETTLED_SECONDS)
        finally:
            self._tenure.draining = False

    async def finished(self) -> bool:
        """Tell whether all that was appended is in batches, and none reaches beyond c."""
        low, view = await answered(self._buffer.low), self._tenure.view
        gathered = low.lo is not None or low.sealed or len(view.pieces)
        return not gathered and low.w <= view.checkpoint and not view.reaches(view.checkpoint + 1)

    async def drain(self, *, upto: int | None = None) -> None:
        """Commit all that is sealed and move the checkpoint, without waiting.

        Args:
            upto: touch nothing that ends beyond this number.

        """
        self._tenure.draining = True
        low = await self._low()
        while low.sealed:
            await self.commit_sealed(upto=upto)
            low = await self._low()
        await self.maintain(low)
