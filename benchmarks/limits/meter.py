"""What parts of the path cost, one after another: the wall clock, this process, Valkey."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import processes
from benchmarks.figures import Figures

MICRO = 1e6
Moment = tuple[float, float, float]  # seconds: wall, processor of this process, of Valkey


class Meter:
    """Adds up what each part costs in one run; a part may come in many pieces."""

    def __init__(self, valkey: int | None = None) -> None:
        self._valkey = valkey
        self.sums: dict[str, list[float]] = {}

    def now(self) -> Moment:
        """Read all clocks."""
        server = 0.0 if self._valkey is None else processes.ran_seconds(self._valkey)
        return time.perf_counter(), time.process_time(), server

    @contextmanager
    def part(self, name: str, *, clean: bool = True) -> Iterator[None]:
        """Add what is inside, this process with all its threads.

        Args:
            name: of the part.
            clean: collect garbage before, so that it is not this part's.

        """
        if clean:
            gc.collect()
        began = self.now()
        yield
        self.add(name, *(later - earlier for later, earlier in zip(self.now(), began, strict=True)))

    def add(self, name: str, *seconds: float) -> None:
        """Add seconds: wall, processor, Valkey's (0 where it is not there)."""
        found = self.sums.setdefault(name, [0.0, 0.0, 0.0])
        for place, each in enumerate(seconds):
            found[place] += each

    def rest(self, name: str, whole: str, *parts: str) -> None:
        """Take a part for what is left of a whole one without others; drop the whole one."""
        left = self.sums.pop(whole)
        for part in parts:
            left = [a - b for a, b in zip(left, self.sums[part], strict=True)]
        self.add(name, *left)

    def take(self, other: "Meter") -> None:
        """Add what another one has."""
        for name, seconds in other.sums.items():
            self.add(name, *seconds)

    def show(self, figures: Figures, column: str, events: int, *, served: set[str]) -> None:
        """Note microseconds an event of each part; Valkey's of those that it serves."""
        for name, seconds in self.sums.items():
            for what, each in zip(("wall", "cpu", "valkey"), seconds, strict=True):
                if what != "valkey" or name in served:
                    figures.add(f"{name}.{column}_{what}", "us/event", MICRO * each / events)
