"""More processes against one: events a second of a whole service that is one process or more.

Three ways take turns: one worker of one process, two of them, and one worker that receives in a
process of its own, as a service does by default where there are two cores.

A hub holds many small events back until the service has opened every partition, then lets go:
start-up is not measured. Each round ends when the last event is in a manifest, and
`verify` proves it. Hub and Valkey run on the same machine and want their part of its cores.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import load, processes
from benchmarks.command import start
from benchmarks.figures import Figures
from benchmarks.held_hub import HeldHub
from benchmarks.load import Shape
from benchmarks.place import START_SECONDS, BenchmarkFailed, Service, Spent

SMALL, SAMPLES = "small", 2  # 150 B of JSON: about the size of W2's events
MICRO = 1e6
LOOK_SECONDS = 0.1  # each look takes time of the cores that are measured
ONE_PROCESS = {"receive": {"process": "same"}}
WAYS: dict[str, dict[str, Any]] = {
    "workers_1": {"workers": 1, **ONE_PROCESS},
    "workers_2": {"workers": 2, **ONE_PROCESS},
    "receiver": {"workers": 1, "receive": {"process": "own"}},
}
EXAMPLE = """
Examples:

  python -m benchmarks.workers                     150,000 events, two partitions, five times

  python -m benchmarks.workers --quick             does it work? the figures mean nothing
"""


def workers(
    *,
    events: Annotated[int, typer.Option(min=1, help="Events of each round.")] = 150_000,
    repeat: Annotated[int, typer.Option(min=1, help="How often all are measured.")] = 5,
    partitions: Annotated[int, typer.Option(min=2, help="Partitions of the hub.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="A few events, once.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure events a second and processor time of a service of one process and of more."""
    count, times = (load.QUICK, 1) if quick else (events, repeat)
    with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
        figures = measure(Path(place), count, times, partitions)
    figures.show(f"{count:,} small events, {partitions} partitions, no flow")


def measure(place: Path, events: int, repeat: int, partitions: int = 2) -> Figures:
    """Run a service in each way in turn, on the same events."""
    figures = Figures()
    whole = -(-events // load.CHUNKS_A_BATCH) * load.CHUNKS_A_BATCH
    shape = Shape(SMALL, SAMPLES, whole)
    hub = HeldHub(place, SMALL, partitions)
    try:
        connection = hub.connection()
        asyncio.run(load.fill(connection, shape, partitions))
        for run in range(repeat):
            rates = {}
            for way in list(WAYS) if run % 2 else reversed(WAYS):
                print(f"run {run + 1} of {repeat}, {way}", file=sys.stderr, flush=True)
                spent = _round(place / f"{way}-{run}", hub, connection, shape, WAYS[way])
                rates[way] = shape.events / spent.wall
                _note(figures, way, shape.events, spent)
            for way in ("workers_2", "receiver"):
                figures.add(f"{way}/workers_1", "times", rates[way] / rates["workers_1"])
    finally:
        hub.end()
    return figures


def _round(
    folder: Path, hub: HeldHub, connection: str, shape: Shape, settings: dict[str, Any]
) -> Spent:
    """Let a service read it all; tell what that took."""
    hub.hold()
    service = Service(folder, hub, connection, shape, **settings)
    try:
        _wait_until_ready(service, folder)
        hub.let_go()
        began = service.spent()
        spent = service.wait_until_committed(LOOK_SECONDS).since(began)
        service.proven()
    finally:
        processes.end(service.process)
        shutil.rmtree(folder, ignore_errors=True)
    return spent


def _wait_until_ready(service: Service, folder: Path) -> None:
    """Wait until the service says that it is ready."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            service.asked("readyz")
        except (OSError, ValueError):
            time.sleep(LOOK_SECONDS)
        else:
            return
    raise BenchmarkFailed(f"the service does not get ready: see {folder / 'service.log'}")


def _note(figures: Figures, name: str, events: int, spent: Spent) -> None:
    figures.add(f"{name}.events_per_second", "1/s", events / spent.wall)
    for part, seconds in (
        ("cpu", spent.service),
        ("valkey_cpu", spent.valkey),
        ("hub_cpu", spent.hub),
    ):
        figures.add(f"{name}.{part}", "us/event", MICRO * seconds / events)
    busy = spent.service + spent.valkey + spent.hub
    figures.add(f"{name}.cores_busy", "cores", busy / spent.wall)


if __name__ == "__main__":
    start(workers, EXAMPLE)
