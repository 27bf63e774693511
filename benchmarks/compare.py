"""The durable path against the bare loop and Bytewax: the same events, the same batches.

Contenders run in turn, each as a process of its own, and each one's batches are checked by the
same verifier. Then the service behind the SDK is held against a loop behind the SDK, and with two
workers against one. Standard output has one JSON line a figure; `--record` keeps every run of a
contender.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import load, whole_path, workers
from benchmarks.command import start
from benchmarks.contenders import Cost, Field, python
from benchmarks.figures import machine
from benchmarks.peers.environment import NotInstalled
from benchmarks.sheet import figure
from benchmarks.workloads import WORKLOADS, Workload

PARTITIONS = 2
OTHERS = ("bare", "bytewax")  # that the durable path is held against
EXAMPLE = """
Examples:

  python -m benchmarks.compare                          both workloads at a twentieth, five times

  python -m benchmarks.compare --events 200000 --workload W1

  python -m benchmarks.compare --record runs.jsonl      every run, with processor time and memory
"""


def compare(
    *,
    events: Annotated[
        int | None, typer.Option(min=1, help="Events of each workload (a twentieth of it).")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often all is measured.")] = 5,
    workload: Annotated[str | None, typer.Option(help="Only W1 or W2.")] = None,
    sdk_events: Annotated[
        int, typer.Option(min=0, help="Large events through the SDK; 0 leaves that out.")
    ] = 30_000,
    worker_events: Annotated[
        int, typer.Option(min=0, help="Events through two workers and one; 0 leaves that out.")
    ] = 150_000,
    record: Annotated[Path | None, typer.Option(help="File for a JSON line a run.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure the durable path against the bare loop and Bytewax."""
    if workload is not None and workload not in WORKLOADS:
        raise typer.BadParameter("take W1 or W2", param_hint="--workload")
    lines: list[Cost] = [{"machine": machine()}]
    others = [name for name in OTHERS if _there(name)]
    for chosen in WORKLOADS.values():
        if workload in (None, chosen.name):
            size = events or chosen.full_events // 20
            with (
                tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place,
                Field(Path(place), chosen, size) as field,
            ):
                lines += _measure(field, chosen, runs, others)
    if sdk_events:
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            _sdk_path(Path(place), sdk_events, runs)
    if worker_events:
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            _workers(Path(place), worker_events, runs)
    if record is not None:
        record.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _there(name: str) -> bool:
    try:
        python(name)
    except NotInstalled as error:
        print(f"durable/{name} is not measured: {error}", file=sys.stderr)
        return False
    return True


def _measure(field: Field, workload: Workload, runs: int, others: list[str]) -> list[Cost]:
    found: list[Cost] = []
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for run in range(runs):
        costs = field.round(run, [*others, "durable"])
        for cost in costs.values():
            print(json.dumps(cost), file=sys.stderr, flush=True)
        for name in others:
            ratios[name].append(costs[name]["seconds"] / costs["durable"]["seconds"])
        found += costs.values()
    for name in others:
        print(json.dumps(figure(f"durable/{name}", workload.name, ratios[name])), flush=True)
    return found


def _sdk_path(place: Path, events: int, runs: int) -> None:
    """Hold the service behind the SDK against a loop behind the SDK, for both sizes of events."""
    shapes = load.shapes(events)
    figures = whole_path.measure(place, shapes, runs, PARTITIONS)
    for shape in shapes:
        rates = [
            figures.runs(f"{shape.name}.{loop}.events_per_second") for loop in ("whole", "bare_sdk")
        ]
        ratios = [whole / sdk for whole, sdk in zip(*rates, strict=True)]
        print(json.dumps(figure("sdk_path/bare_sdk", shape.name, ratios)), flush=True)


def _workers(place: Path, events: int, runs: int) -> None:
    """Hold a service of two workers against one of one worker; small events are W2's in size."""
    name = "workers_2/workers_1"
    ratios = workers.measure(place, events, runs).runs(name)
    print(json.dumps(figure(name, "W2", ratios)), flush=True)


if __name__ == "__main__":
    start(compare, EXAMPLE)
