"""A store that keeps a list of the calls that it passes on."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from batching.ports import BlobStore


@dataclass(frozen=True, slots=True)
class Call:
    """One call; times are nanoseconds, of the wall (UTC) and of this process's processor."""

    what: str
    name: str
    size_bytes: int
    began_ns: int
    ended_ns: int
    cpu_ns: int

    @property
    def kind(self) -> str:
        """Give the first folder below the store's id: what the object is."""
        return self.name.split("/")[1] if "/" in self.name else self.name


class Watched:
    """A BlobStore in front of another one."""

    def __init__(self, inner: BlobStore) -> None:
        self._inner = inner
        self.calls: list[Call] = []

    @property
    def uri(self) -> str:
        """Where the root is."""
        return self._inner.uri

    def created(self, kind: str) -> list[Call]:
        """Give the objects of a kind, in the order in which they were written."""
        return [call for call in self.calls if call.what == "create" and call.kind == kind]

    @contextmanager
    def _noted(self, what: str, name: str, size_bytes: int = 0) -> Iterator[None]:
        began, cpu = time.time_ns(), time.process_time_ns()
        yield
        ended = time.time_ns()
        spent = time.process_time_ns() - cpu
        self.calls.append(Call(what, name, size_bytes, began, ended, spent))

    async def get(self, name: str) -> bytes | None:
        """Read an object whole; None if there is none."""
        with self._noted("get", name):
            return await self._inner.get(name)

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        """Read part of an object; None if there is none."""
        with self._noted("get_range", name):
            return await self._inner.get_range(name, offset, length)

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object that must not exist yet; False if it exists."""
        with self._noted("create", name, sum(map(len, parts))):
            return await self._inner.create(name, parts)

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        """Read an object and its version; None if there is none."""
        with self._noted("get", name):
            return await self._inner.get_versioned(name)

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        """Replace the version read; None if somebody else did."""
        with self._noted("replace", name, len(body)):
            return await self._inner.replace(name, body, version)

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """List names; noted when the first one is asked for."""
        with self._noted("names", prefix):
            pass
        async for name in self._inner.names(prefix, after):
            yield name

    async def delete(self, name: str) -> None:
        """Delete an object."""
        with self._noted("delete", name):
            await self._inner.delete(name)

    async def close(self) -> None:
        """Let go of connections."""
        await self._inner.close()
