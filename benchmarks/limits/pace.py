"""Events that come at a steady rate, whatever the owner does: who is late finds more of them."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from batching.model import Element
from batching.partition import Partition
from benchmarks.owners import GIVE_WAY_EVENTS, SLICE_EVENTS, append


@dataclass(slots=True)
class Waits:
    """How long appends took, in seconds: each call, and each event since it came."""

    calls: list[float] = field(default_factory=list)
    events: list[float] = field(default_factory=list)


async def paced(
    owner: Partition, make: Callable[[int], Element], rate: float, count: int, rest: float = 0.0
) -> Waits:
    """Append events as they come.

    Args:
        owner: attached; commits meanwhile.
        make: gives the event of a number, from 0 on; decoded before, encoded here.
        rate: events a second.
        count: how many come.
        rest: seconds from the end of an append to the next one, at least.

    """
    waits, began, done = Waits(), time.perf_counter(), 0
    while done < count:
        due = min(count, done + SLICE_EVENTS, int((time.perf_counter() - began) * rate))
        if due <= done:
            await asyncio.sleep(began + (done + 1) / rate - time.perf_counter())
            continue
        several: list[Element] = []
        for number in range(done, due):
            several.append(make(number))
            if len(several) % GIVE_WAY_EVENTS == 0:
                await asyncio.sleep(0)
        called = time.perf_counter()
        await append(owner, several)
        ended = time.perf_counter()
        waits.calls.append(ended - called)
        waits.events += [ended - began - (number + 1) / rate for number in range(done, due)]
        done = due
        if rest:
            await asyncio.sleep(rest)
    return waits
