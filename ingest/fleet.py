"""The partitions that this process owns: one consumer each, started and stopped as told."""

import asyncio
import contextlib
from collections.abc import Callable

from batching.metrics import BatchingMetrics
from batching.structured import structlog
from ingest.consumer import Consumer
from ingest.metrics import IngestMetrics

SHARE_SECONDS = 10.0
log = structlog.get_logger()


class Fleet:
    """Keeps one consumer per owned partition running in a task group of the service."""

    def __init__(
        self,
        group: asyncio.TaskGroup,
        make: Callable[[str], Consumer],
        metrics: tuple[IngestMetrics, BatchingMetrics],
    ) -> None:
        self._group, self._make, self._metrics = group, make, metrics
        self._running: dict[str, tuple[Consumer, asyncio.Task[None]]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._owning = asyncio.Event()  # it was told at least once what to own

    @property
    def consumers(self) -> dict[str, Consumer]:
        """Consumers by partition."""
        return {partition: consumer for partition, (consumer, _) in self._running.items()}

    def unready(self) -> list[str]:
        """Say which partitions are owned but not attached yet, or take nothing in."""
        said = []
        for partition, consumer in self.consumers.items():
            if consumer.stopped is not None:
                said.append(f"partition {partition} {consumer.stopped.told()}")
            elif consumer.owner is None:
                said.append(f"partition {partition} is not attached yet")
        return said

    async def own(self, wanted: frozenset[str]) -> None:
        """Let go of what is no longer ours, then take what is new."""
        await self._leave(self._running.keys() - wanted)
        for partition in sorted(wanted - self._running.keys()):
            consumer = self._make(partition)
            task = self._group.create_task(consumer.run(), name=f"partition-{partition}")
            self._running[partition] = (consumer, task)
        self._metrics[0].owned.set(len(self._running))
        self._owning.set()

    async def _leave(self, partitions: set[str], *, sealed: bool = False) -> None:
        leaving = {partition: self._running.pop(partition) for partition in partitions}
        for consumer, _ in leaving.values():
            consumer.stop(sealed=sealed)
        if leaving:
            tasks = {task for _, task in leaving.values()}
            self._leaving |= tasks
            await asyncio.wait(tasks)
            self._leaving -= tasks
        for partition in leaving:
            for metrics in self._metrics:
                metrics.forget(partition)

    async def drain(self) -> int:
        """Append what the hub has by now, seal every open batch, commit; give how many.

        A service that has just started first learns which partitions are its own; one that
        still has none after ten seconds is left without by the others.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHARE_SECONDS):
                await self._owning.wait()
        sealed = await asyncio.gather(*(c.drain() for c in self.consumers.values()))
        log.info("drained", batches=sum(sealed))
        return sum(sealed)

    async def cut_off(self, seconds: float) -> None:
        """End what has been told to leave and could not, wherever it is; that loses nothing."""
        for task in self._leaving:
            task.cancel()
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=seconds)

    async def stop(self, *, sealed: bool = False) -> None:
        """Finish what was received, commit what is sealed, and leave every partition.

        Args:
            sealed: seal what is open first, so that nothing is left in Redis.

        """
        await self._leave(set(self._running), sealed=sealed)
        self._metrics[0].owned.set(0)
