"""Every metric of a service of several workers: how many run, and how often one died."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class WorkerMetrics:
    """Told by the parent; a service of one process has none of them."""

    def __init__(self, registry: CollectorRegistry, workers: int = 1) -> None:
        self.running = Gauge(
            "headrace_workers_running",
            "Workers that have started and run (`workers`).",
            registry=registry,
        )
        self.restarts = Counter(
            "headrace_worker_restarts_total",
            "Times a worker ended by itself and was started again.",
            ["worker"],
            registry=registry,
        )
        for worker in range(workers):  # from the start, so that a rate sees the first one
            self.restarts.labels(str(worker))
