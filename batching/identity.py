"""The first object of a store: which hub and group it belongs to, and since when."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from batching import names
from batching.errors import SettingError, WrongStore
from batching.failpoints import reached
from batching.model import Store, dump, load
from batching.ports import BlobStore, Clock


async def read_store(store: BlobStore) -> Store | None:
    """Read `headrace.json`; None where the store is new."""
    raw = await store.get(names.STORE)
    return None if raw is None else load(Store, names.STORE, raw)


async def existing_store(root: BlobStore) -> Store:
    """Read `headrace.json`, where a service must have written it.

    Raises:
        SettingError: none has.

    """
    identity = await read_store(root)
    if identity is None:
        raise SettingError(f"{root.uri} holds no headrace.json: no service has written here")
    return identity


async def open_store(
    store: BlobStore,
    clock: Clock,
    *,
    namespace: str,
    hub: str,
    created_ms: int,
    consumer_group: str,
    start: Callable[[], Awaitable[Mapping[str, int]]],
) -> Store:
    """Give the store's identity, creating it where the store is new.

    Args:
        store: where it lies.
        clock: for the time of creation.
        namespace: host name of the Event Hubs namespace.
        hub: name of the hub.
        created_ms: creation time of the hub, milliseconds UTC.
        consumer_group: the only group that this store is filled from.
        start: is asked for a new store alone: the first number that counts, by partition.

    Raises:
        SettingError: the store belongs to another hub or group.

    """
    wanted = names.hub_id(namespace, hub, created_ms)
    fresh = Store(
        id=secrets.token_hex(8),
        namespace=namespace,
        hub=hub,
        hub_id=wanted,
        consumer_group=consumer_group,
        start={},
        created=clock.now_ns(),
    )
    found = await read_store(store)
    if found is None:
        fresh = replace(fresh, start=dict(await start()))
        await reached("identity.before")
        created = await store.create(names.STORE, [dump(fresh)])
        await reached("identity.after")
        if created:
            return fresh
        found = await read_store(store)
    if found is None:
        raise WrongStore(f"{store.uri}: {names.STORE} came and went, is somebody deleting here?")
    _same_source(found, fresh, store.uri)
    return found


def _same_source(found: Store, wanted: Store, uri: str) -> None:
    """One store, one hub and group: anything else would mix two numberings."""
    if (found.namespace, found.hub) != (wanted.namespace, wanted.hub):
        raise SettingError(
            f"blobs: {uri} holds data of hub {found.hub} in {found.namespace}, the source is"
            f" {wanted.hub} in {wanted.namespace}: give each hub a container, prefix or folder"
        )
    if found.consumer_group != wanted.consumer_group:
        raise SettingError(
            f"blobs: {uri} was filled from consumer group {found.consumer_group}, the source"
            f" says {wanted.consumer_group}: use that group, or another place"
        )
    if found.hub_id != wanted.hub_id:
        raise SettingError(
            f"blobs: hub {wanted.hub} was created anew since {uri} was filled, and numbers from"
            " zero again: give the new hub a store of its own (another blobs.folder, or"
            " blobs.azure.prefix); the old store stays as it is, for flows and verify"
        )


async def check_identity(store: BlobStore, mine: Store) -> None:
    """Make sure that the store is still the one that this process opened.

    Raises:
        WrongStore: it was deleted or replaced.

    """
    found = await read_store(store)
    if found is None or found.id != mine.id:
        raise WrongStore(
            f"{store.uri} was deleted or replaced while the service ran: restart it, and"
            " everything that the hub still has is batched again"
        )
