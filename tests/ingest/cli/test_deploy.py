"""`headrace deploy` as it is typed: the service's file, and what is handed on from it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.flows.deploy.argo_schema import faults
from tests.ingest.cli.conftest import Headrace

ROOT = Path(__file__).parents[3]
IN_AZURE = """
data: {data}
source: {{iot_hub: {{hub: telemetry}}}}
redis: {{url: "rediss://plant7.redis.azure.net:10000", password_file: /run/secrets/redis}}
blobs: {{azure: {{account: plant7data, container: headrace, prefix: north}}}}
streams:
  motion:
    decode: {{format: json, time: {{unit: ms}}, channels: [x]}}
    run: {{flow: SensorProcessingFlow}}
"""


def typed(*words: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("METAFLOW_", "HEADRACE_"))}
    return subprocess.run(
        [sys.executable, "-m", "ingest", "deploy", *map(str, words)],
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder), "KUBECONFIG": "nowhere"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_the_file_says_of_the_store_and_the_jobs_is_in_the_yaml(tmp_path: Path) -> None:
    """Without the secrets of hub and Redis, which whoever deploys a flow need not have."""
    config = tmp_path / "plant.yaml"
    config.write_text(IN_AZURE.format(data=tmp_path))
    words = ("SensorProcessingFlow", "--config", config, "--image", "example.net/f:1", "--dry-run")
    done = typed(*words, "--keep", "2 h", "--timeout", "90 min", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    template, cron = YAML(typ="safe").load_all(done.stdout)
    assert faults(template) == faults(cron) == []
    assert template["metadata"]["name"] == "sensorprocessingflow"
    assert template["spec"]["ttlStrategy"]["secondsAfterSuccess"] == 7200
    assert template["spec"]["activeDeadlineSeconds"] == 5400
    step = next(each for each in template["spec"]["templates"] if "container" in each)
    env = {each["name"]: each.get("value") for each in step["container"]["env"]}
    store = "plant7data.blob.core.windows.net/headrace/north"
    assert env["HEADRACE_STORE"] == f"https://{store}"
    assert env["METAFLOW_DATASTORE_SYSROOT_AZURE"] == "headrace/north/metaflow"
    assert step["serviceAccountName"] == "headrace-flows"
    assert cron["spec"]["suspend"] is True
    assert "job motion starts it when there are batches" in done.stderr
    assert "not compared with what is deployed" in done.stderr


def test_a_file_is_deployed_without_a_file_of_the_service(tmp_path: Path) -> None:
    flow = ROOT / "tests/flows/deploy/examples/plain_flow.py"
    done = typed(flow, "--image", "example.net/f:1", "--dry-run", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    template, cron = YAML(typ="safe").load_all(done.stdout)
    assert template["metadata"]["name"] == "plainflow"
    assert cron["spec"]["suspend"] is False
    assert "becomes a CronWorkflow, live" in done.stderr
    assert "no datastore is named" in done.stderr


def test_what_would_fail_later_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    done = typed("SensorProcessingFlow", "--dry-run", folder=tmp_path)
    assert done.returncode == 2
    assert "error: image: steps " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("NoSuchFlow", "--dry-run"), "no file is known for NoSuchFlow"),
        (("nowhere.py", "--dry-run"), "one flow is wanted there, found none"),
        (("SensorProcessingFlow", "--dry-run", "--output", "x"), "take one"),
        (("SensorProcessingFlow", "--keep", "soon"), "--keep: "),
    ],
)
def test_a_wrong_call_is_refused_at_once(words, said: str, headrace: Headrace) -> None:
    found = headrace("deploy", *words)
    assert found.code == 2
    assert said in found.err
