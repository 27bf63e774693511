"""How many objects are written for a thousand batches, and what that costs a month.

Events come at a steady rate for a while, batches are full after so many, and `linger` is the
default: bundles gather what is sealed within a second. Every write of the store is counted.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from batching.adapters.azure_account import azure_store
from batching.adapters.azure_blob import BLOCK_BYTES, SINGLE_PUT_BYTES
from batching.adapters.folder import FolderStore
from batching.layout import StreamFormat
from batching.model import Element
from batching.names import Key
from batching.policy import SealPolicy
from batching.tenure import Rules
from benchmarks.figures import Figures
from benchmarks.limits.command import Place, Quick, Repeat, start
from benchmarks.limits.pace import paced
from benchmarks.limits.watched import Call, Watched
from benchmarks.owners import committing, element, opened
from benchmarks.place import BenchmarkFailed
from tests.azurite import running_azurite

STREAM, SAMPLES = "bench", 10
RATES, QUICK_RATES = (10, 100, 1_000, 4_000), (500,)  # events a second
FULL_CHUNKS, SENSORS = 10, 100
REST_SECONDS = 0.02  # as a link that hands over little is let gather
QUICK_SECONDS = 3.0
MONTH_SECONDS = 30 * 86_400
EXAMPLE = """
Examples:

  python -m benchmarks.limits.puts                      four rates, 20 seconds each

  python -m benchmarks.limits.puts --price 0.065        of 10,000 writes, in your currency

  python -m benchmarks.limits.puts --azurite            into Azurite instead of a folder
"""


def puts(
    *,
    price: Annotated[
        float, typer.Option(min=0, help="Of 10,000 writes; an assumed list price of hot LRS.")
    ] = 0.05,
    seconds: Annotated[float, typer.Option(min=1, help="How long each rate lasts.")] = 20.0,
    azurite: Annotated[bool, typer.Option("--azurite", help="Write into a real Azurite.")] = False,
    repeat: Repeat = 1,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Count writes a thousand batches, and tell their price."""
    figures, seconds = Figures(), QUICK_SECONDS if quick else seconds
    for _ in range(1 if quick else repeat):
        for rate in QUICK_RATES if quick else RATES:
            with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
                count = asyncio.run(_counted(Path(place), rate, seconds, azurite=azurite))
            month = count.writes / seconds * MONTH_SECONDS
            figures.add(f"events_{rate}.batches", "a second", count.batches / seconds)
            figures.add(f"events_{rate}.puts", "PUTs/1,000", 1_000 * count.writes / count.batches)
            figures.add(f"events_{rate}.month", f"at {price:g}/10,000", month / 10_000 * price)
    figures.show(f"events a second of one partition, {FULL_CHUNKS} a batch, linger 1 s")


async def _counted(folder: Path, rate: float, seconds: float, *, azurite: bool) -> "_Count":
    """Let events come for a while; count the writes meanwhile, and the batches committed."""
    policy = SealPolicy(max_samples=None, max_chunks=FULL_CHUNKS)
    rules = Rules({STREAM: policy}, {STREAM: StreamFormat(("value",))})
    async with _store(folder, azurite=azurite) as store, opened(folder, rules, root=store) as bench:
        await bench.owner.attach()
        before = len(store.calls)
        async with committing(bench.owners):
            await paced(bench.owner, _event, rate, int(rate * seconds), REST_SECONDS)
            calls = store.calls[before:]
        manifests = sum(call.what == "create" and call.kind == "log" for call in calls)
        entries = [await bench.logs[0].entries(n) or () for n in range(manifests)]
    batches = sum(map(len, entries))
    if not batches:
        raise BenchmarkFailed(f"nothing was committed in {seconds} s: take more of them")
    return _Count(sum(map(_requests, calls)), batches)


class _Count(NamedTuple):
    writes: int
    batches: int


@asynccontextmanager
async def _store(folder: Path, *, azurite: bool) -> AsyncIterator[Watched]:
    if not azurite:
        yield Watched(FolderStore(folder / "blobs"))
        return
    with running_azurite(folder) as server:
        yield Watched(await azure_store("bench", connection_string=server.connection_string))


def _requests(call: Call) -> int:
    """Give how many writes are billed for a call: a large body goes in blocks, a list is a write.

    A list of more than 5,000 names would be several; none here has so many.
    """
    if call.what == "names":
        return 1
    if call.what not in ("create", "replace"):
        return 0
    return 1 if call.size_bytes <= SINGLE_PUT_BYTES else 1 + -(-call.size_bytes // BLOCK_BYTES)


def _event(number: int) -> Element:
    """Let one sensor after another fill a batch, so that batches are sealed all along."""
    times = time.time_ns() + np.arange(SAMPLES)
    values = np.full((SAMPLES, 1), number, np.float32)
    sensor = number // FULL_CHUNKS % SENSORS
    return element(Key(STREAM, f"sensor-{sensor:03d}"), number, times, values)


if __name__ == "__main__":
    start(puts, EXAMPLE)
