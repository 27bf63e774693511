"""Keeps what a process holds within its bounds: seals early, then lets the intake wait.

One governor for all partitions of a process. It decides by `pressure`; the owners seal.
Who wants to append asks for room first and gets it in the order of asking, so that nobody
starves. While the handler of a partition waits here, the SDK's credit for it is not renewed, and
the hub keeps what comes. Nothing is ever dropped.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import reduce
from itertools import chain
from typing import Protocol

from prometheus_client import CollectorRegistry

from batching.errors import Leaving
from batching.limits.holding import Holding
from batching.limits.making import Making
from batching.limits.metrics import PressureMetrics
from batching.limits.pressure import (
    HIGH,
    LOW,
    Amount,
    Bounds,
    Limit,
    binding,
    chosen,
    relievable,
    strained,
)
from batching.names import Key
from batching.structured import structlog

ASK_SECONDS = 0.25  # how often who waits looks again, though nobody told it to
FULL_SECONDS = 0.5  # between two tries of an append while Redis has no memory
CEILING_SECONDS = 600.0  # how long a Redis that was full is trusted with less than the bound
QUIET_SECONDS = 60.0  # pressure is over when nothing was done about it for so long
LOOK_SECONDS = 1.0
FILLING = 0.5  # part of the bound on sealed bytes from which commits do not linger
SLICES = 16  # one append brings at most this part of the bound on bytes
log = structlog.get_logger()


class Flag(Protocol):
    """What tells whether its owner is leaving: an asyncio.Event."""

    def is_set(self) -> bool:
        """Tell."""
        ...


@dataclass(slots=True)
class _Ticket:
    """Somebody who waits in line."""

    cause: Limit | None = None


class Governor:
    """Bounds of one process, shared by its partitions; all calls come from one event loop.

    Args:
        bounds: what may be held.
        metrics: where it is told.

    """

    def __init__(
        self, bounds: Bounds | None = None, metrics: PressureMetrics | None = None
    ) -> None:
        self._bounds = bounds or Bounds()
        self._metrics = metrics or PressureMetrics(CollectorRegistry())
        self.making = Making()
        self._members: dict[str, Holding] = {}
        self._coming, self._in_flight = Amount(), 0
        self._appends: deque[_Ticket] = deque()
        self._batches: deque[_Ticket] = deque()
        self._moved = asyncio.Event()
        self._ceiling: tuple[int, float] | None = None  # bytes, and when it was last hit
        self._acted: float | None = None  # when something was last done about pressure
        self._began = 0.0

    # Who holds what

    def join(self, member: Holding) -> None:
        """Count a partition's batches; one of the same name is replaced."""
        self._members[member.partition] = member

    def leave(self, member: Holding) -> None:
        """Count a partition no longer."""
        if self._members.get(member.partition) is member:
            del self._members[member.partition]
        self.moved()

    def moved(self) -> None:
        """Tell who waits to look again: something was committed, or somebody is leaving."""
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    @property
    def bounds(self) -> Bounds:
        """What may be held now: less than was set while Redis has shown that it has less."""
        if self._ceiling is None:
            return self._bounds
        ceiling, hit = self._ceiling
        if _now() - hit > CEILING_SECONDS:
            self._ceiling = None
            return self._bounds
        return replace(self._bounds, open_bytes=min(ceiling, self._bounds.open_bytes))

    @property
    def slice_bytes(self) -> int:
        """Give how much one append should bring at most."""
        return max(1, self._bounds.open_bytes // SLICES)

    @property
    def link_events(self) -> int:
        """Give how many events one more link to the hub may have received and not handed on."""
        return max(2, self._bounds.in_flight_events // max(1, len(self._members)))

    @property
    def waiting(self) -> bool:
        """Tell whether somebody waits for room."""
        return bool(self._appends)

    @property
    def filling(self) -> bool:
        """Tell whether somebody waits for room, or soon will: commits should not linger."""
        return self.waiting or self.sealed().size_bytes > FILLING * self._bounds.sealed_bytes

    def held(self) -> Amount:
        """Give what is open, sealed and about to be appended, over all partitions."""
        members = self._members.values()
        held = sum_of(member.open().plus(member.waiting()) for member in members)
        return held.plus(self._coming)

    def sealed(self) -> Amount:
        """Give what is sealed and waits for its manifest, over all partitions."""
        return sum_of(member.waiting() for member in self._members.values())

    # Room

    @asynccontextmanager
    async def room(self, wanted: Callable[[], Amount], leaving: Flag) -> AsyncIterator[None]:
        """Wait until `wanted` fits beside what is held; count it while it is appended.

        It is asked for anew at each look: what was open may be sealed meanwhile. An append that
        fills batches leaves more of them than it opened, so that the bound on batches may be
        exceeded by what one append seals.

        Raises:
            Leaving: the partition is being left, and there is no room.

        """
        await self._in_line(self._appends, lambda: self._no_room(wanted), leaving)
        coming = wanted()
        self._coming = self._coming.plus(coming)
        try:
            yield
        finally:
            self._coming = self._coming.plus(Amount(-coming.size_bytes, -coming.batches))

    @asynccontextmanager
    async def handling(self, events: int, leaving: Flag) -> AsyncIterator[None]:
        """Wait until so many received events may be worked on; count them meanwhile.

        Raises:
            Leaving: the partition is being left, and there is no room.

        """
        await self._in_line(self._batches, lambda: self._too_many(events), leaving)
        self._in_flight += events
        try:
            yield
        finally:
            self._in_flight -= events
            self.moved()

    def _too_many(self, events: int) -> Limit | None:
        over = self._in_flight and self._in_flight + events > self._bounds.in_flight_events
        return Limit.IN_FLIGHT if over else None

    def _no_room(self, wanted: Callable[[], Amount]) -> Limit | None:
        held, bounds, coming = self.held(), self.bounds, wanted()
        if strained(held.plus(coming), bounds):
            self._relieve(coming, bounds)
            coming = wanted()  # what is to be sealed will be opened again
        cause = binding(held, self.sealed(), coming, bounds)
        full = cause is Limit.OPEN_BYTES and self._ceiling is not None
        return Limit.REDIS_FULL if full else cause

    async def _in_line(
        self, line: deque[_Ticket], asked: Callable[[], Limit | None], leaving: Flag
    ) -> None:
        """Wait for one's turn, and then until nothing is in the way."""
        if not line and asked() is None:
            return
        ticket = _Ticket()
        line.append(ticket)
        try:
            while (cause := asked() if line[0] is ticket else line[0].cause) is not None:
                if leaving.is_set():
                    raise Leaving
                if ticket.cause is None:
                    self._metrics.pauses.labels(cause.value).inc()
                ticket.cause = cause
                await self._pause(cause, ASK_SECONDS)
        finally:
            line.remove(ticket)
            self.moved()

    async def _pause(self, cause: Limit, seconds: float) -> None:
        """Wait until something has moved, for a while at most."""
        self._act(cause)
        began = _now()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._moved.wait()
        self._metrics.paused_seconds.labels(cause.value).inc(_now() - began)

    # Relief

    def _relieve(self, wanted: Amount, bounds: Bounds) -> None:
        """Have batches sealed down to low water, unless that is going on already."""
        members = self._members.values()
        if any(member.pressing.is_set() for member in members):
            return
        still_open = sum_of(member.open() for member in members)
        if not relievable(still_open.plus(wanted), bounds):
            return
        keys: dict[str, list[Key]] = {}
        batches = chain.from_iterable(member.open_batches() for member in members)
        for each in chosen(batches, wanted, bounds):
            keys.setdefault(each.partition, []).append(each.key)
        for partition, found in keys.items():
            self._members[partition].press(found)
        many = still_open.batches + wanted.batches > LOW * bounds.open_sensors
        self._act(Limit.OPEN_SENSORS if many else Limit.OPEN_BYTES)

    async def full(self) -> None:
        """Take note that Redis had no memory for an append, and wait a moment.

        What is held now is too much: the bound is lower than that for a while, so that batches
        are sealed and the intake waits for their commits.
        """
        ceiling = max(1, int(HIGH * self.held().size_bytes))
        self._ceiling = (ceiling, _now())
        self._metrics.pauses.labels(Limit.REDIS_FULL.value).inc()
        await self._pause(Limit.REDIS_FULL, FULL_SECONDS)

    def _act(self, cause: Limit) -> None:
        """Say once that there is pressure."""
        if self._acted is None:
            self._began = _now()
            held = self.held()
            log.warning(
                "more comes than fits: sealing early, pausing the intake as needed",
                limit=cause.value,
                held_bytes=held.size_bytes,
                held_batches=held.batches,
                bounds=asdict(self.bounds),
            )
        self._acted = _now()

    def look(self) -> None:
        """Tell the metrics; say once that pressure is over."""
        held, bounds = self.held(), self.bounds
        used = {
            Limit.OPEN_BYTES: (held.size_bytes, bounds.open_bytes),
            Limit.SEALED_BYTES: (self.sealed().size_bytes, bounds.sealed_bytes),
            Limit.OPEN_SENSORS: (held.batches, bounds.open_sensors),
            Limit.IN_FLIGHT: (self._in_flight, bounds.in_flight_events),
        }
        for limit, (now, most) in used.items():
            self._metrics.used.labels(limit.value).set(now)
            self._metrics.bound.labels(limit.value).set(most)
        self._metrics.paused.set(len(self._appends) + len(self._batches))
        if self._acted is not None and _now() - self._acted > QUIET_SECONDS:
            log.info("everything fits again", seconds=round(self._acted - self._began, 1))
            self._acted = None

    async def look_forever(self) -> None:
        """Look every second."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)


def sum_of(amounts: Iterable[Amount]) -> Amount:
    """Add amounts up."""
    return reduce(Amount.plus, amounts, Amount())


def _now() -> float:
    return time.monotonic()
