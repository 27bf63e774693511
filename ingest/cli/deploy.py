"""`headrace deploy`: a flow becomes a WorkflowTemplate of Argo, from which runs are made.

What it takes is done in the room `flows`, which has Metaflow: here the settings are read and
handed on, to a process that needs no part of this room.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from batching.errors import SettingError
from ingest.cli.options import Config

EXAMPLE = """
Examples:

  headrace deploy SensorProcessingFlow --image registry.example.net/headrace-flows:1 --dry-run

  headrace deploy SensorProcessingFlow --config headrace.yaml --image registry.example.net/flows:1

  headrace deploy flows/nightly.py --job nightly --output deploy/flows --image registry.example.net/flows:1
"""  # noqa: E501  # examples are whole lines
KEEP_SUCCEEDED, KEEP_FAILED = "1 h", "1 d"
UNREAD = ("source", "redis", "http")  # who deploys a flow has not the service's secrets


def deploy(
    flow: Annotated[str, typer.Argument(help="Class of the flow, as jobs name it, or its file.")],
    config: Config = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the YAML; upload and apply nothing.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Write the YAML into this folder, for GitOps; apply nothing."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option("--image", help="Image of the steps; METAFLOW_KUBERNETES_CONTAINER_IMAGE."),
    ] = None,
    datastore: Annotated[
        str | None,
        typer.Option("--datastore", help="Metaflow's: https://account/container/folder."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", help="Of runs; as the file says, else argo.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="File that names the cluster.")
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="Context of the kubeconfig.")
    ] = None,
    service_account: Annotated[
        str | None,
        typer.Option("--service-account", help="Of the steps' pods; headrace-flows if not set."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the WorkflowTemplate; the flow's in lower case."),
    ] = None,
    job: Annotated[
        list[str] | None,
        typer.Option("--job", help="A job that starts the flow, where no file says so."),
    ] = None,
    retries: Annotated[
        int, typer.Option("--retries", min=0, max=4, help="Of a step that has no @retry itself.")
    ] = 2,
    retry_after: Annotated[
        int, typer.Option("--retry-after", min=0, help="Minutes before a step is tried again.")
    ] = 1,
    parallelism: Annotated[
        int, typer.Option("--parallelism", min=1, help="Pods of one run at once.")
    ] = 100,
    cpu: Annotated[
        float | None, typer.Option("--cpu", help="Cores of a step that names none.")
    ] = None,
    memory: Annotated[
        int | None, typer.Option("--memory", help="MB of a step that names none; it gets no more.")
    ] = None,
    disk: Annotated[
        int | None, typer.Option("--disk", help="MB of disk of a step that names none.")
    ] = None,
    keep: Annotated[
        str, typer.Option("--keep", help="How long a Workflow that succeeded is kept.")
    ] = KEEP_SUCCEEDED,
    keep_failed: Annotated[
        str, typer.Option("--keep-failed", help="How long one that failed is, with its pods.")
    ] = KEEP_FAILED,
    timeout: Annotated[
        str | None, typer.Option("--timeout", help="A run fails after so long, such as 6 h.")
    ] = None,
    user: Annotated[
        int, typer.Option("--user", min=1, help="User and group number of the steps.")
    ] = 10001,
    writable_root: Annotated[
        bool, typer.Option("--writable-root", help="For images that write outside /work and /tmp.")
    ] = False,
    workload_identity: Annotated[
        bool,
        typer.Option(
            "--workload-identity/--no-workload-identity",
            help="Let pods sign in to Azure as their service account.",
        ),
    ] = True,
    metaflow: Annotated[
        list[str] | None,
        typer.Option("--metaflow", help="Option for Metaflow, such as --environment=conda."),
    ] = None,
) -> None:
    """Compile a flow with Metaflow and bring it to Argo Workflows, or say why it would fail there.

    It says what changes against what is deployed. It needs the extra `deploy` of this package.
    """
    if dry_run and output is not None:
        raise SettingError("--dry-run prints and --output writes what can be applied: take one")
    known = _known(flow, config)
    request: dict[str, Any] = {
        "file": str(known.file),
        "name": name or known.template,
        "namespace": namespace or known.namespace,
        "kubeconfig": _text(kubeconfig or known.kubeconfig),
        "context": context or known.context,
        "dry_run": dry_run,
        "output": _text(output),
        "jobs": known.jobs or [{"name": each} for each in job or ()],
        "store": known.store,
        "datastore": datastore or known.datastore,
        "image": image,
        "service_account": service_account,
        "cpu": cpu,
        "memory_mb": memory,
        "disk_mb": disk,
        "retries": retries,
        "retry_minutes": retry_after,
        "parallelism": parallelism,
        "keep_succeeded_seconds": _seconds("--keep", keep),
        "keep_failed_seconds": _seconds("--keep-failed", keep_failed),
        "timeout_seconds": None if timeout is None else _seconds("--timeout", timeout),
        "user": user,
        "writable_root": writable_root,
        "workload_identity": workload_identity,
        "metaflow": metaflow or [],
    }
    words = [sys.executable, "-m", "flows.deploy", json.dumps(request)]
    raise typer.Exit(subprocess.run(words, check=False).returncode)


@dataclass(frozen=True)
class Known:
    """What the service's file says of a flow; without a file only where the flow is."""

    file: Path
    template: str
    namespace: str = "argo"
    kubeconfig: Path | None = None
    context: str | None = None
    jobs: list[dict[str, Any]] | None = None
    store: str | None = None
    datastore: str | None = None


