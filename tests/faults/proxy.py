"""A TCP proxy with the faults of a network: slow, cut, silent, refusing, moved elsewhere.

It knows no protocol, so it stands before Redis and before a hub alike. Faults are attributes,
changed while connections live; what is held back in silence is delivered when it ends, as TCP
would.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from tests.faults.loop import Loop

PIECE_BYTES = 65_536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens on a port of its own and passes everything on to `target`."""

    def __init__(self, target: int, *, seed: int = 0) -> None:
        self.target = target
        self.latency_seconds = 0.0  # of each piece, in both directions
        self.cut_after_bytes: int | None = None  # of answers, at most; then the line is cut
        self.connections = 0  # made so far
        self._random = Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = Loop()
        self._server: asyncio.Server | None = None
        self.port = 0
        self._loop.run(self._begin())

    async def _begin(self) -> None:
        self._speaking = asyncio.Event()
        self._speaking.set()
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _speak(self, *, aloud: bool) -> None:
        (self._speaking.set if aloud else self._speaking.clear)()

    def cut(self) -> None:
        """End every connection at once, as a router that was restarted would."""
        self._loop.run(self._cut())

    def refuse(self) -> None:
        """Cut, and let nobody connect until `accept`."""
        self._loop.run(self._deafen())

    def accept(self) -> None:
        """Listen again on the same port."""
        self._loop.run(self._listen())

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.refuse()
        try:
            yield
        finally:
            self.accept()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Take connections and bytes, and pass nothing on: a blackhole."""
        self._loop.run(self._speak(aloud=False))
        try:
            yield
        finally:
            self._loop.run(self._speak(aloud=True))

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        self.latency_seconds = seconds
        try:
            yield
        finally:
            self.latency_seconds = 0.0

    @contextmanager
    def cutting(self, after_bytes: int) -> Iterator[None]:
        """Cut each connection after a random number of bytes of answers, again and again."""
        self.cut_after_bytes = after_bytes
        self.cut()
        try:
            yield
        finally:
            self.cut_after_bytes = None

    def move(self, target: int) -> None:
        """Lead to another server from now on."""
        self.target = target
        self.cut()

    def close(self) -> None:
        self._loop.run(self._deafen())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(onward)
            limit = self.cut_after_bytes
            left = None if limit is None else self._random.randint(1, limit)
            ways = [
                asyncio.ensure_future(self._pass(reader, onward, None)),
                asyncio.ensure_future(self._pass(back, writer, left)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
        except OSError:
            pass  # nobody listens behind us: the client is cut off, too
        finally:
            for each in (writer, onward):
                if each is not None:
                    self._writers.discard(each)
                    each.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(PIECE_BYTES):
                if self.latency_seconds:
                    await asyncio.sleep(self.latency_seconds)
                await self._speaking.wait()
                if left is not None:
                    data, left = data[:left], left - len(data)
                writer.write(data)
                await writer.drain()
                if left is not None and left <= 0:
                    return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
