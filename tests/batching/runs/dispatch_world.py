"""A store, a launcher and a clock whose every call a seeded scheduler can interleave or break.

Coroutines are stepped by hand: each call yields before and after it is applied, so that a
dispatcher can be frozen or killed between any two steps, and calls fail half the time after
they were applied. Without a scheduler (`Chaos()`), all calls answer at once.
"""

import types
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from batching import names
from batching.errors import (
    LauncherBusy,
    LauncherRefused,
    LauncherUnavailable,
    StoreUnavailable,
    Transient,
)
from batching.model import (
    Attempt,
    Entry,
    Manifest,
    Position,
    Result,
    RunRecord,
    Store,
    Trimmed,
    dump,
    load,
)
from batching.ports import RunRequest, RunState
from batching.runs.jobs import Job
from batching.runs.records import ASKED, REFUSED

IDENTITY = Store(
    id="store1", namespace="n", hub="h", hub_id="n_h_1", consumer_group="g", start={}, created=0
)
T = TypeVar("T")
NOW_NS = 1_000 * 10**9


@types.coroutine
def pause() -> Generator[None, None, None]:
    yield


@dataclass
class Chaos:
    """How calls go: at once and well, unless there is a random generator."""

    rnd: Random | None = None
    failing: float = 0.0
    fails: set[str] = field(default_factory=set)  # calls that fail now, whatever the chance

    async def call(self, what: str, apply: Callable[[], T], error: type[Transient]) -> T:
        if what in self.fails:
            raise error(f"{what} does not answer")
        if self.rnd is None:
            return apply()
        await pause()
        broken = self.rnd.random() < self.failing
        if broken and self.rnd.random() < 0.5:
            raise error(f"{what} timed out, not applied")
        answer = apply()
        await pause()
        if broken:
            raise error(f"{what} timed out, but was applied")
        return answer


class Clock:
    def __init__(self) -> None:
        self.now = NOW_NS

    def now_ns(self) -> int:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


class MemoryStore:
    """A BlobStore in a dict."""

    uri = "file:///data/blobs/store1"

    def __init__(self, chaos: Chaos) -> None:
        self.chaos = chaos
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.created: Callable[[str], None] = lambda _: None
        self.gets: list[str] = []
        self._versions = 0

    async def _call(self, what: str, apply: Callable[[], T]) -> T:
        return await self.chaos.call(what, apply, StoreUnavailable)

    async def get(self, name: str) -> bytes | None:
        self.gets.append(name)
        return await self._call("get", lambda: self._body(name))

    async def get_range(self, name: str, offset: int, length: int) -> bytes | None:
        whole = await self.get(name)
        return None if whole is None else whole[offset : offset + length]

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        return await self._call("create", lambda: self.put(name, b"".join(parts)))

    async def get_versioned(self, name: str) -> tuple[bytes, str] | None:
        return await self._call("get", lambda: self.objects.get(name))

    async def replace(self, name: str, body: bytes, version: str | None) -> str | None:
        return await self._call("replace", lambda: self._replace(name, body, version))

    async def names(self, prefix: str, after: str = "") -> AsyncIterator[str]:
        found = await self._call("list", lambda: sorted(self.objects))
        for name in found:
            if name.startswith(prefix) and name > after:
                yield name

    async def delete(self, name: str) -> None:
        await self._call("delete", lambda: self.objects.pop(name, None))

    async def close(self) -> None:
        pass

    def _body(self, name: str) -> bytes | None:
        return self.objects[name][0] if name in self.objects else None

    def put(self, name: str, body: bytes) -> bool:
        if name in self.objects:
            return False
        self._replace(name, body, None)
        self.created(name)
        return True

    def _replace(self, name: str, body: bytes, version: str | None) -> str | None:
        if self.objects.get(name, (b"", None))[1] != version:
            return None
        self._versions += 1
        self.objects[name] = body, str(self._versions)
        return str(self._versions)


@dataclass
class Flow:
    request: RunRequest
    state: RunState = RunState.RUNNING
    starts: int = 1


class FakeCluster:
    """A launcher whose flows end when the test says so; ended ones may be deleted (GONE)."""

    def __init__(self, store: MemoryStore, chaos: Chaos) -> None:
        self.store, self.chaos = store, chaos
        self.flows: dict[str, Flow] = {}
        self.starts: list[RunRequest] = []
        self.effects: list[tuple[str, int, int]] = []
        self.slots: int | None = None
        self.busy = False
        self.refused: set[str] = set()  # names that somebody else's runs have

    async def start(self, request: RunRequest) -> bool:
        return await self.chaos.call("start", lambda: self._start(request), LauncherUnavailable)

    def _start(self, request: RunRequest) -> bool:
        if self.busy:
            raise LauncherBusy("no slot")
        if request.name in self.refused:
            raise LauncherRefused(f"{request.name} is not ours")
        if request.name in self.flows:
            return False
        self.flows[request.name] = Flow(request)
        self.starts.append(request)
        return True

    async def state(self, name: str) -> RunState:
        def look() -> RunState:
            flow = self.flows.get(name)
            return RunState.GONE if flow is None else flow.state

        return await self.chaos.call("state", look, LauncherUnavailable)

    @property
    def problems(self) -> list[str]:
        return []

    def where(self, name: str, flow: str) -> dict[str, str]:
        return {"page": f"{flow}/{name}"}

    async def close(self) -> None:
        pass

    def running(self) -> list[str]:
        return [name for name, f in self.flows.items() if f.state is RunState.RUNNING]

    def succeed(self, name: str, *, result: bool = True) -> None:
        flow = self.flows[name]
        request = flow.request
        if result:
            n, k = request.n, request.attempt
            made = Result(request.job, n, k, "flow", names.outputs(request.job, n, k), NOW_NS)
            if self.store.put(names.result(request.job, n), dump(made)):
                self.effects.append((request.job, n, k))
        flow.state = RunState.SUCCEEDED

    def fail(self, name: str) -> None:
        self.flows[name].state = RunState.FAILED


