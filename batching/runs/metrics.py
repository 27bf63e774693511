"""Every metric of jobs and runs: one name, one unit, one sentence each."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

DURATION = (1, 2.5, 5, 10, 30, 60, 150, 300, 900, 3600, 4 * 3600)


class DispatchMetrics:
    """Built once by the composition root; counts what this process did or saw."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.records = Counter(
            "headrace_run_records_total",
            "Run records created here that have batches.",
            ["job"],
            registry=registry,
        )
        self.attempts = Counter(
            "headrace_run_attempts_total",
            "Attempts started here: first ones and those after a failure.",
            ["job"],
            registry=registry,
        )
        self.runs = Counter(
            "headrace_runs_total",
            "Runs that this process saw end, by outcome.",
            ["job", "outcome"],  # succeeded, failed
            registry=registry,
        )
        self.duration = Histogram(
            "headrace_run_duration_seconds",
            "From the start of the attempt that succeeded to its result.",
            ["job"],
            buckets=DURATION,
            registry=registry,
        )
        self.in_flight = Gauge(
            "headrace_runs_in_flight",
            "Run records with batches that have neither a result nor failed.",
            ["job"],
            registry=registry,
        )
        self.backlog = Gauge(
            "headrace_job_backlog_batches",
            "Committed batches that are in no run of the job yet (as far as it has looked).",
            ["job"],
            registry=registry,
        )
        self.backlog_bytes = Gauge(
            "headrace_job_backlog_bytes",
            "Bytes of the batches that are in no run of the job yet (as far as it has looked).",
            ["job"],
            registry=registry,
        )
        self.overdue = Gauge(
            "headrace_job_overdue_seconds",
            "For how long a run of the job has been due, by its schedule or `after`, and waits.",
            ["job"],
            registry=registry,
        )
        self.backlog_age = Gauge(
            "headrace_job_backlog_age_seconds",
            "For how long the oldest batch has waited for a run of the job.",
            ["job"],
            registry=registry,
        )
        self.stuck = Gauge(
            "headrace_job_stuck",
            "1 while a job cannot go on without an operator, such as when its log was trimmed.",
            ["job"],
            registry=registry,
        )

    def begin(self, job: str) -> None:
        """Show a job's series from the start, so that a rate can see the first event."""
        for metric in (self.records, self.attempts, self.duration, self.in_flight):
            metric.labels(job)
        for outcome in ("succeeded", "failed"):
            self.runs.labels(job, outcome)
        waiting = (self.backlog, self.backlog_bytes, self.backlog_age, self.overdue)
        for gauge in (*waiting, self.stuck):
            gauge.labels(job)
