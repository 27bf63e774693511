"""A worker's process: an ordinary service that is asked over its line, and ends with its parent."""

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

from batching import failpoints, interpreter
from batching.errors import BatchError, NotDrained, Transient
from batching.structured import structlog
from ingest import logs
from ingest.answers import Answers
from ingest.config import Settings
from ingest.hurry import Loop
from ingest.line import Line, first_bytes, unpacked
from ingest.service import serve
from ingest.stopping import leave_at_once, stop_on_signals
from ingest.workers.brief import Brief
from ingest.workers.families import spelled

FAILED, NOT_DRAINED = 2, 3  # exit codes, those of `headrace run`
log = structlog.get_logger()


class Desk:
    """Answers what the parent asks, as a port would."""

    def __init__(self, line: Line, stop: asyncio.Event) -> None:
        self._line, self._stop = line, stop
        self._answers: Answers | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def front(self, _: Settings, answers: Answers) -> "Desk":
        """Answer for a service from now on."""
        self._answers = answers
        return self

    async def start(self) -> int:
        """Give no port; see `ingest.answers`."""
        return 0

    async def close(self) -> None:
        """Go on answering: the parent asks until the end."""

    async def listen(self) -> None:
        """Answer until the parent is gone; then it is time to end, or high time."""
        async for message in self._line.messages():
            task = asyncio.create_task(self._answer(message["ask"], message["what"]))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        if self._stop.is_set():
            leave_at_once(signal.SIGTERM)
        log.warning("the parent is gone, stopping")
        self._stop.set()

    async def _answer(self, number: int, what: str) -> None:
        try:
            given = await self._ask(what)
        except BatchError as error:
            await self.tell(answer=number, error=str(error))
        except Exception as error:
            log.exception("an answer to the parent failed", asked=what)
            await self.tell(answer=number, error=f"{type(error).__name__}: {error}")
        else:
            await self.tell(answer=number, given=given)

    async def _ask(self, what: str) -> object:
        answers = self._answers
        if answers is None:
            raise Transient("it is starting")
        match what:
            case "silent":
                return await answers.silent()
            case "unready":
                return await answers.unready()
            case "metrics":
                return spelled(await answers.metrics())
            case "drain":
                return await answers.drain()
            case "leave":
                await answers.leave()
        return None

    def started(self, partitions: int) -> None:
        """Tell the parent that all runs, and how many partitions the hub has."""
        task = asyncio.create_task(self.tell(started=partitions))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def tell(self, **message: object) -> None:
        """Tell the parent; one that is gone does not hear it."""
        with suppress(OSError):
            await self._line.send(message)


async def work(brief: Brief, end: socket.socket) -> int:
    """Serve until told to stop, or until the parent is gone; give the exit code."""
    stop = asyncio.Event()
    stop_on_signals(stop, leave_at_once)
    desk = Desk(await Line.over(end), stop)
    listening = asyncio.create_task(desk.listen(), name="listen")
    try:
        await serve(
            brief.settings,
            stop,
            ready=desk.started,
            front=desk.front,
            siblings=brief.siblings,
        )
    except NotDrained as error:
        log.error("not drained", why=str(error))
        return NOT_DRAINED
    except BatchError as error:  # the parent tells it, once for all workers
        await desk.tell(failed=str(error), again=isinstance(error, Transient))
        return FAILED
    finally:
        listening.cancel()
    return 0


def main() -> int:
    """Take the brief from the line whose number is the only argument, and work by it."""
    end = socket.socket(fileno=int(sys.argv[1]))
    body = first_bytes(end)
    if not body:
        return 0  # the parent was gone before
    brief: Brief = unpacked(body)
    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    logs.configure(brief.settings.logs.format, brief.settings.logs.level, worker=brief.number)
    interpreter.settle()
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(work(brief, end))


if __name__ == "__main__":
    sys.exit(main())
