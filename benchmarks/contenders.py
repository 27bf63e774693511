"""Those who are compared: each a process of its own, whose cost is measured and batches checked."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import batches, processes
from benchmarks.peers.environment import python_of
from benchmarks.workloads import Workload

ROOT = Path(__file__).parents[1]
LOOK_SECONDS = 0.1
Cost = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """A module that is run, and how the batches that it leaves are read."""

    module: str
    read: Callable[[Path], Iterator[tuple[str, batches.Batch]]] = batches.of_bare
    peer: bool = False  # run by the Python of a virtual environment of its own


CONTENDERS = {
    "bare": Contender("benchmarks.reference"),
    "durable": Contender("benchmarks.durable", batches.of_durable),
    "bytewax": Contender("benchmarks.peers.bytewax", peer=True),
}


class Field:
    """One workload of one size, for as many rounds as are wanted."""

    def __init__(self, place: Path, workload: Workload, events: int) -> None:
        self._place, self._workload, self._events = place.resolve(), workload, events
        self._source = self._place / "events"
        workload.write(self._source, events)
        self._wanted = batches.wanted(self._source, workload.threshold)

    def round(self, run: int, names: list[str]) -> dict[str, Cost]:
        """Let each contender run once, and give what it cost; none is always the first.

        Raises:
            CalledProcessError: a contender failed.
            WrongBatches: its batches are not those that the workload asks for.

        """
        return {name: self._once(run, name) for name in names[:: -1 if run % 2 else 1]}

    def _once(self, run: int, name: str) -> Cost:
        out = self._place / f"{name}-{run}"
        out.mkdir()
        try:
            cost = self._measure(name, out)
            found = CONTENDERS[name].read(out)
            cost["batches"] = batches.check(name, self._wanted, found)
        finally:
            subprocess.run(["rm", "-r", str(out)], check=True)  # noqa: S607
        about = {"workload": self._workload.name, "events": self._events, "run": run}
        return {**about, "contender": name, **cost}

    def _measure(self, name: str, out: Path) -> Cost:
        """Run one contender, and look at the memory of all its processes meanwhile."""
        command = [python(name), "-m", CONTENDERS[name].module, "--events", str(self._source)]
        command += ["--out", str(out), "--threshold", str(self._workload.threshold)]
        os.sync()  # what others wrote is not for this one to wait for
        began, peak = time.time(), 0
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            while process.poll() is None:
                peak = max(peak, processes.pss_bytes(processes.tree(process.pid)))
                time.sleep(LOOK_SECONDS)
            said = process.stdout.read() if process.stdout else b""
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        cost: Cost = json.loads(said.splitlines()[-1])
        startup = cost.pop("first_record_at") - began
        return {**cost, "startup_seconds": startup, "peak_pss_bytes": peak}


def python(name: str) -> str:
    """Give the Python that runs a contender; that of a peer is made when it is first asked for.

    Raises:
        NotInstalled: the peer cannot be installed here.

    """
    return str(python_of(name)) if CONTENDERS[name].peer else sys.executable
