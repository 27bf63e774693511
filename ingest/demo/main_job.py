"""The main job on one machine, whole: a hub, a service, virtual sensors, a flow, and the proof.

The service is a process of its own, so it may be killed while the demo runs; the demo starts
it again, and everything still comes out once.
"""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from batching.adapters.folder import FolderStore
from batching.names import STORE
from batching.verify import Report, Senders, verify
from ingest.demo.supervised import Supervised, Unreachable
from ingest.embedded_hub import EmbeddedHub
from ingest.hub_facts import HubAddress
from ingest.settings.source import EmbeddedHub as HubSettings
from ingest.source import Source
from ingest.virtual.plan import Habits, Plan
from ingest.virtual.recording import SHIPPED, signals
from ingest.virtual.sender import Sender, Sent

SENSORS, PARTITIONS, SEED = 12, 4, 7
HUB = "telemetry"
PATIENCE_SECONDS = 100.0
CONFIG = """\
# What `headrace demo` ran. Start it again by hand: headrace run --config {name}
data: {data}
source: {{embedded: {{hub: telemetry, partitions: 4}}}}
http: {{port: 0}}
ownership: {{expiry: 5 s, interval: 1 s}}
streams:
  motion:
    decode: {{format: json, time: {{field: t, unit: ms}}, channels: [ax, ay, az, wx, wy, wz]}}
    seal: {{max_samples: 20_000, max_age: 10 s}}
    run: {{flow: SensorProcessingFlow, after: 4 s, in_flight: 2}}
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run: messages beside repeats, messages a second, a kill of the service half way."""

    events: int = 4_800
    rate: float = 160.0
    kill: bool = False


@dataclass(slots=True)
class Progress:
    """What there is to show while it runs."""

    phase: str = "starting the hub"
    sent: Sent = field(default_factory=Sent)


class Demo:
    """One run of the demo in a new folder; set `stop` to end it early, in order."""

    def __init__(self, folder: Path, wish: Wish, stop: asyncio.Event) -> None:
        self.folder, self._wish, self._stop = folder, wish, stop
        self.progress = Progress()
        folder.mkdir(parents=True)
        config = folder / "headrace.yaml"
        config.write_text(CONFIG.format(name=config, data=folder))
        self._hub = EmbeddedHub(folder / "hub", HubSettings(hub=HUB, partitions=PARTITIONS))
        self.service = Supervised(config, folder)

    async def run(self, tick: Callable[[], None]) -> Report:
        """Run it; `tick` is called often, to show how it goes.

        Raises:
            SettingError: the hub does not start.
            Transient: the service does not stay up, or the hub takes no events.

        """
        watching: asyncio.Task[None] | None = None
        try:
            connection = await self._hub.start()
            self.service.start()
            watching = asyncio.create_task(self._watch(tick))
            self.progress.phase = "sensors send"
            await self._send(connection)
            return await self._finish(connection, watching)
        finally:
            self.progress.phase = "stopping"
            if watching is not None:  # first, or it would start the stopped service again
                watching.cancel()
                await asyncio.wait({watching})
            await self.service.stop()
            await self._hub.stop()

    async def _watch(self, tick: Callable[[], None]) -> None:
        while True:
            await self.service.look()
            tick()
            await asyncio.sleep(0.25)

    async def _send(self, connection: str) -> None:
        wish = self._wish
        habits = Habits(garbage=1.5 / wish.events)
        plan = Plan(signals(SHIPPED, SENSORS, seed=SEED), habits, SEED, time.time() * 1_000)
        log = self.folder / "senders.jsonl"
        sender = Sender(connection, HUB, log=log, progress=self._see)
        await sender.send(plan, events=wish.events, rate=wish.rate, stop=self._stop)

    def _see(self, sent: Sent) -> None:
        self.progress.sent = sent
        if self._wish.kill and not self.service.kills and sent.events > self._wish.events // 2:
            self.service.kill()

    async def _finish(self, connection: str, watching: asyncio.Task[None]) -> Report:
        """Drain until everything that the hub has is in a run that has ended."""
        source = Source(HubAddress(HUB, "$Default", connection))
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.progress.phase = "sealing what is open"
        try:
            partitions = (await source.facts()).partitions
            last = {p: (await source.partition(p)).last for p in partitions}
            done = False
            while True:
                if watching.done():
                    watching.result()
                if not done:
                    with contextlib.suppress(Unreachable):  # it is on its way up again
                        await self.service.drain()
                if not self._begun() and not self._over(deadline):
                    await asyncio.sleep(0.2)  # it was killed before it had made the store
                    continue
                report = await self.verify(last)
                done = all(report.partitions.get(p, {}).get("to", -1) >= n for p, n in last.items())
                if done and not report.pending:
                    return report
                if self._over(deadline):
                    return report
                self.progress.phase = "flows run" if done else self.progress.phase
                await asyncio.sleep(1.0)
        finally:
            await source.close()

    def _begun(self) -> bool:
        return (self.folder / "blobs" / STORE).exists()

    def _over(self, deadline: float) -> bool:
        return self._stop.is_set() or time.monotonic() > deadline

    async def verify(self, last_enqueued: Mapping[str, int]) -> Report:
        """Hold what lies in the store against what the sensors logged, and what the hub has."""
        senders = Senders.read(self.folder / "senders.jsonl")
        store = FolderStore(self.folder / "blobs", read_only=True)
        return await verify(store, senders=senders, last_enqueued=last_enqueued)


def new_folder(data: Path) -> Path:
    """Choose a folder for this run, and delete old ones but the newest two."""
    root = data / "demo"
    for path in sorted(path for path in root.glob("[0-9]*") if path.is_dir())[:-2]:
        shutil.rmtree(path, ignore_errors=True)
    return root / time.strftime("%Y%m%d-%H%M%S")
