"""A hub in memory that holds back what it has until all readers are there, and then lets go.

So a measurement begins for every partition at the same moment, and no start-up is in it. SIGUSR1
lets go, once as many links are open as there are partitions; SIGUSR2 holds.
`python -m benchmarks.held_hub NAME PARTITIONS FOLDER`.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import processes
from benchmarks.place import LOOK_SECONDS, START_SECONDS, BenchmarkFailed
from ingest.hub import HubServer, HubSettings, Retention
from ingest.hub.links import Reader

READY, GONE = "hub.json", "let-go.json"
GIB = 2**30


class HeldHub:
    """The process, from the side that measures."""

    def __init__(self, folder: Path, name: str, partitions: int) -> None:
        self._folder = folder
        command = [sys.executable, "-m", "benchmarks.held_hub", name, str(partitions), str(folder)]
        with (folder / "hub.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def connection(self) -> str:
        """Wait until it listens; give its connection string."""
        return self._wait_for(READY)["connection"]

    def let_go(self) -> None:
        """Let the readers have what there is, once all of them are there."""
        (self._folder / GONE).unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        self._wait_for(GONE)

    def hold(self) -> None:
        """Hold back again what is asked for from now on."""
        self.process.send_signal(signal.SIGUSR2)

    def end(self) -> None:
        """End the process."""
        processes.end(self.process)

    def _wait_for(self, name: str) -> dict[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while not (self._folder / name).exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed(f"the hub says: {(self._folder / 'hub.log').read_text()}")
            time.sleep(LOOK_SECONDS)
        found: dict[str, str] = json.loads((self._folder / name).read_text())
        return found


class Gate:
    """Stands before all links that deliver."""

    def __init__(self, name: str, partitions: int, folder: Path) -> None:
        hub = HubSettings(name, partitions, retention=Retention(max_bytes=8 * GIB))
        self._name, self._partitions, self._folder = name, partitions, folder
        self._server = HubServer([hub], port=0)
        self._pump = Reader.pump
        self._opening: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until SIGTERM."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        self.hold()
        await self._server.start()
        told: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGTERM: over.set,
            signal.SIGUSR1: self.let_go,
            signal.SIGUSR2: self.hold,
        }
        for name, act in told.items():
            loop.add_signal_handler(name, act)
        self._write(READY, connection=self._server.connection_string(self._name))
        await over.wait()
        await self._server.close()

    def hold(self) -> None:
        """Let no link deliver."""
        Reader.pump = _nothing  # type: ignore[method-assign]

    def let_go(self) -> None:
        """Let all links deliver as soon as they are there."""
        self._opening = asyncio.create_task(self._let_go())

    async def _let_go(self) -> None:
        hub = self._server._hubs[self._name]  # noqa: SLF001, no user needs to see its links
        while sum(len(links) for links in hub.readers.values()) < self._partitions:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        Reader.pump = self._pump  # type: ignore[method-assign]
        self._write(GONE)
        for link in [link for links in hub.readers.values() for link in links]:
            link.pump()

    def _write(self, name: str, **facts: str) -> None:
        new = self._folder / f"{name}.new"
        new.write_text(json.dumps(facts))
        new.rename(self._folder / name)


def _nothing(self: Reader) -> None:
    """Deliver nothing, and let the link stay open."""


if __name__ == "__main__":
    asyncio.run(Gate(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])).run())
