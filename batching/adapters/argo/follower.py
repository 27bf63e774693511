"""Knows how every Workflow of a store stands, by a list and a watch that goes on from it.

Nothing here is kept: what was missed while the service or the API server was away is in the next
list. A watch that ends goes on from the last version seen; where the server no longer has that
one (410), everything is listed anew.
"""

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus

from batching.adapters.argo.answers import Refused
from batching.adapters.argo.api import Api
from batching.adapters.argo.workflow import Head, Json, course_of, head_of, selector
from batching.errors import BatchError
from batching.metrics_argo import ArgoMetrics
from batching.structured import structlog

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.2, 10.0
SHORT_SECONDS = 1.0  # a watch that ends sooner is no good: wait before the next
LATE_SECONDS = 30.0  # without a watch for so long, it is told
_LEVELS = {"ended": logging.DEBUG, "gone": logging.INFO, "broken": logging.WARNING}

log = structlog.get_logger()


class Follower:
    """Follows the Workflows of one store; `run` does so for ever."""

    def __init__(self, api: Api, store: str, metrics: ArgoMetrics) -> None:
        self._api, self._selector, self._metrics = api, selector(store), metrics
        self._heads: dict[str, Head] = {}
        self._version: str | None = None  # up to which everything is known; None: list anew
        self._ended: asyncio.Queue[Head] = asyncio.Queue()
        self._broken: tuple[float, str] | None = (0.0, "not looked yet")
        self._count = {"pending": 0, "running": 0}

    @property
    def follows(self) -> bool:
        """Tell whether every change is being told."""
        return self._broken is None

    @property
    def problem(self) -> str | None:
        """Say why nothing has been told for a while, None if that is not so."""
        if self._broken is None:
            return None
        since, why = self._broken
        late = asyncio.get_running_loop().time() - since > LATE_SECONDS
        return f"runs on Argo are not followed: {why}" if late else None

    def head(self, name: str) -> Head | None:
        """Give what is known of a Workflow; None if nothing is."""
        return self._heads.get(name)

    async def run(self) -> None:
        """Follow, whatever the API server does; to be cancelled."""
        loop = asyncio.get_running_loop()
        self._broken = loop.time(), "the API server has not answered yet"
        why, wait = "start", FIRST_WAIT_SECONDS
        while True:
            began = loop.time()
            why, trouble = await self._follow(why)
            since = loop.time() if self._broken is None else self._broken[0]
            self._broken = since, trouble
            self._metrics.following.set(0)
            if loop.time() - began > SHORT_SECONDS:
                wait = FIRST_WAIT_SECONDS
                if why == "ended":
                    continue
            log.log(_LEVELS[why], "following Workflows anew", why=trouble, wait_seconds=wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    async def _follow(self, why: str) -> tuple[str, str]:
        """Follow until the watch ends; give why, in a word and in a sentence."""
        try:
            if self._version is None:
                found, version = await self._api.workflows(self._selector)
                self._replace(head_of(each) for each in found)
                self._version = version
            async with self._api.watch(self._selector, self._version) as events:
                self._broken = None
                self._metrics.following.set(1)
                self._metrics.begun.labels(why).inc()
                async for event in events:
                    self._see(event["type"], event["object"])
        except Refused as refused:
            self._version = None
            gone = refused.code == HTTPStatus.GONE
            return "gone" if gone else "broken", f"{refused.message} ({refused.code})"
        except BatchError as error:
            return "broken", str(error)
        return "ended", "the watch came to its end"

    def _see(self, kind: str, found: Json) -> None:
        self._version = str(found["metadata"]["resourceVersion"])
        if kind == "DELETED":
            self._forget(str(found["metadata"]["name"]))
        elif kind != "BOOKMARK":
            self._take(head_of(found))

    def _replace(self, heads: Iterable[Head]) -> None:
        """Take in a whole list: what it lacks is gone."""
        listed = {head.name: head for head in heads}
        for name in self._heads.keys() - listed.keys():
            self._forget(name)
        for head in listed.values():
            self._take(head)

    def _take(self, head: Head) -> None:
        old = self._heads.get(head.name)
        self._heads[head.name] = head
        self._tally(old, head)
        if old is None or old.ended:
            return
        if head.ended:
            self._ended.put_nowait(head)
        elif head.begun and not old.begun:
            log.info("run begun on the cluster", job=head.job, name=head.name)

    def _forget(self, name: str) -> None:
        old = self._heads.pop(name, None)
        self._tally(old, None)
        if old is not None and not old.ended:
            log.warning("Workflow was deleted before its end", job=old.job, name=name)

    def _tally(self, old: Head | None, new: Head | None) -> None:
        for head, step in ((old, -1), (new, 1)):
            if head is not None and not head.ended:
                self._count["running" if head.begun else "pending"] += step
        for state, count in self._count.items():
            self._metrics.workflows.labels(state).set(count)

    async def tell(self) -> None:
        """Tell how each Workflow went that was seen to end; to be cancelled."""
        while True:
            head = await self._ended.get()
            try:
                found = await self._api.workflow(head.name, whole=True)
            except BatchError as error:
                log.debug("nobody says how a Workflow went", name=head.name, why=str(error))
                continue
            if found is not None:
                self._tell(head, found)

    def _tell(self, head: Head, found: Json) -> None:
        course = course_of(found)
        if course.wait_seconds is not None:
            self._metrics.wait.labels(head.job).observe(course.wait_seconds)
        if course.took_seconds is not None:
            self._metrics.duration.labels(head.job, head.phase).observe(course.took_seconds)
        log.info(
            "run ended on the cluster",
            job=head.job,
            name=head.name,
            phase=head.phase,
            message=course.message,
            waited_seconds=course.wait_seconds,
            took_seconds=course.took_seconds,
        )
