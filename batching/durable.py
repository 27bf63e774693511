"""Data is in the store before a manifest names it, whatever the store says about it."""

import asyncio
from collections.abc import Sequence
from functools import partial

from batching.ports import BlobStore
from batching.retry import answered
from batching.structured import structlog

AGAIN_SECONDS = 0.5
log = structlog.get_logger()


async def write_data(store: BlobStore, name: str, parts: Sequence[bytes | memoryview]) -> None:
    """Create an object under a name with a random part of ours, and make sure that it is there.

    "It exists" is then usually our own write, whose answer was lost. But a proxy or a store
    that is not well may also say so of an object that it has not got, and the manifest that is
    created next would name nothing.
    """
    while not await answered(partial(store.create, name, parts)):
        if await answered(partial(store.get_range, name, 0, 0)) is not None:
            return
        log.warning("the store says that data exists and has not got it, writing again", name=name)
        await asyncio.sleep(AGAIN_SECONDS)
