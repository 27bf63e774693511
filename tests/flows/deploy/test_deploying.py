"""A whole deployment: into a folder for GitOps, with the code package in a real Azurite."""

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient

from batching.errors import SettingError
from flows.deploy.compiling import Compiled, compile_flow
from flows.deploy.deploying import Deployment, apply, deploy, plan, told
from flows.deploy.manifests import Folder
from flows.deploy.request import Job, Request
from ingest.hub import certificate
from tests.azurite import running_azurite
from tests.flows.deploy.argo_schema import faults
from tests.flows.deploy.conftest import (
    EXAMPLES,
    ROOT,
    SHIPPED,
    Compile,
    environment,
    request_for,
)
from tests.identity import running_identity

PLAIN = EXAMPLES / "plain_flow.py"
TOKEN = "metaflow/production_token"  # noqa: S105  # a name
Said = list[str]
Signed = tuple[ContainerClient, dict[str, str]]


@pytest.fixture(scope="module")
def datastore(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Signed]:
    """A container that Metaflow signs in to by a managed identity, and the variables for that."""
    if os.environ.get("HEADRACE_SKIP_AZURITE") == "1":
        pytest.skip("HEADRACE_SKIP_AZURITE is set")
    folder = tmp_path_factory.mktemp("azurite")
    files = certificate.self_made(folder)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running_azurite(folder, certificate=files))
        signed_in = stack.enter_context(running_identity(authority=files[0]))
        client = stack.enter_context(
            ContainerClient(
                server.endpoint,
                f"metaflow-{uuid.uuid4().hex}",
                credential=AzureNamedKeyCredential(server.account, server.key),
                connection_verify=str(files[0]),
                api_version="2024-11-04",
            )
        )
        client.create_container()
        yield client, environment(folder) | signed_in


@pytest.mark.azurite
def test_a_flow_is_written_for_gitops_and_only_what_changes_is_written_again(
    datastore: Signed, tmp_path: Path
) -> None:
    container, variables = datastore
    said: Said = []
    place = {"dry_run": False, "output": str(tmp_path), "datastore": f"{container.url}/flows"}
    request = request_for(PLAIN, **place)

    deploy(request, variables, said.append)
    assert "WorkflowTemplate: new" in said
    assert said[-1] == "applied: WorkflowTemplate, CronWorkflow"
    template = Folder(tmp_path).get("WorkflowTemplate", "plain-flow")
    cron = Folder(tmp_path).get("CronWorkflow", "plain-flow")
    assert template is not None
    assert cron is not None
    assert faults(template) == faults(cron) == []
    (code,) = container.list_blob_names(name_starts_with="flows/PlainFlow/data/")
    assert f"--blob={code}" in str(template)  # what pods download is there
    first = (tmp_path / "plain-flow.workflowtemplate.yaml").read_text()

    said.clear()
    deploy(request, variables, said.append)
    assert said[-1] == "nothing to do: it is deployed like this"
    assert (tmp_path / "plain-flow.workflowtemplate.yaml").read_text() == first

    said.clear()
    other = replace(
        request, image="example.net/headrace-flows:2", jobs=(Job("motion", "0 6 * * *"),)
    )
    deploy(other, variables, said.append)
    assert "job motion starts it by its schedule '0 6 * * *'" in said
    assert any("has not the mixin BatchFlow" in line for line in said)
    assert any(
        line.endswith("CronWorkflow, suspended, since motion starts the flow") for line in said
    )
    start = "example.net/headrace-flows:1 -> example.net/headrace-flows:2"
    assert f"  end, start: container.image: {start}" in said
    assert "  spec.suspend: false -> true" in said
    assert said[-1] == "applied: WorkflowTemplate, CronWorkflow"


