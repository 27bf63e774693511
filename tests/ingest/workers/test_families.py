import json
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ingest.workers.families import spelled, together


def said(events: int, partition: str) -> list[Any]:
    """What one worker says, as it comes over the line."""
    registry = CollectorRegistry()
    counter = Counter("things_seen", "Seen.", ["partition"], registry=registry)
    counter.labels(partition).inc(events)
    Gauge("things_open", "Open.", registry=registry).set(events)
    Histogram("things_bytes", "Sizes.", buckets=(1, 2), registry=registry).observe(events)
    found: list[Any] = json.loads(json.dumps(spelled(registry.collect())))
    return found


class Told(Collector):
    def collect(self) -> Any:
        return together({0: said(3, "0"), 1: said(4, "1")})


def test_every_series_is_there_once_under_its_worker() -> None:
    text = generate_latest(Told()).decode()
    for line in (
        'things_seen_total{partition="0",worker="0"} 3.0',
        'things_seen_total{partition="1",worker="1"} 4.0',
        'things_open{worker="0"} 3.0',
        'things_open{worker="1"} 4.0',
        'things_bytes_bucket{le="+Inf",worker="1"} 1.0',
    ):
        assert text.count(line) == 1, line
    assert text.count("# TYPE things_seen_total counter") == 1


def test_it_is_right_for_openmetrics_whose_parser_is_strict() -> None:
    text = openmetrics.generate_latest(Told()).decode()
    families = {each.name: each for each in text_string_to_metric_families(text)}
    seen = families["things_seen"].samples
    assert sum(each.value for each in seen if each.name == "things_seen_total") == 7
    assert families["things_bytes"].type == "histogram"
