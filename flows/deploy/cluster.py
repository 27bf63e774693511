"""The namespace in which flows are deployed: reads and writes WorkflowTemplates and CronWorkflows.

Metaflow compiles with the `kubernetes` package, so that is what we ask with, too.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from batching.errors import LauncherRefused, LauncherUnavailable, SettingError

Json = dict[str, Any]
ANSWER_SECONDS = 15
_GROUP = {"group": "argoproj.io", "version": "v1alpha1"}
_PLURAL = {"WorkflowTemplate": "workflowtemplates", "CronWorkflow": "cronworkflows"}
_MISSING, _CONFLICT, _FORBIDDEN = 404, 409, 403


class Cluster:
    """One namespace of the cluster that a kubeconfig, or the pod we run in, leads to.

    Every call raises LauncherRefused where the API server says no, and LauncherUnavailable where
    it does not answer.
    """

    def __init__(self, namespace: str, kubeconfig: "str | None", context: "str | None") -> None:
        self.namespace = namespace
        try:
            config.load_config(config_file=kubeconfig, context=context)
        except (config.ConfigException, OSError) as error:
            raise SettingError(
                f"kubeconfig: {error}; name a file with --kubeconfig or KUBECONFIG, or write the"
                " deployment into a folder with --output"
            ) from error
        self._argo, self._core = client.CustomObjectsApi(), client.CoreV1Api()

    def get(self, kind: str, name: str) -> "Json | None":
        """Read an object; None if there is none."""
        with self._asking(f"get {kind} {name}"):
            try:
                found: Json = self._argo.get_namespaced_custom_object(
                    **self._place(kind), name=name, _request_timeout=ANSWER_SECONDS
                )
            except ApiException as error:
                if error.status == _MISSING and f'"{name}"' in str(error.body).replace("\\", ""):
                    return None
                raise
            return found

    def put(self, body: Json, old: "Json | None") -> None:
        """Create an object, or replace the one that was read, if it is still as it was."""
        kind, name = body["kind"], body["metadata"]["name"]
        with self._asking(f"{'create' if old is None else 'replace'} {kind} {name}"):
            if old is None:
                self._argo.create_namespaced_custom_object(
                    **self._place(kind), body=body, _request_timeout=ANSWER_SECONDS
                )
                return
            version = {"resourceVersion": old["metadata"]["resourceVersion"]}
            self._argo.replace_namespaced_custom_object(
                **self._place(kind),
                name=name,
                body={**body, "metadata": {**body["metadata"], **version}},
                _request_timeout=ANSWER_SECONDS,
            )

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; one that is gone is fine."""
        with self._asking(f"delete {kind} {name}"):
            try:
                self._argo.delete_namespaced_custom_object(
                    **self._place(kind), name=name, _request_timeout=ANSWER_SECONDS
                )
            except ApiException as error:
                if error.status != _MISSING:
                    raise

    def lacks_account(self, name: str) -> bool:
        """Tell whether a service account is missing; False where we may not look."""
        try:
            self._core.read_namespaced_service_account(
                name, self.namespace, _request_timeout=ANSWER_SECONDS
            )
        except ApiException as error:
            return bool(error.status == _MISSING)
        except urllib3.exceptions.HTTPError as error:
            raise LauncherUnavailable(f"the cluster does not answer: {error}") from error
        return False

    def _place(self, kind: str) -> "dict[str, str]":
        return {**_GROUP, "namespace": self.namespace, "plural": _PLURAL[kind]}

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        where = f"{what} in namespace {self.namespace}"
        try:
            yield
        except ApiException as error:
            raise LauncherRefused(f"{where}: {_why(error)}") from error
        except urllib3.exceptions.HTTPError as error:
            raise LauncherUnavailable(f"{where}: the cluster does not answer: {error}") from error


def _why(error: ApiException) -> str:
    if error.status == _CONFLICT:
        return "somebody deployed it meanwhile; look at what changes, and deploy again"
    if error.status == _MISSING:
        return "the namespace or Argo's own kinds are missing in this cluster"
    said = error.body if isinstance(error.body, str) else str(error.reason)
    try:
        said = str(json.loads(said)["message"])
    except (ValueError, KeyError, TypeError):
        said = str(error.reason)
    if error.status == _FORBIDDEN:
        return f"not allowed: {said}"
    return said
