"""The owner of one partition: attach, append, seal what is due, commit, move the checkpoint.

PROTOCOL, steps A to F. Nothing here trusts that it is the only owner: Redis refuses an append
that does not continue the last one, and a manifest can be created only once. What this object
remembers may be wrong at any time; then it is dropped and read again (`Reattach`).
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import structlog

from batching import names
from batching.commit import PEEK_BYTES, Committer, StreamFormat
from batching.errors import BufferFull, Leaving, Reattach
from batching.failpoints import reached
from batching.governor import Governor
from batching.holding import Holding
from batching.horizon import Horizon
from batching.identity import check_identity
from batching.janitor import Janitor
from batching.metrics import BatchingMetrics
from batching.model import Element, LostReason, Position, SealReason, dump
from batching.names import DEAD_STREAM, IGNORED_STREAM, Key
from batching.parking import Parker
from batching.policy import SealPolicy
from batching.ports import AppendAnswer, Appended, Buffer, Clock, Low, OpenBuffer
from batching.pressure import Amount
from batching.replay import Replay, ReplayBound
from batching.retention import Retention
from batching.retry import answered
from batching.states import Planned, States
from batching.view import Log, View

SWEEP_LIMIT = 500
ASK_SECONDS = 0.25
ANSWER_SECONDS = 5.0
SETTLED_SECONDS = 0.1
LINGER_STEP_NS = 10**8
FIRST_STEP = 20  # manifests
LOOK_NS = 10 * 10**9  # between looks at what is parked
GRACE_NS = 30 * 10**9  # what is due is sealed and committed within, as a rule
HOUSEKEEPING_POLICY = SealPolicy(max_samples=None, max_age_ns=60 * 10**9)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rules:
    """What the owner must know of the streams, and its own pace."""

    policies: Mapping[str, SealPolicy]
    formats: Mapping[str, StreamFormat]
    linger_ns: int = 10**9
    maintain_seconds: float = 2.0
    bundle_bytes: int = PEEK_BYTES
    compression: str | None = None
    replay_bound: ReplayBound = field(default_factory=ReplayBound)
    retention: Retention = field(default_factory=Retention)

    def policy(self, key: Key) -> SealPolicy:
        """Give the triggers of a key's stream."""
        if key.stream in (DEAD_STREAM, IGNORED_STREAM):
            return HOUSEKEEPING_POLICY
        return self.policies.get(key.stream, HOUSEKEEPING_POLICY)


