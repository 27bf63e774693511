"""Starts each run as a Workflow of Argo, once under its name, and knows how it stands.

The name follows from the attempt, so the API server refuses a second Workflow (409) as long as
the first is there; afterwards the run's receipt and result keep it from being done twice. The
launcher itself remembers nothing: a service that starts later sees the same Workflows.
"""

import asyncio
from collections.abc import Mapping

from batching.adapters.argo.api import Api
from batching.adapters.argo.follower import Follower
from batching.adapters.argo.templates import Templates
from batching.adapters.argo.workflow import Pages, head_of, record_of, workflow
from batching.errors import LauncherRefused, LauncherUnavailable
from batching.metrics_argo import ArgoMetrics
from batching.ports import RunRequest, RunState


class ArgoLauncher:
    """Starts runs in one namespace for one store.

    Args:
        api: the namespace.
        store: id of the store; Workflows of others are left alone.
        templates: name of each job's WorkflowTemplate.
        pages: where people look at runs.

    """

    slots: int | None = None  # how many run at once is for jobs, and for the cluster

    def __init__(
        self,
        api: Api,
        store: str,
        templates: Mapping[str, str],
        metrics: ArgoMetrics,
        *,
        pages: Pages | None = None,
    ) -> None:
        self._api, self._store = api, store
        self._pages = Pages() if pages is None else pages
        self._follower = Follower(api, store, metrics)
        self._templates = Templates(api, templates, metrics)
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self) -> None:
        """Begin to follow, and to look for templates; an API server that is away is waited for."""
        for name, work in (
            ("argo-follow", self._follower.run()),
            ("argo-tell", self._follower.tell()),
            ("argo-templates", self._templates.run()),
        ):
            self._tasks.add(asyncio.create_task(work, name=name))

    @property
    def problems(self) -> list[str]:
        """Say what keeps runs from starting or from being seen; nothing if all is well."""
        dead = [f"{task.get_name()}: {task.exception()}" for task in self._tasks if task.done()]
        told = self._follower.problem
        return [*self._templates.problems, *([told] if told else []), *dead]

    async def start(self, request: RunRequest) -> bool:
        """Create the run's Workflow; False if it is there.

        Raises:
            LauncherBusy: the API server wants us to wait, or a quota is full.
            LauncherRefused: the template is missing, a right is, or the name is somebody else's.
            LauncherUnavailable: no answer; the Workflow may have been created.

        """
        template = await self._templates.require(request.job)
        body = workflow(request, store=self._store, template=template)
        if await self._api.create(body) is not None:
            return True
        await self._check_ours(request)
        return False

    async def _check_ours(self, request: RunRequest) -> None:
        """See that the Workflow of this name is this run's own."""
        found = await self._api.workflow(request.name)
        if found is None:
            raise LauncherUnavailable(f"start of {request.name}: it was there a moment ago")
        record = record_of(found)
        if record != request.record_uri:
            raise LauncherRefused(
                f"start of {request.name}: a Workflow of this name in namespace"
                f" {self._api.namespace} is not ours: it was made for {record or 'something else'},"
                f" this one for {request.record_uri}; delete it if nobody needs it"
            )

    async def state(self, name: str) -> RunState:
        """Tell how a run stands, as the watch says, or as the API server does where it is silent.

        Raises:
            LauncherBusy: the API server wants us to wait.
            LauncherUnavailable: no answer.

        """
        head = self._follower.head(name)
        if head is not None and (head.ended or self._follower.follows):
            return head.state
        found = await self._api.workflow(name)
        return RunState.GONE if found is None else head_of(found).state

    def where(self, name: str, flow: str) -> dict[str, str]:
        """Give a run's pages in the user interfaces."""
        return self._pages.of(self._api.namespace, name, flow)

    async def close(self) -> None:
        """Stop following and let go of connections; Workflows go on."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._api.close()
