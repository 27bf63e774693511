"""The durable path against the bare loop, in one run: the same events, the same batches.

Contenders run in turn, each as a process of its own, and each one's batches are checked by the
same verifier. Then the service behind the SDK is held against a loop behind the SDK. Standard
output has one JSON line a figure; `--record` keeps every run of a contender.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import batches, load, processes, whole_path
from benchmarks.figures import machine
from benchmarks.workloads import WORKLOADS, Workload

LOOK_SECONDS = 0.1
PARTITIONS = 2
MISSING = {
    "durable/bytewax": "Bytewax is not among the contenders yet",
    "workers_2/workers_1": "the service has no setting `workers`",
}
MODULES = {"bare": "benchmarks.reference", "durable": "benchmarks.durable"}
READERS = {"bare": batches.of_bare, "durable": batches.of_durable}
EXAMPLE = """
Examples:

  python -m benchmarks.compare                          both workloads at a twentieth, five times

  python -m benchmarks.compare --events 200000 --workload W1

  python -m benchmarks.compare --record runs.jsonl      every run, with processor time and memory
"""
Cost = dict[str, Any]


def compare(
    *,
    events: Annotated[
        int | None, typer.Option(min=1, help="Events of each workload (a twentieth of it).")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="How often all is measured.")] = 5,
    workload: Annotated[str | None, typer.Option(help="Only W1 or W2.")] = None,
    sdk_events: Annotated[
        int, typer.Option(min=0, help="Events through the SDK; 0 leaves that out.")
    ] = 5_000,
    record: Annotated[Path | None, typer.Option(help="File for a JSON line a run.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure the durable path against the bare loop."""
    if workload is not None and workload not in WORKLOADS:
        raise typer.BadParameter("take W1 or W2", param_hint="--workload")
    lines: list[Cost] = [{"machine": machine()}]
    for chosen in WORKLOADS.values():
        if workload in (None, chosen.name):
            with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
                lines += _measure(Path(place), chosen, events or chosen.full_events // 20, runs)
    if sdk_events:
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            _sdk_path(Path(place), sdk_events, runs)
    for name, why in MISSING.items():
        print(f"{name} is not measured: {why}", file=sys.stderr)
    if record is not None:
        record.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _measure(place: Path, workload: Workload, events: int, runs: int) -> list[Cost]:
    source = place / "events"
    workload.write(source, events)
    wish = batches.wanted(source, workload.threshold)
    found: list[Cost] = []
    ratios = []
    for run in range(runs):
        order = list(READERS)[:: -1 if run % 2 else 1]  # none is always the first
        costs = {name: _run(place / f"{name}-{run}", name, source, workload) for name in order}
        for name in order:
            out = place / f"{name}-{run}"
            costs[name]["batches"] = batches.check(name, wish, READERS[name](out))
            found.append({"workload": workload.name, "events": events, "run": run, **costs[name]})
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
            subprocess.run(["rm", "-r", str(out)], check=True)  # noqa: S607
        ratios.append(costs["bare"]["seconds"] / costs["durable"]["seconds"])
    print(json.dumps(figure("durable/bare", workload.name, ratios)), flush=True)
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


def figure(name: str, workload: str, ratios: list[float]) -> Cost:
    """Give the median of all runs, and the lowest and highest; above 1 is faster."""
    return {
        "figure": name,
        "workload": workload,
        "median": round(statistics.median(ratios), 2),
        "spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "runs": len(ratios),
    }


def _run(out: Path, name: str, source: Path, workload: Workload) -> Cost:
    """Run one contender, and look at the memory of all its processes meanwhile."""
    out.mkdir()
    command = [sys.executable, "-m", MODULES[name], "--events", str(source)]
    command += ["--out", str(out), "--threshold", str(workload.threshold)]
    os.sync()  # what others wrote is not for this one to wait for
    began, peak = time.time(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, processes.pss_bytes(processes.tree(process.pid)))
            time.sleep(LOOK_SECONDS)
        said = process.stdout.read() if process.stdout else b""
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    cost: Cost = json.loads(said)
    startup = cost.pop("first_record_at") - began
    return {"contender": name, **cost, "startup_seconds": startup, "peak_pss_bytes": peak}


def main() -> None:
    """Run the command."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=EXAMPLE)(compare)
    app()


if __name__ == "__main__":
    main()
