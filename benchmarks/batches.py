"""The verifier of all contenders: each batch must be the one that the workload asks for.

The events of each sensor are cut anew, in order, as soon as the threshold is reached. A
contender passes if its batches equal those, sample by sample: so each event is there once.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from batching.bundle import open_bundle
from benchmarks.workloads import arrays, name_of, records

Batch = tuple[Any, Any]  # times, values
Batches = dict[str, list[Batch]]  # of each sensor, in order


class WrongBatches(Exception):
    """A contender lost, doubled or mixed up something."""


def wanted(path: Path, threshold: int) -> Batches:
    """Cut the workload into batches."""
    done: Batches = {}
    opened: dict[str, list[Batch]] = {}
    for sensor, body in records(path):
        name = name_of(sensor)
        chunks = opened.setdefault(name, [])
        chunks.append(arrays(body))
        if sum(len(times) for times, _ in chunks) >= threshold:
            done.setdefault(name, []).append(_joined(opened.pop(name)))
    for name, chunks in opened.items():
        done.setdefault(name, []).append(_joined(chunks))
    return done


def _joined(chunks: list[Batch]) -> Batch:
    times, values = zip(*chunks, strict=True)
    return np.concatenate(times), np.concatenate(values)


def of_bare(out: Path) -> Iterator[tuple[str, Batch]]:
    """Read what the bare loop wrote."""
    for path in sorted(out.glob("*/*.npy")):
        batch = np.load(path)
        yield path.parent.name, (batch["time"], batch["value"])


def of_durable(out: Path) -> Iterator[tuple[str, Batch]]:
    """Read what manifests list, one after another; what no manifest lists does not count."""
    for path in sorted(out.glob("blobs/*/log/*/*/*/*.json")):
        store, opened = out / "blobs" / path.relative_to(out / "blobs").parts[0], {}
        for entry in json.loads(path.read_bytes())["entries"]:
            if entry["kind"] != "batch":
                raise WrongBatches(f"{path.name} lists a {entry['kind']}")
            data = entry["data"]
            if data not in opened:
                opened[data] = open_bundle((store / data).read_bytes(), data)
            first, last = entry["rows"]
            rows = opened[data].slice(first, last - first)
            times = rows.column("time").cast("int64").to_numpy()
            yield entry["sensor"], (times, rows.column("value").to_numpy())


def check(name: str, wish: Batches, found: Iterator[tuple[str, Batch]]) -> int:
    """Compare all batches with those that were asked for; give how many there are.

    Raises:
        WrongBatches: one is missing, there twice, or another.

    """
    counts = dict.fromkeys(wish, 0)
    for sensor, (times, values) in found:
        at = counts.get(sensor, 0)
        if at >= len(wish.get(sensor, ())):
            raise WrongBatches(f"{name}: {sensor} has a batch too many")
        if not (np.array_equal(times, wish[sensor][at][0])) or (
            not np.array_equal(values, wish[sensor][at][1])
        ):
            raise WrongBatches(f"{name}: batch {at} of {sensor} is another")
        counts[sensor] = at + 1
    if missing := [sensor for sensor, batches in wish.items() if counts[sensor] < len(batches)]:
        raise WrongBatches(f"{name}: {len(missing)} sensors lack batches, {missing[0]} first")
    return sum(counts.values())
