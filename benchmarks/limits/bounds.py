"""What cannot be beaten: copying the same bytes, sending them there and back, a bare RPUSH."""

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from batching.ports import Group
from benchmarks.place import BenchmarkFailed

START_SECONDS = 30.0
PIECE = 2**18


def copy(bodies: Sequence[bytes]) -> None:
    """Copy each body into memory that is there already."""
    target = memoryview(bytearray(max(map(len, bodies))))
    for body in bodies:
        target[: len(body)] = body


class Echo:
    """A process that sends back what it gets, over a unix socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, body: bytes) -> None:
        """Send a body, and wait until it has come back."""
        self._writer.write(body)
        await self._reader.readexactly(len(body))

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@asynccontextmanager
async def echo(folder: Path) -> AsyncIterator[Echo]:
    """Start the process, and end it."""
    path, spawn = folder / "echo.sock", multiprocessing.get_context("spawn")
    ready = spawn.Event()
    process = spawn.Process(target=_serve, args=(str(path), ready))
    process.start()
    try:
        if not await asyncio.to_thread(ready.wait, START_SECONDS):
            raise BenchmarkFailed("the process that echoes did not start")
        line = Echo(*await asyncio.open_unix_connection(path, limit=PIECE))
        yield line
        line.close()
    finally:
        process.terminate()
        process.join()


def _serve(path: str, ready: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while body := await reader.read(PIECE):
            writer.write(body)
            await writer.drain()
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_unix_server(answer, path, limit=PIECE)
        ready.set()
        await server.serve_forever()

    asyncio.run(serve())


async def push(client: Any, appends: Iterable[Sequence[Group]]) -> None:
    """Push what each append brings, one pipeline an append, and nothing else."""
    for groups in appends:
        async with client.pipeline(transaction=False) as pipeline:
            for group in groups:
                pipeline.rpush(f"bound:{group.key.text()}", b"".join(group.bodies))
            await pipeline.execute()
