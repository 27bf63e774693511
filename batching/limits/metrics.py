"""Every metric of what is held against its bounds: how much, how often and why the intake waits."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from batching.limits.pressure import Limit


class PressureMetrics:
    """Built once by the composition root; tests build one on a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.used = Gauge(
            "headrace_limit_used",
            "What counts against a limit now: encoded bytes and batches in Redis, open and sealed;"
            " events received and not appended.",
            ["limit"],  # values of pressure.Limit that are settings
            registry=registry,
        )
        self.bound = Gauge(
            "headrace_limit_bound",
            "The limit in force: as set, or less where Redis has less.",
            ["limit"],
            registry=registry,
        )
        self.paused = Gauge(
            "headrace_intake_paused_partitions",
            "Partitions whose events wait for room.",
            registry=registry,
        )
        self.pauses = Counter(
            "headrace_intake_pauses_total",
            "Times the intake of a partition had to wait, by the limit that held it.",
            ["cause"],  # values of pressure.Limit
            registry=registry,
        )
        self.paused_seconds = Counter(
            "headrace_intake_paused_seconds_total",
            "How long the intake waited, all partitions added up.",
            ["cause"],
            registry=registry,
        )
        for cause in Limit:  # from the start, so that a rate sees the first one
            self.pauses.labels(cause.value)
            self.paused_seconds.labels(cause.value)
