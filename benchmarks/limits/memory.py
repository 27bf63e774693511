"""What memory sensors take: an open one beyond its data, an idle one, and the whole of a workload.

Open: one event each of more and more sensors; the slope of memory less the encoded events.
Idle: again and again other sensors are opened, sealed and committed; the slope of what stays.
Both in a process of its own. Whole: the most that a durable path's processes have at once.
"""

import asyncio
import gc
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from batching import interpreter
from batching.layout import StreamFormat
from batching.limits.pressure import Bounds
from batching.model import Element
from batching.names import Key
from batching.parking.replay import ReplayBound
from batching.policy import SealPolicy
from batching.tenure import Rules
from benchmarks import processes
from benchmarks.contenders import Field
from benchmarks.figures import Figures
from benchmarks.limits.command import Full, Place, Quick, Repeat, start
from benchmarks.owners import Bench, append, element, opened, silent, slices
from benchmarks.workloads import WORKLOADS, Workload

OPEN, QUICK_OPEN, FULL_OPEN = 100_000, 5_000, 1_000_000
WARM_STEPS = 2  # of those who become idle
STEPS = 10  # equal ones, so that no table of Valkey or Python is always just doubled
IDLE, QUICK_IDLE = 20_000, 1_000  # sensors of a step
QUICK_SHARE = 0.005
SAMPLES = 10
STREAM = "bench"
NEVER = 10**9
MEMORIES = ("redis", "valkey_pss", "owner_pss")
MB = 10**6
EXAMPLE = """
Examples:

  python -m benchmarks.limits.memory                    100,000 sensors; both workloads whole

  python -m benchmarks.limits.memory --full             a million sensors

  python -m benchmarks.limits.memory --share 0.1        a tenth of both workloads

  python -m benchmarks.limits.memory --quick            does it work? the figures mean nothing
"""


def memory(
    *,
    share: Annotated[float, typer.Option(min=0, max=1, help="How much of the workloads.")] = 1.0,
    repeat: Repeat = 1,
    full: Full = False,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Measure what memory open and idle sensors take, and the whole."""
    figures = Figures()
    sensors = QUICK_OPEN if quick else FULL_OPEN if full else OPEN
    share = QUICK_SHARE if quick else share
    for _ in range(1 if quick else repeat):
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            _note_open(figures, _in_a_process(Path(place), sensors, idle=False))
        with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place:
            known = (QUICK_IDLE if quick else IDLE) * STEPS
            _note_idle(figures, _in_a_process(Path(place), known, idle=True))
        for workload in WORKLOADS.values() if share else ():
            figures.add(f"whole_{workload.name}.peak", "MB", _peak(workload, share, folder) / MB)
    figures.show(f"{sensors:,} open sensors; both workloads at {share:g}")


@dataclass(frozen=True, slots=True)
class State:
    """What there is at one moment, in bytes; `redis` is Valkey's `used_memory`."""

    sensors: int
    data: int
    redis: int
    valkey_pss: int
    owner_pss: int
    keys: int  # of Valkey
    objects: int  # of Python, in the owner


def _slope(states: Sequence[State], what: str) -> float:
    """Give how much more there is for a sensor, beyond its data where that lies."""
    data = what in ("redis", "valkey_pss")
    beyond = [getattr(state, what) - data * state.data for state in states]
    return float(np.polyfit([state.sensors for state in states], beyond, 1)[0])


def _note_open(figures: Figures, states: Sequence[State]) -> None:
    for what in MEMORIES:
        figures.add(f"open_sensor.{what}", "B/sensor", _slope(states, what))
    figures.add("open_sensor.data", "B/sensor", states[-1].data / states[-1].sensors)


def _note_idle(figures: Figures, states: Sequence[State]) -> None:
    """Note slopes, once what is kept for all sensors together is there."""
    states = states[WARM_STEPS:]
    for what in MEMORIES:
        figures.add(f"idle_sensor.{what}", "B/sensor", _slope(states, what))
    figures.add("idle_sensor.objects", "objects/sensor", _slope(states, "objects"))
    more = states[-1].keys - states[0].keys
    figures.add("idle_sensor.keys", "keys/sensor", more / states[-1].sensors)


def _peak(workload: Workload, share: float, folder: Path | None) -> float:
    """Let a process take a workload; give the most that it and its Valkey had at once."""
    with (
        tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place,
        Field(Path(place), workload, int(share * workload.full_events)) as field,
    ):
        return float(field.once(0, "durable")["peak_pss_bytes"])


def _in_a_process(folder: Path, sensors: int, *, idle: bool) -> list[State]:
    """Measure in a process that has done nothing else."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run, (folder, sensors, idle))


def _run(folder: Path, sensors: int, idle: bool) -> list[State]:  # noqa: FBT001  # a pool's call
    silent()
    interpreter.settle()
    return asyncio.run(_walk(folder, sensors, idle=idle))


async def _walk(folder: Path, sensors: int, *, idle: bool) -> list[State]:
    """Open sensors step by step, and commit those of each step if they are to be idle."""
    rules = Rules(
        {STREAM: SealPolicy(max_samples=None, max_age_ns=None)},
        {STREAM: StreamFormat(("value",))},
        replay_bound=ReplayBound(NEVER, NEVER * 10**9),
    )
    states = []
    async with opened(folder, rules, bounds=Bounds(NEVER, NEVER, NEVER, NEVER)) as bench:
        await bench.owner.attach()
        step, data = sensors // STEPS, 0
        for begin in range(0, step * STEPS, step):
            for several in slices(_event(number) for number in range(begin, begin + step)):
                await append(bench.owner, several)
                data += sum(len(each.body) for each in several)
            if idle:
                await bench.owner.seal_all()
                await bench.owner.drain()
            states.append(await _state(bench, begin + step, 0 if idle else data))
    return states


def _event(number: int) -> Element:
    times = time.time_ns() + np.arange(SAMPLES)
    values = np.full((SAMPLES, 1), number, np.float32)
    return element(Key(STREAM, f"sensor-{number:07d}"), number, times, values)


async def _state(bench: Bench, sensors: int, data: int) -> State:
    gc.collect()
    found = await bench.valkey()
    return State(
        sensors,
        data,
        found.used_bytes,
        processes.pss_bytes([found.pid]),
        processes.pss_bytes([os.getpid()]),
        await bench.client.dbsize(),
        sys.getallocatedblocks(),
    )


if __name__ == "__main__":
    start(memory, EXAMPLE)
