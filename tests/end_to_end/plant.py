"""A whole plant for one test: a hub, services as processes of their own, senders, and verify."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient
from ruamel.yaml import YAML

from batching.adapters.folder import FolderStore
from batching.verify import Report, Senders, verify
from ingest.embedded_hub import EmbeddedHub
from ingest.settings.source import EmbeddedHub as HubSettings
from ingest.virtual.plan import Habits, Plan
from ingest.virtual.recording import signals
from ingest.virtual.sender import Sender

HUB = "telemetry"
PATIENCE_SECONDS = 90.0


def stream(**more: Any) -> dict[str, Any]:
    """A stream that reads what virtual sensors send, without a flow unless one is given."""
    return {
        "decode": {
            "format": "json",
            "time": {"field": "t", "unit": "ms"},
            "channels": ["ax", "ay", "az", "wx", "wy", "wz"],
        },
        "seal": {"max_samples": 2_000, "max_age": "3 s"},
        **more,
    }


@dataclass
class Plant:
    """Everything under one folder; services share its embedded Valkey unless told otherwise."""

    folder: Path
    partitions: int = 2
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    services: list[subprocess.Popen[bytes]] = field(default_factory=list)
    seeds: Iterator[int] = field(default_factory=itertools.count)
    connection: str = ""
    wrapper: tuple[str, ...] = ()  # words before each service's command
    patience_seconds: float = PATIENCE_SECONDS

    def __post_init__(self) -> None:
        self.hub = EmbeddedHub(self.folder / "hub", HubSettings(partitions=self.partitions))

    @property
    def senders(self) -> Path:
        return self.folder / "senders.jsonl"

    def config(self) -> Path:
        plain = {
            "data": str(self.folder),
            "source": {"event_hubs": {"namespace": "localhost", "hub": HUB}},
            "http": {"port": 0},
            "ownership": {"expiry": "4 s", "interval": "1 s"},
            "streams": {"motion": stream()},
            **self.settings,
        }
        path = self.folder / "headrace.yaml"
        with path.open("w") as file:
            YAML().dump(plain, file)
        return path

    def start(self, instance: str = "one") -> subprocess.Popen[bytes]:
        """Start a service."""
        environment = {
            **os.environ,
            "HEADRACE_EVENT_HUBS_CONNECTION": self.connection,
            "HEADRACE_INSTANCE": instance,
            **self.environment,
        }
        command = [*self.wrapper, sys.executable, "-m", "ingest", "run"]
        command += ["--config", str(self.config())]
        with (self.folder / f"{instance}.log").open("ab") as log:
            made = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        self.services.append(made)
        return made

    def stop(self) -> None:
        for service in self.services:
            if service.poll() is None:
                service.send_signal(signal.SIGTERM)
        for service in self.services:
            service.wait(60)

    def send(self, events: int, *, rate: float = 200.0, sensors: int = 6, **habits: Any) -> None:
        """Send what virtual sensors send, and log it; each call goes on under new message ids."""
        asyncio.run(self.send_async(events, rate=rate, sensors=sensors, **habits))

    async def send_async(
        self, events: int, *, rate: float = 200.0, sensors: int = 6, **habits: Any
    ) -> None:
        seed = next(self.seeds)
        chosen = [
            type(s)(f"{s.name}.{seed}", s.channels, s.rate_hz, s.values)
            for s in signals("smartwatch", sensors, seed=seed)
        ]
        plan = Plan(chosen, Habits(**{"garbage": 0.0, **habits}), seed, time.time() * 1_000)
        sender = Sender(self.connection, HUB, log=self.senders, known=True)
        await sender.send(plan, events=events, rate=rate, stop=asyncio.Event())

    def publish(self, *bodies: bytes, partition_key: str, **properties: Any) -> None:
        """Send bodies as they are."""

        async def run() -> None:
            client = EventHubProducerClient.from_connection_string(
                self.connection, eventhub_name=HUB
            )
            async with client:
                for body in bodies:
                    event = EventData(body)
                    event.properties = properties
                    await client.send_batch([event], partition_key=partition_key)

        asyncio.run(run())

    def drain(self) -> None:
        """Ask the service that started last to seal and commit everything it owns."""
        port = json.loads((self.folder / "http.json").read_text())["port"]
        token = (self.folder / "http-token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        url = f"http://127.0.0.1:{port}/drain"
        request = urllib.request.Request(url, method="POST", headers=headers)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            assert answer.status == 200

    def has_store(self) -> bool:
        return (self.folder / "blobs" / "headrace.json").exists()

    def report(self, *, against: bool = True) -> Report:
        senders = Senders.read(self.senders) if against and self.senders.exists() else None
        store = FolderStore(self.folder / "blobs", read_only=True)
        return asyncio.run(verify(store, senders=senders))

    def until(self, done: Callable[[Report], bool]) -> Report:
        """Verify until it is as wanted, or fail with what there is and the service's last words."""
        deadline = time.monotonic() + self.patience_seconds
        report = None
        while time.monotonic() < deadline:
            if self.has_store():
                report = self.report()
                if done(report):
                    return report
            time.sleep(0.5)
        logs = [path.read_text()[-3_000:] for path in self.folder.glob("*.log")]
        raise AssertionError(f"{report and report.plain()}\n" + "\n".join(logs))

    def complete(self) -> Report:
        """Wait until all that was sent is there, once, and nothing waits."""
        report = self.until(
            lambda r: not r.missing.count and not r.pending and self.all_committed(r)
        )
        assert not report.wrong, report.plain()
        return report

    def all_committed(self, report: Report) -> bool:
        sent = self.senders.read_text().count("\n") if self.senders.exists() else 0
        return report.batched + report.dead_letters + report.ignored >= sent


@contextmanager
def running(plant: Plant) -> Iterator[Plant]:
    """Start the plant's hub; stop all in the end."""
    plant.connection = asyncio.run(plant.hub.start())
    try:
        yield plant
    finally:
        plant.stop()
        asyncio.run(plant.hub.stop())
