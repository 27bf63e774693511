"""The story of one deployment: compile, complete, refuse, say what changes, then apply or write."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from batching.errors import SettingError
from flows.deploy.changes import carried_over, changes
from flows.deploy.compiling import NO_PLACE, Compiled, account, compile_flow
from flows.deploy.cron import cron_workflow
from flows.deploy.dressing import MANAGED_BY, TOKEN, dress
from flows.deploy.manifests import Folder, as_yaml
from flows.deploy.refusing import RUN, parameters, problems
from flows.deploy.request import Request

Json = dict[str, Any]
Say = Callable[[str], None]
FLOW = "metaflow/flow_name"


class Place(Protocol):
    """Where deployments are: a namespace of a cluster, or a folder for GitOps."""

    def get(self, kind: str, name: str) -> "Json | None":
        """Read an object; None if there is none."""
        ...

    def put(self, body: Json, old: "Json | None") -> None:
        """Write an object in place of the one that was read."""
        ...

    def delete(self, kind: str, name: str) -> None:
        """Remove an object."""
        ...


@dataclass(frozen=True)
class Deployment:
    """What is there now, and what is to be."""

    flow: str
    template: Json
    cron: "Json | None"
    old_template: "Json | None"
    old_cron: "Json | None"


def deploy(request: Request, environ: Mapping[str, str], say: Say) -> None:
    """Do what a request asks for, saying each thing that a person should know.

    Raises:
        SettingError: something would fail later; the message says what, and what to do.
        LauncherRefused: the API server says no.
        LauncherUnavailable: the API server does not answer.

    """
    request = replace(request, service_account=account(request))
    place = _place(request, say)
    compiled = compile_flow(request, environ)
    planned = plan(compiled, request, place)
    if found := problems(planned.template, request):
        raise SettingError("\n       ".join(found))
    for line in told(planned, request):
        say(line)
    if place is not None:
        for line in compared(planned):
            say(line)
    if request.dry_run:
        sys.stdout.write(as_yaml(planned.template, *([planned.cron] if planned.cron else [])))
    elif place is not None:
        apply(planned, place, say)


def _place(request: Request, say: Say) -> "Place | None":
    """Open the place that is deployed to; a dry run does without where there is none."""
    if request.output is not None:
        return Folder(Path(request.output))
    from flows.deploy.cluster import Cluster  # noqa: PLC0415  # a second of imports

    try:
        cluster = Cluster(request.namespace, request.kubeconfig, request.context)
    except SettingError as error:
        if not request.dry_run:
            raise
        say(f"not compared with what is deployed: {error}")
        return None
    if request.service_account and cluster.lacks_account(request.service_account):
        raise SettingError(
            f"service account: there is no {request.service_account} in namespace"
            f" {request.namespace}: the chart makes one, or name another with --service-account"
        )
    return cluster


def plan(compiled: Compiled, request: Request, place: "Place | None") -> Deployment:
    """Complete what was compiled, beside what is deployed under its name.

    Raises:
        SettingError: the name is taken by something else.

    """
    name = compiled.template["metadata"]["name"]
    old = place.get("WorkflowTemplate", name) if place else None
    if old is not None:
        _same_flow(old, compiled.flow, name)
    token = old["metadata"]["annotations"].get(TOKEN) if old else None
    template = dress(compiled.template, request, token)
    cron = cron_workflow(template, request)
    old_cron = place.get("CronWorkflow", name) if place else None
    return Deployment(
        compiled.flow,
        carried_over(old, template),
        cron and carried_over(old_cron, cron),
        old,
        old_cron,
    )


def _same_flow(old: Json, flow: str, name: str) -> None:
    known = (old["metadata"].get("annotations") or {}).get(FLOW)
    if known != flow:
        whose = f"of the flow {known}" if known else "that Metaflow did not make"
        raise SettingError(
            f"name: {name} is a WorkflowTemplate {whose}: choose another name with --name, and the"
            " same as `template` for the jobs that start this flow"
        )


def told(planned: Deployment, request: Request) -> "list[str]":
    """Say what a deployment is, and how its runs start."""
    metadata = planned.template["metadata"]
    lines = [f"{planned.flow}: WorkflowTemplate {metadata['name']} in {metadata['namespace']}"]
    if NO_PLACE in str(planned.template):
        lines.append("no datastore is named: a real deployment needs --datastore")
    return lines + _starts(planned, request)


def compared(planned: Deployment) -> "list[str]":
    """Say what changes against what is deployed, object by object."""
    lines: list[str] = []
    for kind, old, new in _pairs(planned):
        found = changes(old, new)
        if old is None or new is None:
            lines += [f"{kind}: {'new' if old is None else 'removed'}"] if old or new else []
        else:
            lines += [f"{kind}: {'changed' if found else 'unchanged'}", *(f"  {x}" for x in found)]
    return lines


def _starts(planned: Deployment, request: Request) -> "list[str]":
    lines = []
    for job in request.jobs:
        when = f"by its schedule {job.schedule!r}" if job.schedule else "when there are batches"
        lines.append(f"job {job.name} starts it {when}")
    if request.jobs and RUN not in parameters(planned.template):
        lines.append(
            "it takes no run record, since it has not the mixin BatchFlow: it is started once for"
            " each and not told which; Headrace writes the result when its Workflow has succeeded"
        )
    if planned.cron is not None:
        schedule, jobs = planned.cron["spec"]["schedules"][0], [job.name for job in request.jobs]
        how = f"suspended, since {', '.join(jobs)} starts the flow" if jobs else "live"
        lines.append(f"its @schedule {schedule!r} becomes a CronWorkflow, {how}")
    elif not request.jobs:
        lines.append("nothing starts it by itself: no job names it, and it has no @schedule")
    return lines


def _pairs(planned: Deployment) -> "list[tuple[str, Json | None, Json | None]]":
    old, new = planned.old_cron, planned.cron
    if old is not None and new is None and not _ours(old):
        new = old  # somebody else's stays
    return [
        ("WorkflowTemplate", planned.old_template, planned.template),
        ("CronWorkflow", old, new),
    ]


def _ours(found: Json) -> bool:
    (label, value), *_ = MANAGED_BY.items()
    return (found["metadata"].get("labels") or {}).get(label) == value


def apply(planned: Deployment, place: Place, say: Say) -> None:
    """Write what changes; what stays the same is not touched."""
    done = []
    for kind, old, new in _pairs(planned):
        if new is None and old is not None:
            place.delete(kind, old["metadata"]["name"])
        elif new is not None and (old is None or changes(old, new)):
            place.put(new, old)
        else:
            continue
        done.append(kind)
    say(f"applied: {', '.join(done)}" if done else "nothing to do: it is deployed like this")
