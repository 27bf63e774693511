"""The model's Redis, answered by the product's own scripts on a real server that is killed.

Loss is FLUSHALL and SCRIPT FLUSH; a roll-back is kill -9, the end of the append-only file cut
off at any byte, and a start from what is left.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self, TypeVar

import redis

from batching.adapters.embedded_valkey import find_server
from batching.adapters.redis_buffer import RedisBuffer, prefix
from batching.adapters.redis_server import Client, connect
from batching.model import SealReason
from batching.names import Key as RealKey
from batching.ports import Group as RealGroup
from batching.ports import Shell as RealShell
from tests.protocol.objects import Key
from tests.protocol.redis_model import Group, Namespace, Open, Redis, Sealed, Shell

NUMBER_BYTES, ELEMENT_BYTES = 8, 51
HUGE = 2**40
Answer = TypeVar("Answer")


def encoded(numbers: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(NUMBER_BYTES, "little") for number in numbers)


def decoded(body: bytes) -> tuple[int, ...]:
    parts = (body[at : at + NUMBER_BYTES] for at in range(0, len(body), NUMBER_BYTES))
    return tuple(int.from_bytes(part, "little") for part in parts)


class RealRedis(Redis):
    """The methods of the model; close it at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hr-"))
        self.socket = self.folder / "s"
        self.loop = asyncio.new_event_loop()
        self.restarts, self.floor = 0, 0
        self.start()

    # --- the server

    def start(self) -> None:
        """Start on the files that are there; no rewrite, so that they are the whole history."""
        options = {
            "port": "0", "unixsocket": str(self.socket), "dir": str(self.folder), "save": "",
            "appendonly": "yes", "appendfsync": "no", "auto-aof-rewrite-percentage": "0",
            "aof-load-truncated": "yes", "logfile": str(self.folder / "log"),
        }  # fmt: skip
        self.socket.unlink(missing_ok=True)
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.process = subprocess.Popen([find_server(), *arguments], cwd=self.folder)
        self.direct = redis.Redis(unix_socket_path=str(self.socket))
        self.wait()
        self.client: Client = connect(f"unix://{self.socket}")
        self.buffers: dict[Namespace, RedisBuffer] = {}

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if self.direct.ping():
                    return
            except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                time.sleep(0.002)
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self) -> None:
        self.direct.close()
        self.loop.run_until_complete(self.client.aclose())
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self.loop.close()
        shutil.rmtree(self.folder)

    # --- faults

    def lose(self) -> None:
        self.direct.flushall()
        self.direct.script_flush()

    def roll_back(self, rnd: Random) -> None:
        """Kill the server and cut the end of its file off, down to the floor at most."""
        self.kill()
        self.restarts += 1
        file = self.history()
        size = file.stat().st_size
        os.truncate(file, max(self.floor, size - rnd.randint(1, 5000), 0))
        self.start()

    def no_way_back(self) -> None:
        """Let no later roll-back reach a state of before now."""
        self.floor = self.history().stat().st_size

    def history(self) -> Path:
        return max(self.folder.glob("appendonlydir/*incr.aof"))

    def fork(self) -> Self:
        raise NotImplementedError

    # --- scripts

    def _buffer(self, t: Namespace) -> RedisBuffer:
        if t not in self.buffers:
            self.buffers[t] = RedisBuffer(self.client, prefix(t[0], t[1]), lambda: 0)
        return self.buffers[t]

    def _ask(self, call: Coroutine[Any, Any, Answer]) -> Answer:
        return self.loop.run_until_complete(call)

    def acknowledged(self, t: Namespace) -> int:
        return self._ask(self._buffer(t).acknowledged())

    def wipe(self, t: Namespace) -> None:
        self._ask(self._buffer(t).wipe())
        self.no_way_back()

    def attach(self, t: Namespace, checkpoint: int, manifest: int) -> int:
        return self._ask(self._buffer(t).attach(checkpoint, manifest))

    def append(
        self, t: Namespace, prev: int, last: int, groups: Sequence[Group], manifest: int
    ) -> tuple[str, int, tuple[Key, ...]]:
        real = [_real(group) for group in groups]
        answer = self._ask(self._buffer(t).append(prev, last, real, manifest))
        return answer.outcome.value, answer.w, tuple(_plain(key) for key in answer.resynced)

    def seal(self, t: Namespace, several: Sequence[Key]) -> None:
        keys = [RealKey(*key) for key in several]
        self._ask(self._buffer(t).seal_keys(SealReason.MAX_AGE, keys))

    def low(self, t: Namespace) -> tuple[int, int | None, int, int]:
        low = self._ask(self._buffer(t).low())
        return low.w, low.lo, self.acknowledged(t), low.open

    def peek(self, t: Namespace, limit: int) -> list[tuple[int, Sealed]]:
        found = self._ask(self._buffer(t).peek(HUGE, limit))
        return [
            (
                x.k,
                Sealed(
                    _plain(x.key), decoded(b"".join(raw[at:] for at, raw in x.elements)), x.last
                ),
            )
            for x in found
        ]

    def ack(self, t: Namespace, done: Sequence[tuple[int, Key, int]], manifest: int) -> None:
        real = [(k, RealKey(*key), last) for k, key, last in done]
        self._ask(self._buffer(t).ack(real, manifest))

    def opened(self, t: Namespace) -> dict[Key, Open]:
        found = {}
        for x in self._ask(self._buffer(t).opened()):
            state = int.from_bytes(x.state, "little")
            total = x.size_bytes // NUMBER_BYTES
            assert state == total, f"STATE of {x.key} is not that of its buffer"
            found[_plain(x.key)] = Open((), x.items, total, x.last, x.due_us, state)
        return found

    def parkable(
        self, t: Namespace, upto: int, buffers: int, events: int
    ) -> list[tuple[Key, Open]]:
        found = self._ask(self._buffer(t).parkable(upto, events * ELEMENT_BYTES, buffers))
        return [
            (
                _plain(x.open.key),
                Open(
                    tuple(decoded(raw[at:]) for at, raw in x.elements),
                    x.open.items,
                    x.open.size_bytes // NUMBER_BYTES,
                    x.open.last,
                    x.open.due_us,
                    int.from_bytes(x.open.state, "little"),
                ),
            )
            for x in found
        ]

    def release(
        self, t: Namespace, marks: Sequence[tuple[Key, int]], manifest: int
    ) -> dict[Key, int]:
        real = [(RealKey(*key), mark) for key, mark in marks]
        released = self._ask(self._buffer(t).release(real, manifest))
        return {_plain(key): items for key, items in released.left}

    def restore(self, t: Namespace, shells: Sequence[Shell]) -> None:
        real = [
            RealShell(
                key=RealKey(*x.key),
                last=x.last,
                size_bytes=x.total * NUMBER_BYTES,
                due_us=x.due,
                state=x.total.to_bytes(NUMBER_BYTES, "little"),
            )
            for x in shells
        ]
        self._ask(self._buffer(t).restore(real))

    def forget(self, t: Namespace, key: Key, upto: int, manifest: int) -> None:
        self._ask(self._buffer(t).forget(RealKey(*key), upto, manifest))


def _plain(key: RealKey) -> Key:
    return key.stream, key.sensor


def _real(group: Group) -> RealGroup:
    return RealGroup(
        key=RealKey(*group.key),
        first=group.events[0],
        last=group.events[-1],
        bodies=[encoded(group.events)],
        believed=group.believed,
        size_bytes=group.state * NUMBER_BYTES,
        state=group.state.to_bytes(NUMBER_BYTES, "little"),
        due_us=group.due,
        seal_before=SealReason.MAX_BYTES if group.seal_before else None,
        seal_after=SealReason.MAX_SAMPLES if group.seal_after else None,
    )
