"""The node itself: names and Services, limits, and programs that end and come back."""

import signal
from typing import Any

import pytest

from tests.cluster.api import WORKFLOWS, Api
from tests.cluster.cluster import Cluster
from tests.cluster.test_workflows import IN_TIME, SUCCEEDED, workflow

IMAGE = {"image": "localhost/pause:latest", "imagePullPolicy": "Never"}


def pod(name: str, *command: str, **more: Any) -> dict[str, Any]:
    container = {"name": "main", **IMAGE, "command": ["/bin/busybox", *command], **more}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }


def create(cluster: Cluster, namespace: str, body: dict[str, Any]) -> None:
    cluster.kubectl("--namespace", namespace, "create", "--filename", "-", given=body)


def test_a_pod_finds_a_service_by_name_and_reaches_the_pod_behind_it(
    cluster: Cluster, namespace: str
) -> None:
    probe = {"httpGet": {"path": "/hosts", "port": 8080}, "periodSeconds": 1}
    serve = ("httpd", "-f", "-p", "8080", "-h", "/etc")
    create(cluster, namespace, pod("web", *serve, readinessProbe=probe))
    ports = [{"port": 80, "targetPort": 8080}]
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    create(cluster, namespace, {**service, "spec": {"selector": {"app": "web"}, "ports": ports}})
    cluster.kubectl("--namespace", namespace, "wait", "pod/web", "--for=condition=Ready", IN_TIME)
    address = cluster.get("service", "web", "--namespace", namespace)["spec"]["clusterIP"]
    for name, command in (
        ("asks", ("nslookup", f"web.{namespace}.svc.cluster.local")),
        ("visits", ("wget", "-q", "-O", "-", f"http://{address}/hosts")),
    ):
        create(cluster, namespace, pod(name, *command))
        cluster.kubectl("--namespace", namespace, "wait", f"pod/{name}", SUCCEEDED, IN_TIME)
    assert address in cluster.kubectl("--namespace", namespace, "logs", "asks")
    assert "web" in cluster.kubectl("--namespace", namespace, "logs", "visits")


def test_a_pod_above_its_memory_is_ended(cluster: Cluster, namespace: str) -> None:
    limits = {"limits": {"memory": "16Mi"}}
    eats = ("sh", "-c", "x=a; while :; do x=$x$x; done")
    create(cluster, namespace, pod("eats", *eats, resources=limits))
    cluster.kubectl(
        *("--namespace", namespace, "wait", "pod/eats"),
        *("--for=jsonpath={.status.phase}=Failed", IN_TIME),
    )
    (state,) = cluster.get("pod", "eats", "--namespace", namespace)["status"]["containerStatuses"]
    assert state["state"]["terminated"]["reason"] == "OOMKilled"


@pytest.mark.alone
def test_a_workflow_goes_on_when_its_controller_comes_back(
    cluster: Cluster, namespace: str, starter: Api
) -> None:
    cluster.stop("workflow-controller", signal.SIGKILL)
    try:
        body = workflow("waits", "true")
        status, created = starter.ask("POST", WORKFLOWS.format(namespace=namespace), body)
        assert (status, created.get("status")) == (201, None)
    finally:
        cluster.start("workflow-controller")
    cluster.kubectl("--namespace", namespace, "wait", "workflow/waits", SUCCEEDED, IN_TIME)
