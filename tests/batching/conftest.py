"""A partition's surroundings as in the service: a real Valkey, a folder, a clock to turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.adapters.folder import FolderStore
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.adapters.redis_server import connect
from batching.chunk import DeadLetter, encode_dead_letter, encode_samples
from batching.identity import open_store
from batching.layout import StreamFormat
from batching.limits.governor import Governor
from batching.limits.making import PEEK_BYTES
from batching.metrics import BatchingMetrics
from batching.model import Element, Entry, SealReason, Store
from batching.names import DEAD, Key
from batching.parking.replay import ReplayBound
from batching.partition import Partition
from batching.policy import SealPolicy
from batching.scope import Scoped
from batching.tenure import Hooks, Rules
from batching.verify import Report, verify
from batching.view import Log

SECOND = 10**9
HUB = {"namespace": "ns", "hub": "h", "created_ms": 5, "consumer_group": "$Default"}


async def from_zero() -> dict[str, int]:
    return {"0": 0}


@dataclass
class TurnedClock:
    """A clock that tests turn; sleeping gives way and no more."""

    now: int = 1_700_000_000 * SECOND

    def now_ns(self) -> int:
        return self.now

    def steady_ns(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.005))


@dataclass
class Bench:
    """One store and one server; owners are made on it as often as a test likes."""

    root: FolderStore
    identity: Store
    client: Redis
    clock: TurnedClock
    policy: SealPolicy = field(default_factory=SealPolicy)
    policies: dict[str, SealPolicy] = field(default_factory=dict)  # of other streams than `s`
    replay_bound: ReplayBound = field(default_factory=ReplayBound)
    linger_ns: int = 0
    bundle_bytes: int = PEEK_BYTES
    last_enqueued: int = -1
    hub_answers: bool = True
    governor: Governor = field(default_factory=Governor)
    metrics: BatchingMetrics = field(default_factory=lambda: BatchingMetrics(CollectorRegistry()))

    @property
    def store(self) -> Scoped:
        return Scoped(self.root, self.identity.id)

    def log(self) -> Log:
        return Log(self.root, self.store, self.identity, "0")

    def buffer(self) -> RedisBuffer:
        t = prefix(self.identity.id, "0")
        return RedisBuffer(self.client, t, now_us=lambda: self.clock.now // 1_000)

    def owner(self) -> Partition:
        async def last() -> int:
            if not self.hub_answers:
                raise OSError("no answer")
            return self.last_enqueued

        return Partition(
            self.log(),
            self.buffer(),
            self.clock,
            self.metrics,
            rules=self.rules(),
            writer="test",
            hooks=Hooks(last, governor=self.governor),
        )

    def rules(self) -> Rules:
        self.policies["s"] = self.policy
        formats = dict.fromkeys(("s", "quick"), StreamFormat(("x",)))
        return Rules(
            self.policies,
            formats,
            linger_ns=self.linger_ns,
            replay_bound=self.replay_bound,
            bundle_bytes=self.bundle_bytes,
        )

    async def attached(self) -> Partition:
        owner = self.owner()
        await owner.attach()
        return owner

    def element(
        self, number: int, sensor: str = "a", samples: int = 2, stream: str = "s"
    ) -> Element:
        enqueued = self.clock.now
        times, values = np.arange(samples) + enqueued, np.full((samples, 1), float(number))
        body = encode_samples(number, enqueued, f"m{number}", times, values)
        return Element(Key(stream, sensor), number, enqueued, samples, body)

    def dead_letter(self, number: int) -> Element:
        letter = DeadLetter("bad_json", "no JSON", b"{", 1)
        where = {"sequence_number": number, "enqueued_ns": self.clock.now, "message_id": "m"}
        return Element(DEAD, number, self.clock.now, 0, encode_dead_letter(letter, **where))

    async def feed(
        self, owner: Partition, *numbers: int, sensor: str = "a", stream: str = "s"
    ) -> None:
        for number in numbers:
            self.last_enqueued = max(self.last_enqueued, number)
            element = self.element(number, sensor, stream=stream)
            await owner.append([element], number, self.clock.now)

    async def seal_one(self, owner: Partition, sensor: str) -> None:
        """Seal one sensor's open buffer by its age alone."""
        key = Key("s", sensor)
        await self.buffer().seal_keys(SealReason.MAX_AGE, [key])
        owner.states.drop([key])


async def checked(bench: Bench) -> Report:
    """Make sure that nothing is missing, twice or damaged."""
    report = await verify(bench.root)
    assert not report.wrong, (report.missing, report.twice, report.damaged)
    return report


async def entries_of(bench: Bench) -> list[Entry]:
    """Give every entry of the log, in order."""
    found: list[Entry] = []
    n = 0
    while (entries := await bench.log().entries(n)) is not None:
        found += entries
        n += 1
    return found


async def sealed(bench: Bench) -> list[tuple[str, int, int, str]]:
    """Give sensor, first, last and reason of every batch in the log."""
    return [(e.sensor, e.first, e.last, e.reason) for e in await entries_of(bench)]


async def make_bench(folder: Path, url: str) -> AsyncIterator[Bench]:
    clock = TurnedClock()
    root = FolderStore(folder)
    identity = await open_store(root, clock, start=from_zero, **HUB)
    async with connect(url) as client:
        yield Bench(root, identity, client, clock)
    await root.close()


Story = Callable[[Bench], Awaitable[None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    """Run a story on a bench of its own."""

    async def run(story: Story) -> None:
        server = EmbeddedValkey(tmp_path / "valkey")
        url = await server.start()
        try:
            async with asynccontextmanager(make_bench)(tmp_path / "blobs", url) as bench:
                await story(bench)
        finally:
            await server.stop()

    return lambda story: asyncio.run(run(story))
