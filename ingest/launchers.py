"""What starts the runs of each job, from settings: processes of this machine, or Argo Workflows."""

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from batching import failpoints
from batching.adapters.local_launcher import LocalLauncher
from batching.errors import SettingError
from batching.metrics_argo import ArgoMetrics
from batching.ports import Launcher
from ingest.config import Settings

if TYPE_CHECKING:  # the extra `argo` need not be installed
    from batching.adapters.argo.api import Api

LOCAL, ARGO = "local", "argo"
FLOWS_CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"  # the one that Azure's own tools read too


class Launchers:
    """The launchers that jobs name, checked as far as that goes without a store.

    Raises:
        SettingError: a flow's file is missing, or the cluster's address or account are.

    """

    def __init__(self, settings: Settings, metrics: ArgoMetrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._runs = {name: run for name, (run, _) in settings.runs().items()}
        self._local = self._local_launcher()
        self._api = self._argo_api() if ARGO in self._named() else None

    def _named(self) -> set[str]:
        return {run.launcher for run in self._runs.values()}

    def _local_launcher(self) -> LocalLauncher:
        settings = self._settings
        flows = {run.flow for run in self._runs.values() if run.launcher == LOCAL}
        launcher = LocalLauncher(
            settings.data,
            {flow: settings.flow_file(flow) for flow in flows},
            processes=settings.local_runs,
            python=settings.interpreter,
            environment=_flows_sign_in(settings) | failpoints.passed_on(os.environ),
        )
        for flow in flows:
            launcher.check(flow)
        return launcher

    def _argo_api(self) -> "Api":
        try:
            from batching.adapters.argo.api import Api  # noqa: PLC0415, a third of a second
            from batching.adapters.argo.config import connect  # noqa: PLC0415
        except ImportError as error:
            raise SettingError(
                f"launcher: argo needs the extra argo, which is not installed here ({error}):"
                " pip install 'headrace[argo]'"
            ) from error
        argo = self._settings.argo
        return Api(connect(argo.kubeconfig, argo.context), argo.namespace, self._metrics)

    async def open(self, store: str, stack: AsyncExitStack) -> dict[str, Launcher]:
        """Give each job its launcher, for the store of this id.

        An API server that does not answer yet is waited for, beside all else.
        """
        opened: dict[str, Launcher] = {LOCAL: self._local}
        if self._api is not None:
            opened[ARGO] = await self._open_argo(self._api, store)
        for launcher in opened.values():
            stack.push_async_callback(launcher.close)
        return {job: opened[run.launcher] for job, run in self._runs.items()}

    async def _open_argo(self, api: "Api", store: str) -> Launcher:
        from batching.adapters.argo.launcher import ArgoLauncher  # noqa: PLC0415
        from batching.adapters.argo.workflow import Pages  # noqa: PLC0415

        argo = self._settings.argo
        templates = {job: run.deployed for job, run in self._runs.items() if run.launcher == ARGO}
        pages = Pages(argo.argo_ui, argo.metaflow_ui)
        launcher = ArgoLauncher(api, store, templates, self._metrics, pages=pages)
        launcher.open()
        return launcher


def _flows_sign_in(settings: Settings) -> dict[str, str]:
    """Let flows into the store by the connection string that the service uses, if it has one."""
    azure = settings.blobs.azure
    if azure is None or azure.connection_string is None or settings.blobs_folder is not None:
        return {}
    return {FLOWS_CONNECTION: azure.connection_string.get_secret_value()}
