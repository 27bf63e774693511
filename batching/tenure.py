"""What one owner of a partition works with and believes, shared by all that it does at once.

It appends (`batching.partition`), seals (`batching.sealing`), commits and moves the checkpoint
(`batching.upkeep`), each in a task of its own. What is believed here may be wrong at any time;
then it is dropped and read again (`Reattach`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from batching.horizon import Horizon
from batching.layout import StreamFormat
from batching.limits.governor import Governor
from batching.limits.holding import Holding
from batching.limits.making import PEEK_BYTES
from batching.metrics import BatchingMetrics
from batching.names import DEAD_STREAM, IGNORED_STREAM
from batching.parking.replay import Replay, ReplayBound
from batching.policy import SealPolicy
from batching.ports import Buffer, Clock, OpenBuffer
from batching.retention import Retention
from batching.states import States
from batching.view import Log, View

PAGE = 2_000  # open buffers, a few milliseconds
HOUSEKEEPING_POLICY = SealPolicy(max_samples=None, max_age_ns=60 * 10**9)


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

    def policy(self, stream: str) -> SealPolicy:
        """Give the triggers of a stream."""
        if stream in (DEAD_STREAM, IGNORED_STREAM):
            return HOUSEKEEPING_POLICY
        return self.policies.get(stream, HOUSEKEEPING_POLICY)


@dataclass(slots=True)
class Hooks:
    """What the owner asks of and tells the room that built it."""

    last_enqueued: Callable[[], Awaitable[int]]  # the hub's last number; may raise anything
    committed: Callable[[], None] = lambda: None
    checkpoint: Callable[[int], Awaitable[None]] | None = None
    sealing: "asyncio.Event" = field(default_factory=asyncio.Event)
    governor: Governor = field(default_factory=Governor)  # one for all partitions of a process


class Tenure:
    """One owner's time on one partition, from attach to the next `Reattach`."""

    def __init__(
        self,
        record: Log,
        buffer: Buffer,
        clock: Clock,
        metrics: BatchingMetrics,
        *,
        rules: Rules,
        hooks: Hooks,
    ) -> None:
        self.log, self.buffer, self.clock, self.metrics = record, buffer, clock, metrics
        self.rules, self.hooks = rules, hooks
        self.acked = -1  # up to where Redis has everything
        self.view = View(-1, 0)  # of the log
        self.version: str | None = None  # of the position
        self.horizon = Horizon()
        self.replay = Replay(rules.replay_bound)
        self.states = States(rules.policy)  # of the open buffers
        self.holding = Holding(record.partition, self.states, lambda: self.view.pieces)
        self.appending = asyncio.Lock()  # held by whatever changes open buffers, and so the states
        self.leaving = asyncio.Event()
        self.draining = False  # a commit waits for no bundle to gather

    async def believe(self, found: list[OpenBuffer]) -> None:
        """Believe what Redis says is open; the list is empty afterwards.

        Page by page, since to take in a million, or to let go of them, holds the loop for long.
        Nothing may be appended or sealed meanwhile.
        """
        self.states.reset(())
        while found:
            self.states.found(found[-PAGE:])
            del found[-PAGE:]
            await asyncio.sleep(0)

    def hub_now_ns(self) -> int:
        """Give the hub's time, as far as it is known."""
        return self.horizon.hub_now(self.clock.now_ns())
