"""The line between a process and one that it has started: messages over a pair of sockets.

Nobody else has its ends, and the kernel closes them with their process, however it ends: so each
side learns of the other's death by the line's end, and nothing is left behind to be cleaned up.
"""

import asyncio
import json
import pickle
import socket
import struct
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

_HEAD = struct.Struct("!I")  # bytes of the message that follows


class Line:
    """One end of the line; messages are bytes, or mappings of JSON values."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._sending = asyncio.Lock()

    @classmethod
    async def over(cls, end: socket.socket) -> "Line":
        """Take one end of a pair of sockets."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a message.

        Raises:
            OSError: the other side is gone.

        """
        await self.send_bytes(json.dumps(message).encode())

    async def send_bytes(self, body: bytes) -> None:
        """Send bytes as they are, for who reads them by `bodies` or `first_bytes`.

        Raises:
            OSError: the other side is gone.

        """
        async with self._sending:
            self._writer.writelines((_HEAD.pack(len(body)), body))
            await self._writer.drain()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Give what the other side sends, until it is gone."""
        async for body in self.bodies():
            yield json.loads(body)

    async def bodies(self) -> AsyncIterator[bytes]:
        """Give what the other side sends, as bytes, until it is gone."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (size,) = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                yield await self._reader.readexactly(size)

    async def close(self) -> None:
        """Let go."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


async def spawn(module: str, brief: object) -> tuple[asyncio.subprocess.Process, Line]:
    """Run a module of ours in a new process, with its end of a line as its argument.

    Args:
        module: its name; it takes the number of an open socket.
        brief: what it is told first, which it reads by `first_bytes` and `unpacked`.

    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            str(theirs.fileno()),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C at the terminal is for the parent alone
        )
    line = await Line.over(ours)
    with suppress(OSError):  # it has ended already, which whoever waits for it is told
        await line.send_bytes(packed(brief))
    return process, line


def packed(what: object) -> bytes:
    """Give objects of ours as bytes, with the secrets in them: for the line alone."""
    return pickle.dumps(what)


def unpacked(body: bytes) -> Any:
    """Read what `packed` gave; it comes from our own program, over sockets that nobody else has."""
    return pickle.loads(body)  # noqa: S301 see above


def first_bytes(end: socket.socket) -> bytes:
    """Wait for what the other side sends first; empty if it is gone before."""
    (size,) = _HEAD.unpack(_exactly(end, _HEAD.size) or bytes(_HEAD.size))
    return _exactly(end, size)


def _exactly(end: socket.socket, size: int) -> bytes:
    parts: list[bytes] = []
    while size and (part := end.recv(size)):
        parts.append(part)
        size -= len(part)
    return b"" if size else b"".join(parts)
