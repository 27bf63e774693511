"""A store written by hand with the product's own writers, so that it can be damaged exactly."""

import asyncio
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from batching import names
from batching.adapters.folder import FolderStore
from batching.bundle import Builder, DeadLetters
from batching.lost import lost_entry
from batching.model import (
    Attempt,
    Entry,
    EntryKind,
    LostReason,
    Manifest,
    Position,
    Result,
    RunBatch,
    RunRecord,
    Store,
    dump,
)
from batching.verify import Report, Senders, verify

HUB, JOB, FLOW = "ns_h_5", "s", "SomeFlow"
NOW = 1_700_000_000 * 10**9
LETTER = {
    "reason": "bad_json",
    "detail": "no JSON",
    "body": b"{",
    "body_bytes": 1,
    "content_type": "",
    "properties": {},
    "annotations": {},
}


@dataclass
class MadeStore:
    """One partition's log and one job's runs. Each batch has two samples an event."""

    folder: Path
    start: int = 0
    manifests: list[tuple[Entry, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.identity = Store("id", "ns", "h", HUB, "$Default", {"0": self.start}, NOW)
        self.write("headrace.json", self.identity)

    def path(self, name: str) -> Path:
        return self.folder / ("" if name == "headrace.json" else "id") / name

    def write(self, name: str, document: Any) -> None:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document if isinstance(document, bytes) else dump(document))

    def batch(self, sensor: str, *numbers: int, stream: str = "s") -> Entry:
        """Write a bundle of one batch; give its entry, for the next manifest."""
        builder = Builder(["x"])
        for number in numbers:
            builder.add_chunk(
                np.arange(2) + NOW,
                np.full((2, 1), float(number)),
                sequence_number=number,
                enqueued_ns=NOW,
                message_id=f"m{number}",
            )
        builder.end_batch(sensor, 0)
        entry = self._entry(EntryKind.BATCH, stream, sensor, numbers, samples=2 * len(numbers))
        return self._kept(entry, builder, rows=(0, builder.rows))

    def dead(self, *numbers: int) -> Entry:
        """Write a bundle of dead letters."""
        letters = DeadLetters()
        for number in numbers:
            letters.add(LETTER, sequence_number=number, enqueued_ns=NOW, message_id=f"m{number}")
        entry = self._entry(EntryKind.BATCH, names.DEAD_STREAM, "_", numbers)
        return self._kept(entry, letters, rows=(0, len(numbers)))

    def ignored(self, first: int, last: int, events: int) -> Entry:
        """Say that some events between two numbers were only counted."""
        kind = EntryKind.IGNORED.value
        return Entry(kind, names.IGNORED_STREAM, "_", first, last, events)

    def lost(self, first: int, last: int) -> Entry:
        """Say that the hub no longer had some numbers."""
        return lost_entry(first, last, LostReason.RETENTION)

    def _entry(
        self, kind: EntryKind, stream: str, sensor: str, numbers: tuple[int, ...], **more: Any
    ) -> Entry:
        span = (numbers[0], numbers[-1], len(numbers))
        return Entry(kind.value, stream, sensor, *span, reason="drain", **more)

    def _kept(self, entry: Entry, bundle: Any, **more: Any) -> Entry:
        n = len(self.manifests)
        name = names.data(entry.stream, HUB, "0", n, f"{entry.first:08x}")
        self.write(name, b"".join(bundle.write()))
        return dataclasses.replace(entry, data=name, chunks=(0, entry.events), **more)

    def commit(self, *entries: Entry) -> None:
        """Write the next manifest."""
        n = len(self.manifests)
        self.manifests.append(entries)
        name = names.manifest(HUB, "0", n)
        self.write(name, Manifest("id", HUB, "0", n, NOW, "test", entries))

    def position(self, checkpoint: int) -> None:
        self.write(names.position(HUB, "0"), Position(checkpoint, 0))

    def run(self, n: int, start: int, to: int, *, leave_out: int = 0, again: int = 0) -> None:
        """Write record n over manifests [start, to), without or with some batches too often."""
        batches = [
            RunBatch("0", m, entry)
            for m in range(start, to)
            for entry in self.manifests[m]
            if entry.kind == EntryKind.BATCH and entry.stream == "s"
        ]
        batches = batches[: len(batches) - leave_out] + batches[:again]
        span = ({"0": start}, {"0": to}, tuple(batches), ("s",))
        self.write(names.run(JOB, n), RunRecord(JOB, n, FLOW, "id", HUB, NOW, *span))

    def result(self, n: int) -> None:
        self.write(names.result(JOB, n), Result(JOB, n, 1, "flow", "outputs/", NOW))

    def failed(self, n: int, cause: str) -> None:
        self.write(names.failed(JOB, n, 1), Attempt(JOB, n, 1, "name", NOW, cause))

    def remove(self, name: str) -> None:
        self.path(name).unlink()

    def report(self, **options: Any) -> Report:
        """Verify it."""

        async def run() -> Report:
            store = FolderStore(self.folder, read_only=True)
            try:
                return await verify(store, **options)
            finally:
                await store.close()

        return asyncio.run(run())

    def against(self, *lines: str) -> Report:
        return self.report(senders=Senders(lines, "senders.jsonl"))
