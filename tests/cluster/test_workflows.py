"""Workflows on the real cluster: one runs to its end, a name is given once, a step's end counts."""

from typing import Any

import pytest

from tests.cluster.api import WORKFLOWS, Api
from tests.cluster.cluster import Cluster

SUCCEEDED = "--for=jsonpath={.status.phase}=Succeeded"
FAILED = "--for=jsonpath={.status.phase}=Failed"
IN_TIME = "--timeout=120s"
KILL = "kill -9 $$$$"  # Kubernetes makes $$ of it


def workflow(name: str, *command: str) -> dict[str, Any]:
    """Give a Workflow of one step that runs a command of busybox."""
    container = {
        "image": "localhost/pause:latest",
        "imagePullPolicy": "Never",
        "command": ["/bin/busybox", *command],
    }
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "flow-runner",
            "entrypoint": "only",
            "templates": [{"name": "only", "container": container}],
        },
    }


def test_a_workflow_runs_to_its_end(cluster: Cluster, namespace: str, starter: Api) -> None:
    path = WORKFLOWS.format(namespace=namespace)
    status, created = starter.ask("POST", path, workflow("hello", "echo", "hello"))
    assert status == 201, created
    cluster.kubectl("--namespace", namespace, "wait", "workflow/hello", SUCCEEDED, IN_TIME)
    said = cluster.kubectl("--namespace", namespace, "logs", "hello", "--container", "main")
    assert "hello" in said.splitlines()


def test_a_name_is_given_once_also_after_the_end(
    cluster: Cluster, namespace: str, starter: Api
) -> None:
    path, wanted = WORKFLOWS.format(namespace=namespace), workflow("once", "true")
    first, created = starter.ask("POST", path, wanted)
    again, refused = starter.ask("POST", path, wanted)
    assert (first, again, refused["reason"]) == (201, 409, "AlreadyExists")
    cluster.kubectl("--namespace", namespace, "wait", "workflow/once", SUCCEEDED, IN_TIME)
    later, refused = starter.ask("POST", path, wanted)
    assert (later, refused["reason"]) == (409, "AlreadyExists")
    there, found = starter.ask("GET", f"{path}/once")
    assert (there, found["metadata"]["uid"]) == (200, created["metadata"]["uid"])


@pytest.mark.parametrize(
    ("name", "command", "code"),
    [("exits", ["sh", "-c", "exit 3"], "3"), ("killed", ["sh", "-c", KILL], "137")],
)
def test_a_step_that_fails_says_with_which_code(
    cluster: Cluster, namespace: str, starter: Api, name: str, command: list[str], code: str
) -> None:
    path = WORKFLOWS.format(namespace=namespace)
    starter.ask("POST", path, workflow(name, *command))
    cluster.kubectl("--namespace", namespace, "wait", f"workflow/{name}", FAILED, IN_TIME)
    _, found = starter.ask("GET", f"{path}/{name}")
    (node,) = found["status"]["nodes"].values()
    assert node["outputs"]["exitCode"] == code
