"""The durable path without the SDK, as a process of its own: from decoded event to manifest.

The owner of a partition is the service's: append to Valkey (append-only file, fsync every
second), seal, bundle, commit. Decoders and the consumer's own loop are left out.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

from batching.commit import StreamFormat
from batching.model import Element
from batching.names import Key
from batching.policy import SealPolicy
from batching.tenure import Rules
from benchmarks.owners import append, committing, element, opened, silent
from benchmarks.reference import Cost, arguments
from benchmarks.workloads import arrays, name_of, records

STREAM = "bench"


async def durable(path: Path, out: Path, threshold: int) -> dict[str, float]:
    """Take all events through the owner of one partition; give what it cost."""
    async with opened(out, rules(threshold)) as bench:
        await bench.owner.attach()
        before = await bench.valkey()
        cost = Cost()
        async with committing(bench.owners):
            await append(bench.owner, elements(path))
            await bench.owner.seal_all()
        return cost.spent((await bench.valkey()).cpu_seconds - before.cpu_seconds)


def rules(threshold: int, linger_ns: int = 10**9) -> Rules:
    """Give the settings: a batch is full at so many samples, and never too old."""
    policy = SealPolicy(max_samples=threshold, max_age_ns=86_400 * 10**9)
    return Rules({STREAM: policy}, {STREAM: StreamFormat(("value",))}, linger_ns=linger_ns)


def elements(path: Path) -> Iterator[Element]:
    """Give the events of a workload as the decoders would."""
    for number, (sensor, body) in enumerate(records(path)):
        times, values = arrays(body)
        yield element(Key(STREAM, name_of(sensor)), number, times, values.reshape(-1, 1))


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    silent()
    print(json.dumps(asyncio.run(durable(wish.events, wish.out, wish.threshold))))


if __name__ == "__main__":
    main()
