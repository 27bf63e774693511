"""A watch that is cut, ends, falls silent or is too old: what happens to Workflows is known."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from batching.adapters.argo import templates as argo_templates
from batching.errors import LauncherRefused
from batching.ports import RunState
from tests.batching.adapters.argo_stage import TEMPLATE, ArgoStage, followed
from tests.batching.adapters.local_stage import until, when
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster, namespace  # noqa: F401
from tests.cluster.place import API
from tests.faults.api_proxy import ApiProxy
from tests.faults.store_proxy import Fault

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
CUT = Fault("cut", cut=True)


@pytest.fixture
def stage(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[ArgoStage]:  # noqa: F811
    made = ArgoStage(cluster, namespace, tmp_path)
    yield made
    made.close()


@pytest.fixture
def proxy(stage: ArgoStage) -> Iterator[ApiProxy]:
    made = ApiProxy(API, stage.cluster.authority)
    yield made
    made.close()


def test_a_workflow_that_is_deleted_by_hand_is_gone(stage: ArgoStage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.start(stage.request("a"))
        await stage.begun("a")
        assert await launcher.state("a") is RunState.RUNNING
        await asyncio.to_thread(stage.kubectl, "delete", "workflow", "a")
        await until(launcher, "a", RunState.GONE)
        await launcher.close()

    asyncio.run(story())


def test_ends_are_told_by_the_watch_alone_and_measured(stage: ArgoStage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        await followed(launcher)
        for name, code in (("good", 0), ("bad", 7)):
            assert await launcher.start(stage.request(name))
            await stage.begun(name)
            stage.end(name, code)
        for name, state in (("good", RunState.SUCCEEDED), ("bad", RunState.FAILED)):
            await when(lambda name=name: (h := launcher._follower.head(name)) and h.ended)
            assert await launcher.state(name) is state
        for phase in ("Succeeded", "Failed"):
            labels = {"job": "job", "phase": phase}
            await when(lambda labels=labels: stage.count("workflow_seconds_count", **labels) == 1)
        await launcher.close()

    asyncio.run(story())
    assert stage.count("wait_seconds_count", job="job") == 2
    assert stage.count("calls_total", call="get", answer="ok") == 2, "once each, to tell"
    for state in ("pending", "running"):
        assert stage.count("workflows", state=state) == 0


def test_what_happened_while_the_watch_was_cut_is_known_afterwards(
    stage: ArgoStage, proxy: ApiProxy
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url))
        await followed(launcher)
        for name in "abc":
            assert await launcher.start(stage.request(name))
            await stage.begun(name)
        proxy.plan = lambda _m, path: CUT if "watch=" in path else None
        proxy.cut()
        stage.end("a")
        await asyncio.to_thread(stage.kubectl, "delete", "workflow", "b")
        await until(launcher, "a", RunState.SUCCEEDED)  # asked for, since nobody tells
        assert await launcher.state("b") is RunState.GONE
        assert not launcher._follower.follows
        proxy.plan = lambda _m, _p: None
        await followed(launcher)
        stage.end("c")
        await until(launcher, "c", RunState.SUCCEEDED)
        assert launcher._follower.head("b") is None
        await launcher.close()

    asyncio.run(story())
    assert stage.count("watches_total", why="start") == 1
    assert stage.count("watches_total", why="broken") >= 1


def test_a_watch_that_the_server_ends_goes_on_where_it_was(stage: ArgoStage) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(watch_seconds=2))
        assert await launcher.start(stage.request("a"))
        await stage.begun("a")
        await asyncio.sleep(5)
        assert launcher._follower.follows
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)
        await launcher.close()

    asyncio.run(story())
    assert stage.count("watches_total", why="ended") >= 2
    assert (
        stage.count("watches_total", why="broken") == stage.count("watches_total", why="gone") == 0
    )


def test_a_version_that_the_server_no_longer_has_leads_to_a_new_list(
    stage: ArgoStage, proxy: ApiProxy
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url))
        await followed(launcher)
        assert await launcher.start(stage.request("a"))
        await stage.begun("a")
        launcher._follower._version = "1"  # long compacted
        stage.end("a")
        proxy.cut()
        async with asyncio.timeout(30):
            while not stage.count("watches_total", why="gone"):
                launcher._follower._version = launcher._follower._version and "1"
                proxy.cut()
                await asyncio.sleep(0.3)
        await until(launcher, "a", RunState.SUCCEEDED)
        await followed(launcher)
        await launcher.close()

    asyncio.run(story())


def test_a_watch_in_which_nothing_comes_any_more_is_begun_anew(
    stage: ArgoStage, proxy: ApiProxy
) -> None:
    async def story() -> None:
        launcher = stage.launcher(stage.api(proxy.url, silent_seconds=1.0))
        await followed(launcher)
        await when(lambda: stage.count("watches_total", why="broken") >= 2)
        await launcher.close()

    asyncio.run(story())


def test_a_template_that_is_deployed_later_is_noticed(
    stage: ArgoStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argo_templates, "LOOK_SECONDS", 0.2)

    async def story() -> None:
        stage.remove_flow()
        launcher = stage.launcher()
        await when(lambda: stage.count("templates_missing") == 2)
        assert sum(f"WorkflowTemplate {TEMPLATE} is" in why for why in launcher.problems) == 1
        await asyncio.to_thread(stage.bring_flow_back)
        await when(lambda: stage.count("templates_missing") == 1)
        assert not any(f"WorkflowTemplate {TEMPLATE} is" in why for why in launcher.problems)
        await launcher.close()

    asyncio.run(story())


def test_workflows_of_other_stores_are_none_of_ours(stage: ArgoStage) -> None:
    async def story() -> None:
        ours, theirs = stage.launcher(), stage.launcher(store="fedcba9876543210")
        await followed(ours)
        assert await theirs.start(stage.request("a"))
        await stage.begun("a")
        await asyncio.sleep(1)
        assert ours._follower.head("a") is None
        for launcher in (ours, theirs):
            await launcher.close()

    asyncio.run(story())


def test_an_unexpected_error_is_told_and_not_only_a_task_that_is_no_more(stage: ArgoStage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        await followed(launcher)
        assert not any("argo-follow" in why for why in launcher.problems)
        launcher._follower._ended.put_nowait(None)  # type: ignore[arg-type]
        await asyncio.sleep(0.1)
        assert any("argo-tell" in why for why in launcher.problems)
        with pytest.raises(LauncherRefused):
            await launcher.start(stage.request("a", flow="Typo"))
        await launcher.close()

    asyncio.run(story())
