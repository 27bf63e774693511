"""The service writes and reads Arrow files without what loads long and takes memory."""

from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from batching import names
from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.arrow import column, pa
from batching.model import DTYPES
from batching.parking.replay import ReplayBound
from batching.policy import SealPolicy
from tests.batching.conftest import SECOND, Bench, entries_of, make_bench
from tests.processes import modules

PROGRAM = """
import asyncio, sys
from pathlib import Path
from tests.batching.test_arrow import told
asyncio.run(told(Path(sys.argv[1])))
print(*sys.modules)
"""


async def told(folder: Path) -> None:
    """Append, seal, commit, park, attach again and set aside, on a real Valkey and a folder."""
    server = EmbeddedValkey(folder / "valkey")
    url = await server.start()
    try:
        async with asynccontextmanager(make_bench)(folder / "blobs", url) as bench:
            bench.replay_bound = ReplayBound(events=10)
            bench.policy = SealPolicy(max_age_ns=1_000 * SECOND)
            bench.policies["quick"] = SealPolicy(max_chunks=2)
            await _story(bench)
    finally:
        await server.stop()


async def _story(bench: Bench) -> None:
    owner = await bench.attached()
    await owner.append([bench.dead_letter(0)], 0, bench.clock.now)
    await bench.feed(owner, 1, sensor="slow")
    await bench.feed(owner, *range(2, 14), sensor="fast", stream="quick")
    await owner.drain()
    assert owner.view.pieces.has(names.DEAD)
    owner = await bench.attached()
    await bench.feed(owner, 14, sensor="slow")
    await owner.seal_all()
    await owner.drain()
    assert not owner.view.pieces.objects
    streams = {entry.stream for entry in await entries_of(bench)}
    assert {"s", "quick", names.DEAD_STREAM} <= streams


def test_the_durable_path_leaves_arrows_computing_out(tmp_path: Path) -> None:
    loaded = modules(PROGRAM, str(tmp_path))
    assert "pyarrow.lib" in loaded
    assert not loaded & {"pyarrow.compute", "pyarrow._compute", "numpy.ma", "numpy.random"}


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_column_is_the_array_itself_or_a_copy_where_it_has_gaps(dtype: str) -> None:
    numbers = np.arange(6).astype(dtype)
    whole, every_second = column(numbers), column(numbers[::2])
    assert (whole.type, whole.null_count) == (pa.from_numpy_dtype(dtype), 0)
    assert whole.buffers()[1].address == numbers.ctypes.data
    assert every_second.to_pylist() == [0, 2, 4]
    assert column(np.empty(0, dtype)).to_pylist() == []
    when = column(np.array([-1]), pa.timestamp("ns", tz="UTC"))
    assert when == pa.array([-1], pa.timestamp("ns", tz="UTC"))
