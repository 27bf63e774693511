"""One event through a new owner, as a process of its own: prints when Valkey had it.

`python -m benchmarks.limits.first FOLDER` is what `benchmarks.limits.startup` starts.
"""

import asyncio
import sys
import time
from pathlib import Path

import numpy as np

from batching.names import Key
from benchmarks.durable import STREAM, rules
from benchmarks.owners import append, element, opened, silent


async def _first(folder: Path) -> float:
    async with opened(folder, rules(1_000)) as bench:
        await bench.owner.attach()
        times, values = np.array([time.time_ns()]), np.zeros((1, 1), np.float32)
        await append(bench.owner, [element(Key(STREAM, "sensor-00000"), 0, times, values)])
        return time.time()


if __name__ == "__main__":
    silent()
    print(asyncio.run(_first(Path(sys.argv[1]))))
