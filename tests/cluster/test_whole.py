"""Headrace whole, as it is deployed: sensors, a service in a pod, flows in Argo's pods, an account.

Nothing stands in for anything but Azure: Event Hubs is the embedded hub, Blob Storage is Azurite,
and the managed identity is an endpoint that hands out tokens.
"""

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cluster import chart, needs
from tests.cluster.cluster import Cluster
from tests.cluster.deployed import RESTRICTED, SECRET, kubeconfig_of_deployer
from tests.cluster.place import ClusterError
from tests.cluster.site import Site, running_site

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
FLOW, TEMPLATE = "SensorProcessingFlow", "sensorprocessingflow"
CHANNELS = 6
SMALL = ("--cpu", "0.4", "--memory", "512", "--disk", "256")  # four pods at once on two cores


@pytest.fixture
def site(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Site]:
    if not (chart.INGEST.built and chart.FLOWS.built) and (lacking := needs.to_build()):
        pytest.skip("no images: " + "; ".join(lacking))
    cluster.kubectl("label", "namespace", namespace, RESTRICTED)
    with running_site(cluster, namespace, tmp_path) as made:
        yield made


def deploy(site: Site) -> str:
    """Deploy the flow as somebody with the rights that the how-to names, and no others."""
    image = chart.load(site.release.cluster, chart.FLOWS)
    path = site.folder / "kubeconfig"
    kubeconfig_of_deployer(site.release.cluster, site.namespace, path)
    return site.headrace(
        *("deploy", FLOW, "--config", site.config, "--image", image, "--kubeconfig", path),
        *("--no-workload-identity", *SMALL),
        METAFLOW_KUBERNETES_SECRETS=SECRET,  # how pods sign in where there is no Azure
        METAFLOW_KUBERNETES_IMAGE_PULL_POLICY="Never",
    )


def until_ready(site: Site, seconds: float = 90) -> None:
    site.release.kubectl(
        *("rollout", "status", f"deployment/{chart.NAME}", f"--timeout={seconds:.0f}s")
    )


def reasons(site: Site) -> str:
    """Ask the service why it is not ready."""
    ask = (
        "import urllib.request as r, urllib.error as e\n"
        "try: print(r.urlopen('http://127.0.0.1:9464/readyz').read().decode())\n"
        "except e.HTTPError as error: print(error.read().decode())\n"
    )
    return site.release.inside("/opt/headrace/bin/python", "-c", ask)


def until_it_says_why(site: Site, seconds: float = 90) -> str:
    deadline, said = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            said = reasons(site)
        except ClusterError as error:  # it does not listen yet
            said = str(error)
        if "is missing" in said:
            return said
        time.sleep(1)
    raise AssertionError(f"{said}\n{site.told()}")


def test_real_sensor_data_is_batched_in_a_pod_and_every_batch_is_in_one_workflow(
    site: Site,
) -> None:
    # one at a time, so that what comes meanwhile is all in the next one: each run is six pods
    site.write_config(flow=FLOW, after="2 s", in_flight=1)
    site.install(wait=False)
    assert f"WorkflowTemplate {TEMPLATE} is missing" in until_it_says_why(site)
    said = deploy(site)
    assert "job motion starts it when there are batches" in said
    assert "applied: WorkflowTemplate, CronWorkflow" in said
    until_ready(site)

    site.send(200)
    site.send(200)
    closing = site.complete(900)
    assert "0 missing, 0 twice" in closing
    assert "counts and sample sums agree" in closing

    made = site.ended()
    records = site.objects("runs")
    assert each_batch_is_in_one(made)
    assert {each["status"]["phase"] for each in made} == {"Succeeded"}
    assert {each["metadata"]["labels"]["headrace/attempt"] for each in made} == {"1"}
    assert not [name for name in records if ".a2" in name]
    results = [json.loads(site.read(name)) for name in site.objects("results")]
    runs = sorted(int(each["metadata"]["labels"]["headrace/run"]) for each in made)
    assert sorted(result["n"] for result in results) == runs
    assert len(runs) >= 2
    assert {(result["attempt"], result["by"]) for result in results} == {(1, "flow")}
    assert samples_in(site, results) == samples_sent(site)


def each_batch_is_in_one(workflows: list[Any]) -> bool:
    """Tell whether the Workflows' spans of manifests follow on each other, in every partition."""
    spans: dict[str, list[list[int]]] = {}
    for each in workflows:
        covers = json.loads(each["metadata"]["annotations"]["headrace/manifests"])
        for partition, span in covers.items():
            spans.setdefault(partition, []).append(span)
    for partition, found in spans.items():
        for before, after in itertools.pairwise(sorted(found)):
            assert before[1] <= after[0], (partition, found)
    return bool(spans)


def samples_sent(site: Site) -> Counter[str]:
    """Count samples by sensor, as the senders logged them."""
    count: Counter[str] = Counter()
    for line in site.senders.read_text().splitlines():
        sent = json.loads(line)
        count[sent["sensor"]] += sent["samples"]
    return count


def samples_in(site: Site, results: list[Any]) -> Counter[str]:
    """Count samples by sensor, as the flow's tables have them: a row for each channel."""
    count: Counter[str] = Counter()
    for result in results:
        table = pq.read_table(pa.BufferReader(site.read(f"{result['outputs']}features.parquet")))
        for row in table.select(["sensor", "samples"]).to_pylist():
            count[row["sensor"]] += row["samples"]
    assert all(total % CHANNELS == 0 for total in count.values())
    return Counter({sensor: total // CHANNELS for sensor, total in count.items()})
