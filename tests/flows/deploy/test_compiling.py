"""What Metaflow makes of flows, and what it is told; each compiled for real."""

import json
from pathlib import Path
from typing import Any

import pytest

from batching.errors import SettingError
from flows.deploy.changes import changes
from flows.deploy.compiling import NO_PLACE, compile_flow, variables
from flows.deploy.refusing import parameters
from flows.deploy.request import Request
from tests.flows.deploy.conftest import EXAMPLES, IMAGE, SHIPPED, Compile, environment, request_for

NO_END = """
from metaflow import FlowSpec, step

class HalfFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.end)

if __name__ == "__main__":
    HalfFlow()
"""


def pods(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in template["spec"]["templates"] if "container" in each}


def test_the_shipped_flow_takes_a_run_record_and_its_steps_are_templates(compiled: Compile) -> None:
    found = compiled(request_for(SHIPPED, namespace="plant"))
    assert found.flow == "SensorProcessingFlow"
    assert found.template["metadata"]["name"] == "sensor-processing-flow"
    assert found.template["metadata"]["namespace"] == "plant"
    assert set(parameters(found.template)) == {"run", "job", "since"}
    steps = {"start", "preprocess", "filter-bank", "lags", "join", "end"}
    assert set(pods(found.template)) == steps
    assert {each["container"]["image"] for each in pods(found.template).values()} == {IMAGE}


def test_a_step_without_retry_gets_one_and_a_step_with_its_own_keeps_it(compiled: Compile) -> None:
    steps = pods(compiled(request_for(EXAMPLES / "foreach_flow.py")).template)
    assert steps["start"]["retryStrategy"]["limit"] == 2
    assert steps["start"]["retryStrategy"]["backoff"]["duration"] == "1m"
    assert steps["count"]["retryStrategy"]["limit"] == 4
    assert steps["count"]["container"]["image"] == "example.net/own:3"


def test_resources_are_for_steps_that_name_none(compiled: Compile) -> None:
    request = request_for(EXAMPLES / "foreach_flow.py", cpu=0.5, memory_mb=300, retries=0)
    steps = pods(compiled(request).template)
    assert steps["end"]["container"]["resources"]["requests"]["cpu"] == "0.5"
    assert steps["end"]["container"]["resources"]["requests"]["memory"] == "300M"
    assert steps["count"]["container"]["resources"]["requests"]["memory"] == "512M"
    assert "retryStrategy" not in steps["end"]


def test_the_same_flow_compiles_to_the_same_template(compiled: Compile, tmp_path: Path) -> None:
    request = request_for(EXAMPLES / "plain_flow.py")
    again = compile_flow(request, environment(tmp_path))
    assert changes(compiled(request).template, again.template) == []


def test_a_flow_of_a_project_is_named_by_it(compiled: Compile) -> None:
    found = compiled(request_for(EXAMPLES / "parallel_flow.py", name="ignored"))
    name = found.template["metadata"]["name"]
    assert name.startswith("plant.")
    assert name.endswith("parallelflow")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import no_such_package\n", "No module named 'no_such_package'"),
        ("print('no flow')\n", "must end with its flow's call"),
        (NO_END, "no step end|unknown, \\*end\\*|end"),
    ],
)
def test_a_file_that_does_not_compile_is_refused_in_metaflows_words(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "some_flow.py"
    file.write_text(text)
    with pytest.raises(SettingError, match=said):
        compile_flow(request_for(file), environment(tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"there is no file .*nowhere\.py"):
        compile_flow(request_for(tmp_path / "nowhere.py"), {})


def test_without_a_datastore_only_a_dry_run_goes_on() -> None:
    request = request_for(SHIPPED, datastore=None)
    assert variables(request, {})["METAFLOW_DATASTORE_SYSROOT_AZURE"] == NO_PLACE
    with pytest.raises(SettingError, match=r"--datastore https://account\.blob"):
        variables(request_for(SHIPPED, datastore=None, dry_run=False), {})


def test_a_datastore_is_taken_apart_for_metaflow() -> None:
    request = request_for(SHIPPED, datastore="https://10.98.1.1:10000/acct/box/deep/place/")
    found = variables(request, {"USER": "root"})
    assert found["METAFLOW_DATASTORE_SYSROOT_AZURE"] == "box/deep/place"
    endpoint = found["METAFLOW_AZURE_STORAGE_BLOB_SERVICE_ENDPOINT"]
    assert endpoint == "https://10.98.1.1:10000/acct"
    assert found["METAFLOW_USER"] == "headrace"  # which Metaflow does not take root for
    assert "METAFLOW_USER" not in variables(request, {"USER": "maria"})


@pytest.mark.parametrize(
    ("name", "said"),
    [("x" * 46, "46 characters, Argo has room for 45"), ("Flow_1", "is none for Kubernetes")],
)
def test_a_name_that_argo_would_refuse_is_refused_before(name: str, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        Request.of(json.dumps({"file": "f.py", "name": name}))


def test_a_request_is_read_as_it_was_written() -> None:
    text = json.dumps({"file": "f.py", "name": "f", "jobs": [{"name": "a", "schedule": None}]})
    assert Request.of(text).jobs[0].name == "a"
    with pytest.raises(SettingError, match="knows no colour"):
        Request.of('{"file": "f.py", "name": "f", "colour": 1}')
