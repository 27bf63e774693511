"""The metrics of several workers as one page: each series once, named by its worker.

Nothing is added up. Prometheus knows what to do with a counter that begins anew only as long as
it is a series of its own: in a sum, the end of one worker would look like new events of all.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Metric

LABEL = "worker"


def spelled(metrics: Iterable[Metric]) -> list[Any]:
    """Give metrics as values for JSON."""
    return [
        [
            each.name,
            each.documentation,
            each.type,
            each.unit,
            [[sample.name, sample.labels, sample.value] for sample in each.samples],
        ]
        for each in metrics
    ]


def together(told: Mapping[int, list[Any]]) -> list[Metric]:
    """Give all workers' metrics, each family once.

    Args:
        told: what `spelled` gave, by worker.

    """
    families: dict[str, Metric] = {}
    for worker, spelled_ones in told.items():
        for name, documentation, kind, unit, samples in spelled_ones:
            family = families.setdefault(name, Metric(name, documentation, kind, unit))
            for sample, labels, value in samples:
                family.add_sample(sample, {**labels, LABEL: str(worker)}, value)
    return list(families.values())
