"""Two processes dispatch one job on one folder, with real runs, and one of them is killed."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batching import names
from batching.model import Entry, Manifest, RunRecord, dump
from tests.batching.runs import on_disk
from tests.batching.runs.dispatch_process import PARTITIONS, FastClock, store
from tests.batching.runs.dispatch_world import IDENTITY

FLOW = "import time; time.sleep(0.3)\n"
HOUR_NS = 3600 * 10**9


class Pair:
    """A folder, its clock, and the processes that dispatch on it."""

    def __init__(self, folder: Path, origin: str = "2026-11-25T12:00Z", speed: int = 1) -> None:
        self.folder, self.store = folder, store(folder)
        (folder / "flow.py").write_text(FLOW)
        origin_ns = int(datetime.fromisoformat(origin).timestamp()) * 10**9
        self.times = {"origin_ns": origin_ns, "began_ns": time.time_ns(), "speed": speed}
        self.clock = FastClock(**self.times)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.next = dict.fromkeys(PARTITIONS, 0)

    def start(self, **job: Any) -> subprocess.Popen[bytes]:
        plain = {"name": "job", "flow": "PlainFlow", "over": ["motion"], "after_ns": 0, **job}
        program = [sys.executable, "-m", "tests.batching.runs.dispatch_process"]
        said = json.dumps({"job": plain, "clock": self.times})
        process = subprocess.Popen([*program, str(self.folder), said])
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    async def commit(self, batches: int = 1, partition: str = "0") -> None:
        n = self.next[partition]
        entries = tuple(
            Entry("batch", "motion", f"s{i}", n * 100 + i, n * 100 + i, 1, bytes=100)
            for i in range(batches)
        )
        manifest = Manifest(
            IDENTITY.id, IDENTITY.hub_id, partition, n, self.clock.now_ns(), "test", entries
        )
        name = names.manifest(IDENTITY.hub_id, partition, n)
        assert await self.store.create(name, [dump(manifest)])
        self.next[partition] = n + 1

    @property
    def place(self) -> Path:
        return self.folder / "blobs" / IDENTITY.id

    def path(self, name: str) -> Path:
        return self.place / name

    def records(self) -> list[RunRecord]:
        return on_disk.records(self.place, "job")

    def batches(self) -> list[tuple[str, int, int]]:
        return [(b.partition, b.n, b.entry.first) for r in self.records() for b in r.batches]

    def done(self) -> bool:
        return all(self.path(names.result("job", r.n)).exists() for r in self.records())

    def in_flight(self) -> int:
        return on_disk.most_in_flight(self.place, "job")

    async def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@pytest.fixture
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path, **getattr(request, "param", {}))
    yield made
    for process in made.processes:
        made.kill(process)


@pytest.mark.slow
def test_the_cap_holds_and_what_waits_merges_into_larger_runs(pair: Pair) -> None:
    async def story() -> None:
        settings = {"in_flight": 3, "at_most_batches": 12}
        one, _ = pair.start(**settings), pair.start(**settings)
        await pair.until(lambda: pair.path(names.run("job", 0)).exists())
        for n in range(120):
            await pair.commit(1, PARTITIONS[n % 2])
        await pair.until(lambda: len(pair.records()) >= 4)
        pair.kill(one)
        pair.start(**settings)
        await pair.until(lambda: len(pair.batches()) == 120 and pair.done())

    asyncio.run(story())
    assert len(set(pair.batches())) == 120
    assert pair.in_flight() == 3
    sizes = [len(record.batches) for record in pair.records()]
    assert max(sizes) == 12
    print("batches of each run:", sizes)  # noqa: T201
    assert len(sizes) <= 120 / 12 + 6  # the first ones began before there was a backlog


@pytest.mark.slow
def test_so_many_runs_begin_in_a_minute_of_both_together(pair: Pair) -> None:
    async def story() -> None:
        settings = {"starts_per_minute": 5, "at_most_batches": 1}
        pair.start(**settings)
        pair.start(**settings)
        await pair.until(lambda: pair.path(names.run("job", 0)).exists())
        for _ in range(20):
            await pair.commit()
        await pair.until(lambda: len(pair.records()) >= 5)
        await asyncio.sleep(3)

    asyncio.run(story())
    assert len(pair.records()) == 5


AUTUMN = {"origin": "2026-10-25T00:30+02:00", "speed": 600}  # an hour takes six seconds


@pytest.mark.slow
@pytest.mark.parametrize("pair", [AUTUMN], indirect=True)
def test_each_moment_has_one_run_and_those_of_an_outage_have_one_together(pair: Pair) -> None:
    settings = {"schedule": "0 * * * *", "zone": "Europe/Berlin", "in_flight": 3}
    before, missed = list[RunRecord](), list[int]()

    async def commit_until(text: str) -> None:
        end = int(datetime.fromisoformat(text).timestamp()) * 10**9
        while pair.clock.now_ns() < end:
            await pair.commit()
            await pair.clock.sleep(300)

    async def story() -> None:
        one, two = pair.start(**settings), pair.start(**settings)
        await pair.until(lambda: pair.path(names.run("job", 0)).exists())
        await commit_until("2026-10-25T02:20+02:00")
        pair.kill(one)
        one = pair.start(**settings)
        await commit_until("2026-10-25T03:20+01:00")
        pair.kill(one)
        pair.kill(two)
        before.extend(pair.records())
        await commit_until("2026-10-25T06:20+01:00")
        missed.append(pair.next["0"])
        pair.start(**settings)
        pair.start(**settings)
        await commit_until("2026-10-25T07:30+01:00")
        await pair.until(pair.done)

    asyncio.run(story())
    served = [record.scheduled or 0 for record in pair.records()]
    local = [datetime.fromtimestamp(s // 10**9, UTC).isoformat() for s in served]
    print("moments served, UTC:", local, [len(r.batches) for r in pair.records()])  # noqa: T201
    assert served == sorted(set(served)), "a moment has one run"
    assert all(moment % HOUR_NS == 0 for moment in served)
    back = pair.records()[len(before)]
    assert (back.scheduled or 0) - (before[-1].scheduled or 0) >= 3 * HOUR_NS
    assert max(batch.n for batch in back.batches) >= missed[0] - 1, "all of the outage"
    assert len(set(pair.batches())) == len(pair.batches())
