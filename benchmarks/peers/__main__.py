"""All peers, the durable path and the bare loop, one round after another.

A round's costs are added to the file as it ends, and what a file has is not measured again: so
the same command goes on where the last one stopped. `python -m benchmarks.table` draws the file.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.batches import WrongBatches
from benchmarks.command import start
from benchmarks.contenders import CONTENDERS, ContenderFailed, Cost, Field, python
from benchmarks.figures import machine
from benchmarks.peers.environment import NotInstalled, versions_of
from benchmarks.sheet import Sheet
from benchmarks.workloads import WORKLOADS

EXAMPLE = """
Examples:

  python -m benchmarks.peers peers.jsonl                  a tenth of each workload, five rounds

  python -m benchmarks.peers peers.jsonl --minutes 8      again, until all rounds are there

  python -m benchmarks.peers whole.jsonl --share 1 --only bytewax
"""


def peers(
    file: Annotated[Path, typer.Argument(help="JSON lines; what it has is not measured again.")],
    *,
    share: Annotated[float, typer.Option(min=1e-4, max=1, help="How much of a workload.")] = 0.1,
    runs: Annotated[int, typer.Option(min=1, help="Rounds of each workload.")] = 5,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these, besides bare and durable.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Begin no round that lasts longer.")] = 1e6,
    folder: Annotated[Path | None, typer.Option(help="Where to put it all meanwhile.")] = None,
) -> None:
    """Measure what users would take instead, beside the durable path and the bare loop."""
    if unknown := set(only or ()) - set(CONTENDERS):
        raise typer.BadParameter(f"take some of {', '.join(CONTENDERS)}; not {unknown}")
    sheet = Sheet(file)
    sizes = {name: int(share * workload.full_events) for name, workload in WORKLOADS.items()}
    left = {name: sheet.left(name, events, runs) for name, events in sizes.items()}
    names = list(_there(only or list(CONTENDERS)))
    if any(left.values()):
        versions = {name: _versions(name) for name in names}
        day = time.strftime("%Y-%m-%d", time.gmtime())
        sheet.add({"day": day, "machine": machine(), "versions": versions})
    clock = Clock(60 * minutes)
    for name, rounds in left.items():
        with (
            tempfile.TemporaryDirectory(prefix="hr-peers-", dir=folder) as place,
            Field(Path(place), WORKLOADS[name], sizes[name]) as field,
        ):
            for run in rounds:
                with clock.time():
                    sheet.add(*_round(field, run, names))
    for line in sheet.figures():
        print(json.dumps(line))


class Clock:
    """Lets no round begin that would last longer than there is time."""

    def __init__(self, seconds: float) -> None:
        self._ends, self._longest = time.monotonic() + seconds, 0.0

    @contextmanager
    def time(self) -> Iterator[None]:
        """Time a round."""
        began = time.monotonic()
        if began + self._longest > self._ends:
            raise SystemExit("not all is measured yet: the same command goes on")
        yield
        self._longest = max(self._longest, time.monotonic() - began)


def _there(names: list[str]) -> Iterator[str]:
    """Give those who are installed, or can be."""
    for name in dict.fromkeys(["bare", "durable", *names]):
        try:
            python(name)
        except NotInstalled as error:
            print(f"{name} is not measured: {error}", file=sys.stderr)
        else:
            yield name


def _versions(name: str) -> dict[str, str]:
    return versions_of(name) if CONTENDERS[name].peer else {}


def _round(field: Field, run: int, names: list[str]) -> list[Cost]:
    """Let each run once; one that fails is left out from then on."""
    costs = []
    for name in names[:: -1 if run % 2 else 1]:
        try:
            costs.append(field.once(run, name))
        except (ContenderFailed, WrongBatches) as error:
            if not CONTENDERS[name].peer:
                raise
            print(f"{name} is not measured: {_last_line(error)}", file=sys.stderr)
            names.remove(name)
        else:
            print(json.dumps(costs[-1]), file=sys.stderr, flush=True)
    return costs


def _last_line(error: Exception) -> str:
    return str(error).splitlines()[-1]


if __name__ == "__main__":
    start(peers, EXAMPLE)
