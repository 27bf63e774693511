"""Up to which time a partition is known to be complete, so that age can be judged.

A buffer is sealed by age when it is due *and* everything enqueued before its due time has
been appended. Under traffic the appended events prove that; in silence the hub is asked.
So a backlog after an outage gives the batches that live traffic would have given.
"""

from dataclasses import dataclass

SILENT_HUB_NS = 10 * 10**9
LIVE_NS = 5 * 10**9


@dataclass(slots=True)
class Horizon:
    """All times in nanoseconds UTC; enqueued times are the hub's clock."""

    appended_ns: int = 0  # enqueued time of the newest event appended
    proven_ns: int = 0  # when the hub last had nothing that was not appended
    unanswered_ns: int = 0  # since when it was asked in vain; 0: it answers
    ahead_ns: int = 0  # by how much the hub's clock is known to be ahead of ours

    def appended(self, enqueued_ns: int, now_ns: int) -> None:
        """Take note of an event that is in the buffer now, and what it says of the hub's clock.

        One that was enqueued in our future proves that our clock is behind; how far it is ahead
        nothing proves, since an event may be old.
        """
        self.appended_ns = max(self.appended_ns, enqueued_ns)
        self.ahead_ns = max(0, enqueued_ns - now_ns)

    def hub_now(self, now_ns: int) -> int:
        """Give the hub's time, as far as it is known: due times are of its clock."""
        return now_ns + self.ahead_ns

    def asked(self, now_ns: int) -> None:
        """Take note of a question to the hub."""
        self.unanswered_ns = min(self.unanswered_ns or now_ns, now_ns)  # the clock may go back

    def answered(self, asked_ns: int, last_enqueued: int, acked: int) -> None:
        """Take note of the hub's answer: its last sequence number, asked at `asked_ns`."""
        self.unanswered_ns = 0
        if last_enqueued <= acked:
            self.proven_ns = asked_ns

    def at(self, now_ns: int) -> int:
        """Give the time up to which age may be judged.

        A hub that was asked in vain for ten seconds cannot hold seals back: too early makes a
        batch smaller, never wrong.
        """
        if self.unanswered_ns and now_ns - self.unanswered_ns > SILENT_HUB_NS:
            return now_ns
        return min(now_ns, max(self.appended_ns, self.proven_ns))

    def live(self, now_ns: int) -> bool:
        """Tell whether the partition has caught up, so that lateness means something."""
        return now_ns - max(self.appended_ns, self.proven_ns) < LIVE_NS
