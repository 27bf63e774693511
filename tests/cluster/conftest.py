"""A real cluster for tests: up once a run, with a namespace for each test."""

import fcntl
import os
import re
from collections.abc import Iterator

import pytest

from tests.cluster import needs
from tests.cluster.api import Api
from tests.cluster.build import build, missing
from tests.cluster.cluster import Cluster
from tests.cluster.place import home
from tests.cluster.room import RBAC, binding, room

NAME = "CLUSTER_NAME"  # which cluster of the machine; a run that breaks things has one of its own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Give the cluster, built if need be; what was up stays up, ours ends with its last user."""
    lacking = needs.to_run() or (needs.to_build() if missing() else [])
    if lacking:
        pytest.skip("no cluster: " + "; ".join(lacking))
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        if terminal is None:  # a worker of xdist has none
            return
        with capture.global_and_fixture_disabled():
            terminal.write_line(f"cluster: {line}")

    cluster = Cluster(os.environ.get(NAME, "main"))
    build(tell)
    with (home() / f"users-{cluster.name}.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        if cluster.up(tell):
            cluster.of_tests.touch()
        yield cluster
        if cluster.of_tests.exists() and _last(users.fileno()):
            cluster.down()


def _last(users: int) -> bool:
    """Tell whether no other run of tests uses the cluster."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """Give a namespace, and put the test into the cluster's network.

    Its account `flow-runner` may do what the executor of a Workflow's step must. Servers that a
    test starts are in the same network: pods reach them at the node's address.
    """
    words = re.sub("[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))
    with room(cluster, words[:40].strip("-")) as name:
        yield name


@pytest.fixture
def starter(cluster: Cluster, namespace: str) -> Api:
    """Ask as an account that may create, get and watch Workflows here, and nothing else."""
    role = {"namespace": namespace, "name": "flow-starter"}
    rules = [
        {
            "apiGroups": ["argoproj.io"],
            "resources": ["workflows"],
            "verbs": ["create", "get", "watch"],
        }
    ]
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": role},
        {**RBAC, "kind": "Role", "metadata": role, "rules": rules},
        binding(role, "Role", "flow-starter"),
    ]
    cluster.create(*objects)
    return Api(cluster.token(namespace, "flow-starter"), cluster.authority)
