"""Workloads W1 and W2: events of many sensors, the same for every contender, from one seed.

A file holds one record an event: length of the body and number of the sensor (uint32 each),
then the body: n times (int64, nanoseconds) and n values (float32). W1 has some 2 kB an event in
sizes that vary (lognormal), W2 has ten samples in each.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 6
SENSORS_AT_FULL_SIZE = 10_000
START_NS = 1_780_000_000_000_000_000
_HEAD = struct.Struct("<II")
HEAD_BYTES = _HEAD.size
TIME, VALUE = np.dtype("<i8"), np.dtype("<f4")
SAMPLE_BYTES = TIME.itemsize + VALUE.itemsize
BLOCK = 2**16
Record = tuple[int, bytes]  # number of the sensor, body


@dataclass(frozen=True, slots=True)
class Workload:
    """How many events, of which size, and at how many samples a batch is full."""

    name: str
    full_events: int
    threshold: int
    vary: bool

    def sensors(self, events: int) -> int:
        """Give fewer sensors for fewer events, so that batches are filled at each size."""
        return max(1, SENSORS_AT_FULL_SIZE * events // self.full_events)

    def sizes(self, events: int, rng: "np.random.Generator") -> NDArray[np.int64]:
        """Give the samples of each event."""
        if not self.vary:
            return np.full(events, 10, np.int64)
        return np.clip(rng.lognormal(np.log(100), 1, events), 10, 2_000).astype(np.int64)

    def write(self, path: Path, events: int) -> None:
        """Write so many events; a few sensors send much more than the others."""
        rng = np.random.default_rng(SEED)
        weights = 1 / (np.arange(self.sensors(events)) + 10.0) ** 0.9
        sensors = rng.choice(len(weights), events, p=weights / weights.sum())
        now = START_NS
        with path.open("wb", buffering=BLOCK) as file:
            for sensor, samples in zip(sensors, self.sizes(events, rng), strict=True):
                times = now + np.cumsum(rng.integers(1, 2_000_000, samples))
                now += 600_000
                head = _HEAD.pack(samples * SAMPLE_BYTES, sensor)
                values = rng.standard_normal(samples, np.float32)
                file.write(head + times.astype(TIME).tobytes() + values.tobytes())


WORKLOADS = {
    "W1": Workload("W1", 200_000, 2_000, vary=True),
    "W2": Workload("W2", 1_000_000, 500, vary=False),
}


def records(path: Path, begin: int = 0) -> Iterator[Record]:
    """Read one event after another from a byte on, a block of the file at a time."""
    rest = b""
    with path.open("rb") as file:
        file.seek(begin)
        while more := file.read(BLOCK):
            block, at = rest + more, 0
            last = len(block) - HEAD_BYTES
            while at <= last:
                size, sensor = _HEAD.unpack_from(block, at)
                start = at + HEAD_BYTES
                if start + size > len(block):
                    break
                at = start + size
                yield sensor, block[start:at]
            rest = block[at:]


def arrays(body: bytes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Give times and values of one body, without copying them."""
    samples = len(body) // SAMPLE_BYTES
    return np.frombuffer(body, TIME, samples), np.frombuffer(body, VALUE, samples, 8 * samples)


@cache
def name_of(sensor: int) -> str:
    """Give the sensor's name."""
    return f"sensor-{sensor:05d}"
