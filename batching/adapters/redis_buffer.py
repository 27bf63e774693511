"""The buffer of one partition in Redis: packs what the owner decided, runs one script, unpacks.

The scripts lie in `lua/`, one file per operation, headed by its contract; `lua/common.lua` says
how buffers lie in Redis. Nothing is repeated silently here: the protocol's owner decides that.
"""

import asyncio
import math
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib import resources
from typing import Any, cast

from redis import exceptions as refused

from batching.adapters.redis_server import Client
from batching.errors import BufferFull, BufferUnavailable, CorruptBuffer
from batching.model import SealReason
from batching.names import Key
from batching.policy import NEVER_NS
from batching.ports import (
    AppendAnswer,
    Appended,
    Group,
    Low,
    OpenBuffer,
    Parkable,
    Released,
    SealedBuffer,
    Shell,
    Stored,
)

NEVER_US = NEVER_NS // 1000
_PAGE = 1000  # buffers looked at in one step, where a call looks at many
_EXACT = 2**53  # doubles hold whole numbers up to here; a later due time is never
_LAYOUT = 3  # of an item, its first byte
_GROUP = struct.Struct("<HIIB")
_ITEM = struct.Struct("<BdddIBB")  # layout, first, last, due, bytes, no reason, bytes of the state
_REASON_AT, _STATE_AT = _ITEM.size - 2, _ITEM.size - 1
_TELLS = struct.Struct("<BdddI")  # what an item begins with, whether it has a reason or not
_SEALED = struct.Struct("<dB")  # what stands behind a reason: when, bytes of the state
_SHELL = struct.Struct("<ddd")
_UNAVAILABLE = (
    refused.ConnectionError,
    refused.TimeoutError,
    refused.ReadOnlyError,
    refused.ClusterError,
    refused.TryAgainError,
    refused.MovedError,
    refused.RedisClusterException,
    OSError,
    asyncio.TimeoutError,
)
_BUSY = ("BUSY", "MISCONF", "NOREPLICAS", "UNKILLABLE", "LOADING", "MASTERDOWN")


def prefix(store_id: str, partition: str) -> str:
    """Spell the prefix of one partition's keys: one hash tag, so one slot of a cluster.

    It stands before the name of each open sensor, so it is short: a store has one hub for ever.
    """
    return f"hr:{{{store_id}/{partition}}}:"


def older_prefix(store_id: str, hub: str, partition: str) -> str:
    """Spell the prefix that versions before layout 3 had: what lies there is not read."""
    return f"hr:{{{store_id}/{hub}/{partition}}}:"


def source(name: str) -> str:
    """Read one script: its line of flags, what all share, its body."""
    folder = resources.files("batching.adapters") / "lua"
    flags, _, body = (folder / f"{name}.lua").read_text("utf-8").partition("\n")
    return f"{flags}\n{(folder / 'common.lua').read_text('utf-8')}{body}"


