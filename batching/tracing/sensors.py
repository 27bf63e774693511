"""A sensor's newest batches: manifests are read from the newest back, as far as a time."""

import asyncio
from fnmatch import fnmatchcase

from batching.model import EntryKind, Manifest, RunBatch
from batching.tracing.search import CLOCKS_NS, STEP
from batching.view import Log

Committed = tuple[int, RunBatch]  # when, nanoseconds UTC


async def batches_of(record: Log, sensor: str, *, since_ns: int, most: int) -> list[Committed]:
    """Find batches of one partition that were committed since a time, the newest first.

    Args:
        record: the partition's log.
        sensor: its name, or a pattern such as `press-*`.
        since_ns: nanoseconds UTC.
        most: so many at most.

    """
    view, _ = await record.read()
    trimmed, _ = await record.trimmed()
    found: list[Committed] = []
    end = view.next
    while end > trimmed.below and len(found) < most:
        numbers = range(max(end - STEP, trimmed.below), end)
        manifests = await asyncio.gather(*map(record.manifest, numbers))
        there = [manifest for manifest in reversed(manifests) if manifest is not None]
        for manifest in there:
            found += _of(manifest, sensor, since_ns)
        if not there or there[-1].written < since_ns - CLOCKS_NS:
            break
        end = numbers.start
    return found[:most]


def _of(manifest: Manifest, sensor: str, since_ns: int) -> list[Committed]:
    if manifest.written < since_ns:
        return []
    return [
        (manifest.written, RunBatch(manifest.partition, manifest.n, entry))
        for entry in reversed(manifest.entries)
        if entry.kind == EntryKind.BATCH and fnmatchcase(entry.sensor, sensor)
    ]
