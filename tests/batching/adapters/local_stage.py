"""A flow of this machine that runs until a test tells it how to end, and the launchers of it."""

import asyncio
import os
import signal
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batching.adapters.local_launcher import LocalLauncher
from batching.ports import Launcher, RunRequest, RunState

FLOW = """
    import json, os, pathlib, sys, time
    here = pathlib.Path({folder!r})
    name = next(a for a in sys.argv if a.startswith("--tag=headrace:")).partition(":")[2]
    with (here / (name + ".starts")).open("a") as starts:
        starts.write(f"{{os.getpid()}}\\n")
    (here / (name + ".seen")).write_text(json.dumps([sys.argv[1:], dict(os.environ)]))
    print("hello from", name, flush=True)
    while not (here / (name + ".end")).exists():
        time.sleep(0.01)
    sys.exit(int((here / (name + ".end")).read_text()))
"""


class Stage:
    """A data folder and a flow that runs until it is told how to end."""

    flow_name = "PlainFlow"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.flow = folder / "plain_flow.py"
        self.flow.write_text(textwrap.dedent(FLOW.format(folder=str(folder))))
        self.data = folder / "data"
        self.names: set[str] = set()
        self.launchers: list[LocalLauncher] = []

    def launcher(self, **settings: Any) -> LocalLauncher:
        made = LocalLauncher(self.data, {"PlainFlow": self.flow}, **settings)
        self.launchers.append(made)
        return made

    def request(self, name: str, *, attempt: int = 1, flow: str = "PlainFlow") -> RunRequest:
        self.names.add(name)
        return RunRequest(name, "job", 7, attempt, flow, "file:///store/runs/job/000000000007.json")

    def end(self, name: str, code: int = 0) -> None:
        new = self.folder / f"{name}.new"
        new.write_text(str(code))
        new.rename(self.folder / f"{name}.end")

    def starts(self, name: str) -> list[int]:
        """Process ids of the flow, one for each time that it was started."""
        path = self.folder / f"{name}.starts"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def shell(self, name: str) -> int:
        """Process id of the shell above the flow."""
        status = Path(f"/proc/{self.starts(name)[-1]}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line[:5] == "PPid:")

    async def begun(self, name: str) -> None:
        await begun(self, name)

    def kill(self, name: str) -> None:
        os.kill(self.starts(name)[-1], signal.SIGKILL)

    def remove_flow(self) -> None:
        self.flow.rename(self.flow.with_suffix(".away"))

    def bring_flow_back(self) -> None:
        self.flow.with_suffix(".away").rename(self.flow)

    def close(self) -> None:
        for name in self.names:
            self.end(name)
        for launcher in self.launchers:
            for child in launcher._children.values():
                child.wait(20)


async def when(true: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until something is true that cannot wake us."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def until(launcher: Launcher, name: str, state: RunState) -> None:
    async with asyncio.timeout(60):
        while await launcher.state(name) is not state:  # noqa: ASYNC110  # it says nothing itself
            await asyncio.sleep(0.02)


async def begun(stage: Stage, name: str, times: int = 1) -> None:
    await when(lambda: len(stage.starts(name)) >= times, 20)
