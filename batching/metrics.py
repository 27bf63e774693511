"""Every metric of buffering, sealing and committing: one name, one unit, one sentence each."""

import contextlib

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

SAMPLES = (1, 10, 100, 1_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
BYTES = (1e3, 1e4, 1e5, 1e6, 4e6, 16e6, 64e6, 256e6)
LATENESS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class BatchingMetrics:
    """Built once by the composition root; tests build one on a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._of_partition: list[Gauge] = []  # `forget` drops their series

        def gauge(name: str, sentence: str) -> Gauge:
            """Register a gauge of each partition."""
            made = Gauge(name, sentence, ["partition"], registry=registry)
            self._of_partition.append(made)
            return made

        self.batches = Counter(
            "headrace_batches_committed_total",
            "Batches in a manifest, by the trigger that sealed them.",
            ["stream", "reason"],
            registry=registry,
        )
        self.batch_samples = Histogram(
            "headrace_batch_samples",
            "Samples in a batch.",
            ["stream"],
            buckets=SAMPLES,
            registry=registry,
        )
        self.bundle_bytes = Histogram(
            "headrace_bundle_bytes", "Size of a bundle.", buckets=BYTES, registry=registry
        )
        self.lateness = Histogram(
            "headrace_seal_lateness_seconds",
            "From the time at which a batch was due by age to its seal, partitions caught up.",
            buckets=LATENESS,
            registry=registry,
        )
        self.manifests = Counter(
            "headrace_manifests_total",
            "Manifests created here, or lost to another owner.",
            ["outcome"],  # created, lost
            registry=registry,
        )
        self.wiped = Counter(
            "headrace_buffer_wiped_total",
            "Times a partition's keys were dropped, because the store is older than Redis"
            " or a chunk in it cannot be read.",
            registry=registry,
        )
        self.resynced = Counter(
            "headrace_buffer_resynced_total",
            "Buffers sealed early, because another owner was at work on them.",
            registry=registry,
        )
        self.open_sensors = gauge("headrace_open_sensors", "Open batches.")
        self.open_bytes = gauge(
            "headrace_open_bytes", "Encoded bytes in open batches, without what is parked."
        )
        self.sealed_waiting = gauge(
            "headrace_sealed_waiting", "Sealed batches that wait for their manifest."
        )
        self.checkpoint = gauge(
            "headrace_checkpoint_distance_events",
            "Events between the checkpoint and the newest one in the buffer: what a lost Redis"
            " would make the service read again.",
        )
        self.checkpoint_seconds = gauge(
            "headrace_checkpoint_distance_seconds",
            "Time of stream between the oldest event that is only in the buffer and the newest.",
        )
        self.parked_events = gauge(
            "headrace_parked_events",
            "Events that were moved to the store before their batches are sealed.",
        )
        self.parked_bytes = gauge("headrace_parked_bytes", "Encoded bytes of them.")
        self.parked_objects = gauge(
            "headrace_parked_objects", "Objects in the store that hold them."
        )
        self.deleted = Counter(
            "headrace_janitor_deleted_total",
            "Objects deleted by retention, or because nobody needs them.",
            ["kind"],  # manifests, bundles, dead_letters, parked, orphans
            registry=registry,
        )

    def forget(self, partition: str) -> None:
        """Drop the gauges of a partition that went to another owner."""
        for gauge in self._of_partition:
            with contextlib.suppress(KeyError):
                gauge.remove(partition)
