"""A process that dispatches on a folder with real local runs, by a clock that may run fast.

It is given the folder and, as JSON, a job, the time at which the clock began and its speed.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from batching.adapters.folder import FolderStore
from batching.adapters.local_launcher import LocalLauncher
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job
from batching.runs.metrics import DispatchMetrics
from batching.scope import Scoped
from tests.batching.runs.dispatch_world import IDENTITY

PARTITIONS = ("0", "1")


class FastClock:
    """Wall time that began at `origin_ns` when the machine's clock said `began_ns`."""

    def __init__(self, origin_ns: int, began_ns: int, speed: int) -> None:
        self._origin_ns, self._began_ns, self._speed = origin_ns, began_ns, speed

    def now_ns(self) -> int:
        return self._origin_ns + (time.time_ns() - self._began_ns) * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


def store(folder: Path) -> Scoped:
    return Scoped(FolderStore(folder / "blobs"), IDENTITY.id)


async def dispatch(folder: Path, plain: dict[str, Any]) -> None:
    job = Job(**{**plain["job"], "over": tuple(plain["job"]["over"])})
    launcher = LocalLauncher(folder, {job.flow: folder / "flow.py"}, processes=8)
    dispatcher = Dispatcher(
        store(folder),
        IDENTITY,
        PARTITIONS,
        [job],
        {job.name: launcher},
        clock=FastClock(**plain["clock"]),
        metrics=DispatchMetrics(CollectorRegistry()),
        poll_seconds=0.02,
    )
    await dispatcher.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(dispatch(Path(sys.argv[1]), json.loads(sys.argv[2])))
