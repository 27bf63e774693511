"""The cost of several processes, of which one reads the first record and another one the last."""

import json
import os
import time
from pathlib import Path

from benchmarks import processes

ELDEST = "BENCH_ELDEST"  # variable with the process of which all others descend


def begin(out: Path) -> None:
    """Write down, once, that the first record is read."""
    path = out / "first-record.json"
    if not path.exists():
        about = {"cpu": _cpu_seconds(), "clock": time.perf_counter(), "at": time.time()}
        path.write_text(json.dumps(about))


def spent(out: Path) -> dict[str, float]:
    """Give what was spent since then by all who are there, and by those who have ended."""
    first = json.loads((out / "first-record.json").read_text())
    return {
        "seconds": time.perf_counter() - first["clock"],
        "cpu_seconds": _cpu_seconds() - first["cpu"],
        "first_record_at": first["at"],
    }


def _cpu_seconds() -> float:
    pids = processes.tree(int(os.environ[ELDEST]))
    return sum(processes.cpu_seconds(pid, ended=True) for pid in pids)
