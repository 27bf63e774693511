"""From settings to parts: every adapter is chosen and opened here, and closed in reverse."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.adapters.redis_server import memory_bytes, open_server
from batching.clock import SystemClock
from batching.errors import BatchError, StoreUnavailable
from batching.identity import existing_store, open_store
from batching.layout import StreamFormat
from batching.limits.governor import Governor
from batching.limits.metrics import PressureMetrics
from batching.limits.pressure import within
from batching.metrics import BatchingMetrics
from batching.metrics_argo import ArgoMetrics
from batching.metrics_store import MeasuredStore, StoreMetrics
from batching.model import Store
from batching.parking.replay import ReplayBound
from batching.ports import BlobStore, Launcher
from batching.runs.jobs import Job
from batching.runs.metrics import DispatchMetrics
from batching.runs.retired import refuse_retired
from batching.scope import Scoped
from batching.structured import structlog
from batching.tenure import Rules
from ingest.classify import Classifier
from ingest.config import Settings
from ingest.feed import HubFeed
from ingest.launchers import Launchers
from ingest.metrics import IngestMetrics
from ingest.opening import Begun, entra, hub_name, open_source
from ingest.ownership.balancer import Ownerships
from ingest.ownership.folder import FolderCheckpointStore

START_SECONDS = 25.0
LOOK_SECONDS = 2.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Metrics:
    """All metrics of the service, on one registry."""

    registry: CollectorRegistry
    ingest: IngestMetrics
    batching: BatchingMetrics
    dispatch: DispatchMetrics
    store: StoreMetrics
    pressure: PressureMetrics
    argo: ArgoMetrics


def metrics() -> Metrics:
    """Make a registry with every metric of the service."""
    registry = CollectorRegistry()
    return Metrics(
        registry,
        IngestMetrics(registry),
        BatchingMetrics(registry),
        DispatchMetrics(registry),
        StoreMetrics(registry),
        PressureMetrics(registry),
        ArgoMetrics(registry),
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service is made of, opened and checked."""

    settings: Settings
    metrics: Metrics
    clock: SystemClock
    source: HubFeed
    partitions: tuple[str, ...]
    redis: Any
    root: BlobStore
    store: BlobStore
    identity: Store
    ownership: Ownerships
    classifier: Classifier
    rules: Rules
    governor: Governor
    jobs: tuple[Job, ...]
    launchers: Mapping[str, Launcher]  # by job


async def open_blobs(settings: Settings, *, read_only: bool = False) -> BlobStore:
    """Open the store that the settings name.

    Raises:
        SettingError: it cannot be used as it is; the message says what to do.
        StoreUnavailable: the account does not answer.

    """
    azure, folder = settings.blobs.azure, settings.blobs_folder
    if azure is None or folder is not None:
        return FolderStore(folder or settings.data, read_only=read_only)
    from batching.adapters.azure_account import azure_store  # noqa: PLC0415, half a second

    secret = azure.connection_string
    try:
        async with asyncio.timeout(START_SECONDS):
            return await azure_store(
                azure.container,
                account=azure.account,
                prefix=azure.prefix,
                connection_string=secret.get_secret_value() if secret is not None else None,
                endpoint=azure.endpoint,
                read_only=read_only,
            )
    except TimeoutError as error:
        raise StoreUnavailable(
            f"blobs.azure: container {azure.container}: no answer within {START_SECONDS:.0f} s"
        ) from error
    except StoreUnavailable as error:
        raise StoreUnavailable(f"blobs.azure: {error}") from error


@asynccontextmanager
async def open_scoped(settings: Settings, *, read_only: bool = False) -> AsyncIterator[BlobStore]:
    """Open the objects of the store that a service has made.

    Raises:
        SettingError: there is no store yet, or it cannot be used as it is.
        StoreUnavailable: the account does not answer.

    """
    root = await open_blobs(settings, read_only=read_only)
    try:
        identity = await existing_store(root)
        yield Scoped(root, identity.id)
    finally:
        await root.close()


