"""A plant whose services reach hub and Redis through proxies, and how a fault is ridden out."""

import asyncio
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from batching.verify import Report
from ingest.embedded_hub import EmbeddedHub
from ingest.settings.source import EmbeddedHub as HubSettings
from tests.end_to_end.plant import Plant, running, stream
from tests.faults.proxy import Proxy, free_port

Told = Callable[[str, float], None]
AGE = {"max_samples": 2_000, "max_age": "1 s"}


@dataclass
class FaultPlant(Plant):
    """The senders speak to the hub itself; `hub_line` stands between it and the services."""

    redis_port: int | None = None
    patience_seconds: float = 240.0  # many of these run beside each other
    hub_options: tuple[str, ...] = ()
    told: Told = field(default=lambda _name, _seconds: None)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.settings = {"streams": {"motion": stream(seal=AGE)}, **self.settings}
        settings = HubSettings(partitions=self.partitions, port=free_port())
        self.hub = TriedHub(self.folder / "hub", settings, self.hub_options)

    @contextmanager
    def running(self) -> Iterator["FaultPlant"]:
        """Start hub and proxies; stop all in the end."""
        with running(self):
            port = int(re.search(r"//[^:]+:(\d+)", self.connection)[1])  # type: ignore[index]
            self.hub_line = Proxy(port)
            through = self.connection.replace(f":{port}", f":{self.hub_line.port}")
            self.environment["HEADRACE_EVENT_HUBS_CONNECTION"] = through
            if self.redis_port is not None:
                self.redis_line = Proxy(self.redis_port)
                url = f"redis://127.0.0.1:{self.redis_line.port}"
                self.environment["HEADRACE_REDIS__URL"] = url
            try:
                yield self
            finally:
                self.stop()  # while everything is still there
                self.hub_line.close()
                if self.redis_port is not None:
                    self.redis_line.close()

    def warm_up(self) -> None:
        """Be in the middle of work: events, batches and a checkpoint are there."""
        self.start()
        self.send(100)
        self.until(lambda report: report.batched > 30)

    def ride_out(
        self,
        name: str,
        fault: AbstractContextManager[Any] | None = None,
        *,
        events: int = 150,
        seconds: float = 6.0,
    ) -> Report:
        """Send through a fault that lasts a while, then wait until all is there, once."""
        with fault or nullcontext():
            began = time.monotonic()
            self.send(events)
            time.sleep(max(0.0, seconds - (time.monotonic() - began)))
        return self.recover(name)

    def recover(self, name: str) -> Report:
        """Measure from now, when the fault is over, until all that was sent is there."""
        over = time.monotonic()
        report = self.complete()
        self.told(name, time.monotonic() - over)
        assert report.missing.count == 0
        assert report.twice.count == 0
        assert report.sent == self.senders.read_text().count("\n")
        return report

    def log(self, instance: str = "one") -> str:
        return (self.folder / f"{instance}.log").read_text()

    def says(self, *words: str, instance: str = "one", seconds: float = 60.0) -> None:
        """Wait until the service's log has a line with these words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if any(all(w in line for w in words) for line in self.log(instance).splitlines()):
                return
            time.sleep(0.1)
        raise AssertionError(f"nothing of {words} in:\n{self.log(instance)[-3_000:]}")

    def ask(self, path: str) -> tuple[int, str]:
        """GET from the service that started last."""
        port = json.loads((self.folder / "http.json").read_text())["port"]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Sum the samples of a metric that have these labels."""
        _, text = self.ask("/metrics")
        total = 0.0
        for line in text.splitlines():
            found = re.fullmatch(rf"{name}(?:_total)?(?:\{{(.*)\}})? (\S+)", line)
            if found and all(f'{k}="{v}"' in (found[1] or "") for k, v in labels.items()):
                total += float(found[2])
        return total

    def restart_hub(self, *, kill: bool = False) -> None:
        """End the hub and start it again on the same files and port."""
        if kill:
            pid = json.loads((self.folder / "hub/ready.json").read_text())["pid"]
            _kill(self.hub, pid)
        else:
            asyncio.run(self.hub.stop())
        assert asyncio.run(self.hub.start()) == self.connection


def _kill(hub: EmbeddedHub, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    if hub._process is not None:
        hub._process.wait()
    if hub._users is not None:  # as if whoever started it had died, too
        hub._users.close()


class TriedHub(EmbeddedHub):
    """An embedded hub with more options, such as faults or a key."""

    def __init__(self, folder: Path, settings: HubSettings, options: tuple[str, ...]) -> None:
        super().__init__(folder, settings)
        self._options = options

    def _command(self) -> list[str]:
        return [*super()._command(), *self._options]
