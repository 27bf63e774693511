"""Whether a link has fallen silent: the hub has more, nothing comes, and nobody is at work."""

from collections.abc import Iterator
from contextlib import contextmanager


class Watchdog:
    """Watches one partition's link, by a clock of seconds that its caller reads.

    A link may stay open and deliver nothing: a broker that forgot it, a credit that went astray.
    Only the hub's own last number tells it from a quiet partition.
    """

    def __init__(self, silent_seconds: float) -> None:
        self._silent_seconds = silent_seconds
        self._busy = False
        self._since: float | None = None  # since when the hub has more and nothing comes
        self.times = 0  # silences in a row

    @contextmanager
    def working(self) -> Iterator[None]:
        """Events have come, and are worked on: however long it takes, that is no silence."""
        self._busy, self._since, self.times = True, None, 0
        try:
            yield
        finally:
            self._busy = False

    def opened(self) -> None:
        """Take note that the link is opened."""
        self._since = None

    def silent(self, behind: int, now: float) -> bool:
        """Judge what the hub says now.

        Args:
            behind: events in the hub beyond the last one appended.
            now: seconds, of any clock that only rises.

        Returns:
            True once the hub has had more for as long as a link may be silent.

        """
        if behind <= 0 or self._busy:
            self._since = None
            return False
        if self._since is None:
            self._since = now
        if now - self._since < self._silent_seconds:
            return False
        self._since = None
        self.times += 1
        return True