@dataclass
class World:
    """One store with its launcher, clock and log, and the checks that hold at every moment."""

    jobs: tuple[Job, ...]
    partitions: tuple[str, ...] = ("0",)
    chaos: Chaos = field(default_factory=Chaos)

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.chaos)
        self.store.created = self._check
        self.cluster = FakeCluster(self.store, self.chaos)
        self.next = dict.fromkeys(self.partitions, 0)

    def commit(
        self, partition: str, *streams: str, log: str = IDENTITY.id, size_bytes: int = 100
    ) -> None:
        """Write the next manifest of a partition: one batch for each stream named."""
        n = self.next[partition]
        entries = tuple(
            Entry("batch", stream, f"s{i}", n * 100 + i, n * 100 + i, 1, bytes=size_bytes)
            for i, stream in enumerate(streams)
        )
        written = self.clock.now_ns()
        made = Manifest(log, IDENTITY.hub_id, partition, n, written, "test", entries)
        assert self.store.put(names.manifest(IDENTITY.hub_id, partition, n), dump(made))
        self.next[partition] = n + 1

    def trim(self, partition: str, first: int) -> None:
        """Delete the manifests below `first`."""
        name = names.position(IDENTITY.hub_id, partition)
        self.store.objects[name] = dump(Position(0, first)), f"trimmed {first}"
        for n in range(first):
            self.store.objects.pop(names.manifest(IDENTITY.hub_id, partition, n), None)

    def say_trimmed(self, partition: str, below: int) -> None:
        """Say that retention takes the manifests below a number."""
        name = names.trimmed(IDENTITY.hub_id, partition)
        self.store.objects[name] = dump(Trimmed(below)), f"said {below}"

    def said_trimmed(self, partition: str) -> int:
        found = self.read(Trimmed, names.trimmed(IDENTITY.hub_id, partition))
        return 0 if found is None else found.below

    def read(self, kind: type[T], name: str) -> T | None:
        found = self.store.objects.get(name)
        return None if found is None else load(kind, name, found[0])

    def records(self, job: str) -> list[RunRecord]:
        found: list[RunRecord] = []
        while record := self.read(RunRecord, names.run(job, len(found))):
            found.append(record)
        return found

    def result(self, job: str, n: int) -> Result | None:
        return self.read(Result, names.result(job, n))

    def failed(self, job: str, n: int) -> Attempt | None:
        """Give the end of its newest attempt; None if it goes on."""
        decisions = self.decisions(job, n)
        if decisions and decisions[-1].cause == REFUSED:
            return decisions[-1]
        return self.read(Attempt, names.failed(job, n, len(decisions) + 1))

    def decisions(self, job: str, n: int) -> list[Attempt]:
        """Give the decisions for attempts from the second on."""
        found: list[Attempt] = []
        while made := self.read(Attempt, names.attempt(job, n, len(found) + 2)):
            found.append(made)
        return found

    def in_flight(self, job: str) -> int:
        return sum(
            bool(r.batches) and not self.result(job, r.n) and not self.failed(job, r.n)
            for r in self.records(job)
            if r.store == IDENTITY.id
        )

    def reopened(self, job: str, n: int) -> bool:
        """Tell whether a record goes on because somebody asked for that."""
        ended = self.result(job, n) or self.failed(job, n)
        return not ended and any(each.cause == ASKED for each in self.decisions(job, n))

    def committed(self, job: Job, partition: str, start: int, to: int) -> list[tuple[int, Entry]]:
        """The batches of a job in [start, to) of a partition, from the log itself."""
        batches: list[tuple[int, Entry]] = []
        for n in range(start, to):
            manifest = self.read(Manifest, names.manifest(IDENTITY.hub_id, partition, n))
            if manifest is None and n < self.said_trimmed(partition):
                continue
            assert manifest is not None, f"manifest {n} handed out before it was written"
            if manifest.log == IDENTITY.id:
                batches += [(n, e) for e in manifest.entries if e.stream in job.over]
        return batches

    def _check(self, name: str) -> None:
        """Check a run record the moment that it is created."""
        room, job_name, *rest = name.split("/")
        if room != "runs" or "." in rest[0].removesuffix(".json"):
            return
        job = next(job for job in self.jobs if job.name == job_name)
        mine = [r for r in self.records(job_name) if r.store == IDENTITY.id]
        if not mine or names.run(job_name, mine[-1].n) != name:
            return
        record = mine[-1]
        asked = sum(self.reopened(job_name, r.n) for r in mine)  # these may exceed the cap
        assert self.in_flight(job_name) - asked <= job.in_flight
        if len(mine) == 1:
            assert record.start == record.to
            assert not record.batches
            return
        before = mine[-2].to  # a partition that was added since begins at its manifest 0
        assert record.start == dict.fromkeys(record.start, 0) | before, (
            "records continue each other"
        )
        covered = [
            (partition, n, entry)
            for partition in self.partitions
            for n, entry in self.committed(
                job, partition, record.start.get(partition, 0), record.to.get(partition, 0)
            )
        ]
        found = [(batch.partition, batch.n, batch.entry) for batch in record.batches]
        assert found == covered, "a record holds exactly the batches between its ends"
