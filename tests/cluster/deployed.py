"""What flows on the cluster need beside a template: an image, a datastore, an account, a Secret.

The datastore is an Azurite in the cluster's network, signed in to as on AKS: by the tokens of a
managed identity, which an endpoint beside it hands out.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import ContainerClient

from flows.azure_store import API_VERSION
from tests.azurite import running_azurite
from tests.batching.adapters.argo_stage import account
from tests.cluster.cluster import Cluster
from tests.cluster.place import API, NODE_ADDRESS
from tests.identity import running_identity

SECRET, RUNNER, DEPLOYER = "metaflow-store", "flow-runner", "flow-deployer"
AUTHORITY_IN_PODS = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"
DEPLOYS = [
    {
        "apiGroups": ["argoproj.io"],
        "resources": ["workflowtemplates", "cronworkflows"],
        "verbs": ["get", "create", "update", "delete"],
    },
    {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get"]},
]


@dataclass(frozen=True)
class Lake:
    """A container in Azurite, and the variables with which a process of ours signs in to it."""

    url: str
    variables: dict[str, str]
    container: ContainerClient


@contextlib.contextmanager
def running_lake(cluster: Cluster, namespace: str, folder: Path) -> Iterator[Lake]:
    """Run Azurite where pods reach it, and tell them so in a Secret."""
    with contextlib.ExitStack() as stack:
        certificate = cluster.certificate()
        azurite = stack.enter_context(
            running_azurite(folder, host=NODE_ADDRESS, certificate=certificate)
        )
        signed_in = stack.enter_context(running_identity(NODE_ADDRESS, cluster.authority))
        container = stack.enter_context(
            ContainerClient(
                azurite.endpoint,
                f"flows-{uuid.uuid4().hex}",
                credential=AzureNamedKeyCredential(azurite.account, azurite.key),
                connection_verify=str(cluster.authority),
                api_version=API_VERSION,
            )
        )
        container.create_container()
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"namespace": namespace, "name": SECRET},
            "stringData": {**signed_in, "REQUESTS_CA_BUNDLE": AUTHORITY_IN_PODS},
        }
        cluster.kubectl("create", "--filename", "-", given=secret)
        yield Lake(container.url, signed_in, container)


def metaflow(lake: Lake, kubeconfig: Path, home: Path) -> dict[str, str]:
    """Give the environment of somebody who deploys with Metaflow to the test cluster."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("METAFLOW_", "HEADRACE_"))}
    account, _, container = lake.url.rpartition("/")
    return {
        **kept,
        **lake.variables,
        "KUBECONFIG": str(kubeconfig),
        "METAFLOW_HOME": str(home),
        "METAFLOW_USER": "ann",
        "METAFLOW_DEFAULT_DATASTORE": "azure",
        "METAFLOW_AZURE_STORAGE_BLOB_SERVICE_ENDPOINT": account,
        "METAFLOW_DATASTORE_SYSROOT_AZURE": f"{container}/metaflow",
        "METAFLOW_KUBERNETES_SERVICE_ACCOUNT": RUNNER,
        "METAFLOW_KUBERNETES_SECRETS": SECRET,  # how pods sign in here; on AKS: workload identity
        "METAFLOW_KUBERNETES_IMAGE_PULL_POLICY": "Never",
    }


def kubeconfig_of_deployer(cluster: Cluster, namespace: str, path: Path) -> Path:
    """Write a kubeconfig of an account with the rights that the how-to names, and no others."""
    return kubeconfig_of(cluster, namespace, path, DEPLOYER, DEPLOYS)


def kubeconfig_of(
    cluster: Cluster, namespace: str, path: Path, name: str, rules: list[dict[str, Any]]
) -> Path:
    """Make an account with rights in its namespace, and write its kubeconfig."""
    cluster.create(*account(namespace, name, rules))
    token = cluster.token(namespace, name)
    path.write_text(_KUBECONFIG.format(server=API, authority=cluster.authority, token=token))
    return path


_KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{server}", certificate-authority: "{authority}"}}}}]
users: [{{name: somebody, user: {{token: "{token}"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: somebody}}}}]
current-context: test
"""
