"""What `verify` found, in numbers and with a few examples of each."""

from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 10


@dataclass(slots=True)
class Finding:
    """A count and its first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str, count: int = 1) -> None:
        """Count something, and keep it as an example if there are few."""
        self.count += count
        if len(self.examples) < EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True)
class SensorSum:
    """What one sensor's batches hold."""

    events: int = 0
    samples: int = 0
    batches: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Report:
    """Classes of CONTRACTS: missing and twice are errors, pending and failed are not done yet."""

    events: int = 0  # numbers judged
    batched: int = 0
    batches: int = 0
    samples: int = 0
    dead_letters: int = 0  # set aside, also those that came back
    re_driven: int = 0  # of them, driven again
    followed: int = 0  # of these, judged where they came back, so that they count once
    ignored: int = 0
    open: int = 0  # in the hub or in open batches, as far as the hub was asked
    parked: int = 0  # of these: moved to the store already
    missing: Finding = field(default_factory=Finding)
    twice: Finding = field(default_factory=Finding)
    lost: Finding = field(default_factory=Finding)  # the hub no longer had them; no fault of ours
    damaged: Finding = field(default_factory=Finding)  # an object that says something else
    pending_batches: int = 0  # in no run yet
    runs: dict[str, int] = field(
        default_factory=lambda: {"succeeded": 0, "failed": 0, "running": 0}
    )
    failed_runs: list[str] = field(default_factory=list)
    retired_jobs: list[str] = field(default_factory=list)  # nothing of theirs is waited for
    sensors: dict[str, SensorSum] = field(default_factory=dict)
    sensors_left_out: int = 0
    sent: int | None = None  # the senders' side, where it was given
    sent_twice: int = 0  # one message that the sender put into the hub more than once
    sent_lost: int = 0  # sent, not found, and as many or more are lost
    sent_set_aside: int = 0  # sent with samples, found as a dead letter
    partitions: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def wrong(self) -> bool:
        """Something is missing, twice or damaged."""
        return bool(self.missing.count or self.twice.count or self.damaged.count)

    @property
    def pending(self) -> bool:
        """Something is not done yet, or a run has failed for good."""
        waiting = self.open or self.pending_batches or self.runs["running"]
        return bool(waiting or self.runs["failed"])

    def exit_code(self, *, allow_pending: bool) -> int:
        """Give 1 where something is wrong, 3 where something is pending, 0 otherwise."""
        if self.wrong:
            return 1
        return 3 if self.pending and not allow_pending else 0

    def closing_line(self) -> str:
        """Say it all in one line."""
        word = "wrong" if self.wrong else "pending" if self.pending else "complete"
        parts = [f"{self.batched:,} in {_count(self.batches, 'batch', 'batches')}"]
        if self.dead_letters:
            left = _count(self.dead_letters - self.followed, "dead letter", "dead letters")
            parts.append(f"{left} ({self.re_driven:,} re-driven)" if self.re_driven else left)
        if self.ignored:
            parts.append(f"{self.ignored:,} ignored")
        if self.lost.count:
            parts.append(f"{self.lost.count:,} lost")
        if self.open:
            parked = f" ({self.parked:,} parked)" if self.parked else ""
            parts.append(f"{self.open:,} not sealed yet{parked}")
        runs = [_count(self.runs["succeeded"], "run succeeded", "runs succeeded")]
        runs += [f"{self.runs[name]:,} {name}" for name in ("failed", "running") if self.runs[name]]
        if self.pending_batches:
            runs.append(_count(self.pending_batches, "batch waits", "batches wait"))
        if self.retired_jobs:
            runs.append(f"{_count(len(self.retired_jobs), 'job', 'jobs')} retired")
        damage = f", {self.damaged.count:,} damaged" if self.damaged.count else ""
        return (
            f"{word}: {self.events:,} events = {' + '.join(parts)};"
            f" {self.missing.count:,} missing, {self.twice.count:,} twice{damage};"
            f" {', '.join(runs)}"
        )

    def plain(self) -> dict[str, Any]:
        """Give values for JSON."""
        findings = {
            name: {"count": found.count, "examples": found.examples}
            for name, found in (
                ("missing", self.missing),
                ("twice", self.twice),
                ("lost", self.lost),
                ("damaged", self.damaged),
            )
        }
        counts = {
            name: getattr(self, name)
            for name in (
                "events", "batched", "batches", "samples", "dead_letters", "re_driven", "ignored",
            )
        }  # fmt: skip
        later = {
            name: getattr(self, name)
            for name in ("open", "parked", "pending_batches", "runs", "failed_runs", "retired_jobs")
        }
        sent = ("sent", "sent_twice", "sent_lost", "sent_set_aside")
        senders = {name: getattr(self, name) for name in sent}
        return {**counts, **findings, **later, **senders, "partitions": self.partitions}


def _count(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"
