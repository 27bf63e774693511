"""The page of metrics, from the classes that register them."""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

import batching
import ingest
from ingest.reference.tables import NOTE, table

INTRO = """# Metrics

`/metrics` on the service's port (`http.port`), in the text format of Prometheus or OpenMetrics.
Names are `headrace_<what>_<unit>`; labels come from small closed sets, never a sensor. A histogram
has `_bucket`, `_sum` and `_count` behind its name. Gauges of a partition vanish when the partition
goes to another process. In a service of several `workers` each series has a label `worker` more, a
number from 0 on, and nothing is added up.
"""


class Metric(NamedTuple):
    """One metric as it is registered."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


def page() -> str:
    """Write the page."""
    parts = [NOTE, INTRO]
    for module, kind in metric_classes():
        parts.append(f"## {_title(module)}\n")
        rows = [
            (f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels) or "-", m.help)
            for m in registered(kind)
        ]
        parts.append(table(("Metric", "Kind", "Labels", "What it counts"), rows))
    return "\n".join(parts)


def metric_classes() -> Iterator[tuple[ModuleType, Any]]:
    """Find the classes of metrics: those in modules of either room named `metrics...`."""
    for room in (ingest, batching):
        modules = pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
        for found in sorted(modules, key=lambda each: each.name):
            leaf = found.name.rpartition(".")[2]
            if leaf.startswith("metrics") and found.name != __name__:
                module = importlib.import_module(found.name)
                own = [k for k in vars(module).values() if _defined_in(k, module)]
                yield from ((module, kind) for kind in own)


def registered(kind: Any) -> list[Metric]:
    """Build a class of metrics on a registry of its own, and list what it registers."""
    registry = CollectorRegistry()
    kind(registry)
    collectors = dict.fromkeys(registry._names_to_collectors.values())  # noqa: SLF001, no other way
    return [_metric(each) for each in collectors if isinstance(each, MetricWrapperBase)]


def _metric(collector: MetricWrapperBase) -> Metric:
    family = next(iter(collector.describe()))
    name = f"{family.name}_total" if family.type == "counter" else family.name
    return Metric(name, family.type, tuple(collector._labelnames), family.documentation)  # noqa: SLF001


def _defined_in(kind: Any, module: ModuleType) -> bool:
    return (
        isinstance(kind, type)
        and kind.__name__.endswith("Metrics")
        and kind.__module__ == module.__name__
    )


def _title(module: ModuleType) -> str:
    """Take the module's own sentence, up to its colon."""
    return (module.__doc__ or module.__name__).splitlines()[0].split(":")[0].rstrip(".")
