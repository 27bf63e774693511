"""What came in is counted beside the hot path, and told to the metrics once for many events."""

from collections import Counter

from batching.names import IGNORED_STREAM
from ingest.classify import Classified
from ingest.metrics import IngestMetrics


class Tally:
    """Counts one partition's events until `tell`: a label looked up costs more than an addition."""

    def __init__(self, metrics: IngestMetrics, partition: str) -> None:
        self._metrics = metrics
        self._events_of = metrics.events.labels(partition)
        self._bytes_of = metrics.bytes.labels(partition)
        self.drop()

    def drop(self) -> None:
        """Forget what was not told: it was not taken in."""
        self._events = self._bytes = self._ignored = 0
        self._dead: Counter[str] = Counter()
        self._samples: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()

    def add(self, found: Classified) -> None:
        """Count one event."""
        self._events += 1
        self._bytes += found.body_bytes
        if found.reason is not None:
            self._dead[found.reason.value] += 1
        elif found.stream == IGNORED_STREAM:
            self._ignored += 1
        else:
            self._samples[found.stream] += found.samples
        if found.unknown_channels:
            self._unknown[found.stream] += found.unknown_channels

    def tell(self) -> None:
        """Add what was counted to the metrics, and begin anew."""
        metrics = self._metrics
        self._events_of.inc(self._events)
        self._bytes_of.inc(self._bytes)
        metrics.ignored.inc(self._ignored)
        for reason, count in self._dead.items():
            metrics.dead_letters.labels(reason).inc(count)
        for stream, count in self._samples.items():
            metrics.samples.labels(stream).inc(count)
        for stream, count in self._unknown.items():
            metrics.unknown_channels.labels(stream).inc(count)
        self.drop()
