"""A receiver's process: asks the hub and hands events over to its parent, and ends with it."""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from batching import interpreter
from batching.structured import structlog
from ingest import logs
from ingest.event import Event
from ingest.hub_facts import SourceUnavailable
from ingest.hurry import Loop
from ingest.line import Line, first_bytes, packed, unpacked
from ingest.receiver.brief import Brief
from ingest.receiver.remote import LISTS
from ingest.source import Source

log = structlog.get_logger()


class Desk:
    """Does what the parent asks, several things at once."""

    def __init__(self, line: Line, source: Source) -> None:
        self._line, self._source = line, source
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._rooms: dict[int, asyncio.Semaphore] = {}  # of what is received, for more lists

    async def listen(self) -> None:
        """Work until the parent is gone."""
        async for body in self._line.bodies():
            number, what, *arguments = unpacked(body)
            if what == "taken":
                if number in self._rooms:
                    self._rooms[number].release()
            elif what == "cancel":
                if number in self._tasks:
                    self._tasks[number].cancel()
            else:
                task = asyncio.create_task(self._answer(number, what, arguments))
                self._tasks[number] = task

    async def _answer(self, number: int, what: str, arguments: Sequence[Any]) -> None:
        try:
            await self._tell(number, "given", await self._do(number, what, arguments))
        except SourceUnavailable as error:
            await self._tell(number, "unavailable", str(error))
        except Exception as error:
            log.exception("receiving failed", asked=what)
            await self._tell(number, "unavailable", f"{type(error).__name__}: {error}")
        finally:
            del self._tasks[number]

    async def _do(self, number: int, what: str, arguments: Sequence[Any]) -> Any:
        match what:
            case "facts":
                return await self._source.facts()
            case "partition":
                return await self._source.partition(*arguments)
            case "receive":
                return await self._receive(number, *arguments)
        raise ValueError(f"nobody can be asked for {what}")

    async def _receive(self, number: int, partition: str, after: int, at_most: int | None) -> None:
        room = self._rooms[number] = asyncio.Semaphore(LISTS)

        async def hand_over(events: Sequence[Event]) -> None:
            await room.acquire()
            await self._tell(number, "events", events)

        # half of what may be here is in this process, the other half is handed over
        here = None if at_most is None else max(2, at_most // 2)
        try:
            await self._source.receive(partition, lambda: after, hand_over, at_most=here)
        finally:
            del self._rooms[number]

    async def _tell(self, number: int, kind: str, given: Any) -> None:
        await self._line.send_bytes(packed((number, kind, given)))


async def work(brief: Brief, end: socket.socket) -> None:
    """Receive until the parent is gone."""
    async with AsyncExitStack() as stack:
        address = brief.address
        if address.connection_string is None:
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415, half a second

            credential = await stack.enter_async_context(DefaultAzureCredential())
            address = replace(address, credential=credential)
        source = Source(address, prefetch=brief.prefetch, batch=brief.batch)
        await Desk(await Line.over(end), source).listen()
        os._exit(0)  # links that are still open end with it; an orderly end of theirs may hang


def main() -> int:
    """Take the brief from the line whose number is the only argument, and work by it."""
    end = socket.socket(fileno=int(sys.argv[1]))
    body = first_bytes(end)
    if body:
        brief: Brief = unpacked(body)
        logs.configure(brief.log_format, brief.log_level, process="receiver")
        interpreter.settle()
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(work(brief, end))
    return 0  # else the parent was gone before


if __name__ == "__main__":
    sys.exit(main())
