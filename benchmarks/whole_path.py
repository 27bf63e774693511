"""The whole path against a bare loop, in one run: hub, SDK, decode, Valkey, sealed bundles.

A hub is filled first. Then, again and again and in turn, three processes read it all: a loop
that parses bodies in memory and keeps them in a dict, the same loop behind the SDK, and the
service, without a flow, until the last event is in a manifest. `verify` proves each run.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import load, processes
from benchmarks.command import start
from benchmarks.figures import Figures
from benchmarks.load import Shape
from benchmarks.place import Hub, Service

MICRO = 1e6
EXAMPLE = """
Examples:

  python -m benchmarks.whole_path                       40,000 large events, 200,000 small ones

  python -m benchmarks.whole_path --events 5000 --repeat 3

  python -m benchmarks.whole_path --quick               does it work? the figures mean nothing

  python -m benchmarks.whole_path > figures.jsonl       the table is on standard error
"""
Cost = dict[str, float]


def whole_path(
    *,
    events: Annotated[
        int,
        typer.Option(
            min=1, envvar="BENCH_EVENTS", help="Large events; small ones are five times as many."
        ),
    ] = 40_000,
    repeat: Annotated[
        int, typer.Option(min=1, envvar="BENCH_REPEAT", help="How often all is measured.")
    ] = 5,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of the hub.")] = 2,
    quick: Annotated[bool, typer.Option("--quick", help="A few events, once.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure events a second and processor time of the whole path against bare loops."""
    wanted = load.shapes(load.QUICK if quick else events)
    with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
        figures = measure(Path(place), wanted, 1 if quick else repeat, partitions)
    counts = " and ".join(f"{shape.events:,} {shape.name}" for shape in wanted)
    figures.show(f"{counts} events, {partitions} partitions, no flow")


def measure(place: Path, shapes: tuple[Shape, ...], repeat: int, partitions: int) -> Figures:
    """Run both loops and the service in turn."""
    figures = Figures()
    hub = Hub(place, [shape.name for shape in shapes], partitions)
    try:
        connection = hub.connection()
        for shape in shapes:
            load.write(place / shape.name, asyncio.run(load.fill(connection, shape, partitions)))
        for run in range(repeat):
            for shape in shapes:
                _say(f"run {run + 1} of {repeat}, {shape.name} events")
                memory = _bare(["memory", "--bodies", str(place / shape.name)], connection)
                wish = ["hub", "--hub", shape.name, "--partitions", str(partitions)]
                sdk = _bare([*wish, "--events", str(shape.events)], connection)
                whole = _whole(place / f"{shape.name}-{run}", hub, connection, shape)
                _note(figures, shape, memory, sdk, whole)
    finally:
        processes.end(hub.process)
    return figures


def _bare(arguments: list[str], connection: str) -> Cost:
    """Run a bare loop as a process of its own."""
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare", *arguments],
        env={**os.environ, "HUB": connection},
        check=True,
        stdout=subprocess.PIPE,
    ).stdout
    cost: Cost = json.loads(said)
    return cost


def _whole(folder: Path, hub: Hub, connection: str, shape: Shape) -> Cost:
    """Run the service on a full hub until the last event is committed."""
    service = Service(folder, hub, connection, shape)
    try:
        began, received = service.wait_until_received()
        spent = service.wait_until_committed().since(began)
        peak = service.peak_bytes()
        service.proven()
    finally:
        processes.end(service.process)
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "events": max(1, shape.events - received),  # the first were received before it began
        "seconds": spent.wall,
        "cpu_seconds": spent.service,
        "valkey_seconds": spent.valkey,
        "hub_seconds": spent.hub,
        "peak_bytes": peak,
    }


def _note(figures: Figures, shape: Shape, memory: Cost, sdk: Cost, whole: Cost) -> None:
    for name, cost in (("bare", memory), ("bare_sdk", sdk), ("whole", whole)):
        prefix = f"{shape.name}.{name}"
        figures.add(f"{prefix}.events_per_second", "1/s", cost["events"] / cost["seconds"])
        figures.add(f"{prefix}.cpu", "us/event", _each(cost, "cpu_seconds"))
        figures.add(f"{prefix}.peak_memory", "MiB", cost["peak_bytes"] / 2**20)
    whole_prefix = f"{shape.name}.whole"
    figures.add(
        f"{whole_prefix}.events_per_cpu_second", "1/s", whole["events"] / whole["cpu_seconds"]
    )
    figures.add(f"{whole_prefix}.valkey_cpu", "us/event", _each(whole, "valkey_seconds"))
    figures.add(f"{whole_prefix}.hub_cpu", "us/event", _each(whole, "hub_seconds"))
    for name, cost in (("bare", memory), ("bare_sdk", sdk)):
        ratio = f"{shape.name}.whole_to_{name}"
        figures.add(f"{ratio}.time", "times", whole["seconds"] / cost["seconds"])
        figures.add(f"{ratio}.cpu", "times", whole["cpu_seconds"] / cost["cpu_seconds"])


def _each(cost: Cost, name: str) -> float:
    return MICRO * cost[name] / cost["events"]


def _say(text: Any) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    start(whole_path, EXAMPLE)