def _known(flow: str, config: Path | None) -> Known:
    """Read the service's file, if there is one, and find the flow in it or on the disk.

    Raises:
        SettingError: there is no such flow, or its jobs name different templates.

    """
    from batching.adapters.flow_environment import find_flows
    from batching.runs.jobs import template
    from ingest.config import load

    settings = load(config, os.environ, without=UNREAD) if config else None
    if flow.endswith(".py"):
        path = Path(flow)
        found = [name for name, file in find_flows(path.parent).items() if file == path]
        if len(found) != 1:
            raise SettingError(f"{flow}: one flow is wanted there, found {found or 'none'}")
        file, flow = path, found[0]
    else:
        file = (settings or load(None, {})).flow_file(flow)
    if settings is None:
        return Known(file, template(flow))
    runs = {job: run for job, (run, _) in settings.runs().items() if run.flow == flow}
    names = {getattr(run, "template", None) or template(flow) for run in runs.values()}
    if len(names) > 1:
        raise SettingError(
            f"jobs {', '.join(runs)} want {flow} as {' and as '.join(sorted(names))}: deploy it"
            " under each name with --name"
        )
    argo = getattr(settings, "argo", None)
    root = _root(settings)
    return Known(
        file,
        next(iter(names), template(flow)),
        namespace=argo.namespace if argo else "argo",
        kubeconfig=argo.kubeconfig if argo else None,
        context=argo.context if argo else None,
        jobs=[
            {"name": job, "schedule": getattr(run, "schedule", None)} for job, run in runs.items()
        ],
        store=root,
        datastore=root and f"{root}/metaflow",
    )


def _root(settings: Any) -> str | None:
    """Give the store's root in Azure; nothing where only this machine can read it."""
    azure = settings.blobs.azure
    if azure is None or not (azure.account or azure.endpoint):
        return None
    account = azure.endpoint or f"https://{azure.account}.blob.core.windows.net"
    return "/".join(filter(None, (account.rstrip("/"), azure.container, azure.prefix.strip("/"))))


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _seconds(option: str, text: str) -> int:
    from ingest.units import Duration

    try:
        return max(1, round(Duration.read(text)))
    except ValueError as error:
        raise SettingError(f"{option}: {error}") from None
