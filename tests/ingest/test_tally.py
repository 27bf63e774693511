"""The tally tells the metrics what events were, all of it, and nothing twice."""

from prometheus_client import CollectorRegistry

from batching.names import DEAD_STREAM, IGNORED_STREAM
from ingest.classify import Classified
from ingest.decode.problem import Reason
from ingest.metrics import IngestMetrics
from ingest.tally import Tally

EVENTS = (
    Classified([], "motion", samples=3, body_bytes=10),
    Classified([], "motion", samples=4, body_bytes=10, unknown_channels=2),
    Classified([], "heat", samples=5, body_bytes=10),
    Classified([], DEAD_STREAM, Reason.BAD_JSON, body_bytes=7),
    Classified([], DEAD_STREAM, Reason.NO_SENSOR, body_bytes=7),
    Classified([], DEAD_STREAM, Reason.BAD_JSON, body_bytes=7),
    Classified([], IGNORED_STREAM, body_bytes=1),
)
WANTED = {
    ("headrace_events_received_total", "4"): 7,
    ("headrace_event_body_bytes_total", "4"): 52,
    ("headrace_samples_received_total", "motion"): 7,
    ("headrace_samples_received_total", "heat"): 5,
    ("headrace_unknown_channels_total", "motion"): 2,
    ("headrace_dead_letters_total", "bad_json"): 2,
    ("headrace_dead_letters_total", "no_sensor"): 1,
    ("headrace_events_ignored_total", ""): 1,
}


def told(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Give every counter that is above zero, by its name and its one label."""
    return {
        (sample.name, "".join(sample.labels.values())): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


def test_every_event_is_counted_once_however_often_it_is_told() -> None:
    registry = CollectorRegistry()
    tally = Tally(IngestMetrics(registry), "4")
    for number, found in enumerate(EVENTS):
        tally.add(found)
        if number % 2:
            tally.tell()
    tally.tell()
    tally.tell()
    assert told(registry) == WANTED


def test_nothing_is_told_before_its_time() -> None:
    registry = CollectorRegistry()
    tally = Tally(IngestMetrics(registry), "4")
    tally.add(EVENTS[0])
    assert told(registry) == {}
