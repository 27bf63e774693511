"""The whole service with its runs on a real Argo: each batch in one Workflow, whoever is killed."""

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batching.adapters.argo_stage import TEMPLATE, ArgoStage
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster, namespace  # noqa: F401
from tests.end_to_end.plant import Plant, running, stream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def stage(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[ArgoStage]:  # noqa: F811
    made = ArgoStage(cluster, namespace, tmp_path)
    made.codes.answer_all(0)
    yield made
    made.close()


@pytest.fixture
def plant(stage: ArgoStage, tmp_path: Path) -> Iterator[Plant]:
    settings = {
        "argo": {"namespace": stage.namespace, "kubeconfig": str(stage.kubeconfig())},
        "streams": {"motion": stream()},
        "jobs": {
            "job": {
                "flow": "PlainFlow",
                "over": "motion",
                "launcher": "argo",
                "after": "0.5 s",
                "in_flight": 5,
                "backoff": "1 s",
            }
        },
    }
    with running(Plant(tmp_path, settings=settings, patience_seconds=240)) as made:
        yield made


def workflows(stage: ArgoStage) -> list[Any]:
    found = json.loads(stage.kubectl("get", "workflows", "--output", "json"))
    return list(found["items"])


def unready(plant: Plant) -> list[str]:
    port = json.loads((plant.folder / "http.json").read_text())["port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10):
            return []
    except urllib.error.HTTPError as error:
        with error:
            return list(json.load(error)["reasons"])


def test_a_service_that_is_killed_again_and_again_starts_each_run_once(
    plant: Plant, stage: ArgoStage
) -> None:
    for turn in range(4):
        service = plant.start()
        plant.send(200)
        time.sleep(turn)
        service.send_signal(signal.SIGKILL)
        service.wait()
    plant.start()
    plant.send(100)
    plant.complete()
    records = {w["metadata"]["annotations"]["headrace/run-record"] for w in workflows(stage)}
    made = workflows(stage)
    assert len(made) == len(records), "one attempt each"
    assert {w["status"]["phase"] for w in made} == {"Succeeded"}
    assert all(stage.codes.asked[w["metadata"]["name"]] == 1 for w in made)


def test_a_missing_template_is_told_before_the_first_batch_and_then_batches_merge(
    plant: Plant, stage: ArgoStage
) -> None:
    stage.remove_flow()
    plant.start()
    deadline = time.monotonic() + 60
    while not (plant.folder / "http.json").exists() or not any(
        f"WorkflowTemplate {TEMPLATE} is missing" in why for why in unready(plant)
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    plant.send(400)
    stage.bring_flow_back()
    plant.complete()
    assert unready(plant) == []
    assert workflows(stage)
