"""Pathway with persistence: a stateful reducer of each sensor, and a callback that writes.

What came is kept in a folder once a second. The rows of one commit have no order, hence the
number. A restart reads the source from its beginning: its position cannot be set in public.
"""

import json
from pathlib import Path
from typing import Any

import pathway as pw

from benchmarks.reference import Cost, arguments, write_batch
from benchmarks.workloads import SAMPLE_BYTES, name_of, records

SNAPSHOT_MS = 1_000  # as often as Valkey's append-only file is synced
State = tuple[int, int, tuple[bytes, ...], tuple[tuple[bytes, ...], ...]]
costs: list[Cost] = []


class Event(pw.Schema):
    """An event as a row."""

    sensor: str
    number: int
    body: bytes


class EventSource(pw.io.python.ConnectorSubject):
    """The one file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def run(self) -> None:
        """Hand over each event."""
        costs.append(Cost())
        for number, (sensor, body) in enumerate(records(self._path)):
            self.next(sensor=name_of(sensor), number=number, body=body)


def batcher(threshold: int) -> Any:
    """Give a reducer to: number of the next batch, its samples, its bodies, batches now full."""

    @pw.reducers.stateful_many
    def batch(state: State | None, rows: list[tuple[list[Any], int]]) -> State:
        number, samples, kept, full = state or (0, 0, (), ())
        number, bodies, full = number + len(full), list(kept), []
        for _, body in sorted(row for row, _ in rows):
            bodies.append(body)
            samples += len(body) // SAMPLE_BYTES
            if samples >= threshold:
                full.append(tuple(bodies))
                samples, bodies = 0, []
        return number, samples, tuple(bodies), tuple(full)

    return batch


class Folder:
    """The folder of all batches, and what of each sensor is left for the end."""

    def __init__(self, out: Path) -> None:
        self._out, self._left = out, dict[str, tuple[int, tuple[bytes, ...]]]()

    def on_change(self, *, row: dict[str, Any], is_addition: bool, **_: Any) -> None:
        """Write the batches that a change has filled."""
        if is_addition:
            first, _, bodies, full = row["state"]
            for number, batch in enumerate(full, first):
                write_batch(self._out, row["sensor"], number, batch)
            self._left[row["sensor"]] = first + len(full), bodies

    def on_end(self) -> None:
        """Write what is left."""
        for sensor, (number, bodies) in self._left.items():
            if bodies:
                write_batch(self._out, sensor, number, bodies)


def flow(path: Path, out: Path, threshold: int) -> None:
    """Say what happens to an event."""
    folder = Folder(out)
    events = pw.io.python.read(EventSource(path), schema=Event, name="events")
    state = batcher(threshold)(pw.this.number, pw.this.body)
    batches = events.groupby(events.sensor).reduce(events.sensor, state=state)
    pw.io.subscribe(batches, folder.on_change, folder.on_end)


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    flow(wish.events, wish.out, wish.threshold)
    backend = pw.persistence.Backend.filesystem(wish.out / "persistence")
    config = pw.persistence.Config(backend, snapshot_interval_ms=SNAPSHOT_MS)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=config)
    print(json.dumps(costs[0].spent()))


if __name__ == "__main__":
    main()
