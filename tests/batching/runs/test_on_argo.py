"""Batches that real Workflows are run on: failed, deleted, unseen, and still one result each."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from batching import names
from batching.adapters.folder import FolderStore
from batching.clock import SystemClock
from batching.model import Attempt, Entry, Manifest, Result, dump, load
from batching.ports import RunRequest
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job, run_name
from batching.runs.metrics import DispatchMetrics
from batching.runs.reports import RunReport, list_runs
from batching.scope import Scoped
from tests.batching.adapters.argo_stage import ArgoStage
from tests.batching.adapters.local_stage import when
from tests.batching.runs.dispatch_world import IDENTITY
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster, namespace  # noqa: F401
from tests.cluster.place import ClusterError

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
JOB = Job("job", "PlainFlow", ("vibration",), after_ns=0, attempts=3, backoff_seconds=0.2)


class Yard:
    """A store in a folder, a flow on the cluster, and dispatchers between them."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:  # noqa: F811
        self.root = FolderStore(folder / "blobs")
        self.store = Scoped(self.root, IDENTITY.id)
        self.stage = ArgoStage(cluster, namespace, folder)
        self.registry = CollectorRegistry()
        self.committed = 0

    async def commit(self, batches: int = 1) -> None:
        if not self.committed:
            await self.root.create(names.STORE, [dump(IDENTITY)])
            await self.store.create("started", [b""])
        n = self.committed
        entries = tuple(
            Entry("batch", "vibration", f"s{i}", n * 100 + i, n * 100 + i, 1, bytes=1)
            for i in range(batches)
        )
        now = SystemClock().now_ns()
        made = Manifest(IDENTITY.id, IDENTITY.hub_id, "0", n, now, "test", entries)
        assert await self.store.create(names.manifest(IDENTITY.hub_id, "0", n), [dump(made)])
        self.committed += 1

    @asynccontextmanager
    async def dispatching(self, job: Job = JOB) -> AsyncIterator[Dispatcher]:
        launcher = self.stage.launcher(store=IDENTITY.id)
        metrics = DispatchMetrics(CollectorRegistry())
        one = Dispatcher(
            self.store,
            IDENTITY,
            ["0"],
            [job],
            {job.name: launcher},
            clock=SystemClock(),
            metrics=metrics,
            poll_seconds=0.1,
        )
        stop = asyncio.Event()
        task = asyncio.create_task(one.run(stop))
        try:
            yield one
        finally:
            stop.set()
            await task
            await launcher.close()

    async def runs(self) -> list[RunReport]:
        found = [r async for r in list_runs(self.store, IDENTITY.id, "job")]
        return [r for r in found if r.batches]

    async def idle(self, one: Dispatcher, seconds: float = 120) -> None:
        async with asyncio.timeout(seconds):
            while not await one.idle():  # noqa: ASYNC110
                await asyncio.sleep(0.2)


def attempt(k: int, n: int = 1) -> str:
    return run_name(IDENTITY.id, "PlainFlow", "job", n, k)


@pytest.fixture
def yard(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Yard]:  # noqa: F811
    made = Yard(cluster, namespace, tmp_path)
    yield made
    made.stage.close()


def told(yard: Yard, story: Callable[[], Any]) -> list[RunReport]:
    """Play a story to its end, and give what the store tells of all runs."""

    async def whole() -> list[RunReport]:
        await story()
        return await yard.runs()

    return asyncio.run(whole())


def test_a_flow_that_fails_twice_and_then_succeeds_has_one_result(yard: Yard) -> None:
    for k, code in ((1, 3), (2, 4), (3, 0)):
        yard.stage.end(attempt(k), code)

    async def story() -> None:
        await yard.commit()
        async with yard.dispatching() as one:
            await yard.idle(one)

    (run,) = told(yard, story)
    assert run.result is not None
    assert (run.result.attempt, run.result.by) == (3, "workflow")
    assert run.causes == ("failed", "failed")
    assert yard.stage.workflows() == sorted(attempt(k) for k in (1, 2, 3))


def test_a_flow_that_always_fails_is_given_up_and_the_next_batch_is_run(yard: Yard) -> None:
    for k in (1, 2, 3):
        yard.stage.end(attempt(k), 1)
    yard.stage.end(attempt(1, n=2), 0)

    async def story() -> None:
        await yard.commit()
        async with yard.dispatching() as one:
            await yard.idle(one)
            await yard.commit()
            await yard.idle(one)

    first, second = told(yard, story)
    assert (first.status.value, len(first.attempts)) == ("failed", 3)
    assert first.causes == ("failed", "failed", "failed")
    assert (second.status.value, len(second.attempts)) == ("succeeded", 1)


def test_a_workflow_that_is_deleted_by_hand_is_tried_again(yard: Yard) -> None:
    yard.stage.end(attempt(2), 0)

    async def story() -> None:
        await yard.commit()
        async with yard.dispatching() as one:
            await yard.stage.begun(attempt(1))
            await asyncio.to_thread(yard.stage.kubectl, "delete", "workflow", attempt(1))
            await yard.idle(one)

    (run,) = told(yard, story)
    assert (run.status.value, len(run.attempts), run.causes) == ("succeeded", 2, ("gone",))


