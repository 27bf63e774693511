"""How long the blob store takes, by call and by what came of it."""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Histogram

from batching.errors import StoreUnavailable
from batching.ports import BlobStore

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class StoreMetrics:
    """Store latencies; make one per registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "headrace_store_seconds",
            "Duration of calls to the blob store, its own repetitions included.",
            ["operation", "outcome"],  # methods of BlobStore; values of _Timed.outcome
            buckets=_BUCKETS,
            registry=registry,
        )

    @contextmanager
    def timed(self, operation: str) -> Iterator["_Timed"]:
        """Measure one call; what raises counts as `unavailable` or `error`."""
        timed, started = _Timed(), time.perf_counter()
        try:
            yield timed
        except StoreUnavailable:
            timed.outcome = "unavailable"
            raise
        except Exception:
            timed.outcome = "error"
            raise
        finally:
            took = time.perf_counter() - started
            self.seconds.labels(operation, timed.outcome).observe(took)


class _Timed:
    """Outcome of one call: `ok`; `refused`, as the object exists, is missing or has changed."""

    outcome = "ok"

    def refused_if(self, refused: bool) -> None:  # noqa: FBT001 - reads as a sentence
        if refused:
            self.outcome = "refused"


class MeasuredStore:
    """A BlobStore that measures another one; see `batching.ports.BlobStore`."""

    def __init__(self, store: BlobStore, metrics: StoreMetrics) -> None:
        self._store = store
        self._metrics = metrics

    @property
    def uri(self) -> str:
        """Where the root is."""
        return self._store.uri

    async def get(self, name: str) -> bytes | None:
        """Read an object whole; None if there is none."""
        with self._metrics.timed("get") as timed:
            body = await self._store.get(name)
            timed.refused_if(body is None)
            return body

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        """Read part of an object (shorter at its end); None if there is none."""
        with self._metrics.timed("get_range") as timed:
            body = await self._store.get_range(name, offset, length)
            timed.refused_if(body is None)
            return body

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        """Write an object that must not exist yet, from parts; False if it exists."""
        with self._metrics.timed("create") as timed:
            created = await self._store.create(name, parts)
            timed.refused_if(not created)
            return created

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        """Read an object and its version; None if there is none."""
        with self._metrics.timed("get_versioned") as timed:
            found = await self._store.get_versioned(name)
            timed.refused_if(found is None)
            return found

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        """Replace the version read (None: there was none); None if somebody else did."""
        with self._metrics.timed("replace") as timed:
            written = await self._store.replace(name, body, version)
            timed.refused_if(written is None)
            return written

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        """List names that begin with `prefix` and sort after `after`, in order, unbounded.

        What is measured is the wait for the first name; the rest depends on the reader.
        """
        names = self._store.names(prefix, after)
        with self._metrics.timed("names"):
            first = await anext(names, None)
        if first is not None:
            yield first
            async for name in names:
                yield name

    async def delete(self, name: str) -> None:
        """Delete an object; one that is not there is fine."""
        with self._metrics.timed("delete"):
            await self._store.delete(name)

    async def close(self) -> None:
        """Let go of connections."""
        await self._store.close()
