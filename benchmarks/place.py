"""Where it all runs: a hub in a process of its own, and the service as a user starts it."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis
from ruamel.yaml import YAML

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.verify import Report, verify
from benchmarks import processes
from benchmarks.load import CHANNELS, CHUNKS_A_BATCH, Shape

LOOK_SECONDS = 0.02
START_SECONDS, LONGEST_SECONDS = 30.0, 900.0
RECEIVED = re.compile(rb"^headrace_events_received_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


class BenchmarkFailed(Exception):
    """Something did not start, or did not get done; the message has the last words."""


class HubProcess(Protocol):
    """A hub that can be looked at from outside."""

    process: "subprocess.Popen[bytes]"


class Hub:
    """Embedded hubs of some names, kept in memory."""

    def __init__(self, folder: Path, names: Iterable[str], partitions: int) -> None:
        self._ready = folder / "hub.json"
        hubs = [part for name in names for part in ("--hub", f"{name}:{partitions}")]
        command = [sys.executable, "-m", "ingest", "hub", "--memory", "--port", "0", *hubs]
        command += ["--retention-bytes", "8 GiB", "--ready-file", str(self._ready)]
        with (folder / "hub.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def connection(self) -> str:
        """Wait until it listens; give its connection string."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._ready.exists():
                return str(json.loads(self._ready.read_text())["connection_string"])
            time.sleep(LOOK_SECONDS)
        raise BenchmarkFailed(f"the hub did not start: see {self._ready.with_name('hub.log')}")


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds of each process, and the wall clock."""

    wall: float
    service: float
    valkey: float
    hub: float

    def since(self, earlier: "Spent") -> "Spent":
        """Give the difference."""
        return Spent(
            self.wall - earlier.wall,
            self.service - earlier.service,
            self.valkey - earlier.valkey,
            self.hub - earlier.hub,
        )


class Service:
    """`headrace run` in a folder of its own, with an embedded Valkey and no flow."""

    def __init__(
        self, folder: Path, hub: HubProcess, connection: str, shape: Shape, **settings: Any
    ) -> None:
        self._folder, self._hub, self._shape, self._settings = folder, hub, shape, settings
        folder.mkdir()
        self._log = folder / "service.log"
        environment = {**os.environ, "HEADRACE_EVENT_HUBS_CONNECTION": connection}
        command = [sys.executable, "-m", "ingest", "run", "--config", str(self._config())]
        with self._log.open("wb") as log:
            self.began = time.perf_counter()
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self._valkey: int | None = None
        self._seen: set[Path] = set()
        self._committed = 0

    def _config(self) -> Path:
        path = self._folder / "headrace.yaml"
        with path.open("w") as file:
            YAML().dump({**config(self._folder, self._shape), **self._settings}, file)
        return path

    def wait_until_received(self) -> tuple[Spent, int]:
        """Wait until the first events have come; tell what was spent before, and how many."""
        deadline = time.monotonic() + START_SECONDS
        while not (received := self._received()):
            self._check(deadline)
        return self.spent(), received

    def _received(self) -> int:
        """Ask the service's metrics; nothing comes yet where it does not answer yet."""
        try:
            return int(sum(map(float, RECEIVED.findall(self.asked("metrics")))))
        except (OSError, ValueError):
            return 0

    def asked(self, path: str) -> bytes:
        """Give what the service answers at its port.

        Raises:
            OSError: it does not answer yet, or not with success.
            ValueError: it is just writing where its port is.

        """
        port = json.loads((self._folder / "http.json").read_bytes())["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
            return bytes(answer.read())

    def wait_until_committed(self, look_seconds: float = LOOK_SECONDS) -> Spent:
        """Wait until the last event is in a manifest; tell what was spent by then."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while self._count() < self._shape.events:
            self._check(deadline, look_seconds)
        return self.spent()

    def _check(self, deadline: float, look_seconds: float = LOOK_SECONDS) -> None:
        if self.process.poll() is not None or time.monotonic() > deadline:
            words = self._log.read_text(errors="replace")[-2_000:]
            raise BenchmarkFailed(
                f"{self._committed} of {self._shape.events} events are committed, "
                f"the service says: {words}"
            )
        time.sleep(look_seconds)

    def _count(self) -> int:
        """Count the events in manifests."""
        for path in self._folder.glob("blobs/*/log/*/*/*/*.json"):
            if path not in self._seen:
                self._seen.add(path)
                entries = json.loads(path.read_bytes())["entries"]
                self._committed += sum(entry["events"] for entry in entries)
        return self._committed

    def spent(self) -> Spent:
        """Tell what was spent so far, by all processes of the service."""
        if self._valkey is None:
            url = EmbeddedValkey(self._folder / "valkey").url
            with redis.Redis.from_url(url) as client:
                self._valkey = int(client.info("server")["process_id"])
        return Spent(
            time.perf_counter(),
            sum(map(processes.cpu_seconds, processes.tree(self.process.pid))),
            processes.cpu_seconds(self._valkey),
            processes.cpu_seconds(self._hub.process.pid),
        )

    def peak_bytes(self) -> int:
        """Give the most memory that each process of the service has had, all added up."""
        return sum(map(processes.peak_bytes, processes.tree(self.process.pid)))

    def proven(self) -> Report:
        """Stop the service, and verify what lies in its store.

        Raises:
            BenchmarkFailed: something is missing or there twice.

        """
        processes.end(self.process)
        report = asyncio.run(verify(FolderStore(self._folder / "blobs", read_only=True)))
        if report.wrong or report.batched != self._shape.events:
            raise BenchmarkFailed(report.closing_line())
        return report


def config(folder: Path, shape: Shape) -> dict[str, Any]:
    """Give the service's settings; batches are full after so many chunks, never too old."""
    return {
        "data": str(folder),
        "source": {"event_hubs": {"namespace": "localhost", "hub": shape.name}},
        "http": {"port": 0},
        "streams": {
            "motion": {
                "sensor": {"property": "sensor"},
                "decode": {
                    "format": "json",
                    "time": {"field": "t", "unit": "ms"},
                    "channels": list(CHANNELS),
                },
                "seal": {"max_samples": None, "max_chunks": CHUNKS_A_BATCH, "max_age": "1 d"},
            }
        },
    }
