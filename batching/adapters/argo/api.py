"""The Kubernetes API as runs need it: five calls, each under a time limit.

While the API server is known to be silent, or has asked us to wait, calls are answered here, so
that fifty runs do not ask in vain one by one.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, cast

import httpx2
import msgspec
from lightkube.core.exceptions import ConfigError
from lightkube.core.generic_client import BasicRequest, GenericAsyncClient
from lightkube.generic_resource import create_namespaced_resource

from batching.adapters.argo.answers import (
    EXISTS,
    NOT_FOUND,
    Refused,
    Trouble,
    judge,
    named,
    refusal,
    refused_by,
)
from batching.errors import LauncherBusy, LauncherRefused, LauncherUnavailable
from batching.metrics_argo import ArgoMetrics
from batching.structured import structlog

CALL_SECONDS = 10.0
REST_SECONDS, LONGEST_REST_SECONDS = 1.0, 60.0
WATCH_SECONDS = 300  # then the server ends a watch, and another goes on from there
SILENT_SECONDS = 90.0  # of a watch: a server that lives sends a bookmark each minute
TELL_SECONDS = 60.0
GOODBYE_SECONDS = 1.0  # for calls under way when we close
PAGE = 500  # objects in one answer to a list
# only the heads of Workflows, which have the phase as a label: a status may have a megabyte
HEAD = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
HEADS = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
WORKFLOWS: Any = create_namespaced_resource("argoproj.io", "v1alpha1", "Workflow", "workflows")
TEMPLATES: Any = create_namespaced_resource(
    "argoproj.io", "v1alpha1", "WorkflowTemplate", "workflowtemplates"
)
Json = dict[str, Any]
log = structlog.get_logger()
_FAILURES = (httpx2.HTTPError, TimeoutError, OSError, ConfigError, ValueError)


class Api:
    """Workflows and WorkflowTemplates of one namespace.

    Calls raise LauncherUnavailable when there is no answer, or one of trouble: they may have been
    applied; LauncherBusy when the server wants us to wait: nothing was done; LauncherRefused when
    an operator must correct something first.
    """

    def __init__(
        self,
        client: GenericAsyncClient,
        namespace: str,
        metrics: ArgoMetrics,
        *,
        call_seconds: float = CALL_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
        watch_seconds: int = WATCH_SECONDS,
    ) -> None:
        self._client: Any = client  # some of it has no types
        self.namespace, self._metrics = namespace, metrics
        self._call_seconds, self._silent_seconds = call_seconds, silent_seconds
        self._watch_seconds = watch_seconds
        self._resting: tuple[float, Trouble] | None = None
        self._sending: set[asyncio.Task[httpx2.Response]] = set()
        self._told_at = -math.inf

    async def create(self, body: Json) -> Json | None:
        """Create a Workflow; None if there is one of its name."""
        request = self._client.prepare_request(
            "post", obj=WORKFLOWS(body), namespace=self.namespace
        )
        what = f"start of {body['metadata']['name']}"
        try:
            return await self._call("create", what, request)
        except Refused as refused:
            if refused.reason == EXISTS:
                return None
            raise self._judged(what, refused) from refused

    async def workflow(self, name: str, *, whole: bool = False) -> Json | None:
        """Read a Workflow, or its head alone; None if there is none."""
        return await self._get("get", WORKFLOWS, name, {} if whole else {"Accept": HEAD})

    async def template(self, name: str, *, whole: bool = False) -> Json | None:
        """Read a WorkflowTemplate, or its head alone; None if there is none."""
        return await self._get("template", TEMPLATES, name, {} if whole else {"Accept": HEAD})

    async def _get(self, call: str, kind: Any, name: str, headers: Json) -> Json | None:
        request = self._client.prepare_request(
            "get", kind, name=name, namespace=self.namespace, headers=headers
        )
        what = f"look for {name}"
        try:
            return await self._call(call, what, request)
        except Refused as refused:
            if refused.reason == NOT_FOUND and _names(refused, name):
                return None
            raise self._judged(what, refused) from refused

    async def workflows(self, selector: str) -> tuple[list[Json], str]:
        """List the heads of Workflows, and give the version from which a watch goes on."""
        found: list[Json] = []
        params: Json = {"labelSelector": selector, "limit": str(PAGE)}
        while True:
            request = self._client.prepare_request(
                "list",
                WORKFLOWS,
                namespace=self.namespace,
                params=params,
                headers={"Accept": HEADS},
            )
            try:
                page = await self._call("list", "list of Workflows", request)
            except Refused as refused:
                raise self._judged("list of Workflows", refused) from refused
            found += page.get("items") or []
            if not page["metadata"].get("continue"):
                return found, str(page["metadata"]["resourceVersion"])
            params = {**params, "continue": page["metadata"]["continue"]}

    @asynccontextmanager
    async def watch(self, selector: str, version: str) -> AsyncIterator[AsyncIterator[Json]]:
        """Follow the heads of Workflows from a version on; the body begins once that is so.

        Raises:
            Refused: the version is too old (410), or the server gave this watch up.

        """
        params = {
            "labelSelector": selector,
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(self._watch_seconds),
        }
        request = self._client.prepare_request(
            "list",
            WORKFLOWS,
            namespace=self.namespace,
            watch=True,
            params=params,
            headers={"Accept": HEAD},
        )
        request.timeout = httpx2.Timeout(self._call_seconds, read=self._silent_seconds)
        response: httpx2.Response | None = None
        try:
            response = await self._begin(request)
            async with aclosing(_events(response)) as events:
                yield events
        except _FAILURES as error:
            raise LauncherUnavailable(f"watch of Workflows: {_spelled(error)}") from error
        finally:
            if response is not None:
                await response.aclose()

    async def _begin(self, request: BasicRequest) -> httpx2.Response:
        """Send a request whose answer goes on, and see that it begins well."""
        self._rest()
        response = await self._send(request, stream=True)
        async with asyncio.timeout(self._call_seconds):
            self._metrics.calls.labels("watch", named(response.status_code)).inc()
            if response.is_success:
                return response
            try:
                await response.aread()
            finally:
                await response.aclose()
        refused = refused_by(response)
        if refused.code == HTTPStatus.GONE:
            raise refused
        raise self._judged("watch of Workflows", refused)

    async def close(self) -> None:
        """Let calls under way come to their end, then let go of connections."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=GOODBYE_SECONDS)
        for task in self._sending:
            task.cancel()
        await self._client.close()

    async def _call(self, call: str, what: str, request: BasicRequest) -> Json:
        self._rest()
        try:
            response = await self._send(request)
            answer: Json = response.json() if response.is_success else {}
        except _FAILURES as error:
            self._metrics.calls.labels(call, "silent").inc()
            trouble = LauncherUnavailable(f"{what}: {_spelled(error)}")
            self._rest_for(REST_SECONDS, trouble)
            raise trouble from error
        self._metrics.calls.labels(call, named(response.status_code)).inc()
        if not response.is_success:
            raise refused_by(response)
        return answer

    async def _send(self, request: BasicRequest, *, stream: bool = False) -> httpx2.Response:
        """Wait for an answer as long as we do; the call itself ends by limits of the client.

        One that is cancelled while it shakes hands for TLS would leave its socket open: the
        client closes it where its own time is over, and only there.
        """
        made = self._client.build_adapter_request(request)
        task = asyncio.ensure_future(self._client.send(made, stream=stream))
        self._sending.add(task)
        task.add_done_callback(self._sent)
        done, _ = await asyncio.wait({task}, timeout=self._call_seconds)
        if not done:
            raise TimeoutError
        return cast("httpx2.Response", task.result())

    def _sent(self, task: "asyncio.Task[httpx2.Response]") -> None:
        self._sending.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be waiting for it any more

    def _rest(self) -> None:
        """Answer in the server's place while it is known to be silent, or wants us to wait."""
        if self._resting is None:
            return
        until, trouble = self._resting
        if asyncio.get_running_loop().time() < until:
            raise type(trouble)(str(trouble))
        self._resting = None

    def _rest_for(self, seconds: float, trouble: Trouble) -> None:
        now = asyncio.get_running_loop().time()
        self._resting = now + min(seconds, LONGEST_REST_SECONDS), trouble

    def _judged(self, what: str, refused: Refused) -> Trouble:
        judged = judge(what, self.namespace, refused)
        if isinstance(judged, LauncherBusy):
            self._tell(judged)
            if refused.wait_seconds is None:
                return judged  # a quota, which is full for creations alone
        if not isinstance(judged, LauncherRefused):
            self._rest_for(refused.wait_seconds or REST_SECONDS, judged)
        return judged

    def _tell(self, busy: LauncherBusy) -> None:
        """Say it now and then that the cluster takes no more, which is no error."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at > TELL_SECONDS:
            self._told_at = now
            log.warning("the cluster takes no run now, trying again", why=str(busy))


async def _events(response: httpx2.Response) -> AsyncGenerator[Json, None]:
    async for line in response.aiter_lines():
        event: Json = msgspec.json.decode(line)
        if event["type"] == "ERROR":
            raise refusal(int(event["object"].get("code") or 0), event["object"])
        yield event


def _names(refused: Refused, name: str) -> bool:
    """Tell whether it is this object that is missing, and not its kind or the namespace."""
    return f'"{name}"' in refused.message


def _spelled(error: Exception) -> str:
    """Name an error, which may have no text, as time-outs have none."""
    text = str(error)
    return f"the API server: {text}" if text else f"no answer ({type(error).__name__})"
