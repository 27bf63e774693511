"""The reference, a process of its own: a dict of bodies, one .npy a batch; it survives nothing."""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from benchmarks.workloads import TIME, VALUE, arrays, name_of, records

SAMPLES = np.dtype([("time", TIME), ("value", VALUE)])


def write_batch(out: Path, sensor: str, number: int, bodies: list[bytes]) -> None:
    """Write one batch as a file of its own; a repetition writes the same again."""
    parts = [arrays(body) for body in bodies]
    batch = np.empty(sum(map(len, bodies)) // SAMPLES.itemsize, SAMPLES)
    np.concatenate([times for times, _ in parts], out=batch["time"])
    np.concatenate([values for _, values in parts], out=batch["value"])
    folder = out / sensor
    if not number:
        folder.mkdir(exist_ok=True)
    np.save(folder / f"{number:06d}.npy", batch)


def bare(path: Path, out: Path, threshold: int) -> None:
    """Keep bodies by sensor, and write each batch when it is full."""
    kept: dict[int, list[bytes]] = {}
    counts: dict[int, int] = {}
    written: dict[int, int] = {}

    def write(sensor: int) -> None:
        counts[sensor] = 0
        number = written[sensor] = written.get(sensor, -1) + 1
        write_batch(out, name_of(sensor), number, kept.pop(sensor))

    for sensor, body in records(path):
        kept.setdefault(sensor, []).append(body)
        counts[sensor] = counts.get(sensor, 0) + len(body) // SAMPLES.itemsize
        if counts[sensor] >= threshold:
            write(sensor)
    for sensor in list(kept):
        write(sensor)


class Cost:
    """Time from the first record on; what comes before it is start-up."""

    def __init__(self) -> None:
        self._began, self._cpu, self._wall = time.perf_counter(), time.process_time(), time.time()

    def spent(self, servers: float = 0.0) -> dict[str, float]:
        """Give what was spent until now, with the processor time of servers."""
        return {
            "seconds": time.perf_counter() - self._began,
            "cpu_seconds": time.process_time() - self._cpu + servers,
            "first_record_at": self._wall,
        }


def arguments(about: str | None, *more: str) -> argparse.Namespace:
    """Read what a contender is told."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--events", type=Path, required=True, help="file of the workload")
    parser.add_argument("--out", type=Path, required=True, help="an empty folder")
    parser.add_argument("--threshold", type=int, required=True, help="samples of a full batch")
    for name in more:
        parser.add_argument(f"--{name}", required=True)
    return parser.parse_args()


def main() -> None:
    """Run it and print what it cost."""
    wish = arguments(__doc__)
    cost = Cost()
    bare(wish.events, wish.out, wish.threshold)
    print(json.dumps(cost.spent()))


if __name__ == "__main__":
    main()