@dataclass(slots=True)
class Hooks:
    """What the owner asks of and tells the room that built it."""

    last_enqueued: Callable[[], Awaitable[int]]  # the hub's last number; may raise anything
    committed: Callable[[], None] = lambda: None
    checkpoint: Callable[[int], Awaitable[None]] | None = None
    sealing: "asyncio.Event" = field(default_factory=asyncio.Event)
    governor: Governor = field(default_factory=Governor)  # one for all partitions of a process


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
        self._log, self._buffer, self._clock = record, buffer, clock
        self._metrics, self._rules, self._hooks = metrics, rules, hooks
        self._committer = Committer(
            record,
            buffer,
            clock,
            metrics,
            formats=rules.formats,
            writer=writer,
            compression=rules.compression,
        )
        self.janitor = Janitor(record, clock, metrics, rules.retention)
        self._parker = Parker(record, buffer, self._committer)
        self.acked = -1
        self.horizon = Horizon()
        self.replay = Replay(rules.replay_bound)
        self._view = View(-1, 0)
        self._version: str | None = None
        self._states = States(rules.policy)
        self._holding = Holding(record.partition, self._states, lambda: self._view.pieces)
        self._governor, self._leaving = hooks.governor, asyncio.Event()
        self._appending = asyncio.Lock()  # one append or sweep at a time: both change states
        self._draining = False
        self._maintained_ns = self._looked_ns = 0

    @property
    def view(self) -> View:
        """What this owner knows of the log."""
        return self._view

    @property
    def states(self) -> States:
        """What this owner believes of the open buffers."""
        return self._states

    async def attach(self) -> int:
        """Read the log, reconcile Redis with it; give the number after which to receive.

        Raises:
            WrongStore: the store was deleted or replaced.

        """
        await reached("attach.before")
        await answered(lambda: check_identity(self._log.root, self._log.identity))
        # Before the log is read: what was acknowledged by then, that log must hold.
        acknowledged = await answered(self._buffer.acknowledged)
        await reached("attach.acknowledged")
        self._view, self._version = await self._log.read()
        await reached("attach.log")
        if self._view.next <= acknowledged:
            log.error("the store is older than Redis", acknowledged=acknowledged)
            await self.wipe()
        found = await self._without_durable()
        opened = {buffer.key for buffer in found}
        missing = [key for key in self._view.pieces.keys() if key not in opened]  # noqa: SIM118
        shells = await self._parker.restore(self._view, missing)
        known = self._view.checkpoint, self._view.next - 1
        self.acked = await answered(partial(self._buffer.attach, *known))
        await reached("attach.raised")
        self._states.reset(found)
        self._states.believe(shells)
        if len(shells) < len(missing):  # another owner was here, or an answer was lost
            await self._read_states()
        self.horizon, self.replay = Horizon(), Replay(self._rules.replay_bound)
        if (oldest := await self._parker.oldest()) is not None:
            self.replay.appended(*oldest)
        self._looked_ns = self._clock.steady_ns()
        self._hooks.sealing.set()
        self._governor.join(self._holding)
        await reached("attach.after")
        log.info("attached", manifest=self._view.next, w=self.acked, open=len(self._states))
        return self.acked

    async def wipe(self) -> None:
        """Drop the partition's keys; the events are read again from the checkpoint."""
        self._metrics.wiped.inc()
        await reached("wipe.before")
        await answered(self._buffer.wipe)
        await reached("wipe.after")

    async def _without_durable(self) -> list[OpenBuffer]:
        """Give the open buffers, but for those that came back and hold only durable events."""
        kept = []
        for found in await answered(self._buffer.opened):
            mark = self._view.mark(found.key)
            if found.last > mark or self._view.pieces.has(found.key):
                kept.append(found)
                continue
            await reached("forget.before")
            await answered(partial(self._buffer.forget, found.key, mark, self._view.next - 1))
            await reached("forget.after")
        return kept

    async def _read_states(self) -> None:
        self._states.reset(await answered(self._buffer.opened))

    def leave(self) -> None:
        """Let who waits for room give up, and let `commit_forever` end with what is sealed."""
        self._leaving.set()
        self._draining = True
        self._hooks.sealing.set()
        self._governor.moved()

    def left(self) -> None:
        """Count what is here no longer: somebody else owns it, or nobody."""
        self._governor.leave(self._holding)

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
        size = sum(len(element.body) for element in elements)
        keys = {element.key for element in elements}
        wanted = partial(self._wanted, size, keys)
        while True:
            async with self._governor.room(wanted, self._leaving):
                with suppress(BufferFull):
                    await self._append(elements, upto, enqueued_ns)
                    return
            if self._leaving.is_set():
                raise Leaving
            await self._governor.full()
            if not self._governor.held().batches:  # nothing can make room: the call itself is large
                for part, last, at_ns in halves(elements, upto, enqueued_ns):
                    await self.append(part, last, at_ns)

    def _wanted(self, size: int, keys: Iterable[Key]) -> Amount:
        return Amount(size, self._holding.opened_by(keys))

    async def _append(self, elements: Sequence[Element], upto: int, enqueued_ns: int) -> None:
        async with self._appending:
            if upto <= self.acked:
                return
            while self.acked < upto:  # BEHIND may stop in the midst of what we have to append
                await self._append_once(elements, upto)
            self.horizon.appended(enqueued_ns, self._clock.now_ns())
            if elements:
                self.replay.appended(elements[0].sequence_number, elements[0].enqueued_ns)
            self.replay.appended(upto, enqueued_ns)

    async def _append_once(self, elements: Sequence[Element], upto: int) -> None:
        """Append what is above `acked`, or learn that somebody else went on."""
        fresh = [
            element
            for element in elements
            if element.sequence_number > max(self.acked, self._view.mark(element.key))
        ]
        planned = self._states.plan(fresh)
        await reached("append.before")
        answer = await answered(
            lambda: self._buffer.append(self.acked, upto, planned.groups, self._view.next - 1),
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
        self.acked = answer.w
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
        declared = await self._committer.declare_lost(self._view, self.acked + 1, last, reason)
        await reached("lost.manifest")
        known = self._view.next - 1
        answer = await answered(lambda: self._buffer.append(self.acked, last, (), known))
        await reached("lost.after")
        await self._taken(answer)
        return declared

    def _keep(self, planned: Planned, resynced: Sequence[Key]) -> None:
        before, brought = self._holding.believed(), sum(len(group.body) for group in planned.groups)
        self._states.keep(planned, resynced)
        self._holding.sealed(before, planned.sealed + len(resynced), brought)
        self._metrics.resynced.inc(len(resynced))
        now = self._hub_now_ns()
        if self.horizon.live(now):
            for due_ns in planned.late:
                self._metrics.lateness.observe(max(0, now - due_ns) / 1e9)
        if planned.sealed or resynced:
            self._hooks.sealing.set()

    async def sweep_forever(self) -> None:
        """Seal what is due by age, on time; ask the hub when silence leaves it open."""
        while True:
            due = self._states.next_due_ns()
            now = self._hub_now_ns()
            if due is None or now < due:
                wait = ASK_SECONDS if due is None else min(ASK_SECONDS, (due - now) / 1e9)
                await self._clock.sleep(wait)
            elif self.horizon.at(now) >= due or await self._ask_hub(due):
                await self._sweep()
            else:
                await self._clock.sleep(ASK_SECONDS)

    def _hub_now_ns(self) -> int:
        return self.horizon.hub_now(self._clock.now_ns())

    async def _ask_hub(self, due_ns: int) -> bool:
        """Learn whether everything enqueued by now has been appended."""
        asked = self._hub_now_ns()
        self.horizon.asked(asked)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                last = await self._hooks.last_enqueued()
        except Exception as error:  # noqa: BLE001 the horizon counts how long the hub is silent
            log.debug("the hub does not say its last number", why=str(error))
        else:
            self.horizon.answered(asked, last, self.acked)
        return self.horizon.at(self._hub_now_ns()) >= due_ns

    async def _sweep(self) -> None:
        async with self._appending:
            now = self._hub_now_ns()
            horizon_us = self.horizon.at(now) // 1_000
            await reached("seal.before")
            swept = await answered(lambda: self._buffer.sweep(horizon_us, SWEEP_LIMIT))
            await reached("seal.after")
            self._dropped([key for key, _ in swept.sealed])
            self._states.believe_due(swept.next_due_us)
        if self.horizon.live(now):
            for _, due_us in swept.sealed:
                self._metrics.lateness.observe(max(0, now // 1_000 - due_us) / 1e6)

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
            async with self._appending:
                await reached("pressure.before")
                await answered(partial(self._buffer.seal_keys, SealReason.PRESSURE, keys))
                await reached("pressure.after")
                self._dropped(keys)

    async def seal_all(self) -> int:
        """Seal every open buffer, as `drain`; give how many there were."""
        total = 0
        await reached("drain.before")
        while True:
            async with self._appending:
                keys = await answered(lambda: self._buffer.seal_open(SealReason.DRAIN, SWEEP_LIMIT))
                await reached("drain.after")
                self._dropped(keys)
            total += len(keys)
            if not keys:
                return total

    async def commit_forever(self) -> None:
        """Commit what is sealed, a little later so that a bundle gathers, and move on.

        Ends once the partition is left: cut off in a call, it would not know what came of it.
        """
        while not self._leaving.is_set():
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
        """Wait until the oldest seal is `linger` old, unless a bundle is full."""
        full = low.sealed_bytes >= min(PEEK_BYTES, self._rules.bundle_bytes)
        if full or low.first_sealed_us is None:
            return
        age_ns = max(0, self._clock.now_ns() - low.first_sealed_us * 1_000)
        wait_ns = self._rules.linger_ns - age_ns
        while wait_ns > 0 and not self._draining and not self._governor.waiting:
            step = min(wait_ns, LINGER_STEP_NS)
            await self._clock.sleep(step / 1e9)
            wait_ns -= step

    async def commit_sealed(self, *, upto: int | None = None) -> None:
        """Commit one bundle's worth.

        Args:
            upto: touch nothing that ends beyond this number.

        Raises:
            Reattach: the view no longer holds, or something ends beyond `upto`.
            CorruptBuffer: a chunk in Redis cannot be read: wipe, and attach again.

        """
        if await self._committer.commit(self._view, upto=upto):
            self._hooks.committed()

    async def _low(self) -> Low:
        acked = self.acked  # before the call: an append may be answered meanwhile
        asked = self._holding.asked()
        low = await answered(self._buffer.low)
        self._holding.told(asked, low)
        self._governor.moved()
        if low.w < acked:
            raise Reattach(f"Redis has events up to {low.w} only, it had {acked}")
        self._gauges(low)
        return low

    def _gauges(self, low: Low) -> None:
        partition = self._log.partition
        self._metrics.open_sensors.labels(partition).set(len(self._states))
        pieces = self._view.pieces
        self._metrics.open_bytes.labels(partition).set(self._holding.open().size_bytes)
        self._metrics.sealed_waiting.labels(partition).set(low.sealed)
        self._metrics.checkpoint.labels(partition).set(max(0, low.w - self._view.checkpoint))
        self._metrics.checkpoint_seconds.labels(partition).set(self.replay.seconds(low.lo))
        self._metrics.parked_events.labels(partition).set(pieces.events)
        self._metrics.parked_bytes.labels(partition).set(pieces.bytes)
        self._metrics.parked_objects.labels(partition).set(len(pieces.objects))

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
        await self._know(low.manifest)
        checkpoint = low.w if low.lo is None else low.lo - 1
        if checkpoint < self._view.checkpoint:
            return
        first = self._view.first_needed(checkpoint)
        if checkpoint == self._view.checkpoint and first < self._view.first + FIRST_STEP:
            return  # in silence, too, what is parked is sealed, and need not be read for ever
        name = names.position(self._log.hub, self._log.partition)
        body = dump(Position(checkpoint, first, self._view.lost.below(first)))
        await reached("checkpoint.before")
        version = await answered(lambda: self._log.store.replace(name, body, self._version))
        await reached("checkpoint.after")
        if version is None:
            raise Reattach("another owner moved the checkpoint")
        self._version = version
        self._view.move(checkpoint, first)
        if self._hooks.checkpoint is not None:
            await self._hooks.checkpoint(checkpoint)

    async def _know(self, manifest: int) -> None:
        """Take in what Redis relies on, before the position says that it is not needed.

        Else this owner, who tells Redis what it knows, would tell a Redis that lost everything
        too little: an older store brought in later would not be noticed.
        """
        while self._view.next <= manifest:
            if not await self._committer.learn(self._view):
                raise Reattach(f"Redis relies on manifest {manifest}, which is not there")

    async def _shorten(self, low: Low) -> Low:
        """Park open buffers, and commit sealed ones, until the replay is within half its bound."""
        upto = self.replay.upto(low.w, low.lo)
        while upto is not None and low.lo is not None and low.lo <= upto:
            parked = await self._parker.park(self._view, upto)
            if not parked and low.sealed:
                await self.commit_sealed()
            before, low = low, await self._low()
            if low.lo == before.lo and not parked and not before.sealed:
                break  # it was sealed, or another owner was here, just now
        return low

    async def _look_after_parked(self) -> None:
        """Learn what others parked; open buffers that are missing for pieces past their due."""
        now = self._clock.steady_ns()
        if now - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now
        while await self._committer.learn(self._view):
            pass
        if overdue := self._parker.overdue(self._view, (self._hub_now_ns() - GRACE_NS) // 1_000):
            async with self._appending:
                self._states.believe(await self._parker.restore(self._view, overdue))
        await self._parker.merge(self._view)

    async def settled(self) -> None:
        """Wait until the commit task has nothing left that is sealed, without its linger."""
        self._draining = True
        try:
            while (await answered(self._buffer.low)).sealed:
                self._hooks.sealing.set()
                await self._clock.sleep(SETTLED_SECONDS)
        finally:
            self._draining = False

    async def finished(self) -> bool:
        """Tell whether all that was appended is in batches, and none reaches beyond c."""
        low, view = await answered(self._buffer.low), self._view
        gathered = low.lo is not None or low.sealed or len(view.pieces)
        return not gathered and low.w <= view.checkpoint and not view.reaches(view.checkpoint + 1)

    async def drain(self, *, upto: int | None = None) -> None:
        """Commit all that is sealed and move the checkpoint, without waiting.

        Args:
            upto: touch nothing that ends beyond this number.

        """
        self._draining = True
        low = await self._low()
        while low.sealed:
            await self.commit_sealed(upto=upto)
            low = await self._low()
        await self.maintain(low)


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
