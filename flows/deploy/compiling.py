"""Lets Metaflow compile a flow for Argo, in a process of its own, as its command does."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batching.errors import SettingError
from flows.azure_store import split_azure
from flows.deploy.refusing import TRIGGERS
from flows.deploy.request import Request

Json = dict[str, Any]
NO_PLACE = "no-datastore/metaflow"  # where a dry run says that nobody named one
ACCOUNT = "headrace-flows"  # as the chart makes it
REMOTE = ("azure", "s3", "gs")
_CHATTER = ("graph looks good", "production token generated")
_OF_PROJECTS = "--name is not supported for @projects"


@dataclass(frozen=True)
class Compiled:
    """What Metaflow made of a flow, and what it said."""

    flow: str
    template: Json
    said: str


def compile_flow(request: Request, environ: Mapping[str, str]) -> Compiled:
    """Compile a flow; its code package is uploaded, unless this is a dry run.

    Raises:
        SettingError: Metaflow refuses, or nothing says where its datastore is.

    """
    file = Path(request.file)
    if not file.is_file():
        raise SettingError(f"flow: there is no file {file}")
    settings = variables(request, environ)
    with tempfile.TemporaryDirectory() as folder:
        facts = Path(folder, "compiled.json")
        done = _run(command(request, facts, settings["METAFLOW_DEFAULT_DATASTORE"]), settings)
        if done.returncode and _OF_PROJECTS in done.stderr:  # those are named by their decorator
            plain = command(request, facts, settings["METAFLOW_DEFAULT_DATASTORE"], named=False)
            done = _run(plain, settings)
        if done.returncode:
            raise SettingError(f"Metaflow cannot compile {file.name}: {_why(done.stderr)}")
        try:
            found = json.loads(facts.read_text())
            template = found["additional_info"]["workflow_template"]
        except (OSError, ValueError, KeyError) as error:
            raise SettingError(
                f"{file.name} compiled nothing: it must end with its flow's call, as in"
                " `if __name__ == '__main__': MyFlow()`, and metaflow be 2.19 or newer"
            ) from error
        return Compiled(str(found["flow_name"]), template, done.stderr)


def command(request: Request, facts: Path, datastore: str, *, named: bool = True) -> "list[str]":
    """Spell the command that compiles, deploys nothing and writes the template into a file."""
    python = [sys.executable, *(("-m", "flows.deploy.nowhere") if request.dry_run else ())]
    retry = f"retry:times={request.retries},minutes_between_retries={request.retry_minutes}"
    return [
        *(*python, request.file, "--no-pylint", f"--datastore={datastore}"),
        *((f"--with={retry}",) if request.retries else ()),
        *request.metaflow,
        *("argo-workflows", *(("--name", request.name) if named else ())),
        *("create", "--only-json", f"--deployer-attribute-file={facts}"),
        "--generate-new-token",  # the first one of a flow, which follows from its name
        f"--max-workers={request.parallelism}",
        "--no-auto-emit-argo-events",  # 15 s for each task where Argo Events is missing
        "--no-enable-error-msg-capture",
        *((f"--workflow-timeout={request.timeout_seconds}",) if request.timeout_seconds else ()),
    ]


def variables(request: Request, environ: Mapping[str, str]) -> "dict[str, str]":
    """Give the process's variables: the caller's, and what the request says over them.

    Raises:
        SettingError: nothing says where Metaflow's datastore is.

    """
    own: dict[str, Any] = {
        "METAFLOW_KUBERNETES_NAMESPACE": request.namespace,
        "METAFLOW_KUBERNETES_CONTAINER_IMAGE": request.image,
        "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": account(request),
        "METAFLOW_KUBERNETES_CPU": request.cpu,
        "METAFLOW_KUBERNETES_MEMORY": request.memory_mb,
        "METAFLOW_KUBERNETES_DISK": request.disk_mb,
        "METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES": "true",  # Argo 4 knows no `schedule`
        **_datastore(request),
    }
    users = {environ.get(name, "") for name in ("METAFLOW_USER", "USERNAME", "USER")}
    if not users - {"", "root"}:  # Metaflow refuses to run for nobody and for root
        own["METAFLOW_USER"] = "headrace"
    return {**environ, **{name: str(value) for name, value in own.items() if value is not None}}


def account(request: Request) -> str:
    """Give the pods' service account: as asked for, as Metaflow is configured, else the chart's."""
    from metaflow import metaflow_config as known  # noqa: PLC0415  # reads files of its own

    return str(request.service_account or known.KUBERNETES_SERVICE_ACCOUNT or ACCOUNT)


def _datastore(request: Request) -> "dict[str, str]":
    from metaflow import metaflow_config as known  # noqa: PLC0415  # reads files of its own

    if request.datastore is not None:
        account, container, prefix = split_azure(request.datastore)
        place = {"METAFLOW_AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": account}
        return {**place, **_azure(f"{container}/{prefix}".rstrip("/"))}
    if known.DEFAULT_DATASTORE in REMOTE:
        return {"METAFLOW_DEFAULT_DATASTORE": known.DEFAULT_DATASTORE}
    if known.DATASTORE_SYSROOT_AZURE:
        return _azure(known.DATASTORE_SYSROOT_AZURE)
    if request.dry_run:
        return _azure(NO_PLACE)
    raise SettingError(
        "datastore: pods find a flow's code and artifacts in a container, which must be named:"
        " --datastore https://account.blob.core.windows.net/container/metaflow, or Metaflow's own"
        " configuration"
    )


def _azure(root: str) -> "dict[str, str]":
    return {"METAFLOW_DEFAULT_DATASTORE": "azure", "METAFLOW_DATASTORE_SYSROOT_AZURE": root}


def _run(words: "list[str]", environ: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, env=dict(environ), text=True, capture_output=True, check=False)


def _why(said: str) -> str:
    """Give Metaflow's own words: its last paragraph, or the last line of a traceback."""
    if "METAFLOW_ARGO_EVENTS_" in said:  # its advice is to set up what we do not use
        return TRIGGERS
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if "Traceback (most recent call last):" in lines:
        return lines[-1]
    begun = [i for i, line in enumerate(lines) if line.startswith(("Metaflow 2", "Deploying"))]
    rest = lines[begun[-1] + 1 :] if begun else lines
    told = [line for line in rest if not any(each in line for each in _CHATTER)]
    return " ".join(told) or "no reason given"
