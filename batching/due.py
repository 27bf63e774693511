"""When open buffers are due: the earliest time, and whose time has come.

Keys lie in spans of time, so that one of a million costs a reference. What is sealed otherwise
is not looked for: each entry is held against what its owner believes when its time is near, and
all are gathered anew once most are stale.
"""

import heapq
from collections.abc import Callable, Iterable

from batching.names import Key

SPAN_BITS = 28  # of nanoseconds: a quarter of a second
SLACK = 10_000  # entries that may be stale without a look at all of them


class DueTimes:
    """Keys of open buffers by their due times; those without one are not here."""

    def __init__(self, due_ns: Callable[[Key], int | None]) -> None:
        """Take what tells when a key's open buffer is due now, None if it never is."""
        self._due_ns = due_ns
        self.reset(())

    def reset(self, keys: Iterable[Key]) -> None:
        """Know of these keys alone."""
        self._near: list[tuple[int, Key]] = []  # a heap, of spans up to `_span`
        self._span = -1
        self._later: dict[int, list[Key]] = {}
        self._spans: list[int] = []  # a heap, of those in `_later`
        self._entries = 0
        for key in keys:
            self.add(key)

    def add(self, key: Key) -> None:
        """Take note of a buffer that was opened."""
        due = self._due_ns(key)
        if due is None:
            return
        self._entries += 1
        span = due >> SPAN_BITS
        if span <= self._span:
            heapq.heappush(self._near, (due, key))
        elif (keys := self._later.get(span)) is not None:
            keys.append(key)
        else:
            self._later[span] = [key]
            heapq.heappush(self._spans, span)

    def crowded(self, opened: int) -> bool:
        """Tell whether most entries are stale, as so many buffers are open."""
        return self._entries > 2 * opened + SLACK

    def first_ns(self) -> int | None:
        """Give the earliest due time of an open buffer."""
        while True:
            while self._near:
                due, key = self._near[0]
                if self._due_ns(key) == due:
                    return due
                self._pop()
            if not self._spans:
                return None
            self._span = heapq.heappop(self._spans)
            keys = self._later.pop(self._span)
            self._entries -= len(keys)
            for key in dict.fromkeys(keys):
                self._draw_near(key)

    def take(self, horizon_ns: int, limit: int) -> list[tuple[Key, int]]:
        """Give up to `limit` keys that are due by the horizon, and when; they leave."""
        found: dict[Key, int] = {}
        while len(found) < limit:
            due = self.first_ns()
            if due is None or due > horizon_ns:
                break
            found[self._pop()] = due
        return list(found.items())

    def _draw_near(self, key: Key) -> None:
        due = self._due_ns(key)
        if due is not None and due >> SPAN_BITS == self._span:  # else it has an entry elsewhere
            heapq.heappush(self._near, (due, key))
            self._entries += 1

    def _pop(self) -> Key:
        self._entries -= 1
        return heapq.heappop(self._near)[1]