def test_a_workflow_whose_receipt_was_not_written_is_found_and_not_started_again(
    yard: Yard,
) -> None:
    async def story() -> None:
        await yard.commit()
        launcher = yard.stage.launcher(store=IDENTITY.id)
        uri = f"{yard.store.uri}/{names.run('job', 1)}"  # a service was killed right after this
        request = RunRequest(attempt(1), "job", 1, 1, "PlainFlow", uri, {"0": (0, 1)})
        assert await launcher.start(request)
        await launcher.close()
        await yard.stage.begun(attempt(1))
        async with yard.dispatching() as one:
            receipt = names.receipt("job", 1, 1)
            async with asyncio.timeout(30):
                while await yard.store.get(receipt) is None:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            yard.stage.end(attempt(1), 0)
            await yard.idle(one)
        found = load(Attempt, receipt, await yard.store.get(receipt) or b"")
        assert found.name == attempt(1)

    (run,) = told(yard, story)
    assert (run.status.value, len(run.attempts)) == ("succeeded", 1)
    assert yard.stage.workflows() == [attempt(1)]
    assert yard.stage.codes.asked[attempt(1)] == 1


def test_what_ended_while_no_service_was_there_is_seen_by_the_next_one(yard: Yard) -> None:
    async def story() -> None:
        await yard.commit()
        async with yard.dispatching():
            await yard.stage.begun(attempt(1))
        yard.stage.end(attempt(1), 0)
        path = "{.status.phase}"
        shown = ("get", "workflow", attempt(1), "--output", f"jsonpath={path}")
        await when(lambda: yard.stage.kubectl(*shown) == "Succeeded")
        async with yard.dispatching() as one:
            await yard.idle(one, 20)

    (run,) = told(yard, story)
    assert (run.status.value, len(run.attempts)) == ("succeeded", 1)
    assert yard.stage.codes.asked[attempt(1)] == 1


def test_a_run_that_has_its_result_is_not_started_again_though_its_workflow_is_gone(
    yard: Yard,
) -> None:
    async def story() -> None:
        await yard.commit()
        async with yard.dispatching():
            await yard.stage.begun(attempt(1))
        outputs = names.outputs("job", 1, 1)  # as the mixin's `finish` does
        result = Result("job", 1, 1, "flow", outputs, SystemClock().now_ns())
        assert await yard.store.create(names.result("job", 1), [dump(result)])
        yard.stage.kubectl("delete", "workflow", attempt(1))
        async with yard.dispatching() as one:
            await yard.idle(one, 20)
            await asyncio.sleep(1)

    (run,) = told(yard, story)
    assert (run.status.value, len(run.attempts)) == ("succeeded", 1)
    assert yard.stage.workflows() == []


def test_a_burst_against_a_cap_merges_and_two_dispatchers_keep_the_cap_together(
    yard: Yard,
) -> None:
    yard.stage.codes.answer_all(0)
    job = Job(
        "job", "PlainFlow", ("vibration",), after_ns=0, at_most_batches=50, in_flight=5, attempts=1
    )
    in_flight: list[int] = []

    async def watch() -> None:
        while True:
            open_ones = [r for r in await yard.runs() if r.status.value in ("waiting", "running")]
            in_flight.append(len(open_ones))
            await asyncio.sleep(0.1)

    async def story() -> None:
        await yard.commit()
        async with yard.dispatching(job) as one, yard.dispatching(job):
            watching = asyncio.create_task(watch())
            for _ in range(499):
                await yard.commit()
            await yard.idle(one, 400)
            watching.cancel()

    found = told(yard, story)
    assert max(in_flight) <= 5
    assert max(in_flight) > 1
    assert sum(len(run.batches) for run in found) == 500
    assert len(found) <= 50
    assert all(run.status.value == "succeeded" for run in found)
    assert len(yard.stage.workflows()) == len(found)


@pytest.mark.alone
def test_many_runs_survive_the_restart_of_the_api_server_and_of_the_controller(
    yard: Yard,
) -> None:
    job = Job(
        "job", "PlainFlow", ("vibration",), after_ns=0, at_most_batches=1, backoff_seconds=0.2
    )

    async def story() -> None:
        node = yard.stage.cluster
        for _ in range(6):
            await yard.commit()
        async with yard.dispatching(job) as one:
            for n in range(1, 4):
                await yard.stage.begun(attempt(1, n))
            # in threads: the dispatcher meanwhile asks in vain
            await asyncio.to_thread(node.stop, "kube-apiserver", signal.SIGKILL)
            # Argo's controller, too: one that lost a watch of its own settings turns in a circle
            await asyncio.to_thread(node.stop, "workflow-controller", signal.SIGKILL)
            for n in range(1, 4):
                yard.stage.end(attempt(1, n), 0)
            await asyncio.sleep(3)
            await yard.commit()
            await asyncio.to_thread(node.start, "kube-apiserver")
            await asyncio.to_thread(ready, node)  # a controller that is told 403 ends
            await asyncio.to_thread(node.start, "workflow-controller")
            yard.stage.codes.answer_all(0)
            await yard.idle(one, 120)

    found = told(yard, story)
    assert [run.status.value for run in found] == ["succeeded"] * 7
    # An API server that has just begun tells 403 to Argo's executors, too: Argo then fails what
    # ended well, and it is tried again. Nothing else costs an attempt, and none is started twice.
    assert {cause for run in found for cause in run.causes} <= {"failed"}
    names_of = [each.name for run in found for each in run.attempts]
    assert yard.stage.workflows() == sorted(names_of)
    assert all(yard.stage.codes.asked[name] == 1 for name in names_of)


def ready(node: Cluster, seconds: float = 60) -> None:
    """Wait until the API server has taken up its work, rights included."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            node.kubectl("get", "--raw", "/readyz")
        except ClusterError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
        else:
            return
