"""A namespace for one test or one measurement, with the account that pods of Workflows have."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.cluster.cluster import Cluster

RBAC = {"apiVersion": "rbac.authorization.k8s.io/v1"}


@contextmanager
def room(cluster: Cluster, words: str) -> Iterator[str]:
    """Make a namespace whose name begins with words, and put this thread into its network."""
    name = f"{words}-{secrets.token_hex(3)}"
    cluster.create(*_furniture(name))
    try:
        with cluster.network():
            yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _furniture(namespace: str) -> Iterator[Any]:
    runner = {"namespace": namespace, "name": "flow-runner"}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": runner}
    yield binding(runner, "ClusterRole", "argo-executor")


def binding(account: dict[str, str], kind: str, role: str) -> Any:
    """Give an account a role."""
    return {
        **RBAC,
        "kind": "RoleBinding",
        "metadata": account,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", **account}],
    }
