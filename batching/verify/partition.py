"""One partition's log, read from the start: each number in a batch, a dead letter, or ignored."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batching.bundle import chunks_of, open_bundle
from batching.errors import CorruptObject
from batching.model import Entry, EntryKind, Trimmed
from batching.names import DEAD_STREAM, Key
from batching.verify.coverage import Coverage
from batching.verify.gaps import Ignored, Span, split, union
from batching.verify.parked import ParkedCheck
from batching.verify.redriven import RedriveCheck
from batching.verify.report import Report, SensorSum
from batching.view import Log

SENSORS = 10_000  # listed one by one; a fleet of a million is only counted
Watcher = Callable[[Entry, Any, Any], None]  # entry, its rows of chunks, its table


class PartitionCheck:
    """Walks manifests in order and fills the report."""

    def __init__(
        self,
        record: Log,
        report: Report,
        watch: Watcher | None = None,
        last_enqueued: int | None = None,
        redriven: RedriveCheck | None = None,
    ) -> None:
        self._log, self._report, self._watch = record, report, watch
        self._redriven = redriven
        self._last_enqueued = last_enqueued
        start = record.identity.start.get(record.partition, 0)
        self._coverage = Coverage(start)
        self._streams: dict[str, Coverage] = {}
        self._last: dict[Key, int] = {}
        self._ignored = Ignored()
        self._lost: list[Span] = []
        self._dead = 0
        self._trimmed = Trimmed()
        self._waiting = 0  # parked, and in no batch yet
        self._parked = ParkedCheck(record, report)

    async def run(self, upto: int | None) -> None:
        """Judge numbers up to `upto`, or up to the checkpoint."""
        position, _ = await self._log.position()
        self._trimmed, _ = await self._log.trimmed()
        self._coverage = Coverage(max(self._coverage.start, self._trimmed.upto + 1))
        async for n, entries in self._manifests():
            await self._manifest(n, entries)
            if n >= position.first:  # earlier ones say nothing that these do not say
                await self._parked.follow(n, entries)
        batched = self._coverage.count()
        for numbers in await self._parked.numbers():
            self._coverage.add(numbers)
        self._waiting = self._coverage.count() - batched
        end = position.checkpoint if upto is None else upto
        self._judge(end, only=upto is not None)
        if self._redriven is not None and not self._trimmed.below:
            self._redriven.judge(self._log.partition)

    async def _manifests(self) -> AsyncIterator[tuple[int, tuple[Entry, ...]]]:
        """Give all that there are, also behind a hole; retention may have taken the oldest."""
        prefix = f"log/{self._log.hub}/{self._log.partition}/"
        expected: int | None = None
        async for name in self._log.store.names(prefix):
            n = int(name.rpartition("/")[2].removesuffix(".json"))
            if n < self._trimmed.below:
                continue  # it is about to go
            if expected is not None and n > expected:
                gone = (
                    f"manifest {expected}"
                    if n == expected + 1
                    else f"manifests {expected} to {n - 1}"
                )
                self._report.damaged.add(f"partition {self._log.partition}: {gone} is gone")
            expected = n + 1
            try:
                entries = await self._log.entries(n)
            except CorruptObject as error:
                self._report.damaged.add(str(error))
                continue
            yield n, entries or ()

    async def _manifest(self, n: int, entries: tuple[Entry, ...]) -> None:
        tables: dict[str, Any] = {}
        for entry in entries:
            if entry.kind == EntryKind.PARKED:
                continue
            if _is_dead(entry) and n < self._trimmed.dead_below:
                self._add_kept_no_longer(entry)
                continue
            if entry.kind == EntryKind.IGNORED:
                self._add_ignored(entry)
                continue
            if entry.kind == EntryKind.LOST:
                self._lost.append((entry.first, entry.last))
                continue
            if entry.data is None:
                self._report.damaged.add(f"manifest {n}: an entry without data")
                continue
            if entry.data not in tables:
                tables[entry.data] = await self._table(entry.data)
            if tables[entry.data] is not None:
                self._add_batch(entry, tables[entry.data])

    async def _table(self, name: str) -> Any:
        raw = await self._log.store.get(name)
        if raw is None:
            self._report.damaged.add(f"{name} is gone")
            return None
        try:
            return open_bundle(raw, name)
        except CorruptObject as error:
            self._report.damaged.add(str(error))
            return None

    def _add_batch(self, entry: Entry, table: Any) -> None:
        rows = chunks_of(table).slice(entry.chunks[0], entry.chunks[1] - entry.chunks[0])
        numbers = rows["sequence_number"].to_numpy()
        self._once(entry, numbers)
        self._agree(entry, numbers, rows, table)
        self._coverage.add(numbers)
        self._streams.setdefault(entry.stream, Coverage(self._coverage.start)).add(numbers)
        self._count(entry)
        if entry.stream == DEAD_STREAM and self._redriven is not None:
            rows = rows.filter(self._redriven.left(self._log.partition, numbers))
        if self._watch is not None:
            self._watch(entry, rows, table)

    def _once(self, entry: Entry, numbers: NDArray[np.int64]) -> None:
        """Batches of a key continue each other: rising, each number once."""
        earlier = np.concatenate([[self._last.get(entry.key, -1)], numbers[:-1]])
        before = np.maximum.accumulate(earlier)
        again = numbers[numbers <= before]
        if len(again):
            where = f"partition {self._log.partition}, number {again[0]}, sensor {entry.sensor}"
            self._report.twice.add(where, len(again))
        if len(numbers):
            self._last[entry.key] = max(int(numbers.max()), self._last.get(entry.key, -1))

    def _agree(self, entry: Entry, numbers: Any, rows: Any, table: Any) -> None:
        """Manifest and bundle say the same."""
        said = (entry.first, entry.last, entry.events, entry.rows[1] - entry.rows[0])
        found = (
            int(numbers[0]) if len(numbers) else -1,
            int(numbers[-1]) if len(numbers) else -1,
            len(numbers),
            int(rows["rows"].to_numpy().sum()),
        )
        if said != found or entry.rows[1] > table.num_rows:
            self._report.damaged.add(f"{entry.data}: the manifest says {said}, it holds {found}")

    def _count(self, entry: Entry) -> None:
        if _is_dead(entry):
            self._report.dead_letters += entry.events
            self._dead += entry.events
            return
        self._report.batches += 1
        self._report.samples += entry.samples
        sensors = self._report.sensors
        if entry.sensor not in sensors and len(sensors) >= SENSORS:
            self._report.sensors_left_out += 1
            return
        found = sensors.setdefault(entry.sensor, SensorSum())
        found.events += entry.events
        found.samples += entry.samples
        found.batches += 1
        reason = entry.reason or "?"
        found.reasons[reason] = found.reasons.get(reason, 0) + 1

    def _add_kept_no_longer(self, entry: Entry) -> None:
        """Count dead letters that retention took: which numbers they had, nobody knows any more."""
        self._report.dead_letters += entry.events
        self._ignored.add(entry.first, entry.last, entry.events)
        if self._redriven is not None:
            self._redriven.gone(self._log.partition, entry.first, entry.last)

    def _add_ignored(self, entry: Entry) -> None:
        self._report.ignored += entry.events
        self._ignored.add(entry.first, entry.last, entry.events)

    def _judge(self, end: int, *, only: bool) -> None:
        self._judge_missing(end)
        lost = 0 if only else self._judge_beyond(end)
        self._judge_streams()
        judged = max(0, end - self._coverage.start + 1)
        beyond = self._coverage.count(beyond=end) + lost
        waiting = 0 if self._last_enqueued is None else self._last_enqueued - end - beyond
        self._report.open += max(0, waiting) + self._waiting
        self._report.parked += self._waiting
        self._report.events += judged + beyond + max(0, waiting)
        self._report.batched += self._coverage.count() - self._dead - self._waiting
        self._report.partitions[self._log.partition] = {"from": self._coverage.start, "to": end}

    def _judge_missing(self, end: int) -> None:
        """Find the gaps up to `end`: what is neither ignored nor lost is missing."""
        outside, inside = split(self._coverage.missing(end), union(self._lost))
        for gap in self._ignored.fill(outside):
            self._report.missing.add(f"partition {self._log.partition}, {gap.said}", gap.left)
        self._add_lost(inside)

    def _judge_beyond(self, end: int) -> int:
        """Count what is lost beyond `end`: it will be in no batch, whatever comes."""
        before = [(self._coverage.start, end)] if end >= self._coverage.start else []
        beyond, _ = split(union(self._lost), before)
        upto = max((last for _, last in beyond), default=end)
        return self._add_lost(split(self._coverage.missing(upto), beyond)[1])

    def _add_lost(self, spans: list[Span]) -> int:
        gaps = list(self._ignored.fill(spans))
        for gap in gaps:
            self._report.lost.add(f"partition {self._log.partition}, {gap.said}", gap.left)
        return sum(gap.left for gap in gaps)

    def _judge_streams(self) -> None:
        """Find events in batches of more than one stream: each belongs to the first that fits."""
        total = sum(coverage.count() for coverage in self._streams.values())
        if (again := total - self._coverage.count()) > 0:
            where = (
                f"partition {self._log.partition}, in more than one of: {', '.join(self._streams)}"
            )
            self._report.twice.add(where, again)


def _is_dead(entry: Entry) -> bool:
    return entry.stream == DEAD_STREAM or entry.kind == EntryKind.DEAD
