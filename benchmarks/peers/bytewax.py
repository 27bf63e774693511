"""Bytewax with recovery: a keyed stateful step, and a source that is read on from a snapshot.

State and position are kept in SQLite at the end of each epoch. Files have numbers, so what is
done again after a restart writes the same files again.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from benchmarks.reference import Cost, arguments, write_batch
from benchmarks.workloads import HEAD_BYTES, SAMPLE_BYTES, name_of, records

EVENTS_AT_ONCE = 1_000
EPOCH = timedelta(seconds=1)  # as often as Valkey's append-only file is synced
MAX_AGE = timedelta(days=1)
Event = tuple[str, bytes]  # sensor, body
State = tuple[int, int, datetime | None, list[bytes]]  # number, samples, due, bodies
Batch = tuple[int, list[bytes]]  # number, bodies
costs: list[Cost] = []


class EventFile(StatefulSourcePartition[Event, int]):
    """Events from a position on, many at a time."""

    def __init__(self, path: Path, position: int) -> None:
        self._records, self._position = records(path, position), position

    def next_batch(self) -> list[Event]:
        """Give the next events."""
        costs or costs.append(Cost())
        events = []
        for sensor, body in self._records:
            self._position += HEAD_BYTES + len(body)
            events.append((name_of(sensor), body))
            if len(events) == EVENTS_AT_ONCE:
                break
        if not events:
            raise StopIteration
        return events

    def snapshot(self) -> int:
        """Give the position behind the last event."""
        return self._position


class EventSource(FixedPartitionedSource[Event, int]):
    """The one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def list_parts(self) -> list[str]:
        """Give its name."""
        return [self._path.name]

    def build_part(self, _step: str, _part: str, resume: int | None) -> EventFile:
        """Open it where a snapshot says."""
        return EventFile(self._path, resume or 0)


class Batcher(StatefulBatchLogic[bytes, Batch, State]):
    """The open batch of one sensor."""

    def __init__(self, threshold: int, state: State | None) -> None:
        self._threshold = threshold
        self._number, self._samples, self._due, self._bodies = state or (0, 0, None, [])

    def on_batch(self, bodies: list[bytes]) -> tuple[Iterable[Batch], bool]:
        """Keep bodies, and give batches that are full."""
        full = []
        for body in bodies:
            if not self._bodies:
                self._due = datetime.now(UTC) + MAX_AGE
            self._bodies.append(body)
            self._samples += len(body) // SAMPLE_BYTES
            if self._samples >= self._threshold:
                full.append(self._seal())
        return full, False

    def on_notify(self) -> tuple[Iterable[Batch], bool]:
        """Give the batch that has become too old."""
        return [self._seal()], False

    def on_eof(self) -> tuple[Iterable[Batch], bool]:
        """Give what is left."""
        return [self._seal()] if self._bodies else [], False

    def notify_at(self) -> datetime | None:
        """Say when it will be too old."""
        return self._due

    def snapshot(self) -> State:
        """Give what a restart needs."""
        return self._number, self._samples, self._due, list(self._bodies)

    def _seal(self) -> Batch:
        batch = self._number, self._bodies
        self._number, self._samples, self._due, self._bodies = self._number + 1, 0, None, []
        return batch


class Writer(StatelessSinkPartition[tuple[str, Batch]]):
    """Writes each batch as a file."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def write_batch(self, items: list[tuple[str, Batch]]) -> None:
        """Write some."""
        for sensor, (number, bodies) in items:
            write_batch(self._out, sensor, number, bodies)


class Folder(DynamicSink[tuple[str, Batch]]):
    """The folder of all batches."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def build(self, _step: str, _worker: int, _workers: int) -> Writer:
        """Give a worker's writer."""
        return Writer(self._out)


def flow(path: Path, out: Path, threshold: int) -> Dataflow:
    """Say what happens to an event."""
    dataflow = Dataflow("batches")
    events = op.input("events", dataflow, EventSource(path))
    batches = op.stateful_batch("batch", events, lambda state: Batcher(threshold, state))
    op.output("files", batches, Folder(out))
    return dataflow


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    state = wish.out / "recovery"
    state.mkdir(exist_ok=True)
    if not any(state.iterdir()):
        init_db_dir(state, 1)
    dataflow = flow(wish.events, wish.out, wish.threshold)
    cli_main(dataflow, epoch_interval=EPOCH, recovery_config=RecoveryConfig(state))
    print(json.dumps(costs[0].spent()))


if __name__ == "__main__":
    main()
