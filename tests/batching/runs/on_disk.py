"""What a folder's store says of one job's runs, files and their times alone."""

from pathlib import Path

from batching import names
from batching.model import RunRecord, load


def records(store: Path, job: str) -> list[RunRecord]:
    """Give every record with batches, in order."""
    found: list[RunRecord] = []
    n = 0
    while (path := store / names.run(job, n)).exists():
        found.append(load(RunRecord, path.name, path.read_bytes()))
        n += 1
    return [record for record in found if record.batches]


def most_in_flight(store: Path, job: str) -> int:
    """Count the records without a result, at most, whenever one was created."""
    made = records(store, job)
    begun = [(store / names.run(job, r.n)).stat().st_mtime_ns for r in made]
    ended = [(store / names.result(job, r.n)).stat().st_mtime_ns for r in made]
    return max(sum(b <= now for b in begun) - sum(e < now for e in ended) for now in begun)
