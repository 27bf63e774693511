"""A run as a Workflow: what is asked for, how it is found again, and what its head says of it.

All of this is pure. A Workflow carries its run in labels, by which one can select, and in
annotations, which may be longer.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from batching import names
from batching.errors import LauncherRefused
from batching.ports import RunRequest, RunState

MANAGED_BY = "app.kubernetes.io/managed-by"
STORE, JOB = "headrace/store", "headrace/job"
RUN, ATTEMPT = "headrace/run", "headrace/attempt"
RECORD, MANIFESTS = "headrace/run-record", "headrace/manifests"
PHASE = "workflows.argoproj.io/phase"  # the controller's: it repeats status.phase here
PARAMETER = "run"
TEMPLATE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_ENDED = {
    "Succeeded": RunState.SUCCEEDED,
    "Failed": RunState.FAILED,
    "Error": RunState.FAILED,
}
Json = dict[str, Any]


def workflow(request: RunRequest, *, store: str, template: str) -> Json:
    """Describe the Workflow of one attempt.

    Its one parameter goes through a shell in Metaflow's pods, so it is checked once more here.

    Args:
        request: the attempt.
        store: id of the store that the run record lies in.
        template: the WorkflowTemplate that `deploy` made of the flow.

    Raises:
        LauncherRefused: the run record's URI has characters that a shell could read.

    """
    uri = request.record_uri
    if names.URI.fullmatch(uri) is None:
        raise LauncherRefused(f"start of {request.name}: {uri!r} cannot be a flow's parameter")
    covers = {partition: list(span) for partition, span in request.covers.items()}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": request.name,
            "labels": {
                MANAGED_BY: "headrace",
                STORE: store,
                JOB: request.job,
                RUN: str(request.n),
                ATTEMPT: str(request.attempt),
            },
            "annotations": {
                RECORD: uri,
                MANIFESTS: json.dumps(covers, separators=(",", ":")),
            },
        },
        "spec": {
            "workflowTemplateRef": {"name": template},
            # who waits where the controller or the namespace bounds how many go on
            **({"priority": request.priority} if request.priority else {}),
            # as JSON, like `argo-workflows trigger`: Metaflow reads it back
            "arguments": {"parameters": [{"name": PARAMETER, "value": json.dumps(uri)}]},
        },
    }


def selector(store: str) -> str:
    """Select the Workflows of one store."""
    return f"{MANAGED_BY}=headrace,{STORE}={store}"


def record_of(head: Json) -> str | None:
    """Give the run record that a Workflow was made for; None if it is somebody else's."""
    found = (head["metadata"].get("annotations") or {}).get(RECORD)
    return None if found is None else str(found)


def takes_run(template: Json) -> bool:
    """Tell whether a template hands on the run record, as flows with the mixin do."""
    arguments = (template.get("spec") or {}).get("arguments") or {}
    return any(each.get("name") == PARAMETER for each in arguments.get("parameters") or ())


@dataclass(frozen=True, slots=True)
class Head:
    """What the metadata of a Workflow says of its run."""

    name: str
    job: str
    phase: str  # Argo's; empty until the controller has looked at it

    @property
    def state(self) -> RunState:
        """Give the state as the port has it: what waits for the controller is under way, too."""
        return _ENDED.get(self.phase, RunState.RUNNING)

    @property
    def ended(self) -> bool:
        """Tell whether it has ended."""
        return self.phase in _ENDED

    @property
    def begun(self) -> bool:
        """Tell whether the controller has begun it."""
        return self.phase not in ("", "Pending")


def head_of(found: Json) -> Head:
    """Read a Workflow's metadata."""
    metadata = found["metadata"]
    labels: Mapping[str, str] = metadata.get("labels") or {}
    return Head(str(metadata["name"]), labels.get(JOB, ""), labels.get(PHASE, ""))


@dataclass(frozen=True, slots=True)
class Course:
    """How a Workflow that has ended went, by the cluster's clocks, which tell whole seconds."""

    phase: str
    message: str
    wait_seconds: float | None
    took_seconds: float | None


def course_of(found: Json) -> Course:
    """Read how a whole Workflow went."""
    status = found.get("status") or {}
    created = _time(found["metadata"].get("creationTimestamp"))
    started, finished = _time(status.get("startedAt")), _time(status.get("finishedAt"))
    return Course(
        str(status.get("phase") or ""),
        str(status.get("message") or ""),
        _between(created, started),
        _between(started, finished),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())


@dataclass(frozen=True, slots=True)
class Pages:
    """Where people look at runs: base addresses of Argo's and of Metaflow's user interface."""

    argo: str | None = None
    metaflow: str | None = None

    def of(self, namespace: str, name: str, flow: str) -> dict[str, str]:
        """Give a run's pages, with the names of their settings."""
        pages = {}
        if self.argo:
            pages["argo_ui"] = f"{self.argo.rstrip('/')}/workflows/{namespace}/{name}"
        if self.metaflow:
            pages["metaflow_ui"] = f"{self.metaflow.rstrip('/')}/{flow}/argo-{name}"
        return pages
