"""One process of a worker, from its start to its end, as its parent sees it."""

import asyncio
import itertools
from contextlib import suppress
from typing import Any

from batching.errors import BatchError, Transient
from ingest.line import Line, spawn
from ingest.workers.brief import Brief

MODULE = "ingest.workers"


class WorkerAway(Transient):
    """A worker cannot be asked: it is starting, has died, or does not answer."""


class Life:
    """A process that was spawned; its end is waited for by `ended`."""

    def __init__(self, number: int, process: asyncio.subprocess.Process, line: Line) -> None:
        self._number, self.process, self._line = number, process, line
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._failure: BatchError | None = None
        self._listening = asyncio.create_task(self._listen(), name=f"worker-{number}")

    @classmethod
    async def begin(cls, brief: Brief) -> "Life":
        """Spawn a worker and give it its brief."""
        process, line = await spawn(MODULE, brief)
        return cls(brief.number, process, line)

    @property
    def pid(self) -> int:
        """Give the number of the process."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Tell whether it has started and not ended."""
        return self._started.done() and not self._listening.done()

    @property
    def was_running(self) -> bool:
        """Tell whether it has started, ever."""
        return self._started.done()

    @property
    def failure(self) -> BatchError | None:
        """Give the error that it ended by, if that is one that a person is told."""
        return self._failure

    async def started(self) -> int:
        """Wait until it runs; give how many partitions the hub has.

        Raises:
            BatchError: it ended before; the error is its own if it told one.

        """
        either: set[asyncio.Future[Any]] = {self._started, self._listening}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._started.done():
            return self._started.result()
        code = await self.ended()
        raise self._failure or BatchError(
            f"worker {self._number} ended while it started, with exit code {code}; its log lines"
            " before this one say why"
        )

    async def ended(self) -> int:
        """Wait for its end; give the exit code, below zero if a signal ended it."""
        code = await self.process.wait()
        await self._listening  # what it said last
        await self._line.close()
        return code

    def terminate(self) -> None:
        """Ask it to end, if it has not."""
        with suppress(ProcessLookupError):
            self.process.terminate()

    async def ask(self, what: str, seconds: float | None = None) -> Any:
        """Ask for what a service answers; see `ingest.answers`.

        Raises:
            WorkerAway: it does not run, or there is no answer in time.
            Transient: it cannot do it now.

        """
        if not self.running:
            raise WorkerAway(f"worker {self._number} does not run")
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._line.send({"ask": number, "what": what})
                return await answer
        except (TimeoutError, OSError) as error:
            raise WorkerAway(f"worker {self._number} does not answer") from error
        finally:
            self._asked.pop(number, None)

    async def _listen(self) -> None:
        async for message in self._line.messages():
            if "started" in message:
                self._started.set_result(message["started"])
            elif "failed" in message:
                kind = Transient if message["again"] else BatchError
                self._failure = kind(message["failed"])
            elif (answer := self._asked.get(message["answer"])) is None or answer.done():
                continue  # whoever asked has gone
            elif "error" in message:
                answer.set_exception(Transient(f"worker {self._number}: {message['error']}"))
            else:
                answer.set_result(message["given"])
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(WorkerAway(f"worker {self._number} has ended"))
