"""What is counted by a label is there before the first time, or no rate would see that."""

from prometheus_client import CollectorRegistry

from batching.limits.metrics import PressureMetrics
from batching.limits.pressure import Limit
from batching.model import LostReason
from ingest.decode.problem import Reason
from ingest.metrics import IngestMetrics


def test_reasons_of_trouble_are_counted_from_nought() -> None:
    registry = CollectorRegistry()
    IngestMetrics(registry)
    PressureMetrics(registry)
    for name, label, values in (
        ("headrace_dead_letters_total", "reason", Reason),
        ("headrace_events_lost_total", "reason", LostReason),
        ("headrace_intake_pauses_total", "cause", Limit),
        ("headrace_intake_paused_seconds_total", "cause", Limit),
    ):
        for value in values:
            assert registry.get_sample_value(name, {label: value.value}) == 0, (name, value)
