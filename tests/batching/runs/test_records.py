"""What the store tells of runs: for status and verify, and after a real flow under a dispatcher."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

import flows
from batching import names
from batching.adapters.flow_environment import find_flows
from batching.adapters.folder import FolderStore
from batching.adapters.local_launcher import LocalLauncher
from batching.bundle import Builder
from batching.clock import SystemClock
from batching.errors import SettingError
from batching.model import Attempt, Entry, Manifest, Result, RunBatch, RunRecord, dump
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job, run_name, template
from batching.runs.metrics import DispatchMetrics
from batching.runs.records import list_jobs
from batching.runs.reports import RunReport, RunStatus, list_runs, newest_runs
from batching.scope import Scoped
from tests.batching.runs.dispatch_world import IDENTITY, Chaos, MemoryStore

ENTRY = Entry("batch", "vibration", "press-7", 0, 9, 10)


class Shelf:
    """A store that is filled object by object."""

    def __init__(self) -> None:
        self.store = MemoryStore(Chaos())

    def record(self, n: int, *, batches: int = 1, store: str = IDENTITY.id) -> None:
        found = tuple(RunBatch("0", n, ENTRY) for _ in range(batches))
        made = RunRecord("press", n, "MyFlow", store, "h", 100 + n, {"0": n}, {"0": n + 1}, found)
        self.store.put(names.run("press", n), dump(made))

    def step(self, name: str, k: int, cause: str | None = None) -> None:
        self.store.put(name, dump(Attempt("press", 0, k, "name", 1000 + k, cause)))

    def result(self, n: int, k: int) -> None:
        made = Result("press", n, k, "flow", names.outputs("press", n, k), 5000, {"rows": 3})
        self.store.put(names.result("press", n), dump(made))

    def reports(self, start: int = 0) -> list[RunReport]:
        async def read() -> list[RunReport]:
            return [r async for r in list_runs(self.store, IDENTITY.id, "press", start=start)]

        return asyncio.run(read())


def test_each_record_is_told_with_its_state_attempts_and_causes() -> None:
    shelf = Shelf()
    shelf.record(0, batches=0)
    for n in range(1, 7):
        shelf.record(n, batches=n)
    shelf.step(names.receipt("press", 2, 1), 1)
    shelf.step(names.receipt("press", 3, 1), 1)
    shelf.step(names.attempt("press", 3, 2), 2, "failed")
    shelf.step(names.receipt("press", 4, 1), 1)
    shelf.step(names.attempt("press", 4, 2), 2, "gone")
    shelf.step(names.receipt("press", 4, 2), 2)
    shelf.step(names.failed("press", 4, 2), 2, "failed")
    shelf.result(5, 1)
    shelf.step(names.failed("press", 6, 1), 1, "failed")
    shelf.result(6, 1)  # a late result still wins
    shelf.store.put(names.run_position("press"), b'{"settled":1,"format":1}')
    found = shelf.reports()
    assert [(r.n, r.status, len(r.attempts), len(r.batches)) for r in found] == [
        (0, RunStatus.EMPTY, 0, 0),
        (1, RunStatus.WAITING, 1, 1),
        (2, RunStatus.RUNNING, 1, 2),
        (3, RunStatus.WAITING, 2, 3),
        (4, RunStatus.FAILED, 2, 4),
        (5, RunStatus.SUCCEEDED, 1, 5),
        (6, RunStatus.SUCCEEDED, 1, 6),
    ]
    assert [r.causes for r in found[3:5]] == [("failed",), ("gone", "failed")]
    assert [
        (a.attempt, a.state, a.decided_ns, a.started_ns, a.ended_ns) for a in found[4].attempts
    ] == [
        (1, "gone", 104, 1001, 1002),
        (2, "failed", 1002, 1002, 1002),
    ]
    assert found[4].attempts[1].name == run_name(IDENTITY.id, "MyFlow", "press", 4, 2)
    assert [a.state for r in found[1:4] for a in r.attempts] == [
        *("waiting", "running"),
        *("failed", "waiting"),
    ]
    assert [(a.state, a.started_ns, a.ended_ns) for a in found[5].attempts] == [
        ("succeeded", None, 5000)
    ]
    assert found[5].result is not None
    assert found[5].result.facts == {"rows": 3}
    assert [r.n for r in shelf.reports(start=4)] == [4, 5, 6]


def test_a_result_of_an_earlier_attempt_overtakes_the_later_ones() -> None:
    shelf = Shelf()
    shelf.record(0)
    shelf.step(names.attempt("press", 0, 2), 2, "gone")
    shelf.step(names.receipt("press", 0, 2), 2)
    shelf.result(0, 1)
    (found,) = shelf.reports()
    assert [a.state for a in found.attempts] == ["succeeded", "overtaken"]
    assert found.counts == found.attempts[0]


def test_the_newest_come_first_and_no_more_are_read_than_are_asked_for() -> None:
    shelf = Shelf()
    for n in range(30):
        shelf.record(n)
        shelf.result(n, 1)
    shelf.store.put(names.run_position("press"), b'{"settled":28,"format":1}')

    async def read(most: int) -> list[int]:
        found = newest_runs(shelf.store, IDENTITY.id, "press")
        return [(await anext(found)).n for _ in range(most)]

    assert asyncio.run(read(3)) == [29, 28, 27]
    assert len(shelf.store.gets) == 3 * 2  # record and result of each


def test_a_failed_record_that_is_tried_again_on_request_is_no_longer_failed() -> None:
    shelf = Shelf()
    shelf.record(0)
    shelf.step(names.failed("press", 0, 1), 1, "failed")
    assert shelf.reports()[0].status is RunStatus.FAILED
    shelf.step(names.attempt("press", 0, 2), 2, "asked for")
    assert shelf.reports()[0].status is RunStatus.WAITING


def test_a_record_of_another_store_is_told_as_empty() -> None:
    shelf = Shelf()
    shelf.record(0, store="older")
    assert [r.status for r in shelf.reports()] == [RunStatus.EMPTY]


def test_jobs_are_learned_from_the_store() -> None:
    store = MemoryStore(Chaos())
    assert asyncio.run(list_jobs(store)) == []
    for job in ("press", "press_2", "pressure", "a"):
        for n in range(3):
            store.put(names.run(job, n), b"{}")
        store.put(names.run_position(job), b"{}")
    store.put("results/other/000000000000.json", b"{}")
    assert asyncio.run(list_jobs(store)) == ["a", "press", "press_2", "pressure"]


def test_names_of_runs_suit_kubernetes_and_differ_by_all_that_they_follow_from() -> None:
    made = {
        run_name("s", "MyFlow", "j", 1, 1),
        run_name("t", "MyFlow", "j", 1, 1),
        run_name("s", "MyFlow", "k", 1, 1),
        run_name("s", "MyFlow", "j", 11, 1),
        run_name("s", "MyFlow", "j", 1, 11),
    }
    assert len(made) == 5
    assert run_name("s", "MyFlow", "j", 1, 1) in made
    assert template("Sensor_Processing.Flow") == "sensor-processing-flow"
    assert len(run_name("s", "F" * 99, "j", 1, 1)) == 45 + 1 + 16


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "Vibration"}, "is no name for a job"),
        ({"name": "a" * 41}, "is no name for a job"),
        ({"flow": "my flow; rm"}, r"jobs\.job\.flow"),
        ({"over": ()}, r"jobs\.job\.over: name at least one stream"),
        ({"over": ("_dead",)}, "is no name of a stream"),
        ({"start": "later"}, "must be earliest or now, got 'later'"),
        ({"attempts": 0}, r"jobs\.job\.attempts: must be 1 or more"),
        ({"in_flight": 0}, r"jobs\.job\.in_flight"),
        ({"after_ns": -1}, r"jobs\.job\.after_ns"),
    ],
)
def test_a_wrong_setting_of_a_job_is_named(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Job(**{"name": "job", "flow": "F", "over": ("s",), **wrong})  # type: ignore[arg-type]


def test_backoff_doubles_up_to_ten_minutes() -> None:
    job = Job("job", "F", ("s",), backoff_seconds=10.0)
    waits = [job.backoff_ns(k) // 10**9 for k in (1, 2, 3, 4, 9, 99)]
    assert waits == [0, 10, 20, 40, 600, 600]


async def bundle(store: Scoped, n: int) -> None:
    """Commit manifest n with one batch of 2,000 real samples."""
    builder = Builder(["x"])
    times_ns = (np.arange(2_000) * 10**7).astype(np.int64)
    values = np.sin(np.arange(2_000) / 5.0).reshape(-1, 1)
    builder.add_chunk(times_ns, values, sequence_number=n, enqueued_ns=0, message_id="m")
    builder.end_batch("press-7", 0)
    data = names.data("vibration", IDENTITY.hub_id, "0", n, "nonce")
    assert await store.create(data, builder.write())
    entry = Entry(
        "batch", "vibration", "press-7", n, n, 1,
        samples=2_000, bytes=32_000, sealed=1, data=data, rows=(0, 2_000), chunks=(0, 1),
    )  # fmt: skip
    made = Manifest(IDENTITY.id, IDENTITY.hub_id, "0", n, SystemClock().now_ns(), "test", (entry,))
    assert await store.create(names.manifest(IDENTITY.hub_id, "0", n), [dump(made)])


async def everything_ran(one: Dispatcher, seconds: float) -> bool:
    stop = asyncio.Event()
    task = asyncio.create_task(one.run(stop))
    try:
        async with asyncio.timeout(seconds):
            while not await one.idle():  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    finally:
        stop.set()
        await task
    return True


def test_a_real_flow_is_run_by_the_dispatcher_and_makes_the_result(tmp_path: Path) -> None:
    async def story() -> None:
        root = FolderStore(tmp_path / "blobs")
        store = Scoped(root, IDENTITY.id)
        await store.create("started", [b""])
        await root.create(names.STORE, [dump(IDENTITY)])
        for n in range(2):
            await bundle(store, n)
        found = find_flows(Path(flows.__file__).parent)
        launcher = LocalLauncher(tmp_path, found, processes=1)
        job = Job("vibration", "SensorProcessingFlow", ("vibration",), after_ns=0)
        metrics = DispatchMetrics(CollectorRegistry())
        one = Dispatcher(
            store,
            IDENTITY,
            ["0"],
            [job],
            {job.name: launcher},
            clock=SystemClock(),
            metrics=metrics,
        )
        assert await everything_ran(one, 90)
        reports = [r async for r in list_runs(store, IDENTITY.id, "vibration")]
        log = launcher.log_path(reports[1].attempts[0].name).read_text()
        assert [r.status for r in reports] == [RunStatus.EMPTY, RunStatus.SUCCEEDED], log
        result = reports[1].result
        assert result is not None
        assert (result.by, result.attempt, len(reports[1].batches)) == ("flow", 1, 2)
        assert [name async for name in store.names(result.outputs)]
        await launcher.close()
        await root.close()

    asyncio.run(story())
