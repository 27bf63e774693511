"""What a soak works on: a hub, a Valkey, one service or two, and a sender, each a real process."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio

from batching.adapters.embedded_valkey import EmbeddedValkey
from ingest.embedded_hub import EmbeddedHub
from ingest.settings.source import EmbeddedHub as HubSettings
from tests.end_to_end.plant import HUB, PATIENCE_SECONDS, Plant, stream

CHUNK_OF_WORK = 500  # events that a sender's plan has at once
QUICK_FLOW = Path(__file__).parents[1] / "crash" / "quick_flow.py"


def free_port() -> int:
    """Give a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """The processes of one soak, and how to harm them."""

    def __init__(self, folder: Path, partitions: int = 4) -> None:
        self.plant = Plant(folder, partitions)
        self.plant.hub = EmbeddedHub(
            folder / "hub", HubSettings(port=free_port(), partitions=partitions)
        )
        self.plant.settings = {
            "source": {"event_hubs": {"namespace": "localhost", "hub": HUB}},
            "streams": {"motion": stream(seal={"max_samples": 5_000, "max_age": "20 s"})},
            "jobs": {"job_quick": {"flow": "QuickFlow", "over": ["motion"], "after": "5 s"}},
            "flows": {"QuickFlow": str(QUICK_FLOW)},
            "replay_bound": {"events": 2_000, "time": "10 s"},
            "retention": {"superseded": "10 s", "orphans": "30 s", "interval": "5 s"},
        }
        self.ports = {name: free_port() for name in ("one", "two")}
        self.services: dict[str, subprocess.Popen[bytes]] = {}

    async def open(self) -> None:
        """Start the hub and the first service, and wait until it is ready."""
        self.plant.connection = await self.plant.hub.start()
        self.start("one")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not await self._ready("one"):
            assert time.monotonic() < deadline, self.last_words()
            await asyncio.sleep(0.2)

    async def _ready(self, instance: str) -> bool:
        url = f"http://127.0.0.1:{self.ports[instance]}/readyz"
        try:
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError):
            return False

    def start(self, instance: str) -> None:
        """Start a service that is not there."""
        if not self.lives(instance):
            self.plant.environment["HEADRACE_HTTP__PORT"] = str(self.ports[instance])
            self.services[instance] = self.plant.start(instance)

    def lives(self, instance: str) -> bool:
        """Tell whether a service runs."""
        return instance in self.services and self.services[instance].poll() is None

    async def end(self, instance: str, number: signal.Signals) -> None:
        """Send it a signal that ends it, and wait."""
        if self.lives(instance):
            self.services[instance].send_signal(number)
            await asyncio.to_thread(self.services[instance].wait, 60)

    async def valkey(self) -> "redis.asyncio.Redis[bytes]":
        return redis.asyncio.Redis.from_url(EmbeddedValkey(self.plant.folder / "valkey").url)

    async def valkey_pid(self) -> int | None:
        """Give the process of the server, if one answers."""
        try:
            async with await self.valkey() as client:
                return int((await client.info("server"))["process_id"])
        except (redis.exceptions.RedisError, OSError):
            return None

    async def restart_hub(self) -> None:
        """Kill the hub, and start it on its port and files."""
        ready = json.loads((self.plant.folder / "hub" / "ready.json").read_text())
        os.kill(ready["pid"], signal.SIGKILL)
        await asyncio.sleep(random.uniform(0.0, 2.0))
        await self.plant.hub.start()

    async def send(self, rate: float, until: float) -> None:
        """Send what virtual sensors send, until a time."""
        while (left := until - time.monotonic()) > 0:
            events = max(1, int(min(CHUNK_OF_WORK, left * rate)))
            await self.plant.send_async(events, rate=rate, sensors=24, garbage=0.01)

    async def close(self) -> None:
        """Stop everything."""
        for service in self.services.values():
            service.send_signal(signal.SIGCONT)
        await asyncio.to_thread(self.plant.stop)
        await self.plant.hub.stop()

    def last_words(self) -> dict[str, Any]:
        """Give the ends of the logs, for a soak that has failed."""
        return {path.stem: path.read_text()[-2_000:] for path in self.plant.folder.glob("*.log")}
