"""The service: builds its parts, starts them, and stops them from the source to the runs."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from prometheus_client import Metric

from batching import interpreter
from batching.adapters.redis_buffer import RedisBuffer, older_prefix, prefix
from batching.errors import BatchError, NotDrained
from batching.layout import StreamFormat
from batching.names import REDRIVE
from batching.partition import Partition
from batching.redrive import RedriveLog
from batching.runs.dispatcher import Dispatcher
from batching.structured import structlog
from batching.tenure import Hooks
from batching.view import Log
from ingest.answers import Answers, Front
from ingest.changeover import change_over
from ingest.config import Settings
from ingest.consumer import Consumer
from ingest.consumer import Parts as ConsumerParts
from ingest.feed import Feed
from ingest.fleet import Fleet
from ingest.hub_watch import HubWatch
from ingest.opening import Begun
from ingest.ownership.balancer import Balancer
from ingest.parts import Parts, open_parts
from ingest.redrive import RedriveSource
from ingest.standing import Standing

HAND_OVER_SECONDS = 6.0  # of the drain: to release partitions and stop dispatching
CUT_SECONDS = 1.0
MOMENT_SECONDS = 0.02
log = structlog.get_logger()
Asked = Callable[[Settings, Answers], Front]


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    ready: Callable[[int], None] = lambda _: None,
    front: Asked | None = None,
    siblings: Sequence[str] = (),
    begun: Begun | None = None,
) -> None:
    """Run until `stop`, then finish within `drain_seconds`.

    Args:
        settings: checked.
        stop: set it to end.
        ready: is told how many partitions the hub has, once everything runs.
        front: where the service is asked; its own port if not given.
        siblings: names of instances that are started together with this one, its own too.
        begun: a receiver that runs already, and is closed by the caller.

    Raises:
        SettingError: something cannot be used as it is set; raised before anything runs.
        Transient: a server did not answer at start-up.
        WrongStore: the store was replaced while the service ran.
        NotDrained: it ended in time, with something left to the next start.

    """
    async with AsyncExitStack() as stack:
        asked = asyncio.create_task(_front(front), name="front")
        stack.callback(asked.cancel)
        parts = await open_parts(settings, stack, begun)
        service = _Service(parts, stop, siblings)
        await change_over(parts, service.owner)
        failed: BaseExceptionGroup[BatchError] | None = None
        try:
            answering = (await asked)(settings, service)
            # before the parts, which an answer that is on its way goes on to ask
            stack.push_async_callback(answering.close)
            await service.run(answering, ready)
        except* TimeoutError:
            log.error("drain took longer than drain_seconds")
        except* BatchError as group:
            failed = group  # raised here, Python 3.11.2 would wrap it in a group again
        if failed is not None:
            raise first_of(failed) from failed
    if not service.finished:
        raise NotDrained(
            "stopped within drain_seconds, but Redis, the store or the hub did not let everything"
            " be committed; nothing is lost: the next start goes on there"
        )


def first_of(group: BaseExceptionGroup[BatchError]) -> BatchError:
    """Give the error that a person is told; the others followed from it."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found if isinstance(found, BatchError) else BatchError(str(found))


