"""One case's service and store: settings, processes, what it answers and what verify says of it."""

import asyncio
import json
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from ruamel.yaml import YAML

from batching.adapters.folder import FolderStore
from batching.failpoints import VARIABLE
from batching.verify import Report, Senders, verify
from tests.crash import served
from tests.crash.cases import Case, Spec
from tests.crash.place import Place, Traffic
from tests.crash.served import Forked, Service

FLOWS = Path(__file__).parent
PATIENCE_SECONDS = 120.0  # far more than a busy machine needs: then it is stuck
LOOK_SECONDS = 0.05
LAST_CHARACTERS = 4_000
FAST = {"max_samples": 30, "max_age": "0.4 s"}
SLOW = {"max_samples": 100_000, "max_age": "1 h"}
ANSWER = aiohttp.ClientTimeout(total=60)


class DoesNotEnd(Exception):
    """A process was killed, has failed, or was told to stop, and is still there."""


@dataclass
class Site:
    """Everything of one case in a folder of its own."""

    case: Case
    place: Place
    hub: str
    connection: str
    mutant: str = ""
    services: list[Service] = field(default_factory=list)
    kills: int = 0

    def __post_init__(self) -> None:
        self.folder = self.place.folder / self.hub
        self.senders = self.folder / "senders.jsonl"
        self.senders.touch()
        with (self.folder / "headrace.yaml").open("w") as file:
            YAML().dump(self._settings(), file)
        self.traffic = Traffic(self.connection, self.place, self.hub, self.case, self.senders)

    def _settings(self) -> dict[str, Any]:
        decode = {"format": "json", "time": {"unit": "ms"}, "channels": ["x"]}
        streams = {
            kind: {
                "match": {"property": {"kind": kind}},
                "sensor": {"property": "sensor"},
                "decode": decode,
                "seal": seal,
            }
            for kind, seal in (("motion", SLOW if self.parks else FAST), ("heat", FAST))
        }
        more: dict[str, Any] = {}
        if self.parks:
            more["replay_bound"] = {"events": 4, "time": "1 s"}
        if self.case.world == "pressed":
            more["limits"] = {"open_sensors": 3}
        if self.case.world == "trimmed":
            kinds = ("bundles", "dead_letters", "superseded", "orphans", "interval")
            more["retention"] = dict.fromkeys(kinds, "1 s")
        return {
            "data": str(self.folder),
            "source": {"event_hubs": {"namespace": "localhost", "hub": self.hub}},
            "redis": {"url": self.place.redis_url},
            "http": {"port": 0},
            "ownership": {"expiry": "1 s", "interval": "0.3 s"},
            "bundle": {"linger": "0.05 s"},
            "unmatched": "count",
            "streams": streams,
            "jobs": self._jobs(),
            "flows": {
                "CrashFlow": str(FLOWS / "crash_flow.py"),
                "QuickFlow": str(FLOWS / "quick_flow.py"),
            },
            **more,
        }

    @property
    def parks(self) -> bool:
        """Tell whether slow sensors hold the checkpoint back."""
        return self.case.world.startswith("parked")

    def parked_objects(self) -> int:
        """Count them."""
        return sum(1 for _ in (self.folder / "blobs").glob("*/parked/*/*/*/*.index.arrow"))

    def _jobs(self) -> dict[str, Any]:
        world = self.case.world
        if not world.startswith("job_"):
            return {}
        flow = "CrashFlow" if world == "job_metaflow" else "QuickFlow"
        runs = {"after": "0.3 s", "attempts": 2, "backoff": "0.1 s"}
        return {world: {"flow": flow, "over": ["motion"], **runs}}

    def start(self, spec: Spec | None = None, instance: str = "one") -> Service:
        """Start a service, with a failpoint or without."""
        environment = {
            "HEADRACE_EVENT_HUBS_CONNECTION": self.connection,
            "HEADRACE_INSTANCE": instance,
        }
        if spec is not None:
            environment[VARIABLE] = str(spec)
        config, log = self.folder / "headrace.yaml", self.folder / f"{instance}.log"
        forked = Forked(self.place.certificate, self.mutant)
        service = served.start(config, environment, log, None if self.case.by_exec else forked)
        self.services.append(service)
        return service

    async def kill(self, service: Service) -> None:
        """Kill it by -9 if it lives."""
        if service.ended() is None:
            service.send(signal.SIGKILL)
            self.kills += 1
        await self.ended(service)

    async def ended(self, service: Service) -> int:
        """Wait for its end; give its exit code.

        Raises:
            DoesNotEnd: its log says where its tasks stand.

        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (code := service.ended()) is None:
            if time.monotonic() > deadline:
                await self.ask_for_tasks(service)
                raise DoesNotEnd(f"process {service.pid} does not end")
            await asyncio.sleep(LOOK_SECONDS)
        return code

    async def ask_for_tasks(self, service: Service) -> None:
        """Let it write down what it waits for."""
        service.send(signal.SIGUSR1)
        await asyncio.sleep(1)

    def last_words(self) -> str:
        """Give the ends of the services' logs: the machine that this fails on may keep no files."""
        texts = {path.name: path.read_text(errors="replace") for path in self.folder.glob("*.log")}
        return "\n".join(f"{name}: {text[-LAST_CHARACTERS:]}" for name, text in texts.items())

    async def close(self) -> None:
        """Leave no process and no link behind."""
        for service in self.services:
            service.send(signal.SIGKILL)
        await self.traffic.close()

    def said(self, spec: Spec) -> bool:
        """Tell whether a failpoint has acted: in the service, or in a flow that it started."""
        words = f"failpoint {spec.name}: {spec.action} at passing {spec.nth}".encode()
        logs = [self.folder / "one.log", *(self.folder / "runs").glob("*.log")]
        return any(words in path.read_bytes() for path in logs if path.exists())

    @property
    def store_id(self) -> str:
        """Give the id in `headrace.json`; empty where there is none yet."""
        try:
            return str(json.loads((self.folder / "blobs/headrace.json").read_text())["id"])
        except FileNotFoundError:
            return ""

    async def verify(self, *, against: bool = False) -> Report | None:
        """Do what `headrace verify` does, against the senders' log too if wanted."""
        if not self.store_id:
            return None
        kept = self.case.world != "trimmed"  # else what was sent is no longer there to be seen
        senders = Senders.read(self.senders) if against and kept else None
        return await verify(FolderStore(self.folder / "blobs", read_only=True), senders=senders)

    async def drain(self) -> bool:
        """Ask the service to seal and commit everything; False if it does not answer."""
        try:
            port = json.loads((self.folder / "http.json").read_text())["port"]
            token = (self.folder / "http-token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                aiohttp.ClientSession(timeout=ANSWER) as session,
                session.post(f"http://127.0.0.1:{port}/drain", headers=headers) as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError):
            return False
