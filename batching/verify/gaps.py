"""What becomes of numbers that are in no batch: ignored, lost, or missing.

Ignored events are known by interval and count, lost ones by interval. What is ignored is taken
from outside the lost intervals first, so that lost is what the hub no longer had and no more.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

Span = tuple[int, int]  # first and last number, both included


class Gap(NamedTuple):
    """Numbers of one interval that are in no batch, and how many of them are not ignored."""

    first: int
    last: int
    left: int

    @property
    def said(self) -> str:
        """Say it for a report."""
        span = f"numbers {self.first} to {self.last}"
        return span if self.left > self.last - self.first else f"{self.left} of the {span}"


def union(spans: Iterable[Span]) -> list[Span]:
    """Join intervals that overlap or touch; in order."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(joined[-1][1], last)
        else:
            joined.append((first, last))
    return joined


def split(gaps: Iterable[Span], by: Sequence[Span]) -> tuple[list[Span], list[Span]]:
    """Cut intervals by others, both in order: the parts outside and the parts inside."""
    outside: list[Span] = []
    inside: list[Span] = []
    at = 0
    for first, last in gaps:
        begin = first
        while at < len(by) and by[at][1] < first:
            at += 1
        for low, high in _reaching(by, at, last):
            if begin < low:
                outside.append((begin, low - 1))
            inside.append((max(begin, low), min(last, high)))
            begin = min(last, high) + 1
        if begin <= last:
            outside.append((begin, last))
    return outside, inside


def _reaching(by: Sequence[Span], at: int, last: int) -> Iterator[Span]:
    while at < len(by) and by[at][0] <= last:
        yield by[at]
        at += 1


class Ignored:
    """Ignored events of a partition: so many between two numbers."""

    def __init__(self) -> None:
        self._credit: dict[Span, int] = {}

    def add(self, first: int, last: int, events: int) -> None:
        """Take note of an entry."""
        self._credit[first, last] = self._credit.get((first, last), 0) + events

    def fill(self, gaps: Iterable[Span]) -> Iterator[Gap]:
        """Give what is left of gaps, in order; what was used is gone."""
        credit = deque((*span, events) for span, events in sorted(self._credit.items()))
        self._credit = {}
        for first, last in gaps:
            left = last - first + 1
            while left and credit and credit[0][0] <= last:
                begin, until, events = credit.popleft()
                used = min(left, events, max(0, min(last, until) - max(first, begin) + 1))
                left -= used
                if events > used and until > last:
                    credit.appendleft((begin, until, events - used))
                    break
                self._keep(begin, until, events - used)
            if left:
                yield Gap(first, last, left)
        for begin, until, events in credit:
            self._keep(begin, until, events)

    def _keep(self, first: int, last: int, events: int) -> None:
        if events:
            self.add(first, last, events)
