"""What a job is: a flow, over which streams, and when its runs start; and the names of runs."""

import base64
import hashlib
import re
from dataclasses import dataclass

from batching.errors import SettingError
from batching.runs.schedule import Schedule, Timetable

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
EARLIEST, NOW = "earliest", "now"
_FLOW = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}")
_TEMPLATE_LENGTH, _HASH_LENGTH = 45, 16
_LONGEST_BACKOFF_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Job:
    """A flow that is run on every batch of some streams, each batch in exactly one run.

    A run starts `after_ns` after the first batch that waits, so that batches merge; it has
    at most `at_most_batches` batches and `at_most_bytes` of them, or one manifest more.
    `in_flight` runs go on at once. A run that fails is tried again after `backoff_seconds`,
    then after twice that and so on (at most ten minutes), `attempts` times in all.
    `starts_per_minute` runs begin in a minute at most. Where a launcher has room for some
    jobs only, those of higher `priority` come first.

    A job with a `schedule`, a cron expression in a time `zone`, has a run at each moment of it,
    over all that was committed since the last one; `after_ns` does not count then.
    """

    name: str
    flow: str
    over: tuple[str, ...]
    start: str = EARLIEST
    after_ns: int = 2 * 10**9
    at_most_batches: int = 200
    at_most_bytes: int = 2**30
    in_flight: int = 50
    attempts: int = 3
    backoff_seconds: float = 10.0
    starts_per_minute: int | None = None
    priority: int = 0
    schedule: str | None = None
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Check every setting; SettingError names the one that is wrong."""
        where = f"jobs.{self.name}"
        if NAME.fullmatch(self.name) is None:
            raise SettingError(
                f"jobs: {self.name!r} is no name for a job: use a-z, 0-9 and _, beginning with a"
                " letter, at most 40 of them"
            )
        if _FLOW.fullmatch(self.flow) is None:
            raise SettingError(
                f"{where}.flow: {self.flow!r} must be the name of a flow's class, such as"
                " SensorProcessingFlow"
            )
        _check_streams(where, self.over)
        if self.start not in {EARLIEST, NOW}:
            raise SettingError(f"{where}.start: must be earliest or now, got {self.start!r}")
        for name in ("at_most_batches", "at_most_bytes", "in_flight", "attempts"):
            if getattr(self, name) < 1:
                raise SettingError(f"{where}.{name}: must be 1 or more, got {getattr(self, name)}")
        for name in ("after_ns", "backoff_seconds"):
            if getattr(self, name) < 0:
                raise SettingError(f"{where}.{name}: must not be negative")
        if self.starts_per_minute is not None and self.starts_per_minute < 1:
            raise SettingError(f"{where}.starts_per_minute: must be 1 or more")
        self.timetable()

    def timetable(self) -> Timetable | None:
        """Give the moments at which the job runs, none of them served; None without a schedule."""
        if self.schedule is None:
            return None
        try:
            return Timetable(Schedule(self.schedule, self.zone))
        except SettingError as error:
            raise SettingError(f"jobs.{self.name}.{error}") from None

    def backoff_ns(self, attempt: int) -> int:
        """Give the wait before an attempt, nanoseconds: none before the first."""
        if attempt <= 1:
            return 0
        doubled = self.backoff_seconds * 2.0 ** min(attempt - 2, 30)
        return int(min(doubled, _LONGEST_BACKOFF_SECONDS) * 10**9)


def _check_streams(where: str, over: tuple[str, ...]) -> None:
    if not over:
        raise SettingError(f"{where}.over: name at least one stream")
    for stream in over:
        if NAME.fullmatch(stream) is None:
            raise SettingError(f"{where}.over: {stream!r} is no name of a stream")


def template(flow: str) -> str:
    """Spell a flow's name so that Kubernetes takes it: at most 45 of a-z, 0-9 and dash."""
    plain = re.sub(r"[^a-z0-9]+", "-", flow.lower()).strip("-")
    return plain[:_TEMPLATE_LENGTH].rstrip("-") or "flow"


def run_name(store_id: str, flow: str, job: str, n: int, attempt: int) -> str:
    """Name one attempt: whoever starts it gives it this name, so that it starts once."""
    return f"{template(flow)}-{run_mark(store_id, job, n, attempt)}"


def run_mark(store_id: str, job: str, n: int, attempt: int) -> str:
    """Give the end of an attempt's name, which no other attempt has."""
    text = "\n".join((store_id, job, str(n), str(attempt)))
    digest = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()
    return digest[:_HASH_LENGTH]
