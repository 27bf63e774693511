"""The janitor deletes what nobody reads any more: by retention, superseded, or never named.

PROTOCOL, step I. It works beside the owner of the partition, which is economy: two janitors, or
one that slept, delete only what both would. What is trimmed is *said* before jobs are looked at
once more and before anything goes; a new job looks at what was said after it has begun.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

from batching import names
from batching.errors import Transient
from batching.failpoints import reached
from batching.identity import check_identity
from batching.metrics import BatchingMetrics
from batching.model import EntryKind, Trimmed, dump
from batching.names import DEAD_STREAM
from batching.ports import Clock
from batching.retention import Retention
from batching.retry import answered
from batching.runs.records import RunLog
from batching.runs.retired import open_jobs
from batching.structured import structlog
from batching.view import Log

AT_ONCE = 2_000  # manifests of one pass, and bundles looked at
_BEHIND = "~"  # sorts behind all that lies in a folder
log = structlog.get_logger()


class Janitor:
    """Tidies one partition's part of the store."""

    def __init__(
        self, record: Log, clock: Clock, metrics: BatchingMetrics, retention: Retention
    ) -> None:
        self._log, self._clock, self._metrics = record, clock, metrics
        self._retention = retention
        self._unlisted: dict[str, int] = {}  # parked objects, and when they were first seen so

    async def tidy_forever(self) -> None:
        """Tidy now and then.

        Raises:
            WrongStore: the store was deleted or replaced.

        """
        while True:
            await self._clock.sleep(self._retention.interval_ns / 1e9)
            try:
                await self.tidy()
            except Transient as error:
                log.warning("tidying is put off", why=str(error))

    async def tidy(self) -> None:
        """Delete what may go by now.

        Raises:
            WrongStore: the store was deleted or replaced.
            StoreUnavailable: no answer; the next pass goes on.

        """
        await answered(lambda: check_identity(self._log.root, self._log.identity))
        position, _ = await self._log.position()  # before jobs are listed: a new one relies on it
        await self._trim(position.first)
        await self._delete_superseded(position.first)
        await self._delete_orphans()

    # --- retention

    async def _trim(self, first: int) -> None:
        said, version = await self._log.trimmed()
        limit = min([first, *await self._held()])
        wanted = await self._old_enough(said, limit)
        if wanted != said:
            await reached("trim.before")
            if await self._say(wanted, version) is None:
                return  # another janitor is at work
            await reached("trim.said")
        below = min([wanted.below, *await self._held()])  # a job that began just now holds its own
        async for stream in self._streams():
            kind = "dead_letters" if stream == DEAD_STREAM else "bundles"
            until = max(below, wanted.dead_below) if stream == DEAD_STREAM else below
            await self._delete_below(self._folder(stream), until, kind)
        await reached("trim.data")
        await self._delete_below(f"log/{self._log.hub}/{self._log.partition}/", below, "manifests")

    async def _old_enough(self, said: Trimmed, limit: int) -> Trimmed:
        """Find how far manifests and dead letters are older than they are kept."""
        now, bundles = self._clock.now_ns(), self._retention.bundles_ns
        dead = self._retention.dead_letters_ns
        if bundles is not None:
            for n in range(said.below, min(limit, said.below + AT_ONCE)):
                manifest = await self._log.manifest(n)
                if manifest is None or now - manifest.written < bundles:
                    break
                lasts = [e.last for e in manifest.entries if e.kind != EntryKind.PARKED]
                said = replace(said, below=n + 1, upto=max([said.upto, *lasts]))
        begin = max(said.dead_below, said.below)
        if dead is not None:
            for n in range(begin, min(limit, begin + AT_ONCE)):
                manifest = await self._log.manifest(n)
                if manifest is None or now - manifest.written < dead:
                    break
                said = replace(said, dead_below=n + 1)
        return said

    async def _held(self) -> list[int]:
        """Give the manifest from which each job still needs them.

        Only records that have ended are passed, unless another attempt is asked for: a run that
        goes on reads its bundles.
        """
        store, held = self._log.store, []
        for job in await answered(lambda: open_jobs(store)):
            runs = RunLog(store, self._log.identity.id, job)
            standing = await answered(runs.position)
            vector = await answered(partial(runs.vector, standing.settled))
            held.append((vector or {}).get(self._log.partition, 0))
            if standing.asked:  # it needs its bundles once more, and the oldest needs the oldest
                record = await answered(partial(runs.record, min(standing.asked)))
                held.append(0 if record is None else record.start.get(self._log.partition, 0))
        return held

    async def _delete_below(self, folder: str, below: int, kind: str) -> None:
        if below <= 0:
            return
        async for name in self._log.store.names(folder):
            if _number(name) >= below:
                return
            await self._delete(name, kind)

    # --- parked objects

    async def _delete_superseded(self, first: int) -> None:
        """Delete parked objects that the log, read from `first` on, does not list."""
        listed: set[str] = set()
        n = first
        while (entries := await self._log.entries(n)) is not None:
            listed.update(e.data for e in entries if e.kind == EntryKind.PARKED and e.data)
            n += 1
        position, _ = await self._log.position()
        if position.first > first:
            return  # some may have been deleted while they were read: the next pass
        now, seen = self._clock.now_ns(), self._unlisted
        self._unlisted = {}
        folder = f"parked/{self._log.hub}/{self._log.partition}/"
        async for name in self._log.store.names(folder):
            if _number(name) >= n:
                return  # what is not created yet may come
            if names.parked_content(name) in listed:
                continue
            since = self._unlisted[name] = seen.get(name, now)
            if now - since >= self._retention.superseded_ns:
                await self._delete(name, "parked")

    # --- orphans

    async def _delete_orphans(self) -> None:
        """Delete bundles of old manifests that these do not name: their writer lost a race."""
        said, version = await self._log.trimmed()
        judged = max(said.judged, said.below)
        end = await self._old_until(judged)
        if end == judged:
            return
        async for stream in self._streams():
            async for name, n in self._between(self._folder(stream), judged, end):
                manifest = await self._log.manifest(n)
                if manifest is not None and all(e.data != name for e in manifest.entries):
                    await self._delete(name, "orphans")
        await self._say(replace(said, judged=end), version)

    async def _old_until(self, begin: int) -> int:
        """Find how far manifests are older than orphans are kept."""
        now, end = self._clock.now_ns(), begin
        while end < begin + AT_ONCE:
            manifest = await self._log.manifest(end)
            if manifest is None or now - manifest.written < self._retention.orphans_ns:
                break
            end += 1
        return end

    async def _between(self, folder: str, begin: int, end: int) -> AsyncIterator[tuple[str, int]]:
        after = f"{folder}{names.block(begin)}/{names.number(begin)}"
        async for name in self._log.store.names(folder, after):
            n = _number(name)
            if n >= end:
                return
            yield name, n

    # --- what the store says

    async def _say(self, trimmed: Trimmed, version: str | None) -> str | None:
        name = names.trimmed(self._log.hub, self._log.partition)
        body = dump(trimmed)
        return await answered(lambda: self._log.store.replace(name, body, version))

    async def _streams(self) -> AsyncIterator[str]:
        """List the streams that have data in the store, whatever a configuration says."""
        stream = ""
        while True:
            after = f"data/{stream}/{_BEHIND}" if stream else ""
            name = await anext(self._log.store.names("data/", after), None)
            if name is None:
                return
            stream = name.split("/")[1]
            yield stream

    def _folder(self, stream: str) -> str:
        return f"data/{stream}/{self._log.hub}/{self._log.partition}/"

    async def _delete(self, name: str, kind: str) -> None:
        await answered(lambda: self._log.store.delete(name))
        self._metrics.deleted.labels(kind).inc()
        log.debug("deleted", name=name, kind=kind)


def _number(name: str) -> int:
    """Read the number that the last part of a name begins with."""
    return int(name.rpartition("/")[2][:12])
