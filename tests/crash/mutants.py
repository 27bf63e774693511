"""Services with one guard taken away: each must be found out, or the driver proves nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from batching.adapters.redis_buffer import RedisBuffer
from batching.ports import Low, SealedBuffer
from batching.view import Log, View


def _ack_first() -> None:
    """Drop sealed buffers as soon as they were read, before their manifest is there."""
    plain = RedisBuffer.peek

    async def peek(self: RedisBuffer, max_bytes: int, limit: int) -> Sequence[SealedBuffer]:
        found = await plain(self, max_bytes, limit)
        await self.ack([(each.k, each.key, each.last) for each in found], -1)
        return found

    RedisBuffer.peek = peek  # type: ignore[method-assign]


def _marks_unread() -> None:
    """Attach without learning from the log what is durable above the checkpoint."""
    plain = Log.read

    async def read(self: Log) -> tuple[View, str | None]:
        view, version = await plain(self)
        view._last.clear()
        return view, version

    Log.read = read  # type: ignore[method-assign]


def _checkpoint_ahead() -> None:
    """Move the checkpoint to what Redis has, open buffers or not."""
    plain = RedisBuffer.low

    async def low(self: RedisBuffer) -> Low:
        return replace(await plain(self), lo=None)

    RedisBuffer.low = low  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "ack_first": _ack_first,
    "marks_unread": _marks_unread,
    "checkpoint_ahead": _checkpoint_ahead,
}
