"""Runs on Argo: what the API server answered, and how Workflows go."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

WAIT = (1, 2, 5, 10, 30, 60, 150, 300, 900, 3600)
DURATION = (5, 10, 30, 60, 150, 300, 900, 3600, 4 * 3600, 24 * 3600)


class ArgoMetrics:
    """Built once by the composition root; counts what this process asked for and saw."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "headrace_argo_calls_total",
            "Calls to the API server, by what it answered.",
            # create, get, list, watch, template; ok, exists, forbidden, missing, gone, invalid,
            # throttled, error, silent
            ["call", "answer"],
            registry=registry,
        )
        self.following = Gauge(
            "headrace_argo_following",
            "1 while a watch tells of every change of a Workflow.",
            registry=registry,
        )
        self.begun = Counter(
            "headrace_argo_watches_total",
            "Watches begun, by why the one before ended.",
            ["why"],  # start, ended, broken, gone (its version was too old: all were listed anew)
            registry=registry,
        )
        self.workflows = Gauge(
            "headrace_argo_workflows",
            "Workflows of this store that have not ended.",
            ["state"],  # pending, running
            registry=registry,
        )
        self.wait = Histogram(
            "headrace_argo_wait_seconds",
            "From the creation of a Workflow to its start by the controller.",
            ["job"],
            buckets=WAIT,
            registry=registry,
        )
        self.duration = Histogram(
            "headrace_argo_workflow_seconds",
            "From the start of a Workflow to its end, by how it ended.",
            ["job", "phase"],  # Succeeded, Failed, Error
            buckets=DURATION,
            registry=registry,
        )
        self.missing = Gauge(
            "headrace_argo_templates_missing",
            "WorkflowTemplates that jobs name and that are not deployed.",
            registry=registry,
        )
        for why in ("start", "ended", "broken", "gone"):
            self.begun.labels(why)
        for state in ("pending", "running"):
            self.workflows.labels(state)
