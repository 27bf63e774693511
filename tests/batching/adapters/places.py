"""Where the contract of a BlobStore is tried out: a folder, and a container in Azurite."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from batching.adapters.azure_account import azure_store
from batching.adapters.folder import FolderStore
from batching.ports import BlobStore


class Place(Protocol):
    """One root; every `open` gives another store on it, as another process would have."""

    async def open(self) -> BlobStore: ...


@dataclass(frozen=True)
class Folder:
    root: Path

    async def open(self) -> BlobStore:
        return FolderStore(self.root)


@dataclass(frozen=True)
class Container:
    connection_string: str
    prefix: str = "some/where"
    name: str = field(default_factory=lambda: f"c{secrets.token_hex(8)}")

    async def open(self) -> BlobStore:
        return await azure_store(
            self.name, connection_string=self.connection_string, prefix=self.prefix
        )


def tell(place: Place, story: Callable[..., Awaitable[None]], stores: int = 1) -> None:
    """Run one story on as many stores of the place as it asks for, and close them."""

    async def main() -> None:
        opened = [await place.open() for _ in range(stores)]
        try:
            await story(*opened)
        finally:
            for store in opened:
                await store.close()

    asyncio.run(main())
