"""Looks whether the WorkflowTemplates of all jobs are deployed, before a batch needs them.

The API server takes a Workflow whose template is missing; the controller then fails it, and an
attempt is used up. So each start looks first, and `run` looks all the time, for readiness.
"""

import asyncio
from collections.abc import Mapping

from batching.adapters.argo.api import Api
from batching.adapters.argo.workflow import takes_run
from batching.errors import BatchError, LauncherRefused
from batching.metrics_argo import ArgoMetrics
from batching.structured import structlog

LOOK_SECONDS = 30.0

log = structlog.get_logger()


class Templates:
    """The templates of one launcher's jobs.

    Args:
        api: the namespace in which they are.
        names: of the template of each job.

    """

    def __init__(self, api: Api, names: Mapping[str, str], metrics: ArgoMetrics) -> None:
        self._api, self._names, self._metrics = api, dict(names), metrics
        self._missing: dict[str, str] = {}  # why each cannot be used
        self._versions: dict[str, str] = {}  # that were looked into

    @property
    def problems(self) -> list[str]:
        """Say which templates are missing, or cannot be read."""
        return list(self._missing.values())

    async def require(self, job: str) -> str:
        """Give the name of a job's template, which is there.

        Raises:
            LauncherRefused: it is not deployed, or may not be looked for.
            LauncherBusy: the API server wants us to wait.
            LauncherUnavailable: the API server does not answer.

        """
        name = self._names[job]
        try:
            found = await self._api.template(name)
        except LauncherRefused as error:
            self._lack(name, str(error))
            raise
        if found is None:
            why = (
                f"WorkflowTemplate {name} is missing in namespace {self._api.namespace}: deploy the"
                f" flow of job {job}, or set the job's `template`"
            )
            self._lack(name, why)
            raise LauncherRefused(why)
        self._have(name)
        await self._look_into(name, str(found["metadata"]["resourceVersion"]))
        return name

    async def run(self) -> None:
        """Look for all of them again and again; to be cancelled."""
        while True:
            for job in self._names:
                try:
                    await self.require(job)
                except BatchError as error:
                    log.debug("looked for a template in vain", job=job, why=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def _look_into(self, name: str, version: str) -> None:
        """Say it if a template that was deployed since does not take a run record."""
        if self._versions.get(name) == version:
            return
        found = await self._api.template(name, whole=True)
        if found is None:
            return  # deleted just now: the next look says so
        self._versions[name] = str(found["metadata"]["resourceVersion"])
        if not takes_run(found):
            log.warning(
                "a template has no parameter run: its flow is started once for each run record,"
                " but is not told which one",
                template=name,
            )

    def _lack(self, name: str, why: str) -> None:
        if self._missing.get(name) != why:
            log.error("WorkflowTemplate cannot be used", template=name, why=why)
        self._missing[name] = why
        self._metrics.missing.set(len(self._missing))

    def _have(self, name: str) -> None:
        if self._missing.pop(name, None) is not None:
            log.info("WorkflowTemplate is there", template=name)
        self._metrics.missing.set(len(self._missing))
