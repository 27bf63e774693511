"""Every metric of the front door: what came in, what could not be used, how far behind it is."""

import contextlib

from prometheus_client import CollectorRegistry, Counter, Gauge

from batching.model import LostReason
from ingest.decode.problem import Reason


class IngestMetrics:
    """Built once by the composition root; tests build one on a registry of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "headrace_events_received_total",
            "Events received, by partition.",
            ["partition"],
            registry=registry,
        )
        self.bytes = Counter(
            "headrace_event_body_bytes_total",
            "Bytes of the bodies received.",
            ["partition"],
            registry=registry,
        )
        self.samples = Counter(
            "headrace_samples_received_total",
            "Samples decoded, by stream.",
            ["stream"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "headrace_dead_letters_total",
            "Events set aside, by the reason that they carry.",
            ["reason"],
            registry=registry,
        )
        self.ignored = Counter(
            "headrace_events_ignored_total",
            "Events of no stream, counted only.",
            registry=registry,
        )
        self.unknown_channels = Counter(
            "headrace_unknown_channels_total",
            "Channels in bodies that their stream does not have.",
            ["stream"],
            registry=registry,
        )
        self.lag = Gauge(
            "headrace_source_lag_events",
            "Events in the hub that are not in the buffer yet.",
            ["partition"],
            registry=registry,
        )
        self.owned = Gauge(
            "headrace_partitions_owned", "Partitions that this process reads.", registry=registry
        )
        self.reopened = Counter(
            "headrace_source_reopened_total",
            "Times a link to the hub broke and was opened again.",
            registry=registry,
        )
        self.silent = Counter(
            "headrace_source_silent_total",
            "Times a link brought nothing although the hub had more, and was opened anew.",
            registry=registry,
        )
        self.reattached = Counter(
            "headrace_partition_reattached_total",
            "Times an owner dropped what it remembered of its partition and attached again.",
            registry=registry,
        )
        self.lost = Counter(
            "headrace_events_lost_total",
            "Events that the hub had dropped before they were read, at most; or that were"
            " skipped because of it.",
            ["reason"],  # values of model.LostReason
            registry=registry,
        )

        self.stopped = Gauge(
            "headrace_intake_stopped_share",
            "Share of a stream's last events that cannot be used, where that stopped a partition's"
            " intake (`dead_letters.stop_above`), by the reason of the first; absent otherwise.",
            ["partition", "stream", "reason"],
            registry=registry,
        )

        self._stopped: dict[str, tuple[str, str, str]] = {}
        self._begin()

    def _begin(self) -> None:
        """Show series from the start, so that a rate sees the first one that is set aside."""
        for reason in Reason:
            self.dead_letters.labels(reason.value)
        for lost in LostReason:
            self.lost.labels(lost.value)

    def stop(self, partition: str, stream: str, reason: str, share: float) -> None:
        """Show that a partition takes nothing in, until `forget`."""
        self._stopped[partition] = partition, stream, reason
        self.stopped.labels(*self._stopped[partition]).set(share)

    def forget(self, partition: str) -> None:
        """Drop the gauges of a partition that went to another owner."""
        with contextlib.suppress(KeyError):
            self.lag.remove(partition)
        if labels := self._stopped.pop(partition, None):
            self.stopped.remove(*labels)
