"""From a manifest to the Workflow of its run, on a real API server with a real Argo controller.

The Workflows are of a template that only waits a second, so that no pods compete for this
machine: what is measured ends when the API server has answered that the Workflow exists. It
needs the test cluster, which must be up, and is not part of what `benchmarks.limits` runs
unasked.
"""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from prometheus_client import CollectorRegistry

from batching.adapters.argo.api import Api
from batching.adapters.argo.config import connect
from batching.adapters.argo.launcher import ArgoLauncher
from batching.metrics_argo import ArgoMetrics
from benchmarks.figures import Figures
from benchmarks.limits.command import Place, Quick, Repeat, start
from benchmarks.limits.handover import JOB, run_by_run
from benchmarks.place import BenchmarkFailed
from tests.batching.adapters.argo_stage import ACCOUNT, RULES
from tests.cluster.cluster import Cluster
from tests.cluster.deployed import kubeconfig_of
from tests.cluster.room import room

TEMPLATE, QUICK_RUNS = "waits", 3
EXAMPLE = """
Examples:

  python -m tests.cluster up                            first: see tests/cluster/README.md

  python -m benchmarks.limits.argo                      a hundred runs, three times

  python -m benchmarks.limits.argo --quick              does it work? the figures mean nothing
"""


def argo(
    *,
    runs: Annotated[int, typer.Option(min=2, help="Runs that are started.")] = 100,
    repeat: Repeat = 3,
    quick: Quick = False,
    folder: Place = None,
) -> None:
    """Measure the wait from a manifest to its Workflow."""
    cluster = Cluster()
    if not cluster.is_up:
        raise BenchmarkFailed("no cluster is up: python -m tests.cluster up")
    runs, repeat = (QUICK_RUNS, 1) if quick else (runs, repeat)
    figures = Figures()
    for _ in range(repeat):
        with (
            tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place,
            room(cluster, "bench") as namespace,
        ):
            asyncio.run(_measure(Path(place), cluster, namespace, runs, figures))
    figures.show(f"{runs} runs")


async def _measure(
    folder: Path, cluster: Cluster, namespace: str, runs: int, figures: Figures
) -> None:
    cluster.create(_template(namespace))
    access = kubeconfig_of(cluster, namespace, folder / "kubeconfig", ACCOUNT, RULES)

    def launcher(store: str) -> ArgoLauncher:
        metrics = ArgoMetrics(CollectorRegistry())
        api = Api(connect(access), namespace, metrics)
        made = ArgoLauncher(api, store, {JOB: TEMPLATE}, metrics)
        made.open()
        return made

    await run_by_run(folder, runs, "Waits", launcher, figures, goal="workflow")


def _template(namespace: str) -> object:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": TEMPLATE, "namespace": namespace},
        "spec": {
            "serviceAccountName": "flow-runner",
            "entrypoint": "only",
            "arguments": {"parameters": [{"name": "run", "value": ""}]},
            "templates": [{"name": "only", "suspend": {"duration": "1"}}],
        },
    }


if __name__ == "__main__":
    start(argo, EXAMPLE)
