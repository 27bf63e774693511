"""How many runs of a job begin in a minute, as its run records tell every process alike."""

from collections import deque

from batching.model import RunRecord

MINUTE_NS = 60 * 10**9


class Pace:
    """When the newest runs of a job began, so that no more than a number begin in a minute."""

    def __init__(self, at_most: int | None) -> None:
        self._at_most = at_most
        self._begun: deque[int] = deque(maxlen=at_most or 1)

    def take(self, record: RunRecord, now_ns: int) -> None:
        """Take note of the newest record; whoever wrote it may have a clock ahead."""
        if record.batches:
            self._begun.append(min(record.written, now_ns))

    def free(self, now_ns: int) -> bool:
        """Tell whether another run may begin; after a clock was set back, it may."""
        if self._at_most is None or len(self._begun) < self._at_most:
            return True
        return not 0 <= now_ns - self._begun[0] < MINUTE_NS

    def counts(self, record: RunRecord, now_ns: int) -> bool:
        """Tell whether the records before this one may have begun in the last minute."""
        return self._at_most is not None and now_ns - record.written < MINUTE_NS
