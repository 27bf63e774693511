"""What a service account may not do, it cannot do."""

import http.client

import pytest

from tests.cluster.api import WORKFLOWS, Api
from tests.cluster.cluster import Cluster
from tests.cluster.test_workflows import workflow


@pytest.fixture
def path(namespace: str, starter: Api) -> str:
    """Give the path of Workflows in a namespace where there is one, `mine`."""
    path = WORKFLOWS.format(namespace=namespace)
    status, created = starter.ask("POST", path, workflow("mine", "true"))
    assert status == 201, created
    return path


def test_what_is_allowed_is_done(starter: Api, path: str) -> None:
    assert starter.ask("GET", f"{path}/mine")[0] == 200
    event = starter.first_event(path)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "mine")


@pytest.mark.parametrize(
    ("method", "more"), [("DELETE", "/mine"), ("PUT", "/mine"), ("GET", ""), ("DELETE", "")]
)
def test_what_is_not_allowed_is_refused(starter: Api, path: str, method: str, more: str) -> None:
    status, answer = starter.ask(method, path + more, workflow("mine", "true"))
    assert (status, answer["reason"]) == (http.client.FORBIDDEN, "Forbidden")
    assert starter.ask("GET", f"{path}/mine")[0] == 200


def test_rights_end_at_the_namespace(cluster: Cluster, starter: Api, path: str) -> None:
    assert "/namespaces/" in path
    for elsewhere in ("/api/v1/namespaces", WORKFLOWS.format(namespace="default")):
        assert starter.ask("POST", elsewhere, workflow("mine", "true"))[0] == http.client.FORBIDDEN
    assert cluster.get("workflows", "--namespace", "default")["items"] == []


def test_a_token_that_nobody_signed_is_nobody(cluster: Cluster, path: str) -> None:
    status, answer = Api("a.b.c", cluster.authority).ask("GET", f"{path}/mine")
    assert (status, answer["reason"]) == (http.client.UNAUTHORIZED, "Unauthorized")
