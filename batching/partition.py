"""The owner of one partition: attach to its log and buffer, append, go on behind what is lost.

PROTOCOL, steps A and B; beside that it seals (`batching.sealing`) and commits
(`batching.upkeep`). Nothing here trusts that it is the only owner: Redis refuses an append
that does not continue the last one, and a manifest can be created only once. What this object
remembers may be wrong at any time; then it is dropped and read again (`Reattach`).
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from batching.commit import Committer
from batching.errors import BufferFull, Leaving, Reattach
from batching.failpoints import reached
from batching.horizon import Horizon
from batching.identity import check_identity
from batching.janitor import Janitor
from batching.limits.pressure import Amount
from batching.metrics import BatchingMetrics
from batching.model import Element, LostReason
from batching.names import Key
from batching.parking.parker import Parker
from batching.parking.replay import Replay
from batching.ports import AppendAnswer, Appended, Buffer, Clock, OpenBuffer
from batching.retry import answered
from batching.sealing import Sealing
from batching.states import Planned, States, by_key
from batching.structured import structlog
from batching.tenure import PAGE, Hooks, Rules, Tenure
from batching.upkeep import Upkeep
from batching.view import Log, View

ByKey = Mapping[Key, Sequence[Element]]
log = structlog.get_logger()


class Partition:
    """One owner of one partition, from attach to the next `Reattach`."""

    def __init__(
        self,
        record: Log,
        buffer: Buffer,
        clock: Clock,
        metrics: BatchingMetrics,
        *,
        rules: Rules,
        writer: str,
        hooks: Hooks,
    ) -> None:
        self._committer = Committer(
            record,
            buffer,
            clock,
            metrics,
            formats=rules.formats,
            writer=writer,
            compression=rules.compression,
            making=hooks.governor.making,
        )
        self._tenure = tenure = Tenure(record, buffer, clock, metrics, rules=rules, hooks=hooks)
        self._parker = Parker(tenure, self._committer)
        self._sealing = Sealing(tenure)
        self.upkeep = Upkeep(tenure, self._committer, self._parker)
        self.janitor = Janitor(record, clock, metrics, rules.retention)
        self._log, self._buffer = record, buffer
        self._states, self._holding, self._governor = tenure.states, tenure.holding, hooks.governor

    @property
    def acked(self) -> int:
        """The number up to which Redis has everything."""
        return self._tenure.acked

    @property
    def view(self) -> View:
        """What this owner knows of the log."""
        return self._tenure.view

    @property
    def states(self) -> States:
        """What this owner believes of the open buffers."""
        return self._states

    # Attach and leave

    async def attach(self) -> int:
        """Read the log, reconcile Redis with it; give the number after which to receive.

        Raises:
            WrongStore: the store was deleted or replaced.

        """
        tenure = self._tenure
        await reached("attach.before")
        await answered(lambda: check_identity(self._log.root, self._log.identity))
        # Before the log is read: what was acknowledged by then, that log must hold.
        acknowledged = await answered(self._buffer.acknowledged)
        await reached("attach.acknowledged")
        tenure.view, tenure.version = await self._log.read()
        await reached("attach.log")
        if self.view.next <= acknowledged:
            log.error("the store is older than Redis", acknowledged=acknowledged)
            await self.wipe()
        w = (await answered(self._buffer.low)).w  # before the buffers are read
        found = await self._without_durable()
        opened = {buffer.key for buffer in found} if len(self.view.pieces) else set()
        missing = [key for key in self.view.pieces.keys() if key not in opened]  # noqa: SIM118
        shells = await self._parker.restore(self.view, missing)
        known = self.view.checkpoint, self.view.next - 1
        tenure.acked = await answered(partial(self._buffer.attach, *known))
        await reached("attach.raised")
        await tenure.believe(found)
        self._states.believe(shells)
        moved = self.acked != max(w, self.view.checkpoint)
        if moved or len(shells) < len(missing):  # another owner was here, or an answer was lost
            await self._read_states()
        tenure.horizon, tenure.replay = Horizon(), Replay(tenure.rules.replay_bound)
        if (oldest := await self._parker.oldest()) is not None:
            tenure.replay.appended(*oldest)
        self.upkeep.attached()
        tenure.hooks.sealing.set()
        self._governor.join(self._holding)
        await reached("attach.after")
        log.info("attached", manifest=self.view.next, w=self.acked, open=len(self._states))
        return self.acked

    async def wipe(self) -> None:
        """Drop the partition's keys; the events are read again from the checkpoint."""
        self._tenure.metrics.wiped.inc()
        await reached("wipe.before")
        await answered(self._buffer.wipe)
        await reached("wipe.after")

    async def _without_durable(self) -> list[OpenBuffer]:
        """Give the open buffers, but for those that came back and hold only durable events."""
        kept = []
        for at, found in enumerate(await answered(self._buffer.opened)):
            if at % PAGE == 0:
                await asyncio.sleep(0)  # there may be a million
            mark = self.view.mark(found.key)
            if found.last > mark or self.view.pieces.has(found.key):
                kept.append(found)
                continue
            await reached("forget.before")
            await answered(partial(self._buffer.forget, found.key, mark, self.view.next - 1))
            await reached("forget.after")
        return kept

    async def _read_states(self) -> None:
        await self._tenure.believe(await answered(self._buffer.opened))

    def leave(self) -> None:
        """Let who waits for room give up, and let `commit_forever` end with what is sealed."""
        self._tenure.leaving.set()
        self._tenure.draining = True
        self._tenure.hooks.sealing.set()
        self._governor.moved()

    def left(self) -> None:
        """Count what is here no longer: somebody else owns it, or nobody."""
        self._governor.leave(self._holding)

    # Append

    async def append(self, elements: Sequence[Element], upto: int, enqueued_ns: int) -> None:
        """Add the elements of all events in (acked, upto] to the open buffers, once they fit.

        Args:
            elements: of all events after `acked`, in order of their numbers.
            upto: the last event's number, also if it has no element.
            enqueued_ns: its enqueued time.

        Raises:
            Reattach: Redis lost something.
            Leaving: the partition is being left, and there was no room; nothing was appended.

        """
        size = sum([len(element.body) for element in elements])
        brought = by_key(elements)
        wanted = partial(self._wanted, size, set(brought))
        while True:
            async with self._governor.room(wanted, self._tenure.leaving):
                with suppress(BufferFull):
                    await self._append(elements, brought, upto, enqueued_ns)
                    return
            if self._tenure.leaving.is_set():
                raise Leaving
            await self._governor.full()
            if not self._governor.held().batches:  # nothing can make room: the call itself is large
                for part, last, at_ns in halves(elements, upto, enqueued_ns):
                    await self.append(part, last, at_ns)

    def _wanted(self, size: int, keys: set[Key]) -> Amount:
        return Amount(size, self._holding.opened_by(keys))

    async def _append(
        self, elements: Sequence[Element], brought: ByKey, upto: int, enqueued_ns: int
    ) -> None:
        tenure = self._tenure
        async with tenure.appending:
            if upto <= self.acked:
                return
            while self.acked < upto:  # BEHIND may stop in the midst of what we have to append
                await self._append_once(brought, upto)
            tenure.horizon.appended(enqueued_ns, tenure.clock.now_ns())
            if elements:
                tenure.replay.appended(elements[0].sequence_number, elements[0].enqueued_ns)
            tenure.replay.appended(upto, enqueued_ns)

    async def _append_once(self, brought: ByKey, upto: int) -> None:
        """Append what is above `acked`, or learn that somebody else went on."""
        acked, view = self.acked, self.view
        planned = self._states.plan(view.fresh(brought, acked))
        await reached("append.before")
        answer = await answered(
            lambda: self._buffer.append(acked, upto, planned.groups, view.next - 1),
            unless=(BufferFull,),
        )
        await reached("append.after")
        if await self._taken(answer):
            self._keep(planned, answer.resynced)

    async def _taken(self, answer: AppendAnswer) -> bool:
        """Follow Redis to where it is; tell whether it took the append.

        Raises:
            Reattach: it lost something.

        """
        if answer.outcome is Appended.GAP:
            raise Reattach(f"Redis has events up to {answer.w} only, it had {self.acked}")
        self._tenure.acked = answer.w
        if answer.outcome is Appended.BEHIND:  # another owner, or our own lost answer
            await self._read_states()
            return False
        return True

    async def lose(self, last: int, reason: LostReason) -> bool:
        """Go on behind numbers that the hub no longer has: all after `acked`, up to `last`.

        The log says so first. Only then w moves, and only from where it was then, so that what
        Redis loses meanwhile is not passed over in silence. Not beside a commit: call it between
        `attach` and the tasks.

        Args:
            last: the highest number that is not there to be read.
            reason: why it is not.

        Returns:
            Whether the log did not say so before.

        Raises:
            Reattach: Redis lost something, or the view no longer holds.

        """
        await reached("lost.before")
        declared = await self._committer.declare_lost(self.view, self.acked + 1, last, reason)
        await reached("lost.manifest")
        known = self.view.next - 1
        answer = await answered(lambda: self._buffer.append(self.acked, last, (), known))
        await reached("lost.after")
        await self._taken(answer)
        return declared

    def _keep(self, planned: Planned, resynced: Sequence[Key]) -> None:
        before = self._holding.believed()
        self._states.keep(planned, resynced)
        self._holding.sealed(before, planned.sealed + len(resynced), planned.brought)
        self._tenure.metrics.resynced.inc(len(resynced))
        self._sealing.late(self._tenure.hub_now_ns(), planned.late)
        if planned.sealed or resynced:
            self._tenure.hooks.sealing.set()

    # What goes on beside it

    async def sweep_forever(self) -> None:
        """Seal what is due by age."""
        await self._sealing.sweep_forever()

    async def seal_pressed_forever(self) -> None:
        """Seal what the governor chose."""
        await self._sealing.seal_pressed_forever()

    async def seal_all(self) -> int:
        """Seal every open buffer; give how many there were."""
        return await self._sealing.seal_all()

    async def commit_forever(self) -> None:
        """Commit what is sealed and move the checkpoint, until the partition is left."""
        await self.upkeep.commit_forever()

    async def settled(self) -> None:
        """Wait until `commit_forever` has nothing left that is sealed."""
        await self.upkeep.settled()

    async def drain(self, *, upto: int | None = None) -> None:
        """Commit all that is sealed, but nothing that ends beyond `upto`; move the checkpoint."""
        await self.upkeep.drain(upto=upto)

    async def finished(self) -> bool:
        """Tell whether all that was appended is in batches, and the checkpoint at the end."""
        return await self.upkeep.finished()


def halves(
    elements: Sequence[Element], upto: int, enqueued_ns: int
) -> list[tuple[Sequence[Element], int, int]]:
    """Cut an append in two, between events; nothing if it has one event only."""
    numbers = [element.sequence_number for element in elements]
    middle = bisect_left(numbers, numbers[len(numbers) // 2]) if numbers else 0
    if middle == 0:
        middle = bisect_right(numbers, numbers[0]) if numbers else 0
    if not 0 < middle < len(numbers):
        return []
    last = elements[middle - 1]
    first = (elements[:middle], last.sequence_number, last.enqueued_ns)
    return [first, (elements[middle:], upto, enqueued_ns)]
