"""The log of one partition: appended to, read from any position, shortened from its old end."""

import os
import re
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from batching.structured import structlog
from ingest.hub.messages import Event, stamp
from ingest.hub.segment import RECORD_BYTES, SUFFIX, Segment

log = structlog.get_logger(__name__)

SLICE_BYTES = 512 * 1024
_SELECTOR = re.compile(
    r"amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time(?:-utc)?)"
    r"\s*(>=?)\s*'(@latest|-?\d+)'"
)


class SelectorError(ValueError):
    """A start position that is none of offset, sequence number, time, @latest."""


@dataclass(frozen=True)
class Retention:
    """How long a partition keeps events: whole segments go, oldest first; None: no limit."""

    max_age_seconds: float | None = 86_400.0
    max_bytes: int | None = None
    segment_bytes: int = 8 * 2**20


@dataclass(frozen=True)
class PartitionInfo:
    """What receivers may ask about a partition; an empty one ends before it begins."""

    first: int
    last: int
    last_offset: str
    last_ms: int

    @property
    def empty(self) -> bool:
        """Whether it holds no event."""
        return self.last < self.first


class HotSegments:
    """Closed segments that are in memory, up to a number of bytes over all partitions."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._held: OrderedDict[Segment, int] = OrderedDict()

    def touch(self, segment: Segment) -> None:
        """Note that a closed segment was read; the one unread for longest may have to go."""
        if segment.path is None:
            return
        self._held[segment] = segment.size_bytes
        self._held.move_to_end(segment)
        while len(self._held) > 1 and sum(self._held.values()) > self._limit:
            self._held.popitem(last=False)[0].unload()

    def forget(self, segment: Segment) -> None:
        """Note that a segment is gone."""
        self._held.pop(segment, None)


class PartitionLog:
    """Events of one partition, in a folder or in memory; numbered from 0 without gaps."""

    def __init__(
        self,
        name: str,
        folder: Path | None,
        retention: Retention,
        hot: HotSegments,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.name = name
        self._folder = folder
        self._retention = retention
        self._hot = hot
        self._now_ms = now_ms
        self._segments = self._open()
        self._last_ms = max(segment.last_ms or 0 for segment in self._segments)
        self._dirty = False
        self._closed_files: list[int] = []  # not synced yet

    def _open(self) -> list[Segment]:
        segments = []
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            paths = sorted(self._folder.glob(f"*{SUFFIX}"))
            segments = [Segment.from_file(path) for path in paths]
        if not segments:
            segments = [self._new(0, 0)]
        segments[-1].open_for_writing()
        if not segments[-1].count and len(segments) > 1:
            segments[-2].load()  # the clock goes on from the last event
            self._hot.touch(segments[-2])
        return segments

    def _new(self, first: int, base: int) -> Segment:
        path = self._folder / Segment.name(first, base) if self._folder is not None else None
        return Segment(path, first, base)

    @property
    def first(self) -> int:
        """The lowest sequence number that is still there (or the next one to come)."""
        return self._segments[0].first

    @property
    def next(self) -> int:
        """The sequence number of the next event to come."""
        return self._segments[-1].first + self._segments[-1].count

    @property
    def info(self) -> PartitionInfo:
        """Tell what the partition holds."""
        active = self._segments[-1]
        # of an empty one: behind all that was, before all that comes
        offset = active.offsets[-1] if active.count else active.base - 1
        return PartitionInfo(self.first, self.next - 1, str(offset), self._last_ms)

    def append(self, events: list[Event]) -> int:
        """Write events, which are with the operating system on return; give the first's number.

        Raises:
            OSError: the disk refused; none of them was kept.

        """
        self._last_ms = now_ms = max(self._last_ms, self._now_ms())
        active = self._segments[-1]
        if active.count and active.size_bytes >= self._retention.segment_bytes:
            active = self._roll()
        first = number = self.next
        offset = active.end_offset
        messages = []
        for event in events:
            message = stamp(event, number, offset, now_ms)
            messages.append(message)
            number += 1
            offset += RECORD_BYTES + len(message)
        active.write(messages, now_ms)
        self._dirty = True
        return first

    def _roll(self) -> Segment:
        closed = self._segments[-1]
        segment = self._new(self.next, closed.end_offset)
        segment.open_for_writing()
        self._segments.append(segment)
        self._closed_files += closed.duplicate()
        closed.close()
        self._hot.touch(closed)
        return segment

    def read(self, number: int, count: int) -> tuple[int, list[bytes]]:
        """Read messages from a sequence number on.

        Returns:
            The number of the first one (higher than asked where retention has passed) and up
            to `count` messages, none if the end is reached.

        """
        number = max(number, self.first)
        while number < self.next:
            at = bisect_right(self._segments, number, key=lambda s: s.first) - 1
            segment = self._segments[at]
            messages = segment.slice(number, count, SLICE_BYTES)
            self._note_read(segment)
            if messages:
                return number, messages
            log.error("segment is damaged", partition=self.name, lost_from=number)
            number = self._segments[at + 1].first
        return number, []

    def position(self, selector: str | None) -> int:
        """Find the sequence number at which a receiver starts.

        Args:
            selector: the SDK's filter, such as `amqp.annotation.x-opt-offset > '-1'`.

        Raises:
            SelectorError: it is none of those that Event Hubs knows.

        """
        if not selector:
            return self.first
        found = _SELECTOR.fullmatch(selector.strip())
        if found is None:
            raise SelectorError(f"cannot start at {selector!r}")
        kind, operator, place = found.groups()
        if place == "@latest":
            return self.next
        inclusive = operator == ">="
        if kind == "sequence-number":
            return max(self.first, int(place) + (not inclusive))
        return self._seek(int(place), by_time=kind != "offset", inclusive=inclusive)

    def _seek(self, place: int, *, by_time: bool, inclusive: bool) -> int:
        """Take the last segment that begins before the place; its successor if all is before."""
        candidate = self._segments[0]
        for segment in self._segments[1:]:
            begin = segment.first_ms if by_time else segment.base
            if begin is None or begin > place or (begin == place and inclusive):
                break
            candidate = segment
        number = candidate.seek(place, by_time=by_time, inclusive=inclusive)
        self._note_read(candidate)
        return number

    def _note_read(self, segment: Segment) -> None:
        if segment is not self._segments[-1]:
            self._hot.touch(segment)

    def retain(self) -> None:
        """Drop the segments that are too old or too many; numbers go on where they were."""
        self._close_aged()
        total = sum(segment.size_bytes for segment in self._segments)
        while len(self._segments) > 1 and (self._aged(0) or self._over(total)):
            gone = self._segments.pop(0)
            total -= gone.size_bytes
            self._hot.forget(gone)
            gone.delete()

    def _close_aged(self) -> None:
        """A quiet partition's segment closes by age too, else its events would stay for ever."""
        age, active = self._retention.max_age_seconds, self._segments[-1]
        if age is None or active.first_ms is None:
            return
        if active.count and self._now_ms() - active.first_ms > age * 1000 / 4:
            self._roll()

    def _aged(self, at: int) -> bool:
        if self._retention.max_age_seconds is None:
            return False
        segment, following = self._segments[at], self._segments[at + 1]
        if segment.last_ms is None and following.first_ms is None:
            segment.load()
            self._hot.touch(segment)
        newest = following.first_ms if segment.last_ms is None else segment.last_ms
        horizon = self._now_ms() - self._retention.max_age_seconds * 1000
        return newest is not None and newest < horizon

    def _over(self, total: int) -> bool:
        return self._retention.max_bytes is not None and total > self._retention.max_bytes

    def unsynced(self) -> list[int]:
        """Give descriptors of what is written but not synced, for the caller to sync and close."""
        files, self._closed_files = self._closed_files, []
        if self._dirty:
            files += self._segments[-1].duplicate()
        self._dirty = False
        return files

    def close(self) -> None:
        """End writing and bring everything to the disk."""
        files = self.unsynced()
        self._segments[-1].close()
        sync(files)


def sync(files: Iterable[int]) -> None:
    """Bring files to the disk and close them; may run in a thread."""
    for file in files:
        try:
            os.fsync(file)
        finally:
            os.close(file)
