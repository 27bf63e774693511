"""A flow that was deployed runs to its end, in pods: for a job of the service, and on its own.

Each Metaflow run is six pods that start Python, so there are two of them and no more.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from batching import model, names
from flows.store import open_store
from tests.batching.adapters.argo_stage import RULES
from tests.cluster import chart, needs
from tests.cluster.cluster import Cluster
from tests.cluster.deployed import (
    DEPLOYS,
    RESTRICTED,
    RUNNER,
    Lake,
    kubeconfig_of,
    kubeconfig_of_deployer,
    metaflow,
    running_lake,
)
from tests.cluster.place import ClusterError
from tests.end_to_end.plant import Plant, running, stream
from tests.flows.conftest import Lake as Store
from tests.flows.conftest import identity, sine

FLOW, TEMPLATE = "SensorProcessingFlow", "sensorprocessingflow"
FILE = chart.ROOT / "flows" / "sensor_processing_flow.py"
MINUTES = 20  # a run took 3.5 at a load of 12 and 8 at 20; its pods ask for a tenth of a core
SMALL = {"METAFLOW_KUBERNETES_CPU": "0.1", "METAFLOW_KUBERNETES_MEMORY": "1024"}
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> str:
    """Give the node the image of flows, built from this clone."""
    if not chart.FLOWS.built and (lacking := needs.to_build()):
        pytest.skip("no images: " + "; ".join(lacking))
    return chart.load(cluster, chart.FLOWS)


@pytest.fixture
def lake(
    cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Lake]:
    with running_lake(cluster, namespace, tmp_path) as made:
        for name, value in made.variables.items():
            monkeypatch.setenv(name, value)
        yield made


def said(words: list[str], environment: dict[str, str], *, code: int = 0) -> str:
    """Run a command, and give all that it said."""
    done = subprocess.run(
        [sys.executable, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def ended_well(cluster: Cluster, namespace: str, name: str) -> None:
    """Wait for the end of a Workflow; if it did not end well, show what its pods said."""
    deadline, status = time.monotonic() + MINUTES * 60, dict[str, Any]()
    while status.get("phase") not in ("Failed", "Error") and time.monotonic() < deadline:
        status = cluster.get("-n", namespace, f"workflow/{name}").get("status", {})
        if status.get("phase") == "Succeeded":
            return
        time.sleep(2)
    pods = ("--selector", f"workflows.argoproj.io/workflow={name}", "--prefix", "--tail=30")
    logs = cluster.kubectl("-n", namespace, "logs", *pods, "--all-containers")
    raise AssertionError(f"{json.dumps(status, indent=1)[-4_000:]}\n{logs[-4_000:]}")


def test_a_deployed_flow_ends_a_run_of_the_service_in_a_restricted_namespace(
    cluster: Cluster, namespace: str, lake: Lake, image: str, tmp_path: Path
) -> None:
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    account, _, container = lake.url.rpartition("/")
    run = {"flow": FLOW, "launcher": "argo", "after": "5 s", "in_flight": 1}
    plant = Plant(
        tmp_path,
        settings={
            "blobs": {
                "azure": {
                    "account": account.rpartition("/")[2],
                    "endpoint": account,
                    "container": container,
                }
            },
            "argo": {
                "namespace": namespace,
                "kubeconfig": str(
                    kubeconfig_of(cluster, namespace, tmp_path / "service", "headrace", RULES)
                ),
            },
            "streams": {"motion": stream(run=run)},
        },
        environment={**lake.variables, "SSL_CERT_FILE": str(cluster.authority)},
    )
    deployer = kubeconfig_of_deployer(cluster, namespace, tmp_path / "deployer")
    words = ["-m", "ingest", "deploy", FLOW, "--config", str(plant.config()), "--image", image]
    words += ["--service-account", RUNNER, "--kubeconfig", str(deployer)]
    words += ["--cpu", "0.1", "--memory", "1024"]
    told = said(words, metaflow(lake, deployer, tmp_path))
    assert "job motion starts it when there are batches" in told
    assert "applied: WorkflowTemplate, CronWorkflow" in told

    with running(plant):
        plant.start()
        plant.send(60, sensors=3)
        (workflow, *_) = workflows(cluster, namespace)
        ended_well(cluster, namespace, workflow)
        verify = ["-m", "ingest", "verify", "--config", str(plant.config())]
        verify += ["--against", str(plant.senders)]
        deadline = time.monotonic() + MINUTES * 60
        while True:
            done = subprocess.run(
                [sys.executable, *verify],
                env={
                    **metaflow(lake, deployer, tmp_path),
                    **plant.environment,
                    "HEADRACE_EVENT_HUBS_CONNECTION": plant.connection,
                },
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode == 0:
                break
            assert time.monotonic() < deadline, done.stdout + done.stderr
            time.sleep(5)
    assert "0 missing, 0 twice" in done.stdout
    store = open_store(lake.url)
    store_id = model.load(model.Store, names.STORE, bytes(store.get(names.STORE) or b"")).id
    result = model.load(
        model.Result, "result", bytes(store.get(f"{store_id}/{names.result('motion', 1)}") or b"")
    )
    assert (result.by, result.attempt) == ("flow", 1)
    assert result.facts["rows"] == rows(store.get(f"{store_id}/{result.outputs}features.parquet"))


def workflows(cluster: Cluster, namespace: str) -> list[str]:
    """Wait for the first Workflow, and give the names of all."""
    deadline = time.monotonic() + 120
    while True:
        found = cluster.get("-n", namespace, "workflows")["items"]
        if found:
            return sorted(each["metadata"]["name"] for each in found)
        assert time.monotonic() < deadline
        time.sleep(1)


def rows(table: Any) -> int:
    assert table is not None
    return int(pq.read_table(table).num_rows)


def test_what_metaflow_deploys_itself_runs_ad_hoc_and_leaves_no_result(
    cluster: Cluster, namespace: str, lake: Lake, image: str, tmp_path: Path
) -> None:
    store = Store(open_store(f"{lake.url}/store"))
    store.root.create(names.STORE, identity())
    store.run(store.bundle({"press-1": [sine(3)], "press-2": [sine(7), sine(9)]}))
    rights = [*DEPLOYS, {**RULES[0], "verbs": ["create", "get"]}]
    kubeconfig = kubeconfig_of(cluster, namespace, tmp_path / "ann", "ann", rights)
    environment = {
        **metaflow(lake, kubeconfig, tmp_path),
        **SMALL,
        "METAFLOW_KUBERNETES_NAMESPACE": namespace,
        "METAFLOW_KUBERNETES_CONTAINER_IMAGE": image,
        "METAFLOW_ARGO_WORKFLOWS_USE_SCHEDULES": "true",
    }
    conda = said(
        [str(FILE), "--environment=conda", "argo-workflows", "create"], environment, code=1
    )
    assert "Micromamba ran into an error while setting up environment" in conda
    with pytest.raises(ClusterError, match="not found"):
        cluster.get("-n", namespace, f"workflowtemplate/{TEMPLATE}")

    where = json.dumps({"HEADRACE_STORE": store.root.uri})
    plain = [str(FILE), f"--with=environment:vars={where}", "argo-workflows"]
    said([*plain, "create", "--no-auto-emit-argo-events"], environment)
    cron = cluster.get("-n", namespace, f"cronworkflow/{TEMPLATE}")["spec"]
    assert (cron["schedules"], cron["suspend"]) == (["0 * * * *"], False)
    told = said([*plain, "trigger"], environment)
    (name,) = re.findall(r"run-id argo-([\w-]+)", told)
    ended_well(cluster, namespace, name)

    table = store.store.get(f"adhoc/{FLOW}/argo-{name}/features.parquet")
    assert rows(table) == 4  # two sensors of two channels each
    assert store.result() is None
    assert list(store.store.names("results/")) == []
