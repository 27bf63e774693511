"""All programs, one after another; what each prints is kept in a file.

`python -m benchmarks.limits.page` writes its tables and pictures. The last call of each program
counts, so that one of them can be run again by itself.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.contenders import ROOT
from benchmarks.limits.command import Full, Place, Quick, start
from benchmarks.limits.record import add

PROGRAMS = ("layers", "growth", "memory", "latency", "puts", "startup")
ASKED = ("argo",)  # only with --only: it needs the test cluster
GROW = {"growth", "memory"}  # have more with --full
EXAMPLE = """
Examples:

  python -m benchmarks.limits limits.jsonl              all of them, some fifteen minutes

  python -m benchmarks.limits limits.jsonl --only memory --full

  python -m benchmarks.limits limits.jsonl --quick      do they work? the figures mean nothing
"""


def limits(
    file: Annotated[Path, typer.Argument(help="JSON lines; the last of each program counts.")],
    *,
    only: Annotated[list[str] | None, typer.Option(help="Only these programs.")] = None,
    full: Full = False,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Measure what grows, and what it may cost at most."""
    if unknown := set(only or ()) - {*PROGRAMS, *ASKED}:
        raise typer.BadParameter(f"take some of {', '.join(PROGRAMS + ASKED)}; not {unknown}")
    for program in (name for name in PROGRAMS + ASKED if name in (only or PROGRAMS)):
        options = ["--quick"] if quick else []
        options += ["--full"] if full and program in GROW else []
        options += ["--folder", str(folder)] if folder else []
        command = ["-m", f"benchmarks.limits.{program}", *options]
        print(f"{program} ...", file=sys.stderr, flush=True)
        ran = subprocess.run(
            [sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
        )
        if ran.returncode:
            raise SystemExit(f"{program} failed: see above")
        day = time.strftime("%Y-%m-%d", time.gmtime())
        add(file, program, " ".join(["python", *command]), day, ran.stdout.splitlines())


if __name__ == "__main__":
    start(limits, EXAMPLE)
