"""Real processes under real locks: each run once under its name, a few at once, whoever dies."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from batching.adapters.flow_environment import find_flows, flow_environment
from batching.errors import LauncherBusy, LauncherRefused, LauncherUnavailable, SettingError
from batching.ports import RunState
from tests.batching.adapters.local_stage import Stage, begun, until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.close()


def test_a_run_is_seen_running_and_then_succeeded_or_failed(stage: Stage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.state("good") is RunState.GONE
        for name, code, state in (("good", 0, RunState.SUCCEEDED), ("bad", 3, RunState.FAILED)):
            assert await launcher.start(stage.request(name))
            assert await launcher.state(name) is RunState.RUNNING
            stage.end(name, code)
            await until(launcher, name, state)
        await launcher.close()

    asyncio.run(story())
    assert (stage.data / "runs" / "good.log").read_text() == "hello from good\n"


def test_a_name_starts_once_while_it_runs_and_after_it_has_ended(stage: Stage) -> None:
    async def story() -> None:
        one, other = stage.launcher(), stage.launcher()
        answers = await asyncio.gather(
            *(each.start(stage.request("a")) for each in [one, other] * 4)
        )
        assert sorted(answers) == [False] * 7 + [True]
        await begun(stage, "a")
        stage.end("a")
        await until(other, "a", RunState.SUCCEEDED)
        assert not await other.start(stage.request("a"))
        assert len(stage.starts("a")) == 1

    asyncio.run(story())


def test_no_more_run_at_once_than_allowed_by_all_services_together(stage: Stage) -> None:
    async def story() -> None:
        one, other = stage.launcher(processes=2), stage.launcher(processes=2)
        assert await one.start(stage.request("a"))
        assert await other.start(stage.request("b"))
        for each in (one, other):
            with pytest.raises(LauncherBusy, match="2 runs are going on"):
                await each.start(stage.request("c"))
        assert stage.starts("c") == []
        stage.end("a")
        await until(one, "a", RunState.SUCCEEDED)
        assert await other.start(stage.request("c"))
        for name in "bc":
            stage.end(name)
            await until(one, name, RunState.SUCCEEDED)

    asyncio.run(story())


SERVICE = """
    import asyncio, sys, time
    from pathlib import Path
    from batching.adapters.local_launcher import LocalLauncher
    from batching.ports import RunRequest
    data, flow, name = sys.argv[1:]
    launcher = LocalLauncher(Path(data), {"PlainFlow": Path(flow)})
    asyncio.run(launcher.start(RunRequest(name, "job", 1, 1, "PlainFlow", "file:///x")))
    print("started", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("code", [0, 1])
def test_a_run_outlives_a_killed_service_and_the_next_one_sees_how_it_ends(
    stage: Stage, code: int
) -> None:
    stage.names.add("a")
    script = [sys.executable, "-c", textwrap.dedent(SERVICE)]
    with subprocess.Popen(
        [*script, str(stage.data), str(stage.flow), "a"], stdout=subprocess.PIPE
    ) as service:
        assert service.stdout
        assert service.stdout.readline() == b"started\n"
        service.kill()

    async def story() -> None:
        launcher = stage.launcher()
        await begun(stage, "a")
        assert await launcher.state("a") is RunState.RUNNING
        assert not await launcher.start(stage.request("a"))
        stage.end("a", code)
        await until(launcher, "a", RunState.FAILED if code else RunState.SUCCEEDED)

    asyncio.run(story())
    assert len(stage.starts("a")) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_flow_holds_its_lock_even_when_its_shell_is_killed(stage: Stage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.start(stage.request("a"))
        await begun(stage, "a")
        os.kill(stage.shell("a"), signal.SIGKILL)
        await asyncio.sleep(0.1)
        assert await launcher.state("a") is RunState.RUNNING
        os.kill(stage.starts("a")[0], signal.SIGKILL)
        await until(launcher, "a", RunState.FAILED)

    asyncio.run(story())


def test_a_killed_flow_has_failed(stage: Stage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.start(stage.request("a"))
        await begun(stage, "a")
        os.kill(stage.starts("a")[0], signal.SIGKILL)
        await until(launcher, "a", RunState.FAILED)

    asyncio.run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ended_runs_leave_no_zombies_and_closing_leaves_runs_alone(stage: Stage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        for name in "ab":
            assert await launcher.start(stage.request(name))
            await begun(stage, name)
        shells = [stage.shell(name) for name in "ab"]
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)
        async with asyncio.timeout(5):
            while os.path.exists(f"/proc/{shells[0]}"):  # noqa: ASYNC240, PTH110
                await launcher.state("b")
                await asyncio.sleep(0.01)
        await launcher.close()
        await asyncio.sleep(0.05)
        assert await stage.launcher().state("b") is RunState.RUNNING
        stage.end("b")
        await until(stage.launcher(), "b", RunState.SUCCEEDED)
        os.waitpid(shells[1], 0)  # noqa: ASYNC222  # ours, as long as the process of the tests lives

    asyncio.run(story())


def test_ctrl_c_at_the_terminal_does_not_reach_a_run(stage: Stage) -> None:
    async def story() -> None:
        launcher = stage.launcher()
        assert await launcher.start(stage.request("a"))
        await begun(stage, "a")
        assert os.getsid(stage.starts("a")[0]) != os.getsid(0)
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)

    asyncio.run(story())


def test_a_flow_is_told_its_record_its_attempt_and_no_secret_of_the_service(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_REDIS__URL", "redis://:secret@host")
    monkeypatch.setenv("EVENT_HUBS_KEY", "secret")
    monkeypatch.setenv("AZURE_CLIENT_ID", "flows sign in with it")

    async def story() -> None:
        launcher = stage.launcher(environment={"MODEL": "v2"})
        await launcher.start(stage.request("a", attempt=2))
        stage.end("a")
        await until(launcher, "a", RunState.SUCCEEDED)

    asyncio.run(story())
    seen = (stage.folder / "a.seen").read_text()
    assert "secret" not in seen
    for text in (
        '"run", "--run", "file:///store/runs/job/000000000007.json"',
        '"--tag=job:job"',
        '"HEADRACE_ATTEMPT": "2"',
        '"MODEL": "v2"',
        f'"METAFLOW_DATASTORE_SYSROOT_LOCAL": "{stage.data}/metaflow"',
        '"AZURE_CLIENT_ID": "flows sign in with it"',
    ):
        assert text in seen


@pytest.mark.parametrize(
    ("service", "user"),
    [
        ({}, "headrace"),
        ({"USER": "root"}, "headrace"),
        ({"USER": ""}, "headrace"),
        ({"USER": "ada"}, None),
        ({"USER": "root", "METAFLOW_USER": "ada"}, "ada"),
    ],
)
def test_metaflow_always_has_a_user(service: dict[str, str], user: str | None) -> None:
    assert flow_environment(service, Path("/data"), {}).get("METAFLOW_USER") == user


def test_an_unknown_flow_is_named_with_those_that_are_known(stage: Stage) -> None:
    with pytest.raises(LauncherRefused, match=r"flow Typo is not known here \(known: PlainFlow\)"):
        asyncio.run(stage.launcher().start(stage.request("a", flow="Typo")))
    stage.flow.unlink()
    with pytest.raises(SettingError, match=r"plain_flow\.py is missing"):
        stage.launcher().check("PlainFlow")


def test_a_machine_that_refuses_is_unavailable_and_no_run_is_left_behind(stage: Stage) -> None:
    stage.data.write_text("a file where the folder should be")
    with pytest.raises(LauncherUnavailable, match="start of a"):
        asyncio.run(stage.launcher().start(stage.request("a")))


def test_a_failed_start_lets_go_of_its_locks(stage: Stage) -> None:
    async def story() -> None:
        with pytest.raises(LauncherUnavailable):
            await stage.launcher(processes=1, environment={"LONG": "x" * 10**7}).start(
                stage.request("a")
            )
        assert await stage.launcher(processes=1).start(stage.request("a"))
        stage.end("a")
        await until(stage.launcher(), "a", RunState.SUCCEEDED)

    asyncio.run(story())


def test_logs_of_the_newest_runs_are_kept_and_those_of_running_ones(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batching.adapters.local_launcher._CLEAN_EVERY", 1)

    async def story() -> None:
        launcher = stage.launcher(keep=2, processes=3)
        await launcher.start(stage.request("running"))
        for name in ("a", "b", "c"):
            await launcher.start(stage.request(name))
            stage.end(name)
            await until(launcher, name, RunState.SUCCEEDED)
            time.sleep(0.02)  # noqa: ASYNC251  # ages in the file system
        assert await launcher.state("a") is RunState.GONE
        assert await launcher.state("running") is RunState.RUNNING
        stage.end("running")
        await until(launcher, "running", RunState.SUCCEEDED)

    asyncio.run(story())
    kept = {path.name for path in (stage.data / "runs").glob("*.log")}
    assert kept == {"running.log", "b.log", "c.log"}


def test_flows_are_found_in_files_without_running_them(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text(
        "raise SystemExit\nclass A(Mixin, FlowSpec): ...\n"
        "class B(metaflow.FlowSpec): ...\nclass C: ..."
    )
    (tmp_path / "broken.py").write_text("class (")
    assert find_flows(tmp_path) == {"A": tmp_path / "one.py", "B": tmp_path / "one.py"}
