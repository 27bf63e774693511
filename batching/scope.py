"""A store's objects lie under its id, so that a process of a store that was replaced harms none.

Such a process still holds positions, run records and late answers of the old store; whatever
it writes, it writes under the old id. Only `headrace.json` lies outside. (Decision 0003.)
"""

from collections.abc import AsyncIterator, Sequence

from batching.ports import BlobStore


class Scoped:
    """A BlobStore whose names all begin with one prefix, in another BlobStore."""

    def __init__(self, inner: BlobStore, scope: str) -> None:
        self._inner, self._prefix = inner, f"{scope}/"

    @property
    def uri(self) -> str:
        """Where the scope's root is."""
        return f"{self._inner.uri}/{self._prefix.rstrip('/')}"

    async def get(self, name: str) -> bytes | None:
        """Read an object whole; None if there is none."""
        return await self._inner.get(self._prefix + name)

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        """Read part of an object; None if there is none."""
        return await self._inner.get_range(self._prefix + name, offset, length)

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object that must not exist yet; False if it exists."""
        return await self._inner.create(self._prefix + name, parts)

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        """Read an object and its version; None if there is none."""
        return await self._inner.get_versioned(self._prefix + name)

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        """Replace the version read; None if somebody else did."""
        return await self._inner.replace(self._prefix + name, body, version)

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """List names that begin with `prefix` and sort after `after`, in order."""
        begin = f"{self._prefix}{after}" if after else ""
        async for name in self._inner.names(self._prefix + prefix, begin):
            yield name.removeprefix(self._prefix)

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        await self._inner.delete(self._prefix + name)

    async def close(self) -> None:
        """Leave the inner store open: others use it."""