class _Service:
    """The running parts and how they know each other; it is also what they answer."""

    def __init__(self, parts: Parts, stop: asyncio.Event, siblings: Sequence[str]) -> None:
        self._parts, self._stop = parts, stop
        self._redrive = RedriveSource(RedriveLog(parts.store, parts.identity))
        measured = parts.metrics
        self._dispatcher = Dispatcher(
            parts.store,
            parts.identity,
            (*parts.partitions, REDRIVE),
            parts.jobs,
            parts.launchers,
            clock=parts.clock,
            metrics=measured.dispatch,
        )
        self._balancer = _balancer(parts, siblings)
        self._standing = Standing(
            parts.source,
            parts.identity,
            measured.ingest,
            parts.settings.source.chosen.on_lost_position,
        )
        self._fleet: Fleet | None = None
        self._sealed = False  # whether to leave nothing open
        self.finished = False

    async def run(self, front: Front, ready: Callable[[int], None]) -> None:
        """Start everything, wait for `stop`, stop from the source to the runs."""
        drain_seconds = float(self._parts.settings.drain_seconds)
        balanced, dispatched = asyncio.Event(), asyncio.Event()
        async with asyncio.timeout(None) as deadline, asyncio.TaskGroup() as group:
            self._fleet = Fleet(
                group, self._consumer, (self._parts.metrics.ingest, self._parts.metrics.batching)
            )
            port = await front.start()
            dispatching = group.create_task(
                self._dispatcher.run(dispatched, self._is_first), name="dispatch"
            )
            balancing = group.create_task(
                self._balancer.run(balanced, self._fleet.own), name="balance"
            )
            watching = group.create_task(self._hub_watch().run(), name="hub-watch")
            looking = group.create_task(self._parts.governor.look_forever(), name="limits")
            at = {"port": port} if port else {}
            log.info("service started", **at, partitions=len(self._parts.partitions))
            ready(len(self._parts.partitions))
            await _first(self._stop, dispatching, balancing)
            watching.cancel()
            log.info("stopping", drain_seconds=drain_seconds)
            began = asyncio.get_running_loop().time()
            deadline.reschedule(began + drain_seconds)
            balanced.set()
            left = await self._leave_partitions(balancing, drain_seconds)
            await self._balancer.release()
            dispatched.set()
            await dispatching
            for launcher in set(self._parts.launchers.values()):
                await launcher.close()
            looking.cancel()
        self.finished = left
        took = asyncio.get_running_loop().time() - began
        log.info("service stopped", seconds=round(took, 3), finished=left)

    async def _leave_partitions(self, balancing: asyncio.Task[None], seconds: float) -> bool:
        """Leave all partitions; False if some had to be cut off, to be handed over in time."""
        if self._fleet is None:
            return True
        try:
            async with asyncio.timeout(seconds - min(HAND_OVER_SECONDS, seconds / 3)):
                await balancing
                await self._fleet.stop(sealed=self._sealed)
        except TimeoutError:
            log.error("partitions do not end in time, cutting them off", drain_seconds=seconds)
            balancing.cancel()
            await self._fleet.cut_off(CUT_SECONDS)
            return False
        return True

    async def silent(self) -> list[str]:
        """Whoever reads this has been answered; see `ingest.answers`."""
        return []

    async def unready(self) -> list[str]:
        """Say why it is not ready; see `ingest.answers`."""
        if self._fleet is None:
            return ["starting"]
        launchers = set(self._parts.launchers.values())
        return [*self._fleet.unready(), *(why for each in launchers for why in each.problems)]

    async def metrics(self) -> Iterable[Metric]:
        """Give every metric; see `ingest.answers`."""
        return self._parts.metrics.registry.collect()

    async def drain(self) -> int:
        """Seal and commit all that is open; see `ingest.answers`."""
        return 0 if self._fleet is None else await self._fleet.drain()

    async def leave(self) -> None:
        """End with nothing open; see `ingest.answers`."""
        self._sealed = True
        self._stop.set()

    def _hub_watch(self) -> HubWatch:
        parts = self._parts
        seconds = float(parts.settings.receive.look_every)
        return HubWatch(self._standing, parts.partitions, self._know, seconds)

    def _know(self, partitions: tuple[str, ...]) -> None:
        """Partitions were added to the hub: own them, and dispatch what they bring."""
        self._balancer.know(partitions)
        self._dispatcher.know((*partitions, REDRIVE))

    def _consumer(self, partition: str) -> Consumer:
        parts, ours = self._parts, partition == REDRIVE
        made = ConsumerParts(
            self._feed(partition),
            self._redrive if ours else self._standing,
            parts.classifier,
            parts.metrics.ingest,
            self.owner,
            parts.governor,
            float(parts.settings.receive.silent_after),
            # what comes back was set aside before: there is no hub to be emptied
            stop_rules={} if ours else parts.settings.stop_rules(),
        )
        return Consumer(partition, made)

    def _feed(self, partition: str) -> Feed:
        return self._redrive if partition == REDRIVE else self._parts.source

    def owner(self, partition: str, formats: Mapping[str, StreamFormat] | None = None) -> Partition:
        """Make an owner of a partition, who knows nothing yet; it may write in other shapes."""
        parts = self._parts
        rules = parts.rules if formats is None else replace(parts.rules, formats=formats)
        identity = parts.identity
        return Partition(
            Log(parts.root, parts.store, identity, partition),
            RedisBuffer(
                parts.redis,
                prefix(identity.id, partition),
                older=older_prefix(identity.id, identity.hub_id, partition),
            ),
            parts.clock,
            parts.metrics.batching,
            rules=rules,
            writer=parts.settings.instance,
            hooks=Hooks(
                last_enqueued=partial(self._last_enqueued, partition),
                committed=self._dispatcher.kick,
                checkpoint=None if partition == REDRIVE else partial(self._tell_scalers, partition),
                governor=parts.governor,
            ),
        )

    async def _last_enqueued(self, partition: str) -> int:
        consumer = self._fleet.consumers.get(partition) if self._fleet else None
        if consumer is not None and consumer.stopped is not None:
            return -1  # nothing more comes: what is open is sealed by its age
        return (await self._feed(partition).partition(partition)).last

    async def _tell_scalers(self, partition: str, checkpoint: int) -> None:
        """Leave a copy of the checkpoint in the SDK's format, for KEDA; nobody else reads it."""
        identity = self._parts.identity
        copy: dict[str, str | int | None] = {
            "fully_qualified_namespace": identity.namespace,
            "eventhub_name": identity.hub,
            "consumer_group": identity.consumer_group,
            "partition_id": partition,
            "sequence_number": checkpoint,
            "offset": str(checkpoint),  # not known here; KEDA only wants it not to be empty
        }
        try:
            await self._parts.ownership.update_checkpoint(copy)
        except Exception as error:  # noqa: BLE001 economy: whatever fails, the next one is right
            log.debug("no copy of the checkpoint for scalers", why=str(error))

    def _is_first(self) -> bool:
        """Tell whether this process owns the lowest partition, whose owner dispatches."""
        return min(self._parts.partitions, key=int) in self._balancer.owned


async def _front(given: Asked | None) -> Asked:
    """Load the server of the port, a sixth of a second, while Valkey starts and the hub answers."""
    if given is not None:
        return given
    await asyncio.sleep(MOMENT_SECONDS)  # they have been asked by then
    from ingest.http import HttpServer  # noqa: PLC0415, see above

    interpreter.leave_alone()
    return HttpServer


async def _first(stop: asyncio.Event, *tasks: asyncio.Task[None]) -> None:
    """Wait for `stop`; a task that ends before has failed, and its group says why."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()


def _balancer(parts: Parts, siblings: Sequence[str]) -> Balancer:
    settings = parts.settings
    return Balancer(
        parts.ownership,
        namespace=parts.identity.namespace,
        hub=parts.identity.hub,
        group=parts.identity.consumer_group,
        instance=settings.instance,
        partitions=parts.partitions,
        beside=(REDRIVE,),
        siblings=siblings,
        expiry_seconds=float(settings.ownership.expiry),
        interval_seconds=float(settings.ownership.interval),
    )
