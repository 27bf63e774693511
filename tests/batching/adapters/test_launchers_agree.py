"""What every launcher promises, shown with each: processes of this machine, and Argo's pods."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batching.errors import LauncherRefused
from batching.ports import Launcher, RunState
from tests.batching.adapters.local_stage import Stage, until, when
from tests.cluster.conftest import cluster, namespace  # noqa: F401

ON_CLUSTER = (pytest.mark.cluster, pytest.mark.slow)


@pytest.fixture(params=["local", pytest.param("argo", marks=ON_CLUSTER)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "local":
        made: Any = Stage(tmp_path)
    else:
        from tests.batching.adapters.argo_stage import ArgoStage  # noqa: PLC0415

        place = request.getfixturevalue("cluster"), request.getfixturevalue("namespace")
        made = ArgoStage(*place, tmp_path)
    yield made
    made.close()


async def closed(*launchers: Launcher) -> None:
    for launcher in launchers:
        await launcher.close()


def test_a_run_is_seen_running_and_then_succeeded_or_failed(stage: Any) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.state("good") is RunState.GONE
        for name, code, state in (("good", 0, RunState.SUCCEEDED), ("bad", 3, RunState.FAILED)):
            assert await launcher.start(stage.request(name))
            assert await launcher.state(name) is RunState.RUNNING
            await stage.begun(name)
            assert await launcher.state(name) is RunState.RUNNING
            stage.end(name, code)
            await until(launcher, name, state)
        await closed(launcher)

    asyncio.run(story())


def test_a_name_starts_once_while_it_runs_and_after_it_has_ended(stage: Any) -> None:
    async def story() -> None:
        one, other = stage.launcher(), stage.launcher()
        answers = await asyncio.gather(
            *(each.start(stage.request("a")) for each in [one, other] * 4)
        )
        assert sorted(answers) == [False] * 7 + [True]
        await stage.begun("a")
        stage.end("a")
        await until(other, "a", RunState.SUCCEEDED)
        assert not await other.start(stage.request("a"))
        assert len(stage.starts("a")) == 1
        await closed(one, other)

    asyncio.run(story())


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_outlives_its_launcher_and_the_next_one_sees_how_it_ends(
    stage: Any, code: int
) -> None:
    async def story() -> None:
        first = stage.launcher()
        assert await first.start(stage.request("a"))
        await stage.begun("a")
        await closed(first, first)
        second = stage.launcher()
        assert await second.state("a") is RunState.RUNNING
        assert not await second.start(stage.request("a"))
        stage.end("a", code)
        await until(second, "a", RunState.FAILED if code else RunState.SUCCEEDED)
        await closed(second)
        third = stage.launcher()
        assert await third.state("a") is (RunState.FAILED if code else RunState.SUCCEEDED)
        await closed(third)

    asyncio.run(story())


def test_a_killed_run_has_failed_and_its_next_attempt_is_another_run(stage: Any) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.start(stage.request("a"))
        await stage.begun("a")
        await asyncio.to_thread(stage.kill, "a")
        await until(launcher, "a", RunState.FAILED)
        assert await launcher.start(stage.request("a-again", attempt=2))
        stage.end("a-again")
        await until(launcher, "a-again", RunState.SUCCEEDED)
        assert await launcher.state("a") is RunState.FAILED
        await closed(launcher)

    asyncio.run(story())


def test_a_flow_that_nobody_knows_is_refused_by_name_and_starts_nothing(stage: Any) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        with pytest.raises(LauncherRefused, match=r"(?i)typo"):
            await launcher.start(stage.request("a", flow="Typo"))
        assert await launcher.state("a") is RunState.GONE
        await closed(launcher)

    asyncio.run(story())


def test_what_is_wrong_is_known_before_a_run_needs_it_and_passes(stage: Any) -> None:
    async def story() -> None:
        stage.remove_flow()
        launcher = stage.launcher()
        await when(lambda: any("missing" in why for why in launcher.problems))
        with pytest.raises(LauncherRefused, match="missing"):
            await launcher.start(stage.request("a"))
        stage.bring_flow_back()
        assert await launcher.start(stage.request("a"))
        assert not any(f"{stage.flow_name} " in why for why in launcher.problems)
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)
        await closed(launcher)

    asyncio.run(story())


def test_everybody_is_told_where_to_look_at_a_run(stage: Any) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert all("a" in place for place in launcher.where("a", "PlainFlow").values())
        assert launcher.where("a", "PlainFlow")
        await closed(launcher)

    asyncio.run(story())
