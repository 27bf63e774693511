"""A segment: some consecutive events of one partition, in memory, and in a file of their own.

A file is named by the first sequence number and offset that it may hold, and is a row of
records: size of the message (u32), CRC-32 of the rest (u32), sequence number (i64), enqueued
time in ms (i64), message; big endian. An event's offset is its record's place in the log.
"""

import os
import struct
import zlib
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path

from batching.structured import structlog

log = structlog.get_logger(__name__)

_RECORD = struct.Struct(">IIqq")
_MARKS = struct.Struct(">qq")
RECORD_BYTES = _RECORD.size
SUFFIX = ".log"


class Segment:
    """Events from sequence number `first` on; those of a closed segment may rest in the file."""

    def __init__(self, path: Path | None, first: int, base: int) -> None:
        self.path = path
        self.first = first
        self.base = base  # offset of the first event
        self.size_bytes = 0
        self.first_ms: int | None = None  # enqueued time of the first event
        self.last_ms: int | None = None
        self.messages: list[bytes] | None = []  # None: not in memory
        self.times = array("q")
        self.offsets = array("q")
        self._file: int | None = None

    @classmethod
    def from_file(cls, path: Path) -> "Segment":
        """Describe a segment on disk without reading more than its first record's head."""
        first, _, base = path.name.removesuffix(SUFFIX).partition("-")
        segment = cls(path, int(first), int(base))
        segment.messages = None
        segment.size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(RECORD_BYTES)
        if len(head) == RECORD_BYTES:
            segment.first_ms = _RECORD.unpack(head)[3]
        return segment

    @staticmethod
    def name(first: int, base: int) -> str:
        """Name a file so that a listing is in order."""
        return f"{first:020d}-{base:020d}{SUFFIX}"

    @property
    def count(self) -> int:
        """Events in memory."""
        return len(self.times)

    @property
    def end_offset(self) -> int:
        """The offset behind the last event."""
        return self.base + self.size_bytes

    def open_for_writing(self) -> None:
        """Create or open the file; what a kill left unfinished at its end is cut off."""
        if self.path is None:
            return
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        whole = self.load()
        on_disk = os.fstat(self._file).st_size
        if on_disk > whole:
            log.warning("torn tail cut off", segment=self.path.name, cut_bytes=on_disk - whole)
            os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def load(self) -> int:
        """Read the file into memory as far as it is sound; give the bytes that are."""
        raw = self.path.read_bytes() if self.path is not None and self.path.exists() else b""
        self.messages, self.times, self.offsets = [], array("q"), array("q")
        self.first_ms = self.last_ms = None
        at, expected = 0, self.first
        while len(raw) - at >= RECORD_BYTES:
            size, crc, number, time_ms = _RECORD.unpack_from(raw, at)
            end = at + RECORD_BYTES + size
            if end > len(raw) or number != expected or crc != zlib.crc32(raw[at + 8 : end]):
                break
            self._remember(raw[at + RECORD_BYTES : end], self.base + at, time_ms)
            at, expected = end, expected + 1
        self.size_bytes = at
        return at

    def unload(self) -> None:
        """Let go of the memory; the file has it all."""
        self.messages, self.times, self.offsets = None, array("q"), array("q")

    def write(self, messages: list[bytes], time_ms: int) -> None:
        """Append events; they are with the operating system when this returns.

        Raises:
            OSError: the disk refused; nothing of it was kept.

        """
        number = self.first + self.count
        records = []
        for message in messages:
            body = _MARKS.pack(number, time_ms) + message
            records.append(struct.pack(">II", len(message), zlib.crc32(body)) + body)
            number += 1
        if self._file is not None:
            self._write_all(b"".join(records))
        for message in messages:
            self._remember(message, self.end_offset, time_ms)
            self.size_bytes += RECORD_BYTES + len(message)

    def _write_all(self, raw: bytes) -> None:
        file = self._file
        if file is None:
            return
        view = memoryview(raw)
        try:
            while view:
                view = view[os.write(file, view) :]
        except OSError:
            os.ftruncate(file, self.size_bytes)
            os.lseek(file, self.size_bytes, os.SEEK_SET)
            raise

    def _remember(self, message: bytes, offset: int, time_ms: int) -> None:
        if self.messages is not None:
            self.messages.append(message)
        self.times.append(time_ms)
        self.offsets.append(offset)
        self.first_ms = time_ms if self.first_ms is None else self.first_ms
        self.last_ms = time_ms

    def slice(self, number: int, count: int, max_bytes: int) -> list[bytes]:
        """Give up to `count` messages from a number on, about `max_bytes`, at least one."""
        if self.messages is None:
            self.load()
        at = number - self.first
        if self.messages is None or not 0 <= at < len(self.messages):
            return []
        by_bytes = bisect_right(self.offsets, self.offsets[at] + max_bytes, lo=at)
        return self.messages[at : min(at + count, max(by_bytes, at + 1))]

    def seek(self, place: int, *, by_time: bool, inclusive: bool) -> int:
        """Find the first sequence number at or behind an offset or a time (ms)."""
        if self.messages is None:
            self.load()
        places = self.times if by_time else self.offsets
        find = bisect_left if inclusive else bisect_right
        return self.first + find(places, place)

    def duplicate(self) -> list[int]:
        """Give a descriptor of the file that is the caller's to sync and close; [] in memory."""
        return [] if self._file is None else [os.dup(self._file)]

    def close(self) -> None:
        """End writing; what was written is with the operating system."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def delete(self) -> None:
        """Drop it for good."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)
