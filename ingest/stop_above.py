"""Stops a partition's intake when too many events of a stream cannot be used.

A wrong decoder should not empty a hub into the dead letters. What counts is the share among
the last events of that stream in this partition, looked at before they are appended.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from batching.chunk import dead_letter_of, read
from ingest.classify import Classified
from ingest.decode.spec import StopRule


class Stop(NamedTuple):
    """Why an intake stands still; `first` is the first event that counted against the stream."""

    stream: str
    unusable: int
    over: int
    first: int
    reason: str
    detail: str

    @property
    def share(self) -> float:
        """Give the share of the last events that cannot be used."""
        return self.unusable / self.over

    def told(self) -> str:
        """Say it to an operator, and what to do."""
        return (
            f"stopped: {self.unusable} of the last {self.over} events of stream {self.stream}"
            f" cannot be used, from number {self.first} on ({self.reason}: {self.detail});"
            f" mend streams.{self.stream}.decode and restart, or raise"
            f" streams.{self.stream}.dead_letters.stop_above"
        )


class IntakeStopped(Exception):
    """A rule was broken; nothing of the events at hand was appended."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.told())
        self.stop = stop


class StopAbove:
    """Looks at one partition's events by the rules of their streams."""

    def __init__(self, rules: Mapping[str, StopRule]) -> None:
        self._windows = {stream: _Window(stream, rule) for stream, rule in rules.items()}

    def look(self, number: int, found: Classified) -> None:
        """Take note of an event that was classified.

        An event that no stream wants counts for none: nobody can say whose it was.

        Raises:
            IntakeStopped: with it, too many of its stream's events cannot be used.

        """
        window = self._windows.get(found.of)
        if window is not None:
            window.look(number, found)


class _Window:
    def __init__(self, stream: str, rule: StopRule) -> None:
        self._stream, self._rule = stream, rule
        self._last: deque[tuple[int, str] | None] = deque()  # None: it could be used
        self._unusable = 0

    def look(self, number: int, found: Classified) -> None:
        bad = None if found.reason is None else (number, found.reason.value)
        self._last.append(bad)
        self._unusable += bad is not None
        if len(self._last) > self._rule.over:
            self._unusable -= self._last.popleft() is not None
        if self._unusable > self._rule.share * self._rule.over:
            raise IntakeStopped(self._stop(found))

    def _stop(self, found: Classified) -> Stop:
        first, reason = next(bad for bad in self._last if bad is not None)
        detail = dead_letter_of(next(read(found.elements[0].body))).detail
        return Stop(self._stream, self._unusable, self._rule.over, first, reason, detail)
