"""Adds to a compiled template what Metaflow leaves out: a pure function, template to template.

How long Workflows and pods are kept, the account they run as, what Azure's workload identity
looks for, and a security context that Pod Security's level `restricted` accepts, for the
executor's containers too, which otherwise have none unless Argo's own settings give them one.
"""

import json
from typing import Any

from flows.deploy.request import Request

Json = dict[str, Any]
MANAGED_BY = {"app.kubernetes.io/managed-by": "headrace"}
WORKLOAD_IDENTITY = "azure.workload.identity/use"
TOKEN = "metaflow/production_token"  # noqa: S105  # a name, and Metaflow's word for a namespace
STORE = "HEADRACE_STORE"
WORK, TEMPORARY = "/work", "/tmp"  # noqa: S108  # in the pod, where both are volumes of its own
_CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def dress(compiled: Json, request: Request, token: "str | None" = None) -> Json:
    """Complete a template that Metaflow compiled; the given one stays as it is.

    Args:
        compiled: as `argo-workflows create --only-json` gives it.
        request: what was asked for.
        token: Metaflow's production token of what is deployed, which is kept.

    """
    template: Json = without_nulls(with_token(compiled, token) if token else compiled)
    template["metadata"]["labels"] = {**template["metadata"].get("labels", {}), **MANAGED_BY}
    spec = template["spec"]
    spec["ttlStrategy"] = {
        "secondsAfterSuccess": request.keep_succeeded_seconds,
        "secondsAfterFailure": request.keep_failed_seconds,
    }
    spec["podGC"] = {"strategy": "OnPodSuccess"}  # what failed stays as long as its Workflow
    spec["securityContext"] = {
        "runAsNonRoot": True,
        "runAsUser": request.user,
        "runAsGroup": request.user,
        "fsGroup": request.user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if request.service_account:
        spec["serviceAccountName"] = request.service_account
    if request.workload_identity:
        spec.setdefault("podMetadata", {}).setdefault("labels", {})[WORKLOAD_IDENTITY] = "true"
    if not spec.get("hooks"):
        spec.pop("hooks", None)
    spec["templates"] = [_step(each, request) for each in spec["templates"]]
    return template


def _step(template: Json, request: Request) -> Json:
    """Complete one pod's template; a DAG has no pod and stays as it is."""
    if "container" not in template:
        return template
    container = dict(template["container"])
    container["securityContext"] = {
        **_CONFINED,
        "readOnlyRootFilesystem": not request.writable_root,
        **container.get("securityContext", {}),
    }
    container.setdefault("workingDir", WORK)
    container["env"] = _environment(container.get("env", []), request)
    container["resources"] = _limited(container.get("resources", {}))
    mounts = list(container.get("volumeMounts", []))
    taken = {mount["mountPath"] for mount in mounts}
    own = {"headrace-work": container["workingDir"], "headrace-tmp": TEMPORARY}
    added = {name: path for name, path in own.items() if path not in taken}
    container["volumeMounts"] = mounts + [
        {"name": name, "mountPath": path} for name, path in added.items()
    ]
    volumes = [{"name": name, "emptyDir": {}} for name in added]
    return {
        **template,
        "container": container,
        "volumes": template.get("volumes", []) + volumes,
        "podSpecPatch": _confine_executor(template.get("podSpecPatch")),
    }


def _environment(known: "list[Json]", request: Request) -> "list[Json]":
    own = {"HOME": WORK, **({STORE: request.store} if request.store else {})}
    missing = {name: value for name, value in own.items() if name not in {e["name"] for e in known}}
    return known + [{"name": name, "value": value} for name, value in missing.items()]


def _limited(resources: Json) -> Json:
    """Bound memory at what was asked for: a step that needs more ends alone, not with its node."""
    memory = resources.get("requests", {}).get("memory")
    limits = resources.get("limits", {})
    return {**resources, "limits": {"memory": memory, **limits} if memory else limits}


def _confine_executor(patch: "str | None") -> str:
    """Confine the containers that Argo adds to the pod, keeping what Metaflow asks for."""
    whole: Json = json.loads(patch) if patch else {}
    for kind, name in (("initContainers", "init"), ("containers", "wait")):
        whole[kind] = [*whole.get(kind, ()), {"name": name, "securityContext": _CONFINED}]
    return json.dumps(whole, sort_keys=True)


def without_nulls(value: Any) -> Any:
    """Leave out what Metaflow sets to null, which says nothing and hides what does."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def with_token(compiled: Json, token: str) -> Json:
    """Put another production token wherever Metaflow wrote the one it compiled with."""
    written = json.dumps(compiled)
    found = json.dumps(compiled["metadata"]["annotations"][TOKEN])[1:-1]
    replaced: Json = json.loads(written.replace(found, json.dumps(token)[1:-1]))
    return replaced
