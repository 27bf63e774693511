"""A hub of a test's own process, at a port that stays: restarted, changed, deleted, made anew."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingest.hub import HubServer, HubSettings, Retention
from ingest.hub.links import Reader
from tests.end_to_end.plant import HUB, PATIENCE_SECONDS, Plant

SMALL = 2_000  # bytes of a segment: retention drops whole segments
KEEP_ALL = Retention(segment_bytes=SMALL)
KEEP_LITTLE = Retention(max_bytes=30 * SMALL, segment_bytes=SMALL)


@dataclass
class HubHere:
    """One hub server on a thread; each change is a restart on the same port and folder."""

    data: Path
    partitions: int = 1
    retention: Retention = KEEP_ALL
    port: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._start()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def _start(self) -> None:
        hub = HubSettings(HUB, self.partitions, retention=self.retention)
        self.server = HubServer([hub], data=self.data, port=self.port)
        self.port = self._run(self.server.start())

    @property
    def connection(self) -> str:
        return self.server.connection_string(HUB)

    def oldest(self, partition: int = 0) -> int:
        return self.server._hubs[HUB].partitions[partition].first

    def next(self, partition: int = 0) -> int:
        return self.server._hubs[HUB].partitions[partition].next

    def readers(self) -> int:
        return sum(len(links) for links in self.server._hubs[HUB].readers.values())

    def hush(self) -> None:
        """Let every link that is open now deliver nothing more, and stay open."""

        async def hold() -> None:
            for links in self.server._hubs[HUB].readers.values():
                for link in links:
                    link.pump = lambda: None  # type: ignore[method-assign]

        self._run(hold())

    def begin_numbers_anew(self) -> None:
        """Lose what the partitions hold, and go on as the same hub, from number zero."""
        self.stop()
        for segment in self.data.glob("*/*/*.log"):
            segment.unlink()
        self._start()

    def stop(self) -> None:
        self._run(self.server.close())

    def restart(self, **changes: Any) -> None:
        """Stop it, change what it is, start it on the same port."""
        self.stop()
        for name, value in changes.items():
            setattr(self, name, value)
        self._start()

    def make_anew(self) -> None:
        """Delete the hub with all that it holds, and create one of the same name."""
        self.stop()
        shutil.rmtree(self.data)
        self._start()

    def end(self) -> None:
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def wait_for(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ready(plant: Plant) -> None:
    """Wait until the service that was started last owns and has attached every partition."""

    def true() -> bool:
        try:
            facts = json.loads((plant.folder / "http.json").read_text())
            url = f"http://127.0.0.1:{facts['port']}/readyz"
            with urllib.request.urlopen(url, timeout=30):
                pass
        except (OSError, ValueError):
            return False
        mine = facts["pid"] == plant.services[-1].pid
        return mine and metric(plant.folder, "headrace_partitions_owned") > 0

    wait_for(true)


def metric(folder: Path, name: str) -> float:
    port = json.loads((folder / "http.json").read_text())["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def headrace(plant: Plant, *command: str) -> "subprocess.CompletedProcess[str]":
    done = [sys.executable, "-m", "ingest", *command, "--config", str(plant.config())]
    environment = {
        **os.environ,
        **plant.environment,
        "HEADRACE_EVENT_HUBS_CONNECTION": plant.connection,
    }
    return subprocess.run(done, env=environment, capture_output=True, text=True, check=False)


@contextmanager
def hushed() -> Iterator[None]:
    """Let no link of any hub in this process deliver, those that are opened meanwhile neither."""
    pump = Reader.pump
    Reader.pump = lambda _: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Reader.pump = pump  # type: ignore[method-assign]


@contextmanager
def with_hub(plant: Plant, **options: Any) -> Iterator[HubHere]:
    """Run the plant on a hub in this process; stop all in the end."""
    hub = HubHere(plant.folder / "own-hub", **options)
    plant.connection = hub.connection
    try:
        yield hub
    finally:
        try:
            plant.stop()
        finally:
            hub.end()
