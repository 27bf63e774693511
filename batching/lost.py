"""Numbers that the hub no longer had: what a manifest says of them, and what a view remembers.

An entry of kind `lost` says only "when everything up to `first` - 1 had been appended, the hub
did not have `first` to `last` any more (or they were skipped)". It sets no mark: a number in it
may lie in a batch all the same, from before Redis was lost, and then it is not lost at all.
"""

from collections import deque

from batching.model import Entry, EntryKind, LostReason
from batching.names import LOST


def lost_entry(first: int, last: int, reason: LostReason) -> Entry:
    """Say that first..last were not there to be read; `events` is an upper bound."""
    return Entry(
        EntryKind.LOST.value, *LOST, first, last, events=last - first + 1, reason=reason.value
    )


class LostNumbers:
    """Entries of kind lost in the manifests that a view has read, and the sum of older ones."""

    def __init__(self, before: int = 0) -> None:
        self._before = before
        self._spans: deque[tuple[int, int, int]] = deque()  # manifest, first, last

    @property
    def events(self) -> int:
        """Count what all entries add up to: at most so many events are lost."""
        return self._before + sum(last - first + 1 for _, first, last in self._spans)

    def note(self, n: int, entry: Entry) -> None:
        """Take in an entry of manifest n."""
        self._spans.append((n, entry.first, entry.last))

    def say(self, first: int, last: int) -> bool:
        """Tell whether the log says already that first..last are lost, in one entry."""
        return any(begin <= first and last <= end for _, begin, end in self._spans)

    def below(self, n: int) -> int:
        """Count what entries in manifests before n add up to."""
        return self._before + sum(last - first + 1 for m, first, last in self._spans if m < n)

    def trim(self, n: int) -> None:
        """Keep only the sum of what stands in manifests before n."""
        self._before = self.below(n)
        while self._spans and self._spans[0][0] < n:
            self._spans.popleft()
