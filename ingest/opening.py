"""Opens the source that the settings name: a hub of our own, a receiver's process, the SDK here.

Nothing here loads the SDK before it is used: a service whose receiver is a process of its own
starts that one first, and reads the rest of its program while it does the same.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from batching.errors import SettingError
from ingest.config import Settings
from ingest.embedded_hub import EmbeddedHub
from ingest.hub_facts import HubAddress, HubFacts, SourceUnavailable
from ingest.receiver.brief import Brief
from ingest.receiver.remote import RemoteSource
from ingest.settings.source import EmbeddedHub as EmbeddedHubSettings
from ingest.settings.source import EventHubs, IotHub, connection_parts

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

    from ingest.feed import HubFeed

EMBEDDED_NAMESPACE = "embedded"
ANSWER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A receiver that was started ahead, and its answer to the first question."""

    source: RemoteSource
    facts: asyncio.Task[HubFacts]


@asynccontextmanager
async def begun(settings: Settings) -> AsyncIterator[Begun | None]:
    """Start the receiver and let it ask the hub; None where there is none that can be.

    Once this has begun, the caller may hold up the event loop: the question is on its way.
    """
    chosen = settings.source.chosen
    if not settings.apart or isinstance(chosen, EmbeddedHubSettings):
        yield None  # who knows where the embedded hub is has started it
        return
    source = _remote(settings, _connection(chosen), _namespace(chosen))
    facts: asyncio.Task[HubFacts] | None = None
    try:
        await source.begin()
        facts = asyncio.create_task(source.facts(), name="first-question")
        await asyncio.sleep(0)  # it is put at once
        yield Begun(source, facts)
    finally:
        if facts is not None:
            facts.cancel()
        await source.close()


async def open_source(
    settings: Settings, stack: AsyncExitStack, begun: Begun | None
) -> "tuple[HubFeed, str]":
    """Give the source, and the namespace under which its data is kept."""
    chosen = settings.source.chosen
    if isinstance(chosen, EmbeddedHubSettings):
        hub = EmbeddedHub(settings.data / "hub", chosen)
        connection: str | None = await hub.start()
        stack.push_async_callback(hub.stop)
        namespace = EMBEDDED_NAMESPACE
    else:
        connection, namespace = _connection(chosen), _namespace(chosen)
        if begun is not None:
            return begun.source, namespace
    return await _connect(settings, connection, namespace, stack), namespace


async def _connect(
    settings: Settings, connection: str | None, namespace: str, stack: AsyncExitStack
) -> "HubFeed":
    """Open the source, in a process of its own if that is set."""
    if not settings.apart:
        return await _near(settings, connection, namespace, stack)
    source = _remote(settings, connection, namespace)
    stack.push_async_callback(source.close)
    return source


def _remote(settings: Settings, connection: str | None, namespace: str) -> RemoteSource:
    receive, logs = settings.receive, settings.logs
    address = _address(settings, connection, namespace)
    return RemoteSource(
        Brief(address, receive.prefetch, receive.max_batch, logs.format, logs.level)
    )


async def _near(
    settings: Settings, connection: str | None, namespace: str, stack: AsyncExitStack
) -> "HubFeed":
    """Open the source in this process."""
    from ingest.source import Source  # noqa: PLC0415, a quarter of a second

    address = _address(settings, connection, namespace)
    if connection is None:
        address = replace(address, credential=await entra(stack))
    receive = settings.receive
    source = Source(address, prefetch=receive.prefetch, batch=receive.max_batch)
    stack.push_async_callback(source.close)
    return source


def _address(settings: Settings, connection: str | None, namespace: str) -> HubAddress:
    group = settings.source.chosen.consumer_group
    return HubAddress(hub_name(settings), group, connection, namespace)


async def last_enqueued(settings: Settings) -> dict[str, int] | None:
    """Ask the hub for the last number of each partition; None if it does not answer.

    An embedded hub is asked if it runs, and not started.
    """
    chosen = settings.source.chosen
    async with AsyncExitStack() as stack:
        if isinstance(chosen, EmbeddedHubSettings):
            found = await EmbeddedHub(settings.data / "hub", chosen).running()
            if found is None:
                return None
            source = await _near(settings, found, EMBEDDED_NAMESPACE, stack)
        else:
            source = await _near(settings, _connection(chosen), _namespace(chosen), stack)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                partitions = (await source.facts()).partitions
                facts = await asyncio.gather(*(source.partition(p) for p in partitions))
                return {p: each.last for p, each in zip(partitions, facts, strict=True)}
        except (SourceUnavailable, TimeoutError):
            return None


def _connection(chosen: EventHubs | IotHub) -> str | None:
    secret = chosen.connection_string
    return secret.get_secret_value() if secret is not None else None


def _namespace(chosen: EventHubs | IotHub) -> str:
    """Give the host name, without the port that an embedded hub may change."""
    if isinstance(chosen, EventHubs) and chosen.namespace is not None:
        return chosen.namespace.partition(":")[0]
    if chosen.connection_string is None:
        raise SettingError("source: a connection string is required")
    endpoint = connection_parts(chosen.connection_string.get_secret_value())["endpoint"]
    return re.sub(r"^\w+://|[:/].*$", "", endpoint)


def hub_name(settings: Settings) -> str:
    """Give the hub's name."""
    return str(settings.source.chosen.hub)


async def entra(stack: AsyncExitStack) -> "AsyncTokenCredential":
    """Sign in by whatever the machine offers: workload identity, environment, az login."""
    from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415, half a second

    return await stack.enter_async_context(DefaultAzureCredential())
