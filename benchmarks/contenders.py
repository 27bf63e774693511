"""Those who are compared: each a process of its own, whose cost is measured and batches checked."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from benchmarks import batches, processes
from benchmarks.peers.environment import python_of
from benchmarks.workloads import Workload

ROOT = Path(__file__).parents[1]
LOOK_SECONDS, END_SECONDS = 0.1, 30.0
LAST_WORDS = 15  # lines
Cost = dict[str, Any]


class ContenderFailed(Exception):
    """A contender did not end well; the message has its last words."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A module that is run, and how the batches that it leaves are read."""

    module: str
    read: Callable[[Path], Iterator[tuple[str, batches.Batch]]] = batches.of_bare
    peer: bool = False  # run by the Python of a virtual environment of its own
    needs: str = ""  # what stands beside it, as a module; its address is an option of that name


CONTENDERS = {
    "bare": Contender("benchmarks.reference"),
    "durable": Contender("benchmarks.durable", batches.of_durable),
    "bytewax": Contender("benchmarks.peers.bytewax", peer=True),
    "pathway": Contender("benchmarks.peers.pathway", peer=True),
    "quix": Contender("benchmarks.peers.quix", peer=True, needs="broker"),
    "flink": Contender("benchmarks.peers.flink", peer=True),
}


class Field:
    """One workload of one size, for as many rounds as are wanted."""

    def __init__(self, place: Path, workload: Workload, events: int) -> None:
        self._place, self._workload, self._events = place.resolve(), workload, events
        self._source = self._place / "events"
        workload.write(self._source, events)
        self._wanted = batches.wanted(self._source, workload.threshold)
        self._beside, self._addresses = ExitStack(), dict[str, str]()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._beside.close()

    def round(self, run: int, names: list[str]) -> dict[str, Cost]:
        """Let each contender run once, and give what it cost; none is always the first.

        Raises:
            ContenderFailed: one did not end well.
            WrongBatches: its batches are not those that the workload asks for.

        """
        return {name: self.once(run, name) for name in names[:: -1 if run % 2 else 1]}

    def once(self, run: int, name: str) -> Cost:
        """Let one contender run; see `round`."""
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
        """Look at the memory of all its processes meanwhile, also of servers in its folder."""
        command = self._command(name, CONTENDERS[name].module, out)
        if need := CONTENDERS[name].needs:
            command += [f"--{need}", self._address(name, need)]
        os.sync()  # what others wrote is not for this one to wait for
        began, peak, family = time.time(), 0, list[int]()
        log = self._place / f"{name}.log"
        with (
            log.open("wb") as words,
            subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=words) as process,
        ):
            while process.poll() is None:
                family = [*{*processes.tree(process.pid), *processes.working_in(out)}]
                peak = max(peak, processes.pss_bytes(family))
                time.sleep(LOOK_SECONDS)
            said = process.stdout.read() if process.stdout else b""
        _wait_for(family)
        if process.returncode:
            raise ContenderFailed(_last_words(name, log))
        log.unlink()
        cost: Cost = json.loads(said.splitlines()[-1])
        startup = cost.pop("first_record_at") - began
        return {**cost, "startup_seconds": startup, "peak_pss_bytes": peak}

    def _command(self, name: str, module: str, out: Path) -> list[str]:
        command = [python(name), "-m", module, "--events", str(self._source)]
        return [*command, "--out", str(out), "--threshold", str(self._workload.threshold)]

    def _address(self, name: str, need: str) -> str:
        """Give the address of what stands beside a contender; it stays for all rounds."""
        if need not in self._addresses:
            command = self._command(name, f"benchmarks.peers.{need}", self._place)
            beside = _beside(command, self._place / f"{need}.log")
            self._addresses[need] = self._beside.enter_context(beside)
        return self._addresses[need]


@contextmanager
def _beside(command: list[str], log: Path) -> Iterator[str]:
    """Run a process until the end; give the address that it says when it is ready."""
    pipe = subprocess.PIPE
    with (
        log.open("wb") as words,
        subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=words) as process,
    ):
        said = process.stdout.readline() if process.stdout else b""
        if not said:
            raise ContenderFailed(_last_words(log.stem, log))
        yield json.loads(said)
        process.communicate()  # its standard input ends
    log.unlink()


def _wait_for(pids: list[int]) -> None:
    """Wait until the last one has ended, as a server that its parent does not wait for."""
    deadline = time.monotonic() + END_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)


def _last_words(name: str, log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join([f"{name} failed:", *lines[-LAST_WORDS:]])


def python(name: str) -> str:
    """Give the Python that runs a contender; that of a peer is made when it is first asked for.

    Raises:
        NotInstalled: the peer cannot be installed here.

    """
    return str(python_of(name)) if CONTENDERS[name].peer else sys.executable