async def open_parts(
    settings: Settings, stack: AsyncExitStack, begun: Begun | None = None
) -> Parts:
    """Open and check everything the service needs, in the order in which it is needed.

    Args:
        settings: checked.
        stack: closes what was opened.
        begun: a receiver that runs already, and is closed by whoever started it.

    Raises:
        SettingError: something cannot be used as it is set.
        Transient: a server does not answer.

    """
    clock, measured = SystemClock(), metrics()
    classifier = _classifier(settings)
    launchers = Launchers(settings, measured.argo)
    jobs = settings.every_job()
    root = MeasuredStore(await open_blobs(settings), measured.store)
    stack.push_async_callback(root.close)
    opening = asyncio.create_task(_open_redis(settings, stack))
    try:  # beside it: the hub takes its time for each answer
        source, namespace = await open_source(settings, stack, begun)
        facts = await (source.facts() if begun is None else begun.facts)
        identity = await open_store(
            root,
            clock,
            namespace=namespace,
            hub=hub_name(settings),
            created_ms=facts.created_ms,
            consumer_group=settings.source.chosen.consumer_group,
            start=partial(_start, settings, source, facts.partitions),
        )
    finally:  # whatever it has started is in `stack` before that is unwound
        await asyncio.wait({opening})
        redis = opening.result()
    for job in jobs:
        await refuse_retired(Scoped(root, identity.id), job.name)
    return Parts(
        settings,
        measured,
        clock,
        source,
        facts.partitions,
        redis,
        root,
        Scoped(root, identity.id),
        identity,
        await _open_ownership(settings, stack),
        classifier,
        _rules(settings),
        await _governor(settings, redis, measured.pressure),
        jobs,
        await launchers.open(identity.id, stack),
    )


def _classifier(settings: Settings) -> Classifier:
    return Classifier(settings.rules(), unmatched=settings.unmatched, iot_hub=settings.iot_hub)


def _rules(settings: Settings) -> Rules:
    bundle = settings.bundle
    return Rules(
        policies=settings.policies(),
        formats={rules.name: StreamFormat(rules.decode.channels) for rules in settings.rules()},
        linger_ns=bundle.linger.ns,
        bundle_bytes=int(bundle.max_bytes),
        compression=None if bundle.compression == "none" else bundle.compression,
        retention=settings.retention.plain(),
        replay_bound=ReplayBound(settings.replay_bound.events, settings.replay_bound.time.ns),
    )


async def _governor(settings: Settings, redis: Any, measured: PressureMetrics) -> Governor:
    """Bound what is held by the settings, and by what Redis has."""
    asked, has = settings.limits.bounds(), await memory_bytes(redis)
    bounds = within(asked, has)
    for name in ("open_bytes", "open_sensors"):
        if getattr(bounds, name) < getattr(asked, name):
            log.warning(
                "a limit is more than Redis has memory for; a lower one is used",
                limit=f"limits.{name}",
                asked=getattr(asked, name),
                used=getattr(bounds, name),
                redis_bytes=has,
            )
    return Governor(bounds.divided(settings.workers), measured)


async def _open_redis(settings: Settings, stack: AsyncExitStack) -> Any:
    secret = settings.redis.password
    if settings.redis.url is None:
        server = EmbeddedValkey(settings.data / "valkey")
        url = await server.start()
        stack.push_async_callback(server.stop)
        await stack.enter_async_context(_kept_alive(server))
    else:
        url = settings.redis.url
    client = await open_server(
        url, password=secret.get_secret_value() if secret is not None else None
    )
    stack.push_async_callback(client.aclose)
    return client


@asynccontextmanager
async def _kept_alive(server: EmbeddedValkey) -> AsyncIterator[None]:
    """Start the embedded server again whenever it is gone; let it tidy while little comes."""
    over = False

    async def look() -> None:
        while not over:  # a cancellation may be swallowed by the client that asks the server
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await server.start()
                await server.rewrite_while_calm()
            except BatchError as error:
                log.error("the embedded Valkey does not start", why=str(error))

    task = asyncio.create_task(look(), name="valkey")
    try:
        yield
    finally:
        over = True
        task.cancel()
        await asyncio.wait({task})


async def _start(
    settings: Settings, source: HubFeed, partitions: tuple[str, ...]
) -> dict[str, int]:
    """Give the first number that counts in a new store, by partition."""
    latest = settings.source.chosen.start == "latest"
    found = await asyncio.gather(*(source.partition(partition) for partition in partitions))
    return {
        partition: facts.last + 1 if latest or facts.empty else facts.first
        for partition, facts in zip(partitions, found, strict=True)
    }


async def _open_ownership(settings: Settings, stack: AsyncExitStack) -> Ownerships:
    azure, folder = settings.blobs.azure, settings.blobs_folder
    if azure is None or folder is not None:
        return FolderCheckpointStore((folder or settings.data) / "ownership")
    from azure.eventhub.extensions.checkpointstoreblobaio import (  # noqa: PLC0415, half a second
        BlobCheckpointStore,
    )

    if azure.connection_string is not None:
        made = BlobCheckpointStore.from_connection_string(
            azure.connection_string.get_secret_value(), azure.container
        )
    else:
        endpoint = azure.endpoint or f"https://{azure.account}.blob.core.windows.net"
        made = BlobCheckpointStore(endpoint, azure.container, credential=await entra(stack))
    stack.push_async_callback(made.close)
    return made
