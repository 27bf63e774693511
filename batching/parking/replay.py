"""How far the checkpoint lies behind, in events and in time of stream, and when that is too far."""

from collections import deque
from dataclasses import dataclass

SAMPLES = 64  # within the time bound


@dataclass(frozen=True, slots=True)
class ReplayBound:
    """What a lost Redis may make the service read again, at most: whichever is reached first."""

    events: int = 1_000_000
    time_ns: int = 600 * 10**9


class Replay:
    """Knows roughly when events were enqueued, by a few of them.

    A number between two samples counts as old as the one before it, so it is never taken for
    younger than it is, by more than a 64th of the bound.
    """

    def __init__(self, bound: ReplayBound) -> None:
        self._bound = bound
        self._samples: deque[tuple[int, int]] = deque(maxlen=4 * SAMPLES)  # number, enqueued
        self._newest_ns = 0

    def appended(self, number: int, enqueued_ns: int) -> None:
        """Take note of an event, by its sequence number; times are nanoseconds UTC."""
        self._newest_ns = max(self._newest_ns, enqueued_ns)
        step = self._bound.time_ns // SAMPLES
        if not self._samples or enqueued_ns - self._samples[-1][1] >= step:
            self._samples.append((number, enqueued_ns))

    def seconds(self, lo: int | None) -> float:
        """Give how long before the newest event the one numbered `lo` was enqueued."""
        if lo is None or not self._samples:
            return 0.0
        earlier = [enqueued for number, enqueued in self._samples if number <= lo]
        since = earlier[-1] if earlier else self._samples[0][1]
        return max(0, self._newest_ns - since) / 1e9

    def upto(self, w: int, lo: int | None) -> int | None:
        """Give the number up to which to park; None as long as `lo` is near enough.

        Half the bound is left, so that the next time comes only after as much again.
        """
        if lo is None:
            return None
        if w - lo >= self._bound.events:
            return w - self._bound.events // 2
        if self.seconds(lo) * 1e9 < self._bound.time_ns:
            return None
        since = self._newest_ns - self._bound.time_ns // 2
        young = [number for number, enqueued in self._samples if enqueued > since]
        return max(young[0] - 1 if young else w, lo)
