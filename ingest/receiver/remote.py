"""A source whose SDK runs in a process of its own; see `ingest.source` for what it gives.

The process is started with the first question, and again with the next one when it has died:
whoever was asking meets what a hub that is away gives, and asks again.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from batching.structured import structlog
from ingest.event import Event
from ingest.hub_facts import ANSWER_SECONDS, HubFacts, PartitionFacts, SourceUnavailable
from ingest.line import Line, packed, spawn, unpacked
from ingest.receiver.brief import Brief

MODULE = "ingest.receiver"
LISTS = 2  # of one partition that are on their way or in the handler, so that neither side waits
PATIENCE_SECONDS = ANSWER_SECONDS + 5.0  # the process itself gives up before
CLOSE_SECONDS = 3.0
log = structlog.get_logger()
Inbox = asyncio.Queue[tuple[str, Any]]


class _Life:
    """One process from its start to its end."""

    def __init__(self, process: asyncio.subprocess.Process, line: Line) -> None:
        self._process, self._line = process, line
        self._numbers = itertools.count()
        self._inboxes: dict[int, Inbox] = {}
        self._listening = asyncio.create_task(self._listen(), name="receiver")

    @property
    def pid(self) -> int:
        """Give the number of the process."""
        return self._process.pid

    @property
    def over(self) -> bool:
        """Tell whether it has ended."""
        return self._listening.done()

    @asynccontextmanager
    async def asked(self, what: str, *arguments: Any) -> AsyncIterator[tuple[int, Inbox]]:
        """Ask for something; its number, and where answers arrive."""
        number, inbox = next(self._numbers), Inbox()
        self._inboxes[number] = inbox
        try:
            await self.tell(number, what, *arguments)
            if self.over:
                raise SourceUnavailable("the receiver has ended")
            yield number, inbox
        finally:
            self._inboxes.pop(number)

    async def tell(self, number: int, what: str, *arguments: Any) -> None:
        """Say something; a process that has ended does not hear it."""
        with suppress(OSError):
            await self._line.send_bytes(packed((number, what, *arguments)))

    async def _listen(self) -> None:
        async for body in self._line.bodies():
            number, kind, given = unpacked(body)
            if number in self._inboxes:
                self._inboxes[number].put_nowait((kind, given))
        code = await self._process.wait()
        for inbox in self._inboxes.values():
            inbox.put_nowait(("unavailable", f"the receiver has ended, with exit code {code}"))

    async def end(self, *, at_once: bool = False) -> None:
        """End it, in order if it can."""
        await self._line.close()
        if not at_once:
            await asyncio.wait({self._listening}, timeout=CLOSE_SECONDS)
        if not self.over:
            self._process.kill()
            await self._listening


class RemoteSource:
    """One hub and consumer group, as `ingest.source.Source`, whose events come in plain values."""

    def __init__(self, brief: Brief) -> None:
        self._brief = brief
        self._life: _Life | None = None
        self._changing, self._closed = asyncio.Lock(), False

    @property
    def pid(self) -> int | None:
        """Give the number of the process; None while there is none."""
        return None if self._life is None else self._life.pid

    async def begin(self) -> None:
        """Start the process; without this the first question does."""
        await self._alive()

    async def facts(self) -> HubFacts:
        """Ask the hub; see `Source.facts`."""
        facts: HubFacts = await self._ask("facts")
        return facts

    async def partition(self, partition: str) -> PartitionFacts:
        """Ask about one partition; see `Source.partition`."""
        facts: PartitionFacts = await self._ask("partition", partition)
        return facts

    async def receive(
        self,
        partition: str,
        after: Callable[[], int],
        handler: Callable[[Sequence[Event]], Awaitable[None]],
        *,
        at_most: int | None = None,
    ) -> None:
        """Receive events after a sequence number; see `Source.receive`."""
        life = await self._alive()
        async with life.asked("receive", partition, after(), at_most) as (number, inbox):
            try:
                while True:
                    kind, given = await inbox.get()
                    if kind == "unavailable":
                        raise SourceUnavailable(given)
                    if kind == "given":
                        return
                    await handler(given)
                    await life.tell(number, "taken")
            finally:
                await life.tell(number, "cancel")

    async def renew(self) -> None:
        """Begin anew with a new process: whatever answered until now has fallen silent."""
        await self._end(at_once=True)

    async def close(self) -> None:
        """End the process; from now on there is none to be asked."""
        self._closed = True
        await self._end()

    async def _ask(self, what: str, *arguments: str) -> Any:
        life = await self._alive()
        async with life.asked(what, *arguments) as (_, inbox):
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    kind, given = await inbox.get()
            except TimeoutError:
                log.error("the receiver does not answer, ending it", asked=what)
                await life.end(at_once=True)
                raise SourceUnavailable("the receiver did not answer, and was ended") from None
        if kind == "unavailable":
            raise SourceUnavailable(given)
        return given

    async def _alive(self) -> _Life:
        async with self._changing:
            # An event loop that is ended with a process half started waits for it for ever.
            if self._closed:
                raise SourceUnavailable("the receiver is closed")
            if self._life is None or self._life.over:
                self._life = _Life(*await spawn(MODULE, self._brief))
                log.info("receiver started", pid=self._life.pid)
            return self._life

    async def _end(self, *, at_once: bool = False) -> None:
        async with self._changing:
            if self._life is not None:
                await self._life.end(at_once=at_once)
            self._life = None
