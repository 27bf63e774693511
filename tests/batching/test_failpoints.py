import asyncio
import os
import signal
import subprocess
import sys
import time

import pytest

from batching import failpoints
from batching.errors import SettingError
from batching.failpoints import FailpointError, arm, reached, reached_in_flow

pytestmark = pytest.mark.usefixtures("nothing_armed_afterwards")


def passes(name: str, times: int) -> list[int]:
    """Pass a place so often; give the passings at which it raised."""

    async def run() -> list[int]:
        raised = []
        for nth in range(1, times + 1):
            try:
                await reached(name)
            except FailpointError as error:
                assert name in str(error)  # noqa: PT017 it is counted as well
                raised.append(nth)
        return raised

    return asyncio.run(run())


def test_nothing_happens_without_the_variable() -> None:
    assert passes("manifest.before", 3) == []


def test_one_acts_once_at_the_passing_that_was_asked_for() -> None:
    arm("manifest.before=raise@2, data.after=raise")
    assert passes("manifest.before", 5) == [2]
    assert passes("data.after", 3) == [1]
    assert passes("data.before", 3) == []


def test_a_pause_holds_up_its_own_task_alone() -> None:
    order: list[str] = []

    async def paused() -> None:
        await reached("ack.before")
        order.append("paused")

    async def other() -> None:
        await asyncio.sleep(0)
        order.append("other")

    async def run() -> None:
        await asyncio.gather(paused(), other())

    arm("ack.before=pause:0.2")
    asyncio.run(run())
    assert order == ["other", "paused"]


def test_a_frozen_process_does_nothing_at_all() -> None:
    async def run() -> list[str]:
        order: list[str] = []
        asyncio.get_running_loop().call_later(0.01, order.append, "timer")
        began = time.monotonic()
        await reached("ack.before")
        assert time.monotonic() - began >= 0.1
        return list(order)  # the timer may fire once this has ended

    arm("ack.before=freeze:0.1")
    assert asyncio.run(run()) == []


def test_a_process_that_is_to_die_dies_by_kill_and_says_where() -> None:
    program = (
        "import asyncio; from batching.failpoints import arm, reached;"
        "arm('take=kill@2');"
        "asyncio.run(reached('take')); print('once', flush=True); asyncio.run(reached('take'));"
        "print('twice', flush=True)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == "once\n"
    assert ended.stderr == "failpoint take: kill at passing 2\n"


def test_the_first_process_of_a_container_dies_as_well() -> None:
    """The kernel keeps such a process from signals that come from inside."""
    first = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*first, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no user and pid namespaces")
    program = (
        "import asyncio, os; from batching.failpoints import arm, reached;"
        "arm('take=kill'); print(os.getpid(), flush=True); asyncio.run(reached('take'));"
        "print('alive')"
    )
    ended = subprocess.run(
        [*first, sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (137, "1\n")


def test_in_a_flow_the_number_means_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    reached_in_flow("result.before", 2)
    monkeypatch.setenv(failpoints.VARIABLE, "result.before=raise@2")
    reached_in_flow("result.before", 1)
    with pytest.raises(FailpointError):
        reached_in_flow("result.before", 2)
    reached_in_flow("result.before", 3)
    reached_in_flow("result.after", 2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("manifest.befor=kill", ("manifest.befor", "manifest.before", "result.after")),
        ("manifest.before=die", ("manifest.before=die", "kill", "raise", "pause:SECONDS")),
        ("manifest.before", ("manifest.before", "name=action@n")),
        ("manifest.before=pause", ("pause:SECONDS",)),
        ("manifest.before=kill:3", ("kill:3",)),
        ("manifest.before=pause:1.2.3", ("1.2.3", "seconds")),
        ("manifest.before=kill@0", ("n counts from 1",)),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(text: str, names: tuple[str, ...]) -> None:
    with pytest.raises(SettingError) as refused:
        arm(f"take=kill,{text}")
    for name in (failpoints.VARIABLE, *names):
        assert name in str(refused.value)
    assert passes("take", 1) == []  # nothing of it holds


def test_the_service_refuses_an_unknown_failpoint_at_start_up() -> None:
    environment = {**os.environ, failpoints.VARIABLE: "nowhere=kill"}
    command = [sys.executable, "-m", "ingest", "run"]
    ended = subprocess.run(
        command, check=False, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 2
    assert "no failpoint 'nowhere'" in ended.stderr


def test_a_place_that_is_not_armed_waits_for_nothing() -> None:
    """It costs no turn of the event loop: its first step is its last."""
    with pytest.raises(StopIteration):
        reached("take").send(None)