def test_a_store_that_does_not_answer_is_named(tmp_path: Path) -> None:
    nobody = "https://127.0.0.1:1/account/container"
    request = request_for(PLAIN, dry_run=False, output=str(tmp_path), datastore=nobody)
    signed_out = environment(tmp_path) | {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
    with pytest.raises(SettingError, match=r"cannot compile plain_flow\.py: .*[Cc]redential"):
        compile_flow(request, signed_out)


def planned(compiled: Compile, folder: Path, request: Request) -> Deployment:
    return plan(compiled(request_for(Path(request.file))), request, Folder(folder))


def test_a_cron_workflow_of_ours_goes_with_the_schedule(compiled: Compile, tmp_path: Path) -> None:
    request, said = request_for(PLAIN), Said()
    apply(planned(compiled, tmp_path, request), Folder(tmp_path), said.append)
    found = compiled(request)
    del found.template["metadata"]["annotations"]["metaflow/cron"]
    apply(plan(found, request, Folder(tmp_path)), Folder(tmp_path), said.append)
    assert said[1].endswith("CronWorkflow")
    assert [path.name for path in tmp_path.iterdir()] == ["plain-flow.workflowtemplate.yaml"]


def test_a_cron_workflow_of_somebody_else_stays(compiled: Compile, tmp_path: Path) -> None:
    request, said = request_for(PLAIN), Said()
    first = planned(compiled, tmp_path, request)
    assert first.cron is not None
    first.cron["metadata"]["labels"] = {}
    apply(first, Folder(tmp_path), said.append)
    found = compiled(request)
    del found.template["metadata"]["annotations"]["metaflow/cron"]
    apply(plan(found, request, Folder(tmp_path)), Folder(tmp_path), said.append)
    assert Folder(tmp_path).get("CronWorkflow", "plain-flow") is not None


def other_flow(found: Compiled) -> None:
    found.template["metadata"]["annotations"]["metaflow/flow_name"] = "OtherFlow"


def no_flow(found: Compiled) -> None:
    del found.template["metadata"]["annotations"]["metaflow/flow_name"]


@pytest.mark.parametrize(
    ("change", "whose"),
    [(other_flow, "of the flow OtherFlow"), (no_flow, "that Metaflow did not make")],
)
def test_a_name_that_another_flow_has_is_refused(
    change: Callable[[Compiled], None], whose: str, compiled: Compile, tmp_path: Path
) -> None:
    request = request_for(PLAIN)
    first = planned(compiled, tmp_path, request)
    change(Compiled(first.flow, first.template, ""))
    apply(first, Folder(tmp_path), Said().append)
    with pytest.raises(SettingError, match=f"plain-flow is a WorkflowTemplate {whose}.*--name"):
        planned(compiled, tmp_path, request)


def test_the_token_that_metaflow_knows_a_deployment_by_stays(
    compiled: Compile, tmp_path: Path
) -> None:
    request = request_for(PLAIN)
    first = planned(compiled, tmp_path, request)
    first.template["metadata"]["annotations"][TOKEN] = "plain-7-abcd"
    apply(first, Folder(tmp_path), Said().append)
    again = planned(compiled, tmp_path, request).template
    assert again["metadata"]["annotations"][TOKEN] == "plain-7-abcd"


def test_it_is_said_when_nothing_would_start_the_flow(compiled: Compile, tmp_path: Path) -> None:
    request = request_for(EXAMPLES / "foreach_flow.py")
    lines = told(planned(compiled, tmp_path, request), request)
    assert "nothing starts it by itself: no job names it, and it has no @schedule" in lines
    with_mixin = replace(request, jobs=(Job("motion"),))
    lines = told(planned(compiled, tmp_path, with_mixin), with_mixin)
    assert lines[1:] == ["job motion starts it when there are batches"]


def test_a_file_that_is_no_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.workflowtemplate.yaml").write_text("a: [")
    with pytest.raises(SettingError, match=r"output: .*a\.workflowtemplate\.yaml cannot be read"):
        Folder(tmp_path).get("WorkflowTemplate", "a")


def test_where_metaflow_is_missing_it_is_said_what_to_install(tmp_path: Path) -> None:
    bare = Path(sys.base_prefix, "bin", "python3")
    without = [bare, "-c", "import metaflow"]
    if (
        not bare.exists()
        or subprocess.run(without, capture_output=True, check=False).returncode == 0
    ):
        pytest.skip(f"{bare} is not an interpreter without metaflow")
    done = subprocess.run(
        [bare, "-m", "flows.deploy", "{}"],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: deploying needs metaflow and kubernetes")
    assert "pip install 'headrace[deploy]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_shipped_flow_is_told_in_full(compiled: Compile, tmp_path: Path) -> None:
    request = request_for(SHIPPED, jobs=(Job("motion"),))
    assert told(planned(compiled, tmp_path, request), request) == [
        "SensorProcessingFlow: WorkflowTemplate sensor-processing-flow in argo",
        "job motion starts it when there are batches",
        "its @schedule '0 * * * *' becomes a CronWorkflow, suspended, since motion starts the flow",
    ]