class RedisBuffer:
    """Open and sealed buffers of one partition in Redis; answers `batching.ports.Buffer`.

    Beyond BufferUnavailable, a call raises CorruptBuffer if a list in Redis cannot be what its
    name says: wipe the partition and attach again.
    """

    def __init__(
        self,
        client: Client,
        prefix: str,
        now_us: Callable[[], int] | None = None,
        *,
        older: str | None = None,
    ) -> None:
        """Take a client, `prefix(...)` of the partition, and the clock that stamps seals.

        What lies under the prefix `older` is of another layout; the first attach drops it.
        """
        self._client = client
        self._prefix = prefix
        self._keys = [f"{prefix}w".encode()]
        self._older = older
        self._now_us = now_us or (lambda: time.time_ns() // 1000)
        self._scripts: dict[str, Any] = {}

    async def acknowledged(self) -> int:
        """Give the highest manifest number that what is here relies on, -1 if none."""
        return int(await self._run("acknowledged"))

    async def attach(self, checkpoint: int, manifest: int = -1) -> int:
        """Raise w to the checkpoint, never lower it; give w."""
        await self._drop_older()
        return int(await self._run("attach", checkpoint, manifest))

    async def append(
        self, prev: int, last: int, groups: Sequence[Group], manifest: int = -1
    ) -> AppendAnswer:
        """Add everything in (prev, last]; refused unless w equals prev."""
        parts: list[bytes] = []
        for group in groups:
            _pack(group, parts)
        call = (prev, last, manifest, self._now_us(), b"".join(parts))
        outcome, w, *resynced = await self._run("append", *call)
        return AppendAnswer(Appended(outcome.decode()), w, _keys(resynced))

    async def opened(self) -> list[OpenBuffer]:
        """List the open buffers, page by page, so that no step is long."""
        found: dict[bytes, OpenBuffer] = {}
        cursor = b"0"
        while True:
            cursor, *page = await self._run("opened", cursor, _PAGE)
            for text, items, head in zip(page[::3], page[1::3], page[2::3], strict=True):
                found[text] = _open(text, items, head)
            if cursor == b"0":
                return list(found.values())

    async def seal_open(self, reason: SealReason, limit: int) -> tuple[Key, ...]:
        """Seal up to `limit` open buffers whatever their due time."""
        return _keys(await self._run("seal_open", reason.value, limit, self._now_us()))

    async def seal_keys(self, reason: SealReason, keys: Sequence[Key]) -> tuple[Key, ...]:
        """Seal the open buffers of these keys; give those that there were."""
        texts = (key.text() for key in keys)
        return _keys(await self._run("seal_keys", reason.value, self._now_us(), *texts))

    async def low(self) -> Low:
        """Give w and what is not durable yet; above 1,000 sealed buffers, bytes are estimated."""
        w, lo, sealed, size_bytes, oldest, manifest, opened = await self._run("low", _PAGE)
        return Low(
            w=w,
            lo=int(lo) if lo else None,
            open=opened,
            sealed=sealed,
            sealed_bytes=size_bytes,
            first_sealed_us=None if oldest < 0 else oldest,
            manifest=manifest,
        )

    async def peek(self, max_bytes: int, max_buffers: int) -> list[SealedBuffer]:
        """Give the oldest sealed buffers with content, in order of k; at least one."""
        answer = await self._run("peek", max_bytes, max_buffers)
        return await asyncio.to_thread(_all_sealed, answer)  # it may be ten thousand items

    async def ack(self, done: Sequence[tuple[int, Key, int]], manifest: int) -> int:
        """Drop sealed buffers (k, key, last) if they are that key's and end <= last."""
        pairs = ((f"{k}:{key.text()}", last) for k, key, last in done)
        return int(await self._run("ack", manifest, *(arg for pair in pairs for arg in pair)))

    async def forget(self, key: Key, upto: int, manifest: int = -1) -> None:
        """Drop an open buffer if it ends at or below `upto`."""
        await self._run("forget", key.text(), upto, manifest)

    async def parkable(self, upto: int, max_bytes: int, max_buffers: int) -> list[Parkable]:
        """Give open buffers with content whose `lo` is at most `upto`; stops at a sealed one."""
        answer = await self._run("parkable", upto, max_bytes, max_buffers)
        pairs = zip(answer[::2], answer[1::2], strict=True)
        return [
            Parkable(_open(text, len(items), items[-1]), _elements(items)) for text, items in pairs
        ]

    async def release(self, durable: Sequence[tuple[Key, int]], manifest: int) -> Released:
        """Let elements leave that end at or below a mark; buffers stay open."""
        pairs = ((key.text(), mark) for key, mark in durable)
        args = (arg for pair in pairs for arg in pair)
        elements, *left = await self._run("release", manifest, *args)
        return Released(elements, tuple(zip(_keys(left[::2]), left[1::2], strict=True)))

    async def restore(self, shells: Sequence[Shell]) -> tuple[Key, ...]:
        """Open buffers without content unless they are there; give those that were not."""
        args: list[bytes] = []
        for shell in shells:
            args += (shell.key.text().encode(), _shell(shell), shell.state)
        return _keys(await self._run("restore", *args))

    async def wipe(self) -> None:
        """Drop every key of the partition; attach again afterwards. Always safe."""
        await self._run("wipe")
        start = len(self._prefix)
        names = [name[start:] async for name in self._scan() if name[start : start + 1] in b"bq"]
        for at in range(0, len(names), _PAGE):
            await self._run("drop_strays", *names[at : at + _PAGE])

    async def _drop_older(self) -> None:
        """Wipe what another layout left under its own prefix, once."""
        if self._older is None:
            return
        try:
            there = await self._client.exists(f"{self._older}w")
        except Exception as error:
            raise _translated("attach", error) from error
        if there:
            await RedisBuffer(self._client, self._older).wipe()
        self._older = None

    async def _scan(self) -> Any:
        tag = self._prefix.replace("\\", "\\\\").replace("*", "\\*").replace("?", "\\?")
        tag = tag.replace("[", "\\[")
        try:
            async for name in self._client.scan_iter(match=f"{tag}*", count=_PAGE):
                yield name
        except Exception as error:
            raise _translated("wipe", error) from error

    async def _run(self, name: str, *args: bytes | str | int) -> Any:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._client.register_script(source(name))
        try:
            return await cast("Awaitable[Any]", script(keys=self._keys, args=args))
        except Exception as error:
            raise _translated(name, error) from error


def _translated(call: str, error: Exception) -> Exception:
    """Say what the caller can do about it; what means a bug stays as it is."""
    text = str(error)
    if isinstance(error, refused.OutOfMemoryError):
        return BufferFull(f"Redis did not {call}: {text}")
    if isinstance(error, _UNAVAILABLE) or text.startswith(_BUSY):
        return BufferUnavailable(f"Redis did not {call}: {text or type(error).__name__}")
    if isinstance(error, refused.ResponseError) and text.startswith("TORN"):
        return CorruptBuffer(f"Redis holds a torn buffer, seen in {call}: {text}")
    return error


def _finite(due_us: int) -> float:
    return due_us if due_us < _EXACT else math.inf


def _shell(shell: Shell) -> bytes:
    return _SHELL.pack(shell.last, shell.size_bytes, _finite(shell.due_us))


def _pack(group: Group, parts: list[bytes]) -> None:
    """Lay out one group for the script: what it is told of the item, and the item."""
    key, first, last, bodies, believed, size_bytes, state, due_us, before, after = group
    name, behind, body = key.text().encode(), len(state), b"".join(bodies)
    size = _ITEM.size + behind + len(body)
    seals = before is not None or after is not None
    parts += (
        _GROUP.pack(len(name), size, believed, seals),
        name,
        _ITEM.pack(_LAYOUT, first, last, _finite(due_us), size_bytes, 0, behind),
        state,
        body,
    )
    if seals:
        reasons = (before.value if before else "", after.value if after else "", "")
        parts.append("\0".join(reasons).encode())


def _keys(texts: Sequence[bytes]) -> tuple[Key, ...]:
    return tuple(Key.parse(text.decode()) for text in texts)


def _due(due: float) -> int:
    return NEVER_US if math.isinf(due) else int(due)


def _open(text: bytes, items: int, item: bytes) -> OpenBuffer:
    _check(item)
    _, _, last, due, size_bytes, _, behind = _ITEM.unpack_from(item)
    return OpenBuffer(
        key=Key.parse(text.decode()),
        items=items,
        last=int(last),
        size_bytes=size_bytes,
        due_us=_due(due),
        state=item[_ITEM.size : _ITEM.size + behind],
    )


def _all_sealed(answer: list[Any]) -> list[SealedBuffer]:
    return [_sealed(id_, items) for id_, items in zip(answer[::2], answer[1::2], strict=True)]


def _sealed(id_: bytes, items: list[bytes]) -> SealedBuffer:
    k, _, text = id_.decode().partition(":")
    item = items[-1]
    _check(item)
    _, _, last, due, _ = _TELLS.unpack_from(item)
    reason, _, _ = item[_TELLS.size :].partition(b"\0")
    at = _TELLS.size + len(reason) + 1
    sealed, behind = _SEALED.unpack_from(item, at)
    at += _SEALED.size
    return SealedBuffer(
        k=int(k),
        key=Key.parse(text),
        last=int(last),
        due_us=_due(due),
        reason=SealReason(reason.decode()),
        sealed_us=int(sealed),
        state=item[at : at + behind],
        elements=_elements(items),
    )


def _check(item: bytes) -> None:
    if item[0] != _LAYOUT:
        raise CorruptBuffer("Redis holds a buffer of another layout")


def _elements(items: list[bytes]) -> tuple[Stored, ...]:
    """Give the items that have chunks; what has a reason only tells, maybe of a torn seal."""
    if {item[0] for item in items} != {_LAYOUT}:
        raise CorruptBuffer("Redis holds a buffer of another layout")
    begins = [_ITEM.size + item[_STATE_AT] for item in items]
    return tuple(
        [
            (begin, item)
            for begin, item in zip(begins, items, strict=True)
            if not item[_REASON_AT] and len(item) > begin
        ]
    )
